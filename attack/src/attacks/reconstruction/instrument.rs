//! Own columns as an instrument: an adversary without the code of a single record whose columns it knows learns what codes
//! mean from its own organisation's columns of the run's records.
//!
//! ```text
//! auxiliary people, who are not in the run: own columns, label -> columns      p(x | own columns, label)
//! records of the run: own columns, label, code                                 p(code | x), the one under which these codes
//!                                                                              are likeliest, x summed over p(x | ...)
//! auxiliary people's codes, drawn from p(code | x) -> conditional mean of codes, as ever
//! ```
//!
//! Beside it the same of floats, which lie around what a model makes of columns.
//!
//! What own columns say of the victim's columns is little, but it is known of many records, and the codes must fit all of them
//! at once (instrumental variables; Angrist and Krueger 1992, "two-sample instrumental variables").

use burn::tensor::{Device, Tensor, TensorData};
use hashvfl_core::random::{below, shuffle, stream};
use hashvfl_learning::adam::{Adam, AdamConfig};
use hashvfl_learning::bottom::{Dropout, Mlp, MlpConfig};
use hashvfl_learning::init::Init;
use hashvfl_learning::schedule::Rates;
use hashvfl_learning::snapshot::to_host;

use crate::attacks::AttackId;
use crate::attacks::reconstruction::likelihood::Likelihood;
use crate::evaluation::PrivacyEvaluation;
use crate::evaluation::adversary::ObservedRelease;
use crate::evaluation::attack::{About, Attack, Need};
use crate::evaluation::context::AttackContext;
use crate::evaluation::grid::AdversaryGrid;
use crate::evaluation::score::moments;
use crate::evaluation::victim::AttackSurface;
use crate::evidence::knowledge::{Fact, Features};
use crate::evidence::observed::ObservedAt;
use crate::report::{CutKind, Knowledge};
use hashvfl_leakage::cores::on_all_cores;
use hashvfl_leakage::regression::ensemble::paired;
use hashvfl_leakage::regression::family::Effort;
use hashvfl_leakage::regression::{Regression, column_means};

/// The instrument attack.
pub struct Instrument;

const KNOWS: &[Knowledge] =
    &[Knowledge::Labels, Knowledge::OtherCodes, Knowledge::OwnColumns, Knowledge::NoAuxiliaryCodes];

/// What makes columns of people expected.
const FACTS: &[Fact] = &[Fact::Label, Fact::OwnColumns];
/// People and records that are compared at most.
const MOST_PEOPLE: usize = 4_000;
const MOST_RECORDS: usize = 12_000;
/// People who stand for the columns that a record may have: those whose own columns say most nearly the same.
const CANDIDATES: usize = 32;
/// Units of the model of codes.
const HIDDEN: usize = 64;
/// Models that learn, each from its own draw of records.
const MODELS: u64 = 5;
/// One in this many records says whether models are to be trusted, and teaches them nothing.
const ASKED: usize = 5;
/// Records of a batch, updates of a model and their rate.
const BATCH: usize = 128;
const UPDATES: u64 = 800;
const RATE: f64 = 4e-3;
/// Pull of weights towards zero.
const WEIGHT_DECAY: f32 = 1e-3;

impl Attack for Instrument {
    fn about(&self) -> About {
        About {
            title: "own columns as an instrument, without auxiliary codes",
            knows: KNOWS,
            needs: &[Need::FurtherAttacks, Need::OwnColumns],
        }
    }

    fn run(&self, evaluation: &mut PrivacyEvaluation) -> anyhow::Result<()> {
        let (victim, surfaces) = (evaluation.victim, evaluation.surfaces);
        let people = [&victim.test.auxiliary[..], &victim.test.elsewhere].concat();
        let all: Vec<u32> = (0..victim.evidence.labels.len() as u32).collect();
        let records = victim.ownership.never_owned(&all);
        let lookalikes = Lookalikes::new(&victim.test_context(&surfaces.codes), &people)?;
        for surface in [&surfaces.codes, &surfaces.floats] {
            let context = victim.test_context(surface);
            let models = CodeModels::learn(&context, &lookalikes, &records)?;
            let observed =
                surface.observed.with(victim.place, ObservedAt::Frozen, &people, &models.draw(&people));
            let surface = AttackSurface { observed: &observed, ..surface.clone() };
            let mut grid = AdversaryGrid::new(victim, &surface, &victim.test, &[ObservedRelease::OneCode]);
            if let Some(usual) = evaluation.grids.get(&surface.cut) {
                // What is known without codes is the same.
                grid = grid.filled_from(usual, &[ObservedRelease::Nothing]);
            }
            let grid = grid.special(AttackId::Instrument, Some(Knowledge::NoAuxiliaryCodes));
            evaluation.keep_grid(&mut grid.trusted(models.trust))?;
        }
        Ok(())
    }
}

