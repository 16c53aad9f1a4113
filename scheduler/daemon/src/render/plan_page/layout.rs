//! Where the boxes of a layered drawing go: columns from left to right, few crossings, short edges.
//!
//! After Sugiyama, Tagawa and Toda (1981): an edge over several columns gets a bend in each, columns are put
//! in order by the mean place of neighbours (a fixed number of sweeps, the order with the fewest crossings
//! wins), and then every column is moved towards its neighbours as far as the gaps allow (least squares under
//! an order, by pooling adjacent violators). Same input, same drawing.

/// Sweeps over the columns for the order, and for the places.
const ORDER_SWEEPS: usize = 12;
const PLACE_SWEEPS: usize = 10;

/// Bends in all; a drawing with more has straight edges over long ways.
const BENDS_MAX: usize = 4_000;

/// How tall a bend is, where a box has its height.
const BEND: f64 = 4.0;

/// What is to be laid out: columns and heights of boxes, and edges from earlier columns to later ones.
#[derive(Debug)]
pub(super) struct Boxes<'a> {
    pub(super) column: &'a [usize],
    pub(super) height: &'a [f64],
    pub(super) edges: &'a [(usize, usize)],
    /// Between two of a column.
    pub(super) gap: f64,
}

/// Where everything goes.
#[derive(Debug, PartialEq)]
pub(super) struct Placed {
    /// The middle of each box; the highest edge of all is at 0.
    pub(super) middle: Vec<f64>,
    /// For each edge its bends: column and middle.
    pub(super) bends: Vec<Vec<(usize, f64)>>,
    /// From the highest edge to the lowest.
    pub(super) height: f64,
}

struct Grid {
    column: Vec<usize>,
    height: Vec<f64>,
    before: Vec<Vec<usize>>,
    after: Vec<Vec<usize>>,
    /// The nodes of each column from top to bottom.
    columns: Vec<Vec<usize>>,
    place: Vec<usize>,
    gap: f64,
}

/// Places the boxes.
pub(super) fn place(boxes: &Boxes<'_>) -> Placed {
    let count = boxes.column.len();
    let long: usize =
        boxes.edges.iter().map(|(from, to)| boxes.column[*to].saturating_sub(boxes.column[*from] + 1)).sum();
    let bend = long <= BENDS_MAX;
    let mut grid = Grid {
        column: boxes.column.to_vec(),
        height: boxes.height.to_vec(),
        before: vec![Vec::new(); count],
        after: vec![Vec::new(); count],
        columns: vec![Vec::new(); boxes.column.iter().map(|column| column + 1).max().unwrap_or(0)],
        place: Vec::new(),
        gap: boxes.gap,
    };
    let mut chains: Vec<Vec<usize>> = Vec::with_capacity(boxes.edges.len());
    for (from, to) in boxes.edges {
        let mut chain = Vec::new();
        let mut last = *from;
        if bend {
            for column in boxes.column[*from] + 1..boxes.column[*to] {
                let node = grid.add(column);
                grid.link(last, node);
                chain.push(node);
                last = node;
            }
        }
        grid.link(last, *to);
        chains.push(chain);
    }
    for node in 0..grid.column.len() {
        grid.columns[grid.column[node]].push(node);
    }
    grid.place = vec![0; grid.column.len()];
    grid.number();
    grid.order();
    let middle = grid.middles();
    let top = (0..middle.len()).map(|n| middle[n] - grid.height[n] / 2.0).fold(f64::INFINITY, f64::min);
    let bottom = (0..middle.len()).map(|n| middle[n] + grid.height[n] / 2.0).fold(0.0, f64::max);
    let top = if top.is_finite() { top } else { 0.0 };
    let bends = chains
        .into_iter()
        .map(|chain| chain.into_iter().map(|node| (grid.column[node], middle[node] - top)).collect())
        .collect();
    let middle = middle[..count].iter().map(|middle| middle - top).collect();
    Placed { middle, bends, height: (bottom - top).max(0.0) }
}

impl Grid {
    fn add(&mut self, column: usize) -> usize {
        self.column.push(column);
        self.height.push(BEND);
        self.before.push(Vec::new());
        self.after.push(Vec::new());
        self.column.len() - 1
    }

    fn link(&mut self, from: usize, to: usize) {
        self.after[from].push(to);
        self.before[to].push(from);
    }

    fn number(&mut self) {
        for column in &self.columns {
            for (at, node) in column.iter().enumerate() {
                self.place[*node] = at;
            }
        }
    }

    /// Puts the columns in order.
    fn order(&mut self) {
        let mut best = (self.crossings(), self.columns.clone());
        for sweep in 0..ORDER_SWEEPS {
            if best.0 == 0 {
                break;
            }
            let down = sweep % 2 == 0;
            let count = self.columns.len();
            for step in 0..count {
                let at = if down { step } else { count - 1 - step };
                let neighbours = if down { &self.before } else { &self.after };
                let mut column = std::mem::take(&mut self.columns[at]);
                let key = |node: &usize| {
                    let near = &neighbours[*node];
                    let sum: usize = near.iter().map(|other| self.place[*other]).sum();
                    if near.is_empty() { self.place[*node] as f64 } else { sum as f64 / near.len() as f64 }
                };
                column.sort_by(|a, b| key(a).total_cmp(&key(b)).then(self.place[*a].cmp(&self.place[*b])));
                for (place, node) in column.iter().enumerate() {
                    self.place[*node] = place;
                }
                self.columns[at] = column;
            }
            let crossings = self.crossings();
            if crossings < best.0 {
                best = (crossings, self.columns.clone());
            }
        }
        self.columns = best.1;
        self.number();
    }

