//! Mutations.

use naosu_engine::model::{
    Effect, EffectKind,
    effect::{
        Access, Direction, FirewallRuleEffect, IpFamily, IptablesBackend, IptablesRuleEffect,
        NsgRule, UfwRuleEffect,
    },
};
use naosu_proto::v1::{self, effect::Effect as Kind};

use super::{
    Wire, WireError,
    macros::{wire_enum, wire_list, wire_message, wire_optional_and_list},
};

wire_enum!(Direction = v1::Direction { Inbound, Outbound });
wire_enum!(Access = v1::Access { Allow, Deny });
wire_enum!(IpFamily = v1::IpFamily { Ipv4, Ipv6 });
wire_enum!(IptablesBackend = v1::IptablesBackend { Nft, Legacy });
wire_enum!(
    EffectKind = v1::EffectKind {
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
);
wire_list!(EffectKind, i32);

wire_message!(
    NsgRule = v1::NsgRule {
        name,
        priority,
        direction,
        access,
        protocol,
        source_prefixes,
        source_ports,
        source_groups,
        destination_prefixes,
        destination_ports,
        destination_groups,
        description,
    }
);
wire_message!(
    FirewallRuleEffect = v1::FirewallRuleEffect {
        resource,
        collection,
        collection_priority,
        access,
        name,
        protocols,
        source_addresses,
        destination_addresses,
        destination_ports,
    }
);
wire_message!(
    UfwRuleEffect = v1::UfwRuleEffect {
        node,
        position,
        access,
        direction,
        protocol,
        source,
        destination,
        port,
    }
);
wire_message!(
    IptablesRuleEffect = v1::IptablesRuleEffect {
        node,
        family,
        backend,
        table,
        chain,
        specification,
        position,
    }
);

impl Wire<v1::Effect> for Effect {
    fn into_wire(self) -> v1::Effect {
        let nsg_rule = |nsg, rule: NsgRule| v1::NsgRuleEffect {
            nsg,
            rule: rule.into_wire(),
        };
        let kind = match self {
            Self::NsgRuleCreate { nsg, rule } => Kind::NsgRuleCreate(nsg_rule(nsg, rule)),
            Self::NsgRuleDelete { nsg, rule } => Kind::NsgRuleDelete(nsg_rule(nsg, rule)),
            Self::NsgRulesReplace { nsg, rules } => Kind::NsgRulesReplace(v1::NsgRulesEffect {
                nsg,
                rules: rules.into_wire(),
            }),
            Self::FirewallRuleAdd(rule) => Kind::FirewallRuleAdd(rule.into_wire()),
            Self::FirewallRuleRemove(rule) => Kind::FirewallRuleRemove(rule.into_wire()),
            Self::UfwRuleInsert(rule) => Kind::UfwRuleInsert(rule.into_wire()),
            Self::UfwRuleDelete(rule) => Kind::UfwRuleDelete(rule.into_wire()),
            Self::UfwEnable { node } => Kind::UfwEnable(v1::UfwEffect { node }),
            Self::UfwDisable { node } => Kind::UfwDisable(v1::UfwEffect { node }),
            Self::IptablesRuleInsert(rule) => Kind::IptablesRuleInsert(rule.into_wire()),
            Self::IptablesRuleDelete(rule) => Kind::IptablesRuleDelete(rule.into_wire()),
            Self::PodEvict { namespace, name } => {
                Kind::PodEvict(v1::PodEvictEffect { namespace, name })
            }
            Self::RolloutRestart {
                workload,
                namespace,
                name,
            } => Kind::RolloutRestart(v1::RolloutRestartEffect {
                workload,
                namespace,
                name,
            }),
            Self::ConfigMapSet {
                namespace,
                name,
                key,
                value,
            } => Kind::ConfigMapSet(v1::ConfigMapSetEffect {
                namespace,
                name,
                key,
                value,
            }),
            Self::NetworkProfileSet { cluster, patch } => {
                Kind::NetworkProfileSet(v1::NetworkProfileSetEffect {
                    cluster,
                    patch_json: patch.into_wire(),
                })
            }
            Self::ArmPatch { resource, patch } => Kind::ArmPatch(v1::ArmPatchEffect {
                resource,
                patch_json: patch.into_wire(),
            }),
            Self::KubernetesPatch { object, patch } => {
                Kind::KubernetesPatch(v1::KubernetesPatchEffect {
                    object: object.into_wire(),
                    patch_json: patch.into_wire(),
                })
            }
            Self::Manual { instruction } => Kind::Manual(v1::ManualEffect { instruction }),
        };
        v1::Effect { effect: Some(kind) }
    }

    fn from_wire(wire: v1::Effect) -> Result<Self, WireError> {
        let kind = wire.effect.ok_or_else(|| WireError::new("is missing"))?;
        Ok(match kind {
            Kind::NsgRuleCreate(v1::NsgRuleEffect { nsg, rule }) => Self::NsgRuleCreate {
                nsg,
                rule: read(rule, "nsg_rule_create.rule")?,
            },
            Kind::NsgRuleDelete(v1::NsgRuleEffect { nsg, rule }) => Self::NsgRuleDelete {
                nsg,
                rule: read(rule, "nsg_rule_delete.rule")?,
            },
            Kind::NsgRulesReplace(v1::NsgRulesEffect { nsg, rules }) => Self::NsgRulesReplace {
                nsg,
                rules: read(rules, "nsg_rules_replace.rules")?,
            },
            Kind::FirewallRuleAdd(rule) => Self::FirewallRuleAdd(read(rule, "firewall_rule_add")?),
            Kind::FirewallRuleRemove(rule) => {
                Self::FirewallRuleRemove(read(rule, "firewall_rule_remove")?)
            }
            Kind::UfwRuleInsert(rule) => Self::UfwRuleInsert(read(rule, "ufw_rule_insert")?),
            Kind::UfwRuleDelete(rule) => Self::UfwRuleDelete(read(rule, "ufw_rule_delete")?),
            Kind::UfwEnable(v1::UfwEffect { node }) => Self::UfwEnable { node },
            Kind::UfwDisable(v1::UfwEffect { node }) => Self::UfwDisable { node },
            Kind::IptablesRuleInsert(rule) => {
                Self::IptablesRuleInsert(read(rule, "iptables_rule_insert")?)
            }
            Kind::IptablesRuleDelete(rule) => {
                Self::IptablesRuleDelete(read(rule, "iptables_rule_delete")?)
            }
            Kind::PodEvict(v1::PodEvictEffect { namespace, name }) => {
                Self::PodEvict { namespace, name }
            }
            Kind::RolloutRestart(v1::RolloutRestartEffect {
                workload,
                namespace,
                name,
            }) => Self::RolloutRestart {
                workload,
                namespace,
                name,
            },
            Kind::ConfigMapSet(v1::ConfigMapSetEffect {
                namespace,
                name,
                key,
                value,
            }) => Self::ConfigMapSet {
                namespace,
                name,
                key,
                value,
            },
            Kind::NetworkProfileSet(v1::NetworkProfileSetEffect {
                cluster,
                patch_json,
            }) => Self::NetworkProfileSet {
                cluster,
                patch: read(patch_json, "network_profile_set.patch_json")?,
            },
            Kind::ArmPatch(v1::ArmPatchEffect {
                resource,
                patch_json,
            }) => Self::ArmPatch {
                resource,
                patch: read(patch_json, "arm_patch.patch_json")?,
            },
            Kind::KubernetesPatch(v1::KubernetesPatchEffect { object, patch_json }) => {
                Self::KubernetesPatch {
                    object: read(object, "kubernetes_patch.object")?,
                    patch: read(patch_json, "kubernetes_patch.patch_json")?,
                }
            }
            Kind::Manual(v1::ManualEffect { instruction }) => Self::Manual { instruction },
        })
    }
}
wire_optional_and_list!(Effect, v1::Effect);

fn read<W, T: Wire<W>>(wire: W, field: &str) -> Result<T, WireError> {
    T::from_wire(wire).map_err(|e| e.within(field))
}
