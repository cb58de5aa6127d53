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

    /// The policy of the rules in force. What comes first is only known of rules of
    /// one network manager with different priorities: a priority is unique in its
    /// collection, and of several managers the one of the higher scope wins, which
    /// no rule tells.
    ///
    /// # Errors
    /// [`NsgError`] naming the rule and the field.
    pub fn new(rules: &[AdminRule], tags: &TagContext) -> Result<Self, NsgError> {
        let place = |rule: &AdminRule| (rule.direction, rule.priority);
        let mut ordered: Vec<&AdminRule> = rules.iter().collect();
        ordered.sort_by_key(|rule| (rule.manager.as_str(), place(rule), rule.name.as_str()));
        let of_managers = ordered.chunk_by(|one, other| one.manager == other.manager);
        let has_one_manager = of_managers.clone().count() < 2;
        let mut admin = Self::default();
        let mut managers: Vec<Vec<Compiled>> = Vec::new();
        for of_manager in of_managers {
            let mut compiled = Vec::new();
            for equals in of_manager.chunk_by(|one, other| place(one) == place(other)) {
                let mut of_priority = Vec::new();
                for rule in equals {
                    of_priority.push(admin.compile(rule, has_one_manager, tags)?);
                }
                compiled.extend(any_first(
                    of_priority.into_iter().map(|one| vec![one]).collect(),
                    |one| format!("{} comes first of its priority", one.rule.name),
                ));
            }
            managers.push(compiled);
        }
        let in_order = any_first(managers, |one| {
            format!("the rules of network manager {} come first", one.manager)
        });
        admin.policy.rules = in_order.into_iter().map(|one| one.rule).collect();
        Ok(admin)
    }

    fn compile(
        &mut self,
        rule: &AdminRule,
        has_one_manager: bool,
        tags: &TagContext,
    ) -> Result<Compiled, NsgError> {
        let mut compiled = rule.compile(tags)?;
        if !has_one_manager {
            compiled.name = format!("{}/{}", rule.manager, compiled.name);
        }
        if rule.access == AdminAccess::Allow {
            compiled.name = format!("{} (leaves it to the security groups)", compiled.name);
            self.handing_on.push(compiled.name.clone());
        }
        self.named.push((compiled.name.clone(), rule.clone()));
        Ok(Compiled {
            rule: compiled,
            access: rule.access,
            manager: rule.manager.clone(),
        })
    }

    /// The rule that decides, if it is one of these.
    pub fn rule(&self, deciding: &DecidingRule, direction: Direction) -> Option<&AdminRule> {
        let is_it = |name: &str, rule: &AdminRule| {
            deciding.policy == NAME && name == deciding.rule && rule.direction == direction
        };
        let mut named = self.named.iter();
        named.find_map(|(name, rule)| is_it(name, rule).then_some(rule))
    }

    /// With the rules of a network besides that could not be read: they may decide
    /// any new connection, either way.
    #[must_use]
    pub fn with_unread(mut self, network: &str, reason: &str) -> Self {
        let atom = |does: &str| Atom {
            name: format!("security admin rules of network {network} {does}"),
            reason: reason.to_owned(),
        };
        let (decide, allow) = (atom("decide it"), atom("let it pass"));
        let unread = [
            (vec![decide.clone(), allow], Verdict::Allow),
            (vec![decide], Verdict::Deny),
        ];
        let unread = unread.map(|(conditions, verdict)| {
            let mut matches = RuleMatch::from(FlowBox::any().with_state(ConnectionState::New));
            matches.conditions = conditions;
            Rule {
                name: format!("security admin rules of network {network}, not read"),
                matches,
                verdict,
            }
        });
        self.policy.rules.splice(0..0, unread);
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

/// A rule on its way into the policy.
#[derive(Clone)]
struct Compiled {
    rule: Rule,
    access: AdminAccess,
    manager: String,
}

/// Lists of which it is not known which comes first, as one list: each but the last
/// once under an atom that says that it does, then all. Lists that do not disagree on
/// any packet need no atom.
fn any_first(lists: Vec<Vec<Compiled>>, atom: impl Fn(&Compiled) -> String) -> Vec<Compiled> {
    let mut all = Vec::new();
    let but_last = lists.len().saturating_sub(1);
    for (at, list) in lists.iter().enumerate().take(but_last) {
        let mut others = lists.iter().enumerate().filter(|(other, _)| *other != at);
        let Some(first) = list.first() else { continue };
        if !others.any(|(_, other)| disagree(list, other)) {
            continue;
        }
        let atom = Atom {
            name: format!("security admin rules: {}", atom(first)),
            reason: "their order is not known".to_owned(),
        };
        for one in list {
            let mut conditional = one.clone();
            conditional.rule.matches.conditions.push(atom.clone());
            all.push(conditional);
        }
    }
    all.extend(lists.into_iter().rev().flatten());
    all
}

fn disagree(list: &[Compiled], other: &[Compiled]) -> bool {
    list.iter().any(|one| {
        let bounds = one.rule.matches.bounds();
        let mut others = other.iter();
        others.any(|other| other.access != one.access && other.rule.matches.may_concern(&bounds))
    })
}
