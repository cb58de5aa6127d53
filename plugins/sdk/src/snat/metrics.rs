//! What Azure Monitor knows of a load balancer's outbound ports, node by node.

use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer, de::Visitor};

use crate::{Evidence, MetricQuery, Observed, PluginError, Query, Reads, read_json_many};

/// How far back is asked, in minutes.
pub const WINDOW_MINUTES: u32 = 60;

/// Failures of so many last minutes are of now. Azure Monitor is up to three
/// minutes late, and who gets no port tries again within a few.
pub const LATELY_MINUTES: usize = 15;

const FAILED: &str = "ConnectionState eq 'Failed' and BackendIPAddress eq '*'";
/// Ports are allocated for each protocol of its own.
const PORTS: &str = "BackendIPAddress eq '*' and ProtocolType eq '*'";

/// A metric as Azure Monitor answers it.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
struct Metrics {
    value: Vec<Metric>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
struct Metric {
    timeseries: Vec<Series>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
struct Series {
    #[serde(rename = "metadatavalues")]
    dimensions: Vec<Dimension>,
    /// One point a minute, the oldest first; a minute without a value has a
    /// point without one.
    data: Vec<Point>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
struct Dimension {
    name: DimensionName,
    value: String,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
struct DimensionName {
    value: String,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Point {
    time_stamp: Stamp,
    total: Option<f64>,
    average: Option<f64>,
}

/// A time as Azure writes it. Of an answer there are tens of thousands, so none is
/// a text of its own. All stamps of one answer have one form, in which later sorts
/// after.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
struct Stamp([u8; 32]);

impl<'de> Deserialize<'de> for Stamp {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_str(StampVisitor)
    }
}

struct StampVisitor;

impl Visitor<'_> for StampVisitor {
    type Value = Stamp;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("a time of at most 32 characters")
    }

    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Stamp, E> {
        let mut stamp = Stamp::default();
        let place = stamp.0.get_mut(..text.len());
        let place = place.ok_or_else(|| E::invalid_length(text.len(), &self))?;
        place.copy_from_slice(text.as_bytes());
        Ok(stamp)
    }
}

impl Metrics {
    fn series(&self) -> impl Iterator<Item = &Series> {
        self.value.iter().flat_map(|metric| &metric.timeseries)
    }
}

impl Series {
    /// The address of the node that it is of; empty when it is of all.
    fn node(&self) -> &str {
        self.dimensions
            .iter()
            .find(|dimension| {
                dimension
                    .name
                    .value
                    .eq_ignore_ascii_case("BackendIPAddress")
            })
            .map_or("", |dimension| dimension.value.as_str())
    }

    /// What tells it from the other series of an answer.
    fn key(&self) -> Vec<(String, &str)> {
        let dimensions = self.dimensions.iter();
        let mut key: Vec<(String, &str)> = dimensions
            .map(|dimension| {
                let name = dimension.name.value.to_ascii_lowercase();
                (name, dimension.value.as_str())
            })
            .collect();
        key.sort_unstable();
        key
    }

    fn newest_average(&self) -> Option<f64> {
        self.data.iter().rev().find_map(|point| point.average)
    }
}

/// What was measured of one node.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct NodePorts {
    /// Connections that got no port, in the whole window.
    pub failed: f64,
    /// Those of the last [`LATELY_MINUTES`].
    pub failed_lately: f64,
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
    failed: Observed<Metrics>,
    used: Observed<Metrics>,
    allocated: Observed<Metrics>,
}

impl PortMetrics {
    /// Reads them.
    ///
    /// # Errors
    /// When one of them cannot be read.
    pub fn observe(reads: &dyn Reads, balancer: &str) -> Result<Self, PluginError> {
        let mut answers = read_json_many::<Metrics>(reads, &queries(balancer)).into_iter();
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
        for series in self.failed.value.series() {
            let node = nodes.entry(series.node().to_owned()).or_default();
            let totals = || series.data.iter().rev().map(|p| p.total.unwrap_or(0.0));
            node.failed += totals().sum::<f64>();
            node.failed_lately += totals().take(LATELY_MINUTES).sum::<f64>();
        }
        let allocated = self.allocated.value.series();
        let allocated: BTreeMap<_, &Series> = allocated.map(|s| (s.key(), s)).collect();
        for used in self.used.value.series() {
            let allocated = allocated.get(&used.key());
            let (Some(used_now), Some(allocated_now)) = (
                used.newest_average(),
                allocated.and_then(|series| series.newest_average()),
            ) else {
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

    /// Since every node has at least so many ports: the whole minutes measured,
    /// and the connections that got none in them.
    pub fn since_allocated(&self, ports: f64) -> (usize, f64) {
        // A minute in which the number changed is measured in between.
        let fewer = |point: &&Point| point.average.is_some_and(|average| average < ports);
        let points = |metrics: &'_ Observed<Metrics>| -> Vec<Point> {
            let series = metrics.value.series();
            series.flat_map(|series| series.data.clone()).collect()
        };
        let allocated = points(&self.allocated);
        let changed = allocated.iter().filter(fewer).map(|p| p.time_stamp).max();
        let is_since = |point: &&Point| changed.is_none_or(|changed| point.time_stamp > changed);
        let mut minutes: Vec<Stamp> = allocated
            .iter()
            .filter(|point| point.average.is_some())
            .filter(is_since)
            .map(|point| point.time_stamp)
            .collect();
        minutes.sort_unstable();
        minutes.dedup();
        let failed = points(&self.failed);
        let failed = failed.iter().filter(is_since).filter_map(|p| p.total);
        (minutes.len(), failed.sum())
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
