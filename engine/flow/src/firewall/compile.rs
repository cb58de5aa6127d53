//! A firewall as a policy.

use super::collection::{CollectionAction, Firewall, FirewallRule, Ordered, RuleKind};
use super::error::FirewallError;
use super::intrusion::bypassing;
use crate::delta::FlowDelta;
use crate::field::{AddressValue, FieldError, Place, excerpt, parse_address, parse_ports};
use crate::nsg::{Resolved, Side, TagContext};
use crate::policy::{Rule, RuleMatch, RulePolicy, UnknownAddresses, Verdict};
use crate::set::{
    AddressSet, Atom, ConnectionState, FlowBox, PortSet, Protocol, ProtocolSet, Space,
};

/// What decides where no rule does.
const NO_RULE: &str = "no rule matches";

impl Firewall {
    /// The firewall as a policy over new connections; packets of open ones
    /// pass. Kinds come in the order NAT, network, application; within a kind
    /// parents before children, then groups, then collections by priority.
    ///
    /// # Errors
    /// [`FirewallError`] naming collection, rule and field.
    pub fn policy(&self, tags: &TagContext) -> Result<RulePolicy, FirewallError> {
        let mut rules = vec![Rule {
            name: crate::nsg::ESTABLISHED.to_owned(),
            matches: FlowBox::any()
                .with_state(ConnectionState::Established)
                .into(),
            verdict: Verdict::Allow,
        }];
        if self.threat_intelligence_denies {
            rules.push(conditional(
                "threat intelligence",
                FlowBox::any(),
                "source or destination is on the threat intelligence list",
                "the list changes all the time and was not observed",
                Verdict::Deny,
            ));
        }
        let decided = self.decided_by_rules(tags)?;
        if let Some(bypassing) = bypassing(&self.intrusion_detection, tags)? {
            // What bypasses it is decided before.
            for flow in bypassing {
                rules.extend(decided.iter().map(|rule| Rule {
                    name: rule.name.clone(),
                    matches: rule.matches.inside(&flow),
                    verdict: rule.verdict,
                }));
                rules.push(Rule {
                    name: NO_RULE.to_owned(),
                    matches: flow.into(),
                    verdict: Verdict::Deny,
                });
            }
            rules.push(conditional(
                "intrusion detection",
                FlowBox::any().with_state(ConnectionState::New),
                "the connection matches a signature of intrusion detection",
                "signatures look at what connections carry, which was not observed",
                Verdict::Deny,
            ));
        }
        rules.extend(decided);
        Ok(RulePolicy {
            name: self.name.clone(),
            rules,
            default: (NO_RULE.to_owned(), Verdict::Deny),
        })
    }

    /// What rules decide that were read or could not be.
    fn decided_by_rules(&self, tags: &TagContext) -> Result<Vec<Rule>, FirewallError> {
        let ordered = self.in_order()?;
        let mut rules = Vec::new();
        // They may come before all others, and leave packets to them.
        for unread in &self.unread {
            for (word, verdict) in [("allow", Verdict::Allow), ("deny", Verdict::Deny)] {
                rules.push(conditional(
                    &format!("{}, not read", unread.holder),
                    FlowBox::any().with_state(ConnectionState::New),
                    &format!("rules of {} {word} it", unread.holder),
                    &unread.reason,
                    verdict,
                ));
            }
        }
        for kind in [RuleKind::Nat, RuleKind::Network, RuleKind::Application] {
            for Ordered {
                is_own,
                group,
                collection,
            } in &ordered
            {
                // Rules of NAT are not inherited.
                if kind == RuleKind::Nat && !is_own {
                    continue;
                }
                for rule in collection.rules.iter().filter(|rule| rule.kind == kind) {
                    let name = format!("{}/{}/{}", group.name, collection.name, rule.name);
                    let place = format!("rule {}", excerpt(&name));
                    rules.push(Rule {
                        matches: matches(rule, tags).map_err(|error| error.at(place))?,
                        verdict: match collection.action {
                            CollectionAction::Allow => Verdict::Allow,
                            CollectionAction::Deny => Verdict::Deny,
                            // Where the packet goes after translation, and what
                            // is decided there, is not modelled.
                            CollectionAction::Dnat => Verdict::Unknown,
                        },
                        name,
                    });
                }
            }
        }
        let mut web = FlowBox::any().with_protocol(Protocol::TCP);
        web.destination_ports = PortSet::single(80_u16).union(&PortSet::single(443_u16));
        rules.push(conditional(
            "built-in infrastructure rules",
            web,
            "destination is an infrastructure host name of Azure",
            "host names are not in packets' addresses",
            Verdict::Allow,
        ));
        Ok(rules)
    }
}

