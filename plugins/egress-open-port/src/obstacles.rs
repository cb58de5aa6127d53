//! What is in the way out: security admin rules, security groups, routes,
//! firewalls and appliances, tried where what is written down does not tell.

use std::collections::BTreeSet;

use naosu_plugin::{
    ADMIN_RULE_REMEDY, Decided, Evidence, Judgement, PluginError, Reads, admin_rule_words, listed,
    way_out::{Leg, Next, Probed, WayOut},
};

use crate::judged::{Ask, Fault, Judged};

/// What may stop the packets of a leg.
struct Doubt {
    leg: usize,
    words: String,
    ask: Option<Ask>,
    advice: Option<String>,
    is_firewall: bool,
}

/// Collects what is in the way.
pub struct Obstacles<'a> {
    way: &'a WayOut,
    judged: Judged,
    /// What certainly stops some of it.
    certain: Vec<String>,
    /// How much of that are security groups.
    groups: usize,
    doubts: Vec<Doubt>,
    unknown: BTreeSet<String>,
    allowing: Vec<Evidence>,
}

impl<'a> Obstacles<'a> {
    pub fn of(way: &'a WayOut) -> Self {
        Self {
            way,
            judged: Judged {
                evidence: way.evidence(),
                ..Judged::default()
            },
            certain: Vec::new(),
            groups: 0,
            doubts: Vec::new(),
            unknown: BTreeSet::new(),
            allowing: Vec::new(),
        }
    }

    /// `unread` says of which security admin rules it has to be doubted that they
    /// are as the groups say.
    pub fn judge(
        mut self,
        reads: &dyn Reads,
        unread: Option<String>,
    ) -> Result<Judged, PluginError> {
        let way = self.way;
        if way.starts.is_empty() {
            self.unknown
                .insert("no agent has an address yet".to_owned());
        }
        for start in way.starts.iter().filter(|start| start.interface.is_none()) {
            let node = &start.node;
            let reason = format!("node {node}: its network interface was not found");
            self.unknown.insert(reason);
        }
        self.admin_rules()?;
        self.groups()?;
        for index in 0..way.legs.len() {
            self.leg(index)?;
        }
        self.unknown.extend(unread.clone());
        Ok(self.conclude(reads, unread))
    }

    fn admin_rules(&mut self) -> Result<(), PluginError> {
        let outcome = self.way.judge_admin_rules()?;
        for (rule, packets) in &outcome.blocks {
            let named = admin_rule_words(rule);
            self.judged
                .advice
                .push(format!("{named} stops it: {ADMIN_RULE_REMEDY}"));
            self.certain.push(named);
            let evidence = self
                .way
                .admin_rules
                .evidence(rule, format!("blocks {packets}"));
            self.judged.evidence.extend(evidence);
        }
        for rule in &outcome.always_allows {
            let meaning = format!("lets {} out before any group", self.way.port);
            self.allowing
                .extend(self.way.admin_rules.evidence(rule, meaning));
        }
        self.unknown.extend(outcome.unknown);
        Ok(())
    }

    fn groups(&mut self) -> Result<(), PluginError> {
        for (checkpoint, outcome) in self.way.judge_groups()? {
            let group = &checkpoint.group.value.name;
            for block in &outcome.blocks {
                let rule = &block.rule;
                let named = format!("rule {} (priority {}) of {group}", rule.name, rule.priority);
                self.judged.advice.push(format!(
                    "{named} stops it: plan with nsg-allow-port, which mends security groups"
                ));
                self.certain.push(named);
                self.groups += 1;
                let meaning = format!("blocks {}", block.packets);
                self.judged
                    .evidence
                    .push(checkpoint.evidence(rule, meaning));
            }
            for rule in &outcome.allows {
                let meaning = format!("lets {} out", self.way.port);
                self.allowing.push(checkpoint.evidence(rule, meaning));
            }
            self.unknown.extend(outcome.unknown);
        }
        Ok(())
    }

    fn leg(&mut self, index: usize) -> Result<(), PluginError> {
        let Some(leg) = self.way.legs.get(index) else {
            return Ok(());
        };
        self.judged.evidence.extend(leg.evidence.iter().cloned());
        match &leg.next {
            Next::Direct => {}
            Next::Firewall(firewall) => self.firewall(index, leg, *firewall)?,
            Next::Appliance { address, doubt } => {
                let why = match doubt {
                    Some(why) => {
                        format!("the appliance at {address}, which could not be looked up ({why})")
                    }
                    None => format!("the appliance at {address}, whose rules Azure does not show"),
                };
                self.doubts.push(Doubt {
                    leg: index,
                    ask: Some(Ask {
                        of: format!("the owner of the appliance at {address}"),
                        instruction: format!(
                            "The appliance at {address} is not Azure's: ask its owner to allow {}",
                            self.exact_rule(leg)
                        ),
                    }),
                    advice: None,
                    words: why,
                    is_firewall: false,
                });
            }
            Next::Gateway => self.doubts.push(Doubt {
                leg: index,
                words: "what is behind the virtual network gateway".to_owned(),
                ask: Some(Ask {
                    of: "the owner of the network behind the gateway".to_owned(),
                    instruction: format!(
                        "The way leads out of Azure: ask the owner of the network behind the \
                         gateway to allow {}",
                        self.exact_rule(leg)
                    ),
                }),
                advice: None,
                is_firewall: false,
            }),
            Next::Dropped(why) => {
                self.certain.push(why.clone());
                self.judged
                    .advice
                    .push(format!("{why}: change that route; route-advice says how"));
            }
            Next::Unknown(why) => self.doubts.push(Doubt {
                leg: index,
                words: why.clone(),
                ask: None,
                advice: Some(format!("{why}: see what route-advice finds")),
                is_firewall: false,
            }),
        }
        Ok(())
    }

