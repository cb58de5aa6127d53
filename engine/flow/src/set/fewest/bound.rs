//! How many boxes are needed at least, without a search.
//!
//! Let the dimensions be of two sides. A matrix with a row for each cell of one side and
//! a column for each of the other, one where the cell of both is a member and zero where
//! it is not, is the sum of one matrix of rank one for each of disjoint boxes. So there
//! are never fewer boxes than its rank, whichever dimensions are on which side.

use super::grid::{Block, DESTINATIONS, DIMENSIONS, Grid, SOURCES, meet};

/// Ranks are taken modulo this prime; that makes them smaller at most.
const PRIME: u64 = (1 << 31) - 1;

/// How many multiplications ranks may take.
const MULTIPLICATIONS: usize = 400_000;

/// For each pair of boxes, how many cells of some dimensions they share.
type Matrix = Vec<u64>;

/// A number of disjoint boxes that the cells of these boxes cannot be held in fewer than.
pub(super) fn fewest_possible(grid: &Grid, boxes: &[Block]) -> usize {
    let size = boxes.len();
    if size <= 1 {
        return size;
    }
    let factors = factors(grid, boxes);
    let Some(last) = factors.len().checked_sub(1) else {
        return 1;
    };
    let cost = 2 * size * size * size;
    let mut left = MULTIPLICATIONS;
    let mut best = 1;
    // The last dimension is always on the other side: no two turns are the same.
    for side in 1..1_usize << last {
        let is_here = |at: &usize| side >> at & 1 == 1;
        let here = product(&factors, size, is_here);
        let there = product(&factors, size, |at| !is_here(at));
        // Neither side has more rows than cells.
        if here.cells.min(there.cells) <= best as u64 {
            continue;
        }
        let Some(rest) = left.checked_sub(cost) else {
            break;
        };
        left = rest;
        // The matrix is A·Bᵀ, with a column of A and one of B for each box, and has the
        // rank of (Aᵀ·A)·(Bᵀ·B), which is small.
        best = best.max(rank(times(&here.shared, &there.shared, size), size));
        if best == size {
            break;
        }
    }
    best
}

/// What boxes share in some dimensions.
struct Factor {
    shared: Matrix,
    /// How many cells these dimensions have at most.
    cells: u64,
}

/// The dimensions that the boxes are not all the same in.
fn factors(grid: &Grid, boxes: &[Block]) -> Vec<Factor> {
    let factor = |dimensions: &[usize], count: &dyn Fn(&Block) -> u64| {
        let mut parts = boxes.iter().zip(boxes.iter().skip(1));
        let is_same = |a: &Block, b: &Block| dimensions.iter().all(|at| a[*at] == b[*at]);
        if parts.all(|(a, b)| is_same(a, b)) {
            return None;
        }
        let pairs = boxes.iter().flat_map(|a| boxes.iter().map(move |b| (a, b)));
        let used = boxes.iter().fold(Block::default(), |all, block| {
            std::array::from_fn(|at| all[at] | block[at])
        });
        Some(Factor {
            shared: pairs.map(|(a, b)| count(&meet(a, b))).collect(),
            cells: count(&used),
        })
    };
    let mut factors = Vec::new();
    for dimension in 0..DIMENSIONS {
        let is_address = [DESTINATIONS, SOURCES].contains(&dimension);
        // Of a box of both families only pairs of addresses are a product.
        if !(is_address && grid.has_whole) {
            let count = |block: &Block| u64::from(block[dimension].count_ones());
            factors.extend(factor(&[dimension], &count));
        }
    }
    if grid.has_whole {
        factors.extend(factor(&[DESTINATIONS, SOURCES], &|block| grid.pairs(block)));
    }
    factors
}

/// What boxes share in all dimensions of a side.
fn product(factors: &[Factor], size: usize, is_here: impl Fn(&usize) -> bool) -> Factor {
    let mut product = Factor {
        shared: vec![1; size * size],
        cells: 1,
    };
    for (_, factor) in factors.iter().enumerate().filter(|(at, _)| is_here(at)) {
        for (all, one) in product.shared.iter_mut().zip(&factor.shared) {
            *all = *all * one % PRIME;
        }
        product.cells = product.cells.saturating_mul(factor.cells);
    }
    product
}

fn times(a: &Matrix, b: &Matrix, size: usize) -> Matrix {
    let mut product = vec![0; size * size];
    for (row, into) in a.chunks_exact(size).zip(product.chunks_exact_mut(size)) {
        for (factor, other) in row.iter().zip(b.chunks_exact(size)) {
            for (place, value) in into.iter_mut().zip(other) {
                *place = (*place + factor * value) % PRIME;
            }
        }
    }
    product
}

/// By elimination, without division.
fn rank(mut matrix: Matrix, size: usize) -> usize {
    let mut rows: Vec<&mut [u64]> = matrix.chunks_exact_mut(size).collect();
    let mut rank = 0;
    for column in 0..size {
        let Some(found) = (rank..size).find(|row| rows[*row][column] != 0) else {
            continue;
        };
        rows.swap(rank, found);
        let (done, open) = rows.split_at_mut(rank + 1);
        let chosen = &done[rank];
        for row in open {
            let (times, minus) = (chosen[column], PRIME - row[column]);
            for (place, value) in row.iter_mut().zip(chosen.iter()) {
                *place = (*place * times + value * minus) % PRIME;
            }
        }
        rank += 1;
    }
    rank
}
