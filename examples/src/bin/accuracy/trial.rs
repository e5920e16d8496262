//! One training run, in this process: a data set, a split, a recipe, a cut and a seed to figures.
//!
//! The course is the networked run's own ([`hashvfl_learning::course::run`]); only the parties are local.

use std::time::Instant;

use anyhow::Context;
use hashvfl_core::random::stream;
use hashvfl_core::{PackedCodes, Part, PartyName, Plan, Rows, RunSettings};
use hashvfl_data::{Matrix, Preprocessing};
use hashvfl_learning::Classifier;
use hashvfl_learning::bottom::InputShape;
use hashvfl_learning::course::{self, Progress, Released};
use hashvfl_learning::cut::{Embedding, Parties};
use hashvfl_learning::device::{self, DeviceChoice};
use hashvfl_learning::encoder::{Cut, Encoder};
use hashvfl_learning::local::{LocalParties, LocalParty};
use hashvfl_learning::loss::Loss;
use hashvfl_learning::metrics::Balance;
use rand::Rng;

use crate::dataset::{Columns, Dataset, Split};
use crate::recipe::Recipe;

/// Standard deviations beyond which a standardised value is cut off.
const CLIP: f32 = 10.0;

/// What to run.
pub struct Trial<'a> {
    /// The data.
    pub dataset: &'a Dataset,
    /// The order of its records.
    pub split: &'a Split,
    /// The recipe.
    pub recipe: &'a Recipe,
    /// What leaves a party.
    pub cut: Cut,
    /// Bits a party and record.
    pub bits: usize,
    /// The training seed: validation records, batches, first weights, noise.
    pub seed: u64,
    /// Whether the codes of validation records are measured in place of those of test records.
    pub validation_only: bool,
    /// Whether to show every epoch.
    pub curve: bool,
}

/// What came of it.
#[derive(Debug, Clone)]
pub struct Measured {
    /// Metric on validation records, of the models that were kept.
    pub validation: f64,
    /// The same at the end of the last epoch, whichever was kept.
    pub last_validation: f64,
    /// Metric on test records; absent where it must not be seen yet.
    pub test: Option<f64>,
    /// Balance of each party's bits.
    pub balance: Vec<(&'static str, Balance)>,
    /// The epoch whose models were kept, from 1.
    pub best_epoch: u32,
    /// Bits released a record and party.
    pub released: Released,
    /// Seconds of the run.
    pub seconds: f64,
}

impl Trial<'_> {
    /// Runs it.
    pub fn run(&self) -> anyhow::Result<Measured> {
        let settings = self.settings()?;
        let plan = Plan::new(&settings, self.split.order.len())?;
        let preprocessed = self.preprocessed(&plan)?;
        let own = self.dataset.parties.iter().map(|columns| &columns.matrix);
        let matrices: Vec<&Matrix> =
            if preprocessed.is_empty() { own.collect() } else { preprocessed.iter().collect() };
        let parties = self
            .dataset
            .parties
            .iter()
            .zip(&matrices)
            .enumerate()
            .map(|(index, (columns, matrix))| self.party(index, columns, matrix, &settings, &plan))
            .collect::<anyhow::Result<Vec<LocalParty>>>()?;
        match self.cut {
            Cut::Hash => {
                let mut parties = LocalParties::hashed(parties, plan.clone());
                let mut measured = self.learn(&mut parties, &settings, plan.clone())?;
                measured.balance = self.balance(&mut parties, &plan)?;
                Ok(measured)
            }
            Cut::SimulatedFloat => {
                let mut parties = LocalParties::simulated_floats(parties, plan.clone());
                self.learn(&mut parties, &settings, plan)
            }
        }
    }

    fn settings(&self) -> anyhow::Result<RunSettings> {
        let names: Result<Vec<PartyName>, _> =
            self.dataset.parties.iter().map(|columns| PartyName::new(columns.name)).collect();
        let test_share = self.split.test as f64 / self.split.order.len() as f64;
        let settings = RunSettings {
            seed: self.seed,
            row_order: hashvfl_core::settings::RowOrder::Given,
            test_share,
            ..self.recipe.settings(names?, self.dataset.task, self.bits)
        };
        settings.check()?;
        Ok(settings)
    }

    /// Each party's columns, preprocessed as fitted on its training records; none where they stay as they are.
    fn preprocessed(&self, plan: &Plan) -> anyhow::Result<Vec<Matrix>> {
        let preprocessing = self.recipe.preprocessing;
        if preprocessing == Preprocessing::None {
            return Ok(Vec::new());
        }
        let train: Vec<u32> =
            plan.part(Part::CohortTrain).iter().map(|row| self.split.order[*row as usize]).collect();
        let treat = |columns: &Columns| {
            let mut matrix = columns.matrix.clone();
            preprocessing.fit_apply(&mut matrix, &train, Some(CLIP))?;
            Ok(matrix)
        };
        self.dataset.parties.iter().map(treat).collect()
    }

