//! Policies: which packets pass, which do not, and which rule says so.

mod answer;
mod decisions;
mod rules;
mod translated;
mod verdict;

pub use answer::{Block, PacketAnswer, Partition};
pub use decisions::{DecidingRule, Decisions};
pub use rules::{Rule, RuleMatch, RulePolicy, UnknownAddresses};
pub use translated::Translated;
pub use verdict::Verdict;

use crate::set::{AnalysisTooComplex, PacketSet, Space};

/// Something that lets packets pass or not: an NSG, a node's firewall.
pub trait Policy {
    /// The name people know it by.
    fn name(&self) -> &str;

    /// Decides every packet of `within`; packets outside are left undecided,
    /// and rules that only concern those cost nothing.
    ///
    /// # Errors
    /// [`AnalysisTooComplex`], naming the rules that matter to `within`.
    fn decide(&self, space: &mut Space, within: PacketSet)
    -> Result<Decisions, AnalysisTooComplex>;
}

impl<P: Policy + ?Sized> Policy for &P {
    fn name(&self) -> &str {
        (**self).name()
    }

    fn decide(
        &self,
        space: &mut Space,
        within: PacketSet,
    ) -> Result<Decisions, AnalysisTooComplex> {
        (**self).decide(space, within)
    }
}

#[cfg(test)]
mod tests;
