//! One federation's detectors, measured on normal rows and on each kind of abnormal rows.

use std::time::Instant;

use hashvfl_detectors::calibration::conformal::{flags_interval, rows_needed};
use hashvfl_detectors::calibration::drift::{DriftMonitor, DriftState};
use hashvfl_detectors::{BatchKind, CoordinatorKind, DetectorKind, References};
use hashvfl_files::say;
use hashvfl_testbed::statistics::median;

use crate::federation::{Federation, View};
use crate::kinds::{AnomalySet, Maker};
use crate::measure::{measure, p_values};
use crate::scores::{DEFAULTS, Fitted, Line, of_batch, place, rarity_among};
use crate::table::{self, Row};
use crate::{Arguments, Sections, data, sources};

/// Repeats of a time.
const REPEATS: usize = 11;

/// What the drift monitor said of some rows.
struct DriftOutcome {
    /// The row of the first alarm.
    alarm: Option<usize>,
    odd_rows: usize,
}

impl DriftOutcome {
    fn alarm(&self) -> String {
        self.alarm.map_or("no alarm".to_string(), |row| format!("alarm at row {row}"))
    }
}

/// A federation, its detectors, and what is seen of normal rows.
pub struct DetectorBenchmark<'a> {
    /// The federation.
    pub federation: &'a Federation<'a>,
    /// The seed of detectors and abnormal rows.
    pub seed: u64,
    fitted: Fitted,
    normal: View,
    calibration: View,
    test: View,
    /// Scores of calibration and test rows by each detector.
    scores: [Vec<Vec<f64>>; 2],
    /// Microseconds per row of each detector, on test rows.
    micros: Vec<f64>,
}

