//! From "apps/v1" and "Deployment" to where the API server keeps such objects.

use kube::{
    Api, Client,
    api::{ApiResource, DynamicObject, GroupVersionKind},
    core::gvk::GroupVersion,
    discovery,
};
use naosu_engine::model::query::ObjectRef;

use super::KubernetesError;

/// The API of one kind, in one namespace or, if that is empty, of the cluster.
///
/// # Errors
/// [`KubernetesError::Invalid`] for a kind that is none, or the API server's error
/// when it has to be asked for the kind's plural.
pub async fn api_of(
    client: &Client,
    api_version: &str,
    kind: &str,
    namespace: &str,
) -> Result<Api<DynamicObject>, KubernetesError> {
    let what = format!("{api_version} {kind}");
    let invalid = |reason: &str| KubernetesError::Invalid {
        what: crate::drivers::text::printable(&what, 200),
        reason: reason.to_owned(),
    };
    let version: GroupVersion = api_version
        .parse()
        .map_err(|_| invalid("no such API version"))?;
    let is_word = |text: &str| {
        !text.is_empty()
            && text
                .chars()
                .all(|c| c.is_ascii_alphanumeric() || "-.".contains(c))
    };
    let is_fine = is_word(kind)
        && is_word(&version.version)
        && (version.group.is_empty() || is_word(&version.group))
        && (namespace.is_empty() || is_word(namespace));
    if !is_fine {
        return Err(invalid(
            "a character that names of kinds and namespaces have not",
        ));
    }
    let gvk: GroupVersionKind = version.with_kind(kind);
    // The plurals of built-in kinds follow from their names; custom ones say.
    let built_in = !gvk.group.contains('.') || gvk.group.ends_with(".k8s.io");
    let resource = if built_in {
        ApiResource::from_gvk(&gvk)
    } else {
        discovery::pinned_kind(client, &gvk)
            .await
            .map_err(|error| KubernetesError::of(&what, error))?
            .0
    };
    Ok(if namespace.is_empty() {
        Api::all_with(client.clone(), &resource)
    } else {
        Api::namespaced_with(client.clone(), namespace, &resource)
    })
}

/// Whether this can be an object's name; others would change the URL.
///
/// # Errors
/// [`KubernetesError::Invalid`].
pub fn check_name(object: &ObjectRef) -> Result<(), KubernetesError> {
    let name = &object.name;
    let is_name = !name.is_empty()
        && name.len() <= 253
        && name.chars().any(|c| c != '.')
        && name
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || "-._:".contains(c));
    if is_name {
        Ok(())
    } else {
        Err(KubernetesError::Invalid {
            what: crate::drivers::text::printable(&object.to_string(), 200),
            reason: "no object can have this name".to_owned(),
        })
    }
}
