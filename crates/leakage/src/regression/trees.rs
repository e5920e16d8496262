//! Boosted trees (Friedman 2001) with a vector of outputs in each leaf. Splits are found on a few random projections of the
//! residuals (Iosipoi and Vakhrushev 2022, "SketchBoost"), on a part of the rows and inputs that is drawn for each tree.

use hashvfl_core::random::{below, shuffle, stream, uniform};
use rand::rngs::ChaCha8Rng;

use super::{Examples, Predictor, squared_error};

/// Trees at most, and trees without a better held-out error after which it stops.
const MOST_TREES: usize = 100;
const PATIENCE: usize = 10;
/// Levels of a tree.
const DEPTH: usize = 6;
/// Leaves of a tree.
const LEAVES: usize = 1 << DEPTH;
/// Values of an input that are told apart at most.
const MOST_BINS: usize = 32;
/// Rows and inputs that one tree looks at, at most.
const MOST_ROWS: usize = 4_000;
const MOST_INPUTS: usize = 64;
/// Projections of the residuals.
const PROJECTIONS: usize = 5;
/// Rows of a leaf at least, and what is added to their number where residuals are averaged.
const LEAST_ROWS: f32 = 5.0;
const SHRINKAGE: f32 = 1.0;
/// Fraction of a leaf's mean residual that a tree takes away.
const RATE: f32 = 0.2;

/// One input at one threshold: rows above it go right.
#[derive(Clone, Copy, Default)]
struct Split {
    input: usize,
    /// The last bin that goes left.
    bin: u8,
}

/// A complete tree: the children of node n are 2 n + 1 and 2 n + 2.
struct Tree {
    splits: Vec<Split>,
    /// [leaves, outputs].
    values: Vec<f32>,
}

/// The trees.
pub(super) struct BoostedTrees {
    /// Upper ends of the bins of each input, the last one without.
    ends: Vec<Vec<f32>>,
    mean: Vec<f32>,
    trees: Vec<Tree>,
}

/// Rows with their inputs in bins, and what of their outputs is not explained yet.
struct BinnedRows {
    count: usize,
    inputs: usize,
    outputs: usize,
    /// How many bins each input has.
    widths: Vec<usize>,
    /// [rows, inputs].
    bins: Vec<u8>,
    /// [rows, outputs].
    residuals: Vec<f32>,
}

impl BoostedTrees {
    /// Adds trees that explain `train` until `held` is predicted no better, and drops those after the best.
    pub(super) fn fit(train: &Examples, held: &Examples, seed: u64) -> Self {
        let ends = (0..train.inputs_width()).map(|input| bin_ends(train, input, seed)).collect();
        let mut boosted = Self { ends, mean: train.output_means(), trees: Vec::new() };
        let mut rows = boosted.rows(train);
        let mut rest = boosted.rows(held);
        let mut rng = stream(seed, "boosted trees", &[]);
        let mut best = (squared_error(&rest.residuals), 0);
        while boosted.trees.len() < MOST_TREES && boosted.trees.len() < best.1 + PATIENCE {
            let tree = Tree::grow(&rows, &mut rng);
            tree.take_away(&mut rows);
            tree.take_away(&mut rest);
            boosted.trees.push(tree);
            let error = squared_error(&rest.residuals);
            if error < best.0 {
                best = (error, boosted.trees.len());
            }
        }
        boosted.trees.truncate(best.1);
        boosted
    }

    fn rows(&self, examples: &Examples) -> BinnedRows {
        let mut residuals = examples.outputs.clone();
        for row in residuals.chunks_exact_mut(self.mean.len()) {
            row.iter_mut().zip(&self.mean).for_each(|(value, mean)| *value -= mean);
        }
        BinnedRows {
            count: examples.rows,
            inputs: self.ends.len(),
            outputs: self.mean.len(),
            widths: self.ends.iter().map(|ends| ends.len() + 1).collect(),
            bins: self.bins(&examples.inputs),
            residuals,
        }
    }

    fn bins(&self, inputs: &[f32]) -> Vec<u8> {
        let mut bins = Vec::with_capacity(inputs.len());
        for row in inputs.chunks_exact(self.ends.len()) {
            for (value, ends) in row.iter().zip(&self.ends) {
                bins.push(ends.partition_point(|end| end < value) as u8);
            }
        }
        bins
    }
}

/// Ends of the bins of an input: its values, or quantiles of them where they are many.
fn bin_ends(examples: &Examples, input: usize, seed: u64) -> Vec<f32> {
    let width = examples.inputs_width();
    let mut rng = stream(seed, "bins", &[input as u64]);
    let drawn = (0..MOST_ROWS.min(examples.rows)).map(|row| match examples.rows <= MOST_ROWS {
        true => row,
        false => below(&mut rng, examples.rows),
    });
    let mut values: Vec<f32> = drawn.map(|row| examples.inputs[row * width + input]).collect();
    values.sort_unstable_by(f32::total_cmp);
    let mut distinct = values.clone();
    distinct.dedup();
    if distinct.len() > MOST_BINS {
        distinct = (1..=MOST_BINS).map(|bin| values[bin * (values.len() - 1) / MOST_BINS]).collect();
        distinct.dedup();
    }
    distinct.pop();
    distinct
}

