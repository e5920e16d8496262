//! Unlikely codes under a tree of dependent bits, one tree per predicted class.
//!
//! Source: Chow and Liu 1968 ([`crate::numerics::dependence_tree`]). One tree holds the bits of all parties, so it knows which
//! codes of one party go with which codes of another.

use serde::{Deserialize, Serialize};

use super::{CoordinatorNormal, CoordinatorRows};
use crate::codes::{bit, total_bits};
use crate::detector::{Detector, Input, Needs};
use crate::error::DetectorError;
use crate::limits::{MAX_CLASSES, MAX_TOTAL_BITS};
use crate::numerics::dependence_tree::{TreeEdge, dependence_tree};
use crate::numerics::vectors::total;

/// The weight of all classes beside a class's own rows, in rows: a class of few rows leans on the others.
const PRIOR_ROWS: f64 = 5.0;
/// The fractions of the four values of (parent, bit) where nothing is known.
const EVEN: [f64; 4] = [0.25; 4];

/// A bit given its parent in the tree: `cost[2 * parent + bit]` is its negative log-likelihood.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
struct Edge {
    bit: u32,
    parent: u32,
    cost: [f32; 4],
}

/// The negative log-likelihood of all bits under the tree of the predicted class.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
pub struct ChowLiu {
    lengths: Vec<usize>,
    /// One tree per class, and the tree of all rows for classes that no normal row has.
    trees: Vec<Vec<Edge>>,
}

/// How often bits, and pairs of bits, are set.
struct Counts {
    rows: f64,
    /// [bits, bits]; the diagonal holds single bits.
    pairs: Vec<f64>,
}

impl Counts {
    fn new(bits: usize) -> Self {
        Self { rows: 0.0, pairs: vec![0.0; bits * bits] }
    }

    fn add(&mut self, set: &[usize], bits: usize) {
        self.rows += 1.0;
        for one in set {
            set.iter().for_each(|other| self.pairs[one * bits + other] += 1.0);
        }
    }

    /// The fractions of the four values of (parent, bit), with `prior` added as `weight` rows.
    fn joint(&self, parent: usize, child: usize, bits: usize, prior: [f64; 4], weight: f64) -> [f64; 4] {
        let both = self.pairs[parent * bits + child];
        let (parent, child) = (self.pairs[parent * bits + parent], self.pairs[child * bits + child]);
        let found = [self.rows - parent - child + both, child - both, parent - both, both];
        let total = self.rows + weight;
        std::array::from_fn(|at| (found[at] + weight * prior[at]) / total)
    }
}

impl Detector for ChowLiu {
    type Normal<'a> = CoordinatorNormal<'a>;
    type Observations<'a> = CoordinatorRows<'a>;
    const NAME: &'static str = "chow-liu";
    const NEEDS: Needs = Needs { input: Input::Codes, rows: 2 };

    fn fit(normal: &CoordinatorNormal<'_>, _seed: u64) -> Result<Self, DetectorError> {
        let CoordinatorRows { codes, classes: of_rows, .. } = normal.rows;
        let (bits, classes) = (codes.bits(), normal.rows.class_count());
        let mut counts: Vec<Counts> = (0..=classes).map(|_| Counts::new(bits)).collect();
        for (row, class) in of_rows.iter().enumerate() {
            let words = codes.row(row);
            let set: Vec<usize> = (0..bits).filter(|at| bit(words, *at)).collect();
            counts[*class as usize].add(&set, bits);
            counts[classes].add(&set, bits);
        }
        let all = &counts[classes];
        let trees = counts.iter().map(|counts| tree(counts, all, bits)).collect();
        Ok(Self { lengths: codes.lengths().to_vec(), trees })
    }

    fn score(&self, rows: &CoordinatorRows<'_>) -> Result<Vec<f64>, DetectorError> {
        rows.codes.check_lengths(&self.lengths)?;
        let last = self.trees.len() - 1;
        let mut scores = Vec::with_capacity(rows.codes.rows());
        for (row, class) in rows.classes.iter().enumerate() {
            scores.push(cost_of(&self.trees[(*class as usize).min(last)], rows.codes.row(row)));
        }
        Ok(scores)
    }

    fn check(&self) -> Result<(), DetectorError> {
        let bits = total_bits(&self.lengths);
        let fits = (1..=MAX_TOTAL_BITS).contains(&bits)
            && (2..=MAX_CLASSES + 1).contains(&self.trees.len())
            && self.trees.iter().all(|tree| tree.len() == bits && tree.iter().all(|edge| edge.fits(bits)));
        DetectorError::stored(fits, "a tree of bits")
    }
}

impl Edge {
    /// The negative log-likelihood of the bit in a record's words.
    fn cost_in(&self, words: &[u64]) -> f32 {
        let parent = usize::from(bit(words, self.parent as usize));
        self.cost[2 * parent + usize::from(bit(words, self.bit as usize))]
    }

