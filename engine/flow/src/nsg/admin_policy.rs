//! The security admin rules in force on a network, which come before its
//! security groups.

use super::admin::{AdminAccess, AdminRule};
use super::error::NsgError;
use super::rule::Direction;
use super::tags::TagContext;
use crate::policy::{DecidingRule, Decisions, Policy, Rule, RuleMatch, RulePolicy, Verdict};
use crate::set::{AnalysisTooComplex, Atom, ConnectionState, FlowBox, PacketSet, Space};

const NAME: &str = "security admin rules";

const NO_ADMIN_RULE: &str = "no security admin rule matches";

/// Security admin rules, in order. What they do not decide they hand on to the
/// security groups.
#[derive(Debug, Clone)]
pub struct AdminPolicy {
    policy: RulePolicy,
    handing_on: Vec<String>,
    /// Each rule, by the name it decides under.
    named: Vec<(String, AdminRule)>,
}

/// No rule: everything is handed on.
impl Default for AdminPolicy {
    fn default() -> Self {
        Self {
            policy: RulePolicy::constant(NAME, NO_ADMIN_RULE, Verdict::Allow),
            handing_on: vec![NO_ADMIN_RULE.to_owned()],
            named: Vec::new(),
        }
    }
}

impl AdminPolicy {
    /// Whether there is no rule.
    pub fn is_empty(&self) -> bool {
        self.policy.rules.is_empty()
    }

    /// The policy of the rules in force. A priority is unique in its collection
    /// only: which of several rules with the same one comes first is not known.
    ///
    /// # Errors
    /// [`NsgError`] naming the rule and the field.
    pub fn new(rules: &[AdminRule], tags: &TagContext) -> Result<Self, NsgError> {
        let place = |rule: &AdminRule| (rule.direction, rule.priority);
        let mut ordered: Vec<&AdminRule> = rules.iter().collect();
        ordered.sort_by_key(|rule| (place(rule), rule.name.as_str()));
        let mut admin = Self::default();
        for equals in ordered.chunk_by(|one, other| place(one) == place(other)) {
            let mut compiled = Vec::new();
            for rule in equals {
                let mut one = rule.compile(tags)?;
                if rule.access == AdminAccess::Allow {
                    one.name = format!("{} (leaves it to the security groups)", rule.name);
                    admin.handing_on.push(one.name.clone());
                }
                admin.named.push((one.name.clone(), (*rule).clone()));
                compiled.push(one);
            }
            // Each but the last comes first if its atom says so; then the last does.
            let is_open = equals.iter().any(|rule| rule.access != equals[0].access);
            let first_of = compiled.iter().take(compiled.len() - 1);
            for one in first_of.filter(|_| is_open) {
                let mut first = one.clone();
                first.matches.conditions.push(Atom {
                    name: format!(
                        "security admin rule {} comes first of its priority",
                        one.name
                    ),
                    reason: "the order of rules with the same priority is not known".to_owned(),
                });
                admin.policy.rules.push(first);
            }
            admin.policy.rules.extend(compiled.into_iter().rev());
        }
        Ok(admin)
    }

    /// The rule that decides, if it is one of these.
    pub fn rule(&self, deciding: &DecidingRule, direction: Direction) -> Option<&AdminRule> {
        let is_it = |name: &str, rule: &AdminRule| {
            deciding.policy == NAME && name == deciding.rule && rule.direction == direction
        };
        let mut named = self.named.iter();
        named.find_map(|(name, rule)| is_it(name, rule).then_some(rule))
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
    pub fn before<P: Policy>(&self, groups: P) -> BehindAdmin<'_, P> {
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
#[derive(Debug, Clone)]
pub struct BehindAdmin<'a, P> {
    admin: &'a AdminPolicy,
    groups: P,
}

impl<P: Policy> Policy for BehindAdmin<'_, P> {
    fn name(&self) -> &str {
        self.groups.name()
    }

    fn decide(
        &self,
        space: &mut Space,
        within: PacketSet,
    ) -> Result<Decisions, AnalysisTooComplex> {
        // Most networks have no such rule.
        if self.admin.is_empty() {
            return self.groups.decide(space, within);
        }
        let first = self.admin.decided(space, within)?;
        let groups = self.groups.decide(space, within)?;
        first.or_else(space, &groups)
    }
}
