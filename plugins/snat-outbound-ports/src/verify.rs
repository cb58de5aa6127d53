//! Whether more ports helped. What failed before they were there says nothing of
//! that, and Azure Monitor goes on telling of it for an hour.

use naosu_plugin::{
    Cluster, Effect, Observed, PluginError, Query, Reads, Step, Verdict,
    arm::ManagedCluster,
    read_json,
    snat::{PortMetrics, load_balancer},
};
use serde::Deserialize;

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Patch {
    load_balancer_profile: Profile,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Profile {
    allocated_outbound_ports: u32,
}

/// The number that the plan's step sets.
fn wanted(steps: &[Step]) -> Result<u32, PluginError> {
    let set = steps.iter().find_map(|step| match &step.effect {
        Effect::NetworkProfileSet(set) => Some(&set.patch),
        _ => None,
    });
    let malformed = |reason: String| PluginError::Malformed(format!("the plan's step: {reason}"));
    let patch = set.ok_or_else(|| malformed("it sets no network profile".to_owned()))?;
    let patch: Patch = serde_json::from_str(patch).map_err(|e| malformed(e.to_string()))?;
    Ok(patch.load_balancer_profile.allocated_outbound_ports)
}

pub fn verify(
    reads: &dyn Reads,
    cluster: &Cluster,
    steps: &[Step],
) -> Result<Verdict, PluginError> {
    let wanted = wanted(steps)?;
    let cluster: Observed<ManagedCluster> = read_json(reads, &Query::AzureGet(cluster.id.clone()))?;
    let network = &cluster.value.properties.network_profile;
    let profile = network.load_balancer_profile.as_ref();
    let allocated = profile.and_then(|profile| profile.allocated_outbound_ports);
    let allocated = allocated.unwrap_or_default();
    let mut evidence = vec![cluster.evidence(
        "properties.networkProfile.loadBalancerProfile.allocatedOutboundPorts",
        allocated.to_string(),
        format!("the plan sets {wanted}"),
    )];
    if allocated != wanted {
        return Ok(Verdict {
            mended: false,
            summary: format!("A node has {allocated} outbound ports, not {wanted}"),
            evidence,
        });
    }
    let metrics = PortMetrics::observe(reads, &load_balancer(&cluster.value))?;
    let (minutes, failed) = metrics.since_allocated(f64::from(wanted));
    let summary = match minutes {
        0 => format!(
            "Every node has {wanted} outbound ports; Azure Monitor has measured no whole minute \
             since, so that only the tunnel tells whether they are enough"
        ),
        _ => format!(
            "{failed:.0} outbound connections failed in the {minutes} minutes since every node \
             has {wanted} ports"
        ),
    };
    evidence.push(metrics.evidence_since(minutes, failed));
    Ok(Verdict {
        mended: failed == 0.0,
        summary,
        evidence,
    })
}
