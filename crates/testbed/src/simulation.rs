//! The same training loop as a federation's, with all parties in this process: for baselines, tuning and benches.

use anyhow::Context;
use hashvfl_core::{CodeForm, Part, Plan, RowSelection, RunSettings};
use hashvfl_data::{Matrix, Preprocessing, Preprocessor};
use hashvfl_learning::bottom::InputShape;
use hashvfl_learning::device::Device;
use hashvfl_learning::encoder::{CutLayer, Encoder, EncoderConfig};
use hashvfl_learning::metrics::Balance;
use hashvfl_learning::schedule::Rates;
use hashvfl_learning::threads;
use hashvfl_learning::top::evaluation::Evaluation;
use hashvfl_learning::top::loss::Labels;
use hashvfl_learning::training::backend::{Embedding, PartyBackend};
use hashvfl_learning::training::in_process::{InProcessParties, InProcessParty};
use hashvfl_learning::training::{self, EpochReport, ReleasedBits, TrainingOptions, TrainingProgress};
use hashvfl_learning::{Classifier, TopConfig};

/// One party's side of a simulation.
#[derive(Clone)]
pub struct SimulatedParty<'a> {
    /// Its columns as they are in its files.
    pub columns: &'a Matrix,
    /// Channels, height and width, where they are an image.
    pub image: Option<[usize; 3]>,
    /// What happens to them first, and where values are cut off.
    pub preprocessing: (Preprocessing, Option<f32>),
    /// Its model.
    pub encoder: EncoderConfig,
    /// Seed of its weights.
    pub seed: u64,
}

/// What a simulation gave.
pub struct SimulatedRun {
    /// Every epoch.
    pub epochs: Vec<EpochReport>,
    /// The epoch whose models were kept, from 1.
    pub best_epoch: u32,
    /// On validation records, of the models that were kept; with the top model fitted anew, where the run refits.
    pub validation: Option<Evaluation>,
    /// On test records.
    pub test: Option<Evaluation>,
    /// The same without each party's codes, in the parties' order; none where there are no test records.
    pub without: Vec<Evaluation>,
    /// Bits that each party released of a record.
    pub released: ReleasedBits,
    /// Balance of each party's bits on the records that the simulation named; empty for floats.
    pub balance: Vec<Balance>,
}

/// What parties and coordinator have learned.
pub struct Models {
    /// Each party's encoder.
    pub encoders: Vec<Encoder>,
    /// What each party does to its columns first.
    pub preprocessors: Vec<Option<Preprocessor>>,
    /// The top model.
    pub classifier: Classifier,
    /// Which records were learned from.
    pub plan: Plan,
}

/// A run in this process.
#[derive(Clone, Copy)]
pub struct Simulation<'a> {
    /// The agreed settings.
    pub settings: &'a RunSettings,
    /// The parties, in the settings' order.
    pub sides: &'a [SimulatedParty<'a>],
    /// The labels.
    pub labels: &'a Labels,
    /// The top model.
    pub top: &'a TopConfig,
    /// Seed of the top model's weights.
    pub seed: u64,
    /// What leaves a party: codes or, as a baseline, a float in place of each latent.
    pub cut: CutLayer,
    /// On which records the balance of codes is measured.
    pub balance: Part,
}

