//! The hash-consed nodes of all diagrams of one space.
//!
//! A diagram is an interval decision diagram: every node asks one dimension and
//! splits its whole domain into maximal ranges, one edge each. Dimensions are
//! asked in one fixed order, a node whose edges all lead to the same place is
//! never made, and equal nodes are made once. So a function of packets has one
//! diagram only, and equality is equality of ids (Gouda & Liu, "Structured
//! firewall design"; Bryant's argument for BDDs carries over).

use std::hash::{BuildHasher, Hasher};

use hashbrown::{DefaultHashBuilder, HashTable};

use super::budget::{AnalysisTooComplex, Budget, BudgetPart};

/// A node, or with the top bit set, a terminal with its label.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct NodeId(u32);

const TERMINAL: u32 = 1 << 31;

impl NodeId {
    /// The terminal labelled 0: not a member, not decided.
    pub(super) const ZERO: Self = Self(TERMINAL);
    /// The terminal labelled 1: a member.
    pub(super) const ONE: Self = Self(TERMINAL | 1);

    /// The terminal of a label, of which the top bit is dropped.
    pub(super) const fn terminal(label: u32) -> Self {
        Self(TERMINAL | label)
    }

    /// The label, when this is a terminal.
    pub(super) fn label(self) -> Option<u32> {
        (self.0 & TERMINAL != 0).then_some(self.0 & !TERMINAL)
    }
}

/// Edges that memory is asked for at once: growing from nothing copies as many.
const FIRST_EDGES: usize = 1 << 12;

/// The position of a dimension in the fixed order; terminals come last.
pub(super) type Level = u32;

#[derive(Debug, Clone, Copy)]
struct Node {
    level: Level,
    first_edge: u32,
    edges: u32,
    // Of the level and the edges; kept, since the index asks for it as it grows.
    hash: u64,
}

/// One edge: the values up to `last` that the edges before do not cover.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Edge {
    pub(super) last: u128,
    pub(super) to: NodeId,
}

#[derive(Debug, Default)]
pub(super) struct Arena {
    nodes: Vec<Node>,
    // Edges of all nodes, two columns to keep them free of padding.
    lasts: Vec<u128>,
    targets: Vec<NodeId>,
    index: HashTable<u32>,
    hasher: DefaultHashBuilder,
    pub(super) budget: Budget,
    steps: u64,
}

impl Arena {
    pub(super) fn new(budget: Budget) -> Self {
        Self {
            budget,
            ..Self::default()
        }
    }

    /// Accounts for work done.
    pub(super) fn spend(&mut self, steps: usize) -> Result<(), AnalysisTooComplex> {
        self.steps = self.steps.saturating_add(steps as u64);
        if self.steps > self.budget.steps {
            return Err(too_complex(BudgetPart::Steps, self.budget.steps));
        }
        Ok(())
    }

    /// Which dimension a node asks; `Level::MAX` for terminals.
    pub(super) fn level(&self, id: NodeId) -> Level {
        match self.nodes.get(id.0 as usize) {
            Some(node) => node.level,
            None => Level::MAX,
        }
    }

    /// Where the edges of a node lie; none for terminals.
    pub(super) fn span(&self, id: NodeId) -> (usize, usize) {
        match self.nodes.get(id.0 as usize) {
            Some(node) => (
                node.first_edge as usize,
                (node.first_edge + node.edges) as usize,
            ),
            None => (0, 0),
        }
    }

    /// The edge at a place given by [`Arena::span`].
    pub(super) fn edge(&self, at: usize) -> Edge {
        Edge {
            last: self.lasts[at],
            to: self.targets[at],
        }
    }

    /// The edges of a node in order of their values.
    pub(super) fn edges(&self, id: NodeId) -> impl Iterator<Item = Edge> + '_ {
        let (from, to) = self.span(id);
        (from..to).map(|at| self.edge(at))
    }

    /// The first place in `from..to` whose edge reaches `value`.
    pub(super) fn seek(&self, from: usize, to: usize, value: u128) -> usize {
        from + self.lasts[from..to].partition_point(|last| *last < value)
    }

    /// The place a value leads to.
    pub(super) fn follow(&self, id: NodeId, value: u128) -> NodeId {
        let (from, to) = self.span(id);
        let at = self.seek(from, to, value).min(to.saturating_sub(1));
        self.targets[at]
    }

    /// The node with these edges, which cover the whole domain of the level;
    /// neighbours with the same target are joined here.
    pub(super) fn node(
        &mut self,
        level: Level,
        edges: &[Edge],
    ) -> Result<NodeId, AnalysisTooComplex> {
        if self.lasts.capacity() == 0 {
            self.lasts.reserve(FIRST_EDGES);
            self.targets.reserve(FIRST_EDGES);
        }
        let start = self.lasts.len();
        for edge in edges {
            if self.lasts.len() > start && self.targets.last() == Some(&edge.to) {
                if let Some(last) = self.lasts.last_mut() {
                    *last = edge.last;
                }
            } else {
                self.lasts.push(edge.last);
                self.targets.push(edge.to);
            }
        }
        let count = self.lasts.len() - start;
        if count <= 1 {
            let only = self.targets.last().copied().unwrap_or(NodeId::ZERO);
            self.forget_from(start);
            return Ok(only);
        }
        let hash = self.hash(level, start, start + count);
        let found = self.index.find(hash, |&candidate| {
            let node = self.nodes[candidate as usize];
            let from = node.first_edge as usize;
            let to = from + node.edges as usize;
            node.hash == hash
                && node.level == level
                && self.targets[from..to] == self.targets[start..]
                && self.lasts[from..to] == self.lasts[start..]
        });
        if let Some(&existing) = found {
            self.forget_from(start);
            return Ok(NodeId(existing));
        }
        if self.lasts.len() > self.budget.edges {
            self.forget_from(start);
            return Err(too_complex(BudgetPart::Edges, self.budget.edges as u64));
        }
        self.nodes.push(Node {
            level,
            first_edge: start as u32,
            edges: count as u32,
            hash,
        });
        let id = (self.nodes.len() - 1) as u32;
        let Self { index, nodes, .. } = self;
        index.insert_unique(hash, id, |&other| nodes[other as usize].hash);
        Ok(NodeId(id))
    }

    fn forget_from(&mut self, start: usize) {
        self.lasts.truncate(start);
        self.targets.truncate(start);
    }

    fn hash(&self, level: Level, from: usize, to: usize) -> u64 {
        hash_edges(
            &self.hasher,
            level,
            &self.lasts[from..to],
            &self.targets[from..to],
        )
    }
}

fn hash_edges(
    builder: &DefaultHashBuilder,
    level: Level,
    lasts: &[u128],
    targets: &[NodeId],
) -> u64 {
    let mut hasher = builder.build_hasher();
    hasher.write_u32(level);
    for (last, target) in lasts.iter().zip(targets) {
        hasher.write_u128(*last);
        hasher.write_u32(target.0);
    }
    hasher.finish()
}

pub(super) fn too_complex(part: BudgetPart, limit: u64) -> AnalysisTooComplex {
    AnalysisTooComplex {
        part,
        limit,
        rules: Vec::new(),
    }
}
