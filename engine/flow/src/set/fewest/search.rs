//! The fewest boxes for few cells, by trying.
//!
//! Groups of cells grow: each open cell joins a group or begins one, and a group always
//! holds all cells of the smallest box around it. Cells no two of which fit in one box
//! begin a group each before anything is tried.

use super::grid::{Block, DESTINATIONS, DIMENSIONS, Grid, bits, meet};

const WORDS: usize = 4;

/// Sets of more cells than this are not tried.
pub(super) const MOST_CELLS: usize = WORDS * 64;

/// All cells would have to be tried in more ways than are left.
pub(super) struct NotAllTried;

/// A set of cells.
#[derive(Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Cells([u64; WORDS]);

impl Cells {
    fn first(count: usize) -> Self {
        (0..count).fold(Self::default(), |cells, at| cells.with(at))
    }

    fn with(mut self, at: usize) -> Self {
        self.0[at / 64] |= 1 << (at % 64);
        self
    }

    fn without(self, other: Self) -> Self {
        Self(std::array::from_fn(|word| self.0[word] & !other.0[word]))
    }

    fn and(self, other: Self) -> Self {
        Self(std::array::from_fn(|word| self.0[word] & other.0[word]))
    }

    fn or(self, other: Self) -> Self {
        Self(std::array::from_fn(|word| self.0[word] | other.0[word]))
    }

    fn has(self, at: usize) -> bool {
        self.0[at / 64] >> (at % 64) & 1 == 1
    }

    fn is_empty(self) -> bool {
        self.0 == [0; WORDS]
    }

    pub(super) fn len(self) -> usize {
        self.0.iter().map(|word| word.count_ones() as usize).sum()
    }

    fn iter(self) -> impl Iterator<Item = usize> {
        let words = self.0.into_iter().enumerate();
        words.flat_map(|(word, mask)| bits(mask).map(move |bit| word * 64 + bit))
    }
}

/// The cells of a grid, and what is left to try.
pub(super) struct Search<'a> {
    grid: &'a Grid,
    cells: Vec<Block>,
    all: Cells,
    /// The cells of each class of the dimensions that have more than one.
    classes: Vec<(usize, Vec<Cells>)>,
    /// For each cell those that fit in one box with it, itself among them.
    fitting: Vec<Cells>,
    steps: usize,
}

/// Cells of one box, and the box.
#[derive(Clone, Copy)]
struct Group {
    block: Block,
    cells: Cells,
    /// Those that may fit in the box too.
    candidates: Cells,
}

#[derive(Clone)]
struct State {
    groups: Vec<Group>,
    /// Cells of no group.
    open: Cells,
}

impl<'a> Search<'a> {
    /// None when there are too many cells.
    pub(super) fn new(grid: &'a Grid, steps: usize) -> Option<Self> {
        let cells = grid.cells(MOST_CELLS)?;
        let mut classes = Vec::new();
        for dimension in 0..DIMENSIONS {
            let used = cells.iter().fold(0, |used, cell| used | cell[dimension]);
            if used.count_ones() < 2 {
                continue;
            }
            let mut of = vec![Cells::default(); 64];
            for (at, cell) in cells.iter().enumerate() {
                let class = cell[dimension].trailing_zeros() as usize;
                of[class] = of[class].with(at);
            }
            classes.push((dimension, of));
        }
        let mut search = Self {
            grid,
            fitting: vec![Cells::default(); cells.len()],
            all: Cells::first(cells.len()),
            cells,
            classes,
            steps,
        };
        let may_fit: Vec<Cells> = search
            .cells
            .iter()
            .map(|cell| search.may_fit(cell))
            .collect();
        for (a, others) in may_fit.iter().enumerate() {
            for b in others.iter().take_while(|b| *b <= a) {
                if may_fit[b].has(a) && search.around(&search.cells[a], b).is_some() {
                    search.fitting[a] = search.fitting[a].with(b);
                    search.fitting[b] = search.fitting[b].with(a);
                }
            }
        }
        Some(search)
    }

    /// The cells in parts, with the boxes of each: no box has cells of two parts.
    pub(super) fn parts(&self) -> Vec<(Cells, Vec<Block>)> {
        let mut rest = self.all;
        let mut parts = Vec::new();
        while let Some(start) = rest.iter().next() {
            let mut part = Cells::default();
            let mut reached = Cells::default().with(start);
            while let Some(at) = reached.without(part).iter().next() {
                part = part.with(at);
                reached = reached.or(self.fitting[at]);
            }
            rest = rest.without(part);
            let cells: Vec<&Block> = part.iter().map(|at| &self.cells[at]).collect();
            let holds = |block: &Block| cells.iter().any(|cell| meet(block, cell) == **cell);
            let boxes = self.grid.boxes.iter().copied();
            parts.push((part, boxes.filter(holds).collect()));
        }
        parts
    }

    /// Cells no two of which fit in one box.
    fn apart(&self, mut among: Cells) -> Vec<usize> {
        let mut apart = Vec::new();
        // What fits with few others leaves most.
        while let Some(at) = among
            .iter()
            .min_by_key(|at| self.fitting[*at].and(among).len())
        {
            apart.push(at);
            among = among.without(self.fitting[at]);
        }
        apart
    }

    /// A part in disjoint boxes, `most` or fewer; none when it cannot be.
    pub(super) fn within(
        &mut self,
        part: Cells,
        most: usize,
    ) -> Result<Option<Vec<Block>>, NotAllTried> {
        let mut state = State {
            groups: Vec::with_capacity(most),
            open: part,
        };
        let seeds = self.apart(part);
        if seeds.len() > most {
            return Ok(None);
        }
        for seed in seeds {
            self.begin(&mut state, seed);
        }
        self.complete(state, most)
    }

