//! The same packets in the fewest boxes, where few boxes are to be written.
//!
//! To find the fewest is NP-hard, already for rectangles of any rows and columns. So a
//! bound from below is calculated first, which most sets meet; the others are cut in other
//! orders and then tried in all ways, as far as steps allow. Steps are counted, not
//! time: the same packets are written in the same boxes everywhere.

mod bound;
mod cuts;
mod grid;
mod search;
#[cfg(test)]
mod tests;

use bound::fewest_possible;
use cuts::other_cuts;
use grid::{Block, Grid};
use search::Search;

use super::flow_box::FlowBox;
use super::merge::joined;

/// More boxes than this are only joined.
const MOST_BOXES: usize = 24;

/// And so are boxes of more ranges than this together.
const MOST_RANGES: usize = 256;

/// How much is tried: a few milliseconds together.
const STEPS: usize = 20_000;

/// How much is tried to write three boxes as two: far more than any were seen to need.
const STEPS_OF_THREE: usize = 20_000;

type Ranges = Vec<(u128, u128)>;

/// The packets of disjoint boxes in disjoint boxes, no two of which differ in only one
/// dimension; always the same for the same boxes. A box has addresses of one family, or
/// all of both.
///
/// Up to [`MOST_BOXES`] boxes of up to [`MOST_RANGES`] ranges are the fewest there can
/// be, except where neither [`fewest_possible`] says so nor all ways could be tried: the
/// packets fall into more than [`search::MOST_CELLS`] cells, or [`STEPS`] ran out. No
/// three of those are two, as far as [`STEPS_OF_THREE`] tell. More boxes are only joined.
pub(super) fn merge_boxes(boxes: Vec<FlowBox>) -> Vec<FlowBox> {
    fewest(boxes).boxes
}

/// Boxes, and whether they are known to be the fewest.
struct Fewest {
    boxes: Vec<FlowBox>,
    is_proved: bool,
}

fn fewest(boxes: Vec<FlowBox>) -> Fewest {
    let boxes = joined(boxes);
    let ranges = || boxes.iter().map(FlowBox::range_count).sum::<usize>();
    // Two boxes that were not joined are not one.
    let is_few = boxes.len() <= 2;
    if is_few || boxes.len() > MOST_BOXES || ranges() > MOST_RANGES {
        return Fewest {
            boxes,
            is_proved: is_few,
        };
    }
    let Some(grid) = Grid::new(&boxes) else {
        return Fewest {
            boxes,
            is_proved: false,
        };
    };
    let possible = fewest_possible(&grid, &grid.boxes);
    let mut found = Fewest {
        is_proved: boxes.len() == possible,
        boxes,
    };
    if !found.is_proved {
        // The first of the smallest is kept, and what the diagram gives comes first.
        for cut in other_cuts(&found.boxes).map(joined) {
            found.keep_smaller(cut);
            found.is_proved = found.boxes.len() == possible;
            if found.is_proved {
                break;
            }
        }
    }
    if !found.is_proved {
        found.try_all();
    }
    if !found.is_proved {
        found.rewrite_threes();
        found.is_proved = found.boxes.len() == possible;
    }
    found
}

impl Fewest {
    fn keep_smaller(&mut self, boxes: Vec<FlowBox>) {
        if boxes.len() < self.boxes.len() {
            self.boxes = boxes;
        }
    }

    /// Tries all ways to write fewer boxes, part by part, as far as steps allow.
    fn try_all(&mut self) {
        let Some(grid) = Grid::new(&self.boxes) else {
            return;
        };
        let (blocks, is_proved) = in_fewer(&grid, STEPS);
        let flows = blocks.iter().map(|block| grid.flow(block)).collect();
        self.keep_smaller(joined(flows));
        self.is_proved = is_proved;
    }

    /// Writes three boxes as two until no three can be.
    fn rewrite_threes(&mut self) {
        while let Some(boxes) = one_fewer(&self.boxes) {
            self.keep_smaller(joined(boxes));
        }
    }
}

/// Disjoint blocks with the cells of a grid, the fewest that trying finds, and whether
/// no fewer would do.
fn in_fewer(grid: &Grid, steps: usize) -> (Vec<Block>, bool) {
    let Some(mut search) = Search::new(grid, steps) else {
        return (grid.boxes.clone(), false);
    };
    let mut all = Vec::new();
    let mut is_proved = true;
    let mut parts = search.parts();
    // One large part does not keep small ones from being tried.
    parts.sort_by_key(|(cells, _)| cells.len());
    for (cells, mut blocks) in parts {
        let possible = fewest_possible(grid, &blocks);
        while blocks.len() > possible {
            match search.within(cells, blocks.len() - 1) {
                Ok(Some(fewer)) => blocks = fewer,
                Ok(None) => break,
                Err(_) => {
                    is_proved = false;
                    break;
                }
            }
        }
        all.extend(blocks);
    }
    (all, is_proved)
}

/// The boxes with the first three that can be written as two written so; none when no
/// three can.
fn one_fewer(boxes: &[FlowBox]) -> Option<Vec<FlowBox>> {
    let grid = Grid::new(boxes)?;
    if grid.boxes.len() < boxes.len() {
        return Some(grid.boxes.iter().map(|block| grid.flow(block)).collect());
    }
    let numbered = || grid.boxes.iter().zip(boxes).enumerate();
    for (third, (block_c, c)) in numbered() {
        for (second, (block_b, b)) in numbered().take(third) {
            for (first, (block_a, a)) in numbered().take(second) {
                let blocks = [*block_a, *block_b, *block_c];
                if grid.corners_are_apart(&blocks) || fewest_possible(&grid, &blocks) > 2 {
                    continue;
                }
                let Some(two) = as_two(&[a.clone(), b.clone(), c.clone()]) else {
                    continue;
                };
                let others = boxes.iter().enumerate();
                let others = others.filter(|(at, _)| ![first, second, third].contains(at));
                return Some(others.map(|(_, flow)| flow.clone()).chain(two).collect());
            }
        }
    }
    None
}

fn as_two(three: &[FlowBox; 3]) -> Option<Vec<FlowBox>> {
    let grid = Grid::new(three)?;
    if grid.boxes.len() < 3 {
        return Some(grid.boxes.iter().map(|block| grid.flow(block)).collect());
    }
    if fewest_possible(&grid, &grid.boxes) > 2 {
        return None;
    }
    let (blocks, _) = in_fewer(&grid, STEPS_OF_THREE);
    (blocks.len() < 3).then(|| blocks.iter().map(|block| grid.flow(block)).collect())
}
