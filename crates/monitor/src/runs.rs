//! Finished runs: a line of each in a file that outlives them, for a page that shows them side by side.

use std::borrow::Cow;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Seek, SeekFrom, Write};
use std::path::Path;

use hashvfl_core::{PartyName, RunId};
use hashvfl_files::{last_bytes, owner_only, with_digest, without_digest};
use serde::{Deserialize, Serialize};

/// Bytes from the end of the file that are read at most.
const BYTES: u64 = 1 << 20;
/// Runs that are shown at most, the latest.
const MOST: usize = 500;

/// What a run gave, in a line. Only figures, as in its summary.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct FinishedRun {
    /// The run.
    pub run_id: RunId,
    /// When it finished, in seconds since 1970.
    pub finished_s: u64,
    /// The version of HashVFL.
    pub version: String,
    /// Its parties.
    pub parties: Vec<PartyName>,
    /// Records of all parts.
    pub records: u64,
    /// Bits of each party's code.
    pub bits: u64,
    /// Epochs that were trained.
    pub epochs: u32,
    /// The epoch whose models were kept.
    pub best_epoch: u32,
    /// Name of the metric.
    pub metric: String,
    /// The metric on test records; absent where there are none, or it is undefined.
    pub test: Option<f64>,
    /// The loss on test records, likewise.
    pub test_loss: Option<f64>,
    /// Share of test records that detectors flagged; absent without detectors.
    pub flagged_fraction: Option<f64>,
    /// Bits that each party released of a training record of the cohort.
    pub released_bits_per_record: u64,
    /// Bytes from all parties.
    pub received_bytes: u64,
    /// Bytes to all parties.
    pub sent_bytes: u64,
    /// Seconds from the first step to the last.
    pub seconds: f64,
}

/// Whether lines of runs may be added to the file at `path`: it is not there, is empty, or begins with an object of JSON, as a run
/// of whatever version is.
///
/// # Errors
/// If not.
pub fn check_runs(path: &Path) -> io::Result<()> {
    let mut first = [0];
    match File::open(path).and_then(|mut file| file.read(&mut first)) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Ok(1) if first != [b'{'] => {
            let what = "it already exists and is not a list of finished runs: choose another file";
            Err(io::Error::new(io::ErrorKind::AlreadyExists, what))
        }
        found => found.map(drop),
    }
}

/// Adds a line to the file of finished runs, which it makes if need be.
///
/// # Errors
/// If it cannot be written, or is another file.
pub fn add_run(path: &Path, run: &FinishedRun) -> io::Result<()> {
    check_runs(path)?;
    let mut line = with_digest(&serde_json::to_string(run)?).into_bytes();
    line.push(b'\n');
    let mut file = owner_only().append(true).create(true).read(true).open(path)?;
    // A line that was cut off, as on a full disk, spoils no other.
    if !ends_with_a_line(&mut file)? {
        line.insert(0, b'\n');
    }
    file.write_all(&line)?;
    file.sync_data()
}

fn ends_with_a_line(file: &mut File) -> io::Result<bool> {
    if file.metadata()?.len() == 0 {
        return Ok(true);
    }
    let mut last = [0];
    file.seek(SeekFrom::End(-1))?;
    file.read_exact(&mut last)?;
    Ok(last == [b'\n'])
}

/// The latest finished runs of the file, by rising time; none where there is no such file. Lines of other versions, broken ones
/// and those that [`changed_runs`] counts are passed over.
pub fn read_runs(path: &Path) -> Vec<FinishedRun> {
    let bytes = last_bytes(path, BYTES).unwrap_or_default();
    let mut runs: Vec<FinishedRun> = lines(&bytes).filter_map(|line| parse(line?)).collect();
    runs.drain(..runs.len().saturating_sub(MOST));
    runs
}

