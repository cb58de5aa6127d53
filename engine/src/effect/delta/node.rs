//! What a change of a node's firewall does, by the kernel's own rules before
//! and after.

use std::net::IpAddr;

use naosu_flow::{
    iptables::{NodeFirewall, changed_rules, node_delta},
    nsg::TagContext,
    set::{Direction, FlowBox, PacketSet, Space},
    ufw::{self, UfwChange, UfwRule, ufw_change},
};
use serde_json::{Value, json};

use super::{computed_of, computing, needed, not_analysed, too_complex};
use crate::{
    effect::{State, state::refused_effect, ufw::arguments},
    error::{Code, Error},
    model::{
        Delta, Effect, Flow, Observation, Query,
        effect::UfwRuleEffect,
        query::{FirewallRuleset, NodeObservation, ObjectRef, UfwRules, UfwStatus},
    },
    plugin::Reads,
};

/// The delta, and the kernel's rules afterwards where the effect's own target is
/// something else.
pub(super) async fn delta(
    effect: &Effect,
    before: &Observation,
    after: &State,
    needed: &[Flow],
    reads: &dyn Reads,
) -> Result<(Delta, Option<Observation>), Error> {
    let Query::Node { node, .. } = &before.query else {
        return Err(not_analysed("it was not read on a node"));
    };
    let needed = needed.to_vec();
    if let Effect::IptablesRuleInsert(_) | Effect::IptablesRuleDelete(_) = effect {
        let old: FirewallRuleset = State::of(before).json()?;
        let new: FirewallRuleset = after.json()?;
        let own = addresses(node, &old, reads).await;
        let delta = computing(move || {
            let (old, new) = (firewall(&old, &own)?, firewall(&new, &own)?);
            between(&old, &new, &needed)
        });
        return Ok((delta.await?, None));
    }
    // The kernel's rules decide, not what ufw says of itself.
    let kernel = reads
        .read(&of_node(node, NodeObservation::FirewallRuleset))
        .await;
    let ruleset: FirewallRuleset = State::of(&kernel).json()?;
    let own = addresses(node, &ruleset, reads).await;
    let old = firewall(&ruleset, &own)?;
    let new = after_ufw(effect, before, &old, reads).await?;
    let changed = State::of(&kernel).with_json(&json!(ruleset.with_rules(&new)));
    let delta = computing(move || between(&old, &new, &needed)).await?;
    Ok((delta, Some(changed.observation(&kernel))))
}

fn of_node(node: &str, what: NodeObservation) -> Query {
    Query::Node {
        node: node.to_owned(),
        what,
    }
}

/// The kernel's rules after a change by ufw.
async fn after_ufw(
    effect: &Effect,
    before: &Observation,
    kernel: &NodeFirewall,
    reads: &dyn Reads,
) -> Result<NodeFirewall, Error> {
    let state = State::of(before);
    let status: UfwStatus = state.json()?;
    let listed = match ufw::UfwStatus::parse(&status.numbered) {
        Ok(ufw::UfwStatus::Active(report)) => report.rules,
        Ok(_) => Vec::new(),
        Err(error) => return Err(state.malformed(&error)),
    };
    let changed = match effect {
        Effect::UfwRuleInsert(insert) => {
            let change = UfwChange::Insert {
                position: insert.position as usize,
                rule: &as_ufw_reads(insert)?,
            };
            ufw_change(kernel, &listed, change)
        }
        Effect::UfwRuleDelete(delete) => {
            let rule = &as_ufw_reads(delete)?;
            ufw_change(kernel, &listed, UfwChange::Delete { rule })
        }
        Effect::UfwDisable { .. } => {
            let defaults = &status.settings;
            ufw_change(kernel, &listed, UfwChange::Disable { defaults })
        }
        Effect::UfwEnable { node } => {
            let files = reads.read(&of_node(node, NodeObservation::UfwRules)).await;
            let files: &UfwRules = &State::of(&files).json()?;
            ufw_change(kernel, &listed, UfwChange::Enable { files })
        }
        _ => return Err(not_analysed("the effect is not one of ufw")),
    };
    changed.map_err(|error| not_analysed(&error.to_string()))
}

fn as_ufw_reads(rule: &UfwRuleEffect) -> Result<UfwRule, Error> {
    UfwRule::parse(&arguments(rule)).map_err(|error| refused_effect(&error))
}

/// The addresses the cluster knows the node by, which may not be all; asked only
/// where its routes do not tell, none when it cannot be asked.
async fn addresses(node: &str, shown: &FirewallRuleset, reads: &dyn Reads) -> Vec<IpAddr> {
    if shown.ipv4_routes.is_some() && shown.ipv6_routes.is_some() {
        return Vec::new();
    }
    let query = Query::KubernetesGet {
        object: ObjectRef {
            api_version: "v1".to_owned(),
            kind: "Node".to_owned(),
            namespace: String::new(),
            name: node.to_owned(),
        },
    };
    let observation = reads.read(&query).await;
    let body = observation.answer.as_deref().unwrap_or_default();
    let body: Value = serde_json::from_str(body).unwrap_or_default();
    let list = body.pointer("/status/addresses").and_then(Value::as_array);
    let own = list.into_iter().flatten().filter(|address| {
        matches!(
            address.get("type").and_then(Value::as_str),
            Some("InternalIP" | "ExternalIP")
        )
    });
    own.filter_map(|address| address.get("address")?.as_str()?.parse().ok())
        .collect()
}

fn firewall(ruleset: &FirewallRuleset, own: &[IpAddr]) -> Result<NodeFirewall, Error> {
    ruleset.firewall(own).map_err(|e| {
        Error::new(
            Code::RulesetMalformed,
            format!("the node's rules: {e}"),
            "look at the output of that program on the node",
        )
    })
}

fn between(old: &NodeFirewall, new: &NodeFirewall, needed: &[Flow]) -> Result<Delta, Error> {
    let mut space = Space::new();
    let delta = node_delta(&mut space, old, new, PacketSet::ALL).map_err(|e| too_complex(&e))?;
    let needed = needed_here(&mut space, needed)?;
    computed_of(&mut space, &delta, needed, &|| changed_rules(old, new))
}

/// The packets that are needed on their way into the node or out of it: whatever else
/// it passes on is none of them.
fn needed_here(space: &mut Space, needed: &[Flow]) -> Result<PacketSet, Error> {
    let needed = needed::packets(space, needed, &TagContext::new())?;
    let forwarded = FlowBox::any().with_direction(Direction::Forwarded);
    let forwarded = space.flow(&forwarded).map_err(|e| too_complex(&e))?;
    let here = space.difference(needed, forwarded);
    here.map_err(|e| too_complex(&e))
}
