//! Which records every step is about: splits and batches from the seed and row numbers alone.
//!
//! Coordinator and parties derive the same plan, so no request names a record, and a coordinator cannot ask
//! for a batch of its own choice. Records that a run goes on without are named once, before it begins. Labels are not used: a
//! stratified order would reveal them to the parties. The seed may be chosen by looking at the labels, which reveals at most
//! the logarithm of the number of seeds tried.

use serde::{Deserialize, Serialize};

use crate::limits::MAX_BATCH_ROWS;
use crate::random::{shuffle, stream};
use crate::records::excluded::ExcludedRecords;
use crate::settings::{RowOrder, RunSettings};

/// A part of the records.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Part {
    /// All training records.
    Train,
    /// All validation records.
    Validation,
    /// The test records.
    Test,
    /// The training records on which bottom models learn; all of them in joint training.
    CohortTrain,
    /// The validation records used while bottom models learn; all of them in joint training.
    CohortValidation,
    /// The records on which detectors of abnormal inputs are fitted and calibrated: no model learns from them and none
    /// is chosen on them.
    Calibration,
}

impl Part {
    /// Every part.
    pub const ALL: [Self; 6] = [
        Self::Train,
        Self::Validation,
        Self::Test,
        Self::CohortTrain,
        Self::CohortValidation,
        Self::Calibration,
    ];
}

/// Which records one request is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RowSelection {
    /// Batch `batch` of epoch `epoch` (both from 0) of the cohort's training records.
    Batch {
        /// The epoch.
        epoch: u32,
        /// The batch in it.
        batch: u32,
    },
    /// Chunk `chunk` (from 0) of a part, in the part's order.
    Chunk {
        /// The part.
        part: Part,
        /// The chunk in it.
        chunk: u32,
    },
}

impl RowSelection {
    /// Whether a cycle of the learning rate begins with these rows: with the first batch of its first epoch.
    pub fn begins_cycle(self, settings: &RunSettings) -> bool {
        matches!(self, Self::Batch { epoch, batch: 0 } if epoch.is_multiple_of(settings.cycle_epochs()))
    }
}

/// Most records of an evaluation chunk.
pub const CHUNK_ROWS: usize = 1024;

/// Chunks of synthetic inputs, of [`CHUNK_ROWS`] each, that each party encodes for the detectors, where there are any.
pub const SYNTHETIC_CHUNKS: u32 = 8;

/// A run that no plan fits.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PlanError {
    /// A part that must have records has none.
    #[error(
        "there are too few records for {part}: {found} of {records}, at least {least} needed; use more records or other \
         fractions"
    )]
    TooFew {
        /// All records.
        records: usize,
        /// The part.
        part: &'static str,
        /// Its records.
        found: usize,
        /// Records needed.
        least: usize,
    },
    /// A peer asked for rows that are not there.
    #[error("{what} {index} does not exist; the last is {last}")]
    Beyond {
        /// "epoch", "batch" or "chunk".
        what: &'static str,
        /// What was asked for.
        index: u32,
        /// The last one.
        last: u32,
    },
}

/// The rows of each part and the batches of each epoch.
#[derive(Debug, Clone)]
pub struct Plan {
    train: Vec<u32>,
    validation: Vec<u32>,
    test: Vec<u32>,
    calibration: Vec<u32>,
    cohort_train: usize,
    cohort_validation: usize,
    records: usize,
    seed: u64,
    epochs: u32,
    batch_rows: usize,
    refits: bool,
    /// Least sizes of parts: training, validation, test, calibration.
    least: [usize; 4],
    shuffled_epoch: Option<(u32, Vec<u32>)>,
}

impl Plan {
    /// Plans a run over `records` records.
    ///
    /// The cohort is the head of the (shuffled) training and validation parts.
    pub fn new(settings: &RunSettings, records: usize) -> Result<Self, PlanError> {
        let mut rows: Vec<u32> = (0..records as u32).collect();
        if settings.row_order == RowOrder::Shuffled {
            shuffle(&mut rows, &mut stream(settings.seed, "test split", &[]));
        }
        let share = |of: usize, share: f64| (of as f64 * share).round() as usize;
        let test = rows.split_off(records - share(records, settings.test_fraction));
        shuffle(&mut rows, &mut stream(settings.seed, "validation split", &[]));
        let left = rows.len();
        let validation = rows.split_off(left - share(left, settings.validation_fraction));
        let calibration =
            rows.split_off(rows.len().saturating_sub(share(left, settings.calibration_fraction)));
        let cohort_train = share(rows.len(), settings.cohort_fraction);
        let plan = Self {
            cohort_train,
            cohort_validation: share(validation.len(), settings.cohort_fraction),
            train: rows,
            validation,
            test,
            calibration,
            records,
            seed: settings.seed,
            epochs: settings.epochs,
            batch_rows: settings.batch_rows.of(cohort_train).min(MAX_BATCH_ROWS),
            refits: settings.refits(),
            least: [
                2,
                usize::from(settings.validation_fraction > 0.0),
                usize::from(settings.test_fraction > 0.0),
                usize::from(settings.calibration_fraction > 0.0),
            ],
            shuffled_epoch: None,
        };
        plan.check(records)
    }

