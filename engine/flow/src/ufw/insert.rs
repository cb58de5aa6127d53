//! Where a rule that allows something must stand to have an effect.

use super::policy::UfwPolicy;
use super::rule::{UfwDirection, UfwRule};
use crate::iptables::{DecidedBy, Edit, Family, Hook, NodeFirewall, Rule, TableName};
use crate::policy::{Policy, Verdict};
use crate::set::{AnalysisTooComplex, PacketSet, Space};

/// Where an allowing rule must go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum InsertPlace {
    /// Everything asked passes already.
    NotNeeded,
    /// No rule is in the way, only the default: at the end.
    Append,
    /// Before the rule of this number, as `ufw insert` counts.
    Before(usize),
    /// Something that is not a user's rule of ufw's is in the way, so that none
    /// helps.
    InVain,
}

impl UfwPolicy {
    /// Where `ufw` must put a rule that allows the packets of `needed`, so that
    /// it comes before the first rule that may block one of them.
    ///
    /// The numbers are those of the rules given: `ufw status numbered`.
    ///
    /// # Errors
    /// [`AnalysisTooComplex`].
    pub fn insert_place(
        &self,
        space: &mut Space,
        needed: PacketSet,
    ) -> Result<InsertPlace, AnalysisTooComplex> {
        let partition = self.decide(space, needed)?.partition(space)?;
        if partition.denied.is_empty() && partition.unknown.is_empty() {
            return Ok(InsertPlace::NotNeeded);
        }
        // A rule alone, over a default that lets all pass, tells whether it
        // blocks any of what is needed and not allowed before.
        for (at, rule) in self.rules.iter().enumerate() {
            if rule.direction == UfwDirection::Forward {
                continue;
            }
            let until = Self {
                rules: self.rules[..=at].to_vec(),
                ..self.clone()
            };
            let mut policy = until.as_rules();
            policy
                .rules
                .retain(|rule| !rule.name.starts_with("default "));
            policy.default.1 = Verdict::Allow;
            let partition = policy.decide(space, needed)?.partition(space)?;
            if !partition.denied.is_empty() || !partition.unknown.is_empty() {
                let shipped = Self {
                    rules: Vec::new(),
                    ..self.clone()
                };
                let mut policy = shipped.as_rules();
                policy
                    .rules
                    .retain(|rule| !rule.name.starts_with("default "));
                policy.default.1 = Verdict::Allow;
                let before = policy.decide(space, needed)?.partition(space)?;
                if partition.denied == before.denied && partition.unknown == before.unknown {
                    continue;
                }
                return Ok(InsertPlace::Before(at + 1));
            }
        }
        Ok(InsertPlace::Append)
    }

    /// The policy with a rule at a place.
    #[must_use]
    pub fn with_rule(&self, place: InsertPlace, rule: UfwRule) -> Self {
        let mut changed = self.clone();
        match place {
            InsertPlace::NotNeeded | InsertPlace::InVain => {}
            InsertPlace::Append => changed.rules.push(rule),
            InsertPlace::Before(number) => {
                let at = number.saturating_sub(1).min(changed.rules.len());
                changed.rules.insert(at, rule);
            }
        }
        changed
    }
}

/// The chain ufw keeps a user's rules for received packets in.
fn user_chain(family: Family) -> &'static str {
    match family {
        Family::Ipv4 => "ufw-user-input",
        Family::Ipv6 => "ufw6-user-input",
    }
}

/// What `ufw insert` (or `ufw allow` at the end) does to a node's rules, so that
/// `allow`, a rule as iptables takes it, lets the inbound packets of `needed`
/// pass: the change of the ruleset, or none when no rule of ufw's can help or
/// none is needed.
///
/// # Errors
/// [`AnalysisTooComplex`].
pub fn kernel_insert(
    firewall: &NodeFirewall,
    space: &mut Space,
    family: Family,
    needed: PacketSet,
    allow: Rule,
) -> Result<(InsertPlace, Option<Edit>), AnalysisTooComplex> {
    let decisions = firewall.analyse(space, Hook::Input, needed)?;
    let partition = decisions.decisions.partition(space)?;
    if partition.denied.is_empty() && partition.unknown.is_empty() {
        return Ok((InsertPlace::NotNeeded, None));
    }
    let chain = user_chain(family);
    let rules = firewall
        .rulesets
        .iter()
        .filter(|loaded| loaded.ruleset.family == family)
        .filter_map(|loaded| loaded.ruleset.table(TableName::Filter)?.chain(chain))
        .map(|chain| chain.rules.len())
        .next();
    let Some(count) = rules else {
        return Ok((InsertPlace::InVain, None));
    };
    let mut place = InsertPlace::Append;
    for decision in &decisions.made {
        if decision.verdict == Verdict::Allow {
            continue;
        }
        match &decision.by {
            DecidedBy::Rule(rule) if rule.chain == chain => {
                place = match place {
                    InsertPlace::Before(number) => InsertPlace::Before(number.min(rule.number)),
                    _ => InsertPlace::Before(rule.number),
                };
            }
            _ => {}
        }
    }
    let number = match place {
        InsertPlace::Before(number) => number,
        _ => count + 1,
    };
    let edit = Edit::Insert {
        table: TableName::Filter,
        chain: chain.to_owned(),
        number,
        rule: allow,
    };
    let mut changed = firewall.clone();
    for loaded in changed
        .rulesets
        .iter_mut()
        .filter(|loaded| loaded.ruleset.family == family)
    {
        if let Ok((ruleset, _)) = loaded.ruleset.edited(&edit) {
            loaded.ruleset = ruleset;
            break;
        }
    }
    // Whether it helps is not argued but decided: by the rules as they would be.
    let after = changed
        .analyse(space, Hook::Input, needed)?
        .decisions
        .partition(space)?;
    if after.denied.is_empty() && after.unknown.is_empty() {
        Ok((place, Some(edit)))
    } else {
        Ok((InsertPlace::InVain, None))
    }
}
