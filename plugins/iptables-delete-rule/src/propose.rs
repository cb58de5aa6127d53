//! The rules to delete: as many as have to go for the packets to pass.

use naosu_plugin::{
    Cluster, Effect, Finding, IpFamily, IptablesBackend, IptablesRuleEffect, KUBELET_PORT,
    PluginError, Proposal, Reads, Step,
    flow::iptables::{Backend, DecidedBy, Family, Hook, NodeFirewall, RulePlace},
    node_firewall::{JudgedNode, NodeBlock, is_ufws},
    step,
};

use crate::{
    blocks::{is_deletable, own_blocks, program},
    judge,
};

/// Most rules deleted on a node: beyond it the ruleset wants another look.
const RULES: usize = 100;

pub fn plan(
    reads: &dyn Reads,
    cluster: &Cluster,
    finding: &Finding,
) -> Result<Proposal, PluginError> {
    let judged = judge::judge_found(reads, cluster, finding)?;
    let mut steps = Vec::new();
    let mut warnings = Vec::new();
    for (name, ways) in judged.by_node() {
        if ways.iter().any(|way| own_blocks(way).next().is_some()) {
            steps.extend(deletions(&ways)?);
        }
        let by_ufw = |way: &&JudgedNode| {
            let firewall = way.firewall.as_ref().ok();
            let mut blocks = way.blocks.iter();
            blocks.any(|block| firewall.is_some_and(|rules| is_ufws(&block.by, &rules.value)))
        };
        if ways.iter().any(by_ufw) {
            warnings.push(format!("ufw blocks it on node {name} too"));
        }
    }
    if steps.is_empty() {
        return Err(PluginError::NothingToDo(judged.summary));
    }
    if let Some(reason) = judged.infeasible {
        return Err(PluginError::Infeasible(reason));
    }
    Ok(Proposal {
        summary: format!("Delete the rules that keep TCP {KUBELET_PORT} out"),
        steps,
        warnings,
    })
}

/// Deletes blocking rules of a node in thought until none is left on any way, then
/// says which. Those of one chain go from the last to the first, so that numbers
/// stay right.
fn deletions(ways: &[&JudgedNode]) -> Result<Vec<Step>, PluginError> {
    let Some(node) = ways.first() else {
        return Ok(Vec::new());
    };
    let Ok(observed) = &node.firewall else {
        return Ok(Vec::new());
    };
    let mut firewall = observed.value.clone();
    let mut places: Vec<RulePlace> = Vec::new();
    while let Some((hook, block)) = first_block(ways, &firewall)? {
        let DecidedBy::Rule(place) = &block.by else {
            return Err(kept(node, &block.by));
        };
        if !is_deletable(hook, &block) || places.len() >= RULES {
            return Err(kept(node, &block.by));
        }
        remove(&mut firewall, place);
        places.push(as_observed(place, &places));
    }
    places.sort_by(|a, b| {
        let key = |place: &RulePlace| {
            (
                place.family,
                place.backend,
                place.table,
                place.chain.clone(),
            )
        };
        key(a).cmp(&key(b)).then(b.number.cmp(&a.number))
    });
    Ok(places.iter().map(|place| deletion(node, place)).collect())
}

fn first_block(
    ways: &[&JudgedNode],
    firewall: &NodeFirewall,
) -> Result<Option<(Hook, NodeBlock)>, PluginError> {
    for way in ways {
        let (blocks, _) = way.decide(firewall)?;
        let mut own = blocks
            .into_iter()
            .filter(|block| !is_ufws(&block.by, firewall));
        if let Some(block) = own.next() {
            return Ok(Some((way.hook, block)));
        }
    }
    Ok(None)
}

fn kept(node: &JudgedNode, by: &DecidedBy) -> PluginError {
    PluginError::Infeasible(format!(
        "node {}: {by} blocks it and is not a rule to delete; change it where it is made",
        node.node
    ))
}

fn is_same_chain(a: &RulePlace, b: &RulePlace) -> bool {
    (a.family, a.backend, a.table, &a.chain) == (b.family, b.backend, b.table, &b.chain)
}

/// The place with the number it has before any rule is deleted.
fn as_observed(place: &RulePlace, deleted: &[RulePlace]) -> RulePlace {
    let mut earlier: Vec<usize> = deleted
        .iter()
        .filter(|other| is_same_chain(place, other))
        .map(|other| other.number)
        .collect();
    earlier.sort_unstable();
    let mut number = place.number;
    for gone in earlier {
        if gone <= number {
            number += 1;
        }
    }
    RulePlace {
        number,
        ..place.clone()
    }
}

fn remove(firewall: &mut NodeFirewall, place: &RulePlace) {
    let rules = firewall
        .rulesets
        .iter_mut()
        .filter(|loaded| loaded.ruleset.family == place.family && loaded.backend == place.backend)
        .flat_map(|loaded| &mut loaded.ruleset.tables)
        .filter(|table| table.name == place.table)
        .flat_map(|table| &mut table.chains)
        .find(|chain| chain.name == place.chain)
        .map(|chain| &mut chain.rules);
    if let Some(rules) = rules
        && let Some(at) = place.number.checked_sub(1)
        && at < rules.len()
    {
        rules.remove(at);
    }
}

fn deletion(node: &JudgedNode, place: &RulePlace) -> Step {
    let title = format!(
        "Delete rule {} of {} {} on {} ({})",
        place.number,
        place.table.as_str(),
        place.chain,
        node.node,
        program(place)
    );
    let effect = Effect::IptablesRuleDelete(IptablesRuleEffect {
        node: node.node.clone(),
        family: match place.family {
            Family::Ipv4 => IpFamily::Ipv4,
            Family::Ipv6 => IpFamily::Ipv6,
        },
        backend: match place.backend {
            Backend::Nft => IptablesBackend::Nft,
            Backend::Legacy => IptablesBackend::Legacy,
        },
        table: place.table.as_str().to_owned(),
        chain: place.chain.clone(),
        specification: place.specification.clone(),
        position: u32::try_from(place.number).unwrap_or(u32::MAX),
    });
    step(title, effect)
}
