//! Figures over seeds, with intervals.

use hashvfl_benches::students_t::{differences, half_width, mean};
use hashvfl_files::say;

use crate::trial::{Measured, Model};

/// The figures of a table.
pub struct Figures {
    metric: &'static str,
    validation_only: bool,
    /// A list a model; seeds in order.
    found: Vec<(Model, Vec<f64>)>,
    /// Runs under gradient monitors with an alarm.
    alarms: usize,
}

impl Figures {
    /// None yet.
    pub fn new(metric: &'static str, validation_only: bool) -> Self {
        Self { metric, validation_only, found: Vec::new(), alarms: 0 }
    }

    /// Adds the next seed's figure of `model`; one that is undefined is NaN, and so is all that follows from it.
    pub fn add(&mut self, model: Model, measured: Measured) {
        let figure = if self.validation_only { measured.validation } else { measured.test };
        let figure = figure.unwrap_or(f64::NAN);
        self.alarms += usize::from(measured.alarms > 0);
        match self.found.iter_mut().find(|(known, _)| *known == model) {
            Some((_, figures)) => figures.push(figure),
            None => self.found.push((model, vec![figure])),
        }
    }

    /// The last seed's figures.
    pub fn last(&self) -> String {
        let figures = self.found.iter().filter_map(|(model, figures)| Some((model, figures.last()?)));
        figures.map(|(model, figure)| format!("{model:?} {figure:.4}")).collect::<Vec<_>>().join(", ")
    }

    /// Prints means over seeds, and differences of codes to floats and to the better party alone.
    pub fn tell(&self) {
        let records = if self.validation_only { "validation" } else { "test" };
        say!("  {} on {records} records, mean over seeds (95 % interval)", self.metric);
        for (model, figures) in &self.found {
            say!("    {model:?}: {}", interval(figures));
        }
        let Some(codes) = self.of(Model::Codes) else { return };
        say!(
            "    runs in which a party's gradient monitor raised a false alarm: {} of {}",
            self.alarms,
            codes.len()
        );
        if let Some(floats) = self.of(Model::Floats) {
            say!("    codes - floats: {}", interval(&differences(codes, floats)));
        }
        let alone = [Model::FirstAlone, Model::SecondAlone].into_iter().filter_map(|model| self.of(model));
        if let Some(best) = alone.max_by(|a, b| mean(a).total_cmp(&mean(b))) {
            say!("    codes - the better party alone: {}", interval(&differences(codes, best)));
        }
    }

    fn of(&self, model: Model) -> Option<&[f64]> {
        self.found.iter().find(|(known, _)| *known == model).map(|(_, figures)| figures.as_slice())
    }
}

/// The mean, and the half width of its interval where there are several figures.
fn interval(figures: &[f64]) -> String {
    let mean = mean(figures);
    let Some(half) = half_width(figures) else { return format!("{mean:+.4}") };
    format!("{mean:+.4} +- {half:.4} ({} degrees of freedom)", figures.len() - 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_interval_is_student_s() {
        assert_eq!(interval(&[1.0, 2.0, 3.0]), "+2.0000 +- 2.4843 (2 degrees of freedom)");
        assert_eq!(interval(&[0.5]), "+0.5000");
    }
}
