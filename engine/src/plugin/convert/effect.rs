//! Effects, both ways.

use super::{
    super::{
        bindings::naosu::plugin::types as guest,
        validate::{
            Checked, JSON_BYTES, NAME_BYTES, TEXT_BYTES, arm_path, json_object, kubernetes_name,
            kubernetes_name_or_empty, line, list, malformed, one_of, port, port_or_any,
            prefix_or_tag, text, ufw_address, ufw_port,
        },
    },
    query::{object_ref, object_ref_to_guest},
};
use crate::model::{
    Effect, EffectKind,
    effect::{
        Access, Direction, FirewallRuleEffect, IpFamily, IptablesBackend, IptablesRuleEffect,
        NsgRule, UfwRuleEffect,
    },
};

const PRIORITIES: std::ops::RangeInclusive<u16> = 100..=4096;
const COLLECTION_PRIORITIES: std::ops::RangeInclusive<u16> = 100..=65000;
const DESCRIPTION_CHARS: usize = 140;

pub(in super::super) fn effect(field: &str, given: guest::Effect) -> Checked<Effect> {
    use guest::Effect as G;
    let at = |name: &str| format!("{field}.{name}");
    Ok(match given {
        G::NsgRuleCreate(e) => Effect::NsgRuleCreate {
            nsg: arm_path(&at("nsg"), e.nsg)?,
            rule: nsg_rule(&at("rule"), e.rule)?,
        },
        G::NsgRuleDelete(e) => Effect::NsgRuleDelete {
            nsg: arm_path(&at("nsg"), e.nsg)?,
            rule: nsg_rule(&at("rule"), e.rule)?,
        },
        G::NsgRulesReplace(e) => Effect::NsgRulesReplace {
            nsg: arm_path(&at("nsg"), e.nsg)?,
            rules: list(&at("rules"), e.rules, nsg_rule)?,
        },
        G::FirewallRuleAdd(e) => Effect::FirewallRuleAdd(firewall_rule(field, e)?),
        G::FirewallRuleRemove(e) => Effect::FirewallRuleRemove(firewall_rule(field, e)?),
        G::UfwRuleInsert(e) => Effect::UfwRuleInsert(ufw_rule(field, e)?),
        G::UfwRuleDelete(e) => Effect::UfwRuleDelete(ufw_rule(field, e)?),
        G::UfwEnable(node) => Effect::UfwEnable {
            node: kubernetes_name(&at("node"), node)?,
        },
        G::UfwDisable(node) => Effect::UfwDisable {
            node: kubernetes_name(&at("node"), node)?,
        },
        G::IptablesRuleInsert(e) => Effect::IptablesRuleInsert(iptables_rule(field, e)?),
        G::IptablesRuleDelete(e) => Effect::IptablesRuleDelete(iptables_rule(field, e)?),
        G::PodEvict(e) => Effect::PodEvict {
            namespace: kubernetes_name(&at("namespace"), e.namespace)?,
            name: kubernetes_name(&at("name"), e.name)?,
        },
        G::RolloutRestart(e) => Effect::RolloutRestart {
            workload: one_of(&at("kind"), e.kind, &["Deployment", "DaemonSet"])?,
            namespace: kubernetes_name(&at("namespace"), e.namespace)?,
            name: kubernetes_name(&at("name"), e.name)?,
        },
        G::ConfigMapSet(e) => Effect::ConfigMapSet {
            namespace: kubernetes_name_or_empty(&at("namespace"), e.namespace)?,
            name: kubernetes_name(&at("name"), e.name)?,
            key: kubernetes_name(&at("key"), e.key)?,
            value: text(&at("value"), e.value, JSON_BYTES)?,
        },
        G::NetworkProfileSet(e) => Effect::NetworkProfileSet {
            cluster: arm_path(&at("cluster"), e.cluster)?,
            patch: json_object(&at("patch"), &e.patch)?,
        },
        G::ArmPatch(e) => Effect::ArmPatch {
            resource: arm_path(&at("resource"), e.resource)?,
            patch: json_object(&at("patch"), &e.patch)?,
        },
        G::KubernetesPatch(e) => Effect::KubernetesPatch {
            object: object_ref(&at("object"), e.object)?,
            patch: json_object(&at("patch"), &e.patch)?,
        },
        G::Manual(instruction) => Effect::Manual {
            instruction: text(&at("manual"), instruction, TEXT_BYTES)?,
        },
    })
}

