//! The resource types the emulated API server has, and their paths.

/// A resource type; every one is of version `v1`.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct ResourceType {
    pub group: &'static str,
    pub kind: &'static str,
    pub plural: &'static str,
    pub short: &'static [&'static str],
    pub namespaced: bool,
    pub subresources: &'static [&'static str],
}

const fn resource(
    group: &'static str,
    kind: &'static str,
    plural: &'static str,
    short: &'static [&'static str],
    namespaced: bool,
    subresources: &'static [&'static str],
) -> ResourceType {
    ResourceType {
        group,
        kind,
        plural,
        short,
        namespaced,
        subresources,
    }
}

const ADMISSION: &str = "admissionregistration.k8s.io";

/// Every type, core group first.
#[rustfmt::skip]
pub(super) const TYPES: &[ResourceType] = &[
    resource("", "Namespace", "namespaces", &["ns"], false, &[]),
    resource("", "Node", "nodes", &["no"], false, &["proxy", "status"]),
    resource("", "Pod", "pods", &["po"], true, &["eviction", "log", "exec", "attach", "portforward", "status"]),
    resource("", "ConfigMap", "configmaps", &["cm"], true, &[]),
    resource("", "Service", "services", &["svc"], true, &[]),
    resource("", "Endpoints", "endpoints", &["ep"], true, &[]),
    resource("", "Event", "events", &["ev"], true, &[]),
    resource("apps", "Deployment", "deployments", &["deploy"], true, &["scale", "status"]),
    resource("apps", "ReplicaSet", "replicasets", &["rs"], true, &["status"]),
    resource("apps", "DaemonSet", "daemonsets", &["ds"], true, &["status"]),
    resource("policy", "PodDisruptionBudget", "poddisruptionbudgets", &["pdb"], true, &["status"]),
    resource(ADMISSION, "ValidatingWebhookConfiguration", "validatingwebhookconfigurations", &[], false, &[]),
    resource(ADMISSION, "MutatingWebhookConfiguration", "mutatingwebhookconfigurations", &[], false, &[]),
];

impl ResourceType {
    pub fn find(group: &str, plural: &str) -> Option<&'static Self> {
        TYPES
            .iter()
            .find(|one| one.group == group && one.plural == plural)
    }

    pub fn of_object(api_version: &str, kind: &str) -> Option<&'static Self> {
        TYPES
            .iter()
            .find(|one| one.kind == kind && one.api_version() == api_version)
    }

    pub fn api_version(&self) -> String {
        if self.group.is_empty() {
            "v1".to_owned()
        } else {
            format!("{}/v1", self.group)
        }
    }
}

/// A request path, taken apart.
#[derive(Debug)]
pub(super) struct ResourcePath {
    pub resource: &'static ResourceType,
    pub namespace: Option<String>,
    pub name: Option<String>,
    pub subresource: Option<String>,
    /// What follows a `proxy` subresource.
    pub rest: String,
}

impl ResourcePath {
    /// Takes `/api/v1/…` and `/apis/{group}/v1/…` apart.
    pub fn parse(path: &str) -> Option<Self> {
        let mut parts = path.trim_start_matches('/').split('/').map(percent_decode);
        let group = match parts.next()?.as_str() {
            "api" => String::new(),
            "apis" => parts.next()?,
            _ => return None,
        };
        if parts.next()? != "v1" {
            return None;
        }
        let mut parts = parts.filter(|part| !part.is_empty());
        let mut plural = parts.next()?;
        let mut name = parts.next();
        let mut namespace = None;
        let mut next = parts.next();
        if plural == "namespaces" && next.is_some() {
            namespace = name.take();
            plural = next.take()?;
            name = parts.next();
            next = parts.next();
        }
        let rest: Vec<String> = parts.collect();
        Some(Self {
            resource: ResourceType::find(&group, &plural)?,
            namespace,
            name,
            subresource: next,
            rest: format!("/{}", rest.join("/")),
        })
    }
}

fn percent_decode(part: &str) -> String {
    let mut bytes = Vec::with_capacity(part.len());
    let mut rest = part.as_bytes();
    while let Some((&byte, tail)) = rest.split_first() {
        let escaped = (byte == b'%')
            .then(|| tail.get(..2))
            .flatten()
            .and_then(|digits| std::str::from_utf8(digits).ok())
            .and_then(|digits| u8::from_str_radix(digits, 16).ok());
        bytes.push(escaped.unwrap_or(byte));
        rest = match escaped {
            Some(_) => tail.get(2..).unwrap_or_default(),
            None => tail,
        };
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn namespaced_cluster_and_proxy_paths_come_apart() {
        let pod = ResourcePath::parse("/api/v1/namespaces/kube-system/pods/p/log").unwrap();
        assert_eq!(pod.resource.kind, "Pod");
        assert_eq!(pod.namespace.as_deref(), Some("kube-system"));
        assert_eq!(pod.name.as_deref(), Some("p"));
        assert_eq!(pod.subresource.as_deref(), Some("log"));
        let proxy = ResourcePath::parse("/api/v1/nodes/https%3An%3A10250/proxy/healthz/x").unwrap();
        assert_eq!(proxy.name.as_deref(), Some("https:n:10250"));
        assert_eq!(proxy.rest, "/healthz/x");
        let namespace = ResourcePath::parse("/api/v1/namespaces/default").unwrap();
        assert_eq!(namespace.resource.kind, "Namespace");
        assert_eq!(namespace.name.as_deref(), Some("default"));
        let all = ResourcePath::parse("/apis/apps/v1/deployments").unwrap();
        assert_eq!((all.namespace, all.name), (None, None));
        assert!(ResourcePath::parse("/api/v1/unknowns").is_none());
        assert!(ResourcePath::parse("/healthz").is_none());
    }
}
