//! The trained top model for prediction: no labels, no loss, no optimiser.

use burn::tensor::{Device, Tensor};
use hashvfl_core::codes::form::CodeForm;

use crate::bottom::{Dropout, Mlp};
use crate::snapshot::{Snapshot, SnapshotError, to_host};
use crate::top::classifier::{decode, join};

/// Records that pass through the model at once.
const PASS_ROWS: usize = 4096;

/// What a top model's outputs stand for.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum OutputKind {
    /// A logit for each of so many classes.
    Classes(usize),
    /// One value, scaled by the labels of the training records.
    Value {
        /// Their mean.
        center: f32,
        /// Their deviation.
        spread: f32,
    },
}

impl OutputKind {
    /// Outputs that the top model has.
    pub fn outputs(self) -> usize {
        match self {
            Self::Classes(count) => count,
            Self::Value { .. } => 1,
        }
    }

    /// The class of each record with these outputs, row by row: the likeliest; 0 for all where there are no classes.
    pub fn classes(self, outputs: &[f32]) -> Vec<u32> {
        let likeliest = |outputs: &[f32]| {
            let largest = |best: usize, at: usize| if outputs[at] > outputs[best] { at } else { best };
            (0..outputs.len()).fold(0, largest) as u32
        };
        match self {
            Self::Classes(count) => outputs.chunks_exact(count).map(likeliest).collect(),
            Self::Value { .. } => vec![0; outputs.len()],
        }
    }

    /// What a model file says of a top model with so many outputs.
    ///
    /// # Errors
    /// If it says half of it.
    pub fn of(snapshot: &Snapshot, outputs: usize) -> Result<Self, SnapshotError> {
        Ok(match snapshot.get("labels.center", 1) {
            Ok(center) => Self::Value { center: center[0], spread: snapshot.get("labels.spread", 1)?[0] },
            Err(_) => Self::Classes(outputs),
        })
    }

    /// Puts it into a model file.
    pub fn put(self, snapshot: &mut Snapshot) {
        if let Self::Value { center, spread } = self {
            snapshot.put("labels.center", vec![center]);
            snapshot.put("labels.spread", vec![spread]);
        }
    }
}

/// A trained top model.
pub struct Predictor {
    model: Mlp,
    forms: Vec<CodeForm>,
    meaning: OutputKind,
    device: Device,
}

impl Predictor {
    /// The top model that `snapshot` holds, on codes of these `forms`, one for each party.
    ///
    /// # Errors
    /// If the file holds none, or one for other codes.
    pub fn load(snapshot: &Snapshot, forms: Vec<CodeForm>, device: &Device) -> Result<Self, SnapshotError> {
        let inputs = forms.iter().map(|form| form.latents()).sum();
        let device = device.clone().inner();
        let model = Mlp::of_snapshot(snapshot, "model", &device.clone().autodiff())?;
        let (found, outputs) = model.sizes();
        if found != inputs {
            let (expected, found) = (vec![inputs, outputs], vec![found, outputs]);
            return Err(SnapshotError::Shape { name: "the top model".into(), expected, found });
        }
        let meaning = OutputKind::of(snapshot, outputs)?;
        Ok(Self { model, forms, meaning, device })
    }

    /// What the outputs stand for.
    pub fn meaning(&self) -> OutputKind {
        self.meaning
    }

    /// Features a record: units of the last hidden layer, or latents where there is none.
    pub fn feature_count(&self) -> usize {
        self.model.features()
    }