fn nsg_rule(field: &str, given: guest::NsgRule) -> Checked<NsgRule> {
    let at = |name: &str| format!("{field}.{name}");
    if !PRIORITIES.contains(&given.priority) {
        return malformed(
            &at("priority"),
            format!("{} is not 100 to 4096", given.priority),
        );
    }
    let is_name = !given.name.is_empty()
        && given.name.len() <= 80
        && given.name.starts_with(|c: char| c.is_alphanumeric())
        && given
            .name
            .chars()
            .all(|c| c.is_alphanumeric() || "-_.".contains(c));
    if !is_name {
        return malformed(
            &at("name"),
            "not a name of at most 80 letters, digits, _ . -",
        );
    }
    if given.description.chars().count() > DESCRIPTION_CHARS {
        return malformed(&at("description"), "longer than 140 characters");
    }
    let protocols = ["Tcp", "Udp", "Icmp", "Esp", "Ah", "*"];
    Ok(NsgRule {
        name: given.name,
        priority: given.priority,
        direction: direction(given.direction),
        access: access(given.access),
        protocol: one_of(&at("protocol"), given.protocol, &protocols)?,
        source_prefixes: list(&at("source-prefixes"), given.source_prefixes, prefix_or_tag)?,
        source_ports: list(&at("source-ports"), given.source_ports, port_or_any)?,
        source_groups: list(&at("source-groups"), given.source_groups, arm_path)?,
        destination_prefixes: list(
            &at("destination-prefixes"),
            given.destination_prefixes,
            prefix_or_tag,
        )?,
        destination_ports: list(
            &at("destination-ports"),
            given.destination_ports,
            port_or_any,
        )?,
        destination_groups: list(
            &at("destination-groups"),
            given.destination_groups,
            arm_path,
        )?,
        description: given.description,
    })
}

fn firewall_rule(field: &str, given: guest::FirewallRuleEffect) -> Checked<FirewallRuleEffect> {
    let at = |name: &str| format!("{field}.{name}");
    if !COLLECTION_PRIORITIES.contains(&given.collection_priority) {
        let reason = format!("{} is not 100 to 65000", given.collection_priority);
        return malformed(&at("collection-priority"), reason);
    }
    let protocol =
        |field: &str, value: String| one_of(field, value, &["TCP", "UDP", "ICMP", "Any"]);
    let rule = given.rule;
    Ok(FirewallRuleEffect {
        resource: arm_path(&at("resource"), given.resource)?,
        collection: line(&at("collection"), given.collection, NAME_BYTES)?,
        collection_priority: given.collection_priority,
        access: access(given.access),
        name: line(&at("rule.name"), rule.name, NAME_BYTES)?,
        protocols: list(&at("rule.protocols"), rule.protocols, protocol)?,
        source_addresses: list(
            &at("rule.source-addresses"),
            rule.source_addresses,
            prefix_or_tag,
        )?,
        destination_addresses: list(
            &at("rule.destination-addresses"),
            rule.destination_addresses,
            prefix_or_tag,
        )?,
        destination_ports: list(&at("rule.destination-ports"), rule.destination_ports, port)?,
    })
}

fn ufw_rule(field: &str, given: guest::UfwRuleEffect) -> Checked<UfwRuleEffect> {
    let at = |name: &str| format!("{field}.{name}");
    let rule = given.rule;
    Ok(UfwRuleEffect {
        node: kubernetes_name(&at("node"), given.node)?,
        position: given.position,
        access: access(rule.access),
        direction: direction(rule.direction),
        protocol: one_of(&at("rule.protocol"), rule.protocol, &["tcp", "udp", "any"])?,
        source: ufw_address(&at("rule.source"), rule.source)?,
        destination: ufw_address(&at("rule.destination"), rule.destination)?,
        port: ufw_port(&at("rule.port"), rule.port)?,
    })
}

