//! All kinds of regressions, each fitted on the same records.

use std::thread;

use super::kernel::KernelRidge;
use super::lookup::Lookup;
use super::network::MlpRegression;
use super::ridge::Ridge;
use super::trees::BoostedTrees;
use super::{Constant, Examples, Predictor, error_of};

/// One regression that has been fitted.
pub struct Member {
    /// Its kind and capacity, for the report.
    pub kind: String,
    pub(super) predictor: Box<dyn Predictor>,
}

impl Member {
    pub(super) fn new(kind: String, predictor: impl Predictor + 'static) -> Self {
        Self { kind, predictor: Box::new(predictor) }
    }

    /// Outputs [rows, outputs] for inputs [rows, inputs].
    pub fn predict(&self, inputs: &[f32], rows: usize) -> Vec<f32> {
        self.predictor.predict(inputs, rows)
    }
}

const RIDGES: [f64; 4] = [0.1, 3.0, 100.0, 3000.0];
/// Reaches of kernels, as multiples of the usual distance of two rows.
const REACHES: [f32; 2] = [0.4, 1.0];
const NETWORKS: [&[usize]; 2] = [&[64], &[256, 256]];
/// Most inputs of which a table is made: of more, hardly two rows are equal.
const MOST_TABLE_INPUTS: usize = 24;

/// How many kinds are fitted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Effort {
    /// All.
    All,
    /// Those in closed form: no networks, no trees.
    Quick,
}

/// Fits every kind on `kept`; what stops early or has a setting is stopped and set by `held`.
pub fn fit(kept: &Examples, held: &Examples, seed: u64, effort: Effort) -> Vec<Member> {
    let mut members = vec![Member::new("mean".into(), Constant(kept.output_means()))];
    if kept.inputs_width() == 0 {
        return members;
    }
    if effort == Effort::Quick {
        members.extend(fit_closed_forms(kept, held, seed));
        return members;
    }
    // Networks take as long as all others together.
    let networks = || fit_networks(kept, held, seed);
    let (networks, others) = thread::scope(|scope| {
        let networks = scope.spawn(networks);
        let mut others = fit_closed_forms(kept, held, seed);
        others.push(Member::new("boosted trees".into(), BoostedTrees::fit(kept, held, seed)));
        // Unwrap safety: a panic of the other thread is passed on.
        (networks.join().expect("networks"), others)
    });
    members.extend(others);
    members.extend(networks);
    members
}

fn fit_networks(kept: &Examples, held: &Examples, seed: u64) -> Vec<Member> {
    let mut members = Vec::new();
    for hidden in NETWORKS {
        let network = MlpRegression::fit(kept, held, hidden, seed);
        members.push(Member::new(format!("network {hidden:?}"), network));
    }
    members
}

fn fit_closed_forms(kept: &Examples, held: &Examples, seed: u64) -> Vec<Member> {
    let mut members = Vec::new();
    let path = Ridge::path(kept, &RIDGES).into_iter().zip(RIDGES);
    let scored = path.map(|(ridge, strength)| (error_of(&ridge, held), ridge, strength));
    if let Some((_, ridge, strength)) = scored.min_by(|a, b| a.0.total_cmp(&b.0)) {
        members.push(Member::new(format!("ridge, strength {strength}"), ridge));
    }
    if kept.discrete && kept.inputs_width() <= MOST_TABLE_INPUTS {
        members.push(Member::new("table".into(), Lookup::fit(kept)));
    }
    for reach in REACHES {
        members.push(Member::new(
            format!("kernel ridge, reach {reach}"),
            KernelRidge::fit(kept, held, reach, seed),
        ));
    }
    members
}
