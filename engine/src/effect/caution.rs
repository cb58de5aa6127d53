//! How much can go wrong with a step, and what the approver must know.

use naosu_flow::delta::FlowBox;

use super::facts::ClusterFacts;
use crate::{
    error::{Code, Error},
    model::{Delta, Effect, Inverse, Risk, Warning},
};

/// Risk and warnings of one step.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Caution {
    /// How much can go wrong.
    pub risk: Risk,
    /// What the approver must know.
    pub warnings: Vec<Warning>,
}

impl Caution {
    fn warn(&mut self, code: &str, message: impl Into<String>) {
        self.warnings.push(Warning {
            code: code.to_owned(),
            message: message.into(),
        });
    }

    fn at_least(&mut self, risk: Risk) {
        self.risk = self.risk.max(risk);
    }

    /// Whatever the step's risk is otherwise, it is higher where its packets are not
    /// known, and never below high.
    fn delta_unknown(&mut self, message: String) {
        self.warn("delta_partly_unknown", message);
        self.risk = self.risk.raised();
        self.at_least(Risk::High);
    }
}

/// The ARM resource or the node that an effect writes to.
enum Touches<'a> {
    Resource(&'a str),
    Node(&'a str),
    Object(&'a str),
    Nothing,
}

/// Where AKS keeps its own objects.
const AKS_NAMESPACE: &str = "kube-system";

fn touches(effect: &Effect) -> Touches<'_> {
    match effect {
        Effect::NsgRuleCreate { nsg, .. }
        | Effect::NsgRuleDelete { nsg, .. }
        | Effect::NsgRulesReplace { nsg, .. } => Touches::Resource(nsg),
        Effect::FirewallRuleAdd(rule) | Effect::FirewallRuleRemove(rule) => {
            Touches::Resource(&rule.resource)
        }
        Effect::NetworkProfileSet { cluster, .. } => Touches::Resource(cluster),
        Effect::ArmPatch { resource, .. } => Touches::Resource(resource),
        Effect::UfwRuleInsert(rule) | Effect::UfwRuleDelete(rule) => Touches::Node(&rule.node),
        Effect::UfwEnable { node } | Effect::UfwDisable { node } => Touches::Node(node),
        Effect::IptablesRuleInsert(rule) | Effect::IptablesRuleDelete(rule) => {
            Touches::Node(&rule.node)
        }
        Effect::RolloutRestart { namespace, .. } | Effect::ConfigMapSet { namespace, .. } => {
            Touches::Object(namespace)
        }
        Effect::KubernetesPatch { object, .. } => Touches::Object(&object.namespace),
        // An evicted pod is gone; nothing of it is left for AKS to put back.
        Effect::PodEvict { .. } | Effect::Manual { .. } => Touches::Nothing,
    }
}

fn base_risk(effect: &Effect) -> Risk {
    match effect {
        Effect::PodEvict { .. } | Effect::RolloutRestart { .. } | Effect::Manual { .. } => {
            Risk::Low
        }
        Effect::NsgRuleCreate { .. }
        | Effect::NsgRuleDelete { .. }
        | Effect::FirewallRuleAdd(_)
        | Effect::FirewallRuleRemove(_)
        | Effect::UfwRuleInsert(_)
        | Effect::UfwRuleDelete(_)
        | Effect::IptablesRuleInsert(_)
        | Effect::IptablesRuleDelete(_)
        | Effect::ConfigMapSet { .. } => Risk::Medium,
        Effect::NsgRulesReplace { .. }
        | Effect::UfwEnable { .. }
        | Effect::UfwDisable { .. }
        | Effect::NetworkProfileSet { .. } => Risk::High,
        Effect::ArmPatch { .. } | Effect::KubernetesPatch { .. } => Risk::Highest,
    }
}

/// What holds of every plan for a cluster, whatever its steps.
pub fn of_cluster(facts: &ClusterFacts) -> Vec<Warning> {
    if !facts.is_private {
        return Vec::new();
    }
    vec![Warning {
        code: "private_cluster".to_owned(),
        message: "the API server has a private address only: whoever checks the result with \
                  kubectl must be in its network, or use `az aks command invoke`"
            .to_owned(),
    }]
}

/// Judges one step.
///
/// # Errors
/// `infeasible_here` when the cluster does not allow it, with what can be done
/// instead.
pub fn assess(
    effect: &Effect,
    facts: &ClusterFacts,
    inverse: &Inverse,
    delta: &Delta,
) -> Result<Caution, Error> {
    let mut caution = Caution {
        risk: base_risk(effect),
        warnings: Vec::new(),
    };
    match touches(effect) {
        Touches::Resource(resource) if facts.manages(resource) => {
            managed(&mut caution, resource, facts)?
        }
        Touches::Node(node) => on_node(&mut caution, node, facts)?,
        Touches::Object(AKS_NAMESPACE) => caution.warn(
            "aks_reconciles",
            "AKS manages the objects that it keeps in kube-system, such as the konnectivity-agent \
             and the ConfigMap of its autoscaler, and may put its own state back, for instance \
             when the cluster is upgraded",
        ),
        _ => {}
    }
    match effect {
        Effect::NetworkProfileSet { patch, .. } if patch.get("outboundType").is_some() => {
            caution.warn(
                "disruptive",
                "changing the outbound type cuts open connections and changes the egress address; \
                 allow lists elsewhere may have to follow",
            );
            caution.at_least(Risk::Highest);
        }
        Effect::UfwEnable { .. } => caution.warn(
            "disruptive",
            "enabling ufw sets INPUT and FORWARD to drop by default, which can stop pod traffic",
        ),
        _ => {}
    }
    if let Inverse::Irreversible { reason } = inverse {
        caution.warn("irreversible", format!("it cannot be taken back: {reason}"));
    }
    packets(&mut caution, delta);
    Ok(caution)
}

/// In the group that AKS keeps for itself.
fn managed(caution: &mut Caution, resource: &str, facts: &ClusterFacts) -> Result<(), Error> {
    if facts.is_locked_down {
        return Err(Error::new(
            Code::InfeasibleHere,
            format!(
                "{resource} is in the node resource group {}, which is locked down to reading",
                facts.node_resource_group
            ),
            "put the rule on a security group of your own on a custom subnet, or have AKS lift \
             the lockdown: `az aks update --nrg-lockdown-restriction-level Unrestricted`",
        ));
    }
    caution.warn(
        "managed_nsg_reset",
        format!(
            "{} is AKS's own, in node resource group {}: AKS supports no edits there and resets \
             them, for instance when a node pool is added",
            resource.rsplit('/').next().unwrap_or(resource),
            facts.node_resource_group
        ),
    );
    caution.warn(
        "aks_unsupported",
        "AKS supports such edits on custom subnets only",
    );
    caution.at_least(Risk::High);
    Ok(())
}

fn on_node(caution: &mut Caution, node: &str, facts: &ClusterFacts) -> Result<(), Error> {
    if facts.is_locked_down {
        return Err(Error::new(
            Code::InfeasibleHere,
            format!(
                "node {node} is in the node resource group {}, which is locked down to reading, \
                 so no command can be run on it",
                facts.node_resource_group
            ),
            "reimage the node (`az aks nodepool upgrade --node-image-only`), and set firewall \
             rules by a DaemonSet or a custom node configuration",
        ));
    }
    caution.warn(
        "aks_unsupported",
        format!(
            "AKS does not support changing the firewall of node {node}; the change is lost when \
             the node is reimaged, upgraded or replaced"
        ),
    );
    caution.at_least(Risk::High);
    Ok(())
}

fn in_short(flow: &FlowBox) -> String {
    let mut words = format!(
        "{} {} from {} to {}",
        flow.direction,
        flow.protocol,
        flow.sources_in_words(),
        flow.destinations_in_words()
    );
    if !flow.ports.is_empty() {
        words.push_str(&format!(" port {}", flow.ports.join(", ")));
    }
    words
}

/// Last, because it raises what all else makes of the risk.
fn packets(caution: &mut Caution, delta: &Delta) {
    match delta {
        Delta::NotAFirewall => {}
        Delta::Computed { report, excess } => {
            if !excess.is_empty() {
                caution.warn(
                    "wider_than_needed",
                    format!(
                        "it opens more than the finding needs: {}",
                        excess
                            .iter()
                            .map(in_short)
                            .take(5)
                            .collect::<Vec<_>>()
                            .join("; ")
                    ),
                );
                caution.at_least(Risk::High);
            }
            if report.is_partly_unknown() {
                let names: Vec<&str> = report.atoms.iter().map(|a| a.name.as_str()).collect();
                caution.delta_unknown(format!(
                    "which packets it changes depends on: {}",
                    names.join("; ")
                ));
            }
        }
        Delta::Unknown { error } => caution.delta_unknown(format!(
            "which packets it changes is not known: {}",
            error.message
        )),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn codes(effect: &Effect) -> Vec<String> {
        let inverse = Inverse::Effect {
            effect: effect.clone(),
        };
        let facts = ClusterFacts::default();
        let caution = assess(effect, &facts, &inverse, &Delta::NotAFirewall).unwrap();
        caution.warnings.into_iter().map(|w| w.code).collect()
    }

    #[test]
    fn what_aks_may_put_back_is_warned_of_in_its_own_namespace_only() {
        let set = |namespace: &str| Effect::ConfigMapSet {
            namespace: namespace.into(),
            name: "konnectivity-agent-autoscaler".into(),
            key: "ladder".into(),
            value: "{}".into(),
        };
        assert_eq!(codes(&set("kube-system")), ["aks_reconciles"]);
        assert!(codes(&set("mine")).is_empty());
        let restart = Effect::RolloutRestart {
            workload: "Deployment".into(),
            namespace: "kube-system".into(),
            name: "konnectivity-agent".into(),
        };
        assert_eq!(codes(&restart), ["aks_reconciles"]);
        let patch = Effect::KubernetesPatch {
            object: crate::model::query::ObjectRef {
                api_version: "apps/v1".into(),
                kind: "Deployment".into(),
                namespace: "kube-system".into(),
                name: "konnectivity-agent".into(),
            },
            patch: json!({}),
        };
        assert_eq!(codes(&patch), ["aks_reconciles"]);
        let evict = Effect::PodEvict {
            namespace: "kube-system".into(),
            name: "konnectivity-agent-1".into(),
        };
        assert!(codes(&evict).is_empty());
    }
}
