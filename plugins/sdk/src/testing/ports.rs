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

impl Recorded {
    /// Records the metrics of the estate's load balancer.
    pub fn put_outbound_ports(&mut self, nodes: &[MeasuredNode]) {
        let answer = |aggregation: &str, of: fn(&MeasuredNode) -> &[Option<f64>]| {
            let series: Vec<Value> = nodes
                .iter()
                .map(|node| series(node.index, aggregation, of(node)))
                .collect();
            json!({ "value": [{ "name": { "value": "m" }, "timeseries": series }] })
        };
        let [failed, used, allocated] = snat::queries(&Estate::load_balancer_id());
        self.put(failed, answer("total", |node| &node.failed));
        self.put(used, answer("average", |node| &node.used));
        self.put(allocated, answer("average", |node| &node.allocated));
    }
}

fn series(index: u32, aggregation: &str, values: &[Option<f64>]) -> Value {
    let first = 59_usize.saturating_sub(values.len());
    let data: Vec<Value> = values
        .iter()
        .enumerate()
        .map(|(place, value)| {
            let minute = first + place;
            let mut point = json!({ "timeStamp": format!("2026-01-01T00:{minute:02}:00Z") });
            if let Some(value) = value {
                point[aggregation] = json!(value);
            }
            point
        })
        .collect();
    let dimension = |name: &str, value: String| json!({ "name": { "value": name, "localizedValue": name }, "value": value });
    json!({
        "metadatavalues": [
            dimension("backendipaddress", Estate::node_address(index).to_string()),
            dimension("protocoltype", "TCP".to_owned()),
        ],
        "data": data,
    })
}
