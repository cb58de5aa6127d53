//! ufw on a node: one rule, or the whole of it on and off.

mod status;

use serde_json::{Value, json};

use self::status::{Listed, Status};
use super::{Semantics, Simulation, Standing, State, text};
use crate::{
    error::{Code, Error},
    model::{
        Effect, Inverse, Query,
        effect::{Access, Direction, UfwRuleEffect},
        query::{NodeObservation, UfwStatus},
    },
};

pub(super) struct RuleInsert<'a> {
    pub rule: &'a UfwRuleEffect,
}

pub(super) struct RuleDelete<'a> {
    pub rule: &'a UfwRuleEffect,
}

pub(super) struct Switch<'a> {
    pub node: &'a str,
    pub on: bool,
}

fn target(node: &str) -> Query {
    Query::Node {
        node: node.to_owned(),
        what: NodeObservation::UfwStatus,
    }
}

fn parse(state: &State) -> Result<Status, Error> {
    let observed: UfwStatus = state.json()?;
    if !observed.installed {
        return Err(Error::new(
            Code::InfeasibleHere,
            format!("{}: ufw is not installed", state.what),
            "nothing has to be done: what is not there blocks nothing",
        ));
    }
    Status::parse(&observed).map_err(|why| state.malformed(&why))
}

fn projection(state: &State) -> Result<Value, Error> {
    Ok(parse(state)?.to_json())
}

/// The command line, as `ufw` takes it.
pub(super) fn arguments(rule: &UfwRuleEffect) -> String {
    let mut words = Vec::new();
    words.push(match rule.access {
        Access::Allow => "allow".to_owned(),
        Access::Deny => "deny".to_owned(),
    });
    words.push(match rule.direction {
        Direction::Inbound => "in".to_owned(),
        Direction::Outbound => "out".to_owned(),
    });
    if rule.protocol != "any" {
        words.push(format!("proto {}", rule.protocol));
    }
    words.push(format!("from {}", rule.source));
    words.push(format!("to {}", rule.destination));
    if !rule.port.is_empty() && rule.port != "any" {
        words.push(format!("port {}", rule.port));
    }
    words.join(" ")
}

fn simulation(
    state: &State,
    (before, after): (&Status, &Status),
    request: String,
) -> Result<Simulation, Error> {
    Ok(Simulation {
        request,
        body: None,
        before: before.listing(),
        after: after.listing(),
        state: state.with_json(&json!(after.observed())),
    })
}

fn holds(node: &str) -> String {
    format!("ufw on node {node} has the same status, defaults and rules")
}

impl Semantics for RuleInsert<'_> {
    fn target(&self) -> Query {
        target(&self.rule.node)
    }

    fn projection(&self, state: &State) -> Result<Value, Error> {
        projection(state)
    }

    fn standing(&self, state: &State) -> Result<Standing, Error> {
        let status = parse(state)?;
        if !status.active {
            return Ok(Standing::Conflict("ufw is not active".to_owned()));
        }
        let wanted = Listed::of(self.rule);
        let position = self.rule.position as usize;
        if let Some(found) = status.rules.iter().position(|r| r.is(&wanted)) {
            // ufw does not move a rule that it has.
            return Ok(if position == 0 || found < position {
                Standing::InPlace
            } else {
                Standing::Conflict(format!(
                    "the same rule stands at number {} already, behind {position}",
                    found + 1
                ))
            });
        }
        if let Some(found) = status.rules.iter().position(|r| r.has_match_of(&wanted)) {
            return Ok(Standing::Conflict(format!(
                "rule number {} matches the same packets with another action; \
                 ufw would change it in place",
                found + 1
            )));
        }
        Ok(if position > status.rules.len() {
            Standing::Conflict(format!(
                "there are {} rules, so there is no number {position}",
                status.rules.len()
            ))
        } else {
            Standing::Ready
        })
    }

    fn inverse(&self, _before: &State) -> Result<Inverse, Error> {
        Ok(Inverse::Effect {
            effect: Effect::UfwRuleDelete(self.rule.clone()),
        })
    }

    fn simulate(&self, before: &State) -> Result<Simulation, Error> {
        let status = parse(before)?;
        let mut after = status.clone().with_unknown_files();
        let rules = &mut after.rules;
        // Rules of IPv6 come after those of IPv4.
        let last = rules.iter().filter(|r| !r.is_v6).count();
        let at = match self.rule.position {
            0 => last,
            position => (position as usize - 1).min(last),
        };
        let wanted = Listed::of(self.rule);
        if wanted.covers_both_families() {
            // Before the twin of the rule that the other goes before.
            let twin = rules.get(at).filter(|_| at < last);
            let twin = twin.map(|rule| rule.clone().for_v6());
            let place = twin.and_then(|twin| rules.iter().position(|rule| rule.is(&twin)));
            rules.insert(place.unwrap_or(rules.len()), wanted.clone().for_v6());
        }
        rules.insert(at, wanted);
        let place = match self.rule.position {
            0 => String::new(),
            position => format!("insert {position} "),
        };
        let request = format!(
            "node/{}: ufw {place}{}",
            self.rule.node,
            arguments(self.rule)
        );
        simulation(before, (&status, &after), request)
    }

    fn holds(&self) -> String {
        holds(&self.rule.node)
    }
}

