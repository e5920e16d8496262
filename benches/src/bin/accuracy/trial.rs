//! One training run, in this process: a data set, a split, a recipe, a cut and a seed to figures.
//!
//! The training loop is the networked run's own ([`hashvfl_learning::training::train`]); only the parties are local.

use std::time::Instant;

use anyhow::bail;
use hashvfl_core::random::stream;
use hashvfl_core::settings::RowOrder;
use hashvfl_core::{Part, PartyName, RunSettings};
use hashvfl_data::{Matrix, Preprocessing};
use hashvfl_files::say;
use hashvfl_learning::encoder::CutLayer;
use hashvfl_learning::metrics::Balance;
use hashvfl_learning::top::evaluation::Evaluation;
use hashvfl_learning::training::{ReleasedBits, TrainingProgress};
use hashvfl_testbed::dataset::{Dataset, Split};
use hashvfl_testbed::simulation::{SimulatedParty, Simulation};
use rand::Rng;

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
    pub cut: CutLayer,
    /// Bits per party and record.
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
    /// Macro AUC on test records, of several classes; absent likewise, and where a class is absent.
    pub test_macro_auc: Option<f64>,
    /// Balance of each party's bits.
    pub balance: Vec<(&'static str, Balance)>,
    /// The epoch whose models were kept, from 1.
    pub best_epoch: u32,
    /// Bits released a record and party.
    pub released: ReleasedBits,
    /// Seconds of the run.
    pub seconds: f64,
}

impl Trial<'_> {
    /// Runs it.
    pub fn run(&self) -> anyhow::Result<Measured> {
        let settings = self.settings()?;
        if let Some(name) = self.recipe.noises.keys().find(|name| !settings.parties.contains(name)) {
            bail!("--noises: there is no party {name}");
        }
        let order = &self.split.order;
        let columns = self.dataset.parties.iter().map(|columns| {
            let (values, width) = (columns.matrix.gather(order), columns.matrix.cols());
            Matrix::new(order.len(), width, values)
        });
        let columns = columns.collect::<Result<Vec<Matrix>, _>>()?;
        // Columns that are taken as they are have no deviations to count.
        let clip = (self.recipe.preprocessing != Preprocessing::None).then_some(CLIP);
        let sides: Vec<SimulatedParty> = columns
            .iter()
            .zip(&self.dataset.parties)
            .enumerate()
            .map(|(index, (matrix, columns))| SimulatedParty {
                columns: matrix,
                image: columns.image,
                preprocessing: (self.recipe.preprocessing, clip),
                encoder: self.recipe.encoder_of(columns.name),
                // Every side draws its weights from a seed of its own, as organisations would.
                seed: stream(self.seed, "party", &[index as u64]).next_u64(),
            })
            .collect();
        let simulation = Simulation {
            settings: &settings,
            sides: &sides,
            labels: &self.dataset.labels(order),
            top: &self.recipe.top,
            seed: self.seed,
            cut: self.cut,
            balance: if self.validation_only { Part::Validation } else { Part::Test },
        };
        let (task, start) = (settings.task, Instant::now());
        let metric = |evaluation: Option<Evaluation>| {
            evaluation.and_then(|found| found.metric(task)).unwrap_or(f64::NAN)
        };
        let simulated = simulation.run(&mut |progress| {
            if let (true, TrainingProgress::Epoch(report)) = (self.curve, progress) {
                let (epoch, loss) = (report.epoch, report.train_loss);
                let validation =
                    report.validation.map(|_| format!(", validation {:.4}", metric(report.validation)));
                say!("    epoch {epoch:>3}: train loss {loss:.4}{}", validation.unwrap_or_default());
            }
        })?;
        let last = simulated.epochs.last().and_then(|report| report.validation);
        let names = self.dataset.parties.iter().map(|columns| columns.name);
        let test = simulated.test.filter(|_| !self.validation_only);
        Ok(Measured {
            validation: metric(simulated.validation),
            last_validation: metric(if settings.refits() { simulated.validation } else { last }),
            test: test.and_then(|test| test.metric(task)),
            test_macro_auc: test.and_then(|test| test.macro_auc),
            balance: names.zip(simulated.balance).collect(),
            best_epoch: simulated.best_epoch,
            released: simulated.released,
            seconds: start.elapsed().as_secs_f64(),
        })
    }

    fn settings(&self) -> anyhow::Result<RunSettings> {
        let names: Result<Vec<PartyName>, _> =
            self.dataset.parties.iter().map(|columns| PartyName::new(columns.name)).collect();
        let test_fraction = self.split.test as f64 / self.split.order.len() as f64;
        Ok(RunSettings {
            seed: self.seed,
            row_order: RowOrder::Given,
            test_fraction,
            ..self.recipe.settings(names?, self.dataset.task, self.bits)
        })
    }
}
