//! The one folder in which the coordinator keeps what a run gave: top model, codes, metrics, transcript.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, ensure};
use hashvfl_audit::Side;
use hashvfl_core::{Digest, PartyName, RunRecords, StoredCodes};
use hashvfl_files::encryption::check_place;
use hashvfl_files::{
    FolderLock, check_folder, check_owner, claim_folder, owner_only_folder, read_checked, read_whole,
    remove_all, remove_if_there, rename_durably, with_digest, without_digest, write_checked, write_readable,
    write_whole,
};
use hashvfl_learning::Snapshot;
use hashvfl_learning::training::checkpoints;
use hashvfl_transcript::TranscriptSpool;

use crate::summary::Summary;

/// Files that are never encrypted: they hold figures about the run, and nothing of a record.
pub const READABLE: [&str; 2] = ["summary.json", "summary.pending.json"];

/// The state folder of a run.
#[derive(Clone)]
pub struct StateFolder {
    folder: PathBuf,
    /// Held by the process that trains, serves or erases, until the last of its clones is dropped.
    lock: Option<Arc<FolderLock>>,
}

impl StateFolder {
    /// Makes the folder for a run, if need be; only this process works in it. What an unfinished run has left stays.
    ///
    /// # Errors
    /// If it cannot be made, it is another side's, or another process works in it.
    pub fn create(folder: &Path) -> anyhow::Result<Self> {
        check_folder(folder).context("the state folder")?;
        let owner = Side::Coordinator.file_stem();
        // Before the lock, which another side may hold.
        check_owner(folder, &owner)?;
        let mut state = Self::existing(folder);
        owner_only_folder()
            .recursive(true)
            .create(state.codes_folder())
            .with_context(|| format!("cannot create the state folder {}", folder.display()))?;
        state.lock = Some(Arc::new(FolderLock::take(folder)?));
        claim_folder(folder, &owner)?;
        // Whoever asked for that has not met with this process.
        state.forget_cancel_request()?;
        if state.is_finished() {
            // The process that finished was killed before it had tidied up.
            state.remove_unfinished();
        }
        Ok(state)
    }

    /// Whether a run has finished in it: that is never overwritten.
    pub fn is_finished(&self) -> bool {
        self.top().exists()
    }

    /// Throws an unfinished run away; the names of its files that were there.
    ///
    /// # Errors
    /// If the run has finished.
    pub fn throw_away(&self) -> anyhow::Result<Vec<String>> {
        ensure!(
            !self.is_finished(),
            "{} is from a finished run, and --fresh discards only unfinished ones: choose another `state` folder, or \
             move the file away",
            self.top().display()
        );
        let mut names = remove_all(self.pending());
        names.extend(self.remove_unfinished());
        Ok(names)
    }

    /// Removes what led to a run's end, or will not any more; the names of the files that were there.
    fn remove_unfinished(&self) -> Vec<String> {
        let checkpoints = checkpoints::list(&self.folder).into_iter().map(|found| found.path);
        let others = [TranscriptSpool::unfinished(&self.transcript()), self.answers(), self.screening()];
        // Absent where none was written.
        remove_all(checkpoints.chain(others))
    }

    /// The folder itself, for checkpoints from which a run goes on.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// What gradients were sent of each batch of the run, by digest.
    pub fn answers(&self) -> PathBuf {
        self.folder.join("answers.hashvfl")
    }

    /// What screening has found so far in the run.
    pub fn screening(&self) -> PathBuf {
        self.folder.join("screening.hashvfl")
    }

    /// Whether a process trains in the folder.
    ///
    /// # Errors
    /// If the file system knows no locks.
    pub fn is_worked_in(&self) -> anyhow::Result<bool> {
        Ok(FolderLock::is_taken(&self.folder)?)
    }

    /// The file by which the operator asks the process that trains in the folder to cancel its run.
    pub fn cancel_request(&self) -> PathBuf {
        self.folder.join("cancel.request")
    }

    /// The run is cancelled, or is not to be.
    pub fn forget_cancel_request(&self) -> anyhow::Result<()> {
        remove(&self.cancel_request())
    }

