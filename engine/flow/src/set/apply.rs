//! The two-operand operations on diagrams.

use hashbrown::HashMap;

use super::arena::{Arena, Edge, Level, NodeId};
use super::budget::AnalysisTooComplex;

/// What to do where both operands are known. Label 0 is "not a member" and
/// "not decided"; any other label is a member or a decision.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Operation {
    /// The right label where the left is not 0: intersection, restriction.
    Mask,
    /// The left label, or the right one where the left is 0: union, first match.
    Else,
    /// The left label where the right is 0: difference.
    Without,
}

impl Operation {
    /// The result when one operand alone decides it.
    fn shortcut(self, left: NodeId, right: NodeId) -> Option<NodeId> {
        match self {
            Self::Mask => {
                if left == NodeId::ZERO || right == NodeId::ZERO {
                    Some(NodeId::ZERO)
                } else if left.label().is_some() || left == right {
                    Some(right)
                } else if right == NodeId::ONE {
                    // `left` is always a set: its labels are 0 and 1.
                    Some(left)
                } else {
                    None
                }
            }
            Self::Else => {
                if left.label().is_some_and(|label| label != 0) || right == NodeId::ZERO {
                    Some(left)
                } else if left == NodeId::ZERO || left == right {
                    Some(right)
                } else {
                    None
                }
            }
            Self::Without => {
                if left == NodeId::ZERO || left == right {
                    Some(NodeId::ZERO)
                } else {
                    let decided = right.label();
                    decided.map(|label| if label == 0 { left } else { NodeId::ZERO })
                }
            }
        }
    }

    /// Whether an operand with this left target decides alone, whatever the
    /// right one is, so that a whole range can be passed over at once.
    fn left_decides(self, left: NodeId) -> bool {
        match self {
            Self::Mask | Self::Without => left == NodeId::ZERO,
            Self::Else => left.label().is_some_and(|label| label != 0),
        }
    }

    fn right_decides(self, right: NodeId) -> bool {
        match self {
            Self::Mask => right == NodeId::ZERO,
            Self::Else => false,
            Self::Without => right.label().is_some_and(|label| label != 0),
        }
    }
}

/// Results of earlier operations, and space for edges being collected.
#[derive(Debug, Default)]
pub(super) struct Cache {
    results: HashMap<(Operation, NodeId, NodeId), NodeId>,
    pending: Vec<Edge>,
}

/// Above this many entries the cache starts anew, to bound its memory.
const CACHE_ENTRIES: usize = 1 << 19;

pub(super) fn apply(
    arena: &mut Arena,
    cache: &mut Cache,
    operation: Operation,
    left: NodeId,
    right: NodeId,
) -> Result<NodeId, AnalysisTooComplex> {
    if let Some(result) = operation.shortcut(left, right) {
        return Ok(result);
    }
    let key = (operation, left, right);
    if let Some(&result) = cache.results.get(&key) {
        return Ok(result);
    }
    let start = cache.pending.len();
    let result = expand(arena, cache, operation, left, right, start);
    cache.pending.truncate(start);
    let result = result?;
    if cache.results.len() >= CACHE_ENTRIES {
        cache.results.clear();
    }
    cache.results.insert(key, result);
    Ok(result)
}

/// An operand at the level asked: its edges, or itself for the whole domain.
struct Cursor {
    at: usize,
    end: usize,
    whole: Option<NodeId>,
}

impl Cursor {
    fn new(arena: &Arena, id: NodeId, level: Level) -> Self {
        if arena.level(id) == level {
            let (at, end) = arena.span(id);
            Self {
                at,
                end,
                whole: None,
            }
        } else {
            Self {
                at: 0,
                end: 0,
                whole: Some(id),
            }
        }
    }

    fn edge(&self, arena: &Arena) -> Edge {
        match self.whole {
            Some(to) => Edge {
                last: u128::MAX,
                to,
            },
            None => arena.edge(self.at),
        }
    }

    /// Moves to the edge that covers the value after `last`; `false` at the end.
    fn pass(&mut self, arena: &Arena, last: u128) -> bool {
        if self.whole.is_some() {
            return true;
        }
        if arena.edge(self.at).last <= last {
            self.at += 1;
            if self.at < self.end && arena.edge(self.at).last <= last {
                self.at = arena.seek(self.at, self.end, last.saturating_add(1));
            }
        }
        self.at < self.end
    }
}

fn expand(
    arena: &mut Arena,
    cache: &mut Cache,
    operation: Operation,
    left: NodeId,
    right: NodeId,
    start: usize,
) -> Result<NodeId, AnalysisTooComplex> {
    let level = arena.level(left).min(arena.level(right));
    let mut lefts = Cursor::new(arena, left, level);
    let mut rights = Cursor::new(arena, right, level);
    let mut taken = 0_usize;
    loop {
        taken += 1;
        let (from_left, from_right) = (lefts.edge(arena), rights.edge(arena));
        let last = if operation.left_decides(from_left.to) {
            from_left.last
        } else if operation.right_decides(from_right.to) {
            from_right.last
        } else {
            from_left.last.min(from_right.last)
        };
        // An operand that does not ask this level lasts for the whole domain,
        // whose end only the other operand knows.
        let last = match (lefts.whole, rights.whole) {
            (Some(_), None) if last == u128::MAX => arena.edge(rights.end - 1).last,
            (None, Some(_)) if last == u128::MAX => arena.edge(lefts.end - 1).last,
            _ => last,
        };
        let to = apply(arena, cache, operation, from_left.to, from_right.to)?;
        cache.pending.push(Edge { last, to });
        let more_left = lefts.pass(arena, last);
        let more_right = rights.pass(arena, last);
        if !(more_left && more_right) {
            break;
        }
    }
    arena.spend(taken)?;
    arena.node(level, cache.pending.get(start..).unwrap_or_default())
}
