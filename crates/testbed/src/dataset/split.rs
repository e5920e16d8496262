//! Which record of the files stands at which row of a run.

use crate::numpy::permutation;

/// The records in the order of a run, test records last.
#[derive(Debug, Clone)]
pub struct Split {
    /// What to call it.
    pub name: String,
    /// For each row of the run, the record of the files.
    pub order: Vec<u32>,
    /// How many of the last rows are test records.
    pub test: usize,
}

impl Split {
    /// Records shuffled by numpy's `RandomState(seed).permutation`, the last fifth for the test.
    pub fn shuffled(seed: u32, records: usize) -> Self {
        let order = permutation(seed, records as u32);
        Self { name: format!("split {seed}"), order, test: records - records * 4 / 5 }
    }

    /// `folds` splits of records shuffled by `RandomState(0)`, each with another fold for the test.
    pub fn folds(folds: usize, records: usize) -> Vec<Self> {
        cut(&permutation(0, records as u32), folds, "fold")
    }

    /// `folds` splits of the records outside the test part, each with another fold in the test's place: for choosing
    /// recipes.
    pub fn development(&self, folds: usize) -> Vec<Self> {
        cut(&self.order[..self.order.len() - self.test], folds, &format!("{}, fold", self.name))
    }

    /// Records as they come, the last `test` for the test.
    pub fn published(records: usize, test: usize) -> Self {
        Self { name: "published split".into(), order: (0..records as u32).collect(), test }
    }
}

/// Splits of `order` into `folds`, each with another fold at the end, for the test.
fn cut(order: &[u32], folds: usize, name: &str) -> Vec<Split> {
    let fold = |index: usize| {
        let range = order.len() * index / folds..order.len() * (index + 1) / folds;
        let (test, count) = (&order[range.clone()], range.len());
        let order = [&order[..range.start], &order[range.end..], test].concat();
        Split { name: format!("{name} {index}"), order, test: count }
    };
    (0..folds).map(fold).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folds_test_every_record_once() {
        let folds = Split::folds(5, 846);
        let mut tested: Vec<u32> =
            folds.iter().flat_map(|fold| fold.order[846 - fold.test..].to_vec()).collect();
        tested.sort_unstable();
        assert_eq!(tested, (0..846).collect::<Vec<u32>>());
        for fold in folds {
            let mut all = fold.order.clone();
            all.sort_unstable();
            assert_eq!(all, (0..846).collect::<Vec<u32>>());
        }
    }
}
