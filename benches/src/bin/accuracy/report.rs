//! Figures for a person: one line per run, and tables over runs.

use hashvfl_files::say;
use hashvfl_learning::encoder::CutLayer;
use hashvfl_learning::metrics::Balance;

use crate::trial::Measured;

/// One run and where it stands.
#[derive(Debug, Clone)]
pub struct Entry {
    /// Which rows of the closing table it counts for.
    pub group: String,
    /// The split.
    pub split: String,
    /// The training seed.
    pub seed: u64,
    /// What left a party.
    pub cut: CutLayer,
    /// Its figures.
    pub measured: Measured,
}

/// The name of a cut.
pub fn cut_name(cut: CutLayer) -> &'static str {
    match cut {
        CutLayer::Hash => "hash",
        CutLayer::SimulatedFloat => "float",
    }
}

/// Prints the line of a run.
pub fn print_line(entry: &Entry, metric: &str) {
    let Entry { group, split, seed, cut, measured } = entry;
    let mut test = measured.test.map(|test| format!(", test {test:.4}")).unwrap_or_default();
    if let Some(area) = measured.test_macro_auc {
        test += &format!(", test macro AUC {area:.4}");
    }
    say!(
        "{group}: {split}, seed {seed}, {:<5} {metric} validation {:.4} (last epoch {:.4}){test}, epoch {} kept, {:.1} s",
        cut_name(*cut),
        measured.validation,
        measured.last_validation,
        measured.best_epoch,
        measured.seconds,
    );
    for (party, balance) in &measured.balance {
        say!("    {party}: {}", describe(balance));
    }
}

fn describe(balance: &Balance) -> String {
    let correlation = match balance.mean_abs_correlation {
        Some(correlation) => format!("{correlation:.3} on average"),
        None => "undefined".to_string(),
    };
    format!(
        "|bit mean| {:.4} on average, {:.4} at most; |correlation| of bits {correlation}",
        balance.mean_abs_bit_mean, balance.max_abs_bit_mean
    )
}

/// Mean, least and most of some figures.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Summary {
    /// Mean.
    pub mean: f64,
    /// Least.
    pub least: f64,
    /// Most.
    pub most: f64,
}

impl Summary {
    /// Summarises `figures`; `None` where there are none.
    pub fn of(figures: &[f64]) -> Option<Self> {
        let mean = figures.iter().sum::<f64>() / figures.len() as f64;
        let fold = |start, pick: fn(f64, f64) -> f64| figures.iter().copied().fold(start, pick);
        let (least, most) = (fold(f64::INFINITY, f64::min), fold(f64::NEG_INFINITY, f64::max));
        (!figures.is_empty()).then_some(Self { mean, least, most })
    }
}

impl std::fmt::Display for Summary {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:+.4} ({:+.4} to {:+.4})", self.mean, self.least, self.most)
    }
}

/// Differences of `one` minus `other` over the pairs of runs that share a split and a seed.
fn pairs(one: &[&Entry], other: &[&Entry], figure: &dyn Fn(&Measured) -> Option<f64>) -> Vec<f64> {
    let partner = |entry: &Entry| other.iter().find(|o| (&o.split, o.seed) == (&entry.split, entry.seed));
    let difference = |entry: &&Entry| Some(figure(&entry.measured)? - figure(&partner(entry)?.measured)?);
    one.iter().filter_map(difference).collect()
}

/// Prints the closing tables: each group by itself and hash against float in pairs.
pub fn print_summary(entries: &[Entry], metric: &str) {
    let mut groups: Vec<&str> = Vec::new();
    for entry in entries {
        if !groups.contains(&entry.group.as_str()) {
            groups.push(&entry.group);
        }
    }
    say!("\n{metric}: mean (least to most)");
    for group in &groups {
        let of = |cut| -> Vec<&Entry> {
            entries.iter().filter(|entry| entry.group == *group && entry.cut == cut).collect()
        };
        let (floats, hashes) = (of(CutLayer::SimulatedFloat), of(CutLayer::Hash));
        say!("{group}");
        print_figures("validation", &floats, &hashes, &|measured| Some(measured.validation));
        print_figures("last epoch", &floats, &hashes, &|measured| Some(measured.last_validation));
        print_figures("test", &floats, &hashes, &|measured| measured.test);
        print_figures("test macro AUC", &floats, &hashes, &|measured| measured.test_macro_auc);
        print_balance(&hashes);
        if let Some(entry) = hashes.first() {
            let released = entry.measured.released;
            say!(
                "  bits released per party and record: {} for training records, {} for validation records, {} for \
                 records outside the cohort, {} for test records",
                released.cohort_train,
                released.cohort_validation,
                released.others,
                released.test
            );
        }
    }
}

/// Prints the differences in pairs of two groups' hash runs.
pub fn print_difference(entries: &[Entry], one: &str, other: &str) {
    let of = |group: &str| -> Vec<&Entry> {
        entries.iter().filter(|entry| entry.group == group && entry.cut == CutLayer::Hash).collect()
    };
    say!("{one} - {other}, hash");
    let figures: [(&str, &dyn Fn(&Measured) -> Option<f64>); 2] =
        [("validation", &|measured| Some(measured.validation)), ("test", &|measured| measured.test)];
    for (name, figure) in figures {
        if let Some(summary) = Summary::of(&pairs(&of(one), &of(other), figure)) {
            say!("  {name:<11} {summary}");
        }
    }
}

fn print_figures(
    name: &str,
    floats: &[&Entry],
    hashes: &[&Entry],
    figure: &dyn Fn(&Measured) -> Option<f64>,
) {
    let all = |entries: &[&Entry]| {
        let figures: Vec<f64> = entries.iter().filter_map(|entry| figure(&entry.measured)).collect();
        Summary::of(&figures)
    };
    let columns = [
        ("float", all(floats)),
        ("hash", all(hashes)),
        ("hash - float", Summary::of(&pairs(hashes, floats, figure))),
    ];
    let cells: Vec<String> = columns
        .iter()
        .filter_map(|(title, summary)| summary.map(|summary| format!("{title} {summary}")))
        .collect();
    if !cells.is_empty() {
        say!("  {name:<11} {}", cells.join("   "));
    }
}

/// The mean over the runs of each party's balance, and the largest |bit mean| of all.
fn print_balance(hashes: &[&Entry]) {
    let Some(first) = hashes.first() else { return };
    for (index, (party, _)) in first.measured.balance.iter().enumerate() {
        let all: Vec<&Balance> = hashes.iter().map(|entry| &entry.measured.balance[index].1).collect();
        let mean =
            |figure: fn(&Balance) -> f64| all.iter().map(|b| figure(b)).sum::<f64>() / all.len() as f64;
        let correlations: Vec<f64> = all.iter().filter_map(|b| b.mean_abs_correlation).collect();
        let over_runs = Balance {
            mean_abs_bit_mean: mean(|b| b.mean_abs_bit_mean),
            max_abs_bit_mean: all.iter().map(|b| b.max_abs_bit_mean).fold(0.0, f64::max),
            mean_abs_correlation: (!correlations.is_empty())
                .then(|| correlations.iter().sum::<f64>() / correlations.len() as f64),
        };
        say!("  balance     {party}: {}", describe(&over_runs));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_summary_of_nothing_is_none() {
        assert_eq!(Summary::of(&[]), None);
        let summary = Summary::of(&[1.0, 3.0]).unwrap();
        assert_eq!((summary.mean, summary.least, summary.most), (2.0, 1.0, 3.0));
    }
}
