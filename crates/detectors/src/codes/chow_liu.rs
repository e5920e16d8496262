//! Rarity of a code under a model of dependent bits, one model a predicted class.
//!
//! Source: Chow and Liu 1968 ([`crate::codes::dependence`]). Bits of all parties are in one tree, so it knows which codes of one
//! party go with which of another.

use serde::{Deserialize, Serialize};

use crate::codes::bit;
use crate::codes::dependence::{self, TreeEdge};
use crate::error::DetectorError;
use crate::features::linear::total;
use crate::limits::{MAX_CLASSES, MAX_TOTAL_BITS};
use crate::rows::CoordinatorRows;
use crate::{Detector, Score};

/// Rows of all classes that count as much as a class's own: a class of few rows leans on the others.
const PRIOR_ROWS: f64 = 5.0;

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
    /// A tree a class, and one of all rows for classes that were never seen.
    trees: Vec<Vec<Edge>>,
}

/// Counts of bits and pairs of bits that are set.
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

    /// Shares of the four values of (parent, bit), with `prior` added as so many rows.
    fn joint(&self, parent: usize, child: usize, bits: usize, prior: [f64; 4], weight: f64) -> [f64; 4] {
        let both = self.pairs[parent * bits + child];
        let (parent, child) = (self.pairs[parent * bits + parent], self.pairs[child * bits + child]);
        let found = [self.rows - parent - child + both, child - both, parent - both, both];
        let total = self.rows + weight;
        std::array::from_fn(|at| (found[at] + weight * prior[at]) / total)
    }
}

impl ChowLiu {
    /// Refuses stored parts that do not fit together.
    pub fn check(&self) -> Result<(), DetectorError> {
        let bits =
            self.lengths.iter().try_fold(0_usize, |sum, bits| sum.checked_add(*bits)).unwrap_or(usize::MAX);
        let fits = (1..=MAX_TOTAL_BITS).contains(&bits)
            && (2..=MAX_CLASSES + 1).contains(&self.trees.len())
            && self.trees.iter().all(|tree| {
                tree.len() == bits
                    && tree.iter().all(|edge| {
                        (edge.bit as usize) < bits
                            && (edge.parent as usize) < bits
                            && edge.cost.iter().all(|cost| cost.is_finite())
                    })
            });
        DetectorError::stored(fits, "a tree of bits")
    }
}

impl Detector<CoordinatorRows<'_>> for ChowLiu {
    fn fit(normal: &CoordinatorRows<'_>, _seed: u64) -> Result<Self, DetectorError> {
        DetectorError::rows("rarity of a code", 2, normal.codes.rows())?;
        let (bits, classes) = (normal.codes.bits(), normal.class_count());
        let mut counts: Vec<Counts> = (0..=classes).map(|_| Counts::new(bits)).collect();
        for (row, class) in normal.classes.iter().enumerate() {
            let words = normal.codes.row(row);
            let set: Vec<usize> = (0..bits).filter(|at| bit(words, *at)).collect();
            counts[*class as usize].add(&set, bits);
            counts[classes].add(&set, bits);
        }
        let all = &counts[classes];
        let trees = counts.iter().map(|counts| tree(counts, all, bits)).collect();
        Ok(Self { lengths: normal.codes.lengths().to_vec(), trees })
    }
}

/// The likeliest tree, its edges from the root on.
fn tree(counts: &Counts, all: &Counts, bits: usize) -> Vec<Edge> {
    let even = [0.25; 4];
    let joint = |parent: usize, child: usize| {
        let prior = all.joint(parent, child, bits, even, 1.0);
        counts.joint(parent, child, bits, prior, PRIOR_ROWS)
    };
    let information = |parent: usize, child: usize| {
        let p = joint(parent, child);
        let (parents, children) = ([p[0] + p[1], p[2] + p[3]], [p[0] + p[2], p[1] + p[3]]);
        (0..4).map(|at| p[at] * (p[at] / (parents[at / 2] * children[at % 2])).ln()).sum::<f64>()
    };
    let root = {
        let share = counts.joint(0, 0, bits, even, 1.0);
        let cost = |share: f64| -share.ln() as f32;
        let (clear, set) = (cost(share[0] + share[2]), cost(share[1] + share[3]));
        Edge { bit: 0, parent: 0, cost: [clear, set, clear, set] }
    };
    let edge = |link: TreeEdge| {
        let p = joint(link.parent, link.child);
        let cost = std::array::from_fn(|at| {
            let parents = p[at & 2] + p[(at & 2) + 1];
            -(p[at] / parents).ln() as f32
        });
        Edge { bit: link.child as u32, parent: link.parent as u32, cost }
    };
    std::iter::once(root).chain(dependence::tree(bits, information).into_iter().map(edge)).collect()
}

impl Score<CoordinatorRows<'_>> for ChowLiu {
    fn score(&self, rows: &CoordinatorRows<'_>) -> Result<Vec<f64>, DetectorError> {
        rows.codes.check_lengths(&self.lengths)?;
        let last = self.trees.len() - 1;
        let scores = rows.classes.iter().enumerate().map(|(row, class)| {
            let words = rows.codes.row(row);
            let tree = &self.trees[(*class as usize).min(last)];
            let cost = |edge: &Edge| {
                let place = 2 * usize::from(bit(words, edge.parent as usize))
                    + usize::from(bit(words, edge.bit as usize));
                edge.cost[place]
            };
            // Four sums, so that an addition need not wait for the one before.
            let (fours, rest) = tree.as_chunks::<4>();
            let mut sums = [0.0_f32; 4];
            for edges in fours {
                sums.iter_mut().zip(edges).for_each(|(sum, edge)| *sum += cost(edge));
            }
            f64::from(total(sums) + rest.iter().map(cost).sum::<f32>())
        });
        Ok(scores.collect())
    }
}

#[cfg(test)]
mod tests {
    use hashvfl_core::random::stream;

    use super::*;
    use crate::codes::{Codes, drawn_signs};
    use crate::rows::Values;

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
        let features = Values::new("features", &zeros, 1).unwrap();
        let detector = ChowLiu::fit(&CoordinatorRows::new(&codes, &classes, features).unwrap(), 0).unwrap();
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
        let features = Values::new("features", &zeros, 1).unwrap();
        let detector = ChowLiu::fit(&CoordinatorRows::new(&codes, &classes, features).unwrap(), 0).unwrap();
        let scores = detector.score(&CoordinatorRows::new(&codes, &[9; 200], features).unwrap()).unwrap();
        assert!(scores.iter().all(|score| score.is_finite()));
    }
}
