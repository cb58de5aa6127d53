//! One rule in a chain of a node's iptables.

use naosu_flow::iptables::{Family, managed_specification};
use serde_json::{Value, json};

use super::{Semantics, Simulation, Standing, State, text};
use crate::{
    error::{Code, Error},
    model::{
        Effect, Inverse, Query,
        effect::{IpFamily, IptablesBackend, IptablesRuleEffect},
        query::{FirewallRuleset, NodeObservation},
    },
};

pub(super) struct RuleInsert<'a> {
    pub rule: &'a IptablesRuleEffect,
}

pub(super) struct RuleDelete<'a> {
    pub rule: &'a IptablesRuleEffect,
}

/// The dump that holds a rule of this family and backend.
fn dump(
    ruleset: &mut FirewallRuleset,
    family: IpFamily,
    backend: IptablesBackend,
) -> &mut Option<String> {
    match (family, backend) {
        (IpFamily::Ipv4, IptablesBackend::Nft) => &mut ruleset.ipv4_nft,
        (IpFamily::Ipv4, IptablesBackend::Legacy) => &mut ruleset.ipv4_legacy,
        (IpFamily::Ipv6, IptablesBackend::Nft) => &mut ruleset.ipv6_nft,
        (IpFamily::Ipv6, IptablesBackend::Legacy) => &mut ruleset.ipv6_legacy,
    }
}

/// One chain in a dump of `iptables-save`.
struct Chain {
    /// Line number of the table's COMMIT.
    commit: usize,
    /// Policy, "-" for a chain of the user.
    policy: String,
    /// Line number and specification of each rule.
    rules: Vec<(usize, String)>,
}

impl Chain {
    /// Finds it; `None` when the table or the chain is not there.
    fn find(dump: &str, table: &str, chain: &str) -> Option<Self> {
        let mut here = false;
        let mut policy = None;
        let mut rules = Vec::new();
        for (number, line) in dump.lines().enumerate() {
            let line = line.trim();
            if let Some(name) = line.strip_prefix('*') {
                here = name == table;
            } else if !here {
                continue;
            } else if line == "COMMIT" {
                return Some(Self {
                    commit: number,
                    policy: policy?,
                    rules,
                });
            } else if let Some(declared) = line.strip_prefix(':') {
                let mut words = declared.split_whitespace();
                if words.next() == Some(chain) {
                    policy = Some(words.next().unwrap_or("-").to_owned());
                }
            } else if let Some(specification) = rule_of(line, chain) {
                rules.push((number, specification.to_owned()));
            }
        }
        None
    }

    /// Line of the rule at an index from 0, or the one behind the last.
    fn line_of(&self, index: usize) -> usize {
        let after_last = self.rules.last().map_or(self.commit, |(n, _)| n + 1);
        self.rules.get(index).map_or(after_last, |(n, _)| *n)
    }

    fn specifications(&self) -> Vec<&str> {
        self.rules.iter().map(|(_, rule)| rule.as_str()).collect()
    }
}

/// The specification when the line appends to this chain, counters aside.
fn rule_of<'a>(line: &'a str, chain: &str) -> Option<&'a str> {
    let rule = match line.strip_prefix('[') {
        Some(counted) => counted.split_once("] ")?.1,
        None => line,
    };
    let rule = rule.strip_prefix("-A ")?.strip_prefix(chain)?;
    if rule.is_empty() {
        return Some(rule);
    }
    rule.strip_prefix(' ')
}

/// Words, with runs of spaces as one: what two spellings of a rule share.
fn same(a: &str, b: &str) -> bool {
    a.split_whitespace().eq(b.split_whitespace())
}

struct Place<'a> {
    rule: &'a IptablesRuleEffect,
    ruleset: FirewallRuleset,
}

impl<'a> Place<'a> {
    fn of(rule: &'a IptablesRuleEffect, state: &State) -> Result<Self, Error> {
        Ok(Self {
            rule,
            ruleset: state.json()?,
        })
    }

