//! What the coordinator can do against poisoned training rows: flags on marked test rows, and screening of training rows.

use std::collections::HashSet;

use hashvfl_detectors::screening::{
    GivenLabels, Labelled, Screened, ScreeningAction, ScreeningSettings, label_p_values,
};
use hashvfl_detectors::{
    CalibrationSplit, Codes, CoordinatorKind, CoordinatorNormal, DetectorError, DetectorKind,
    DetectorSettings,
};
use hashvfl_files::say;

use crate::backdoor::{self, Poisoned};
use crate::benchmark::DetectorBenchmark;
use crate::data::Set;
use crate::federation::Federation;
use crate::kinds::{AnomalySet, WRONG};
use crate::table;

/// The most training rows that are screened.
const ROWS: usize = 20_000;
const SCREENING: ScreeningSettings =
    ScreeningSettings { action: ScreeningAction::Drop, level: 0.05, folds: 5 };

/// Figures of marked test rows of other classes, at most `most`, and of the screening of training rows.
pub fn measure(
    benchmark: &DetectorBenchmark<'_>,
    poisoned: &Poisoned,
    clean: &Set,
    most: usize,
    strange: f64,
) -> anyhow::Result<String> {
    let federation = benchmark.federation;
    let classes = clean.classes();
    let base: Vec<u32> = federation
        .test
        .iter()
        .copied()
        .filter(|row| classes[*row as usize] != backdoor::CLASS)
        .take(most)
        .collect();
    let mut raw = federation.raw(WRONG, &base);
    let width = clean.columns[WRONG].cols();
    raw.chunks_exact_mut(width).for_each(|row| backdoor::put(&poisoned.mark, row));
    let columns = vec![federation.prepare(0, federation.raw(0, &base))?, federation.prepare(WRONG, raw)?];
    let view = federation.view(columns, [None, None])?;
    let fooled = view.classes.iter().filter(|class| **class == backdoor::CLASS).count();
    let success = 100.0 * fooled as f64 / base.len().max(1) as f64;
    let about = format!(
        "{} of {} training rows are marked and labelled as class {}; {success:.1} % of marked test rows of other classes \
         are then predicted as it",
        poisoned.rows.len(),
        federation.fit.len(),
        backdoor::CLASS
    );
    say!("\n{about}");
    let rows = benchmark.measure(&AnomalySet { name: "backdoor", about: about.clone(), view }, strange)?;
    table::print("backdoor", &rows);
    Ok(table::section(&about, &rows) + &screen(federation, &poisoned.rows, benchmark.seed)?)
}

/// How many poisoned rows the screening of training rows finds: by the coordinator's default detectors, on codes, and by
/// those of `[screening]`, on codes and labels.
fn screen(federation: &Federation<'_>, poisoned: &[u32], seed: u64) -> anyhow::Result<String> {
    let rows = &federation.fit[..federation.fit.len().min(ROWS)];
    let marked: HashSet<u32> = poisoned.iter().copied().collect();
    let mut html = String::new();
    for (name, screened) in [
        ("codes", by_codes(federation, rows, seed)?),
        ("codes and labels", by_labels(federation, rows, seed)?),
    ] {
        let of_marked = rows.iter().zip(&screened.weights).filter(|(row, _)| marked.contains(row));
        let there = of_marked.clone().count();
        let found = of_marked.filter(|(_, weight)| **weight == 0.0).count();
        let line = format!(
            "screening of {} training rows by {name} at {:.0} %: {} are flagged, {found} of {there} poisoned rows among \
             them",
            rows.len(),
            100.0 * SCREENING.level,
            screened.flagged
        );
        say!("  {line}");
        html += &format!("<p>{line}</p>");
    }
    Ok(html)
}

fn by_codes(federation: &Federation<'_>, rows: &[u32], seed: u64) -> anyhow::Result<Screened> {
    let synthetic = federation.synthetic(rows, seed)?;
    let settings = DetectorSettings { kinds: CoordinatorKind::DEFAULT, level: SCREENING.level };
    SCREENING.run::<anyhow::Error>(rows.len(), seed, |fold| {
        let others = fold.others.as_ref().try_map(|places| federation.view_of(&numbers(rows, places)))?;
        let judged = federation.view_of(&numbers(rows, &fold.judged))?;
        let normal = CoordinatorNormal {
            rows: others.fit.at_coordinator()?,
            targets: federation.models.classifier.targets(),
            synthetic: Some(&synthetic),
        };
        let (scale, calibrate) = (others.scale.at_coordinator()?, others.calibrate.at_coordinator()?);
        let calibrated = settings.fit(&normal, &scale, &calibrate, None, seed)?;
        let verdicts = calibrated.judge(&judged.at_coordinator()?, None, SCREENING.level, Some(seed))?;
        Ok(verdicts.iter().map(|verdict| verdict.p_value).collect())
    })
}

fn by_labels(federation: &Federation<'_>, rows: &[u32], seed: u64) -> anyhow::Result<Screened> {
    let count = federation.set.classes().iter().max().map_or(1, |most| *most as usize + 1);
    SCREENING.run::<anyhow::Error>(rows.len(), seed, |fold| {
        let judged = Picked::of(federation, rows, &fold.judged)?;
        let others = fold.others.as_ref().try_map(|places| Picked::of(federation, rows, places))?;
        let labelled: CalibrationSplit<Labelled<'_>> =
            others.as_ref().try_map(|picked| picked.labelled(count))?;
        Ok(label_p_values(&labelled, &judged.labelled(count)?, SCREENING.level, seed)?)
    })
}

/// Some training rows with their labels.
struct Picked {
    codes: Codes,
    classes: Vec<u32>,
}

impl Picked {
    fn of(federation: &Federation<'_>, rows: &[u32], places: &[u32]) -> anyhow::Result<Self> {
        let (numbers, classes) = (numbers(rows, places), federation.set.classes());
        let codes = federation.view_of(&numbers)?.codes;
        Ok(Self { codes, classes: numbers.iter().map(|row| classes[*row as usize]).collect() })
    }

    fn labelled(&self, count: usize) -> Result<Labelled<'_>, DetectorError> {
        Labelled::new(&self.codes, GivenLabels::Classes { count, of: &self.classes })
    }
}

/// The numbers of the rows at `places` of `rows`.
fn numbers(rows: &[u32], places: &[u32]) -> Vec<u32> {
    places.iter().map(|place| rows[*place as usize]).collect()
}