    fn unacknowledged(&self) -> PathBuf {
        self.folder.join("unacknowledged.json")
    }

    /// Keeps which parties have not said yet that their models count: they may ask. Forgets it where all have.
    pub fn keep_unacknowledged(&self, parties: &[PartyName]) -> anyhow::Result<()> {
        let path = self.unacknowledged();
        if !parties.is_empty() {
            return Ok(write_checked(&path, &serde_json::to_vec(parties)?)?);
        }
        remove(&path)
    }

    /// The parties that have not said yet that their models count; none where the run has not finished.
    pub fn read_unacknowledged(&self) -> anyhow::Result<Vec<PartyName>> {
        let path = self.unacknowledged();
        if !self.is_finished() || !path.exists() {
            return Ok(Vec::new());
        }
        let way_out = || format!("{}: remove it when all parties have their models", path.display());
        let bytes = read_checked(&path).with_context(way_out)?;
        serde_json::from_slice(&bytes).context("it is damaged").with_context(way_out)
    }

    /// Whether [`Self::create`] would do; writes nothing.
    ///
    /// # Errors
    /// If not.
    pub fn check(folder: &Path) -> anyhow::Result<()> {
        check_folder(folder).context("the state folder")?;
        check_owner(folder, &Side::Coordinator.file_stem())?;
        Ok(check_place(folder, &READABLE)?)
    }

    /// The folder of a run that has finished.
    pub fn existing(folder: &Path) -> Self {
        Self { folder: folder.to_path_buf(), lock: None }
    }

    /// The same, where only this process writes there until the last clone is dropped. Where the folder is not there, whoever
    /// looks for a file in it says so.
    ///
    /// # Errors
    /// If another process works in it: one that trains, serves predictions or erases records.
    pub fn alone(folder: &Path) -> anyhow::Result<Self> {
        let lock = match folder.exists() {
            true => Some(Arc::new(FolderLock::take(folder)?)),
            false => None,
        };
        Ok(Self { lock, ..Self::existing(folder) })
    }

    /// The top model.
    pub fn top(&self) -> PathBuf {
        self.folder.join("top.safetensors")
    }

    /// The summary.
    pub fn summary(&self) -> PathBuf {
        self.folder.join("summary.json")
    }

    /// The summary of the run that has finished.
    ///
    /// # Errors
    /// If there is none, or it is damaged or of another version.
    pub fn read_summary(&self) -> anyhow::Result<Summary> {
        let path = self.summary();
        let text = fs::read_to_string(&path)
            .with_context(|| format!("cannot read {}: has a run finished there?", path.display()))?;
        let wrong = || format!("{} is damaged, or of another version", path.display());
        serde_json::from_str(&without_digest(&text).with_context(wrong)?).with_context(wrong)
    }

    /// The file that says which records the run was about.
    pub fn records(&self) -> PathBuf {
        self.folder.join("records.hashvfl")
    }

    /// Keeps which records the run was about.
    pub fn keep_records(&self, records: &RunRecords) -> anyhow::Result<()> {
        Ok(write_whole(&self.records(), &records.to_bytes())?)
    }

    /// Which records the run was about.
    ///
    /// # Errors
    /// If the file is not there or damaged.
    pub fn read_records(&self) -> anyhow::Result<RunRecords> {
        let path = self.records();
        let bytes = read_whole(&path).with_context(|| {
            format!(
                "cannot read {}, which lists the records of the codes and the transcript: has a run finished in this \
                 folder, with a program version that writes this file?",
                path.display()
            )
        })?;
        RunRecords::from_bytes(&bytes)
            .with_context(|| format!("{}: restore it from a backup", path.display()))
    }

    /// The transcript.
    pub fn transcript(&self) -> PathBuf {
        self.folder.join("transcript.parquet")
    }

    /// The detectors of abnormal inputs.
    pub fn detectors(&self) -> PathBuf {
        self.folder.join("detectors.hashvfl")
    }