/// How likely codes are, given columns, by several models that agree only in what the records say: what own columns leave open each
/// has otherwise, and codes that are drawn by all of them say nothing of it.
struct CodeModels<'a> {
    context: &'a AttackContext<'a>,
    mean: Vec<f32>,
    deviation: Vec<f32>,
    models: Vec<(Mlp, Likelihood)>,
    device: Device,
    /// Mean and deviation of each value of a code: of bits 0 and 1.
    units: Vec<(f32, f32)>,
    /// From 0 to 1: whether records from which nothing was learned have the codes that their own columns make likely.
    trust: f64,
}

/// Records and the people who may have their columns.
struct Candidates<'a> {
    /// [records][candidates], places among people.
    of_record: Vec<Vec<u32>>,
    /// Codes [records, values], in their units.
    codes: Vec<f32>,
    /// Standardised columns of people.
    columns: &'a [f32],
    values: usize,
}

impl<'a> CodeModels<'a> {
    /// The models under which the codes of `records` are likeliest, given the people who may have their columns, whose codes nobody
    /// knows.
    fn learn(
        context: &'a AttackContext<'a>,
        lookalikes: &Lookalikes,
        records: &[u32],
    ) -> anyhow::Result<Self> {
        let mut seen: Vec<u32> = records.to_vec();
        seen.retain(|record| context.sources.knows(&[Fact::Code], *record));
        shuffle(&mut seen, &mut stream(context.seed, "records of an instrument", &[]));
        seen.truncate(MOST_RECORDS);
        let (mean, deviation) = moments(context.columns, &lookalikes.people);
        let device = Device::flex().autodiff();
        let codes = context.sources.features(&[Fact::Code], &seen)?;
        let units = units(&codes, context.cut);
        let mut learned = Self { context, mean, deviation, models: Vec::new(), device, units, trust: 0.0 };
        let columns = learned.standard(&lookalikes.people);
        let scaled = codes.values.iter().zip(learned.units.iter().cycle());
        let codes = scaled.map(|(value, (mean, deviation))| (value - mean) / deviation).collect();
        let of_record = lookalikes.of(context, &seen)?;
        let candidates = Candidates { of_record, codes, columns: &columns, values: learned.units.len() };
        let asked = seen.len() / ASKED;
        let numbers: Vec<u64> = (0..MODELS).collect();
        learned.models = on_all_cores(&numbers, |number| learned.fit(&candidates, asked, *number));
        learned.trust = learned.trust_in(&candidates, asked);
        Ok(learned)
    }

    /// A model of its own first weights that learns from the records after the first `asked`, drawn with repetition (bagging;
    /// Breiman 1996).
    fn fit(&self, candidates: &Candidates, asked: usize, number: u64) -> (Mlp, Likelihood) {
        let (values, seed) = (candidates.values, self.context.seed);
        let mut init = Init::new(stream(seed, "model of codes", &[number]), &self.device);
        let config = MlpConfig { hidden: vec![HIDDEN] };
        // Unwrap safety: few units.
        let mut model = config.init(self.mean.len(), values, &mut init).expect("few units");
        let mut likelihood = match self.context.cut {
            CutKind::SimulatedFloats => Likelihood::floats(values),
            _ => Likelihood::Bits,
        };
        let mut adam = Adam::new(AdamConfig { weight_decay: WEIGHT_DECAY, ..AdamConfig::default() });
        let mut rng = stream(seed, "batches of records", &[number]);
        let known = candidates.of_record.len() - asked;
        let drawn: Vec<usize> = (0..known).map(|_| asked + below(&mut rng, known)).collect();
        let rates = Rates::one_cycle(RATE, UPDATES);
        for update in 0..UPDATES {
            let batch: Vec<usize> = (0..BATCH).map(|_| drawn[below(&mut rng, known)]).collect();
            let of_record: Vec<&[u32]> =
                batch.iter().map(|record| &candidates.of_record[*record][..]).collect();
            let codes: Vec<&[f32]> = batch.iter().map(|record| candidates.code(*record)).collect();
            let (inputs, rows) = candidates.inputs(&of_record, self.mean.len());
            let (outputs, trace) = model.forward(self.tensor(inputs, rows), &mut Dropout::off());
            let outputs = to_host(outputs);
            let shares = likelihood.shares(&outputs, &codes);
            let gradient = self.tensor(likelihood.gradient(&outputs, &codes, &shares), rows);
            likelihood.learn(&outputs, &codes, &shares);
            let mut gradients = model.backward_weights(trace, gradient);
            model = adam.update(model, &mut gradients, rates.at(update));
        }
        (model, likelihood)
    }