    /// The same plan without some records: all others stay in their parts.
    ///
    /// # Errors
    /// When too few are left.
    pub fn without(mut self, excluded: &ExcludedRecords) -> Result<Self, PlanError> {
        let keep = |row: &u32| !excluded.contains(*row);
        let kept = |rows: &[u32]| rows.iter().filter(|row| keep(row)).count();
        self.cohort_train = kept(self.part(Part::CohortTrain));
        self.cohort_validation = kept(self.part(Part::CohortValidation));
        for part in [&mut self.train, &mut self.validation, &mut self.test, &mut self.calibration] {
            part.retain(keep);
        }
        self.shuffled_epoch = None;
        let left = self.records - excluded.count().min(self.records);
        self.check(left)
    }

    fn check(self, records: usize) -> Result<Self, PlanError> {
        let found = [self.cohort_train, self.cohort_validation, self.test.len(), self.calibration.len()];
        let names = ["training", "validation", "test", "calibration"];
        for ((part, found), least) in names.into_iter().zip(found).zip(self.least) {
            if found < least {
                return Err(PlanError::TooFew { records, part, found, least });
            }
        }
        Ok(self)
    }

    /// A plan in which nothing is learned: all records are in the test part.
    pub fn of_trained(records: usize) -> Self {
        Self {
            train: Vec::new(),
            validation: Vec::new(),
            calibration: Vec::new(),
            test: (0..records as u32).collect(),
            cohort_train: 0,
            cohort_validation: 0,
            records,
            seed: 0,
            epochs: 0,
            batch_rows: 1,
            refits: false,
            least: [0; 4],
            shuffled_epoch: None,
        }
    }

    /// Most releases of each record that the run can ask for, by group of records.
    pub fn releases(&self) -> [(&[u32], u32); 6] {
        let stored = u32::from(self.refits);
        let (cohort_train, train) = self.train.split_at(self.cohort_train);
        let (cohort_validation, validation) = self.validation.split_at(self.cohort_validation);
        [
            (cohort_train, self.epochs + stored),
            (train, stored),
            (cohort_validation, self.epochs + stored),
            (validation, stored),
            (&self.test, 1),
            (&self.calibration, 1),
        ]
    }

    /// Codes that the run can ask of each party, of all records together, at most.
    pub fn most_releases(&self) -> u64 {
        self.releases().iter().map(|(rows, times)| rows.len() as u64 * u64::from(*times)).sum()
    }

    /// The rows of a part.
    pub fn part(&self, part: Part) -> &[u32] {
        match part {
            Part::Train => &self.train,
            Part::Validation => &self.validation,
            Part::Test => &self.test,
            Part::Calibration => &self.calibration,
            Part::CohortTrain => &self.train[..self.cohort_train],
            Part::CohortValidation => &self.validation[..self.cohort_validation],
        }
    }

    /// Records of the tables, those included that the plan is [`Self::without`].
    pub fn records(&self) -> usize {
        self.records
    }

    /// Most records of a batch.
    pub fn batch_rows(&self) -> usize {
        self.batch_rows
    }

    /// Batches of every epoch.
    pub fn batches(&self) -> u32 {
        self.cohort_train.div_ceil(self.batch_rows) as u32
    }

    /// Updates of the bottom models in the whole run.
    pub fn updates(&self) -> u64 {
        u64::from(self.epochs) * u64::from(self.batches())
    }

    /// Evaluation chunks of a part.
    pub fn chunks(&self, part: Part) -> u32 {
        self.part(part).len().div_ceil(CHUNK_ROWS) as u32
    }

    /// Chunks of synthetic inputs that each party encodes: codes of no record, for the coordinator's detectors.
    pub fn synthetic_chunks(&self) -> u32 {
        if self.calibration.is_empty() { 0 } else { SYNTHETIC_CHUNKS }
    }

    /// The rows of a request.
    pub fn rows(&mut self, rows: RowSelection) -> Result<Vec<u32>, PlanError> {
        match rows {
            RowSelection::Batch { epoch, batch } => {
                let batches = self.batches();
                below("epoch", epoch, self.epochs)?;
                below("batch", batch, batches)?;
                let order = self.epoch_order(epoch);
                let (count, batches, batch) = (order.len(), batches as usize, batch as usize);
                Ok(order[count * batch / batches..count * (batch + 1) / batches].to_vec())
            }
            RowSelection::Chunk { part, chunk } => {
                below("chunk", chunk, self.chunks(part))?;
                let all = self.part(part);
                let start = chunk as usize * CHUNK_ROWS;
                Ok(all[start..(start + CHUNK_ROWS).min(all.len())].to_vec())
            }
        }
    }

