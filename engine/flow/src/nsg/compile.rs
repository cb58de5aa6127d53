//! A security group as a policy.

use smallvec::SmallVec;

use super::error::NsgError;
use super::group::Nsg;
use super::rule::{Access, Direction, NsgRule};
use super::tags::{Resolved, Side, TagContext};
use super::unfiltered::before_rules;
use crate::field::{
    AddressValue, FieldError, Place, excerpt, parse_address, parse_ports, parse_protocol,
};
use crate::policy::{Rule, RuleMatch, RulePolicy, UnknownAddresses, Verdict};
use crate::set::{AddressSet, ConnectionState, FlowBox, PortSet};

/// The name under which packets of open connections pass.
pub const ESTABLISHED: &str = "established connection";

impl From<Access> for Verdict {
    fn from(access: Access) -> Self {
        match access {
            Access::Allow => Self::Allow,
            Access::Deny => Self::Deny,
        }
    }
}

impl NsgRule {
    /// The packets the rule is about. Only packets that open a connection are
    /// decided by rules: security groups are stateful.
    ///
    /// # Errors
    /// [`NsgError`] naming the field.
    pub fn matches(&self, tags: &TagContext) -> Result<RuleMatch, NsgError> {
        self.compile(tags)
            .map_err(|error| error.at(format!("rule {}", excerpt(&self.name))).into())
    }

    pub(super) fn compile(&self, tags: &TagContext) -> Result<RuleMatch, FieldError> {
        let at = |field| Place {
            rule: &self.name,
            field,
        };
        let ports = |field, values: &[String]| -> Result<PortSet, FieldError> {
            if let [only] = values {
                return parse_ports(at(field), only);
            }
            values.iter().try_fold(PortSet::empty(), |set, value| {
                Ok(set.union(&parse_ports(at(field), value)?))
            })
        };
        let (sources, unknown_sources) = addresses(
            at("source prefixes"),
            &self.source_prefixes,
            &self.source_groups,
            tags,
            Side::Source,
        )?;
        let (destinations, unknown_destinations) = addresses(
            at("destination prefixes"),
            &self.destination_prefixes,
            &self.destination_groups,
            tags,
            Side::Destination,
        )?;
        let flow = FlowBox::any()
            .with_direction(self.direction.into())
            .with_state(ConnectionState::New)
            .with_protocols(parse_protocol(at("protocol"), &self.protocol)?)
            .with_sources(sources)
            .with_source_ports(ports("source ports", &self.source_ports)?)
            .with_destinations(destinations)
            .with_destination_ports(ports("destination ports", &self.destination_ports)?);
        Ok(RuleMatch {
            flow,
            unknown_sources,
            unknown_destinations,
            conditions: Vec::new(),
        })
    }
}

/// The known addresses of one side, and the unknown ones.
fn addresses(
    place: Place<'_>,
    prefixes: &[String],
    groups: &[String],
    tags: &TagContext,
    side: Side,
) -> Result<(AddressSet, Vec<UnknownAddresses>), FieldError> {
    let mut known: SmallVec<[AddressSet; 1]> = SmallVec::new();
    let mut unknown = Vec::new();
    let mut add = |resolved: Resolved| {
        let (set, addresses) = resolved.parts();
        if !set.is_empty() {
            known.push(set);
        }
        unknown.extend(addresses);
    };
    for value in prefixes {
        add(match parse_address(place, value)? {
            AddressValue::Any => Resolved::Known(AddressSet::any()),
            AddressValue::Addresses(set) => Resolved::Known(set),
            AddressValue::Tag(name) => tags.tag(&name, side),
        });
    }
    for id in groups {
        add(tags.group(id, side));
    }
    let known = match known.len() {
        1 => known.remove(0),
        _ => AddressSet::union_all(&known),
    };
    Ok((known, unknown))
}

impl Nsg {
    /// The group as a policy.
    ///
    /// # Errors
    /// [`NsgError`] naming the rule and the field.
    pub fn policy(&self, tags: &TagContext) -> Result<RulePolicy, NsgError> {
        let mut rules = vec![established()];
        rules.extend(before_rules(self, tags)?);
        rules.extend(compiled(self, tags)?);
        let name = if self.name.is_empty() {
            "security group"
        } else {
            &self.name
        };
        Ok(RulePolicy {
            name: name.to_owned(),
            rules,
            default: ("no rule matches".to_owned(), Verdict::Deny),
        })
    }
}

/// The rules of a group in the order they are evaluated, with nothing before them.
pub(super) fn compiled(group: &Nsg, tags: &TagContext) -> Result<Vec<Rule>, NsgError> {
    let mut rules = Vec::new();
    for direction in [Direction::Inbound, Direction::Outbound] {
        for rule in group.evaluated(direction) {
            rules.push(Rule {
                name: rule.name.clone(),
                matches: rule.matches(tags)?,
                verdict: rule.access.into(),
            });
        }
    }
    Ok(rules)
}

/// Packets of connections that were allowed when they opened.
pub(super) fn established() -> Rule {
    Rule {
        name: ESTABLISHED.to_owned(),
        matches: FlowBox::any()
            .with_state(ConnectionState::Established)
            .into(),
        verdict: Verdict::Allow,
    }
}
