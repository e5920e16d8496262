//! Losses and metric by epoch, for a page to draw.

use serde::Serialize;

/// Points that are kept at most. A page draws no more of them than it has columns.
const MOST: usize = 2048;

/// An epoch.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Point {
    /// The epoch, from 1.
    pub epoch: u32,
    /// Mean training loss.
    pub train_loss: f64,
    /// Loss on validation records.
    pub validation_loss: Option<f64>,
    /// The metric by which epochs are compared.
    pub metric: Option<f64>,
}

/// All epochs of a run, or of a long one every second, fourth, eighth and so on.
#[derive(Debug, Default)]
pub struct LearningCurve {
    points: Vec<Point>,
    /// Only epochs that are a multiple of this, plus one, are kept.
    every: u32,
}

impl LearningCurve {
    /// Adds an epoch, if it is one of those that are kept, in place of those from it on: a run that goes on from a checkpoint
    /// trains them again.
    pub fn add(&mut self, point: Point) {
        self.every = self.every.max(1);
        while self.points.pop_if(|last| last.epoch >= point.epoch).is_some() {}
        if self.points.len() == MOST {
            self.every *= 2;
            let every = self.every;
            self.points.retain(|point| (point.epoch - 1).is_multiple_of(every));
        }
        if (point.epoch - 1).is_multiple_of(self.every) {
            self.points.push(point);
        }
    }

    /// The points, by rising epoch.
    pub fn points(&self) -> &[Point] {
        &self.points
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_run_keeps_evenly_spaced_epochs() {
        let mut curve = LearningCurve::default();
        for epoch in 1..=10_000 {
            let train_loss = 1.0 / f64::from(epoch);
            curve.add(Point { epoch, train_loss, validation_loss: None, metric: None });
        }
        let epochs: Vec<u32> = curve.points().iter().map(|point| point.epoch).collect();
        assert!(epochs.len() <= MOST && epochs.len() > MOST / 2, "{}", epochs.len());
        assert!(epochs.windows(2).all(|pair| pair[1] - pair[0] == 8), "{:?}", &epochs[..3]);
        assert_eq!((epochs.first(), epochs.last()), (Some(&1), Some(&9_993)));
    }

    #[test]
    fn an_epoch_that_is_trained_again_takes_the_place_of_what_was() {
        let mut curve = LearningCurve::default();
        let mut add = |epoch, train_loss| {
            curve.add(Point { epoch, train_loss, validation_loss: None, metric: None });
        };
        for (epoch, loss) in [(1, 0.9), (2, 0.8), (3, 0.7), (2, 0.8), (3, 0.6)] {
            add(epoch, loss);
        }
        let points: Vec<(u32, f64)> =
            curve.points().iter().map(|point| (point.epoch, point.train_loss)).collect();
        assert_eq!(points, [(1, 0.9), (2, 0.8), (3, 0.6)]);
    }
}
