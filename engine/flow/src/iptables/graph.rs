//! The jumps between the chains of a table.

use hashbrown::HashMap;

use super::error::{ParseErrorKind, excerpt};
use super::ruleset::Table;

/// Refuses chains that reach themselves, as the kernel does when they are
/// loaded. Walks without recursion: chains may be nested thousands deep.
pub(super) fn refuse_loops(table: &Table) -> Result<(), ParseErrorKind> {
    let positions: HashMap<&str, usize> = table
        .chains
        .iter()
        .enumerate()
        .map(|(at, chain)| (chain.name.as_str(), at))
        .collect();
    let leads_to: Vec<Vec<usize>> = table
        .chains
        .iter()
        .map(|chain| {
            let mut next: Vec<usize> = chain
                .rules
                .iter()
                .filter_map(|rule| positions.get(rule.target.chain()?).copied())
                .collect();
            next.sort_unstable();
            next.dedup();
            next
        })
        .collect();
    // Kahn's algorithm: what cannot be removed lies on, or behind, a circle.
    let mut arrivals = vec![0_usize; leads_to.len()];
    for to in leads_to.iter().flatten() {
        if let Some(count) = arrivals.get_mut(*to) {
            *count += 1;
        }
    }
    let mut free: Vec<usize> = arrivals
        .iter()
        .enumerate()
        .filter(|(_, count)| **count == 0)
        .map(|(at, _)| at)
        .collect();
    let mut removed = 0;
    while let Some(at) = free.pop() {
        removed += 1;
        for to in leads_to.get(at).into_iter().flatten() {
            if let Some(count) = arrivals.get_mut(*to) {
                *count -= 1;
                if *count == 0 {
                    free.push(*to);
                }
            }
        }
    }
    if removed == table.chains.len() {
        return Ok(());
    }
    let chain = arrivals
        .iter()
        .zip(&table.chains)
        .find(|(count, _)| **count > 0)
        .map(|(_, chain)| excerpt(&chain.name))
        .unwrap_or_default();
    Err(ParseErrorKind::ChainLoop { chain })
}
