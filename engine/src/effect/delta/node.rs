//! What a change of a node's firewall does, by the kernel's own rules before
//! and after.

use naosu_flow::{
    delta::FlowDelta,
    iptables::{Backend, Knowledge, LoadedRuleset, NodeFirewall, Ruleset},
    policy::Policy,
    set::{PacketSet, Space},
};

use super::{computed, computing, not_analysed, too_complex};
use crate::{
    effect::{State, ufw},
    error::{Code, Error},
    model::{
        Delta, Effect, Flow, Observation, Query,
        query::{FirewallRuleset, NodeObservation},
    },
    plugin::Reads,
};

pub(super) async fn delta(
    effect: &Effect,
    before: &Observation,
    after: &State,
    needed: &[Flow],
    reads: &dyn Reads,
) -> Result<Delta, Error> {
    let (old, new): (FirewallRuleset, FirewallRuleset) = match effect {
        Effect::IptablesRuleInsert(_) | Effect::IptablesRuleDelete(_) => {
            (State::of(before).json()?, after.json()?)
        }
        Effect::UfwEnable { .. } => {
            return Err(not_analysed(
                "which rules ufw loads from its files is not known before it is enabled",
            ));
        }
        Effect::UfwRuleInsert(_) | Effect::UfwRuleDelete(_) | Effect::UfwDisable { .. } => {
            // The kernel's rules decide, not what ufw says of itself.
            let Query::Node { node, .. } = &before.query else {
                return Err(not_analysed("ufw was not read on a node"));
            };
            let query = Query::Node {
                node: node.clone(),
                what: NodeObservation::FirewallRuleset,
            };
            let state = State::of(&reads.read(&query).await);
            let old: FirewallRuleset = state.json()?;
            let new = ufw::kernel_rules_after(effect, &State::of(before), &old)?;
            (old, new)
        }
        _ => return Err(not_analysed("the effect is not one on a node")),
    };
    let needed = needed.to_vec();
    computing(move || between(&old, &new, &needed)).await
}

fn between(old: &FirewallRuleset, new: &FirewallRuleset, needed: &[Flow]) -> Result<Delta, Error> {
    let (old, new) = (firewall(old)?, firewall(new)?);
    let mut space = Space::new();
    let complex = |e| too_complex(&e);
    let before = old.decide(&mut space, PacketSet::ALL).map_err(complex)?;
    let after = new.decide(&mut space, PacketSet::ALL).map_err(complex)?;
    let delta = FlowDelta::between(&mut space, &before, &after).map_err(complex)?;
    computed(&mut space, &delta, needed)
}

fn firewall(ruleset: &FirewallRuleset) -> Result<NodeFirewall, Error> {
    let dumps = [
        (&ruleset.ipv4_nft, Backend::Nft),
        (&ruleset.ipv4_legacy, Backend::Legacy),
        (&ruleset.ipv6_nft, Backend::Nft),
        (&ruleset.ipv6_legacy, Backend::Legacy),
    ];
    let mut rulesets = Vec::new();
    for (index, (dump, backend)) in dumps.into_iter().enumerate() {
        let Some(dump) = dump else { continue };
        let family = if index < 2 {
            naosu_flow::iptables::Family::Ipv4
        } else {
            naosu_flow::iptables::Family::Ipv6
        };
        let ruleset = Ruleset::parse(family, dump).map_err(|e| {
            Error::new(
                Code::RulesetMalformed,
                format!("the node's iptables rules: {e}"),
                "look at the output of iptables-save on the node",
            )
        })?;
        rulesets.push(LoadedRuleset { backend, ruleset });
    }
    Ok(NodeFirewall {
        rulesets,
        knowledge: Knowledge::default(),
    })
}
