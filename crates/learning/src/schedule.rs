//! Learning rates over the updates of a run, and how far it is.

use std::f64::consts::PI;

use hashvfl_core::settings::Schedule;
use hashvfl_core::{Plan, RunSettings};

/// The learning rates of a run, from its agreed settings, and the size of its batches.
#[derive(Debug, Clone, Copy)]
pub struct Rates {
    schedule: Schedule,
    peak: f64,
    cycles: u64,
    updates: u64,
    batch_rows: usize,
}

impl Rates {
    /// Those of a run of `updates` updates.
    pub fn of_run(settings: &RunSettings, updates: u64) -> Self {
        let (schedule, peak) = (settings.schedule, settings.learning_rate);
        let batch_rows = settings.batch_rows.most();
        Self { schedule, peak, cycles: u64::from(settings.cycles), updates, batch_rows }
    }

    /// Those of a run as it is planned.
    pub fn of_plan(settings: &RunSettings, plan: &Plan) -> Self {
        Self { batch_rows: plan.batch_rows(), ..Self::of_run(settings, plan.updates()) }
    }

    /// One cycle up to `peak` and down over `updates` updates.
    pub fn one_cycle(peak: f64, updates: u64) -> Self {
        Self { schedule: Schedule::OneCycle, peak, cycles: 1, updates, batch_rows: 1 }
    }

    /// The same rates over so many updates.
    pub fn over(self, updates: u64) -> Self {
        Self { updates, ..self }
    }

    /// Records of a batch, at most.
    pub fn batch_rows(&self) -> usize {
        self.batch_rows
    }

    /// How much of the run is behind when `updates` are done, from 0 to 1.
    pub fn progress(&self, updates: u64) -> f64 {
        (updates as f64 / self.updates.max(1) as f64).min(1.0)
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
        assert_eq!([0, 150, 300, 900].map(|updates| three.progress(updates)), [0.0, 0.5, 1.0, 1.0]);
    }
}
