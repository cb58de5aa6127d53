//! Where a rule that allows something must stand to have an effect.

use super::policy::UfwPolicy;
use super::rule::{UfwDirection, UfwRule};
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
            InsertPlace::NotNeeded => {}
            InsertPlace::Append => changed.rules.push(rule),
            InsertPlace::Before(number) => {
                let at = number.saturating_sub(1).min(changed.rules.len());
                changed.rules.insert(at, rule);
            }
        }
        changed
    }
}