/// Sums over rows of one bin of one input in one node: projections of residuals, and the number of rows.
type Sums = [f32; PROJECTIONS + 1];

impl Tree {
    fn grow(rows: &BinnedRows, rng: &mut ChaCha8Rng) -> Self {
        let sample = Sample::draw(rows, rng);
        let mut splits = vec![Split::default(); LEAVES - 1];
        let mut node = vec![0_usize; sample.rows.len()];
        for level in 0..DEPTH {
            let first = (1 << level) - 1;
            splits[first..2 * first + 1].copy_from_slice(&sample.best_splits(&node, first));
            for (node, row) in node.iter_mut().zip(&sample.rows) {
                *node = next(*node, splits[*node], &rows.bins[*row as usize * rows.inputs..]);
            }
        }
        let mut tree = Self { splits, values: Vec::new() };
        tree.values = tree.leaf_values(rows);
        tree
    }

    fn leaf(&self, bins: &[u8]) -> usize {
        let mut node = 0;
        while node < self.splits.len() {
            node = next(node, self.splits[node], bins);
        }
        node - self.splits.len()
    }

    /// Of all rows, not only of those by which splits were found.
    fn leaf_values(&self, rows: &BinnedRows) -> Vec<f32> {
        let (mut sums, mut counts) = (vec![0.0_f32; LEAVES * rows.outputs], [0.0_f32; LEAVES]);
        for (bins, residuals) in rows.each() {
            let leaf = self.leaf(bins);
            counts[leaf] += 1.0;
            let sums = &mut sums[leaf * rows.outputs..][..rows.outputs];
            sums.iter_mut().zip(residuals).for_each(|(sum, residual)| *sum += residual);
        }
        for (sums, count) in sums.chunks_exact_mut(rows.outputs).zip(counts) {
            sums.iter_mut().for_each(|sum| *sum *= RATE / (count + SHRINKAGE));
        }
        sums
    }

    fn take_away(&self, rows: &mut BinnedRows) {
        let (inputs, outputs) = (rows.inputs, rows.outputs);
        for (bins, residuals) in rows.bins.chunks_exact(inputs).zip(rows.residuals.chunks_exact_mut(outputs))
        {
            let values = &self.values[self.leaf(bins) * outputs..][..outputs];
            residuals.iter_mut().zip(values).for_each(|(residual, value)| *residual -= value);
        }
    }
}

impl BinnedRows {
    fn each(&self) -> impl Iterator<Item = (&[u8], &[f32])> {
        self.bins.chunks_exact(self.inputs).zip(self.residuals.chunks_exact(self.outputs))
    }
}

/// The child of `node` to which a row with `bins` goes.
fn next(node: usize, split: Split, bins: &[u8]) -> usize {
    2 * node + 1 + usize::from(bins[split.input] > split.bin)
}

/// `most` of `count` numbers, or all.
fn drawn(count: usize, most: usize, rng: &mut ChaCha8Rng) -> Vec<u32> {
    let mut numbers: Vec<u32> = (0..count as u32).collect();
    if count > most {
        shuffle(&mut numbers, rng);
        numbers.truncate(most);
    }
    numbers
}

/// Random projections [sample, projections] of residuals; residuals themselves where they are as few.
fn project(rows: &BinnedRows, sample: &[u32], rng: &mut ChaCha8Rng) -> Vec<[f32; PROJECTIONS]> {
    let mut weights = vec![[0.0; PROJECTIONS]; rows.outputs];
    for (output, weights) in weights.iter_mut().enumerate() {
        for (projection, weight) in weights.iter_mut().enumerate() {
            *weight = match rows.outputs <= PROJECTIONS {
                true => f32::from(u8::from(output == projection)),
                false => f32::from(u8::from(uniform(rng) < 0.5)) * 2.0 - 1.0,
            };
        }
    }
    let mut projected = Vec::with_capacity(sample.len());
    for row in sample {
        let mut sums = [0.0; PROJECTIONS];
        let residuals = &rows.residuals[*row as usize * rows.outputs..][..rows.outputs];
        for (residual, weights) in residuals.iter().zip(&weights) {
            sums.iter_mut().zip(weights).for_each(|(sum, weight)| *sum += residual * weight);
        }
        projected.push(sums);
    }
    projected
}

/// The rows and inputs by which the splits of one tree are found.
struct Sample {
    rows: Vec<u32>,
    /// Inputs, and how many bins each has.
    inputs: Vec<(usize, usize)>,
    /// [inputs, rows].
    bins: Vec<u8>,
    /// Projections of the rows' residuals.
    projected: Vec<[f32; PROJECTIONS]>,
}