    fn chain(&mut self) -> Option<Chain> {
        let rule = self.rule;
        dump(&mut self.ruleset, rule.family, rule.backend)
            .as_deref()
            .and_then(|dump| Chain::find(dump, &rule.table, &rule.chain))
    }

    /// Index of the position, from 0.
    fn index(&self) -> Option<usize> {
        (self.rule.position as usize).checked_sub(1)
    }

    /// The ruleset with the lines of the dump edited.
    fn edited(mut self, state: &State, edit: impl FnOnce(&mut Vec<String>)) -> State {
        let dump = dump(&mut self.ruleset, self.rule.family, self.rule.backend);
        if let Some(text) = dump {
            let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
            edit(&mut lines);
            *text = text::lines(lines.iter().map(String::as_str));
        }
        state.with_json(&json!(self.ruleset))
    }
}

fn projection(rule: &IptablesRuleEffect, state: &State) -> Result<Value, Error> {
    let chain = Place::of(rule, state)?.chain();
    Ok(match chain {
        None => Value::Null,
        Some(chain) => json!({ "policy": chain.policy, "rules": chain.specifications() }),
    })
}

fn listing(rule: &IptablesRuleEffect, state: &State) -> Result<String, Error> {
    let chain = Place::of(rule, state)?.chain();
    let Some(chain) = chain else {
        return Ok(String::new());
    };
    let head = format!(":{} {}", rule.chain, chain.policy);
    let rules = chain
        .rules
        .iter()
        .map(|(_, r)| format!("-A {} {r}", rule.chain));
    let lines: Vec<String> = std::iter::once(head).chain(rules).collect();
    Ok(text::lines(lines.iter().map(String::as_str)))
}

fn target(rule: &IptablesRuleEffect) -> Query {
    Query::Node {
        node: rule.node.clone(),
        what: NodeObservation::FirewallRuleset,
    }
}

/// Chains of others are rebuilt by them, and a rule missing there breaks what
/// they serve.
fn refuse_managed(rule: &IptablesRuleEffect) -> Result<(), Error> {
    let family = match rule.family {
        IpFamily::Ipv4 => Family::Ipv4,
        IpFamily::Ipv6 => Family::Ipv6,
    };
    let managed = managed_specification(family, &rule.chain, &rule.specification);
    match managed {
        None => Ok(()),
        Some(owner) => Err(Error::new(
            Code::InfeasibleHere,
            format!(
                "the rule {:?} in chain {} belongs to {owner:?}",
                rule.specification, rule.chain
            ),
            "change it through its owner",
        )),
    }
}

fn command(rule: &IptablesRuleEffect, action: &str) -> String {
    let program = match (rule.family, rule.backend) {
        (IpFamily::Ipv4, IptablesBackend::Nft) => "iptables-nft",
        (IpFamily::Ipv4, IptablesBackend::Legacy) => "iptables-legacy",
        (IpFamily::Ipv6, IptablesBackend::Nft) => "ip6tables-nft",
        (IpFamily::Ipv6, IptablesBackend::Legacy) => "ip6tables-legacy",
    };
    format!(
        "node/{}: {program} -w -t {} {action}",
        rule.node, rule.table
    )
}

fn absent(rule: &IptablesRuleEffect) -> Standing {
    Standing::Conflict(format!(
        "there is no chain {} in table {} of {:?} {:?}",
        rule.chain, rule.table, rule.family, rule.backend
    ))
}

fn holds(rule: &IptablesRuleEffect) -> String {
    format!(
        "chain {} of table {} on node {} has the same rules in the same order",
        rule.chain, rule.table, rule.node
    )
}