fn iptables_rule(field: &str, given: guest::IptablesRuleEffect) -> Checked<IptablesRuleEffect> {
    let at = |name: &str| format!("{field}.{name}");
    let tables = ["filter", "nat", "mangle", "raw", "security"];
    let is_chain = !given.chain.is_empty()
        && given.chain.len() <= 28
        && !given.chain.starts_with('-')
        && given.chain.bytes().all(|b| b.is_ascii_graphic());
    if !is_chain {
        return malformed(&at("chain"), "not a chain name");
    }
    Ok(IptablesRuleEffect {
        node: kubernetes_name(&at("node"), given.node)?,
        family: match given.family {
            guest::IpFamily::Ipv4 => IpFamily::Ipv4,
            guest::IpFamily::Ipv6 => IpFamily::Ipv6,
        },
        backend: match given.backend {
            guest::IptablesBackend::Nft => IptablesBackend::Nft,
            guest::IptablesBackend::Legacy => IptablesBackend::Legacy,
        },
        table: one_of(&at("table"), given.table, &tables)?,
        chain: given.chain,
        specification: line(&at("specification"), given.specification, TEXT_BYTES)?,
        position: given.position,
    })
}

fn access(given: guest::Access) -> Access {
    match given {
        guest::Access::Allow => Access::Allow,
        guest::Access::Deny => Access::Deny,
    }
}

fn direction(given: guest::Direction) -> Direction {
    match given {
        guest::Direction::Inbound => Direction::Inbound,
        guest::Direction::Outbound => Direction::Outbound,
    }
}

fn access_to_guest(access: Access) -> guest::Access {
    match access {
        Access::Allow => guest::Access::Allow,
        Access::Deny => guest::Access::Deny,
    }
}

fn direction_to_guest(direction: Direction) -> guest::Direction {
    match direction {
        Direction::Inbound => guest::Direction::Inbound,
        Direction::Outbound => guest::Direction::Outbound,
    }
}

pub(in super::super) fn effect_to_guest(effect: &Effect) -> guest::Effect {
    use guest::Effect as G;
    match effect.clone() {
        Effect::NsgRuleCreate { nsg, rule } => G::NsgRuleCreate(guest::NsgRuleEffect {
            nsg,
            rule: nsg_rule_to_guest(rule),
        }),
        Effect::NsgRuleDelete { nsg, rule } => G::NsgRuleDelete(guest::NsgRuleEffect {
            nsg,
            rule: nsg_rule_to_guest(rule),
        }),
        Effect::NsgRulesReplace { nsg, rules } => G::NsgRulesReplace(guest::NsgRulesEffect {
            nsg,
            rules: rules.into_iter().map(nsg_rule_to_guest).collect(),
        }),
        Effect::FirewallRuleAdd(e) => G::FirewallRuleAdd(firewall_rule_to_guest(e)),
        Effect::FirewallRuleRemove(e) => G::FirewallRuleRemove(firewall_rule_to_guest(e)),
        Effect::UfwRuleInsert(e) => G::UfwRuleInsert(ufw_rule_to_guest(e)),
        Effect::UfwRuleDelete(e) => G::UfwRuleDelete(ufw_rule_to_guest(e)),
        Effect::UfwEnable { node } => G::UfwEnable(node),
        Effect::UfwDisable { node } => G::UfwDisable(node),
        Effect::IptablesRuleInsert(e) => G::IptablesRuleInsert(iptables_rule_to_guest(e)),
        Effect::IptablesRuleDelete(e) => G::IptablesRuleDelete(iptables_rule_to_guest(e)),
        Effect::PodEvict { namespace, name } => G::PodEvict(guest::PodEffect { namespace, name }),
        Effect::RolloutRestart {
            workload,
            namespace,
            name,
        } => G::RolloutRestart(guest::WorkloadEffect {
            kind: workload,
            namespace,
            name,
        }),
        Effect::ConfigMapSet {
            namespace,
            name,
            key,
            value,
        } => G::ConfigMapSet(guest::ConfigMapEffect {
            namespace,
            name,
            key,
            value,
        }),
        Effect::NetworkProfileSet { cluster, patch } => {
            G::NetworkProfileSet(guest::NetworkProfileEffect {
                cluster,
                patch: patch.to_string(),
            })
        }
        Effect::ArmPatch { resource, patch } => G::ArmPatch(guest::ArmPatch {
            resource,
            patch: patch.to_string(),
        }),
        Effect::KubernetesPatch { object, patch } => G::KubernetesPatch(guest::KubernetesPatch {
            object: object_ref_to_guest(&object),
            patch: patch.to_string(),
        }),
        Effect::Manual { instruction } => G::Manual(instruction),
    }
}

