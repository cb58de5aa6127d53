//! The sets of rules on the way, and their rules as they are shown.

use std::cell::RefCell;

use naosu_flow::{
    iptables::{DecidedBy, Decision, Hook, NodeFirewall, POLICY_NAME},
    nsg::{self, AdminAccess, AdminPolicy, AdminRule, BehindAdmin, Nsg},
    path,
    policy::{DecidingRule, Decisions, Policy, RulePolicy, Verdict},
    set::{
        AnalysisTooComplex, Direction, FlowBox, Membership, Packet, PacketMap, PacketSet, Space,
    },
};

use super::answer::HopRule;

/// One set of rules on the way.
pub struct Hop<'a> {
    /// What people call this place.
    pub name: String,
    /// Which way packets go there.
    pub direction: Direction,
    /// The rules.
    pub rules: Rules<'a>,
    /// Packets that stay on their machine and do not come here.
    pub staying: Vec<FlowBox>,
    /// What its files leave open, in words.
    pub notes: Vec<String>,
}

/// Rules by their kind.
pub enum Rules<'a> {
    /// Security admin rules.
    Admin(&'a AdminPolicy),
    /// A security group.
    Group {
        /// The group.
        group: Box<Nsg>,
        /// What it means, behind the security admin rules.
        policy: BehindAdmin<'a, RulePolicy>,
        /// Those rules.
        admin: &'a AdminPolicy,
    },
    /// The firewall of a node.
    Node(NodeRules),
    /// Routes, an Azure Firewall, or what ufw says.
    Ordered(Box<RulePolicy>),
}

impl Hop<'_> {
    /// The hop as one of a path.
    pub fn on_path(&self) -> path::Hop<'_> {
        path::Hop {
            name: &self.name,
            direction: self.direction,
            policy: self,
        }
    }

    fn policy(&self) -> &dyn Policy {
        match &self.rules {
            Rules::Admin(admin) => *admin,
            Rules::Group { policy, .. } => policy,
            Rules::Node(rules) => rules,
            Rules::Ordered(policy) => policy.as_ref(),
        }
    }

    /// The rules that decide a packet here, by the decisions made on the path and the
    /// rules as the policy names them.
    pub fn deciding(
        &self,
        space: &mut Space,
        decisions: &Decisions,
        packet: &Packet,
        rules: &[DecidingRule],
    ) -> Result<Vec<HopRule>, AnalysisTooComplex> {
        let Rules::Node(node) = &self.rules else {
            return Ok(rules.iter().map(|rule| self.named(rule)).collect());
        };
        let staying = rules.iter().filter(|rule| is_of_staying(rule));
        let mut shown: Vec<HopRule> = staying.map(|rule| self.named(rule)).collect();
        for (index, decision) in node.made.borrow().iter().enumerate() {
            let packets = decisions.decided_by(space, index)?;
            if space.contains(packets, packet) != Membership::No {
                shown.push(node_rule(&self.name, decision));
            }
        }
        Ok(shown)
    }

    /// The rule that stops packets here.
    pub fn stopping(&self, stop: &path::Stop) -> HopRule {
        if let Rules::Node(node) = &self.rules
            && let Some(decision) = node.made.borrow().get(stop.index)
        {
            return node_rule(&self.name, decision);
        }
        self.named(&stop.rule)
    }

    fn named(&self, rule: &DecidingRule) -> HopRule {
        if is_of_staying(rule) {
            return HopRule {
                words: format!("not met: {}", rule.rule),
                hands_on: true,
                ..named_rule(&self.name, None, rule)
            };
        }
        let direction = of_group(self.direction);
        match &self.rules {
            Rules::Admin(admin) => admin_rule(admin, admin.rule(rule, direction), rule),
            Rules::Group { group, admin, .. } => match admin.rule(rule, direction) {
                Some(found) => admin_rule(admin, Some(found), rule),
                None => group_rule(&self.name, group, direction, rule),
            },
            Rules::Node(_) | Rules::Ordered(_) => named_rule(&self.name, None, rule),
        }
    }
}

/// Who decides about packets that do not come to a hop.
const STAYING: &str = "packets that stay on their machine";

fn is_of_staying(rule: &DecidingRule) -> bool {
    rule.policy == STAYING
}

/// Lets packets that stay on their machine go by.
impl Policy for Hop<'_> {
    fn name(&self) -> &str {
        self.policy().name()
    }

    fn decide(
        &self,
        space: &mut Space,
        within: PacketSet,
    ) -> Result<Decisions, AnalysisTooComplex> {
        let mut going_by = PacketSet::EMPTY;
        for flow in &self.staying {
            let flow = space.flow(flow)?;
            let part = space.intersection(flow, within)?;
            going_by = space.union(going_by, part)?;
        }
        if going_by.is_empty() {
            return self.policy().decide(space, within);
        }
        let coming = space.difference(within, going_by)?;
        let what = "the packet does not leave its machine";
        let by = RulePolicy::constant(STAYING, what, Verdict::Allow).decide(space, going_by)?;
        // The rules of the hop first, so that each keeps its place.
        let here = self.policy().decide(space, coming)?;
        here.or_else(space, &by)
    }
}

/// The firewall of a node, which remembers what made its decisions.
pub struct NodeRules {
    parts: Vec<NodePart>,
    made: RefCell<Vec<Decision>>,
}

/// The firewall of a node as some packets meet it.
pub struct NodePart {
    /// Those packets.
    pub packets: FlowBox,
    /// The way they take.
    pub hook: Hook,
    /// The firewall, and what is known of it about them.
    pub firewall: NodeFirewall,
}

impl NodeRules {
    /// What is asked of a firewall once; each packet by the first part that has it.
    pub fn new(parts: Vec<NodePart>) -> Self {
        Self {
            parts,
            made: RefCell::default(),
        }
    }
}

impl Policy for NodeRules {
    fn name(&self) -> &str {
        POLICY_NAME
    }

    fn decide(
        &self,
        space: &mut Space,
        within: PacketSet,
    ) -> Result<Decisions, AnalysisTooComplex> {
        let (nothing, none) = (PacketSet::EMPTY, PacketMap::NONE);
        let mut decisions = Decisions::new(space, nothing, none, Vec::new())?;
        let mut made = Vec::new();
        let mut left = within;
        for part in &self.parts {
            let packets = space.flow(&part.packets)?;
            let here = space.intersection(left, packets)?;
            left = space.difference(left, packets)?;
            let analysed = part.firewall.analyse(space, part.hook, here)?;
            decisions = decisions.or_else(space, &analysed.decisions)?;
            made.extend(analysed.made);
        }
        self.made.replace(made);
        Ok(decisions)
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
