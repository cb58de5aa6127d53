//! Azure Monitor: the metrics of a resource, as far as something measured them.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use http::StatusCode;
use jiff::{SignedDuration, Timestamp, Unit};
use serde_json::{Value, json};

use super::error::ArmError;
use super::id::same_id;
use super::metric_definitions;
use super::reply::Reply;
use crate::wire::Received;

/// One metric of one resource for one set of dimension values.
#[derive(Clone, Debug, PartialEq)]
pub struct MetricSeries {
    /// The resource measured.
    pub resource_id: String,
    /// Metric name, such as `SnatConnectionCount`.
    pub name: String,
    /// Unit, such as `Count`.
    pub unit: String,
    /// Dimension values, such as `ConnectionState` = `Failed`.
    pub dimensions: BTreeMap<String, String>,
    /// Value of each minute that has one.
    pub points: Vec<(Timestamp, f64)>,
}

/// Everything measured; series are added as the estate is measured.
#[derive(Debug, Default)]
pub struct Metrics(Mutex<Vec<MetricSeries>>);

impl Metrics {
    /// Adds points, to the series that is there or as a new one.
    pub fn record(&self, series: MetricSeries) {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let there = all.iter_mut().find(|other| {
            same_id(&other.resource_id, &series.resource_id)
                && other.name.eq_ignore_ascii_case(&series.name)
                && other.dimensions == series.dimensions
        });
        match there {
            Some(other) => other.points.extend(series.points),
            None => all.push(series),
        }
    }

    pub(super) fn answer(
        &self,
        resource_id: &str,
        kind: &str,
        location: &str,
        request: &Received,
    ) -> Result<Reply, ArmError> {
        let query = Query::parse(request)?;
        for name in &query.names {
            let dimensions = query.filters.iter().map(|(dimension, _)| dimension);
            metric_definitions::check(kind, name, dimensions)?;
        }
        let all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let value: Vec<Value> = query
            .names
            .iter()
            .map(|name| {
                let series: Vec<&MetricSeries> = all
                    .iter()
                    .filter(|series| {
                        same_id(&series.resource_id, resource_id)
                            && series.name.eq_ignore_ascii_case(name)
                            && query.filters_accept(series)
                    })
                    .collect();
                json!({
                    "id": format!("{resource_id}/providers/Microsoft.Insights/metrics/{name}"),
                    "type": "Microsoft.Insights/metrics",
                    "name": { "value": name, "localizedValue": name },
                    "displayDescription": name,
                    "unit": series.first().map_or("Count", |series| series.unit.as_str()),
                    "timeseries": query.time_series(&series),
                    "errorCode": "Success",
                })
            })
            .collect();
        Ok(Reply::json(
            StatusCode::OK,
            json!({
                "cost": 0,
                "timespan": format!("{}/{}", stamp(query.from), stamp(query.to)),
                "interval": query.interval_text,
                "namespace": kind,
                "resourceregion": location,
                "value": value,
            }),
        ))
    }
}

type Points = Vec<(Timestamp, f64)>;

struct Query {
    names: Vec<String>,
    from: Timestamp,
    to: Timestamp,
    interval: SignedDuration,
    interval_text: String,
    aggregations: Vec<String>,
    filters: Vec<(String, String)>,
    top: usize,
}

/// So many series Azure shows of a metric that is split, unless asked for more.
const DEFAULT_TOP: usize = 10;

