//! Disruption budgets.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::{Metadata, Pod};
use crate::{ObjectList, Query};

/// How many pods of a kind may be away at once.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
#[allow(missing_docs)] // the fields are Kubernetes's own
pub struct DisruptionBudget {
    pub metadata: Metadata,
    pub spec: BudgetSpec,
    pub status: BudgetStatus,
}

/// What is wanted of it.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
#[allow(missing_docs)]
pub struct BudgetSpec {
    /// Absent means that of no pod.
    pub selector: Option<LabelSelector>,
    /// Absent means `IfHealthyBudget`.
    pub unhealthy_pod_eviction_policy: String,
}

/// How it stands, as far as that was told.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
#[allow(missing_docs)]
pub struct BudgetStatus {
    pub disruptions_allowed: Option<u32>,
    pub current_healthy: Option<u32>,
    pub desired_healthy: Option<u32>,
    pub expected_pods: Option<u32>,
}

/// Which labels it takes.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
#[allow(missing_docs)]
pub struct LabelSelector {
    pub match_labels: BTreeMap<String, String>,
    pub match_expressions: Vec<LabelRequirement>,
}

/// What a label has to be.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
#[allow(missing_docs)]
pub struct LabelRequirement {
    pub key: String,
    pub operator: String,
    pub values: Vec<String>,
}

impl LabelSelector {
    /// Whether all of it holds of these labels; one that asks for nothing takes
    /// everything.
    pub fn selects(&self, labels: &BTreeMap<String, String>) -> bool {
        let mut exact = self.match_labels.iter();
        exact.all(|(key, value)| labels.get(key) == Some(value))
            && self.match_expressions.iter().all(|one| one.holds(labels))
    }
}

impl LabelRequirement {
    fn holds(&self, labels: &BTreeMap<String, String>) -> bool {
        let value = labels.get(&self.key);
        let is_among = value.is_some_and(|value| self.values.contains(value));
        match self.operator.as_str() {
            "In" => is_among,
            "NotIn" => !is_among,
            "Exists" => value.is_some(),
            "DoesNotExist" => value.is_none(),
            _ => false,
        }
    }
}

impl DisruptionBudget {
    /// Whether it is about a pod of its namespace.
    pub fn is_of(&self, pod: &Pod) -> bool {
        let selector = self.spec.selector.as_ref();
        self.metadata.namespace == pod.metadata.namespace
            && selector.is_some_and(|selector| selector.selects(&pod.metadata.labels))
    }

    /// Whether pods that are not healthy may be evicted whatever it says.
    pub fn always_allows_unhealthy(&self) -> bool {
        self.spec.unhealthy_pod_eviction_policy == "AlwaysAllow"
    }
}

/// Disruption budgets of `kube-system`.
pub fn system_budgets() -> Query {
    Query::KubernetesList(ObjectList {
        api_version: "policy/v1".into(),
        kind: "PodDisruptionBudget".into(),
        namespace: "kube-system".into(),
        label_selector: String::new(),
    })
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn is_of(selector: &Value) -> bool {
        let budget = json!({ "metadata": { "namespace": "kube-system" },
            "spec": { "selector": selector } });
        let budget: DisruptionBudget = serde_json::from_value(budget).unwrap();
        let pod = json!({ "metadata": { "namespace": "kube-system",
            "labels": { "app": "konnectivity-agent" } } });
        budget.is_of(&serde_json::from_value(pod).unwrap())
    }

    #[test]
    fn a_selector_takes_what_kubernetes_says() {
        let expression = |key: &str, operator: &str, values: &[&str]| {
            json!({ "matchExpressions": [
                { "key": key, "operator": operator, "values": values }] })
        };
        for good in [
            json!({}),
            json!({ "matchLabels": { "app": "konnectivity-agent" } }),
            expression("app", "In", &["x", "konnectivity-agent"]),
            expression("app", "NotIn", &["x"]),
            expression("other", "NotIn", &["x"]),
            expression("app", "Exists", &[]),
            expression("other", "DoesNotExist", &[]),
        ] {
            assert!(is_of(&good), "{good}");
        }
        for bad in [
            Value::Null,
            json!({ "matchLabels": { "app": "coredns" } }),
            json!({ "matchLabels": { "app": "konnectivity-agent", "other": "x" } }),
            expression("app", "In", &["x"]),
            expression("app", "NotIn", &["konnectivity-agent"]),
            expression("other", "Exists", &[]),
            expression("app", "DoesNotExist", &[]),
            expression("app", "Guess", &[]),
        ] {
            assert!(!is_of(&bad), "{bad}");
        }
    }
}