    fn complete(
        &mut self,
        mut state: State,
        most: usize,
    ) -> Result<Option<Vec<Block>>, NotAllTried> {
        loop {
            if state.open.is_empty() {
                return Ok(Some(state.groups.iter().map(|group| group.block).collect()));
            }
            self.spend(1)?;
            // Cells with one way into a group at least, two, three.
            let mut ways = [Cells::default(); 3];
            for group in &state.groups {
                let [one, two, three] = ways;
                let here = group.candidates;
                ways = [one.or(here), two.or(one.and(here)), three.or(two.and(here))];
            }
            let [one, two, three] = ways;
            let left = state.open.without(one);
            if !left.is_empty() {
                self.spend(left.len())?;
                let seeds = self.apart(left);
                if state.groups.len() + seeds.len() > most {
                    return Ok(None);
                }
                for seed in seeds {
                    self.begin(&mut state, seed);
                }
                continue;
            }
            let hardest = [
                state.open.without(two),
                state.open.without(three),
                state.open,
            ];
            let Some(cell) = hardest.into_iter().find_map(|cells| cells.iter().next()) else {
                continue;
            };
            let joins = self.joins(&mut state, cell)?;
            let may_begin = state.groups.len() < most;
            match joins.as_slice() {
                [] if may_begin => self.begin(&mut state, cell),
                [] => return Ok(None),
                [(group, block, cells)] if !may_begin => {
                    self.grow(&mut state, *group, *block, *cells);
                }
                joins => {
                    for (group, block, cells) in joins {
                        let mut next = state.clone();
                        self.grow(&mut next, *group, *block, *cells);
                        if let Some(found) = self.complete(next, most)? {
                            return Ok(Some(found));
                        }
                    }
                    if !may_begin {
                        return Ok(None);
                    }
                    self.begin(&mut state, cell);
                }
            }
        }
    }

    fn spend(&mut self, steps: usize) -> Result<(), NotAllTried> {
        self.steps = self.steps.checked_sub(steps).ok_or(NotAllTried)?;
        Ok(())
    }

    /// The groups a cell may join, with what they are then. That it may not join one is
    /// kept: groups only grow.
    fn joins(
        &mut self,
        state: &mut State,
        cell: usize,
    ) -> Result<Vec<(usize, Block, Cells)>, NotAllTried> {
        let mut joins = Vec::new();
        for number in 0..state.groups.len() {
            let group = state.groups[number];
            if !group.candidates.has(cell) {
                continue;
            }
            self.spend(1)?;
            // All that a group may have are its own cells and open ones.
            let free = group.cells.or(state.open);
            match self.around(&group.block, cell) {
                Some((block, cells)) if cells.without(free).is_empty() => {
                    joins.push((number, block, cells));
                }
                _ => {
                    let cell = Cells::default().with(cell);
                    state.groups[number].candidates = group.candidates.without(cell);
                }
            }
        }
        Ok(joins)
    }

    /// The smallest box around a block and a cell, when it has only cells of the set.
    fn around(&self, block: &Block, cell: usize) -> Option<(Block, Cells)> {
        let cell = &self.cells[cell];
        let both = std::array::from_fn(|at| block[at] | cell[at]);
        let block = self.grid.closed(both)?;
        let cells = self.cells_of(&block);
        (cells.len() as u64 == self.grid.count(&block)).then_some((block, cells))
    }

    fn cells_of(&self, block: &Block) -> Cells {
        self.classes
            .iter()
            .fold(self.all, |cells, (dimension, of)| {
                let classes = bits(block[*dimension]).map(|class| of[class]);
                cells.and(classes.fold(Cells::default(), Cells::or))
            })
    }

    /// The cells that may fit in one box with a cell: such a box has the cell with any
    /// one of its classes replaced by the other's.
    fn may_fit(&self, cell: &Block) -> Cells {
        let mut may_fit = self.all;
        for (dimension, of) in &self.classes {
            let mut line = *cell;
            line[*dimension] = u64::MAX;
            let replaced = self.cells_of(&line).iter();
            let classes = replaced.map(|at| self.cells[at][*dimension].trailing_zeros());
            may_fit = may_fit.and(classes.fold(Cells::default(), |cells, class| {
                cells.or(of[class as usize])
            }));
        }
        if self.grid.has_whole {
            // One address replaced by one of the other family is no packet.
            let mut family = [u64::MAX; DIMENSIONS];
            family[DESTINATIONS] = self.grid.family_of(cell);
            may_fit = may_fit.or(self.all.without(self.cells_of(&family)));
        }
        may_fit
    }

    fn begin(&self, state: &mut State, cell: usize) {
        // A cell of a protocol without ports brings those of all ports.
        if let Some((block, cells)) = self.around(&self.cells[cell], cell) {
            state.groups.push(Group {
                block,
                cells: Cells::default(),
                candidates: state.open,
            });
            self.grow(state, state.groups.len() - 1, block, cells);
        }
    }

    fn grow(&self, state: &mut State, group: usize, block: Block, cells: Cells) {
        let grown = &mut state.groups[group];
        for new in cells.without(grown.cells).iter() {
            grown.candidates = grown.candidates.and(self.fitting[new]);
        }
        grown.block = block;
        grown.cells = cells;
        state.open = state.open.without(cells);
        for group in &mut state.groups {
            group.candidates = group.candidates.and(state.open);
        }
    }
}