/// Whether a run of that name is in the file, wherever in it; lines of other versions count as well.
pub fn is_listed(path: &Path, run: &RunId) -> bool {
    #[derive(Deserialize)]
    struct Named {
        run_id: RunId,
    }
    let Ok(file) = File::open(path) else { return false };
    BufReader::new(file).split(b'\n').map_while(Result::ok).any(|line| {
        let line = str::from_utf8(&line).ok().and_then(|line| without_digest(line).ok());
        let named = line.and_then(|line| serde_json::from_str::<Named>(&line).ok());
        named.is_some_and(|named| named.run_id == *run)
    })
}

/// How many of the lines that [`read_runs`] looks at are not what was written.
pub fn changed_runs(path: &Path) -> usize {
    let bytes = last_bytes(path, BYTES).unwrap_or_default();
    lines(&bytes).filter(Option::is_none).count()
}

/// The lines of a file; `None` for one that has changed since it was written.
fn lines(bytes: &[u8]) -> impl Iterator<Item = Option<Cow<'_, str>>> {
    // What begins in the middle of a longer file begins in the middle of a line.
    let cut = usize::from(bytes.len() as u64 == BYTES);
    let lines = bytes.split(|byte| *byte == b'\n').skip(cut);
    lines.map(|line| without_digest(str::from_utf8(line).ok()?).ok())
}

fn parse(line: Cow<'_, str>) -> Option<FinishedRun> {
    serde_json::from_str(&line).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(number: u64) -> FinishedRun {
        FinishedRun {
            run_id: RunId::new(format!("run-{number}")).unwrap(),
            finished_s: number,
            version: "0.1.0".to_string(),
            parties: vec![PartyName::new("bank").unwrap()],
            records: 400,
            bits: 16,
            epochs: 30,
            best_epoch: 7,
            metric: "AUC".to_string(),
            test: Some(0.75),
            test_loss: None,
            flagged_fraction: None,
            released_bits_per_record: 480,
            received_bytes: 1,
            sent_bytes: 2,
            seconds: 3.5,
        }
    }

    #[test]
    fn runs_are_added_and_a_broken_line_spoils_no_other() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("runs.jsonl");
        assert!(read_runs(&path).is_empty());
        add_run(&path, &run(1)).unwrap();
        owner_only().append(true).open(&path).unwrap().write_all(b"{\"run_id\":\"cut o").unwrap();
        add_run(&path, &run(2)).unwrap();
        assert_eq!(read_runs(&path), [run(1), run(2)]);
        (3..=600).for_each(|number| add_run(&path, &run(number)).unwrap());
        let latest = read_runs(&path);
        assert_eq!((latest.len(), latest.last()), (MOST, Some(&run(600))));
        assert!(latest[0] != run(1), "it is not shown any more");
        assert!(is_listed(&path, &run(1).run_id) && is_listed(&path, &run(600).run_id));
        assert!(!is_listed(&path, &run(601).run_id) && !is_listed(&folder.path().join("no"), &run(1).run_id));
        assert!(add_run(folder.path(), &run(1)).is_err(), "a folder has the name");
    }

    #[test]
    fn whatever_bit_of_a_line_changes_it_shows_no_other_figures() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("runs.jsonl");
        add_run(&path, &run(1)).unwrap();
        let whole = std::fs::read(&path).unwrap();
        let mut found = 0;
        for bit in 0..whole.len() * 8 {
            let mut changed = whole.clone();
            changed[bit / 8] ^= 1 << (bit % 8);
            std::fs::write(&path, &changed).unwrap();
            let runs = read_runs(&path);
            assert!(runs.is_empty() || runs == [run(1)], "bit {bit}: {runs:?}");
            found += changed_runs(&path);
        }
        assert!(found > 8 * 100, "figures are most of a line");
        // Of an earlier version.
        std::fs::write(&path, serde_json::to_vec(&run(1)).unwrap()).unwrap();
        assert_eq!((read_runs(&path), changed_runs(&path)), (vec![run(1)], 0));
    }
}