    fn fits(&self, bits: usize) -> bool {
        (self.bit as usize) < bits
            && (self.parent as usize) < bits
            && self.cost.iter().all(|cost| cost.is_finite())
    }
}

/// The negative log-likelihood of a record's words under `tree`.
fn cost_of(tree: &[Edge], words: &[u64]) -> f64 {
    // Four sums, so that an addition need not wait for the addition before.
    let (fours, rest) = tree.as_chunks::<4>();
    let mut sums = [0.0_f32; 4];
    for edges in fours {
        sums.iter_mut().zip(edges).for_each(|(sum, edge)| *sum += edge.cost_in(words));
    }
    f64::from(total(sums) + rest.iter().map(|edge| edge.cost_in(words)).sum::<f32>())
}

/// The fractions of the four values of (parent, bit) in a class that leans on `all` rows.
fn joint(counts: &Counts, all: &Counts, parent: usize, child: usize, bits: usize) -> [f64; 4] {
    let prior = all.joint(parent, child, bits, EVEN, 1.0);
    counts.joint(parent, child, bits, prior, PRIOR_ROWS)
}

/// The mutual information of two bits, from the fractions of their four values.
fn information(p: [f64; 4]) -> f64 {
    let (parents, children) = ([p[0] + p[1], p[2] + p[3]], [p[0] + p[2], p[1] + p[3]]);
    (0..4).map(|at| p[at] * (p[at] / (parents[at / 2] * children[at % 2])).ln()).sum()
}

/// The likeliest tree, its edges from the root on.
fn tree(counts: &Counts, all: &Counts, bits: usize) -> Vec<Edge> {
    let mut edges = vec![root(counts, bits)];
    let tree = dependence_tree(bits, |parent, child| information(joint(counts, all, parent, child, bits)));
    for TreeEdge { parent, child, .. } in tree {
        let p = joint(counts, all, parent, child, bits);
        let cost = std::array::from_fn(|at| {
            let parents = p[at & 2] + p[(at & 2) + 1];
            -(p[at] / parents).ln() as f32
        });
        edges.push(Edge { bit: child as u32, parent: parent as u32, cost });
    }
    edges
}

/// Bit 0, which depends on no other.
fn root(counts: &Counts, bits: usize) -> Edge {
    let p = counts.joint(0, 0, bits, EVEN, 1.0);
    let (clear, set) = (-(p[0] + p[2]).ln() as f32, -(p[1] + p[3]).ln() as f32);
    Edge { bit: 0, parent: 0, cost: [clear, set, clear, set] }
}

#[cfg(test)]
mod tests {
    use hashvfl_core::random::stream;

    use super::*;
    use crate::codes::{Codes, drawn_signs};
    use crate::values::MatrixView;

    /// Bits 0 and 3 are copies in class 0 and opposites in class 1, the rest is drawn.
    fn drawn(rows: usize, seed: u64, linked: bool) -> (Codes, Vec<u32>) {
        let mut rng = stream(seed, "codes", &[]);
        let mut signs = Vec::new();
        let classes: Vec<u32> = (0..rows as u32).map(|row| row % 2).collect();
        for class in &classes {
            let mut code = drawn_signs(&mut rng, 6);
            if linked {
                code[3] = if *class == 0 { code[0] } else { -code[0] };
            }
            signs.extend(code);
        }
        (Codes::of_values(&[&signs], rows).unwrap(), classes)
    }

    #[test]
    fn broken_dependence_is_rare_and_scores_are_likelihoods() {
        let (codes, classes) = drawn(2000, 1, true);
        let zeros = vec![0.0; 2000];
        let features = MatrixView::new("features", &zeros, 1).unwrap();
        let detector =
            ChowLiu::fit(&CoordinatorRows::new(&codes, &classes, features).unwrap().into(), 0).unwrap();
        assert!(detector.check().is_ok());
        let normal = detector.score(&CoordinatorRows::new(&codes, &classes, features).unwrap()).unwrap();
        // Five free bits: 5 ln 2.
        let mean = normal.iter().sum::<f64>() / 2000.0;
        assert!((mean - 5.0 * 2_f64.ln()).abs() < 0.05, "{mean}");
        let (strange, classes) = drawn(2000, 2, false);
        let scores = detector.score(&CoordinatorRows::new(&strange, &classes, features).unwrap()).unwrap();
        let rare = scores.iter().filter(|score| **score > 6.0).count();
        assert!((900..1100).contains(&rare), "{rare}");
    }

    #[test]
    fn the_tree_of_all_rows_serves_an_unseen_class() {
        let (codes, classes) = drawn(200, 1, true);
        let zeros = vec![0.0; 200];
        let features = MatrixView::new("features", &zeros, 1).unwrap();
        let detector =
            ChowLiu::fit(&CoordinatorRows::new(&codes, &classes, features).unwrap().into(), 0).unwrap();
        let scores = detector.score(&CoordinatorRows::new(&codes, &[9; 200], features).unwrap()).unwrap();
        assert!(scores.iter().all(|score| score.is_finite()));
    }
}
