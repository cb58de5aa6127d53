//! Reads of objects and lists.

use std::future::Future;

use kube::api::{DynamicObject, ListParams};
use naosu_engine::{
    driver::Reading,
    error::{Code, Error},
    model::{ClusterId, query::ObjectRef},
};
use serde_json::{Value, json};

use super::{
    KubernetesDriver, KubernetesError,
    resource::{api_of, check_name},
};
use crate::drivers::azure::retry::Retries;

/// Objects on a page of a list.
const PAGE: u32 = 500;
/// Most pages of a list.
const PAGE_LIMIT: u32 = 200;
/// Longest list, as it is observed.
const LIST_LIMIT_BYTES: usize = 64 << 20;

impl KubernetesDriver {
    /// One object, without `managedFields`.
    ///
    /// # Errors
    /// Typed by the API server's status.
    pub async fn get(&self, cluster: &ClusterId, object: &ObjectRef) -> Result<Reading, Error> {
        check_name(object)?;
        let what = object.to_string();
        let found = self
            .read(cluster, &what, |client| async {
                let client = client;
                let api = api_of(
                    &client,
                    &object.api_version,
                    &object.kind,
                    &object.namespace,
                )
                .await?;
                api.get(&object.name)
                    .await
                    .map_err(|error| KubernetesError::of(&what, error))
            })
            .await?;
        Ok(Reading {
            version: found.metadata.resource_version.clone(),
            body: shown(found, &object.api_version, &object.kind).to_string(),
        })
    }

    /// All objects of a kind, all pages, as one JSON array.
    ///
    /// # Errors
    /// Typed by the API server's status.
    pub async fn list(
        &self,
        cluster: &ClusterId,
        api_version: &str,
        kind: &str,
        namespace: &str,
        label_selector: &str,
    ) -> Result<Reading, Error> {
        let what = format!("{kind} list");
        let (items, version) = self
            .read(cluster, &what, |client| async {
                let client = client;
                let api = api_of(&client, api_version, kind, namespace).await?;
                let mut params = ListParams::default().limit(PAGE);
                if !label_selector.is_empty() {
                    params = params.labels(label_selector);
                }
                let too_much = |limit: String| KubernetesError::TooMuch {
                    what: what.clone(),
                    limit,
                };
                let (mut items, mut bytes) = (Vec::new(), 0);
                for _ in 0..PAGE_LIMIT {
                    let page = api
                        .list(&params)
                        .await
                        .map_err(|error| KubernetesError::of(&what, error))?;
                    for item in page.items {
                        let item = shown(item, api_version, kind).to_string();
                        bytes += item.len();
                        items.push(item);
                    }
                    if bytes > LIST_LIMIT_BYTES {
                        return Err(too_much(format!("{LIST_LIMIT_BYTES} bytes")));
                    }
                    match page.metadata.continue_.filter(|token| !token.is_empty()) {
                        None => return Ok((items, page.metadata.resource_version)),
                        Some(token) => params = params.continue_token(&token),
                    }
                }
                Err(too_much(format!("{PAGE_LIMIT} pages")))
            })
            .await?;
        Ok(Reading {
            body: format!("[{}]", items.join(",")),
            version,
        })
    }

    /// Reads with a bound on time, tried again while the API server fails, and
    /// once with new credentials when it does not accept them.
    async fn read<T, F>(
        &self,
        cluster: &ClusterId,
        what: &str,
        read: impl Fn(kube::Client) -> F,
    ) -> Result<T, Error>
    where
        F: Future<Output = Result<T, KubernetesError>>,
    {
        let mut retries = Retries::new(&self.config.retry);
        let mut may_refresh = self.config.source.is_arm();
        loop {
            let waited = self.request_timeout();
            let error: Error = match self.client(cluster).await {
                Ok(client) => match tokio::time::timeout(waited, read(client)).await {
                    Ok(Ok(found)) => return Ok(found),
                    Ok(Err(error @ KubernetesError::TooMuch { .. })) => return Err(error.into()),
                    Ok(Err(error)) => error.into(),
                    Err(_) => KubernetesError::silent(what, waited).into(),
                },
                Err(error) => error,
            };
            if error.code == Code::KubernetesUnauthenticated && may_refresh {
                may_refresh = false;
                self.forget(cluster).await;
                continue;
            }
            match retries.next_delay(None) {
                Some(delay) if error.code == Code::KubernetesUnavailable => {
                    tracing::debug!(what, %error, "read of Kubernetes is tried again");
                    tokio::time::sleep(delay).await;
                }
                _ => return Err(error),
            }
        }
    }
}

/// An object as it is observed. `managedFields` is left out: it is larger than
/// the rest, and says who wrote a field and when, not what is in force.
pub(super) fn shown(mut object: DynamicObject, api_version: &str, kind: &str) -> Value {
    object.metadata.managed_fields = None;
    let mut value = json!(object);
    // Items of a list come without what says of what kind they are.
    if let Some(fields) = value.as_object_mut() {
        fields.insert("apiVersion".to_owned(), json!(api_version));
        fields.insert("kind".to_owned(), json!(kind));
    }
    value
}