impl Query {
    fn parse(request: &Received) -> Result<Self, ArmError> {
        let bad = |message: String| ArmError::new(StatusCode::BAD_REQUEST, "BadRequest", message);
        let (to, from) = match request.query("timespan") {
            Some(span) => {
                let parsed = span
                    .split_once('/')
                    .and_then(|(from, to)| Some((to.parse().ok()?, from.parse().ok()?)));
                parsed.ok_or_else(|| bad(format!("Invalid time span: {span}")))?
            }
            None => {
                let now = Timestamp::now();
                (now, now - SignedDuration::from_hours(1))
            }
        };
        let interval_text = request
            .query("interval")
            .unwrap_or_else(|| "PT1M".to_owned());
        let interval = interval_text
            .parse::<SignedDuration>()
            .ok()
            .filter(|interval| interval.as_secs() >= 60)
            .ok_or_else(|| bad(format!("Invalid interval: {interval_text}")))?;
        let words = |text: String| -> Vec<String> {
            text.split(',')
                .map(|word| word.trim().to_owned())
                .filter(|w| !w.is_empty())
                .collect()
        };
        let names = words(request.query("metricnames").unwrap_or_default());
        if names.is_empty() {
            return Err(bad("At least one metric name is required.".to_owned()));
        }
        let top = match request.query("top") {
            None => DEFAULT_TOP,
            Some(text) => text
                .parse()
                .ok()
                .filter(|top| *top > 0)
                .ok_or_else(|| bad(format!("Detected invalid TopN value: {text}")))?,
        };
        Ok(Self {
            top,
            names,
            from,
            to,
            interval,
            interval_text,
            aggregations: words(
                request
                    .query("aggregation")
                    .unwrap_or_else(|| "Average".to_owned()),
            ),
            filters: parse_filter(&request.query("$filter").unwrap_or_default()),
        })
    }

    fn filters_accept(&self, series: &MetricSeries) -> bool {
        self.filters.iter().all(|(name, wanted)| {
            series
                .dimensions
                .iter()
                .find(|(dimension, _)| dimension.eq_ignore_ascii_case(name))
                .is_some_and(|(_, value)| wanted == "*" || value.eq_ignore_ascii_case(wanted))
        })
    }

    /// One series for each value of the filtered dimensions; without a filter
    /// everything is added up.
    fn time_series(&self, series: &[&MetricSeries]) -> Value {
        let mut groups: BTreeMap<Vec<(String, String)>, Points> = BTreeMap::new();
        for one in series {
            let key = one
                .dimensions
                .iter()
                .filter(|(name, _)| {
                    self.filters
                        .iter()
                        .any(|(f, _)| f.eq_ignore_ascii_case(name))
                })
                .map(|(name, value)| (name.to_ascii_lowercase(), value.clone()))
                .collect();
            groups.entry(key).or_default().extend(&one.points);
        }
        groups
            .into_iter()
            .take(self.top)
            .map(|(dimensions, points)| {
                let metadata: Vec<Value> = dimensions
                    .into_iter()
                    .map(|(name, value)| {
                        json!({ "name": { "value": name, "localizedValue": name }, "value": value })
                    })
                    .collect();
                json!({ "metadatavalues": metadata, "data": self.data(&points) })
            })
            .collect()
    }

    fn data(&self, points: &[(Timestamp, f64)]) -> Vec<Value> {
        let mut start = self.from.round(Unit::Minute).unwrap_or(self.from);
        let mut data = Vec::new();
        // A day of minutes is as much as Azure gives for this interval.
        while start < self.to && data.len() < 1440 {
            let end = start + self.interval;
            let values: Vec<f64> = points
                .iter()
                .filter(|(at, _)| *at >= start && *at < end)
                .map(|(_, value)| *value)
                .collect();
            let mut point = json!({ "timeStamp": stamp(start) });
            for aggregation in &self.aggregations {
                if let Some(value) = aggregate(aggregation, &values) {
                    point[aggregation.to_ascii_lowercase()] = json!(value);
                }
            }
            data.push(point);
            start = end;
        }
        data
    }
}

#[allow(clippy::cast_precision_loss)]
fn aggregate(aggregation: &str, values: &[f64]) -> Option<f64> {
    if values.is_empty() {
        return None;
    }
    let total: f64 = values.iter().sum();
    Some(match aggregation.to_ascii_lowercase().as_str() {
        "total" => total,
        "count" => values.len() as f64,
        "minimum" => values.iter().copied().fold(f64::INFINITY, f64::min),
        "maximum" => values.iter().copied().fold(f64::NEG_INFINITY, f64::max),
        _ => total / values.len() as f64,
    })
}

/// `A eq 'x' and B eq '*'`, the only operators the product needs.
fn parse_filter(filter: &str) -> Vec<(String, String)> {
    filter
        .split(" and ")
        .filter_map(|clause| clause.split_once(" eq "))
        .map(|(name, value)| {
            (
                name.trim().to_owned(),
                value.trim().trim_matches('\'').to_owned(),
            )
        })
        .collect()
}

fn stamp(at: Timestamp) -> String {
    at.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}