    /// By how much the first `asked` records' codes are likelier given the people who may have their columns than given those of
    /// the record after, beside what of that may be chance.
    fn trust_in(&self, candidates: &Candidates, asked: usize) -> f64 {
        let records: Vec<usize> = (0..asked).collect();
        let unlikely = on_all_cores(&records, |record| {
            [*record, (record + 1) % asked].map(|of| self.unlikely(candidates, *record, of))
        });
        let (own, others): (Vec<f64>, Vec<f64>) =
            unlikely.into_iter().map(|[own, other]| (own, other)).unzip();
        let (gain, error) = paired(&others, &own);
        if gain > error { 1.0 - (error / gain).powi(2) } else { 0.0 }
    }

    /// Minus the logarithm of how likely a record's code is, given the people who may have the columns of another.
    fn unlikely(&self, candidates: &Candidates, record: usize, other: usize) -> f64 {
        let (inputs, rows) = candidates.inputs(&[&candidates.of_record[other]], self.mean.len());
        let mut likely = Vec::new();
        for (model, likelihood) in &self.models {
            let outputs = model.forward(self.tensor(inputs.clone(), rows), &mut Dropout::off()).0;
            likely.extend(likelihood.of(&to_host(outputs), candidates.code(record)));
        }
        -of_any(&likely)
    }

    /// Codes of `people` [people, values], each by one of the models.
    fn draw(&self, people: &[u32]) -> Vec<f32> {
        let columns = self.standard(people);
        let outputs: Vec<Vec<f32>> = self
            .models
            .iter()
            .map(|(model, _)| {
                let input = self.tensor(columns.clone(), people.len());
                to_host(model.forward(input, &mut Dropout::off()).0)
            })
            .collect();
        let values = self.units.len();
        let mut rng = stream(self.context.seed, "codes of people", &[]);
        let mut codes = Vec::with_capacity(people.len() * values);
        for person in 0..people.len() {
            let model = below(&mut rng, self.models.len());
            let drawn = self.models[model].1.draw(&outputs[model][person * values..][..values], &mut rng);
            let scaled = drawn.iter().zip(&self.units);
            codes.extend(scaled.map(|(value, (mean, deviation))| mean + deviation * value));
        }
        codes
    }

    /// Columns of `rows` in standard deviations.
    fn standard(&self, rows: &[u32]) -> Vec<f32> {
        let mut columns = self.context.columns.gather(rows);
        for row in columns.chunks_exact_mut(self.mean.len()) {
            for (value, (mean, deviation)) in row.iter_mut().zip(self.mean.iter().zip(&self.deviation)) {
                *value = (*value - mean) / deviation.max(1e-6);
            }
        }
        columns
    }

    fn tensor(&self, values: Vec<f32>, rows: usize) -> Tensor<2> {
        let width = values.len() / rows;
        Tensor::from_data(TensorData::new(values, [rows, width]), &self.device.clone().inner())
    }
}

/// Mean and deviation of each value of codes that cross a cut; bits are what they are.
fn units(codes: &Features, cut: CutKind) -> Vec<(f32, f32)> {
    let (width, rows) = (codes.width, codes.values.len() / codes.width.max(1));
    if cut != CutKind::SimulatedFloats {
        return vec![(0.0, 1.0); width];
    }
    let means = column_means(&codes.values, width, rows);
    let squares: Vec<f32> =
        codes.values.iter().zip(means.iter().cycle()).map(|(v, m)| (v - m).powi(2)).collect();
    let deviations = column_means(&squares, width, rows).into_iter().map(|square| square.sqrt().max(1e-6));
    means.into_iter().zip(deviations).collect()
}