impl Semantics for RuleInsert<'_> {
    fn target(&self) -> Query {
        target(self.rule)
    }

    fn projection(&self, state: &State) -> Result<Value, Error> {
        projection(self.rule, state)
    }

    fn standing(&self, state: &State) -> Result<Standing, Error> {
        let mut place = Place::of(self.rule, state)?;
        let Some(chain) = place.chain() else {
            return Ok(absent(self.rule));
        };
        let there = chain
            .specifications()
            .iter()
            .position(|r| same(r, &self.rule.specification));
        let index = place.index();
        Ok(match there {
            Some(found) if Some(found) == index => Standing::InPlace,
            Some(found) => Standing::Conflict(format!(
                "the same rule stands at position {} already",
                found + 1
            )),
            None if index.is_some_and(|index| index <= chain.rules.len()) => Standing::Ready,
            None => Standing::Conflict(format!(
                "the chain has {} rules, so there is no position {}",
                chain.rules.len(),
                self.rule.position
            )),
        })
    }

    fn inverse(&self, _before: &State) -> Result<Inverse, Error> {
        Ok(Inverse::Effect {
            effect: Effect::IptablesRuleDelete(self.rule.clone()),
        })
    }

    fn simulate(&self, before: &State) -> Result<Simulation, Error> {
        refuse_managed(self.rule)?;
        let mut place = Place::of(self.rule, before)?;
        let rule = self.rule;
        let line = format!("-A {} {}", rule.chain, rule.specification);
        let at = place
            .chain()
            .map(|chain| chain.line_of(place.index().unwrap_or_default()));
        let state = place.edited(before, |lines| {
            if let Some(at) = at {
                lines.insert(at.min(lines.len()), line);
            }
        });
        let action = format!("-I {} {} {}", rule.chain, rule.position, rule.specification);
        Ok(Simulation {
            request: command(rule, &action),
            body: None,
            before: listing(rule, before)?,
            after: listing(rule, &state)?,
            state,
        })
    }

    fn holds(&self) -> String {
        holds(self.rule)
    }

    fn standing_decides(&self) -> bool {
        false
    }
}

impl Semantics for RuleDelete<'_> {
    fn target(&self) -> Query {
        target(self.rule)
    }

    fn projection(&self, state: &State) -> Result<Value, Error> {
        projection(self.rule, state)
    }

    fn standing(&self, state: &State) -> Result<Standing, Error> {
        let mut place = Place::of(self.rule, state)?;
        let Some(chain) = place.chain() else {
            return Ok(Standing::InPlace);
        };
        let rules = chain.specifications();
        let wanted = |r: &&str| same(r, &self.rule.specification);
        let here = place.index().and_then(|index| rules.get(index));
        if here.is_some_and(wanted) {
            return Ok(Standing::Ready);
        }
        Ok(match rules.iter().position(wanted) {
            None => Standing::InPlace,
            Some(found) => Standing::Conflict(format!(
                "the rule has moved from position {} to {}",
                self.rule.position,
                found + 1
            )),
        })
    }

    fn inverse(&self, _before: &State) -> Result<Inverse, Error> {
        Ok(Inverse::Effect {
            effect: Effect::IptablesRuleInsert(self.rule.clone()),
        })
    }

    fn simulate(&self, before: &State) -> Result<Simulation, Error> {
        refuse_managed(self.rule)?;
        let mut place = Place::of(self.rule, before)?;
        let rule = self.rule;
        let at = place.chain().and_then(|chain| {
            let (line, _) = chain.rules.get(place.index()?)?;
            Some(*line)
        });
        let state = place.edited(before, |lines| {
            if let Some(at) = at.filter(|at| *at < lines.len()) {
                lines.remove(at);
            }
        });
        let action = format!("-D {} {}", rule.chain, rule.position);
        Ok(Simulation {
            request: command(rule, &action),
            body: None,
            before: listing(rule, before)?,
            after: listing(rule, &state)?,
            state,
        })
    }

    fn holds(&self) -> String {
        holds(self.rule)
    }

    fn standing_decides(&self) -> bool {
        false
    }
}

#[cfg(test)]
mod tests;