    /// The packets that something in the way of a leg has to let pass.
    fn exact_rule(&self, leg: &Leg) -> String {
        format!(
            "{} from {} to {}, with the answers coming back the same way",
            self.way.port,
            leg.node_texts(&self.way.network).join(", "),
            self.way.server.destinations.texts().join(", "),
        )
    }

    fn firewall(&mut self, index: usize, leg: &Leg, at: usize) -> Result<(), PluginError> {
        let Some(firewall) = self.way.firewalls.get(at) else {
            return Ok(());
        };
        let need = self.way.need_of(leg.sources());
        let decided: Decided = firewall.judge(&need, &self.way.tags)?;
        if decided.is_allowed() {
            for rule in &decided.allows {
                let meaning = format!("lets {} out", self.way.port);
                self.allowing.push(firewall.evidence(&rule.rule, meaning));
            }
            return Ok(());
        }
        let mut rules = Vec::new();
        for (rule, packets) in &decided.blocks {
            let verb = if decided.is_denied {
                "blocks"
            } else {
                "may block"
            };
            let meaning = format!("{verb} {packets}");
            self.judged
                .evidence
                .push(firewall.evidence(&rule.rule, meaning));
            rules.push(rule.rule.as_str());
        }
        let words = format!("Azure Firewall {} ({})", firewall.name, listed(rules, ", "));
        if decided.is_denied {
            self.certain.push(words);
            self.fault(at, index);
        } else {
            self.doubts.push(Doubt {
                leg: index,
                words: format!("{words}: {}", listed(decided.unknown, "; ")),
                ask: None,
                advice: None,
                is_firewall: true,
            });
        }
        Ok(())
    }

    fn fault(&mut self, firewall: usize, leg: usize) {
        let mut faults = self.judged.faults.iter_mut();
        match faults.find(|fault| fault.firewall == firewall) {
            Some(fault) => fault.legs.push(leg),
            None => self.judged.faults.push(Fault {
                firewall,
                legs: vec![leg],
            }),
        }
    }

    fn conclude(mut self, reads: &dyn Reads, unread: Option<String>) -> Judged {
        let what = self.way.words();
        if !self.certain.is_empty() {
            let is_groups_alone = self.groups == self.certain.len();
            self.certain.dedup();
            let summary = format!("{what} is stopped by {}", listed(&self.certain, " and by "));
            return match unread {
                Some(unread) if is_groups_alone => {
                    let unless = "unless a security admin rule always allows it";
                    self.end(
                        Judgement::Suspected,
                        format!("{summary}, {unless}: {unread}"),
                    )
                }
                _ => self.end(Judgement::Confirmed, summary),
            };
        }
        let mut suspects = Vec::new();
        // A group that is not known wholly is tried as well.
        let groups = std::mem::take(&mut self.unknown);
        if !groups.is_empty() && self.doubts.is_empty() && !self.way.legs.is_empty() {
            self.doubts.push(Doubt {
                leg: 0,
                words: listed(&groups, "; "),
                ask: None,
                advice: Some("see what nsg-allow-port finds".to_owned()),
                is_firewall: false,
            });
        } else {
            self.unknown = groups;
        }
        for doubt in std::mem::take(&mut self.doubts) {
            let Some(leg) = self.way.legs.get(doubt.leg) else {
                continue;
            };
            match self.way.probe(reads, leg) {
                Probed::Reached(evidence) => {
                    self.allowing.push(evidence);
                    // One open way through everything answers for its groups too.
                    if self.way.legs.len() == 1 {
                        self.unknown.clear();
                    }
                }
                Probed::NotReached(evidence) => {
                    self.judged.evidence.push(evidence);
                    if doubt.is_firewall
                        && let Next::Firewall(firewall) = leg.next
                    {
                        self.fault(firewall, doubt.leg);
                    }
                    self.judged.asks.extend(doubt.ask);
                    self.judged.advice.extend(doubt.advice);
                    suspects.push(doubt.words);
                }
                Probed::Impossible(why) => {
                    if doubt.is_firewall
                        && let Next::Firewall(firewall) = leg.next
                    {
                        self.judged.doubted_firewalls.push(firewall);
                    }
                    self.unknown.insert(format!("{} ({why})", doubt.words));
                }
            }
        }
        if !suspects.is_empty() {
            let summary = format!(
                "{what} gets no answer, and may be stopped by {}",
                listed(&suspects, " and by ")
            );
            return self.end(Judgement::Suspected, summary);
        }
        if !self.unknown.is_empty() {
            let reasons = listed(&self.unknown, "; ");
            let summary = format!("{what} may be stopped by {reasons}");
            return self.end(Judgement::Unknown, summary);
        }
        let evidence = std::mem::take(&mut self.allowing);
        self.judged.evidence.extend(evidence);
        self.end(Judgement::RuledOut, format!("{what} is not stopped"))
    }

    fn end(self, judgement: Judgement, summary: String) -> Judged {
        Judged {
            judgement: Some(judgement),
            summary,
            ..self.judged
        }
    }
}