    /// For `rows` records with the codes `parts[party]` (row-major +1 and -1, zeros for a code that is left out), row
    /// by row: the probability of each class, or the value; and the features that these are made of.
    pub fn predict(&self, parts: &[Vec<f32>], rows: usize) -> (Vec<f32>, Vec<f32>) {
        let mut all = Vec::with_capacity(rows * self.meaning.outputs());
        let mut features = Vec::with_capacity(rows * self.feature_count());
        for start in (0..rows).step_by(PASS_ROWS) {
            let end = (start + PASS_ROWS).min(rows);
            let pass = |part: &Vec<f32>| part[part.len() / rows * start..part.len() / rows * end].to_vec();
            let parts: Vec<Vec<f32>> = parts.iter().map(pass).collect();
            let input: Tensor<2> = join(&decode(&self.forms, &parts), end - start, &self.device);
            let (outputs, trace) = self.model.forward(input, &mut Dropout::off());
            all.extend(to_host(outputs));
            features.extend(to_host(trace.into_last_input()));
        }
        match self.meaning {
            OutputKind::Classes(count) => all.chunks_exact_mut(count).for_each(softmax),
            OutputKind::Value { center, spread } => all.iter_mut().for_each(|v| *v = *v * spread + center),
        }
        (all, features)
    }
}

fn softmax(logits: &mut [f32]) {
    let top = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    logits.iter_mut().for_each(|logit| *logit = (*logit - top).exp());
    let sum: f32 = logits.iter().sum();
    logits.iter_mut().for_each(|share| *share /= sum);
}

#[cfg(test)]
mod tests {
    use hashvfl_core::settings::{RunSettings, Task};
    use hashvfl_core::{PartyName, Plan};

    use super::*;
    use crate::top::loss::Labels;
    use crate::{Classifier, TopConfig};

    #[test]
    fn a_predictor_says_what_the_classifier_does() {
        says_what_the_classifier_does(1);
    }

    #[test]
    fn a_predictor_of_levels_says_what_the_classifier_does() {
        says_what_the_classifier_does(3);
    }

    fn says_what_the_classifier_does(bits_per_latent: usize) {
        let parties = ["a", "b"].map(|name| PartyName::new(name).unwrap()).to_vec();
        let settings = RunSettings { bits_per_latent, ..RunSettings::new(parties, Task::Regression, 3, 1) };
        let plan = Plan::new(&settings, 100).unwrap();
        let values: Vec<f32> = (0..100).map(|row| 10.0 + row as f32).collect();
        let parts: Vec<Vec<f32>> = (0..2)
            .map(|k| (0..300).map(|i| if (i * 7 + k) % 3 == 0 { 1.0 } else { -1.0 }).collect())
            .collect();
        let rows: Vec<u32> = (0..100).collect();
        for labels in [Labels::Real(values), Labels::Classes { count: 3, index: vec![1; 100] }] {
            let classifier =
                Classifier::of_run(&TopConfig::default(), labels, &settings, &plan, 5, &Device::flex())
                    .unwrap();
            let outputs = classifier.predict(&parts, 100);
            let mut snapshot = classifier.snapshot();
            classifier.meaning().put(&mut snapshot);
            let predictor =
                Predictor::load(&snapshot, settings.code_forms().collect(), &Device::flex()).unwrap();
            assert_eq!(predictor.meaning(), classifier.meaning());
            let (predicted, features) = predictor.predict(&parts, 100);
            assert_eq!(features, classifier.predict_with_features(&parts, 100).1);
            assert_eq!(features.len(), 100 * predictor.feature_count());
            match predictor.meaning() {
                OutputKind::Value { center, spread } => {
                    assert!(predicted.iter().zip(&outputs).all(|(p, o)| *p == o * spread + center));
                }
                OutputKind::Classes(count) => {
                    assert_eq!(
                        predictor.meaning().classes(&predicted),
                        classifier.meaning().classes(&outputs)
                    );
                    for (shares, logits) in predicted.chunks(count).zip(outputs.chunks(count)) {
                        assert!((shares.iter().sum::<f32>() - 1.0).abs() < 1e-5);
                        assert!((shares[0] / shares[1] - (logits[0] - logits[1]).exp()).abs() < 1e-4);
                    }
                }
            }
            let others = vec![settings.code_of(&settings.parties[0]); 3];
            assert!(Predictor::load(&snapshot, others, &Device::flex()).is_err());
            let without = classifier.evaluate_without(
                0,
                &|rows| parts.iter().map(|part| part[..3 * rows.len()].to_vec()).collect(),
                &rows,
            );
            assert_eq!(without.rows, 100);
        }
    }
}
