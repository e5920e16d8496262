//! A training loop that goes on from where it was saved, at every place, ends with the very bits of one that was never
//! interrupted.

use hashvfl_core::protocol::message::Command;
use hashvfl_core::random::{stream, uniform};
use hashvfl_core::{
    CodeForm, Digest, Gradient, PackedCodes, Part, PartyName, Plan, RowSelection, RunSettings, Task,
};
use hashvfl_learning::bottom::{BottomConfig, InputShape, MlpConfig};
use hashvfl_learning::device::Device;
use hashvfl_learning::encoder::{CutLayer, Encoder, EncoderConfig};
use hashvfl_learning::schedule::Rates;
use hashvfl_learning::top::loss::{Labels, LossConfig};
use hashvfl_learning::training::backend::PartyBackend;
use hashvfl_learning::training::saved::SavedTraining;
use hashvfl_learning::training::{
    ScreeningFn, ScreeningHook, TrainingError, TrainingOptions, TrainingOutcome, Validate, train,
};
use hashvfl_learning::{Classifier, Snapshot, TopConfig};

const RECORDS: usize = 300;
const COLUMNS: usize = 5;
const BITS: usize = 8;

/// Two parties in this process that save where the run is between any two batches.
struct Parties {
    encoders: [Encoder; 2],
    best: Option<[Snapshot; 2]>,
    columns: [Vec<f32>; 2],
    plan: Plan,
    /// What all sides would have on disk at each place.
    saves: Vec<Save>,
}

#[derive(Clone)]
struct Save {
    training: SavedTraining,
    encoders: [Snapshot; 2],
    best: Option<[Snapshot; 2]>,
}

fn settings() -> RunSettings {
    RunSettings {
        batch_rows: 64.into(),
        learning_rate: 0.01,
        cycles: 2,
        ..RunSettings::new(
            ["a", "b"].map(|name| PartyName::new(name).unwrap()).to_vec(),
            Task::Binary,
            BITS,
            6,
        )
    }
}

fn columns(party: u64) -> Vec<f32> {
    let mut rng = stream(party, "columns", &[]);
    (0..RECORDS * COLUMNS).map(|_| uniform(&mut rng) - 0.5).collect()
}

impl Parties {
    fn new(plan: &Plan) -> Self {
        let encoder = |seed| {
            let model = BottomConfig::Mlp(MlpConfig { hidden: vec![8] });
            let config = EncoderConfig { model, dropout: 0.1, ..EncoderConfig::default() };
            let input = InputShape { columns: COLUMNS, ..InputShape::default() };
            let (form, rates) =
                (CodeForm::signs(settings().bits), Rates::of_run(&settings(), plan.updates()));
            Encoder::new(config, CutLayer::Hash, input, form, rates, seed, &Device::flex()).unwrap()
        };
        let (encoders, columns) = ([encoder(1), encoder(2)], [columns(1), columns(2)]);
        Self { encoders, best: None, columns, plan: plan.clone(), saves: Vec::new() }
    }

    fn of(plan: &Plan, save: &Save) -> Self {
        let mut parties = Self::new(plan);
        for (encoder, snapshot) in parties.encoders.iter_mut().zip(&save.encoders) {
            encoder.load(snapshot).unwrap();
        }
        parties.best.clone_from(&save.best);
        parties
    }

    fn snapshots(&self) -> [Snapshot; 2] {
        [0, 1].map(|party: usize| self.encoders[party].snapshot())
    }
}

impl PartyBackend for Parties {
    type Embedding = PackedCodes;
    type Error = std::convert::Infallible;

    fn encode(&mut self, rows: RowSelection, _: usize) -> Result<Vec<PackedCodes>, Self::Error> {
        let numbers = self.plan.rows(rows).unwrap();
        let cohort = self.plan.part(Part::CohortTrain).to_vec();
        let mut sent = Vec::new();
        for (encoder, columns) in self.encoders.iter_mut().zip(&self.columns) {
            let gather = |rows: &[u32]| -> Vec<f32> {
                rows.iter().flat_map(|row| columns[*row as usize * COLUMNS..][..COLUMNS].to_vec()).collect()
            };
            if !matches!(rows, RowSelection::Batch { batch: 1.., .. }) {
                encoder.calibrate(&cohort, &gather);
            }
            let values = encoder.encode_selected(rows, gather(&numbers), numbers.len());
            sent.push(PackedCodes::pack(&values, BITS).unwrap());
        }
        Ok(sent)
    }

    fn encode_synthetic(&mut self, _: u32) -> Result<Vec<PackedCodes>, Self::Error> {
        Ok(Vec::new())
    }

    fn learn(&mut self, gradients: Vec<Gradient>) -> Result<(), Self::Error> {
        self.encoders
            .iter_mut()
            .zip(gradients)
            .for_each(|(encoder, gradient)| encoder.learn(gradient.decode()));
        Ok(())
    }

    fn carry_out(&mut self, command: Command) -> Result<(), Self::Error> {
        if let Command::Checkpoint(_) = command {
            self.best = Some(self.snapshots());
        }
        if let Command::Restore(_) = command {
            let best = self.best.as_ref().unwrap();
            self.encoders.iter_mut().zip(best).for_each(|(encoder, best)| encoder.load(best).unwrap());
        }
        Ok(())
    }

    fn freeze(&mut self) -> Result<Vec<Digest>, Self::Error> {
        Ok(self.encoders.iter().map(Encoder::digest).collect())
    }

    fn is_time_to_save(&self, _: bool) -> bool {
        true
    }