impl Semantics for RuleDelete<'_> {
    fn target(&self) -> Query {
        target(&self.rule.node)
    }

    fn projection(&self, state: &State) -> Result<Value, Error> {
        projection(state)
    }

    fn standing(&self, state: &State) -> Result<Standing, Error> {
        let status = parse(state)?;
        if !status.active {
            return Ok(Standing::Conflict("ufw is not active".to_owned()));
        }
        let wanted = Listed::of(self.rule);
        Ok(if status.rules.iter().any(|r| r.is(&wanted)) {
            Standing::Ready
        } else {
            Standing::InPlace
        })
    }

    fn inverse(&self, before: &State) -> Result<Inverse, Error> {
        let status = parse(before)?;
        let wanted = Listed::of(self.rule);
        let found = status.rules.iter().position(|r| r.is(&wanted));
        let last = status.rules.iter().filter(|r| !r.is_v6).count();
        // The last of its family is appended: ufw refuses a number behind the end.
        let position = found.map(|f| f + 1).filter(|p| *p < last);
        Ok(Inverse::Effect {
            effect: Effect::UfwRuleInsert(UfwRuleEffect {
                position: position.and_then(|p| u32::try_from(p).ok()).unwrap_or(0),
                ..self.rule.clone()
            }),
        })
    }

    fn simulate(&self, before: &State) -> Result<Simulation, Error> {
        let status = parse(before)?;
        let mut after = status.clone().with_unknown_files();
        let wanted = Listed::of(self.rule);
        after.rules.retain(|r| {
            !(r.is(&wanted) || wanted.covers_both_families() && r.is(&wanted.clone().for_v6()))
        });
        let request = format!(
            "node/{}: ufw delete {}",
            self.rule.node,
            arguments(self.rule)
        );
        simulation(before, (&status, &after), request)
    }

    fn holds(&self) -> String {
        holds(&self.rule.node)
    }
}

impl Semantics for Switch<'_> {
    fn target(&self) -> Query {
        target(self.node)
    }

    fn projection(&self, state: &State) -> Result<Value, Error> {
        projection(state)
    }

    fn standing(&self, state: &State) -> Result<Standing, Error> {
        Ok(if parse(state)?.active == self.on {
            Standing::InPlace
        } else {
            Standing::Ready
        })
    }

    fn inverse(&self, _before: &State) -> Result<Inverse, Error> {
        let node = self.node.to_owned();
        Ok(Inverse::Effect {
            effect: if self.on {
                Effect::UfwDisable { node }
            } else {
                Effect::UfwEnable { node }
            },
        })
    }

    /// Taking a disabling back sets in force what the files hold, so they must be
    /// those that were in force.
    fn hidden_change(&self, before: &State, now: &State) -> Result<Option<String>, Error> {
        if self.on {
            return Ok(None);
        }
        let (was, is) = (parse(before)?.files, parse(now)?.files);
        Ok(if was.is_empty() || is.is_empty() {
            Some("whether ufw's files hold the rules that were in force is not known".to_owned())
        } else if was != is {
            Some("ufw's files no longer hold the rules and defaults that were in force".to_owned())
        } else {
            None
        })
    }

    /// Inactive, ufw lists nothing; active again, what its files hold, which
    /// its status does not tell.
    fn simulate(&self, before: &State) -> Result<Simulation, Error> {
        let status = parse(before)?;
        let after = if self.on {
            Status {
                active: true,
                ..status.clone()
            }
        } else {
            Status {
                settings: status.settings.clone(),
                files: status.files.clone(),
                ..Status::inactive()
            }
        };
        let command = if self.on { "--force enable" } else { "disable" };
        let request = format!("node/{}: ufw {command}", self.node);
        let mut simulation = simulation(before, (&status, &after), request)?;
        if self.on {
            simulation.after = text::lines(["Status: active", "(the rules in /etc/ufw)"]);
        }
        Ok(simulation)
    }

    fn holds(&self) -> String {
        holds(self.node)
    }
}

#[cfg(test)]
mod tests;
