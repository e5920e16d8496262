//! A detector of one's own beside one of HashVFL's: does a digit have far more or far less ink than others?
//!
//!     cargo run --release -p hashvfl-examples --example own_detector

use hashvfl_detectors::{
    Calibrated, CalibrationSplit, Combination, DetectorError, DetectorKind, MatrixView, Panel, PartyKind,
    PartyRows, Score,
};
use hashvfl_testbed::digits::Digits;

/// How far a row's sum lies from the mean sum of normal rows.
struct Ink {
    mean: f64,
}

impl Ink {
    fn fit(normal: &PartyRows<'_>) -> Self {
        let sum: f64 = normal.columns.iter().map(ink).sum();
        Self { mean: sum / normal.rows() as f64 }
    }
}

fn ink(pixels: &[f32]) -> f64 {
    pixels.iter().map(|pixel| f64::from(*pixel)).sum()
}

impl Score<PartyRows<'_>> for Ink {
    fn score(&self, rows: &PartyRows<'_>) -> Result<Vec<f64>, DetectorError> {
        Ok(rows.columns.iter().map(|pixels| (ink(pixels) - self.mean).abs()).collect())
    }
}

/// Any detector of a party.
type Member = Box<dyn for<'a> Score<PartyRows<'a>>>;

fn main() -> anyhow::Result<()> {
    let pixels = &Digits::load().halves[0];
    let width = pixels.cols();
    // The last 200 digits are scored; the others fit, scale and calibrate.
    let numbers: Vec<u32> = (0..pixels.rows() as u32).collect();
    let (normal, test) = numbers.split_at(numbers.len() - 200);
    let normal = CalibrationSplit::of(normal).map(|rows| pixels.gather(rows));
    let CalibrationSplit { fit, scale, calibrate } = normal.as_ref().try_map(|values| view(values, width))?;

    let own: Member = Box::new(Ink::fit(&fit));
    let histogram: Member = Box::new(PartyKind::Histogram.fit(&fit, 0)?);
    let panel = Panel::new(vec![own, histogram], Combination::Bonferroni, &scale)?;
    let detectors = Calibrated::new(panel, &scale, &calibrate, None)?;

    let good = pixels.gather(test);
    let inverted: Vec<f32> = good.iter().map(|pixel| 16.0 - pixel).collect();
    for (what, values) in [("digits", &good), ("inverted digits", &inverted)] {
        let verdicts = detectors.judge(&view(values, width)?, None, 0.01, None)?;
        let flagged = verdicts.iter().filter(|verdict| verdict.flagged).count();
        println!("{what}: {flagged} of {} are flagged at a level of 1 %", verdicts.len());
    }
    Ok(())
}

/// Rows for detectors that look at columns alone.
fn view(values: &[f32], width: usize) -> Result<PartyRows<'_>, DetectorError> {
    let columns = MatrixView::new("pixels", values, width)?;
    PartyRows::new(columns, columns)
}