    fn save(&mut self, training: SavedTraining) -> Result<(), Self::Error> {
        let (encoders, best) = (self.snapshots(), self.best.clone());
        self.saves.push(Save { training, encoders, best });
        Ok(())
    }
}

fn classifier(plan: &Plan) -> Classifier {
    let [a, b] = [columns(1), columns(2)];
    let label = |row: usize| u32::from(a[row * COLUMNS] + b[row * COLUMNS + 1] > 0.0);
    let labels = Labels::Classes { count: 2, index: (0..RECORDS).map(label).collect() };
    let loss = LossConfig { distillation: 0.5, ..LossConfig::default() };
    let top = TopConfig { loss, dropout: 0.1, ..TopConfig::default() };
    Classifier::of_run(&top, labels, &settings(), plan, 3, &Device::flex()).unwrap()
}

/// The run from its beginning or from `from`: how it went, and what all sides have learned.
fn run(
    from: Option<&Save>,
    patience: u32,
    validate: Validate,
) -> (TrainingOutcome<PackedCodes>, Vec<Snapshot>, Vec<Save>) {
    let mut plan = Plan::new(&settings(), RECORDS).unwrap();
    let mut parties = from.map_or_else(|| Parties::new(&plan), |save| Parties::of(&plan, save));
    let mut top = classifier(&plan);
    let mut judge = |_: _, rows: &[u32], _: &[Vec<f32>]| {
        Ok(rows.iter().map(|row| if row % 7 == 0 { 0.25 } else { 1.0 }).collect())
    };
    let judge: &mut ScreeningFn<'_> = &mut judge;
    let screen = Some(ScreeningHook { after_epochs: 2, judge });
    let from = from.map(|save| save.training.clone());
    let options = TrainingOptions { patience, validate, screen, from, ..TrainingOptions::default() };
    let outcome = train(&mut parties, &settings(), &mut plan, &mut top, options, &mut |_| {});
    let outcome = outcome.unwrap_or_else(|error: TrainingError<_>| panic!("{error}"));
    let mut learned = parties.snapshots().to_vec();
    learned.push(top.snapshot_with_memory());
    (outcome, learned, parties.saves)
}

#[test]
fn a_run_that_goes_on_from_any_place_is_the_same_run() {
    let ways = [(0, Validate::EveryEpoch), (1, Validate::EveryEpoch), (1, Validate::LastCycle)];
    for (patience, validate) in ways {
        let (whole, learned, saves) = run(None, patience, validate);
        let batches = Plan::new(&settings(), RECORDS).unwrap().batches();
        let epochs = whole.curve.len();
        // Behind each batch but in the second epoch, which is screened, and there behind it alone.
        assert_eq!(saves.len(), batches as usize * (epochs - 1) + 1, "patience {patience}");
        for save in &saves {
            let place = &save.training.place;
            let at = format!("patience {patience}, epoch {}, batch {}", place.epoch, place.batch);
            let (resumed, again, _) = run(Some(save), patience, validate);
            let losses = |outcome: &TrainingOutcome<PackedCodes>| -> Vec<_> {
                outcome.curve.iter().map(|epoch| (epoch.train_loss.to_bits(), epoch.validation)).collect()
            };
            assert_eq!(losses(&resumed), losses(&whole), "{at}");
            assert_eq!((resumed.best_epoch, resumed.test), (whole.best_epoch, whole.test), "{at}");
            assert!(resumed.released == whole.released && resumed.encoders == whole.encoders, "{at}");
            assert!(again == learned, "{at}: other weights, moments or memory");
        }
    }
}

#[test]
fn validation_in_the_last_cycle_alone_changes_nothing_that_is_learned() {
    for patience in [0, 1] {
        let (every, learned, _) = run(None, patience, Validate::EveryEpoch);
        let (last, again, _) = run(None, patience, Validate::LastCycle);
        assert!(again == learned, "patience {patience}: other weights, moments or memory");
        assert_eq!((last.best_epoch, last.test), (every.best_epoch, every.test));
        assert_eq!(last.encoders, every.encoders);
        // Of 6 epochs in 2 cycles, the first 3 have no figures of validation records.
        let figures = |outcome: &TrainingOutcome<PackedCodes>| -> Vec<_> {
            outcome.curve.iter().map(|epoch| epoch.validation).collect()
        };
        let (every_figures, last_figures) = (figures(&every), figures(&last));
        assert_eq!(last_figures[..3], [None; 3]);
        assert_eq!(last_figures[3..], every_figures[3..]);
        let fewer = every.released.cohort_validation - last.released.cohort_validation;
        assert_eq!((fewer, last.released.cohort_train), (3 * BITS as u64, every.released.cohort_train));
    }
}

#[test]
fn whoever_keeps_the_last_epoch_goes_back_to_no_other() {
    let mut plan = Plan::new(&settings(), RECORDS).unwrap();
    let (mut parties, mut top) = (Parties::new(&plan), classifier(&plan));
    let options = TrainingOptions { patience: 1, keep_last: true, ..TrainingOptions::default() };
    let outcome = train(&mut parties, &settings(), &mut plan, &mut top, options, &mut |_| {});
    let outcome = outcome.unwrap_or_else(|error: TrainingError<_>| panic!("{error}"));
    assert_eq!((outcome.best_epoch, outcome.curve.len()), (settings().epochs, settings().epochs as usize));
    assert!(outcome.curve.iter().all(|epoch| epoch.validation.is_some()), "validation records are encoded");
    assert!(parties.best.is_none(), "no party keeps another");
}