    fn epoch_order(&mut self, epoch: u32) -> &[u32] {
        let known = self.shuffled_epoch.take_if(|(known, _)| *known == epoch);
        let order = known.map(|(_, order)| order).unwrap_or_else(|| {
            let mut order = self.part(Part::CohortTrain).to_vec();
            shuffle(&mut order, &mut stream(self.seed, "batches", &[u64::from(epoch)]));
            order
        });
        &self.shuffled_epoch.insert((epoch, order)).1
    }
}

/// That there is an epoch, batch or chunk `index` among `count`.
fn below(what: &'static str, index: u32, count: u32) -> Result<(), PlanError> {
    if index < count { Ok(()) } else { Err(PlanError::Beyond { what, index, last: count.saturating_sub(1) }) }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::name::PartyName;
    use crate::settings::Task;

    fn settings() -> RunSettings {
        RunSettings::new(vec![PartyName::new("a").unwrap()], Task::Binary, 4, 3)
    }

    proptest! {
        #[test]
        fn parts_hold_every_record_once_and_batches_every_training_record(
            records in 40_usize..3000,
            batch_rows in 4_usize..300,
            seed in any::<u64>(),
            given in any::<bool>(),
            cohort_fraction in 0.2_f64..1.0,
            calibration_fraction in prop_oneof![Just(0.0), 0.1_f64..0.5],
        ) {
            let row_order = if given { RowOrder::Given } else { RowOrder::Shuffled };
            let settings = RunSettings { batch_rows: batch_rows.into(), seed, row_order, cohort_fraction, calibration_fraction, ..settings() };
            let mut plan = Plan::new(&settings, records).unwrap();
            let mut all: Vec<u32> =
                [Part::Train, Part::Validation, Part::Test, Part::Calibration].iter().flat_map(|p| plan.part(*p).to_vec()).collect();
            all.sort_unstable();
            prop_assert_eq!(all, (0..records as u32).collect::<Vec<_>>());
            if given {
                let first = records - plan.part(Part::Test).len();
                prop_assert!(plan.part(Part::Test).iter().copied().eq(first as u32..records as u32));
            }
            for epoch in 0..2 {
                let batches: Vec<Vec<u32>> =
                    (0..plan.batches()).map(|batch| plan.rows(RowSelection::Batch { epoch, batch }).unwrap()).collect();
                let sizes: Vec<usize> = batches.iter().map(Vec::len).collect();
                let (least, most) = (sizes.iter().min().unwrap(), sizes.iter().max().unwrap());
                prop_assert!(most - least <= 1 && *most <= batch_rows && *least > 1, "{:?}", sizes);
                let mut seen = batches.concat();
                seen.sort_unstable();
                let mut expected = plan.part(Part::CohortTrain).to_vec();
                expected.sort_unstable();
                prop_assert_eq!(seen, expected);
            }
        }
    }

    #[test]
    fn records_left_out_change_nothing_for_the_others() {
        let settings = RunSettings {
            cohort_fraction: 0.5,
            calibration_fraction: 0.1,
            batch_rows: 16.into(),
            ..settings()
        };
        let whole = Plan::new(&settings, 400).unwrap();
        let gone: Vec<u32> = (0..400).filter(|row| row % 3 == 0).collect();
        let mut plan = whole.clone().without(&ExcludedRecords::of(&gone, 400)).unwrap();
        assert_eq!(plan.records(), 400);
        for part in Part::ALL {
            let expected: Vec<u32> = whole.part(part).iter().copied().filter(|row| row % 3 != 0).collect();
            assert_eq!(plan.part(part), expected, "{part:?}");
        }
        let batches =
            (0..plan.batches()).flat_map(|batch| plan.rows(RowSelection::Batch { epoch: 0, batch }).unwrap());
        let mut seen: Vec<u32> = batches.collect();
        seen.sort_unstable();
        let mut cohort = plan.part(Part::CohortTrain).to_vec();
        cohort.sort_unstable();
        assert_eq!(seen, cohort);
        let asked = plan.releases();
        assert_eq!(asked.map(|(_, times)| times), [4, 1, 4, 1, 1, 1]);
        assert_eq!(asked.iter().map(|(rows, _)| rows.len()).sum::<usize>(), 400 - gone.len());
        let all: Vec<u32> = whole.part(Part::Test).to_vec();
        let error = whole.without(&ExcludedRecords::of(&all, 400)).unwrap_err().to_string();
        assert!(
            error.starts_with("there are too few records for test: 0 of 320, at least 1 needed"),
            "{error}"
        );
    }

    #[test]
    fn rows_beyond_the_plan_are_an_error() {
        let mut plan = Plan::new(&settings(), 100).unwrap();
        assert!(plan.rows(RowSelection::Batch { epoch: 3, batch: 0 }).is_err());
        assert!(plan.rows(RowSelection::Batch { epoch: 0, batch: 1 }).is_err());
        assert!(plan.rows(RowSelection::Chunk { part: Part::Test, chunk: 1 }).is_err());
        assert!(Plan::new(&settings(), 2).is_err());
    }
}