    /// Pairs of edges between neighbouring columns that cross: inversions, counted with a Fenwick tree.
    fn crossings(&self) -> u64 {
        let mut crossings = 0;
        for column in &self.columns {
            let mut ends: Vec<usize> = Vec::new();
            for node in column {
                let mut to: Vec<usize> = self.after[*node].iter().map(|other| self.place[*other]).collect();
                to.sort_unstable();
                ends.extend(to);
            }
            let most = ends.iter().max().map_or(0, |most| most + 2);
            let mut tree = vec![0_u64; most + 1];
            for (seen, end) in ends.iter().enumerate() {
                let mut at = end + 1;
                let mut not_above = 0;
                while at > 0 {
                    not_above += tree[at];
                    at &= at - 1;
                }
                crossings += seen as u64 - not_above;
                let mut at = end + 1;
                while at <= most {
                    tree[at] += 1;
                    at += at & at.wrapping_neg();
                }
            }
        }
        crossings
    }

    /// The middle of each node.
    fn middles(&self) -> Vec<f64> {
        let mut middle = vec![0.0; self.column.len()];
        for column in &self.columns {
            let mut y = 0.0;
            for node in column {
                middle[*node] = y + self.height[*node] / 2.0;
                y += self.height[*node] + self.gap;
            }
        }
        for sweep in 0..PLACE_SWEEPS {
            let count = self.columns.len();
            for step in 0..count {
                let down = sweep % 2 == 0;
                let at = if down { step } else { count - 1 - step };
                let wished: Vec<Option<f64>> = self.columns[at]
                    .iter()
                    .map(|node| {
                        // Both sides in the last sweeps, so that neither end of the drawing decides alone.
                        let both = sweep + 2 >= PLACE_SWEEPS;
                        let before = (down || both).then_some(&self.before[*node]);
                        let after = (!down || both).then_some(&self.after[*node]);
                        let near = before.into_iter().chain(after).flatten();
                        let (sum, near) =
                            near.fold((0.0, 0), |(sum, n), other| (sum + middle[*other], n + 1));
                        (near > 0).then(|| sum / f64::from(near))
                    })
                    .collect();
                for (node, y) in self.columns[at].iter().zip(self.apart(&self.columns[at], &wished)) {
                    middle[*node] = y;
                }
            }
        }
        middle
    }

    /// The places nearest to those that are wished (least squares) with the gaps kept; what has no wish goes
    /// with the one above it.
    fn apart(&self, column: &[usize], wished: &[Option<f64>]) -> Vec<f64> {
        // Without the room that those above take at least, the places need only not fall.
        let mut room = Vec::with_capacity(column.len());
        let mut used = 0.0;
        for (at, node) in column.iter().enumerate() {
            if at > 0 {
                used += f64::midpoint(self.height[column[at - 1]], self.height[*node]) + self.gap;
            }
            room.push(used);
        }
        let levels: Vec<Option<f64>> =
            wished.iter().zip(&room).map(|(wish, room)| wish.map(|wish| wish - room)).collect();
        let first = levels.iter().flatten().next().copied();
        let mut last = first.unwrap_or_else(|| column.first().map_or(0.0, |node| self.height[*node] / 2.0));
        // Runs of equal places: their sum and how many.
        let mut runs: Vec<(f64, u32)> = Vec::with_capacity(column.len());
        for level in levels {
            last = level.unwrap_or(last);
            let mut run = (last, 1);
            while let Some(last) = runs.last().copied()
                && last.0 / f64::from(last.1) >= run.0 / f64::from(run.1)
            {
                run = (run.0 + last.0, run.1 + last.1);
                runs.pop();
            }
            runs.push(run);
        }
        let level = runs.iter().flat_map(|(sum, n)| std::iter::repeat_n(sum / f64::from(*n), *n as usize));
        level.zip(room).map(|(level, room)| level + room).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_overlaps_and_order_undoes_crossings() {
        // Two columns of six, joined in reverse.
        let column: Vec<usize> = (0..12).map(|n| n / 6).collect();
        let edges: Vec<(usize, usize)> = (0..6).map(|n| (n, 11 - n)).collect();
        let placed = place(&Boxes { column: &column, height: &[30.0; 12], edges: &edges, gap: 10.0 });
        for (from, to) in &edges {
            assert!((placed.middle[*from] - placed.middle[*to]).abs() < 1e-6, "{placed:?}");
        }
        assert!((placed.height - 230.0).abs() < 1e-6, "{placed:?}");
        for side in 0..2 {
            let mut middles = placed.middle[side * 6..side * 6 + 6].to_vec();
            middles.sort_by(f64::total_cmp);
            assert!(middles.windows(2).all(|pair| pair[1] - pair[0] >= 40.0 - 1e-6), "{placed:?}");
        }
    }

    #[test]
    fn a_long_edge_bends_in_every_column_that_it_passes() {
        let edges = [(0, 1), (1, 2), (2, 3), (0, 3)];
        let placed = place(&Boxes { column: &[0, 1, 2, 3], height: &[30.0; 4], edges: &edges, gap: 10.0 });
        assert_eq!(placed.bends[3].iter().map(|(column, _)| *column).collect::<Vec<_>>(), [1, 2]);
        for (column, y) in &placed.bends[3] {
            assert!((placed.middle[*column] - y).abs() >= 15.0, "{placed:?}");
        }
    }

    #[test]
    fn nothing_is_placed_where_there_is_nothing() {
        let placed = place(&Boxes { column: &[], height: &[], edges: &[], gap: 1.0 });
        assert_eq!((placed.middle.len(), placed.height), (0, 0.0));
    }
}
