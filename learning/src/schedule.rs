//! Learning rates over the updates of a run.

use std::f64::consts::PI;

use hashvfl_core::settings::Schedule;

/// The learning rate of update `update` (from 0) of `total`.
pub fn learning_rate(schedule: Schedule, peak: f64, update: u64, total: u64) -> f64 {
    let total = total.max(1) as f64;
    let progress = (update as f64 / total).min(1.0);
    match schedule {
        Schedule::Constant => peak,
        Schedule::Step => peak * 0.1_f64.powi((progress * 3.0).floor().min(2.0) as i32),
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
        let rate = |update| learning_rate(Schedule::OneCycle, 1.0, update, 100);
        assert!((rate(0) - 0.04).abs() < 1e-9);
        assert!((rate(30) - 1.0).abs() < 1e-9);
        assert!(rate(99) < 0.01 && rate(60) < rate(40));
    }

    #[test]
    fn steps_divide_by_ten() {
        let rate = |update| learning_rate(Schedule::Step, 1.0, update, 30);
        assert_eq!((rate(0), rate(9)), (1.0, 1.0));
        assert!((rate(10) - 0.1).abs() < 1e-12 && (rate(29) - 0.01).abs() < 1e-12);
    }
}