fn nsg_rule_to_guest(rule: NsgRule) -> guest::NsgRule {
    guest::NsgRule {
        name: rule.name,
        priority: rule.priority,
        direction: direction_to_guest(rule.direction),
        access: access_to_guest(rule.access),
        protocol: rule.protocol,
        source_prefixes: rule.source_prefixes,
        source_ports: rule.source_ports,
        source_groups: rule.source_groups,
        destination_prefixes: rule.destination_prefixes,
        destination_ports: rule.destination_ports,
        destination_groups: rule.destination_groups,
        description: rule.description,
    }
}

fn firewall_rule_to_guest(effect: FirewallRuleEffect) -> guest::FirewallRuleEffect {
    guest::FirewallRuleEffect {
        resource: effect.resource,
        collection: effect.collection,
        collection_priority: effect.collection_priority,
        access: access_to_guest(effect.access),
        rule: guest::FirewallRule {
            name: effect.name,
            protocols: effect.protocols,
            source_addresses: effect.source_addresses,
            destination_addresses: effect.destination_addresses,
            destination_ports: effect.destination_ports,
        },
    }
}

fn ufw_rule_to_guest(effect: UfwRuleEffect) -> guest::UfwRuleEffect {
    guest::UfwRuleEffect {
        node: effect.node,
        position: effect.position,
        rule: guest::UfwRule {
            access: access_to_guest(effect.access),
            direction: direction_to_guest(effect.direction),
            protocol: effect.protocol,
            source: effect.source,
            destination: effect.destination,
            port: effect.port,
        },
    }
}

fn iptables_rule_to_guest(effect: IptablesRuleEffect) -> guest::IptablesRuleEffect {
    guest::IptablesRuleEffect {
        node: effect.node,
        family: match effect.family {
            IpFamily::Ipv4 => guest::IpFamily::Ipv4,
            IpFamily::Ipv6 => guest::IpFamily::Ipv6,
        },
        backend: match effect.backend {
            IptablesBackend::Nft => guest::IptablesBackend::Nft,
            IptablesBackend::Legacy => guest::IptablesBackend::Legacy,
        },
        table: effect.table,
        chain: effect.chain,
        specification: effect.specification,
        position: effect.position,
    }
}

/// The kind that a guest declares.
pub(in super::super) fn kind(kind: guest::EffectKind) -> EffectKind {
    use guest::EffectKind as G;
    match kind {
        G::NsgRuleCreate => EffectKind::NsgRuleCreate,
        G::NsgRuleDelete => EffectKind::NsgRuleDelete,
        G::NsgRulesReplace => EffectKind::NsgRulesReplace,
        G::FirewallRuleAdd => EffectKind::FirewallRuleAdd,
        G::FirewallRuleRemove => EffectKind::FirewallRuleRemove,
        G::UfwRuleInsert => EffectKind::UfwRuleInsert,
        G::UfwRuleDelete => EffectKind::UfwRuleDelete,
        G::UfwEnable => EffectKind::UfwEnable,
        G::UfwDisable => EffectKind::UfwDisable,
        G::IptablesRuleInsert => EffectKind::IptablesRuleInsert,
        G::IptablesRuleDelete => EffectKind::IptablesRuleDelete,
        G::PodEvict => EffectKind::PodEvict,
        G::RolloutRestart => EffectKind::RolloutRestart,
        G::ConfigMapSet => EffectKind::ConfigMapSet,
        G::NetworkProfileSet => EffectKind::NetworkProfileSet,
        G::ArmPatch => EffectKind::ArmPatch,
        G::KubernetesPatch => EffectKind::KubernetesPatch,
        G::Manual => EffectKind::Manual,
    }
}
