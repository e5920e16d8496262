//! What left in training of the records by which codes are checked, kept beside the model: who serves the same records lets one
//! code more of each leave, and whoever has that one has all others.

use std::collections::{HashMap, HashSet};
use std::path::Path;

use anyhow::{Context, ensure};
use hashvfl_core::{Part, Plan, RunRecords, RunRow};
use hashvfl_leakage::check::{CannotTell, FEWEST_RECORDS};
use hashvfl_leakage::regression::family::Effort;
use hashvfl_learning::Snapshot;
use tracing::warn;

use super::watched::{Watched, put};
use super::{FrozenModel, LeakageCheck, SENT, SENT_AFTER_EPOCHS, hold_to_policy};
use crate::config::PartyConfig;
use crate::finished::RUN;
use crate::prepare::Prepared;
use crate::releases::ReleaseLedger;

/// The entry of a model's file that says that what left in training is kept beside it.
pub(crate) const IS_KEPT: &str = "released_kept";
/// What stands behind the name of what has left, where rows of records are.
const ROWS: &str = ".rows";

/// What left in training, as it is kept.
pub struct KeptReleases {
    run: String,
    training: KeptRecords,
    validation: Option<KeptRecords>,
}

/// What left of some records of a run.
struct KeptRecords {
    /// Their rows among the run's records.
    rows: Vec<u32>,
    /// Values of a record in one pass.
    latents: usize,
    /// Of each pass [records, latents].
    sent: Vec<Vec<f32>>,
}

impl LeakageCheck {
    /// What has left, to be kept beside the model of `run`.
    pub fn kept(&self, run: String) -> KeptReleases {
        let latents = self.form.latents();
        let of = |Watched { rows, sent, .. }: &Watched| {
            let (rows, sent) = (rows.clone(), sent.clone());
            KeptRecords { rows, latents, sent }
        };
        KeptReleases { run, training: of(&self.training), validation: self.validation.as_ref().map(of) }
    }
}

impl KeptReleases {
    /// What left in the training of `model`, the trained model of `config`; nothing where the policy limits nothing that codes
    /// tell, or where it limited nothing then.
    ///
    /// # Errors
    /// If it was kept, and is not there, is damaged or is another run's.
    pub fn of_model(
        config: &PartyConfig,
        model: &Snapshot,
        releases: &ReleaseLedger,
    ) -> anyhow::Result<Option<Self>> {
        if !releases.policy().limits_leakage() {
            return Ok(None);
        }
        if !model.text.contains_key(IS_KEPT) {
            warn!(
                "what left in training is not kept, since the policy did not limit then what codes tell: one code is checked without it"
            );
            return Ok(None);
        }
        let path = config.released_path();
        let kept = Self::read(&path)?;
        ensure!(
            model.text.get(RUN) == Some(&kept.run),
            "{} and {} are not of one run: restore both from one backup",
            config.model_path().display(),
            path.display()
        );
        Ok(Some(kept))
    }

    /// Reads what [`Self::write`] wrote.
    ///
    /// # Errors
    /// If it is not there or damaged.
    pub fn read(path: &Path) -> anyhow::Result<Self> {
        ensure!(
            path.exists(),
            "{} is not there, which says what left in training: restore it from a backup with the model",
            path.display()
        );
        let file = Snapshot::read(path)?;
        let damaged = || format!("{} is damaged: restore it from a backup with the model", path.display());
        Self::of_file(&file).with_context(damaged)
    }

    fn of_file(file: &Snapshot) -> Option<Self> {
        Some(Self {
            run: file.text.get(RUN)?.clone(),
            training: KeptRecords::of_file(SENT, file)?,
            validation: KeptRecords::of_file(SENT_AFTER_EPOCHS, file),
        })
    }

    /// Writes it, encrypted where the state folder is.
    ///
    /// # Errors
    /// If the disk is full or fails.
    pub fn write(&self, path: &Path) -> anyhow::Result<()> {
        let mut file = Snapshot::default();
        file.text.insert(RUN.into(), self.run.clone());
        self.training.put(SENT, &mut file);
        if let Some(validation) = &self.validation {
            validation.put(SENT_AFTER_EPOCHS, &mut file);
        }
        Ok(file.write(path)?)
    }

    /// Forgets the records of `rows`; how many of them there were.
    pub fn forget(&mut self, rows: &HashSet<RunRow>) -> usize {
        let both = || [Some(&self.training), self.validation.as_ref()].into_iter().flatten();
        // Training records may stand beside validation records.
        let known: HashSet<RunRow> =
            both().flat_map(|kept| &kept.rows).map(|row| RunRow::new(*row)).collect();
        let forgotten = known.intersection(rows).count();
        self.training.forget(rows);
        if let Some(validation) = &mut self.validation {
            validation.forget(rows);
        }
        forgotten
    }