/// The exact delta between two states of a firewall.
///
/// # Errors
/// [`FirewallError`], also when the exact answer costs too much.
pub fn firewall_delta(
    space: &mut Space,
    before: &Firewall,
    after: &Firewall,
    tags: &TagContext,
) -> Result<FlowDelta, FirewallError> {
    let (before, after) = (before.policy(tags)?, after.policy(tags)?);
    Ok(FlowDelta::of_policies(space, &before, &after)?)
}

pub(super) fn conditional(
    name: &str,
    flow: FlowBox,
    atom: &str,
    reason: &str,
    verdict: Verdict,
) -> Rule {
    let mut matches = RuleMatch::from(flow);
    matches.conditions.push(Atom {
        name: atom.to_owned(),
        reason: reason.to_owned(),
    });
    Rule {
        name: name.to_owned(),
        matches,
        verdict,
    }
}

pub(super) fn matches(rule: &FirewallRule, tags: &TagContext) -> Result<RuleMatch, FieldError> {
    let at = |field| Place {
        rule: &rule.name,
        field,
    };
    let (sources, unknown_sources) = addresses(
        at("sourceAddresses"),
        &rule.sources,
        &rule.source_ip_groups,
        tags,
        Side::Source,
    )?;
    let (mut destinations, mut unknown_destinations) = addresses(
        at("destinationAddresses"),
        &rule.destinations,
        &rule.destination_ip_groups,
        tags,
        Side::Destination,
    )?;
    let mut conditions = Vec::new();
    if !rule.destination_names.is_empty() {
        let mut names = rule.destination_names.clone();
        names.sort_unstable();
        let atom = Atom {
            name: format!("destination is {}", names.join(" or ")),
            reason: "which addresses a host name stands for was not observed".to_owned(),
        };
        if rule.kind == RuleKind::Application {
            // An application rule needs the name whatever the address.
            conditions.push(atom);
        } else {
            unknown_destinations.push(UnknownAddresses {
                atom,
                when: true,
                within: AddressSet::any(),
            });
        }
    }
    let names_only = destinations.is_empty() && unknown_destinations.is_empty();
    if rule.kind == RuleKind::Application && names_only {
        destinations = AddressSet::any();
    }
    let mut ports = PortSet::empty();
    for value in &rule.destination_ports {
        ports = ports.union(&parse_ports(at("destinationPorts"), value)?);
    }
    let mut protocols = ProtocolSet::empty();
    for value in &rule.protocols {
        protocols = protocols.union(&protocol(at("protocols"), value)?);
    }
    let flow = FlowBox::any()
        .with_state(ConnectionState::New)
        .with_protocols(protocols)
        .with_sources(sources)
        .with_destinations(destinations)
        .with_destination_ports(ports);
    Ok(RuleMatch {
        flow,
        unknown_sources,
        unknown_destinations,
        conditions,
    })
}

fn protocol(place: Place<'_>, value: &str) -> Result<ProtocolSet, FieldError> {
    Ok(match value.to_ascii_lowercase().as_str() {
        "tcp" => ProtocolSet::single(Protocol::TCP.0),
        "udp" => ProtocolSet::single(Protocol::UDP.0),
        "icmp" => ProtocolSet::single(Protocol::ICMP.0),
        "any" => ProtocolSet::full(),
        _ => {
            return Err(FieldError::Invalid {
                place: place.rule.to_owned(),
                field: place.field.to_owned(),
                value: format!("\"{}\"", excerpt(value)),
                expected: "one of TCP, UDP, ICMP, Any",
            });
        }
    })
}

fn addresses(
    place: Place<'_>,
    values: &[String],
    ip_groups: &[String],
    tags: &TagContext,
    side: Side,
) -> Result<(AddressSet, Vec<UnknownAddresses>), FieldError> {
    let mut known = Vec::new();
    let mut unknown = Vec::new();
    let mut add = |resolved: Resolved| {
        let (set, addresses) = resolved.parts();
        if !set.is_empty() {
            known.push(set);
        }
        unknown.extend(addresses);
    };
    for value in values {
        add(match parse_address(place, value)? {
            AddressValue::Any => Resolved::Known(AddressSet::any()),
            AddressValue::Addresses(set) => Resolved::Known(set),
            AddressValue::Tag(name) => tags.tag(&name, side),
        });
    }
    for id in ip_groups {
        add(tags.ip_group(id, side));
    }
    Ok((AddressSet::union_all(&known), unknown))
}
