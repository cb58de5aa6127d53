//! Rules of network security groups.

use naosu_flow::nsg::{Nsg, NsgRule};
use serde_json::{Value, json};

use super::{
    Semantics, Simulation, Standing, State,
    state::{arm, refused_effect},
    text,
};
use crate::{
    error::Error,
    model::{Effect, Inverse, Query},
};

pub(super) struct RuleCreate<'a> {
    pub nsg: &'a str,
    pub rule: &'a NsgRule,
}

pub(super) struct RuleDelete<'a> {
    pub nsg: &'a str,
    pub rule: &'a NsgRule,
}

pub(super) struct RulesReplace<'a> {
    pub nsg: &'a str,
    pub rules: &'a [NsgRule],
}

/// The group as observed.
pub(super) fn parse(state: &State) -> Result<Nsg, Error> {
    Nsg::from_arm_json(state.text()?).map_err(|e| state.malformed(&e))
}

/// A rule in the form in which two that mean the same are equal: Azure heeds
/// neither case nor the order of lists.
fn normal(rule: &NsgRule) -> Value {
    let list = |items: &[String]| {
        let mut items: Vec<String> = items.iter().map(|i| i.to_ascii_lowercase()).collect();
        items.sort_unstable();
        items.dedup();
        items
    };
    json!({
        "name": rule.name.to_ascii_lowercase(),
        "priority": rule.priority,
        "direction": rule.direction,
        "access": rule.access,
        "protocol": rule.protocol.to_ascii_lowercase(),
        "source_prefixes": list(&rule.source_prefixes),
        "source_ports": list(&rule.source_ports),
        "source_groups": list(&rule.source_groups),
        "destination_prefixes": list(&rule.destination_prefixes),
        "destination_ports": list(&rule.destination_ports),
        "destination_groups": list(&rule.destination_groups),
        "description": rule.description,
    })
}

fn same(a: &NsgRule, b: &NsgRule) -> bool {
    normal(a) == normal(b)
}

/// Custom rules in the order they are evaluated.
fn projection(state: &State) -> Result<Value, Error> {
    Ok(parse(state)?.rules.iter().map(normal).collect())
}

/// Custom and default rules, a line each, in the order they are evaluated.
fn listing(nsg: &Nsg) -> String {
    let mut rules: Vec<&NsgRule> = nsg.rules.iter().chain(&nsg.default_rules).collect();
    rules.sort_by_key(|rule| (rule.direction, rule.priority));
    let lines: Vec<String> = rules.into_iter().map(line).collect();
    text::lines(lines.iter().map(String::as_str))
}

/// What decides comes first, in columns; what it is about follows, of any length.
fn line(rule: &NsgRule) -> String {
    let side = |prefixes: &[String], groups: &[String]| {
        let groups = groups
            .iter()
            .map(|group| group.rsplit('/').next().unwrap_or(group));
        let all: Vec<&str> = prefixes.iter().map(String::as_str).chain(groups).collect();
        all.join(", ")
    };
    let from = side(&rule.source_prefixes, &rule.source_groups);
    let to = side(&rule.destination_prefixes, &rule.destination_groups);
    // Hardly a rule asks for a source port; the one that does is worth seeing.
    let from_ports = match rule.source_ports.join(", ").as_str() {
        "*" | "" => String::new(),
        ports => format!(" port {ports}"),
    };
    format!(
        "{:<8} {:>5} {:<5} {:<4} {}: from {from}{from_ports} to {to} port {}",
        rule.direction.arm(),
        rule.priority,
        rule.access.arm(),
        rule.protocol,
        rule.name,
        rule.destination_ports.join(", "),
    )
}

/// The resource as it would be read with these custom rules.
fn resource_with(state: &State, after: &Nsg) -> Result<State, Error> {
    let mut resource: Value = state.json()?;
    let rules = after.rules_to_arm().map_err(|e| refused_effect(&e))?;
    let place = resource
        .pointer_mut("/properties/securityRules")
        .ok_or_else(|| state.malformed(&"there is no properties.securityRules"))?;
    *place = rules;
    Ok(state.with_json(&resource))
}

fn simulation(
    state: &State,
    before: &Nsg,
    after: &Nsg,
    request: String,
    body: Option<Value>,
) -> Result<Simulation, Error> {
    Ok(Simulation {
        request,
        body,
        before: listing(before),
        after: listing(after),
        state: resource_with(state, after)?,
    })
}

fn rule_url(nsg: &str, rule: &NsgRule) -> String {
    format!("{nsg}/securityRules/{}", rule.name)
}

fn holds(nsg: &str) -> String {
    let name = nsg.rsplit('/').next().unwrap_or(nsg);
    format!("security group {name} has the same version and the same custom rules")
}

