//! Files of checkpoints from which a run goes on: `resume-STEP-ID.safetensors` in a state folder, the last two of them.
//!
//! Two are enough: a checkpoint counts when the coordinator has its own on disk, which it writes when every party has
//! said that its own is there. So while one is being written, all sides hold the one before it.

use std::fs;
use std::path::{Path, PathBuf};

use hashvfl_core::protocol::message::CheckpointId;
use hashvfl_files::remove_all;

use crate::snapshot::{Snapshot, SnapshotError};

/// Checkpoints that are kept.
const KEPT: usize = 2;

/// A checkpoint's file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CheckpointFile {
    /// The last step before it.
    pub step: u64,
    /// Its name at all sides.
    pub id: CheckpointId,
    /// The file.
    pub path: PathBuf,
}

/// All of `folder`, the latest first; none where it cannot be read.
pub fn list(folder: &Path) -> Vec<CheckpointFile> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let mut found: Vec<CheckpointFile> = entries.filter_map(|entry| parse(&entry.path())).collect();
    found.sort_by_key(|found| std::cmp::Reverse((found.step, found.id)));
    found
}

fn parse(path: &Path) -> Option<CheckpointFile> {
    let name = path.file_name()?.to_str()?;
    let (step, id) = name.strip_prefix("resume-")?.strip_suffix(".safetensors")?.split_once('-')?;
    Some(CheckpointFile {
        step: step.parse().ok()?,
        id: CheckpointId::from_hex(id)?,
        path: path.to_path_buf(),
    })
}

/// Writes the checkpoint `id` behind `step`, and removes all but the last two.
///
/// # Errors
/// If the disk is full or fails; earlier ones are as they were.
pub fn write(folder: &Path, step: u64, id: CheckpointId, snapshot: &Snapshot) -> Result<(), SnapshotError> {
    snapshot.write(&folder.join(format!("resume-{step:012}-{id}.safetensors")))?;
    // Whatever stays is passed over.
    remove_all(list(folder).into_iter().skip(KEPT).map(|old| old.path));
    Ok(())
}

/// Removes those behind `step`: the run goes on from there, and will write others. All of them without a step.
pub fn forget_later(folder: &Path, step: Option<u64>) {
    let later = list(folder).into_iter().filter(|found| step.is_none_or(|step| found.step > step));
    // Whatever stays is passed over.
    remove_all(later.map(|found| found.path));
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(byte: u8) -> CheckpointId {
        CheckpointId([byte; CheckpointId::BYTES])
    }

    fn steps(folder: &Path) -> Vec<(u64, CheckpointId)> {
        list(folder).into_iter().map(|found| (found.step, found.id)).collect()
    }

    #[test]
    fn the_last_two_are_kept() {
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path();
        for (step, byte) in [(9, 1), (10, 2), (200, 3)] {
            let mut snapshot = Snapshot::default();
            snapshot.put("step", vec![step as f32]);
            write(folder, step, id(byte), &snapshot).unwrap();
        }
        assert_eq!(steps(folder), [(200, id(3)), (10, id(2))]);
        assert_eq!(Snapshot::read(&list(folder)[0].path).unwrap().get("step", 1).unwrap(), [200.0]);
        fs::write(folder.join("resume-5-zz.safetensors"), "").unwrap();
        forget_later(folder, Some(10));
        assert_eq!(steps(folder), [(10, id(2))]);
        forget_later(folder, None);
        assert_eq!(steps(folder), []);
        assert!(folder.join("resume-5-zz.safetensors").exists() && list(&folder.join("none")).is_empty());
    }
}
