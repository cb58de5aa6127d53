//! Reads: one resource, a collection over all its pages, a metric.

use http::Method;
use serde_json::{Value, json};
use url::Url;
use uuid::Uuid;

use super::{
    client::{ArmClient, ArmRequest},
    error::AzureError,
    resource_id::ResourceId,
    response::ArmResponse,
};
use naosu_engine::driver::Reading;

/// Actions that only read, for which ARM wants a POST; their answers are
/// collections whose pages follow by a token.
const READING_ACTIONS: [&str; 1] = ["listNetworkManagerEffectiveSecurityAdminRules"];
/// Series of a metric that is split by dimensions: two protocols of the most nodes
/// that a cluster may have. Without it Azure leaves out all but ten, and does not
/// say so.
const METRIC_SERIES: &str = "10000";

impl ArmClient {
    /// GET of a URL, with its status checked.
    ///
    /// # Errors
    /// [`AzureError`].
    pub async fn get(&self, url: Url, correlation: Uuid) -> Result<ArmResponse, AzureError> {
        let request = ArmRequest {
            method: Method::GET,
            url,
            body: None,
            if_match: None,
            correlation,
            repeatable: true,
        };
        self.send(&request).await?.success()
    }

    /// One resource and its ETag.
    ///
    /// # Errors
    /// [`AzureError`].
    pub async fn read(&self, id: &ResourceId) -> Result<Reading, AzureError> {
        let response = self.get(self.url(id)?, Uuid::new_v4()).await?;
        let body = response.object()?;
        Ok(Reading {
            version: response.etag(&body),
            body: body.to_string(),
        })
    }

    /// All items of a collection, as one JSON array.
    ///
    /// # Errors
    /// [`AzureError::BadResponse`] when a page is not one, links to another host,
    /// or the pages do not end.
    pub async fn list(&self, collection: &ResourceId) -> Result<Reading, AzureError> {
        let last = collection.as_str().rsplit('/').next().unwrap_or_default();
        if READING_ACTIONS
            .iter()
            .any(|action| action.eq_ignore_ascii_case(last))
        {
            return self.list_by_action(collection).await;
        }
        let correlation = Uuid::new_v4();
        let mut items: Vec<Value> = Vec::new();
        let mut next = Some(self.url(collection)?);
        let mut pages = 0;
        while let Some(url) = next {
            let response = self.get(url, correlation).await?;
            pages += 1;
            if pages > self.config().page_limit {
                return Err(response.bad(&format!("more than {} pages", self.config().page_limit)));
            }
            let mut page = response.object()?;
            let Some(Value::Array(values)) = page.get_mut("value").map(Value::take) else {
                return Err(response.bad("a page without the array \"value\""));
            };
            items.extend(values);
            next = match page.get("nextLink").and_then(Value::as_str) {
                None | Some("") => None,
                Some(link) => Some(self.given_url(link, &response)?),
            };
        }
        Ok(Reading {
            body: Value::Array(items).to_string(),
            version: None,
        })
    }

    async fn list_by_action(&self, action: &ResourceId) -> Result<Reading, AzureError> {
        let correlation = Uuid::new_v4();
        let mut items: Vec<Value> = Vec::new();
        let mut body = json!({});
        let mut pages = 0;
        loop {
            let request = ArmRequest {
                method: Method::POST,
                url: self.url(action)?,
                body: Some(body),
                if_match: None,
                correlation,
                repeatable: true,
            };
            let response = self.send(&request).await?.success()?;
            pages += 1;
            if pages > self.config().page_limit {
                return Err(response.bad(&format!("more than {} pages", self.config().page_limit)));
            }
            let mut page = response.object()?;
            let Some(Value::Array(values)) = page.get_mut("value").map(Value::take) else {
                return Err(response.bad("a page without the array \"value\""));
            };
            items.extend(values);
            match page.get("skipToken").and_then(Value::as_str) {
                None | Some("") => {
                    return Ok(Reading {
                        body: Value::Array(items).to_string(),
                        version: None,
                    });
                }
                Some(token) => body = json!({ "skipToken": token }),
            }
        }
    }

    /// A metric of the last minutes, as Azure Monitor answers it.
    ///
    /// # Errors
    /// [`AzureError`].
    pub async fn metric(&self, query: &MetricQuery<'_>) -> Result<Reading, AzureError> {
        let metrics = query
            .resource
            .child("providers/Microsoft.Insights/metrics")?;
        let mut url = self.url(&metrics)?;
        let end = jiff::Timestamp::now();
        let window = jiff::SignedDuration::from_mins(i64::from(query.window_minutes.max(1)));
        let start = end.saturating_sub(window).unwrap_or(end);
        let time = |at: jiff::Timestamp| at.strftime("%Y-%m-%dT%H:%M:%SZ").to_string();
        url.query_pairs_mut()
            .append_pair("metricnames", query.metric)
            .append_pair("timespan", &format!("{}/{}", time(start), time(end)))
            .append_pair("interval", "PT1M")
            .append_pair("aggregation", query.aggregation);
        if !query.filter.is_empty() {
            url.query_pairs_mut()
                .append_pair("$filter", query.filter)
                .append_pair("top", METRIC_SERIES);
        }
        let response = self.get(url, Uuid::new_v4()).await?;
        let body = response.object()?;
        if !body.get("value").is_some_and(Value::is_array) {
            return Err(response.bad("a metric without the array \"value\""));
        }
        Ok(Reading {
            body: body.to_string(),
            version: None,
        })
    }
}

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