impl<'a> DetectorBenchmark<'a> {
    /// Fits all detectors on at most `fit_rows` rows.
    pub fn fit(federation: &'a Federation<'a>, seed: u64, fit_rows: usize) -> anyhow::Result<Self> {
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

    /// How many normal rows each line of detectors flags, as rows of a table.
    pub fn false_alarms(&self, arguments: &Arguments, seed: u64) -> anyhow::Result<String> {
        // Bonferroni over the seeds keeps the probability of any count outside at 1 %.
        let (level, coverage) = (arguments.level, 1.0 - 0.01 / arguments.seeds as f64);
        let (rows, calibration) = (self.test.rows(), self.calibration.rows());
        if calibration < rows_needed(level) {
            return Ok(String::new());
        }
        let (low, high) = flags_interval(rows, calibration, level, coverage)?;
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

    /// Figures of every kind of abnormal rows.
    pub fn kinds(&self, arguments: &Arguments) -> anyhow::Result<Sections> {
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

    /// What the default detectors of the coordinator and of both parties flag together, of normal rows and of every kind, where
    /// `few` rows calibrate.
    pub fn sources(&self, arguments: &Arguments, few: usize) -> anyhow::Result<()> {
        let names = ["codes", "first party", "second party"];
        let line = self.fitted.default(DEFAULTS[2]);
        let [calibration, test] = self.scores.each_ref().map(|scores| line.of_each(scores));
        let base = &self.federation.test[..self.federation.test.len().min(arguments.rows)];
        let normal = sources::flagged(&names, &calibration, &test, few, arguments.level)?;
        sources::print("normal rows", few, arguments.level, &normal);
        for kind in Maker::new(self.federation, &self.normal, self.seed).all(base, None)? {
            let abnormal = line.of_each(&self.fitted.score(&kind.view)?.0);
            let found = sources::flagged(&names, &calibration, &abnormal, few, arguments.level)?;
            sources::print(kind.name, few, arguments.level, &found);
        }
        Ok(())
    }

    /// Figures of one kind, by each line of detectors and by batches of which `strange` are abnormal rows, as a fraction of
    /// their normal rows.
    pub fn measure(&self, kind: &AnomalySet, strange: f64) -> anyhow::Result<Vec<Row>> {
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
            let scores = of_batch(*batch, &references, &self.test, &kind.view, strange)?;
            let micros = 1e6 * start.elapsed().as_secs_f64() / (scores[1].len() + scores[2].len()) as f64;
            rows.push(self.row(batch.name().into(), &scores, micros)?);
            let both = [0, 1, 2].map(|part| {
                let of_batch = rarity_among(&scores[0], &scores[part]);
                of_batch.iter().zip(&of_default[part]).map(|(a, b)| a.max(*b)).collect::<Vec<f64>>()
            });
            let name = format!("default and {}", batch.name());
            rows.push(self.row(name, &both, micros + line.sum(&self.micros))?);
        }
        Ok(rows)
    }

    /// A row of the table for `scores` of calibration, test and abnormal rows at the coordinator.
    fn row(&self, name: String, scores: &[Vec<f64>; 3], micros: f64) -> anyhow::Result<Row> {
        let [calibration, test, abnormal] = scores;
        let figures = measure(calibration, test, abnormal, self.seed)?;
        Ok(Row { name, side: "coordinator", figures, micros })
    }

    /// The drift monitor on normal test rows, on rows that drift from their middle on, and on single odd rows.
    pub fn drift(&self) -> anyhow::Result<String> {
        let rows = &self.federation.test;
        let half = rows.len() / 2;
        let mut maker = Maker::new(self.federation, &self.normal, self.seed);
        let drifting = self.fitted.score(&maker.drifting(&rows[half..])?.view)?.0;
        let (mut html, mut text) = (String::from("<table><tbody>"), Vec::new());
        for name in DEFAULTS {
            let line = self.fitted.default(name);
            let test = line.of(&self.scores[1]);
            let steady = self.monitor_drift(line, &test)?;
            let drifted = self.monitor_drift(line, &[&test[..half], &line.of(&drifting)].concat())?;
            text.push(format!(
                "{name}: on {} normal rows {}, {} odd rows; with drift from row {half} on {}",
                test.len(),
                steady.alarm(),
                steady.odd_rows,
                drifted.alarm()
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

    /// What the drift monitor says of the scores of one line, in order.
    fn monitor_drift(&self, line: &Line, scores: &[f64]) -> anyhow::Result<DriftOutcome> {
        let calibration = line.of(&self.scores[0]);
        let (reference, calibration) = calibration.split_at(calibration.len() / 2);
        let level = 0.05_f64.max(1.01 / (calibration.len() + 1) as f64);
        let mut monitor = DriftMonitor::new(reference, calibration, level, 0.01, self.seed)?;
        let states: Vec<DriftState> = scores.iter().map(|score| monitor.observe(*score)).collect();
        Ok(DriftOutcome {
            alarm: states.iter().position(|state| *state == DriftState::Drift),
            odd_rows: states.iter().filter(|state| **state == DriftState::OddRow).count(),
        })
    }

    /// The time of the coordinator's detectors over the time of the prediction itself, which is both parties' codes and the
    /// top model in this process; medians of pairs.
    pub fn cost(&self) -> anyhow::Result<String> {
        let (mut all, mut default, mut micros) = (Vec::new(), Vec::new(), Vec::new());
        for _ in 0..REPEATS {
            let start = Instant::now();
            let view = self.federation.view_of(&self.federation.test)?;
            let prediction = start.elapsed().as_secs_f64();
            let seconds = self.fitted.time(&view)?;
            all.push(seconds.iter().sum::<f64>() / prediction);
            let of_default = CoordinatorKind::DEFAULT.iter().map(|kind| seconds[place(kind)]).sum::<f64>();
            default.push(of_default / prediction);
            micros.push(1e6 * prediction / view.rows() as f64);
        }
        let line = format!(
            "relative to the time of a prediction ({:.2} us per row), all fitted detectors of the coordinator take \
             {:.0} %, the default ones {:.0} %",
            median(micros),
            100.0 * median(all),
            100.0 * median(default)
        );
        say!("\n{line}");
        Ok(format!("<p>{line}</p>"))
    }
}