impl Simulation<'_> {
    /// Runs it; `on_progress` hears how it goes.
    pub fn run(&self, on_progress: &mut dyn FnMut(TrainingProgress)) -> anyhow::Result<SimulatedRun> {
        self.settings.check()?;
        let levels = self.settings.code_forms().any(|form| !form.is_signs());
        if self.cut == CutLayer::SimulatedFloat && levels {
            return Simulation { settings: &self.settings.of_floats(), ..*self }.run(on_progress);
        }
        threads::limit(1);
        let plan = Plan::new(self.settings, self.labels.len())?;
        let (parties, _) = self.parties(&plan)?;
        let mut classifier = self.classifier(&plan)?;
        match self.cut {
            CutLayer::Hash => {
                let mut parties = InProcessParties::hashed(parties, plan.clone());
                let mut simulated = self.learn(&mut parties, &mut classifier, plan.clone(), on_progress)?;
                simulated.balance = self.balance(&mut parties, plan)?;
                Ok(simulated)
            }
            CutLayer::SimulatedFloat => {
                let mut parties = InProcessParties::simulated_floats(parties, plan.clone());
                self.learn(&mut parties, &mut classifier, plan, on_progress)
            }
        }
    }

    /// Models that have learned nothing, for a snapshot to be loaded into.
    pub fn models(&self) -> anyhow::Result<Models> {
        self.settings.check()?;
        let plan = Plan::new(self.settings, self.labels.len())?;
        let (parties, preprocessors) = self.parties(&plan)?;
        let encoders = parties.into_iter().map(|party| party.encoder).collect();
        Ok(Models { encoders, preprocessors, classifier: self.classifier(&plan)?, plan })
    }

    /// Runs it on codes and returns what was learned.
    pub fn train(
        &self,
        on_progress: &mut dyn FnMut(TrainingProgress),
    ) -> anyhow::Result<(SimulatedRun, Models)> {
        self.settings.check()?;
        threads::limit(1);
        let plan = Plan::new(self.settings, self.labels.len())?;
        let (parties, preprocessors) = self.parties(&plan)?;
        let mut classifier = self.classifier(&plan)?;
        let mut parties = InProcessParties::hashed(parties, plan.clone());
        let simulated = self.learn(&mut parties, &mut classifier, plan.clone(), on_progress)?;
        Ok((simulated, Models { encoders: parties.into_encoders(), preprocessors, classifier, plan }))
    }

    fn classifier(&self, plan: &Plan) -> anyhow::Result<Classifier> {
        let (labels, device) = (self.labels.clone(), Device::flex());
        Ok(Classifier::of_run(self.top, labels, self.settings, plan, self.seed, &device)?)
    }

    fn parties<'b>(
        &self,
        plan: &Plan,
    ) -> anyhow::Result<(Vec<InProcessParty<'b>>, Vec<Option<Preprocessor>>)> {
        let sides = self.sides.iter().zip(self.settings.code_forms());
        let parties = sides.map(|(side, form)| self.party(side, form, plan));
        Ok(parties.collect::<anyhow::Result<Vec<_>>>()?.into_iter().unzip())
    }

    fn party<'b>(
        &self,
        side: &SimulatedParty,
        form: CodeForm,
        plan: &Plan,
    ) -> anyhow::Result<(InProcessParty<'b>, Option<Preprocessor>)> {
        let mut columns = side.columns.clone();
        let (preprocessing, clip) = side.preprocessing;
        let train = plan.part(Part::CohortTrain);
        let fitted = preprocessing.fit_apply(&mut columns, train, clip).context("preprocessing")?;
        let input = InputShape { columns: columns.cols(), image: side.image, ..InputShape::default() };
        let (config, device) = (side.encoder.clone(), Device::flex());
        let rates = Rates::of_plan(self.settings, plan);
        let mut encoder = Encoder::new(config, self.cut, input, form, rates, side.seed, &device)?;
        // As a party by default has it: with less noise than a monitor needs, batches that it looks at would differ.
        encoder.expect_monitoring();
        Ok((
            InProcessParty { encoder, gather: Box::new(move |rows| columns.gather(rows)), response: None },
            fitted,
        ))
    }

    fn learn<E: Embedding>(
        &self,
        parties: &mut InProcessParties<E>,
        classifier: &mut Classifier,
        mut plan: Plan,
        on_progress: &mut dyn FnMut(TrainingProgress),
    ) -> anyhow::Result<SimulatedRun> {
        let options = TrainingOptions::of(self.top);
        let outcome = training::train(parties, self.settings, &mut plan, classifier, options, on_progress)?;
        let validation = validate(parties, classifier, &mut plan)?;
        // Unwrap safety: a training loop keeps the codes of all test records.
        let gather = |rows: &[u32]| {
            outcome.tables.iter().map(|table| E::gather(table, rows).expect("a kept row")).collect()
        };
        let test_rows = plan.part(Part::Test);
        let parties = if test_rows.is_empty() { 0 } else { self.sides.len() };
        let without =
            (0..parties).map(|party| classifier.evaluate_without(party, &gather, test_rows)).collect();
        Ok(SimulatedRun {
            epochs: outcome.curve,
            best_epoch: outcome.best_epoch,
            validation,
            test: outcome.test,
            without,
            released: outcome.released,
            balance: Vec::new(),
        })
    }

    /// Balance of each party's bits on records that no model has learned from.
    fn balance(
        &self,
        parties: &mut InProcessParties<hashvfl_core::PackedCodes>,
        mut plan: Plan,
    ) -> anyhow::Result<Vec<Balance>> {
        let mut signs: Vec<Vec<f32>> = vec![Vec::new(); self.sides.len()];
        for chunk in 0..plan.chunks(self.balance) {
            let rows = RowSelection::Chunk { part: self.balance, chunk };
            let count = plan.rows(rows)?.len();
            let batches = parties.encode(rows, count)?;
            signs.iter_mut().zip(batches).for_each(|(all, batch)| all.extend(batch.to_signs()));
        }
        let balance = |(signs, form): (&Vec<f32>, CodeForm)| Balance::of(signs, form.bits());
        // Of no records there is none, of any party.
        Ok(signs.iter().zip(self.settings.code_forms()).filter_map(balance).collect())
    }
}

/// How well the models that were kept do on validation records, in codes without noise; `None` where there are none.
fn validate<E: Embedding>(
    parties: &mut InProcessParties<E>,
    classifier: &Classifier,
    plan: &mut Plan,
) -> anyhow::Result<Option<Evaluation>> {
    let part = Part::Validation;
    let mut outputs = Vec::new();
    for chunk in 0..plan.chunks(part) {
        let rows = RowSelection::Chunk { part, chunk };
        let count = plan.rows(rows)?.len();
        let parts: Vec<Vec<f32>> = parties.encode(rows, count)?.iter().map(Embedding::to_floats).collect();
        outputs.extend(classifier.predict(&parts, count));
    }
    let rows = plan.part(part);
    Ok((!rows.is_empty()).then(|| classifier.evaluate(&outputs, rows)))
}

/// Runs `settings` over `sides`, with a top model whose weights are drawn from `seed`; balance is measured on test records.
pub fn simulate(
    sides: &[SimulatedParty],
    labels: &Labels,
    settings: &RunSettings,
    top: &TopConfig,
    seed: u64,
    cut: CutLayer,
) -> anyhow::Result<SimulatedRun> {
    Simulation { settings, sides, labels, top, seed, cut, balance: Part::Test }.run(&mut |_| {})
}
