//! This party's check of its own codes: before codes leave that have not left yet, attackers are fitted on all that has left
//! of some records and on their next codes, and the policy says how much these may find.
//!
//! Figures stay here. Others hear of a refusal that it was this party's policy, and no more.

mod frozen;
mod kept;
mod watched;

use std::collections::HashMap;

use anyhow::ensure;
use hashvfl_core::random::{shuffle, stream};
use hashvfl_core::{CodeForm, Part};
use hashvfl_leakage::check::{CannotTell, FEWEST_RECORDS, Leakage, MOST_RECORDS, ReleasedValues};
use hashvfl_leakage::regression::family::Effort;
use hashvfl_learning::Snapshot;
use hashvfl_ledger::{LeakageFound, Policy};
use tracing::{debug, info};

use crate::config::PartyConfig;
use crate::prepare::Prepared;
use crate::releases::ReleaseLedger;
pub use frozen::FrozenModel;
pub(crate) use kept::IS_KEPT;
pub use kept::KeptReleases;
use watched::Watched;

/// Names of what has left, in a checkpoint: of training records, and of records as validation records are encoded.
const SENT: &str = "leakage.sent";
const SENT_AFTER_EPOCHS: &str = "leakage.sent-after-epochs";
/// In the place of a chunk's number, where codes are drawn that are looked at and do not leave.
const DRAWN: [u32; 3] = [u32::MAX, u32::MAX - 1, u32::MAX - 2];
/// First epochs in whose midst codes of training records are looked at again: a bottom model moves most then, and each look takes
/// a tenth of a second.
const FIRST_EPOCHS: u32 = 1;

/// The records of a run by which its codes are checked, and what has left of them.
pub struct LeakageCheck {
    form: CodeForm,
    /// Training records, and where each row is among them.
    training: Watched,
    places: HashMap<u32, usize>,
    /// Validation records, where the run has any. Of few, training records that are encoded as these are stand beside them.
    validation: Option<Watched>,
}

impl LeakageCheck {
    /// A check of the codes of training and validation records of a run; `None` where the policy limits nothing that codes tell.
    ///
    /// # Errors
    /// If columns cannot be read.
    pub fn of_run(policy: &Policy, prepared: &Prepared) -> anyhow::Result<Option<Self>> {
        if !policy.limits_leakage() {
            return Ok(None);
        }
        let [training, validation] =
            [Part::CohortTrain, Part::CohortValidation].map(|part| prepared.plan.part(part));
        // Half as many of each take as long as all of one.
        let most = if validation.is_empty() { MOST_RECORDS } else { MOST_RECORDS / 2 };
        let rows = sample(training, most, prepared.seed());
        let places = rows.iter().enumerate().map(|(place, row)| (*row, place)).collect();
        let mut others = sample(validation, most, prepared.seed());
        others.extend(rows.iter().take(most - others.len()));
        let validation = (!validation.is_empty()).then(|| Watched::new(others, prepared)).transpose()?;
        let (training, form) = (Watched::new(rows, prepared)?, prepared.encoder.form());
        Ok(Some(Self { form, training, places, validation }))
    }

    /// Before the codes of an epoch, counted from 0, leave: checks those of all epochs before, and the records' next ones.
    ///
    /// # Errors
    /// If the policy allows it no more, or it cannot be told.
    pub fn before_epoch(
        &mut self,
        epoch: u32,
        prepared: &Prepared,
        releases: &mut ReleaseLedger,
    ) -> anyhow::Result<()> {
        let records = self.training.records();
        let next = prepared.encoder.encode_with_noise(self.training.columns.clone(), records, DRAWN[0]);
        let what = format!(
            "all codes sent so far of {records} training records, with their codes of epoch {},",
            epoch + 1
        );
        let released = self.training.with(&values(self.form, &next));
        hold_to_policy(&what, &released, effort(epoch), prepared, releases)?;
        self.training.sent.push(vec![0.0; records * self.form.latents()]);
        Ok(())
    }

