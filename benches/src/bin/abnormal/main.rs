//! Which detectors see which abnormal inputs, and how often they err on normal ones.
//!
//! ```text
//! data -> federation (trained here) -> what each side sees of training, calibration and test rows
//!                                        fit detectors    p-values      normal, and one set a kind of abnormal
//! ```
//!
//! Detectors and their default combination see normal rows alone; the same serve all kinds.

mod backdoor;
mod choose;
mod data;
mod federation;
mod kdd;
mod kinds;
mod measure;
mod scores;
mod table;

use std::path::PathBuf;
use std::time::Instant;

use anyhow::Context;
use clap::Parser;
use hashvfl_detectors::calibration::conformal::{flags_interval, rows_needed};
use hashvfl_detectors::drift::{DriftMonitor, DriftState};
use hashvfl_detectors::screen::{Action, Screening};
use hashvfl_detectors::{
    BatchKind, Calibrated, Codes, Combination, CoordinatorKind, FitExtras, GivenLabels, Labelled, Panel,
    References, label_p_values,
};

use crate::backdoor::Poisoned;
use crate::data::{Name, Set};
use crate::federation::{Federation, View};
use crate::kinds::{AnomalySet, Maker, WRONG};
use crate::measure::{measure, p_values};
use crate::scores::{DEFAULTS, Fitted, of_batch, rarity_among};
use crate::table::Row;
use hashvfl_files::say;

/// Measures detectors of abnormal inputs and writes abnormal.html.
#[derive(Debug, Parser)]
#[command(name = "abnormal", version)]
struct Arguments {
    /// The data.
    #[arg(value_enum, default_value = "digits")]
    dataset: Name,
    /// Folder with `credit-default/`, `mnist/` and `kdd99/`.
    #[arg(long, value_name = "FOLDER")]
    data: Option<PathBuf>,
    /// IDX file of 28 x 28 images that are no digits, for mnist (`benches/python/photographs.py` makes one).
    #[arg(long, value_name = "FILE")]
    unlike: Option<PathBuf>,
    /// Folder that abnormal.html is written to.
    #[arg(long, value_name = "FOLDER", default_value = "out/abnormal")]
    out: PathBuf,
    /// Folder in which trained models are kept, and used again.
    #[arg(long, value_name = "FOLDER")]
    keep: Option<PathBuf>,
    /// Bits of each party's code.
    #[arg(long, default_value_t = 16)]
    bits: usize,
    /// Abnormal rows of a kind, at most.
    #[arg(long, default_value_t = 2000)]
    rows: usize,
    /// Training rows that detectors are fitted on, at most. A run fits them on half of its calibration records
    #[arg(long, default_value_t = 20_000, value_name = "ROWS")]
    fit_rows: usize,
    /// Abnormal rows in a batch that is compared with itself, as a share of its normal rows.
    #[arg(long, default_value_t = 0.1)]
    strange: f64,
    /// Seeds, from --seed on, for which false alarms are counted; each trains a federation of its own.
    #[arg(long, default_value_t = 1)]
    seeds: u64,
    /// Level at which they are counted.
    #[arg(long, default_value_t = 0.01)]
    level: f64,
    /// Leaves out the poisoned federation, which is trained apart.
    #[arg(long)]
    no_backdoor: bool,
    /// Shows how the default combinations are chosen, on normal records alone, and stops.
    #[arg(long)]
    choose: bool,
    /// Seed of splits, weights, detectors and abnormal rows.
    #[arg(long, default_value_t = 0)]
    seed: u64,
}

fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    let sections = match arguments.dataset {
        Name::Kdd99 => connections(&arguments)?,
        _ => federations(&arguments)?,
    };
    if arguments.choose {
        return Ok(());
    }
    std::fs::create_dir_all(&arguments.out)
        .with_context(|| format!("cannot make {}", arguments.out.display()))?;
    let title = format!("{:?}, {} bits a party", arguments.dataset, arguments.bits);
    let caveat = "Detectors were fitted and combined on normal rows alone. Small figures are 95 % bootstrap intervals.";
    let command = std::env::args().skip(1).collect::<Vec<_>>().join(" ");
    let mut sections: Vec<(&str, String)> =
        sections.iter().map(|(name, html)| (name.as_str(), html.clone())).collect();
    let command = format!("<pre>abnormal {}</pre>", hashvfl_attack::report::escape(&command));
    sections.push(("How to get these figures again", command));
    let page = hashvfl_attack::report::sheet(
        "abnormal inputs",
        ["Detectors of abnormal inputs", &title, caveat],
        &sections,
    );
    let path = arguments.out.join("abnormal.html");
    hashvfl_files::write_whole(&path, page.as_bytes())?;
    say!("\nWritten: {}", path.display());
    Ok(())
}