    /// Before `frozen` answers about each of the run's records in `asked`: where training or validation records are among these,
    /// checks all that left of such with that answer.
    ///
    /// # Errors
    /// If the policy does not allow these codes, or it cannot be told.
    pub fn check(
        &self,
        frozen: &FrozenModel<'_>,
        records: &RunRecords,
        asked: &HashSet<RunRow>,
        config: &PartyConfig,
        releases: &mut ReleaseLedger,
    ) -> anyhow::Result<()> {
        if asked.is_empty() {
            return Ok(());
        }
        let plan = Plan::new(&config.run, records.count())?;
        let is_asked = |part| plan.part(part).iter().any(|row| asked.contains(&RunRow::new(*row)));
        let places = places(records, frozen.trained);
        let all = [
            (Some(&self.training), Part::CohortTrain, ""),
            (self.validation.as_ref(), Part::CohortValidation, " encoded like validation records"),
        ];
        for (kept, part, how) in all {
            let Some(kept) = kept.filter(|_| is_asked(part)) else { continue };
            let watched = kept.today(&places, frozen.trained)?;
            if watched.records() < FEWEST_RECORDS {
                return Err(CannotTell::FewRecords(watched.records()).into());
            }
            let next = frozen.codes(&watched)?;
            let what = format!(
                "all codes sent of {} records{how} in training, with one more code,",
                watched.records()
            );
            hold_to_policy(&what, &watched.with(&next), Effort::Check, frozen.trained, releases)?;
        }
        Ok(())
    }
}

/// Where the run's records are in the table of `trained`, without those that were erased.
fn places(records: &RunRecords, trained: &Prepared) -> HashMap<u32, u32> {
    let gone = records.gone();
    let found = (0..).zip(&trained.ids).filter_map(|(place, id)| Some((records.row(id)?.number(), place)));
    found.filter(|(row, _)| !gone.contains(*row)).collect()
}

impl KeptRecords {
    fn of_file(name: &str, file: &Snapshot) -> Option<Self> {
        let rows = file.text.get(&format!("{name}{ROWS}"))?;
        let rows: Vec<u32> = rows.split_whitespace().map(str::parse).collect::<Result<Vec<_>, _>>().ok()?;
        let array = file.arrays.get(name)?;
        let [passes, width] = array.shape[..] else { return None };
        let latents = width / rows.len().max(1);
        if latents * rows.len() != width {
            return None;
        }
        let sent = (0..passes).map(|pass| array.values[pass * width..][..width].to_vec()).collect();
        Some(Self { rows, latents, sent })
    }

    fn put(&self, name: &str, file: &mut Snapshot) {
        let rows: Vec<String> = self.rows.iter().map(u32::to_string).collect();
        file.text.insert(format!("{name}{ROWS}"), rows.join(" "));
        put(name, &self.sent, self.rows.len() * self.latents, file);
    }

    fn forget(&mut self, rows: &HashSet<RunRow>) {
        let stays = |row: &u32| !rows.contains(&RunRow::new(*row));
        let kept: Vec<usize> = (0..self.rows.len()).filter(|place| stays(&self.rows[*place])).collect();
        self.sent = self.of(&kept);
        self.rows.retain(stays);
    }

    /// What left of the records at these places, pass by pass.
    fn of(&self, places: &[usize]) -> Vec<Vec<f32>> {
        let values = |pass: &[f32], place: usize| pass[place * self.latents..][..self.latents].to_vec();
        self.sent.iter().map(|pass| places.iter().flat_map(|place| values(pass, *place)).collect()).collect()
    }

    /// Those that the table of the training still has, with what left of them.
    fn today(&self, places: &HashMap<u32, u32>, trained: &Prepared) -> anyhow::Result<Watched> {
        let there: Vec<usize> =
            (0..self.rows.len()).filter(|place| places.contains_key(&self.rows[*place])).collect();
        let rows = there.iter().map(|place| places[&self.rows[*place]]).collect();
        let sent = self.of(&there);
        Ok(Watched { sent, ..Watched::new(rows, trained)? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kept(rows: &[u32]) -> KeptRecords {
        let pass = |pass: f32| rows.iter().flat_map(|row| [*row as f32, pass]).collect();
        KeptRecords { rows: rows.to_vec(), latents: 2, sent: vec![pass(1.0), pass(-1.0)] }
    }

    #[test]
    fn what_left_is_read_as_it_was_written_and_without_records_that_were_erased() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("released.safetensors");
        let rows: HashSet<RunRow> = [7, 1, 99].map(RunRow::new).into();
        let (training, validation) = (kept(&[4, 7, 2]), Some(kept(&[1, 7])));
        let mut releases = KeptReleases { run: "a".into(), training, validation };
        assert_eq!(releases.forget(&rows), 2);
        releases.write(&path).unwrap();
        let read = KeptReleases::read(&path).unwrap();
        assert_eq!((read.run.as_str(), &read.training.rows[..]), ("a", &[4, 2][..]));
        assert_eq!(read.training.sent, [[4.0, 1.0, 2.0, 1.0], [4.0, -1.0, 2.0, -1.0]]);
        let validation = read.validation.unwrap();
        assert!(validation.rows.is_empty() && validation.sent == [[0.0; 0], [0.0; 0]]);
        std::fs::remove_file(&path).unwrap();
        let error = KeptReleases::read(&path).err().unwrap().to_string();
        assert!(error.contains("released.safetensors is not there"), "{error}");
    }
}
