//! Metrics of a load balancer's outbound ports.

use serde_json::{Value, json};

use super::{Estate, Recorded};
use crate::snat;

/// What was measured of one node of an [`Estate`], minute by minute, the newest
/// last; a minute that nobody measured is `None`.
#[derive(Clone, Debug, Default)]
pub struct MeasuredNode {
    /// Which node.
    pub index: u32,
    /// Connections that got no port.
    pub failed: Vec<Option<f64>>,
    /// Ports in use.
    pub used: Vec<Option<f64>>,
    /// Ports allocated.
    pub allocated: Vec<Option<f64>>,
}

impl MeasuredNode {
    /// One whose numbers have not changed of late; its failures are of the newest
    /// minute.
    pub fn steady(index: u32, failed: f64, used: f64, allocated: f64) -> Self {
        Self {
            index,
            failed: vec![Some(0.0), Some(failed)],
            used: vec![Some(used); 2],
            allocated: vec![Some(allocated); 2],
        }
    }
}

/// The newest minute of every series.
const NEWEST_MS: u64 = 1_767_229_080_000;
const MINUTE_MS: u64 = 60_000;

impl Recorded {
    /// Records the metrics of the estate's load balancer.
    pub fn put_outbound_ports(&mut self, nodes: &[MeasuredNode]) {
        let answer = |of: fn(&MeasuredNode) -> &[Option<f64>]| {
            let minutes = nodes.iter().map(|node| of(node).len()).max().unwrap_or(0);
            let before_newest = minutes.saturating_sub(1) as u64;
            let first_ms = NEWEST_MS - before_newest * MINUTE_MS;
            let series = nodes.iter().map(|node| {
                let unmeasured = vec![None; minutes - of(node).len()];
                let values = [unmeasured.as_slice(), of(node)].concat();
                json!({
                    "dimensions": {
                        "backendipaddress": Estate::node_address(node.index).to_string(),
                        "protocoltype": "TCP",
                    },
                    "values": values,
                })
            });
            let series: Vec<Value> = series.collect();
            json!({ "first_ms": first_ms, "series": series })
        };
        let [failed, used, allocated] = snat::queries(&Estate::load_balancer_id());
        self.put(failed, answer(|node| &node.failed));
        self.put(used, answer(|node| &node.used));
        self.put(allocated, answer(|node| &node.allocated));
    }
}
