//! Whether SNAT ports run out.

use naosu_plugin::{
    Cluster, Evidence, Judgement, MetricQuery, Observed, PluginError, Query, Reads,
    arm::ManagedCluster, read_json, read_json_many,
};
use serde::Deserialize;

/// How far back failures count, in minutes.
const WINDOW_MINUTES: u32 = 60;
/// Share of the allocated ports in use that counts as nearly all.
const NEARLY_ALL: f64 = 0.9;

/// A metric as Azure Monitor answers it.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Metrics {
    value: Vec<Metric>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Metric {
    timeseries: Vec<Series>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Series {
    data: Vec<Point>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Point {
    total: Option<f64>,
    average: Option<f64>,
}

impl Metrics {
    fn points(&self) -> impl Iterator<Item = &Point> {
        let series = self.value.iter().flat_map(|metric| &metric.timeseries);
        series.flat_map(|series| &series.data)
    }

    fn total(&self) -> f64 {
        self.points().filter_map(|point| point.total).sum()
    }

    fn highest_average(&self) -> f64 {
        let averages = self.points().filter_map(|point| point.average);
        averages.fold(0.0, f64::max)
    }
}

/// The whole judgement.
pub struct Judged {
    pub judgement: Judgement,
    pub summary: String,
    pub evidence: Vec<Evidence>,
    pub cluster: Observed<ManagedCluster>,
}

pub fn judge(reads: &dyn Reads, cluster: &Cluster) -> Result<Judged, PluginError> {
    let cluster: Observed<ManagedCluster> = read_json(reads, &Query::AzureGet(cluster.id.clone()))?;
    let network = &cluster.value.properties.network_profile;
    let outbound = network.outbound_type.clone();
    let not_concerned = if cluster.value.is_private() {
        let field = "properties.apiServerAccessProfile.enablePrivateCluster";
        Some((
            field,
            "true".to_owned(),
            "the tunnel of a private cluster uses no SNAT port",
        ))
    } else if outbound != "loadBalancer" {
        let field = "properties.networkProfile.outboundType";
        Some((
            field,
            outbound,
            "outbound connections do not use the load balancer",
        ))
    } else {
        None
    };
    if let Some((field, value, meaning)) = not_concerned {
        return Ok(Judged {
            judgement: Judgement::RuledOut,
            summary: format!("SNAT ports do not matter here: {meaning}"),
            evidence: vec![cluster.evidence(field, value, meaning)],
            cluster,
        });
    }
    let balancer = format!(
        "{}/providers/Microsoft.Network/loadBalancers/kubernetes",
        cluster.value.node_resource_group_id()
    );
    let metric = |metric: &str, aggregation: &str, filter: &str| {
        Query::AzureMetric(MetricQuery {
            resource: balancer.clone(),
            metric: metric.to_owned(),
            aggregation: aggregation.to_owned(),
            filter: filter.to_owned(),
            window_minutes: WINDOW_MINUTES,
        })
    };
    let queries = [
        metric(
            "SnatConnectionCount",
            "Total",
            "ConnectionState eq 'Failed'",
        ),
        metric("UsedSnatPorts", "Average", ""),
        metric("AllocatedSnatPorts", "Average", ""),
    ];
    let mut answers = read_json_many::<Metrics>(reads, &queries).into_iter();
    let mut next = || {
        answers
            .next()
            .unwrap_or_else(|| Err(PluginError::Malformed("no answer".to_owned())))
    };
    let (failed, used, allocated) = (next()?, next()?, next()?);
    let failures = failed.value.total();
    let (most_used, given) = (
        used.value.highest_average(),
        allocated.value.highest_average(),
    );
    let evidence = vec![
        failed.evidence(
            "SnatConnectionCount (ConnectionState Failed)",
            format!("{failures:.0} in {WINDOW_MINUTES} minutes"),
            "connections that got no port",
        ),
        used.evidence(
            "UsedSnatPorts / AllocatedSnatPorts",
            format!("{most_used:.0} of {given:.0}"),
            "ports of the busiest node",
        ),
    ];
    let (judgement, summary) = if failures > 0.0 {
        let summary = format!("{failures:.0} outbound connections failed for want of a SNAT port");
        (Judgement::Confirmed, summary)
    } else if given > 0.0 && most_used >= NEARLY_ALL * given {
        let summary = format!("A node uses {most_used:.0} of {given:.0} SNAT ports");
        (Judgement::Suspected, summary)
    } else {
        (
            Judgement::RuledOut,
            "No connection failed for want of a SNAT port".to_owned(),
        )
    };
    Ok(Judged {
        judgement,
        summary,
        evidence,
        cluster,
    })
}
