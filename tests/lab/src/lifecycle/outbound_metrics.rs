//! What Azure Monitor knows of the load balancer's outbound connections, measured on real ones.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use tokio::task::AbortHandle;

use crate::arm::{ArmServer, MetricSeries};
use crate::data_plane::{DataPlane as _, NodeName};
use crate::estate::Node;
use crate::planes::NamespacedDataPlane;

const INTERVAL: Duration = Duration::from_millis(500);

/// Keeps measuring; dropping it stops that.
#[derive(Debug)]
pub(super) struct OutboundMetrics {
    measuring: AbortHandle,
}

impl OutboundMetrics {
    /// Measures once, so that nobody reads nothing, and goes on.
    pub(super) async fn start(
        load_balancer: String,
        nodes: Vec<Node>,
        arm: Arc<ArmServer>,
        plane: Arc<NamespacedDataPlane>,
    ) -> Self {
        let mut meter = Meter {
            load_balancer,
            nodes,
            arm,
            plane,
            seen: BTreeMap::new(),
        };
        meter.measure().await;
        let measuring = tokio::spawn(async move {
            loop {
                tokio::time::sleep(INTERVAL).await;
                meter.measure().await;
            }
        });
        Self {
            measuring: measuring.abort_handle(),
        }
    }
}

impl Drop for OutboundMetrics {
    fn drop(&mut self) {
        self.measuring.abort();
    }
}

/// Connections that succeeded and failed.
#[derive(Debug, Clone, Copy, Default)]
struct Counts {
    open: u64,
    succeeded: u64,
    failed: u64,
}

struct Meter {
    load_balancer: String,
    nodes: Vec<Node>,
    arm: Arc<ArmServer>,
    plane: Arc<NamespacedDataPlane>,
    /// What was counted up to the last measurement.
    seen: BTreeMap<NodeName, Counts>,
}

impl Meter {
    async fn measure(&mut self) {
        let Some(allocated) = self.plane.outbound_ports() else {
            return;
        };
        let mut counts: BTreeMap<NodeName, Counts> = BTreeMap::new();
        for usage in self.plane.outbound_usage() {
            let counts = counts.entry(usage.node).or_default();
            counts.open += usage.open;
            counts.succeeded += usage.succeeded;
            counts.failed += usage.failed;
        }
        for agent in self.plane.agents().await {
            counts.entry(agent.node).or_default().open += u64::from(agent.connected);
        }
        for node in &self.nodes {
            let now = counts.get(&node.name).copied().unwrap_or_default();
            let before = self.seen.insert(node.name.clone(), now);
            let before = before.unwrap_or_default();
            let count = |state: &str, value: u64| {
                self.record(node, "SnatConnectionCount", Some(state), value);
            };
            count("Successful", now.succeeded - before.succeeded);
            count("Failed", now.failed - before.failed);
            self.record(node, "UsedSnatPorts", None, now.open);
            self.record(node, "AllocatedSnatPorts", None, allocated.into());
        }
    }

    #[allow(
        clippy::cast_precision_loss,
        reason = "metrics are floating point, and counts of a lab are small"
    )]
    fn record(&self, node: &Node, metric: &str, state: Option<&str>, value: u64) {
        let mut dimensions = BTreeMap::from([
            ("BackendIPAddress".to_owned(), node.address.to_string()),
            ("ProtocolType".to_owned(), "TCP".to_owned()),
        ]);
        if let Some(state) = state {
            dimensions.insert("ConnectionState".to_owned(), state.to_owned());
        }
        self.arm.record_metric(MetricSeries {
            resource_id: self.load_balancer.clone(),
            name: metric.to_owned(),
            unit: "Count".to_owned(),
            dimensions,
            points: vec![(Timestamp::now(), value as f64)],
        });
    }
}
