//! This party's check of its own codes: before codes leave that have not left yet, attackers are fitted on all that has left
//! of some records and on their next codes, and the policy says how much these may find.
//!
//! Figures stay here. Others hear of a refusal that it was this party's policy, and no more.

use std::collections::HashMap;

use anyhow::{Context, ensure};
use hashvfl_core::random::{shuffle, stream};
use hashvfl_core::{CodeForm, Part};
use hashvfl_leakage::check::{CannotTell, FEWEST_RECORDS, Leakage, MOST_RECORDS, Released};
use hashvfl_leakage::regression::family::Effort;
use hashvfl_learning::Snapshot;
use hashvfl_learning::snapshot::Array;
use hashvfl_ledger::{LeakageFound, Policy};
use tracing::{debug, info};

use crate::config::PartyConfig;
use crate::prepare::Prepared;
use crate::releases::Releases;

/// Names of what has left, in a checkpoint: of training records, and of records as validation records are encoded.
const SENT: &str = "leakage.sent";
const SENT_AFTER_EPOCHS: &str = "leakage.sent-after-epochs";
/// In the place of a chunk's number, where codes are drawn that are looked at and do not leave.
const DRAWN: [u32; 2] = [u32::MAX, u32::MAX - 1];

/// The records of a run by which its codes are checked, and what has left of them.
pub struct LeakageCheck {
    form: CodeForm,
    /// Training records, and where each row is among them.
    training: Watched,
    places: HashMap<u32, usize>,
    /// Validation records, where the run has any. Of few, training records that are encoded as these are stand beside them.
    validation: Option<Watched>,
}

/// Records that are looked at, and what has left of them.
struct Watched {
    records: usize,
    /// [records, columns].
    columns: Vec<f32>,
    /// Of each pass: values of latents [records, latents], zeros of records whose code did not leave.
    sent: Vec<Vec<f32>>,
}

impl Watched {
    fn new(rows: &[u32], prepared: &Prepared) -> anyhow::Result<Self> {
        Ok(Self { records: rows.len(), columns: prepared.columns.gather(rows)?, sent: Vec::new() })
    }

    /// All that has left, and the values `next` [records, latents].
    fn with(&self, next: &[f32]) -> Released {
        let latents = next.len() / self.records.max(1);
        let mut values = Vec::with_capacity(next.len() * (self.sent.len() + 1));
        for record in 0..self.records {
            let passes = self.sent.iter().map(Vec::as_slice).chain([next]);
            passes.for_each(|pass| values.extend_from_slice(&pass[record * latents..][..latents]));
        }
        Released { values, columns: self.columns.clone(), records: self.records }
    }

    fn save(&self, name: &str, latents: usize, checkpoint: &mut Snapshot) {
        let shape = vec![self.sent.len(), self.records * latents];
        checkpoint.arrays.insert(name.into(), Array { shape, values: self.sent.concat() });
    }

    fn go_on_from(&mut self, name: &str, latents: usize, checkpoint: &Snapshot) -> anyhow::Result<()> {
        let width = self.records * latents;
        let sent = checkpoint.arrays.get(name).filter(|sent| sent.shape.last() == Some(&width));
        let sent = sent.context(
            "the checkpoint does not say what has left of the records by which codes are checked: it is of a run without limits on \
             what codes tell in the policy, or of an earlier version; begin again with --fresh, or take them out",
        )?;
        self.sent = sent.values.chunks_exact(width).map(<[f32]>::to_vec).collect();
        Ok(())
    }
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
        let validation = (!validation.is_empty()).then(|| Watched::new(&others, prepared)).transpose()?;
        let (training, form) = (Watched::new(&rows, prepared)?, prepared.encoder.form());
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
        releases: &mut Releases,
    ) -> anyhow::Result<()> {
        let Watched { records, ref columns, .. } = self.training;
        let next = prepared.encoder.encode_with_noise(columns.clone(), records, DRAWN[0]);
        let what = format!("what left of {records} records and their codes of epoch {}", epoch + 1);
        let released = self.training.with(&values(self.form, &next));
        hold_to_policy(&what, &released, effort(epoch), prepared, releases)?;
        self.training.sent.push(vec![0.0; records * self.form.latents()]);
        Ok(())
    }

    /// Before validation records leave once more, after an epoch: checks all that has left of them, and their next codes.
    ///
    /// # Errors
    /// As [`Self::before_epoch`].
    pub fn before_validation(&mut self, prepared: &Prepared, releases: &mut Releases) -> anyhow::Result<()> {
        let form = self.form;
        let Some(watched) = &mut self.validation else { return Ok(()) };
        let Watched { records, ref columns, ref sent } = *watched;
        let next = match form.is_signs() {
            true => prepared.encoder.encode(columns.clone(), records),
            false => prepared.encoder.encode_with_noise(columns.clone(), records, DRAWN[1]),
        };
        let (next, before) = (values(form, &next), sent.len() as u32);
        let what = format!(
            "what left of {records} records that are encoded as validation records are, and their codes after epoch {}",
            before + 1
        );
        hold_to_policy(&what, &watched.with(&next), effort(before), prepared, releases)?;
        watched.sent.push(next);
        Ok(())
    }

    /// The bottom model is frozen, and training and validation records leave once more: checks all that left of them with that
    /// code.
    ///
    /// # Errors
    /// As [`Self::before_epoch`].
    pub fn before_refit(&self, prepared: &Prepared, releases: &mut Releases) -> anyhow::Result<()> {
        let both =
            [(Some(&self.training), ""), (self.validation.as_ref(), ", encoded as validation records are,")];
        for (watched, how) in both {
            let Some(watched) = watched else { continue };
            let next = prepared.encoder.encode(watched.columns.clone(), watched.records);
            let what = format!("all that left of {} records{how} and their last codes", watched.records);
            let released = watched.with(&values(self.form, &next));
            hold_to_policy(&what, &released, Effort::Check, prepared, releases)?;
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

/// Which regressions are fitted after so many passes. Trees take most of the time, and what they add grows slowly with the passes.
fn effort(passes: u32) -> Effort {
    if (passes + 1).is_power_of_two() { Effort::Check } else { Effort::Quick }
}

/// Checks one code of each record by a frozen encoder, where the policy limits what codes tell; `prepared` is the table of the
/// training, `what` the codes.
///
/// # Errors
/// If the policy does not allow these codes, or it cannot be told.
pub fn check_frozen(what: &str, prepared: &Prepared, releases: &mut Releases) -> anyhow::Result<()> {
    if !releases.policy().limits_leakage() {
        return Ok(());
    }
    let all: Vec<u32> = (0..prepared.columns.rows() as u32).collect();
    let rows = sample(&all, MOST_RECORDS, prepared.seed());
    let columns = prepared.columns.gather(&rows)?;
    let codes = prepared.encoder.encode(columns.clone(), rows.len());
    let values = values(prepared.encoder.form(), &codes);
    let released = Released { values, columns, records: rows.len() };
    let what = format!("{what} of {} records, one of each,", rows.len());
    hold_to_policy(&what, &released, Effort::Check, prepared, releases)
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
    released: &Released,
    effort: Effort,
    prepared: &Prepared,
    releases: &mut Releases,
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
