//! Labels and the loss on them.

use hashvfl_core::moments::moments;
use serde::{Deserialize, Serialize};

use crate::metrics;
use crate::top::consistency::Consistency;
use crate::top::evaluation::Evaluation;
use crate::top::predictor::OutputKind;
use crate::top::self_distillation::SelfDistillation;

/// Labels of all records.
#[derive(Clone)]
pub enum Labels {
    /// A class each, below `count`.
    Classes {
        /// Number of classes.
        count: usize,
        /// A class a record.
        index: Vec<u32>,
    },
    /// A value each.
    Real(Vec<f32>),
}

impl Labels {
    /// Number of records.
    pub fn len(&self) -> usize {
        match self {
            Self::Classes { index, .. } => index.len(),
            Self::Real(values) => values.len(),
        }
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// How classes weigh in the loss.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ClassWeights {
    /// All records alike.
    #[default]
    None,
    /// Classes alike: a record weighs the reciprocal of its class's share in the training records.
    Balanced,
}

/// The loss of a run, fitted to its training records.
pub struct Loss {
    labels: Labels,
    weights: Vec<f32>,
    center: f32,
    spread: f32,
    smoothing: f32,
    /// `None` where the consistency term is off.
    consistency: Option<Consistency>,
    /// One weight per record; empty while all weigh alike.
    pub(super) record_weights: Vec<f32>,
    /// What was said of records in earlier cycles; `None` where it is no part of targets.
    pub(super) self_distillation: Option<SelfDistillation>,
}

impl Loss {
    /// A loss on `labels`, its class weights or its centre and spread taken from the `train` rows.
    pub fn new(labels: Labels, train: &[u32], config: LossConfig, bits: usize) -> Self {
        let mut loss = Self {
            weights: Vec::new(),
            center: 0.0,
            spread: 1.0,
            smoothing: config.label_smoothing,
            consistency: None,
            record_weights: Vec::new(),
            self_distillation: None,
            labels,
        };
        if config.distillation > 0.0 {
            loss.self_distillation =
                Some(SelfDistillation::new(config.distillation, loss.labels.len(), loss.outputs()));
        }
        match &loss.labels {
            Labels::Classes { count, index } => {
                let mut counts = vec![0_usize; *count];
                train.iter().for_each(|row| counts[index[*row as usize] as usize] += 1);
                let even = train.len() as f32 / *count as f32;
                loss.weights = match config.class_weights {
                    ClassWeights::None => vec![1.0; *count],
                    ClassWeights::Balanced => counts.iter().map(|n| even / (*n).max(1) as f32).collect(),
                };
                if config.consistency > 0.0 {
                    loss.consistency = Some(Consistency::new(config.consistency, *count, bits));
                }
            }
            Labels::Real(values) => {
                let of_train: Vec<f32> = train.iter().map(|row| values[*row as usize]).collect();
                if !of_train.is_empty() {
                    let (mean, deviation) = moments(&of_train);
                    (loss.center, loss.spread) = (mean as f32, deviation as f32);
                }
            }
        }
        loss
    }

    /// Outputs that the top model needs: a logit a class, or one value.
    pub fn outputs(&self) -> usize {
        match &self.labels {
            Labels::Classes { count, .. } => *count,
            Labels::Real(_) => 1,
        }
    }

    /// What the outputs stand for.
    pub fn meaning(&self) -> OutputKind {
        match &self.labels {
            Labels::Classes { count, .. } => OutputKind::Classes(*count),
            Labels::Real(_) => OutputKind::Value { center: self.center, spread: self.spread },
        }
    }

    /// Takes values for scaled as a trained model has them, whatever the labels at hand.
    pub fn scale_as(&mut self, meaning: OutputKind) {
        if let OutputKind::Value { center, spread } = meaning {
            (self.center, self.spread) = (center, spread);
        }
    }

    /// Target codes by class; `None` where the consistency term is off.
    pub fn targets(&self) -> Option<&[Vec<f32>]> {
        self.consistency.as_ref().map(Consistency::targets)
    }

    /// Weighs `rows` by `weights`, from 0 to 1, from here on: in the loss that is learned from, and in no evaluation.
    pub fn weigh(&mut self, rows: &[u32], weights: &[f32]) {
        self.record_weights.resize(self.labels.len(), 1.0);
        rows.iter().zip(weights).for_each(|(row, weight)| self.record_weights[*row as usize] = *weight);
    }

    /// What was said in earlier cycles, where it is part of targets.
    pub fn self_distillation(&mut self) -> Option<&mut SelfDistillation> {
        self.self_distillation.as_mut()
    }

