//! The closed list of mutations. Only a driver performs one, only for an
//! approved step, only under the journal.

pub use naosu_flow::nsg::{Access, Direction, NsgRule};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::query::ObjectRef;

/// One typed mutation. Mirrors `effect` of the plugin contract.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Effect {
    /// Creates a rule that is not there yet.
    NsgRuleCreate {
        /// ARM id of the network security group.
        nsg: String,
        /// The rule.
        rule: NsgRule,
    },
    /// Deletes a rule that is still exactly this.
    NsgRuleDelete {
        /// ARM id of the network security group.
        nsg: String,
        /// The rule as it must be for the delete to go ahead.
        rule: NsgRule,
    },
    /// Replaces all custom rules in one write under the group's ETag.
    NsgRulesReplace {
        /// ARM id of the network security group.
        nsg: String,
        /// All custom rules afterwards.
        rules: Vec<NsgRule>,
    },
    /// Adds a network rule to an Azure Firewall or a rule collection group.
    FirewallRuleAdd(FirewallRuleEffect),
    /// Removes a network rule that is still exactly this.
    FirewallRuleRemove(FirewallRuleEffect),
    /// `ufw insert`, or append for position 0.
    UfwRuleInsert(UfwRuleEffect),
    /// `ufw delete` of a rule that is still there.
    UfwRuleDelete(UfwRuleEffect),
    /// `ufw --force enable`.
    UfwEnable {
        /// Kubernetes node name.
        node: String,
    },
    /// `ufw disable`.
    UfwDisable {
        /// Kubernetes node name.
        node: String,
    },
    /// Inserts a rule at a position.
    IptablesRuleInsert(IptablesRuleEffect),
    /// Deletes the rule that is still at this position with this specification.
    IptablesRuleDelete(IptablesRuleEffect),
    /// Eviction API.
    PodEvict {
        /// Namespace.
        namespace: String,
        /// Pod name.
        name: String,
    },
    /// `kubectl rollout restart`.
    RolloutRestart {
        /// "Deployment" or "DaemonSet".
        workload: String,
        /// Namespace.
        namespace: String,
        /// Name.
        name: String,
    },
    /// Sets one key of a ConfigMap.
    ConfigMapSet {
        /// Namespace.
        namespace: String,
        /// Name.
        name: String,
        /// Key under `data`.
        key: String,
        /// Its value.
        value: String,
    },
    /// Merges into `properties.networkProfile` of the managed cluster.
    NetworkProfileSet {
        /// ARM id of the managed cluster.
        cluster: String,
        /// JSON merge patch (RFC 7386).
        patch: serde_json::Value,
    },
    /// Any ARM resource: highest risk.
    ArmPatch {
        /// ARM id.
        resource: String,
        /// JSON merge patch of the whole resource.
        patch: serde_json::Value,
    },
    /// Any Kubernetes object: highest risk.
    KubernetesPatch {
        /// Which.
        object: ObjectRef,
        /// JSON merge patch.
        patch: serde_json::Value,
    },
    /// Something only a person can do.
    Manual {
        /// The exact instruction.
        instruction: String,
    },
}

macro_rules! kinds {
    ($($variant:ident,)*) => {
        /// The kinds of [`Effect`], without their content.
        #[derive(
            Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema,
        )]
        #[serde(rename_all = "snake_case")]
        #[allow(missing_docs)] // each is documented at the variant of Effect
        pub enum EffectKind {
            $($variant,)*
        }

        impl EffectKind {
            /// All kinds.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)*];
        }
    };
}

kinds! {
    NsgRuleCreate,
    NsgRuleDelete,
    NsgRulesReplace,
    FirewallRuleAdd,
    FirewallRuleRemove,
    UfwRuleInsert,
    UfwRuleDelete,
    UfwEnable,
    UfwDisable,
    IptablesRuleInsert,
    IptablesRuleDelete,
    PodEvict,
    RolloutRestart,
    ConfigMapSet,
    NetworkProfileSet,
    ArmPatch,
    KubernetesPatch,
    Manual,
}

impl Effect {
    /// Its kind.
    pub fn kind(&self) -> EffectKind {
        match self {
            Self::NsgRuleCreate { .. } => EffectKind::NsgRuleCreate,
            Self::NsgRuleDelete { .. } => EffectKind::NsgRuleDelete,
            Self::NsgRulesReplace { .. } => EffectKind::NsgRulesReplace,
            Self::FirewallRuleAdd(_) => EffectKind::FirewallRuleAdd,
            Self::FirewallRuleRemove(_) => EffectKind::FirewallRuleRemove,
            Self::UfwRuleInsert(_) => EffectKind::UfwRuleInsert,
            Self::UfwRuleDelete(_) => EffectKind::UfwRuleDelete,
            Self::UfwEnable { .. } => EffectKind::UfwEnable,
            Self::UfwDisable { .. } => EffectKind::UfwDisable,
            Self::IptablesRuleInsert(_) => EffectKind::IptablesRuleInsert,
            Self::IptablesRuleDelete(_) => EffectKind::IptablesRuleDelete,
            Self::PodEvict { .. } => EffectKind::PodEvict,
            Self::RolloutRestart { .. } => EffectKind::RolloutRestart,
            Self::ConfigMapSet { .. } => EffectKind::ConfigMapSet,
            Self::NetworkProfileSet { .. } => EffectKind::NetworkProfileSet,
            Self::ArmPatch { .. } => EffectKind::ArmPatch,
            Self::KubernetesPatch { .. } => EffectKind::KubernetesPatch,
            Self::Manual { .. } => EffectKind::Manual,
        }
    }
}

/// A network rule of an Azure Firewall and the collection that holds it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct FirewallRuleEffect {
    /// ARM id of the firewall (classic) or of the rule collection group.
    pub resource: String,
    /// Name of the collection.
    pub collection: String,
    /// Priority, used when the collection has to be made (100–65000).
    pub collection_priority: u16,
    /// Action of the collection.
    pub access: Access,
    /// Name of the rule.
    pub name: String,
    /// "TCP", "UDP", "ICMP" or "Any".
    pub protocols: Vec<String>,
    /// Addresses, prefixes, ranges or service tags.
    pub source_addresses: Vec<String>,
    /// Addresses, prefixes, ranges or service tags.
    pub destination_addresses: Vec<String>,
    /// "9000" or "9000-9001".
    pub destination_ports: Vec<String>,
}

/// A ufw rule and its place.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct UfwRuleEffect {
    /// Kubernetes node name.
    pub node: String,
    /// 1 is first, 0 appends.
    pub position: u32,
    /// Allow or deny.
    pub access: Access,
    /// In or out.
    pub direction: Direction,
    /// "tcp", "udp" or "any".
    pub protocol: String,
    /// Prefix or "any".
    pub source: String,
    /// Prefix or "any".
    pub destination: String,
    /// "10250" or "30000:32767".
    pub port: String,
}

/// IP version.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[allow(missing_docs)]
pub enum IpFamily {
    Ipv4,
    Ipv6,
}

/// Which of the two kernel interfaces holds the rule. Both apply to packets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[allow(missing_docs)]
pub enum IptablesBackend {
    Nft,
    Legacy,
}

/// An iptables rule and its place.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct IptablesRuleEffect {
    /// Kubernetes node name.
    pub node: String,
    /// IP version.
    pub family: IpFamily,
    /// nft or legacy.
    pub backend: IptablesBackend,
    /// "filter".
    pub table: String,
    /// "INPUT".
    pub chain: String,
    /// As `iptables-save` prints it, without "-A CHAIN".
    pub specification: String,
    /// 1 is first.
    pub position: u32,
}
