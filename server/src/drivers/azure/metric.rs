//! Metrics: asked of Azure Monitor, and told in a form that has no more than was
//! measured. A thousand nodes have megabytes of the same time stamps otherwise.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};
use naosu_engine::driver::Reading;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::{client::ArmClient, error::AzureError, resource_id::ResourceId};

/// Series of a metric that is split by dimensions: two protocols of the most nodes
/// that a cluster may have. Without it Azure leaves out all but ten, and does not
/// say so.
const SERIES: &str = "10000";
const MINUTE_MS: i64 = 60_000;
/// Minutes that an answer may have beyond the window, where the window begins and
/// ends within one.
const PARTIAL_MINUTES: i64 = 2;

/// What is asked of Azure Monitor.
#[derive(Clone, Copy, Debug)]
pub struct MetricQuery<'a> {
    /// The resource measured.
    pub resource: &'a ResourceId,
    /// "SnatConnectionCount".
    pub metric: &'a str,
    /// "Total".
    pub aggregation: &'a str,
    /// OData filter, or empty.
    pub filter: &'a str,
    /// How far back, in minutes.
    pub window_minutes: u32,
}

/// Azure Monitor's answer.
/// <https://learn.microsoft.com/rest/api/monitor/metrics/list>
#[derive(Deserialize)]
struct Answer {
    value: Vec<Metric>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Metric {
    #[serde(default)]
    timeseries: Vec<Series>,
    /// "Success", or why this metric has no values.
    #[serde(default)]
    error_code: Option<String>,
    #[serde(default)]
    error_message: Option<String>,
}

#[derive(Deserialize)]
struct Series {
    #[serde(default, rename = "metadatavalues")]
    dimensions: Vec<Dimension>,
    #[serde(default)]
    data: Vec<Point>,
}

#[derive(Deserialize)]
struct Dimension {
    name: Name,
    value: String,
}

#[derive(Deserialize)]
struct Name {
    value: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Point {
    time_stamp: Timestamp,
    total: Option<f64>,
    average: Option<f64>,
    minimum: Option<f64>,
    maximum: Option<f64>,
    count: Option<f64>,
}

/// Takes one value of a point.
type Aggregation = fn(&Point) -> Option<f64>;

/// # Errors
/// What is no aggregation of Azure Monitor.
fn aggregation(name: &str) -> Result<Aggregation, String> {
    Ok(match name.to_ascii_lowercase().as_str() {
        "total" => |point| point.total,
        "average" => |point| point.average,
        "minimum" => |point| point.minimum,
        "maximum" => |point| point.maximum,
        "count" => |point| point.count,
        _ => return Err(format!("no aggregation is called {name:?}")),
    })
}

impl Point {
    /// Minutes since 1970.
    fn minute(&self) -> i64 {
        self.time_stamp.as_second().div_euclid(60)
    }
}

/// What plugins are given, as the contract's `azure-metric` says.
#[derive(Debug, PartialEq, Serialize)]
struct Measured {
    /// When the first value of every series begins, in milliseconds since 1970;
    /// absent when there is none.
    first_ms: Option<i64>,
    series: Vec<MeasuredSeries>,
}

#[derive(Debug, PartialEq, Serialize)]
struct MeasuredSeries {
    /// By their names in lower case, as Azure is not of one mind about them.
    dimensions: BTreeMap<String, String>,
    /// One a minute; `None` where nothing was measured.
    values: Vec<Option<f64>>,
}

impl Measured {
    /// # Errors
    /// What of the answer makes no sense.
    fn of(answer: Answer, aggregated: &str, window_minutes: u32) -> Result<Self, String> {
        let value = aggregation(aggregated)?;
        let mut given = Vec::new();
        for metric in answer.value {
            match metric.error_code.as_deref() {
                None | Some("" | "Success") => given.extend(metric.timeseries),
                Some(code) => {
                    let why = metric.error_message.unwrap_or_default();
                    return Err(format!("a metric with errorCode {code}: {why}"));
                }
            }
        }
        let minutes = || given.iter().flat_map(|s| &s.data).map(Point::minute);
        let (Some(first), Some(last)) = (minutes().min(), minutes().max()) else {
            let series = given
                .into_iter()
                .map(|s| MeasuredSeries::of(s, 0, 0, value));
            return Ok(Self {
                first_ms: None,
                series: series.collect(),
            });
        };
        let spanned = last.saturating_sub(first).saturating_add(1);
        if spanned > i64::from(window_minutes) + PARTIAL_MINUTES {
            return Err(format!(
                "a metric over {spanned} minutes, where {window_minutes} were asked for"
            ));
        }
        let length = usize::try_from(spanned).map_err(|e| e.to_string())?;
        let series = given
            .into_iter()
            .map(|series| MeasuredSeries::of(series, first, length, value));
        Ok(Self {
            first_ms: Some(first * MINUTE_MS),
            series: series.collect(),
        })
    }
}

impl MeasuredSeries {
    fn of(series: Series, first_minute: i64, length: usize, value: Aggregation) -> Self {
        let mut values = vec![None; length];
        for point in &series.data {
            let place = usize::try_from(point.minute() - first_minute).ok();
            if let Some(minute) = place.and_then(|place| values.get_mut(place)) {
                *minute = value(point);
            }
        }
        let dimensions = series.dimensions.into_iter();
        let dimensions = dimensions.map(|d| (d.name.value.to_ascii_lowercase(), d.value));
        Self {
            dimensions: dimensions.collect(),
            values,
        }
    }
}

impl ArmClient {
    /// A metric of the last minutes, minute by minute.
    ///
    /// # Errors
    /// [`AzureError`]; [`AzureError::BadResponse`] where the answer is no metric of
    /// that window.
    pub async fn metric(&self, query: &MetricQuery<'_>) -> Result<Reading, AzureError> {
        let metrics = query
            .resource
            .child("providers/Microsoft.Insights/metrics")?;
        let mut url = self.url(&metrics)?;
        let end = Timestamp::now();
        let window_minutes = query.window_minutes.max(1);
        let window = SignedDuration::from_mins(i64::from(window_minutes));
        let start = end.saturating_sub(window).unwrap_or(end);
        let time = |at: Timestamp| at.strftime("%Y-%m-%dT%H:%M:%SZ").to_string();
        url.query_pairs_mut()
            .append_pair("metricnames", query.metric)
            .append_pair("timespan", &format!("{}/{}", time(start), time(end)))
            .append_pair("interval", "PT1M")
            .append_pair("aggregation", query.aggregation);
        if !query.filter.is_empty() {
            url.query_pairs_mut()
                .append_pair("$filter", query.filter)
                .append_pair("top", SERIES);
        }
        let response = self.get(url, Uuid::new_v4()).await?;
        let measured = Measured::of(response.json()?, query.aggregation, window_minutes)
            .map_err(|reason| response.bad(&reason))?;
        Ok(Reading {
            body: serde_json::to_string(&measured).map_err(|e| response.bad(&e.to_string()))?,
            version: None,
        })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn measured(series: Value) -> Result<Value, String> {
        let answer = json!({ "value": [{ "timeseries": series }] });
        let answer: Answer = serde_json::from_value(answer).unwrap();
        Measured::of(answer, "Total", 60).map(|measured| serde_json::to_value(measured).unwrap())
    }

    fn dimension(name: &str, value: &str) -> Value {
        json!({ "name": { "value": name, "localizedValue": name }, "value": value })
    }

    #[test]
    fn series_that_begin_apart_are_laid_on_one_row_of_minutes() {
        let both = measured(json!([
            {
                "metadatavalues": [dimension("BackendIPAddress", "10.224.0.4")],
                "data": [
                    { "timeStamp": "2026-01-01T00:01:00Z", "total": 3.0 },
                    { "timeStamp": "2026-01-01T00:02:00Z" },
                    { "timeStamp": "2026-01-01T00:03:00Z", "total": 5.5, "average": 1.0 },
                ],
            },
            {
                "metadatavalues": [dimension("backendipaddress", "10.224.0.5")],
                "data": [{ "timeStamp": "2026-01-01T00:00:30Z", "total": 0.0 }],
            },
        ]));
        let expected = json!({
            "first_ms": 1_767_225_600_000_i64,
            "series": [
                { "dimensions": { "backendipaddress": "10.224.0.4" }, "values": [null, 3.0, null, 5.5] },
                { "dimensions": { "backendipaddress": "10.224.0.5" }, "values": [0.0, null, null, null] },
            ],
        });
        assert_eq!(both.unwrap(), expected);
    }

    #[test]
    fn a_metric_that_nobody_measured_has_series_without_values() {
        let nothing = measured(json!([{ "metadatavalues": [], "data": [] }])).unwrap();
        assert_eq!(nothing["first_ms"], Value::Null);
        assert_eq!(
            nothing["series"],
            json!([{ "dimensions": {}, "values": [] }])
        );
    }

    #[test]
    fn points_of_another_time_are_refused_before_room_is_made_for_them() {
        let far = measured(json!([{ "data": [
            { "timeStamp": "1970-01-01T00:00:00Z", "total": 1.0 },
            { "timeStamp": "9999-01-01T00:00:00Z", "total": 1.0 },
        ] }]));
        let error = far.unwrap_err();
        assert!(error.contains("where 60 were asked for"), "{error}");
    }

    #[test]
    fn an_aggregation_that_there_is_not_is_no_metric_without_values() {
        let answer: Answer = serde_json::from_value(json!({ "value": [] })).unwrap();
        let error = Measured::of(answer, "Median", 60).unwrap_err();
        assert_eq!(error, "no aggregation is called \"Median\"");
    }

    #[test]
    fn a_metric_with_an_error_is_no_metric_without_values() {
        let answer = json!({ "value": [{
            "errorCode": "MetricNotAvailable", "errorMessage": "later", "timeseries": [],
        }] });
        let answer: Answer = serde_json::from_value(answer).unwrap();
        let error = Measured::of(answer, "Total", 60).unwrap_err();
        assert_eq!(error, "a metric with errorCode MetricNotAvailable: later");
    }
}