    /// Keeps what `outputs` [rows, outputs] say, for later cycles: probabilities of classes, or scaled values.
    pub fn keep(&mut self, outputs: &[f32], rows: &[u32]) {
        let Some(self_distillation) =
            self.self_distillation.as_mut().filter(|self_distillation| self_distillation.keeps())
        else {
            return;
        };
        let mut said = outputs.to_vec();
        if let Labels::Classes { count, .. } = &self.labels {
            said.chunks_exact_mut(*count).for_each(softmax);
        }
        self_distillation.keep(&said, rows);
    }

    /// The outputs that are right on average over `rows`, by their weights and with what was said of them in earlier
    /// cycles: logarithms of class frequencies, or the mean on the loss's scale. A class that no row has counts half a row.
    pub fn prior(&self, rows: &[u32]) -> Vec<f32> {
        let (mut sums, mut total) = (vec![0.0_f64; self.outputs()], 0.0_f64);
        for row in rows {
            let weight = f64::from(self.weight(*row));
            total += weight;
            for (output, sum) in sums.iter_mut().enumerate() {
                *sum += weight * f64::from(self.target(*row, output));
            }
        }
        // Where no row weighs anything, nothing is known: all classes alike, and the middle of the values.
        let means: Vec<f64> = sums.iter().map(|sum| if total > 0.0 { sum / total } else { 0.0 }).collect();
        let half_a_record = 0.5 / rows.len().max(1) as f64;
        match &self.labels {
            Labels::Classes { .. } => means.iter().map(|mean| mean.max(half_a_record).ln() as f32).collect(),
            Labels::Real(_) => means.iter().map(|mean| *mean as f32).collect(),
        }
    }

    /// What a record weighs in the loss that is learned from, its class included.
    fn weight(&self, row: u32) -> f32 {
        match &self.labels {
            Labels::Classes { index, .. } => {
                self.record_weight(row) * self.weights[index[row as usize] as usize]
            }
            Labels::Real(_) => self.record_weight(row),
        }
    }

    /// The target of one `output` of a record, with what was said of it in earlier cycles.
    fn target(&self, row: u32, output: usize) -> f32 {
        let label = match &self.labels {
            Labels::Classes { count, index } => {
                let own = if output == index[row as usize] as usize { 1.0 - self.smoothing } else { 0.0 };
                own + self.smoothing / *count as f32
            }
            Labels::Real(values) => (values[row as usize] - self.center) / self.spread,
        };
        match &self.self_distillation {
            Some(self_distillation) => self_distillation.target(row, output, label),
            None => label,
        }
    }

    fn record_weight(&self, row: u32) -> f32 {
        self.record_weights.get(row as usize).copied().unwrap_or(1.0)
    }

    /// The loss of the top model's `outputs` [rows, outputs], a mean over the rows by their weights, and its gradient.
    pub fn learn(&self, outputs: &[f32], rows: &[u32]) -> (f64, Vec<f32>) {
        let mut loss = 0.0;
        let mut gradient = outputs.to_vec();
        // Where no record of the batch weighs anything, nothing is learned.
        let total = rows.iter().map(|row| self.weight(*row)).sum::<f32>().max(f32::MIN_POSITIVE);
        match &self.labels {
            Labels::Classes { count, .. } => {
                for (values, row) in gradient.chunks_exact_mut(*count).zip(rows) {
                    let weight = self.weight(*row) / total;
                    let logarithm = log_sum(values);
                    for (output, value) in values.iter_mut().enumerate() {
                        let target = self.target(*row, output);
                        let log_fraction = *value - logarithm;
                        loss -= f64::from(weight * target * log_fraction);
                        *value = weight * (log_fraction.exp() - target);
                    }
                }
            }
            Labels::Real(_) => {
                for (value, row) in gradient.iter_mut().zip(rows) {
                    let error = *value - self.target(*row, 0);
                    loss += f64::from(self.weight(*row) * error * error / total);
                    *value = self.weight(*row) * 2.0 * error / total;
                }
            }
        }
        (loss, gradient)
    }

    /// Adds the gradient of the consistency term ([`Consistency::add_gradient`]) to `gradient`, one party's for its `codes`
    /// of `rows`, both row-major [rows, bits]. Nothing where the term is off.
    pub fn add_consistency(&self, gradient: &mut [f32], codes: &[f32], rows: &[u32]) {
        let (Some(consistency), Labels::Classes { index, .. }) = (&self.consistency, &self.labels) else {
            return;
        };
        let classes: Vec<u32> = rows.iter().map(|row| index[*row as usize]).collect();
        let weights: Vec<f32> = rows.iter().map(|row| self.record_weight(*row)).collect();
        consistency.add_gradient(gradient, codes, &classes, &weights);
    }

