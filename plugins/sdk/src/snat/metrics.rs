//! What Azure Monitor knows of a load balancer's outbound ports, node by node.

use std::collections::{BTreeMap, BTreeSet};

use serde::Deserialize;

use crate::{Evidence, MetricQuery, Observed, PluginError, Query, Reads, read_json_many};

/// How far back is asked, in minutes.
pub const WINDOW_MINUTES: u32 = 60;

/// Failures of so many last minutes are of now. Azure Monitor is up to three
/// minutes late, and who gets no port tries again within a few.
pub const LATELY_MINUTES: usize = 15;

const MINUTE_MS: i64 = 60_000;

const FAILED: &str = "ConnectionState eq 'Failed' and BackendIPAddress eq '*'";
/// Ports are allocated for each protocol of its own.
const PORTS: &str = "BackendIPAddress eq '*' and ProtocolType eq '*'";

/// A metric as the contract tells it: one value a minute, the oldest first.
#[derive(Clone, Debug, Deserialize)]
struct Metric {
    /// When the first values begin; absent when nothing was measured.
    #[serde(default)]
    first_ms: Option<i64>,
    series: Vec<Series>,
}

#[derive(Clone, Debug, Deserialize)]
struct Series {
    dimensions: BTreeMap<String, String>,
    values: Vec<Option<f64>>,
}

impl Metric {
    /// Every value with its minute, counted from 1970.
    fn values(&self) -> impl Iterator<Item = (i64, f64)> {
        let first = self.first_ms.unwrap_or_default() / MINUTE_MS;
        self.series.iter().flat_map(move |series| {
            let minutes = (first..).zip(&series.values);
            minutes.filter_map(|(minute, value)| Some((minute, (*value)?)))
        })
    }
}

impl Series {
    /// The address of the node that it is of; empty when it is of all.
    fn node(&self) -> &str {
        self.dimensions
            .get("backendipaddress")
            .map_or("", String::as_str)
    }

    fn newest(&self) -> Option<f64> {
        self.values.iter().rev().find_map(|value| *value)
    }
}

/// What was measured of one node.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct NodePorts {
    /// Connections that got no port, in the whole window.
    pub failed: f64,
    /// Those of the last [`LATELY_MINUTES`].
    pub failed_lately: f64,
    /// The most of them in one minute.
    pub failed_at_once: f64,
    /// Ports in use, of the protocol that has the fewest left.
    pub used: f64,
    /// Ports allocated, of that protocol.
    pub allocated: f64,
}

impl NodePorts {
    /// Share of the allocated ports in use, 0 to 1.
    pub fn share(&self) -> f64 {
        if self.allocated > 0.0 {
            self.used / self.allocated
        } else {
            0.0
        }
    }

    /// Ports that would have been enough: those in use, and one for each connection
    /// that got none in the worst minute. Who tries again counts again, and a node
    /// without a port left tells no more than that.
    pub fn demand(&self) -> f64 {
        self.used + self.failed_at_once
    }
}

/// Failed connections, ports in use, ports allocated.
pub(crate) fn queries(balancer: &str) -> [Query; 3] {
    let metric = |metric: &str, aggregation: &str, filter: &str| {
        Query::AzureMetric(MetricQuery {
            resource: balancer.to_owned(),
            metric: metric.to_owned(),
            aggregation: aggregation.to_owned(),
            filter: filter.to_owned(),
            window_minutes: WINDOW_MINUTES,
        })
    };
    [
        metric("SnatConnectionCount", "Total", FAILED),
        metric("UsedSnatPorts", "Average", PORTS),
        metric("AllocatedSnatPorts", "Average", PORTS),
    ]
}

/// The metrics of one load balancer.
pub struct PortMetrics {
    failed: Observed<Metric>,
    used: Observed<Metric>,
    allocated: Observed<Metric>,
}

impl PortMetrics {
    /// Reads them.
    ///
    /// # Errors
    /// When one of them cannot be read.
    pub fn observe(reads: &dyn Reads, balancer: &str) -> Result<Self, PluginError> {
        let mut answers = read_json_many::<Metric>(reads, &queries(balancer)).into_iter();
        let mut next = || {
            let none = || Err(PluginError::Malformed("no answer".to_owned()));
            answers.next().unwrap_or_else(none)
        };
        Ok(Self {
            failed: next()?,
            used: next()?,
            allocated: next()?,
        })
    }

    /// Each node that anything was measured of, by its address.
    pub fn by_node(&self) -> BTreeMap<String, NodePorts> {
        let mut nodes: BTreeMap<String, NodePorts> = BTreeMap::new();
        for series in &self.failed.value.series {
            let node = nodes.entry(series.node().to_owned()).or_default();
            let newest_first = || series.values.iter().rev().map(|total| total.unwrap_or(0.0));
            node.failed += newest_first().sum::<f64>();
            node.failed_at_once = newest_first().fold(node.failed_at_once, f64::max);
            node.failed_lately += newest_first().take(LATELY_MINUTES).sum::<f64>();
        }
        let allocated = self.allocated.value.series.iter();
        let allocated: BTreeMap<_, &Series> = allocated.map(|s| (&s.dimensions, s)).collect();
        for used in &self.used.value.series {
            let allocated = allocated.get(&used.dimensions);
            let (Some(used_now), Some(allocated_now)) =
                (used.newest(), allocated.and_then(|series| series.newest()))
            else {
                continue;
            };
            let node = nodes.entry(used.node().to_owned()).or_default();
            let here = NodePorts {
                used: used_now,
                allocated: allocated_now,
                ..*node
            };
            if node.allocated == 0.0 || here.share() > node.share() {
                *node = here;
            }
        }
        nodes
    }

    /// The most ports that any node has allocated now; `None` where that was not
    /// measured of any.
    pub fn allocated(&self) -> Option<u64> {
        let series = self.allocated.value.series.iter();
        let newest = series.filter_map(Series::newest);
        let most = newest.filter(|ports| *ports > 0.0).reduce(f64::max);
        // An average of a minute in which the number changed has parts.
        most.map(|ports| ports.ceil() as u64)
    }

    /// Since every node has at least so many ports: the whole minutes measured,
    /// and the connections that got none in them.
    pub fn since_allocated(&self, ports: f64) -> (usize, f64) {
        // A minute in which the number changed is measured in between.
        let allocated = || self.allocated.value.values();
        let fewer = allocated().filter(|(_, average)| *average < ports);
        let changed = fewer.map(|(minute, _)| minute).max();
        let is_since = |minute: i64| changed.is_none_or(|changed| minute > changed);
        let minutes: BTreeSet<i64> = allocated()
            .map(|(minute, _)| minute)
            .filter(|minute| is_since(*minute))
            .collect();
        let failed = self.failed.value.values();
        let failed = failed.filter(|(minute, _)| is_since(*minute));
        (minutes.len(), failed.map(|(_, total)| total).sum())
    }

    /// What [`Self::since_allocated`] found, as evidence.
    pub fn evidence_since(&self, minutes: usize, failed: f64) -> Evidence {
        self.failed.evidence(
            "SnatConnectionCount (ConnectionState Failed)",
            format!("{failed:.0} in {minutes} minutes"),
            "connections that got no port since the change",
        )
    }

    /// When they were read, and of what.
    pub(super) fn failures(&self) -> &Observed<impl Sized> {
        &self.failed
    }

    /// The same of the ports in use.
    pub(super) fn ports(&self) -> &Observed<impl Sized> {
        &self.used
    }
}
