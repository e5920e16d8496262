//! Axes of a chart: from figures to pixels, with round ticks.

use std::fmt::Write;

use crate::report::escape::escape;

/// Width of a chart in its own pixels.
pub const WIDTH: f64 = 520.0;
/// Height of a chart in its own pixels.
pub const HEIGHT: f64 = 320.0;
/// Left edge of the plot.
pub const LEFT: f64 = 58.0;
/// Right edge of the plot.
pub const RIGHT: f64 = WIDTH - 14.0;
const TOP: f64 = 12.0;
const BOTTOM: f64 = HEIGHT - 48.0;

/// One axis.
pub struct Axis {
    low: f64,
    high: f64,
    log: bool,
    from: f64,
    to: f64,
    ticks: Vec<f64>,
}

impl Axis {
    /// A horizontal axis over `values`; a logarithmic one has its ticks at the values.
    pub fn horizontal(values: &[f64], log: bool) -> Self {
        let log = log && values.iter().all(|value| *value > 0.0);
        let mut axis = Self::over(values, log, (LEFT, RIGHT));
        if log {
            let mut ticks = values.to_vec();
            ticks.sort_unstable_by(f64::total_cmp);
            ticks.dedup();
            let every = ticks.len().div_ceil(10);
            axis.ticks = ticks.into_iter().step_by(every).collect();
        }
        axis
    }

    /// A vertical axis over `values` and zero.
    pub fn vertical(values: &[f64]) -> Self {
        let with_zero: Vec<f64> = values.iter().copied().chain([0.0]).collect();
        let axis = Self::over(&with_zero, false, (BOTTOM, TOP));
        if values.iter().all(|value| *value >= 0.0) { Self { low: 0.0, ..axis } } else { axis }
    }

    fn over(values: &[f64], log: bool, (from, to): (f64, f64)) -> Self {
        let low = values.iter().copied().fold(f64::INFINITY, f64::min);
        let high = values.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let (low, high) = match (low < high, log) {
            (true, _) => (low, high),
            (false, true) => (low / 2.0, low * 2.0),
            (false, false) => (low - 0.5, low + 0.5),
        };
        // Room for the marks at the ends.
        let (low, high) = match log {
            true => (low / (high / low).powf(0.04), high * (high / low).powf(0.04)),
            false => (low - 0.04 * (high - low), high + 0.04 * (high - low)),
        };
        Self { low, high, log, from, to, ticks: ticks(low, high) }
    }

    /// Where `value` lies, in pixels.
    pub fn place(&self, value: f64) -> f64 {
        let share = match self.log {
            true => (value / self.low).ln() / (self.high / self.low).ln(),
            false => (value - self.low) / (self.high - self.low),
        };
        self.from + share * (self.to - self.from)
    }
}

/// Grid, ticks and names of two axes, as SVG within a chart's pixels.
pub fn frame(x: &Axis, y: &Axis, x_name: &str, y_name: &str) -> String {
    let mut svg = String::new();
    for tick in &y.ticks {
        let (at, class) = (y.place(*tick), if *tick == 0.0 { "zero" } else { "grid" });
        let _ = write!(
            svg,
            "<line class=\"{class}\" x1=\"{LEFT}\" x2=\"{RIGHT}\" y1=\"{at:.1}\" y2=\"{at:.1}\"/>\
             <text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\">{}</text>",
            LEFT - 8.0,
            at + 4.0,
            label(*tick)
        );
    }
    for tick in &x.ticks {
        let at = x.place(*tick);
        let _ = write!(
            svg,
            "<line class=\"tick\" x1=\"{at:.1}\" x2=\"{at:.1}\" y1=\"{BOTTOM}\" y2=\"{:.1}\"/>\
             <text x=\"{at:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{}</text>",
            BOTTOM + 5.0,
            BOTTOM + 18.0,
            label(*tick)
        );
    }
    let (middle_x, middle_y) = ((LEFT + RIGHT) / 2.0, (TOP + BOTTOM) / 2.0);
    let _ = write!(
        svg,
        "<line class=\"edge\" x1=\"{LEFT}\" x2=\"{RIGHT}\" y1=\"{BOTTOM}\" y2=\"{BOTTOM}\"/>\
         <text class=\"name\" x=\"{middle_x:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{}</text>\
         <text class=\"name\" transform=\"translate(14 {middle_y:.1}) rotate(-90)\" text-anchor=\"middle\">{}</text>",
        HEIGHT - 8.0,
        escape(x_name),
        escape(y_name)
    );
    svg
}

/// 1, 2 or 5 times a power of ten, so that about five steps fill `span`.
fn step(span: f64) -> f64 {
    let raw = span / 5.0;
    let power = 10_f64.powf(raw.log10().floor());
    let round = [1.0, 2.0, 5.0, 10.0].into_iter().find(|n| n * power >= raw * 0.999).unwrap_or(10.0);
    round * power
}

fn ticks(low: f64, high: f64) -> Vec<f64> {
    let step = step(high - low);
    let (first, last) = ((low / step - 1e-9).ceil() as i64, (high / step + 1e-9).floor() as i64);
    (first..=last).map(|n| n as f64 * step).collect()
}

/// Up to three digits that count.
fn label(value: f64) -> String {
    if value == 0.0 {
        return "0".to_string();
    }
    let digits = (2.0 - value.abs().log10().floor()).clamp(0.0, 9.0) as usize;
    let text = format!("{value:.digits$}").replace('-', "\u{2212}");
    if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.').to_string() } else { text }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_are_round_and_labels_short() {
        let found: Vec<String> = ticks(-3.0, 48.0).into_iter().map(label).collect();
        assert_eq!(found, ["0", "20", "40"]);
        let found: Vec<String> = ticks(0.68, 0.79).into_iter().map(label).collect();
        assert_eq!(found, ["0.7", "0.75"]);
        assert_eq!([label(-0.015), label(1024.0)], ["\u{2212}0.015", "1024"]);
    }

    #[test]
    fn places_grow_with_values() {
        let axis = Axis::horizontal(&[4.0, 16.0, 64.0], true);
        assert_eq!(axis.ticks, [4.0, 16.0, 64.0]);
        let middle = (axis.place(4.0) + axis.place(64.0)) / 2.0;
        assert!((axis.place(16.0) - middle).abs() < 1e-9);
        let axis = Axis::vertical(&[0.2, 0.2]);
        assert!(axis.place(0.2) < axis.place(0.0) && axis.place(0.0) <= BOTTOM);
        assert!(Axis::horizontal(&[3.0], false).place(3.0).is_finite());
    }
}