    /// Measures row-major `outputs` of the top model on `rows`.
    pub fn evaluate(&self, outputs: &[f32], rows: &[u32]) -> Evaluation {
        let mut evaluation =
            Evaluation { rows: rows.len(), loss: 0.0, auc: None, macro_auc: None, accuracy: None, r2: None };
        let count = rows.len().max(1) as f64;
        match &self.labels {
            Labels::Classes { count: classes, index } => {
                let actual: Vec<u32> = rows.iter().map(|row| index[*row as usize]).collect();
                // As they are served.
                let predicted = OutputKind::Classes(*classes).classes(outputs);
                for ((logits, class), best) in outputs.chunks_exact(*classes).zip(&actual).zip(&predicted) {
                    let top = f64::from(logits[*best as usize]);
                    let sum: f64 = logits.iter().map(|v| (f64::from(*v) - top).exp()).sum();
                    evaluation.loss += (sum.ln() + top - f64::from(logits[*class as usize])) / count;
                }
                evaluation.accuracy = Some(metrics::accuracy(&predicted, &actual));
                if *classes == 2 {
                    let scores: Vec<f32> = outputs.chunks_exact(2).map(|pair| pair[1] - pair[0]).collect();
                    let positive: Vec<bool> = actual.iter().map(|class| *class == 1).collect();
                    evaluation.auc = metrics::auc(&scores, &positive);
                } else {
                    evaluation.macro_auc = metrics::macro_auc(outputs, &actual, *classes);
                }
            }
            Labels::Real(values) => {
                let actual: Vec<f32> = rows.iter().map(|row| values[*row as usize]).collect();
                let predicted: Vec<f32> = outputs.iter().map(|v| v * self.spread + self.center).collect();
                let scaled = |p: &f32, a: &f32| f64::from((p - a) / self.spread).powi(2);
                evaluation.loss =
                    predicted.iter().zip(&actual).map(|(p, a)| scaled(p, a)).sum::<f64>() / count;
                evaluation.r2 = metrics::r2(&predicted, &actual);
            }
        }
        evaluation
    }
}

/// The logarithm of the sum of exponentials.
pub fn log_sum(values: &[f32]) -> f32 {
    let top = values.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    values.iter().map(|v| (v - top).exp()).sum::<f32>().ln() + top
}

/// Logits to probabilities.
pub fn softmax(values: &mut [f32]) {
    let logarithm = log_sum(values);
    values.iter_mut().for_each(|value| *value = (*value - logarithm).exp());
}

/// The loss's settings.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct LossConfig {
    /// How classes weigh.
    pub class_weights: ClassWeights,
    /// Share of a label's weight that is spread over all classes, from 0 to below 1. No key of a config file.
    #[serde(skip)]
    pub label_smoothing: f32,
    /// Share of a training record's target that is what the top model said of it in earlier cycles (`run.cycles`), 0
    /// for none, to below 1.
    pub distillation: f32,
    /// Weight of the consistency term, 0 for none.
    pub consistency: f32,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn classes(consistency: f32) -> Loss {
        let labels = Labels::Classes { count: 3, index: vec![0, 1, 2, 2] };
        Loss::new(labels, &[0, 1, 2, 3], LossConfig { consistency, ..LossConfig::default() }, 8)
    }

    #[test]
    fn of_equal_outputs_the_first_counts_as_where_they_are_served() {
        let loss = classes(0.0);
        let outputs = [0.5, 0.5, 0.5, 0.0, 1.0, 1.0];
        assert_eq!(loss.evaluate(&outputs, &[0, 1]).accuracy, Some(1.0));
        assert_eq!(OutputKind::Classes(3).classes(&outputs), [0, 1]);
    }

    #[test]
    fn the_auc_of_one_class_is_undefined() {
        let one_class = Labels::Classes { count: 2, index: vec![1, 1] };
        let loss = Loss::new(one_class, &[0, 1], LossConfig::default(), 4);
        assert_eq!(loss.evaluate(&[0.0, 1.0, 0.0, 2.0], &[0, 1]).auc, None);
    }

