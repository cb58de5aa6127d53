//! Reads: one resource, a collection over all its pages.

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
use naosu_flow::nsg::EFFECTIVE_ADMIN_RULES;

/// Actions that only read, for which ARM wants a POST; their answers are
/// collections whose pages follow by a token.
const READING_ACTIONS: [&str; 1] = [EFFECTIVE_ADMIN_RULES];

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
}