impl Sample {
    fn draw(rows: &BinnedRows, rng: &mut ChaCha8Rng) -> Self {
        let sample = drawn(rows.count, MOST_ROWS.min(rows.count.div_ceil(2)), rng);
        let (mut inputs, mut bins) = (Vec::new(), Vec::new());
        for input in drawn(rows.inputs, MOST_INPUTS, rng) {
            let input = input as usize;
            inputs.push((input, rows.widths[input]));
            bins.extend(sample.iter().map(|row| rows.bins[*row as usize * rows.inputs + input]));
        }
        let projected = project(rows, &sample, rng);
        Self { rows: sample, inputs, bins, projected }
    }

    /// The best split of each node of a level, whose first node is `first`, where `node` says where each row is. A node without a
    /// good one sends all rows left.
    fn best_splits(&self, node: &[usize], first: usize) -> Vec<Split> {
        let nodes = first + 1;
        let mut counts = vec![0.0_f32; nodes];
        node.iter().for_each(|node| counts[node - first] += 1.0);
        let mut best = vec![(0.0_f32, Split { input: 0, bin: u8::MAX }); nodes];
        let mut sums: Vec<Sums> = vec![[0.0; PROJECTIONS + 1]; nodes * MOST_BINS];
        for ((input, width), bins) in self.inputs.iter().zip(self.bins.chunks(self.rows.len().max(1))) {
            let sums = &mut sums[..nodes * width];
            sums.fill([0.0; PROJECTIONS + 1]);
            for ((bin, projected), node) in bins.iter().zip(&self.projected).zip(node) {
                let sums = &mut sums[(node - first) * width + usize::from(*bin)];
                sums[PROJECTIONS] += 1.0;
                sums.iter_mut().zip(projected).for_each(|(sum, value)| *sum += value);
            }
            let of_nodes = best.iter_mut().zip(sums.chunks_exact(*width)).zip(&counts);
            for ((best, sums), _) in of_nodes.filter(|(_, count)| **count >= 2.0 * LEAST_ROWS) {
                let (gain, bin) = best_bin(sums);
                if gain > best.0 {
                    *best = (gain, Split { input: *input, bin });
                }
            }
        }
        best.into_iter().map(|(_, split)| split).collect()
    }
}

/// The bin after which a split explains most, and how much.
fn best_bin(bins: &[Sums]) -> (f32, u8) {
    let mut all = [0.0; PROJECTIONS + 1];
    for bin in bins {
        all.iter_mut().zip(bin).for_each(|(all, sum)| *all += sum);
    }
    let together = explained(&all);
    let (mut best, mut left) = ((0.0, 0), [0.0; PROJECTIONS + 1]);
    for (number, bin) in bins.iter().enumerate() {
        left.iter_mut().zip(bin).for_each(|(left, sum)| *left += sum);
        let mut right = all;
        right.iter_mut().zip(&left).for_each(|(right, left)| *right -= left);
        if left[PROJECTIONS] >= LEAST_ROWS && right[PROJECTIONS] >= LEAST_ROWS {
            let gain = explained(&left) + explained(&right) - together;
            if gain > best.0 {
                best = (gain, number as u8);
            }
        }
    }
    best
}

/// Squared residuals that the mean of these rows takes away.
fn explained(sums: &Sums) -> f32 {
    let squares: f32 = sums[..PROJECTIONS].iter().map(|sum| sum * sum).sum();
    squares / (sums[PROJECTIONS] + SHRINKAGE)
}

impl Predictor for BoostedTrees {
    fn predict(&self, inputs: &[f32], rows: usize) -> Vec<f32> {
        let bins = self.bins(inputs);
        let outputs = self.mean.len();
        let mut guess = self.mean.repeat(rows);
        for tree in &self.trees {
            for (bins, guess) in bins.chunks_exact(self.ends.len()).zip(guess.chunks_exact_mut(outputs)) {
                let values = &tree.values[tree.leaf(bins) * outputs..][..outputs];
                guess.iter_mut().zip(values).for_each(|(guess, value)| *guess += value);
            }
        }
        guess
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_interaction_and_a_threshold_are_found() {
        let mut rng = stream(4, "test", &[]);
        let (mut inputs, mut outputs) = (Vec::new(), Vec::new());
        for _ in 0..1500 {
            let row = [uniform(&mut rng), uniform(&mut rng), uniform(&mut rng)];
            inputs.extend(row);
            outputs.extend([
                f32::from(u8::from((row[0] < 0.4) == (row[1] < 0.7))),
                f32::from(u8::from(row[2] < 0.25)),
            ]);
        }
        let examples = Examples { inputs, outputs, rows: 1500, discrete: false };
        let (held, kept) = examples.held_out(1);
        let boosted = BoostedTrees::fit(&kept, &held, 2);
        let guess = boosted.predict(&held.inputs, held.rows);
        let wrong = guess.iter().zip(&held.outputs).filter(|(g, t)| (*g - *t).abs() > 0.5).count();
        assert!(wrong < held.rows * 2 / 10, "{wrong} of {}", held.rows * 2);
    }
}