impl Semantics for RuleCreate<'_> {
    fn target(&self) -> Query {
        arm(self.nsg)
    }

    fn projection(&self, state: &State) -> Result<Value, Error> {
        projection(state)
    }

    fn standing(&self, state: &State) -> Result<Standing, Error> {
        let nsg = parse(state)?;
        if let Some(there) = nsg.rule(&self.rule.name) {
            return Ok(if same(there, self.rule) {
                Standing::InPlace
            } else {
                Standing::Conflict(format!("another rule is named {}", there.name))
            });
        }
        let taken = nsg
            .rules
            .iter()
            .find(|r| r.direction == self.rule.direction && r.priority == self.rule.priority);
        Ok(match taken {
            Some(other) => Standing::Conflict(format!(
                "priority {} is taken by rule {}",
                other.priority, other.name
            )),
            None => Standing::Ready,
        })
    }

    fn inverse(&self, _before: &State) -> Result<Inverse, Error> {
        Ok(Inverse::Effect {
            effect: Effect::NsgRuleDelete {
                nsg: self.nsg.to_owned(),
                rule: self.rule.clone(),
            },
        })
    }

    fn simulate(&self, before: &State) -> Result<Simulation, Error> {
        let nsg = parse(before)?;
        let after = nsg
            .with_rule(self.rule.clone())
            .map_err(|e| refused_effect(&e))?;
        let body = self.rule.to_arm().map_err(|e| refused_effect(&e))?;
        let request = format!("PUT {}", rule_url(self.nsg, self.rule));
        simulation(before, &nsg, &after, request, Some(body))
    }

    fn holds(&self) -> String {
        holds(self.nsg)
    }
}

impl Semantics for RuleDelete<'_> {
    fn target(&self) -> Query {
        arm(self.nsg)
    }

    fn projection(&self, state: &State) -> Result<Value, Error> {
        projection(state)
    }

    fn standing(&self, state: &State) -> Result<Standing, Error> {
        Ok(match parse(state)?.rule(&self.rule.name) {
            None => Standing::InPlace,
            Some(there) if same(there, self.rule) => Standing::Ready,
            Some(there) => Standing::Conflict(format!(
                "rule {} is not what it was: someone changed it",
                there.name
            )),
        })
    }

    fn inverse(&self, before: &State) -> Result<Inverse, Error> {
        let nsg = parse(before)?;
        Ok(Inverse::Effect {
            effect: Effect::NsgRuleCreate {
                nsg: self.nsg.to_owned(),
                rule: nsg.rule(&self.rule.name).unwrap_or(self.rule).clone(),
            },
        })
    }

    fn simulate(&self, before: &State) -> Result<Simulation, Error> {
        let nsg = parse(before)?;
        let after = nsg.without_rule(&self.rule.name);
        let request = format!("DELETE {}", rule_url(self.nsg, self.rule));
        simulation(before, &nsg, &after, request, None)
    }

    fn holds(&self) -> String {
        holds(self.nsg)
    }
}

impl RulesReplace<'_> {
    fn after(&self, nsg: &Nsg) -> Result<Nsg, Error> {
        let rules = self.rules.to_vec();
        let mut after = Nsg::new(nsg.name.clone(), rules).map_err(|e| refused_effect(&e))?;
        after.id.clone_from(&nsg.id);
        after.default_rules.clone_from(&nsg.default_rules);
        Ok(after)
    }
}

impl Semantics for RulesReplace<'_> {
    fn target(&self) -> Query {
        arm(self.nsg)
    }

    fn projection(&self, state: &State) -> Result<Value, Error> {
        projection(state)
    }

    fn standing(&self, state: &State) -> Result<Standing, Error> {
        let nsg = parse(state)?;
        let after = self.after(&nsg)?;
        let equal = nsg
            .rules
            .iter()
            .map(normal)
            .eq(after.rules.iter().map(normal));
        Ok(if equal {
            Standing::InPlace
        } else {
            Standing::Ready
        })
    }

    fn inverse(&self, before: &State) -> Result<Inverse, Error> {
        Ok(Inverse::Effect {
            effect: Effect::NsgRulesReplace {
                nsg: self.nsg.to_owned(),
                rules: parse(before)?.rules,
            },
        })
    }

    fn simulate(&self, before: &State) -> Result<Simulation, Error> {
        let nsg = parse(before)?;
        let after = self.after(&nsg)?;
        let body: Value = resource_with(before, &after)?.json()?;
        let request = format!("PUT {}", self.nsg);
        simulation(before, &nsg, &after, request, Some(body))
    }

    fn holds(&self) -> String {
        holds(self.nsg)
    }
}