    /// In the midst of an epoch, before the codes of a `batch`, counted from 0, leave: in the first epochs checks at batches 1,
    /// 2, 4, ... what left in the epochs before, and the records' codes by the bottom model as it is now. What batches of this
    /// epoch said of some of them is left out: others have said nothing yet.
    ///
    /// # Errors
    /// As [`Self::before_epoch`].
    pub fn within_epoch(
        &mut self,
        epoch: u32,
        batch: u32,
        prepared: &mut Prepared,
        releases: &mut ReleaseLedger,
    ) -> anyhow::Result<()> {
        if epoch >= FIRST_EPOCHS || !batch.is_power_of_two() {
            return Ok(());
        }
        let records = self.training.records();
        let places: Vec<u32> = (0..records as u32).collect();
        // A batch is normalised by itself. The statistics of the epoch's start are of a model that has moved on, and stay for all
        // else what they are.
        let before = prepared.encoder.snapshot();
        prepared.encoder.calibrate(&places, &|places| self.training.gather(places));
        let next = prepared.encoder.encode_with_noise(self.training.columns.clone(), records, DRAWN[2]);
        prepared.encoder.load(&before)?;
        let what = format!(
            "all codes sent of {records} training records before epoch {}, with their codes from its batch {} on,",
            epoch + 1,
            batch + 1
        );
        let this_epoch = self.training.sent.pop();
        let released = self.training.with(&values(self.form, &next));
        self.training.sent.extend(this_epoch);
        hold_to_policy(&what, &released, Effort::Quick, prepared, releases)
    }

    /// Before validation records leave once more, after an epoch: checks all that has left of them, and their next codes.
    ///
    /// # Errors
    /// As [`Self::before_epoch`].
    pub fn before_validation(
        &mut self,
        prepared: &Prepared,
        releases: &mut ReleaseLedger,
    ) -> anyhow::Result<()> {
        let (form, epoch) = (self.form, self.training.sent.len());
        let Some(watched) = &mut self.validation else { return Ok(()) };
        let (records, columns) = (watched.records(), watched.columns.clone());
        let next = match form.is_signs() {
            true => prepared.encoder.encode(columns, records),
            false => prepared.encoder.encode_with_noise(columns, records, DRAWN[1]),
        };
        let next = values(form, &next);
        let what = format!(
            "all codes sent so far of {records} records encoded like validation records, with their codes after epoch \
             {epoch},"
        );
        hold_to_policy(&what, &watched.with(&next), effort(watched.sent.len() as u32), prepared, releases)?;
        watched.sent.push(next);
        Ok(())
    }

    /// The bottom model is frozen, and training and validation records leave once more: checks all that left of them with that
    /// code.
    ///
    /// # Errors
    /// As [`Self::before_epoch`].
    pub fn before_refit(&self, prepared: &Prepared, releases: &mut ReleaseLedger) -> anyhow::Result<()> {
        let frozen = FrozenModel { trained: prepared, scorer: None };
        let both =
            [(Some(&self.training), ""), (self.validation.as_ref(), " encoded like validation records")];
        for (watched, how) in both {
            let Some(watched) = watched else { continue };
            let next = frozen.codes(watched)?;
            let what =
                format!("all codes sent of {} records{how}, with their final codes,", watched.records());
            hold_to_policy(&what, &watched.with(&next), Effort::Check, prepared, releases)?;
        }
        Ok(())
    }

    /// Keeps what the codes of training `rows` say, whose signs are `signs` [rows, bits]: they leave now.
    pub fn keep(&mut self, rows: &[u32], signs: &[f32]) {
        let latents = self.form.latents();
        let Some(pass) = self.training.sent.last_mut() else { return };
        for (row, values) in rows.iter().zip(values(self.form, signs).chunks_exact(latents)) {
            if let Some(place) = self.places.get(row) {
                pass[place * latents..][..latents].copy_from_slice(values);
            }
        }
    }