type Sections = Vec<(String, String)>;

fn connections(arguments: &Arguments) -> anyhow::Result<Sections> {
    let folder = arguments.data.as_deref().context("name the folder of kdd99/ with --data")?;
    if arguments.choose {
        kdd::choose(folder, arguments.seed)?;
        return Ok(Vec::new());
    }
    let found = kdd::run(folder, arguments.seed)?;
    let row = |found: &kdd::DetectorFigures, figures: &measure::Figures| Row {
        name: found.name.into(),
        side: "parties",
        figures: figures.clone(),
        micros: found.micros,
    };
    let all: Vec<Row> = found.iter().map(|found| row(found, &found.all)).collect();
    let distinct: Vec<Row> = found.iter().map(|found| row(found, &found.distinct)).collect();
    table::print("attacks, all test rows", &all);
    table::print("attacks, test rows without duplicates", &distinct);
    let mut means = String::from("<table><tbody>");
    for found in &found {
        say!(
            "{:<26} mean AUROC over {} types of attacks {:.3}",
            found.name,
            found.types,
            found.mean_over_types
        );
        means += &format!(
            "<tr><td>{}</td><td class=\"figure\">{:.3}</td></tr>",
            found.name, found.mean_over_types
        );
    }
    Ok(vec![
        ("All test rows".into(), table::section("attacks of the corrected test part", &all)),
        (
            "Without duplicates".into(),
            table::section("rows of the corrected test part that differ", &distinct),
        ),
        ("Mean AUROC over types of attacks".into(), means + "</tbody></table>"),
    ])
}

fn federations(arguments: &Arguments) -> anyhow::Result<Sections> {
    let mut sections = Vec::new();
    let mut alarms = String::new();
    for seed in arguments.seed..arguments.seed + arguments.seeds {
        say!("seed {seed}");
        let load = || Set::load(arguments.dataset, arguments.data.as_deref(), arguments.bits, seed);
        let set = load()?;
        let keep = |what: &str| {
            let name = format!("{:?}-{}-{seed}{what}", arguments.dataset, arguments.bits).to_lowercase();
            arguments.keep.as_ref().map(|folder| folder.join(name))
        };
        let federation = Federation::train(&set, seed, keep("").as_deref())?;
        if arguments.choose {
            choose::choose(&federation, &Fitted::fit(&federation, seed, arguments.fit_rows)?.0, seed)?;
            continue;
        }
        let benchmark = DetectorBenchmark::fit(&federation, seed, arguments.fit_rows)?;
        alarms += &benchmark.false_alarms(arguments, seed)?;
        if seed > arguments.seed {
            continue;
        }
        sections.extend(benchmark.kinds(arguments)?);
        sections.push(("Slow drift".into(), benchmark.drift()?));
        sections.push(("Cost".into(), benchmark.cost()?));
        if !arguments.no_backdoor {
            let poisoned = Poisoned::new(load()?, seed)?;
            let federation = Federation::train(&poisoned.set, seed, keep("-poisoned").as_deref())?;
            sections.push((
                "Backdoor".into(),
                DetectorBenchmark::fit(&federation, seed, arguments.fit_rows)?
                    .backdoor(&poisoned, &set, arguments)?,
            ));
        }
    }
    let head = "<table><thead><tr><th>seed</th><th>detector</th><th class=\"figure\">flagged</th><th class=\"figure\">of</th>\
                <th class=\"figure\">share, %</th><th>interval of the count</th></tr></thead><tbody>";
    sections.insert(0, ("False alarms on normal rows".into(), format!("{head}{alarms}</tbody></table>")));
    Ok(sections)
}

/// Repeats of a time.
const REPEATS: usize = 11;

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_unstable_by(f64::total_cmp);
    values[values.len() / 2]
}