    /// Codes that batches of records are compared with.
    pub fn references(&self) -> PathBuf {
        self.folder.join("references.hashvfl")
    }

    /// What all sides said of the calibration records, where parties said anything.
    pub fn evidence(&self) -> PathBuf {
        self.folder.join("evidence.hashvfl")
    }

    /// Training records that screening flagged.
    pub fn screened(&self) -> PathBuf {
        self.folder.join("screened.csv")
    }

    fn codes_folder(&self) -> PathBuf {
        self.folder.join("codes")
    }

    /// Codes of `party` by the bottom model of that digest.
    pub fn codes(&self, party: &PartyName, encoder: &Digest) -> PathBuf {
        self.codes_folder().join(format!("{party}.{}.codes", encoder.short()))
    }

    /// All codes files.
    pub fn all_codes(&self) -> anyhow::Result<Vec<PathBuf>> {
        self.all_of_kind("codes")
    }

    /// All files of codes of served records.
    pub fn all_served(&self) -> anyhow::Result<Vec<PathBuf>> {
        self.all_of_kind("served")
    }

    fn all_of_kind(&self, kind: &str) -> anyhow::Result<Vec<PathBuf>> {
        let folder = self.codes_folder();
        let entries = fs::read_dir(&folder)
            .with_context(|| format!("cannot read {}: has a run finished there?", folder.display()))?;
        let paths = entries.map(|entry| entry.map(|entry| entry.path())).collect::<Result<Vec<_>, _>>()?;
        Ok(paths.into_iter().filter(|path| path.extension().is_some_and(|found| found == kind)).collect())
    }

    /// Codes of `party` by that bottom model, of served records whose ids have this digest.
    pub fn served_codes(&self, party: &PartyName, encoder: &Digest, ids: &Digest) -> PathBuf {
        self.codes_folder().join(format!("{party}.{}.{}.served", encoder.short(), ids.short()))
    }

    /// Keeps the codes of a party.
    pub fn keep_codes(&self, party: &PartyName, codes: &StoredCodes) -> anyhow::Result<()> {
        Ok(write_whole(&self.codes(party, &codes.encoder), &codes.to_bytes())?)
    }

    /// Keeps summary and top model; they get their names, which say that the run has finished, only by
    /// [`Self::finish`], when all parties have kept theirs.
    pub fn prepare(&self, top: &Snapshot, summary: &Summary) -> anyhow::Result<()> {
        let [pending_summary, pending_top] = self.pending();
        let text = with_digest(&serde_json::to_string_pretty(summary)?);
        write_readable(&pending_summary, text.as_bytes())?;
        Ok(top.write(&pending_top)?)
    }

    /// The run has finished; what led to it goes. `parties` have not acknowledged it yet. Both names are on the disk before this
    /// returns, and before any party is told.
    pub fn finish(&self, parties: &[PartyName]) -> anyhow::Result<()> {
        debug_assert!(self.lock.is_some(), "a folder that this process works in");
        self.keep_unacknowledged(parties)?;
        for (from, to) in self.pending().into_iter().zip([self.summary(), self.top()]) {
            rename_durably(&from, &to)
                .with_context(|| format!("cannot rename {} to {}", from.display(), to.display()))?;
        }
        self.remove_unfinished();
        Ok(())
    }

    fn pending(&self) -> [PathBuf; 2] {
        ["summary.pending.json", "top.pending.safetensors"].map(|name| self.folder.join(name))
    }
}

/// Removes a file, if it is there.
fn remove(path: &Path) -> anyhow::Result<()> {
    remove_if_there(path).map(drop).with_context(|| format!("cannot remove {}", path.display()))
}

/// Reads a codes file.
pub fn read_codes(path: &Path) -> anyhow::Result<StoredCodes> {
    let bytes = read_whole(path).with_context(|| format!("cannot read codes from {}", path.display()))?;
    let stored = StoredCodes::from_bytes(&bytes);
    ensure!(
        stored.is_ok(),
        "{} is damaged or no codes file: write it again with `party encode`",
        path.display()
    );
    Ok(stored?)
}