    fn party<'a>(
        &'a self,
        index: usize,
        columns: &Columns,
        matrix: &'a Matrix,
        settings: &RunSettings,
        plan: &Plan,
    ) -> anyhow::Result<LocalParty<'a>> {
        let input = InputShape { columns: matrix.cols(), image: columns.image };
        let config = self.recipe.encoder.clone();
        // Every side draws its weights from a seed of its own, as organisations would.
        let seed = stream(self.seed, "party", &[index as u64]).next_u64();
        let device = device::open(DeviceChoice::Cpu)?.device;
        let encoder = Encoder::new(config, self.cut, input, settings, plan.updates(), seed, &device)
            .with_context(|| format!("party {}", columns.name))?;
        let gather = |rows: &[u32]| {
            let mut values = Vec::with_capacity(rows.len() * matrix.cols());
            for row in rows {
                values.extend_from_slice(matrix.row(self.split.order[*row as usize] as usize));
            }
            values
        };
        Ok(LocalParty { encoder, gather: Box::new(gather) })
    }

    fn learn<E: Embedding>(
        &self,
        parties: &mut LocalParties<E>,
        settings: &RunSettings,
        mut plan: Plan,
    ) -> anyhow::Result<Measured> {
        let start = Instant::now();
        let labels = self.dataset.labels(&self.split.order);
        let loss = Loss::new(labels, plan.part(Part::CohortTrain), self.recipe.top.loss, self.bits);
        let inputs = self.bits * self.dataset.parties.len();
        let rate = (settings.schedule, settings.learning_rate, plan.updates());
        let device = device::open(DeviceChoice::Cpu)?.device;
        let mut classifier =
            Classifier::new(self.recipe.top.clone(), loss, inputs, rate, self.seed, &device)?;
        let mut watch = |progress: Progress| {
            if let (true, Progress::Epoch(report)) = (self.curve, progress) {
                let validation = report.validation.map_or(f64::NAN, |v| v.metric(settings.task));
                println!(
                    "    epoch {:>3}: train loss {:.4}, validation {validation:.4}",
                    report.epoch, report.train_loss
                );
            }
        };
        let patience = self.recipe.top.patience;
        let outcome = course::run(parties, settings, &mut plan, &mut classifier, patience, &mut watch)?;
        let task = settings.task;
        let at = |epoch: usize| {
            let report = epoch.checked_sub(1).and_then(|index| outcome.curve.get(index));
            report.and_then(|report| report.validation).map_or(f64::NAN, |v| v.metric(task))
        };
        let (mut validation, mut last_validation) =
            (at(outcome.best_epoch as usize), at(outcome.curve.len()));
        if settings.refits() {
            // The top model was fitted anew since, on codes that the course has kept.
            // Unwrap safety: a course that refits keeps the codes of all validation records.
            let gather = |rows: &[u32]| {
                outcome.tables.iter().map(|table| E::gather(table, rows).expect("a kept row")).collect()
            };
            validation = classifier.evaluate_stored(&gather, plan.part(Part::Validation)).metric(task);
            last_validation = validation;
        }
        let test = outcome.test.map(|test| test.metric(task));
        Ok(Measured {
            validation,
            last_validation,
            test: test.filter(|_| !self.validation_only),
            balance: Vec::new(),
            best_epoch: outcome.best_epoch,
            released: outcome.released,
            seconds: start.elapsed().as_secs_f64(),
        })
    }

    /// Balance of each party's bits on records that no model has learned from.
    fn balance(
        &self,
        parties: &mut LocalParties<PackedCodes>,
        plan: &Plan,
    ) -> anyhow::Result<Vec<(&'static str, Balance)>> {
        let part = if self.validation_only { Part::Validation } else { Part::Test };
        let mut signs: Vec<Vec<f32>> = vec![Vec::new(); self.dataset.parties.len()];
        for chunk in 0..plan.chunks(part) {
            let rows = plan.clone().rows(Rows::Chunk { part, chunk })?;
            let batches = parties.encode(Rows::Chunk { part, chunk }, rows.len())?;
            signs.iter_mut().zip(batches).for_each(|(all, batch)| all.extend(batch.to_signs()));
        }
        let of = |(columns, signs): (&Columns, &Vec<f32>)| (columns.name, Balance::of(signs, self.bits));
        Ok(self.dataset.parties.iter().zip(&signs).map(of).collect())
    }
}