/// A federation, its detectors, and what is seen of normal rows.
struct DetectorBenchmark<'a> {
    federation: &'a Federation<'a>,
    seed: u64,
    fitted: Fitted,
    normal: View,
    calibration: View,
    test: View,
    /// Scores of calibration and test rows by each detector.
    scores: [Vec<Vec<f64>>; 2],
    /// Microseconds a row of each detector, on test rows.
    micros: Vec<f64>,
}

impl<'a> DetectorBenchmark<'a> {
    fn fit(federation: &'a Federation<'a>, seed: u64, fit_rows: usize) -> anyhow::Result<Self> {
        let (fitted, normal) = Fitted::fit(federation, seed, fit_rows)?;
        say!("  detectors fitted in {:.1} s", fitted.fit_seconds);
        let calibration = federation.view_of(&federation.calibration)?;
        let test = federation.view_of(&federation.test)?;
        let of_calibration = fitted.score(&calibration)?.0;
        let (of_test, seconds) = fitted.score(&test)?;
        let micros = seconds.iter().map(|seconds| 1e6 * seconds / test.rows() as f64).collect();
        let scores = [of_calibration, of_test];
        Ok(Self { federation, seed, fitted, normal, calibration, test, scores, micros })
    }

    fn false_alarms(&self, arguments: &Arguments, seed: u64) -> anyhow::Result<String> {
        // Bonferroni over the seeds keeps the chance of any count outside at 1 %.
        let (level, share) = (arguments.level, 1.0 - 0.01 / arguments.seeds as f64);
        let (rows, calibration) = (self.test.rows(), self.calibration.rows());
        if calibration < rows_needed(level) {
            return Ok(String::new());
        }
        let (low, high) = flags_interval(rows, calibration, level, share)?;
        let mut html = String::new();
        say!("  normal rows flagged at {:.1} % of {rows}; expected {low} to {high}", 100.0 * level);
        for line in &self.fitted.lines {
            let p = p_values(&line.of(&self.scores[0]), &line.of(&self.scores[1]), seed)?;
            let flagged = p.iter().filter(|p| **p <= level).count();
            let inside = if (low..=high).contains(&flagged) { "inside" } else { "OUTSIDE" };
            say!("    {:<26} {flagged:>5} {inside}", line.name);
            html += &format!(
                "<tr><td>{seed}</td><td>{}</td><td class=\"figure\">{flagged}</td><td class=\"figure\">{rows}</td>\
                 <td class=\"figure\">{:.2}</td><td>{inside} {low} to {high}</td></tr>",
                line.name,
                100.0 * flagged as f64 / rows as f64
            );
        }
        Ok(html)
    }

    fn kinds(&self, arguments: &Arguments) -> anyhow::Result<Sections> {
        let base = &self.federation.test[..self.federation.test.len().min(arguments.rows)];
        let unlike = arguments.unlike.as_deref().map(data::unlike).transpose()?;
        let mut maker = Maker::new(self.federation, &self.normal, self.seed);
        let mut sections = Vec::new();
        for kind in maker.all(base, unlike.as_ref())? {
            let rows = self.measure(&kind, arguments.strange)?;
            table::print(kind.name, &rows);
            sections.push((kind.name.to_string(), table::section(&kind.about, &rows)));
        }
        Ok(sections)
    }

