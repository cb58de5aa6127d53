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

/// How many of the largest answers all pages of a collection may be together.
const ANSWERS_A_LIST: u64 = 2;

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
        let mut pages = Pages::of(self);
        let mut next = Some(self.url(collection)?);
        while let Some(url) = next {
            let response = self.get(url, correlation).await?;
            let page = pages.add(&response)?;
            next = match page.get("nextLink").and_then(Value::as_str) {
                None | Some("") => None,
                Some(link) => Some(self.given_url(link, &response)?),
            };
        }
        Ok(pages.reading())
    }

    async fn list_by_action(&self, action: &ResourceId) -> Result<Reading, AzureError> {
        let correlation = Uuid::new_v4();
        let mut body = json!({});
        let mut pages = Pages::of(self);
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
            let page = pages.add(&response)?;
            match page.get("skipToken").and_then(Value::as_str) {
                None | Some("") => return Ok(pages.reading()),
                Some(token) => body = json!({ "skipToken": token }),
            }
        }
    }
}

/// The pages of a collection, within bounds: whoever answers decides how many there
/// are and how large.
struct Pages {
    items: Vec<Value>,
    pages: u32,
    bytes: u64,
    page_limit: u32,
    bytes_limit: u64,
}

impl Pages {
    fn of(client: &ArmClient) -> Self {
        let config = client.config();
        Self {
            items: Vec::new(),
            pages: 0,
            bytes: 0,
            page_limit: config.page_limit,
            bytes_limit: config.response_limit_bytes.saturating_mul(ANSWERS_A_LIST),
        }
    }

    /// Takes the items out of a page, and gives the rest of it.
    fn add(&mut self, response: &ArmResponse) -> Result<Value, AzureError> {
        self.pages += 1;
        if self.pages > self.page_limit {
            return Err(response.bad(&format!("more than {} pages", self.page_limit)));
        }
        self.bytes = self.bytes.saturating_add(response.body.len() as u64);
        if self.bytes > self.bytes_limit {
            return Err(response.bad(&format!(
                "the pages exceed {} bytes together",
                self.bytes_limit
            )));
        }
        let mut page = response.object()?;
        let Some(Value::Array(values)) = page.get_mut("value").map(Value::take) else {
            return Err(response.bad("a page without the array \"value\""));
        };
        self.items.extend(values);
        Ok(page)
    }

    fn reading(self) -> Reading {
        Reading {
            body: Value::Array(self.items).to_string(),
            version: None,
        }
    }
}