    #[test]
    fn three_classes_have_a_macro_auc_where_none_is_absent() {
        let outputs = [2.0, 0.0, 0.0, 0.0, 2.0, 0.0, 0.0, 0.0, 2.0];
        let found = classes(0.0).evaluate(&outputs, &[0, 1, 2]);
        assert_eq!((found.macro_auc, found.auc, found.accuracy), (Some(1.0), None, Some(1.0)));
        let lacking = classes(0.0).evaluate(&outputs[3..], &[1, 2]);
        assert_eq!((lacking.macro_auc, lacking.auc, lacking.accuracy), (None, None, Some(1.0)));
    }

    #[test]
    fn balanced_classes_weigh_as_much_whatever_their_number_of_records() {
        let labels = Labels::Classes { count: 2, index: vec![0, 1, 1, 1] };
        let config = LossConfig { class_weights: ClassWeights::Balanced, ..LossConfig::default() };
        let of =
            |config| Loss::new(labels.clone(), &[0, 1, 2, 3], config, 8).learn(&[0.0; 8], &[0, 1, 2, 3]).1;
        let pull = |gradient: &[f32], row: usize| gradient[2 * row].abs();
        let (even, plain) = (of(config), of(LossConfig::default()));
        assert!((pull(&even, 0) - 3.0 * pull(&even, 1)).abs() < 1e-6, "{even:?}");
        assert!((pull(&plain, 0) - pull(&plain, 1)).abs() < 1e-6, "{plain:?}");
    }

    #[test]
    fn the_loss_learned_from_is_the_evaluated_one_and_its_slope_the_gradient() {
        let outputs = vec![0.5, -1.0, 2.0, 0.1, 0.2, 0.3, -3.0, 0.0, 1.0, 1.0, 1.0, 1.0];
        let rows = [3, 0, 1, 2];
        let smooth = LossConfig { label_smoothing: 0.2, ..LossConfig::default() };
        let labels = Labels::Classes { count: 3, index: vec![0, 1, 2, 2] };
        let real = Labels::Real(vec![3.0, -1.0, 2.0, 0.5, 1.0, 2.0, 3.0, 1.5, 0.0, 1.0, 2.5, 4.0]);
        let all: Vec<u32> = (0..12).collect();
        // What other outputs said is a part of these targets.
        let recalling = |labels: &Labels, rows: &[u32]| {
            let config = LossConfig { distillation: 0.6, ..LossConfig::default() };
            let mut loss = Loss::new(labels.clone(), rows, config, 8);
            let said: Vec<f32> = (0..12).map(|at| (at as f32).sin()).collect();
            loss.self_distillation().unwrap().begin_epoch(0, 1);
            loss.keep(&said, rows);
            loss.self_distillation().unwrap().end_cycle();
            assert_ne!(
                loss.learn(&outputs, rows),
                Loss::new(labels.clone(), rows, LossConfig::default(), 8).learn(&outputs, rows)
            );
            loss
        };
        let losses = [
            (classes(0.0), &rows[..]),
            (Loss::new(real.clone(), &all, LossConfig::default(), 8), &all[..]),
            (Loss::new(labels.clone(), &rows, smooth, 8), &rows[..]),
            (recalling(&labels, &rows), &rows[..]),
            (recalling(&real, &all), &all[..]),
        ];
        for (at, (loss, rows)) in losses.iter().enumerate() {
            let (value, gradient) = loss.learn(&outputs, rows);
            if at < 2 {
                assert!((value - loss.evaluate(&outputs, rows).loss).abs() < 1e-5, "{at}: {value}");
            }
            for i in 0..outputs.len() {
                let moved = |by: f32| {
                    let mut outputs = outputs.clone();
                    outputs[i] += by;
                    loss.learn(&outputs, rows).0
                };
                let slope = (moved(1e-2) - moved(-1e-2)) / 2e-2;
                assert!((slope - f64::from(gradient[i])).abs() < 1e-3, "{at}, {i}: {slope} {}", gradient[i]);
            }
        }
    }