    fn measure(&self, kind: &AnomalySet, strange: f64) -> anyhow::Result<Vec<Row>> {
        let (abnormal, _) = self.fitted.score(&kind.view)?;
        let mut rows = Vec::new();
        for line in &self.fitted.lines {
            let [calibration, test] = self.scores.each_ref().map(|scores| line.of(scores));
            let figures = measure(&calibration, &test, &line.of(&abnormal), self.seed)?;
            rows.push(Row {
                name: line.name.clone(),
                side: line.side,
                figures,
                micros: line.sum(&self.micros),
            });
        }
        // Beside the default: a row is as rare as the rarer of the two says.
        let line = self.fitted.default(DEFAULTS[0]);
        let default = [&self.scores[0], &self.scores[1], &abnormal].map(|scores| line.of(scores));
        let of_default = default.each_ref().map(|scores| rarity_among(&default[0], scores));
        let references = References::new(self.normal.codes.clone(), self.calibration.codes.clone())?;
        for batch in BatchKind::ALL {
            let start = Instant::now();
            let scores = of_batch((*batch, &references), &self.test, &kind.view, strange)?;
            let micros = 1e6 * start.elapsed().as_secs_f64() / (scores[1].len() + scores[2].len()) as f64;
            let mut add = |name: String, [calibration, test, abnormal]: [&[f64]; 3], micros: f64| {
                let figures = measure(calibration, test, abnormal, self.seed)?;
                rows.push(Row { name, side: "coordinator", figures, micros });
                anyhow::Ok(())
            };
            add(batch.name().into(), scores.each_ref().map(Vec::as_slice), micros)?;
            let both = [0, 1, 2].map(|part| {
                let of_batch = rarity_among(&scores[0], &scores[part]);
                of_batch.iter().zip(&of_default[part]).map(|(a, b)| a.max(*b)).collect::<Vec<f64>>()
            });
            let name = format!("default and {}", batch.name());
            add(name, both.each_ref().map(Vec::as_slice), micros + line.sum(&self.micros))?;
        }
        Ok(rows)
    }

    /// The monitor on normal test rows, on rows that drift from their middle on, and on single odd rows.
    fn drift(&self) -> anyhow::Result<String> {
        let rows = &self.federation.test;
        let half = rows.len() / 2;
        let mut maker = Maker::new(self.federation, &self.normal, self.seed);
        let drifting = self.fitted.score(&maker.drifting(&rows[half..])?.view)?.0;
        let (mut html, mut text) = (String::from("<table><tbody>"), Vec::new());
        for name in DEFAULTS {
            let line = self.fitted.default(name);
            let [calibration, test] = self.scores.each_ref().map(|scores| line.of(scores));
            let (reference, calibration) = calibration.split_at(calibration.len() / 2);
            let first = |stream: &mut dyn Iterator<Item = f64>| -> anyhow::Result<(Option<usize>, usize)> {
                let level = 0.05_f64.max(1.01 / (calibration.len() + 1) as f64);
                let mut monitor = DriftMonitor::new(reference, calibration, level, 0.01, self.seed)?;
                let states: Vec<DriftState> = stream.map(|score| monitor.observe(score)).collect();
                let odd = states.iter().filter(|state| **state == DriftState::OddRow).count();
                Ok((states.iter().position(|state| *state == DriftState::Drift), odd))
            };
            let (steady, odd) = first(&mut test.iter().copied())?;
            let moved = line.of(&drifting);
            let (noticed, _) = first(&mut test[..half].iter().copied().chain(moved))?;
            let told =
                |at: Option<usize>| at.map_or("no alarm".to_string(), |at| format!("alarm at row {at}"));
            text.push(format!(
                "{name}: on {} normal rows {}, {odd} odd rows; with drift from row {half} on {}",
                test.len(),
                told(steady),
                told(noticed)
            ));
        }
        say!(
            "\nslow drift (the second party's columns move by one deviation over {} rows)",
            rows.len() - half
        );
        for line in text {
            say!("  {line}");
            html += &format!("<tr><td>{line}</td></tr>");
        }
        Ok(html + "</tbody></table>")
    }

    /// Time of the coordinator's detectors over that of the prediction itself, which is both parties' codes and the top
    /// model in this process; medians of pairs.
    fn cost(&self) -> anyhow::Result<String> {
        let is_default = |at: &usize| CoordinatorKind::DEFAULT.contains(&CoordinatorKind::ALL[*at]);
        let (mut all, mut default, mut micros) = (Vec::new(), Vec::new(), Vec::new());
        for _ in 0..REPEATS {
            let start = Instant::now();
            let view = self.federation.view_of(&self.federation.test)?;
            let prediction = start.elapsed().as_secs_f64();
            let seconds = self.fitted.time(&view)?;
            all.push(seconds.iter().sum::<f64>() / prediction);
            default
                .push((0..seconds.len()).filter(is_default).map(|at| seconds[at]).sum::<f64>() / prediction);
            micros.push(1e6 * prediction / view.rows() as f64);
        }
        let line = format!(
            "of the prediction's time ({:.2} us a row), all fitted detectors of the coordinator take {:.0} %, the default \
             ones {:.0} %",
            median(micros),
            100.0 * median(all),
            100.0 * median(default)
        );
        say!("\n{line}");
        Ok(format!("<p>{line}</p>"))
    }

