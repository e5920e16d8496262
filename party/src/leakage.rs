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

/// The name of what has left, in a checkpoint.
const SENT: &str = "leakage.sent";

/// The records of a run by which its codes are checked, and what has left of them.
pub struct LeakageCheck {
    rows: Vec<u32>,
    places: HashMap<u32, usize>,
    form: CodeForm,
    /// [records, columns].
    columns: Vec<f32>,
    /// Of each pass over training records: values of latents [records, latents], zeros of records whose code did not leave.
    sent: Vec<Vec<f32>>,
}

impl LeakageCheck {
    /// A check of the run's training codes; `None` where the policy limits nothing that codes tell.
    ///
    /// # Errors
    /// If columns cannot be read.
    pub fn of_run(policy: &Policy, prepared: &Prepared) -> anyhow::Result<Option<Self>> {
        if !policy.limits_leakage() {
            return Ok(None);
        }
        let rows = sample(prepared.plan.part(Part::CohortTrain), prepared.seed());
        Ok(Some(Self {
            places: rows.iter().enumerate().map(|(place, row)| (*row, place)).collect(),
            columns: prepared.columns.gather(&rows)?,
            form: prepared.encoder.form(),
            sent: Vec::new(),
            rows,
        }))
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
        let next = prepared.encoder.encode_with_noise(self.columns.clone(), self.rows.len(), u32::MAX);
        let what = format!("what left of {} records and their codes of epoch {}", self.rows.len(), epoch + 1);
        // Trees take most of the time, and what they add grows slowly with the epochs.
        let effort = if (epoch + 1).is_power_of_two() { Effort::Check } else { Effort::Quick };
        self.check(&what, &next, effort, prepared, releases)?;
        self.sent.push(vec![0.0; self.rows.len() * self.form.latents()]);
        Ok(())
    }

    /// The bottom model is frozen, and training records leave once more: checks all that left of them with that code.
    ///
    /// # Errors
    /// As [`Self::before_epoch`].
    pub fn before_refit(&mut self, prepared: &Prepared, releases: &mut Releases) -> anyhow::Result<()> {
        let next = prepared.encoder.encode(self.columns.clone(), self.rows.len());
        let what = format!("all that left of {} records and their last codes", self.rows.len());
        self.check(&what, &next, Effort::Check, prepared, releases)
    }

    /// Keeps what the codes of `rows` say, whose signs are `signs` [rows, bits]: they leave now.
    pub fn keep(&mut self, rows: &[u32], signs: &[f32]) {
        let latents = self.form.latents();
        let Some(pass) = self.sent.last_mut() else { return };
        for (row, values) in rows.iter().zip(values(self.form, signs).chunks_exact(latents)) {
            if let Some(place) = self.places.get(row) {
                pass[place * latents..][..latents].copy_from_slice(values);
            }
        }
    }

    fn check(
        &self,
        what: &str,
        next: &[f32],
        effort: Effort,
        prepared: &Prepared,
        releases: &mut Releases,
    ) -> anyhow::Result<()> {
        let (latents, records) = (self.form.latents(), self.rows.len());
        let next = values(self.form, next);
        let mut values = Vec::with_capacity(records * latents * (self.sent.len() + 1));
        for record in 0..records {
            let of = |pass: &Vec<f32>| pass[record * latents..][..latents].to_vec();
            values.extend(self.sent.iter().chain([&next]).flat_map(of));
        }
        let released = Released { values, columns: self.columns.clone(), records };
        hold_to_policy(what, &released, effort, prepared, releases)
    }

    /// Writes down what has left, for a run that goes on.
    pub fn save(&self, checkpoint: &mut Snapshot) {
        let shape = vec![self.sent.len(), self.rows.len() * self.form.latents()];
        checkpoint.arrays.insert(SENT.into(), Array { shape, values: self.sent.concat() });
    }

    /// Goes on where `checkpoint` was.
    ///
    /// # Errors
    /// If it is of a run that was not checked, or not of these records: what has left is not known then.
    pub fn go_on_from(&mut self, checkpoint: &Snapshot) -> anyhow::Result<()> {
        let width = self.rows.len() * self.form.latents();
        let sent = checkpoint.arrays.get(SENT).filter(|sent| sent.shape.last() == Some(&width));
        let sent = sent.context(
            "the checkpoint does not say what has left of the records by which codes are checked: it is of a run without limits on \
             what codes tell in the policy; begin again with --fresh, or take them out",
        )?;
        self.sent = sent.values.chunks_exact(width).map(<[f32]>::to_vec).collect();
        Ok(())
    }
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
    let rows = sample(&all, prepared.seed());
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
        "the policy limits what codes may tell, by what columns hold, and whether it refuses tells of them: no epsilon would hold with \
         run.randomised_response; take the limits (max_explained, max_explained_of, max_reidentified) out of the policy, or that out \
         of the run"
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

/// Records to look at, drawn by this party's seed.
fn sample(rows: &[u32], seed: u64) -> Vec<u32> {
    let mut rows = rows.to_vec();
    shuffle(&mut rows, &mut stream(seed, "leakage records", &[]));
    rows.truncate(MOST_RECORDS);
    rows
}

/// What codes say, values [records, latents] of their signs [records, bits].
fn values(form: CodeForm, signs: &[f32]) -> Vec<f32> {
    // Of a code of signs, the values before the sign are here: only their signs leave.
    let signs: Vec<f32> = signs.iter().map(|value| if *value >= 0.0 { 1.0 } else { -1.0 }).collect();
    form.decode(&signs).into_owned()
}
