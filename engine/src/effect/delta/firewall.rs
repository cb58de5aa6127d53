//! What a change of an Azure Firewall does, with all the rules that stand beside
//! the changed ones: the policy's other groups and its parents', IP groups and
//! service tags, all read by the host itself.

use std::collections::BTreeSet;

use naosu_flow::{
    firewall::{Firewall, FirewallError, UnreadRules, firewall_delta, ip_group_addresses},
    nsg::TagContext,
    set::Space,
};
use serde_json::Value;

use super::{computed, computing, too_complex};
use crate::{
    effect::{State, service_tags, state::arm},
    error::{Code, Error},
    model::{Delta, Flow, Observation, Query},
    plugin::Reads,
};

/// Azure allows one parent; a longer chain or a circle is cut here.
const POLICIES: usize = 5;

pub(super) async fn delta(
    resource: &str,
    before: &Observation,
    after: &State,
    needed: &[Flow],
    reads: &dyn Reads,
) -> Result<Delta, Error> {
    let before: Value = State::of(before).json()?;
    let after: Value = after.json()?;
    let (before, after, located) = match policy_of(resource) {
        None => (classic(&before)?, classic(&after)?, before),
        Some(policy) => {
            let around = Around::read(policy, reads).await;
            let located = around.policy.clone().unwrap_or_default();
            (around.with(before)?, around.with(after)?, located)
        }
    };
    let tags = tags(&before, &after, &located, reads).await;
    let needed = needed.to_vec();
    computing(move || {
        let mut space = Space::new();
        let delta = firewall_delta(&mut space, &before, &after, &tags).map_err(|e| failed(&e))?;
        computed(&mut space, &delta, &needed, &tags)
    })
    .await
}

fn classic(body: &Value) -> Result<Firewall, Error> {
    Firewall::from_classic(body).map_err(|e| failed(&e))
}

fn failed(error: &FirewallError) -> Error {
    match error {
        FirewallError::TooComplex(e) => too_complex(e),
        e => Error::new(
            Code::RulesetMalformed,
            e.to_string(),
            "look at the rules of the firewall",
        ),
    }
}

/// "…/firewallPolicies/p" of "…/firewallPolicies/p/ruleCollectionGroups/g".
fn policy_of(resource: &str) -> Option<&str> {
    let at = resource
        .to_ascii_lowercase()
        .find("/rulecollectiongroups/")?;
    resource.get(..at)
}

fn last_segment(id: &str) -> &str {
    id.rsplit('/').next().unwrap_or_default()
}

fn name_of(body: &Value) -> &str {
    body.get("name").and_then(Value::as_str).unwrap_or_default()
}

/// What stands around one rule collection group.
struct Around {
    /// The group's policy, where it could be read.
    policy: Option<Value>,
    /// The groups of each policy, the topmost parent first, that of the changed
    /// group last.
    levels: Vec<(Value, Vec<Value>)>,
    unread: Vec<UnreadRules>,
}

impl Around {
    async fn read(policy: &str, reads: &dyn Reads) -> Self {
        let mut around = Self {
            policy: None,
            levels: Vec::new(),
            unread: Vec::new(),
        };
        let mut next = Some(policy.to_owned());
        let mut seen = BTreeSet::new();
        while let Some(id) = next.take() {
            let is_first = seen.is_empty();
            if !seen.insert(id.to_ascii_lowercase()) || seen.len() > POLICIES {
                around.lose(&id, "the chain of parent policies has no end");
                break;
            }
            let body = match read_json(&arm(&id), reads).await {
                Ok(body) => body,
                Err(reason) if is_first => {
                    // Its groups can be read all the same, but not its parents'.
                    around.lose(&id, &reason);
                    serde_json::json!({ "name": last_segment(&id), "properties": {} })
                }
                Err(reason) => {
                    around.lose(&id, &reason);
                    break;
                }
            };
            let list = Query::AzureList {
                path: format!("{id}/ruleCollectionGroups"),
            };
            let groups = match read_json(&list, reads).await {
                Ok(Value::Array(groups)) => groups,
                Ok(_) => {
                    around.lose(&id, "its rule collection groups are no list");
                    Vec::new()
                }
                Err(reason) => {
                    around.lose(&id, &reason);
                    Vec::new()
                }
            };
            let parent = body.pointer("/properties/basePolicy/id");
            next = parent.and_then(Value::as_str).map(str::to_owned);
            if is_first {
                around.policy = Some(body.clone());
            }
            around.levels.insert(0, (body, groups));
        }
        around
    }

    fn lose(&mut self, policy: &str, reason: &str) {
        self.unread.push(UnreadRules {
            holder: format!("firewall policy {}", last_segment(policy)),
            reason: reason.to_owned(),
        });
    }

    /// The firewall with the changed group in this state.
    fn with(&self, group: Value) -> Result<Firewall, Error> {
        let mut levels = self.levels.clone();
        if let Some((_, groups)) = levels.last_mut() {
            groups.retain(|other| !name_of(other).eq_ignore_ascii_case(name_of(&group)));
            groups.push(group);
        }
        let policies: Vec<(&Value, &[Value])> = levels
            .iter()
            .map(|(policy, groups)| (policy, groups.as_slice()))
            .collect();
        let mut firewall = Firewall::from_policy_chain(&policies).map_err(|e| failed(&e))?;
        firewall.unread.clone_from(&self.unread);
        Ok(firewall)
    }
}

async fn read_json(query: &Query, reads: &dyn Reads) -> Result<Value, String> {
    let answer = reads.read(query).await.answer.clone();
    let body = answer.map_err(|error| error.message)?;
    serde_json::from_str(&body).map_err(|error| error.to_string())
}

fn owned(names: BTreeSet<&str>) -> BTreeSet<String> {
    names.into_iter().map(str::to_owned).collect()
}

/// What IP groups and service tags of the rules stand for.
async fn tags(
    before: &Firewall,
    after: &Firewall,
    located: &Value,
    reads: &dyn Reads,
) -> TagContext {
    let mut groups = owned(before.ip_groups());
    groups.append(&mut owned(after.ip_groups()));
    let mut addresses = owned(before.addresses());
    addresses.append(&mut owned(after.addresses()));
    let mut context = TagContext::new();
    for id in groups {
        let addresses = match read_json(&arm(&id), reads).await {
            Ok(body) => ip_group_addresses(&body).map_err(|error| error.to_string()),
            Err(reason) => Err(reason),
        };
        context = match addresses {
            Ok(addresses) => context.with_ip_group(&id, addresses),
            Err(reason) => context.with_unread(&id, reason),
        };
    }
    service_tags::read_into(context, &addresses, located, reads).await
}
