//! The sets of rules on the way, and their rules as they are shown.

use naosu_flow::{
    iptables::{DecidedBy, Decision, Hook, NodeFirewall},
    nsg::{self, AdminAccess, AdminPolicy, AdminRule, BehindAdmin, Nsg},
    path,
    policy::{DecidingRule, Policy, RulePolicy},
    set::{AnalysisTooComplex, Direction, FlowBox, Membership, Packet, Space},
};

use super::answer::HopRule;

/// One set of rules on the way.
pub enum Hop<'a> {
    /// Security admin rules.
    Admin(&'a AdminPolicy),
    /// A security group.
    Group {
        /// What people call this place.
        name: &'static str,
        /// The group.
        group: Box<Nsg>,
        /// What it means, behind the security admin rules.
        policy: BehindAdmin<'a, RulePolicy>,
        /// Those rules.
        admin: &'a AdminPolicy,
    },
    /// The firewall of the node.
    Node(Box<NodeFirewall>),
}

impl Hop<'_> {
    /// What people call this place.
    pub fn name(&self) -> &str {
        match self {
            Self::Admin(admin) => admin.name(),
            Self::Group { name, .. } => name,
            Self::Node(firewall) => firewall.name(),
        }
    }

    /// The hop as one of a path.
    pub fn on_path(&self, direction: Direction) -> path::Hop<'_> {
        let policy: &dyn Policy = match self {
            Self::Admin(admin) => *admin,
            Self::Group { policy, .. } => policy,
            Self::Node(firewall) => firewall.as_ref(),
        };
        path::Hop {
            name: self.name(),
            direction,
            policy,
        }
    }

    /// The rules that decide a packet here, given as a policy names them.
    pub fn rules(
        &self,
        space: &mut Space,
        packet: &Packet,
        rules: &[DecidingRule],
    ) -> Result<Vec<HopRule>, AnalysisTooComplex> {
        match self {
            Self::Admin(admin) => Ok(rules
                .iter()
                .map(|rule| {
                    let found = admin.rule(rule, of_group(packet.direction));
                    admin_rule(admin, found, rule)
                })
                .collect()),
            Self::Group {
                name, group, admin, ..
            } => Ok(rules
                .iter()
                .map(|rule| {
                    let direction = of_group(packet.direction);
                    match admin.rule(rule, direction) {
                        Some(found) => admin_rule(admin, Some(found), rule),
                        None => group_rule(name, group, direction, rule),
                    }
                })
                .collect()),
            Self::Node(firewall) => {
                let made = node_decisions(space, firewall, packet)?;
                Ok(made
                    .iter()
                    .map(|made| node_rule(self.name(), made))
                    .collect())
            }
        }
    }
}

/// A rule that has a name.
fn named_rule(hop: &str, priority: Option<u16>, rule: &DecidingRule) -> HopRule {
    let words = match priority {
        Some(priority) => format!(
            "rule {}, priority {priority}, of {}",
            rule.rule, rule.policy
        ),
        None => format!("{}, in {}", rule.rule, rule.policy),
    };
    HopRule {
        hop: hop.to_owned(),
        verdict: rule.verdict,
        rule: rule.rule.clone(),
        words,
        priority,
        table: None,
        chain: None,
        number: None,
        line: None,
        reason: None,
        hands_on: false,
    }
}

fn of_group(direction: Direction) -> nsg::Direction {
    match direction {
        // To Azure, what a machine is to pass on comes in to it.
        Direction::Inbound | Direction::Forwarded => nsg::Direction::Inbound,
        Direction::Outbound => nsg::Direction::Outbound,
    }
}

/// A decision of security admin rules, which is theirs wherever it is met; `None` is
/// that none of them matches.
fn admin_rule(admin: &AdminPolicy, found: Option<&AdminRule>, rule: &DecidingRule) -> HopRule {
    HopRule {
        hands_on: found.is_none_or(|found| found.access == AdminAccess::Allow),
        ..named_rule(admin.name(), found.map(|found| found.priority), rule)
    }
}

fn group_rule(hop: &str, group: &Nsg, direction: nsg::Direction, rule: &DecidingRule) -> HopRule {
    let priority = group
        .evaluated(direction)
        .find(|candidate| candidate.name == rule.rule)
        .map(|found| found.priority);
    named_rule(hop, priority, rule)
}

/// What decides a packet on the node, with the places of the rules.
fn node_decisions(
    space: &mut Space,
    firewall: &NodeFirewall,
    packet: &Packet,
) -> Result<Vec<Decision>, AnalysisTooComplex> {
    let hook = match packet.direction {
        Direction::Inbound => Hook::Input,
        Direction::Outbound => Hook::Output,
        Direction::Forwarded => Hook::Forward,
    };
    let within = space.flow(&FlowBox::one(packet))?;
    let analysed = firewall.analyse(space, hook, within)?;
    let mut made = Vec::new();
    for (rule, decision) in analysed.made.iter().enumerate() {
        let packets = analysed.decisions.decided_by(space, rule)?;
        if space.contains(packets, packet) != Membership::No {
            made.push(decision.clone());
        }
    }
    Ok(made)
}

fn node_rule(hop: &str, decision: &Decision) -> HopRule {
    let words = decision.by.to_string();
    let mut shown = HopRule {
        hop: hop.to_owned(),
        verdict: decision.verdict,
        rule: words.clone(),
        words,
        priority: None,
        table: None,
        chain: None,
        number: None,
        line: None,
        reason: decision.reason.clone(),
        hands_on: false,
    };
    match &decision.by {
        DecidedBy::Rule(place) => {
            shown.rule = place.specification.clone();
            shown.table = Some(place.table.as_str().to_owned());
            shown.chain = Some(place.chain.clone());
            shown.number = Some(place.number);
            shown.line = Some(place.line);
        }
        DecidedBy::ChainPolicy { table, chain, .. } => {
            shown.table = Some(table.as_str().to_owned());
            shown.chain = Some(chain.clone());
        }
        DecidedBy::NoFilter | DecidedBy::Unread { .. } => {}
    }
    shown
}