    #[test]
    fn a_record_that_weighs_nothing_is_as_if_it_were_not_there() {
        let outputs = [0.5, -1.0, 2.0, 0.1, 0.2, 0.3, -3.0, 0.0, 1.0];
        let real = || Loss::new(Labels::Real(vec![3.0, -1.0, 2.0]), &[0, 1, 2], LossConfig::default(), 8);
        for (mut loss, width) in [(classes(0.7), 3), (real(), 1)] {
            let (alone, expected) = loss.learn(&outputs[..2 * width], &[0, 1]);
            let measured = loss.evaluate(&outputs[..3 * width], &[0, 1, 2]);
            loss.weigh(&[2], &[0.0]);
            let (dropped, gradient) = loss.learn(&outputs[..3 * width], &[0, 1, 2]);
            assert_eq!((dropped, &gradient[..2 * width]), (alone, &expected[..]));
            assert!(gradient[2 * width..].iter().all(|value| *value == 0.0));
            assert_eq!(loss.evaluate(&outputs[..3 * width], &[0, 1, 2]), measured);
            let codes: Vec<f32> = (0..24).map(|i| if i % 5 < 2 { 1.0 } else { -1.0 }).collect();
            let (mut without, mut with) = (vec![0.0; 16], vec![0.0; 24]);
            loss.add_consistency(&mut without, &codes[..16], &[0, 1]);
            loss.add_consistency(&mut with, &codes, &[0, 1, 2]);
            assert!(with[16..].iter().all(|value| *value == 0.0));
            // The term is a mean over all rows of the batch.
            assert!(without.iter().zip(&with).all(|(a, b)| (a - 1.5 * b).abs() < 1e-6));
            let (nothing, gradient) = loss.learn(&outputs[..width], &[2]);
            assert!(nothing == 0.0 && gradient.iter().all(|value| *value == 0.0));
        }
    }

    #[test]
    fn a_regression_is_measured_on_its_own_scale() {
        let labels = Labels::Real(vec![10.0, 20.0, 30.0]);
        let loss = Loss::new(labels, &[0, 1, 2], LossConfig::default(), 8);
        let scaled: Vec<f32> = [10.0, 20.0, 30.0].iter().map(|v| (v - loss.center) / loss.spread).collect();
        let evaluation = loss.evaluate(&scaled, &[0, 1, 2]);
        assert!(evaluation.r2.unwrap() > 0.9999 && evaluation.loss < 1e-9);
    }

    #[test]
    fn a_regression_is_the_same_in_every_unit() {
        let of = |unit: f32| {
            let values = [1.0, -2.0, 4.0, 0.5].map(|value| value * unit).to_vec();
            let loss = Loss::new(Labels::Real(values), &[0, 1, 2], LossConfig::default(), 8);
            let evaluation = loss.evaluate(&[0.1, -1.0, 1.0, 0.0], &[0, 1, 2, 3]);
            (loss.learn(&[0.1, -1.0, 1.0], &[0, 1, 2]).0, evaluation.loss, evaluation.r2.unwrap())
        };
        let expected = of(1.0);
        for unit in [1e-6, 1e-12, 1e-15, 1e-30, 1e12] {
            let found = of(unit);
            let near = |a: f64, b: f64| (a - b).abs() < 1e-4;
            assert!(near(found.0, expected.0) && near(found.1, expected.1), "{unit}: {found:?}");
            assert!(near(found.2, expected.2), "{unit}: {found:?}");
        }
        let constant = Loss::new(Labels::Real(vec![1e-15; 3]), &[0, 1, 2], LossConfig::default(), 8);
        assert_eq!(constant.spread, 1.0);
    }

    #[test]
    fn the_prior_is_where_the_loss_of_a_constant_is_least() {
        let labels = Labels::Classes { count: 3, index: vec![0, 1, 1, 1, 1, 1] };
        let rows: Vec<u32> = (0..6).collect();
        let balanced = LossConfig { class_weights: ClassWeights::Balanced, ..LossConfig::default() };
        let smooth = LossConfig { label_smoothing: 0.3, ..LossConfig::default() };
        for config in [LossConfig::default(), balanced, smooth] {
            let mut loss = Loss::new(labels.clone(), &rows, config, 8);
            loss.weigh(&[5], &[0.25]);
            let gradient = loss.learn(&loss.prior(&rows).repeat(6), &rows).1;
            // The absent class counts as half a record where labels are not smoothed.
            let limit = if config.label_smoothing > 0.0 { 1e-5 } else { 0.1 };
            for class in 0..3 {
                let slope: f32 = gradient.iter().skip(class).step_by(3).sum();
                assert!(slope.abs() < limit, "{config:?}, class {class}: {slope}");
            }
        }
        let mut real = Loss::new(Labels::Real(vec![3.0, -1.0, 10.0]), &[0, 1, 2], LossConfig::default(), 8);
        assert!(real.prior(&[0, 1, 2])[0].abs() < 1e-6);
        real.weigh(&[2], &[0.0]);
        assert!((real.prior(&[0, 1, 2])[0] * real.spread + real.center - 1.0).abs() < 1e-5);
    }
}
