//! Learning rates over the updates of a run.

use std::f64::consts::PI;

use hashvfl_core::RunSettings;
use hashvfl_core::settings::Schedule;

/// The learning rates of a run, from its agreed settings.
#[derive(Debug, Clone, Copy)]
pub struct Rates {
    schedule: Schedule,
    peak: f64,
    cycles: u64,
    updates: u64,
}

impl Rates {
    /// Those of a run of `updates` updates.
    pub fn of_run(settings: &RunSettings, updates: u64) -> Self {
        let (schedule, peak) = (settings.schedule, settings.learning_rate);
        Self { schedule, peak, cycles: u64::from(settings.cycles), updates }
    }

    /// One cycle up to `peak` and down over `updates` updates.
    pub fn one_cycle(peak: f64, updates: u64) -> Self {
        Self { schedule: Schedule::OneCycle, peak, cycles: 1, updates }
    }

    /// The same rates over so many updates.
    pub fn over(self, updates: u64) -> Self {
        Self { updates, ..self }
    }

    /// That of update `update` (from 0): cycles are of one length, and each is the schedule anew.
    pub fn at(&self, update: u64) -> f64 {
        let cycle = self.updates.div_ceil(self.cycles.max(1)).max(1);
        let within = if update < self.updates { update % cycle } else { cycle };
        learning_rate(self.schedule, self.peak, within, cycle)
    }
}

/// The learning rate of update `update` (from 0) of `total`.
fn learning_rate(schedule: Schedule, peak: f64, update: u64, total: u64) -> f64 {
    let total = total.max(1) as f64;
    let progress = (update as f64 / total).min(1.0);
    match schedule {
        Schedule::Constant => peak,
        Schedule::OneCycle => {
            const RISE: f64 = 0.3;
            let cosine = |from: f64, to: f64, share: f64| to + (from - to) * (1.0 + (PI * share).cos()) / 2.0;
            if progress < RISE {
                cosine(peak / 25.0, peak, progress / RISE)
            } else {
                cosine(peak, peak / 1e4, (progress - RISE) / (1.0 - RISE))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_cycle_rises_and_falls() {
        let rates = Rates::one_cycle(1.0, 100);
        assert!((rates.at(0) - 0.04).abs() < 1e-9);
        assert!((rates.at(30) - 1.0).abs() < 1e-9);
        assert!(rates.at(99) < 0.01 && rates.at(60) < rates.at(40));
        assert!(rates.at(100) < rates.at(99) && rates.at(1000) == rates.at(100));
    }

    #[test]
    fn each_cycle_is_the_schedule_anew() {
        let (one, three) = (Rates::one_cycle(1.0, 100), Rates { cycles: 3, ..Rates::one_cycle(1.0, 300) });
        for update in 0..300 {
            assert_eq!(three.at(update), one.at(update % 100), "{update}");
        }
        assert_eq!(three.at(300), one.at(100));
        assert_eq!(three.over(600).at(200), one.at(0));
    }
}