    /// Marked test rows of other classes, and the screening of training rows.
    fn backdoor(&self, poisoned: &Poisoned, clean: &Set, arguments: &Arguments) -> anyhow::Result<String> {
        let federation = self.federation;
        let classes = clean.classes();
        let base: Vec<u32> = federation
            .test
            .iter()
            .copied()
            .filter(|row| classes[*row as usize] != backdoor::CLASS)
            .take(arguments.rows)
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
        let rows =
            self.measure(&AnomalySet { name: "backdoor", about: about.clone(), view }, arguments.strange)?;
        table::print("backdoor", &rows);
        Ok(table::section(&about, &rows) + &self.screening(&poisoned.rows)?)
    }

    /// Cross-conformal p-values of training rows by the coordinator's default detectors, on codes, and by those of
    /// `[screening]`, on codes and labels.
    fn screening(&self, poisoned: &[u32]) -> anyhow::Result<String> {
        let federation = self.federation;
        let rows = &federation.fit[..federation.fit.len().min(20_000)];
        let screening = Screening { action: Action::Drop, level: 0.05, folds: 5 };
        let numbers = |places: &[u32]| places.iter().map(|place| rows[*place as usize]).collect::<Vec<u32>>();
        let view = |places: &[u32]| federation.view_of(&numbers(places));
        let synthetic = federation.synthetic(rows, self.seed)?;
        let beside =
            FitExtras { targets: federation.models.classifier.targets(), synthetic: Some(&synthetic) };
        let by_codes = screening.run::<anyhow::Error>(rows.len(), self.seed, |fold| {
            let (fit, scale, calibrate) = (view(&fold.fit)?, view(&fold.scale)?, view(&fold.calibrate)?);
            let detectors =
                CoordinatorKind::DEFAULT.iter().map(|kind| Ok(kind.fit(&fit.seen()?, beside, self.seed)?));
            let panel = Panel::new(
                detectors.collect::<anyhow::Result<_>>()?,
                Combination::Bonferroni,
                &scale.seen()?,
            )?;
            let calibrated = Calibrated::new(panel, &scale.seen()?, &calibrate.seen()?, None)?;
            let verdicts =
                calibrated.judge(&view(&fold.judged)?.seen()?, None, screening.level, Some(self.seed))?;
            Ok(verdicts.iter().map(|verdict| verdict.p_value).collect())
        })?;
        let classes = federation.set.classes();
        let count = classes.iter().max().map_or(1, |most| *most as usize + 1);
        let by_labels = screening.run::<anyhow::Error>(rows.len(), self.seed, |fold| {
            let parts = [&fold.fit, &fold.scale, &fold.calibrate, &fold.judged];
            let codes = parts.iter().map(|places| Ok(view(places)?.codes));
            let codes = codes.collect::<anyhow::Result<Vec<Codes>>>()?;
            let told: Vec<Vec<u32>> = parts
                .iter()
                .map(|places| numbers(places).iter().map(|row| classes[*row as usize]).collect())
                .collect();
            let labelled = codes
                .iter()
                .zip(&told)
                .map(|(codes, of)| Labelled::new(codes, GivenLabels::Classes { count, of }))
                .collect::<Result<Vec<_>, _>>()?;
            let [fit, scale, calibrate, judged] = std::array::from_fn(|at| &labelled[at]);
            Ok(label_p_values([fit, scale, calibrate, judged], screening.level, self.seed)?)
        })?;
        let marked: std::collections::HashSet<u32> = poisoned.iter().copied().collect();
        let mut html = String::new();
        for (name, screened) in [("codes", by_codes), ("codes and labels", by_labels)] {
            let of_marked = rows.iter().zip(&screened.weights).filter(|(row, _)| marked.contains(row));
            let there = of_marked.clone().count();
            let found = of_marked.filter(|(_, weight)| **weight == 0.0).count();
            let line = format!(
                "screening of {} training rows by {name} at {:.0} %: {} are flagged, {found} of {there} poisoned ones \
                 among them",
                rows.len(),
                100.0 * screening.level,
                screened.flagged
            );
            say!("  {line}");
            html += &format!("<p>{line}</p>");
        }
        Ok(html)
    }
}
