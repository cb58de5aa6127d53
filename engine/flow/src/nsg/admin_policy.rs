//! The security admin rules in force on a network, which come before its
//! security groups.

use super::admin::{AdminAccess, AdminRule};
use super::error::NsgError;
use super::tags::TagContext;
use crate::policy::{Decisions, Policy, Rule, RuleMatch, RulePolicy, Verdict};
use crate::set::{AnalysisTooComplex, Atom, ConnectionState, FlowBox, PacketSet, Space};

const NAME: &str = "security admin rules";

const NO_ADMIN_RULE: &str = "no security admin rule matches";

/// Security admin rules, in order. What they do not decide they hand on to the
/// security groups.
#[derive(Debug, Clone)]
pub struct AdminPolicy {
    policy: RulePolicy,
    handing_on: Vec<String>,
}

/// No rule: everything is handed on.
impl Default for AdminPolicy {
    fn default() -> Self {
        Self {
            policy: RulePolicy::constant(NAME, NO_ADMIN_RULE, Verdict::Allow),
            handing_on: vec![NO_ADMIN_RULE.to_owned()],
        }
    }
}

impl AdminPolicy {
    /// The policy of the rules in force.
    ///
    /// # Errors
    /// [`NsgError`], also when two rules of a direction share a priority, as
    /// their order would be a guess.
    pub fn new(rules: &[AdminRule], tags: &TagContext) -> Result<Self, NsgError> {
        let mut ordered: Vec<&AdminRule> = rules.iter().collect();
        ordered.sort_by_key(|rule| (rule.direction, rule.priority));
        for (first, second) in ordered.iter().zip(ordered.iter().skip(1)) {
            if (first.direction, first.priority) == (second.direction, second.priority) {
                return Err(NsgError::DuplicatePriority {
                    first: first.name.clone(),
                    second: second.name.clone(),
                    direction: first.direction,
                    priority: first.priority,
                });
            }
        }
        let mut admin = Self::default();
        for rule in ordered {
            let mut compiled = rule.compile(tags)?;
            if rule.access == AdminAccess::Allow {
                compiled.name = format!("{} (leaves it to the security groups)", rule.name);
                admin.handing_on.push(compiled.name.clone());
            }
            admin.policy.rules.push(compiled);
        }
        Ok(admin)
    }

    /// With the rules of a network besides that could not be read: they may allow
    /// or deny any new connection.
    #[must_use]
    pub fn with_unread(mut self, network: &str, reason: &str) -> Self {
        for (word, verdict) in [("allow", Verdict::Allow), ("deny", Verdict::Deny)] {
            let mut matches = RuleMatch::from(FlowBox::any().with_state(ConnectionState::New));
            matches.conditions.push(Atom {
                name: format!("security admin rules of network {network} {word} it"),
                reason: reason.to_owned(),
            });
            let rule = Rule {
                name: format!("security admin rules of network {network}, not read"),
                matches,
                verdict,
            };
            self.policy.rules.insert(0, rule);
        }
        self
    }

    /// What a policy decides once these rules have decided.
    pub fn before<'a>(&'a self, groups: &'a dyn Policy) -> BehindAdmin<'a> {
        BehindAdmin {
            admin: self,
            groups,
        }
    }

    /// What the rules decide themselves; other packets have no decision.
    pub(super) fn decided(
        &self,
        space: &mut Space,
        within: PacketSet,
    ) -> Result<Decisions, AnalysisTooComplex> {
        let all = self.policy.decide(space, within)?;
        all.only_rules(space, |rule| !self.handing_on.contains(&rule.rule))
    }

    /// The packets that are left to the security groups.
    ///
    /// # Errors
    /// [`AnalysisTooComplex`].
    pub fn handed_on(&self, space: &mut Space) -> Result<PacketSet, AnalysisTooComplex> {
        let all = self.policy.decide(space, PacketSet::ALL)?;
        let mut handed_on = PacketSet::EMPTY;
        for (index, rule) in all.rules().iter().enumerate() {
            if self.handing_on.contains(&rule.rule) {
                let part = all.decided_by(space, index)?;
                handed_on = space.union(handed_on, part)?;
            }
        }
        Ok(handed_on)
    }
}

/// The rules on their own: what they hand on passes them.
impl Policy for AdminPolicy {
    fn name(&self) -> &str {
        self.policy.name()
    }

    fn decide(
        &self,
        space: &mut Space,
        within: PacketSet,
    ) -> Result<Decisions, AnalysisTooComplex> {
        self.policy.decide(space, within)
    }
}

/// Security admin rules and, for what they hand on, another policy.
#[derive(Clone, Copy)]
pub struct BehindAdmin<'a> {
    admin: &'a AdminPolicy,
    groups: &'a dyn Policy,
}

impl Policy for BehindAdmin<'_> {
    fn name(&self) -> &str {
        self.groups.name()
    }

    fn decide(
        &self,
        space: &mut Space,
        within: PacketSet,
    ) -> Result<Decisions, AnalysisTooComplex> {
        // Most networks have no such rule.
        if self.admin.policy.rules.is_empty() {
            return self.groups.decide(space, within);
        }
        let first = self.admin.decided(space, within)?;
        let groups = self.groups.decide(space, within)?;
        first.or_else(space, &groups)
    }
}