    /// Writes down what has left, for a run that goes on.
    pub fn save(&self, checkpoint: &mut Snapshot) {
        self.training.save(SENT, self.form.latents(), checkpoint);
        if let Some(validation) = &self.validation {
            validation.save(SENT_AFTER_EPOCHS, self.form.latents(), checkpoint);
        }
    }

    /// Goes on where `checkpoint` was.
    ///
    /// # Errors
    /// If it is of a run that was not checked, or not of these records: what has left is not known then.
    pub fn go_on_from(&mut self, checkpoint: &Snapshot) -> anyhow::Result<()> {
        let latents = self.form.latents();
        self.training.go_on_from(SENT, latents, checkpoint)?;
        let validation = self.validation.as_mut();
        validation.map_or(Ok(()), |watched| watched.go_on_from(SENT_AFTER_EPOCHS, latents, checkpoint))
    }
}

/// Which regressions are fitted after so many passes. Trees take most of the time, and what they add grows slowly with the
/// passes.
fn effort(passes: u32) -> Effort {
    if (passes + 1).is_power_of_two() { Effort::Check } else { Effort::Quick }
}

/// Whether a run of `config` can be checked as its policy asks, with `learning` training records.
///
/// # Errors
/// If not.
pub fn check_policy(
    policy: &Policy,
    config: &PartyConfig,
    learning: usize,
    prepared: Option<&Prepared>,
) -> anyhow::Result<()> {
    if !policy.limits_leakage() {
        return Ok(());
    }
    ensure!(
        config.run.randomised_response.is_none(),
        "the policy's max_explained, max_explained_of and max_reidentified cannot be combined with run.randomised_response: whether the check \
         refuses depends on the columns, which would void epsilon. Remove these limits from the policy, or randomised_response from \
         the run"
    );
    if learning < FEWEST_RECORDS {
        return Err(CannotTell::FewRecords(learning).into());
    }
    if let Some(prepared) = prepared {
        let columns = prepared.sources();
        for name in policy.max_explained_of.keys() {
            ensure!(columns.contains(name), "max_explained_of: this table has no column {name:?}");
        }
    }
    Ok(())
}

fn hold_to_policy(
    what: &str,
    released: &ReleasedValues,
    effort: Effort,
    prepared: &Prepared,
    releases: &mut ReleaseLedger,
) -> anyhow::Result<()> {
    let found = Leakage::measure(released, effort, prepared.seed())?;
    let names = prepared.sources();
    let of_columns: Vec<(String, f64)> =
        names.into_iter().zip(found.of_columns.iter().map(|column| column.high)).collect();
    let [explained, low, high] =
        [found.explained.value, found.explained.low, found.explained.high].map(|part| 100.0 * part);
    let most = found.most_exposed().map_or(String::new(), |column| {
        format!(", {:.1} % of column {}", 100.0 * found.of_columns[column].value, of_columns[column].0)
    });
    info!(
        "{what} explain {explained:.1} % of the variance of their columns ({low:.1} to {high:.1}){most}, and re-identify {:.1} %",
        100.0 * found.reidentified.value
    );
    debug!("guessed by {}", found.kinds);
    releases.check_leakage(&LeakageFound {
        explained: found.explained.high,
        of_columns: &of_columns,
        reidentified: found.reidentified.high,
        records: found.records,
    })
}

/// Records to look at, at most so many, drawn by this party's seed.
fn sample(rows: &[u32], most: usize, seed: u64) -> Vec<u32> {
    let mut rows = rows.to_vec();
    shuffle(&mut rows, &mut stream(seed, "leakage records", &[]));
    rows.truncate(most);
    rows
}

/// What codes say, values [records, latents] of their signs [records, bits].
fn values(form: CodeForm, signs: &[f32]) -> Vec<f32> {
    // Of a code of signs, the values before the sign are here: only their signs leave.
    let signs: Vec<f32> = signs.iter().map(|value| if *value >= 0.0 { 1.0 } else { -1.0 }).collect();
    form.decode(&signs).into_owned()
}
