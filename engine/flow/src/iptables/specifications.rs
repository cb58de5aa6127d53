//! Specifications read before, so that many alike dumps are read quickly.

use std::sync::Arc;

use hashbrown::HashMap;

use super::ruleset::{Family, Specification};
use super::target::Target;

/// Most specifications that are remembered, to bound the memory.
const REMEMBERED: usize = 100_000;

/// Specifications of rules by their text. Nodes of one cluster have almost the
/// same rules: each distinct one is read once, and shared.
#[derive(Debug, Default)]
pub struct Specifications {
    ipv4: HashMap<Box<str>, Arc<Specification>>,
    ipv6: HashMap<Box<str>, Arc<Specification>>,
}

impl Specifications {
    fn of(&self, family: Family) -> &HashMap<Box<str>, Arc<Specification>> {
        match family {
            Family::Ipv4 => &self.ipv4,
            Family::Ipv6 => &self.ipv6,
        }
    }

    /// What the text was read as before, if it still says that in a table with
    /// these chains: the same word can be a chain here and a target there.
    pub(super) fn recall(
        &self,
        family: Family,
        text: &str,
        is_chain: &dyn Fn(&str) -> bool,
    ) -> Option<Arc<Specification>> {
        let known = self.of(family).get(text)?;
        let holds = match &known.target {
            Target::None | Target::Accept | Target::Drop | Target::Return => true,
            Target::Jump(chain) | Target::Goto(chain) => is_chain(chain),
            Target::SetMark { .. } => !is_chain("MARK"),
            Target::Reject(extension)
            | Target::Translate(extension)
            | Target::Continue(extension)
            | Target::Unmodelled(extension) => !is_chain(&extension.name),
        };
        holds.then(|| Arc::clone(known))
    }

    /// Remembers what a text was read as.
    pub(super) fn remember(
        &mut self,
        family: Family,
        text: &str,
        specification: &Arc<Specification>,
    ) {
        let known = match family {
            Family::Ipv4 => &mut self.ipv4,
            Family::Ipv6 => &mut self.ipv6,
        };
        if known.len() < REMEMBERED {
            known.insert(text.into(), Arc::clone(specification));
        }
    }
}