/// The logarithm of how likely something is that is so by any of these.
fn of_any(likely: &[f32]) -> f64 {
    let most = likely.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    f64::from(most) + likely.iter().map(|likely| f64::from(likely - most).exp()).sum::<f64>().ln()
}

/// People and what own columns and label make expected of each, without that person, as of a record: who may have the columns of
/// which record. It looks at no code, so it is the same whatever left the victim.
struct Lookalikes {
    people: Vec<u32>,
    regression: Regression,
    /// [people, columns], in standard deviations.
    expected: Vec<f32>,
    deviation: Vec<f32>,
}

impl Lookalikes {
    /// Of the first of `people`.
    fn new(context: &AttackContext, people: &[u32]) -> anyhow::Result<Self> {
        let people = people[..people.len().min(MOST_PEOPLE)].to_vec();
        let examples = context.examples(FACTS, &people)?;
        let (regression, expected) = Regression::out_of_fold(&examples, context.seed, Effort::Check);
        let (_, deviation) = moments(context.columns, &people);
        let expected = scaled(&expected, &deviation);
        Ok(Self { people, regression, expected, deviation })
    }

    /// For each of `records` the places of people who may have its columns: those of whom nearly the same is expected.
    fn of(&self, context: &AttackContext, records: &[u32]) -> anyhow::Result<Vec<Vec<u32>>> {
        let asked = scaled(&context.predict(&self.regression, FACTS, records)?, &self.deviation);
        let rows: Vec<&[f32]> = asked.chunks_exact(self.deviation.len()).collect();
        let expected = &self.expected;
        Ok(on_all_cores(&rows, |row| nearest(row, expected)))
    }
}

/// Rows of `values`, each divided by `deviation`.
fn scaled(values: &[f32], deviation: &[f32]) -> Vec<f32> {
    values.iter().zip(deviation.iter().cycle()).map(|(value, scale)| value / scale.max(1e-6)).collect()
}

impl Candidates<'_> {
    fn code(&self, record: usize) -> &[f32] {
        &self.codes[record * self.values..][..self.values]
    }

    /// Columns of all people of several lists, and how many these are.
    fn inputs(&self, lists: &[&[u32]], width: usize) -> (Vec<f32>, usize) {
        let mut inputs = Vec::new();
        for person in lists.iter().copied().flatten() {
            inputs.extend_from_slice(&self.columns[*person as usize * width..][..width]);
        }
        let rows = inputs.len() / width;
        (inputs, rows)
    }
}

/// Places of the rows of `table` that are nearest to `row`.
fn nearest(row: &[f32], table: &[f32]) -> Vec<u32> {
    let mut apart: Vec<(f32, u32)> = Vec::with_capacity(table.len() / row.len());
    for (place, other) in (0..).zip(table.chunks_exact(row.len())) {
        apart.push((row.iter().zip(other).map(|(a, b)| (a - b) * (a - b)).sum(), place));
    }
    let count = CANDIDATES.min(apart.len());
    apart.select_nth_unstable_by(count - 1, |a, b| a.0.total_cmp(&b.0));
    apart[..count].iter().map(|(_, place)| *place).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn likelihoods_are_summed_however_small_they_are() {
        assert!((of_any(&[0.0, 0.0]) - 2.0_f64.ln()).abs() < 1e-9);
        assert!((of_any(&[-4000.0, -4001.0]) + 3999.6867).abs() < 1e-3);
        assert!((of_any(&[200.0]) - 200.0).abs() < 1e-9);
    }

    #[test]
    fn floats_are_scaled_and_bits_are_not() {
        let values = vec![1.0, 10.0, 3.0, 10.0];
        let codes = Features { width: 2, values, discrete: false };
        assert_eq!(units(&codes, CutKind::SimulatedFloats), [(2.0, 1.0), (10.0, 1e-6)]);
        assert_eq!(units(&codes, CutKind::Codes), [(0.0, 1.0), (0.0, 1.0)]);
    }

    #[test]
    fn the_nearest_are_found() {
        let table: Vec<f32> = (0..100).map(|value| value as f32).collect();
        let mut found = nearest(&[70.2], &table);
        found.sort_unstable();
        assert_eq!((found.len(), found[0], found[CANDIDATES - 1]), (CANDIDATES, 55, 86));
    }
}
