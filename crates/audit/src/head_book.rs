//! Heads that peers told: a file for each peer, a head a line.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use hashvfl_core::RunId;
use hashvfl_core::protocol::message::AuditHead;
use hashvfl_files::{owner_only_folder, rename_durably, with_digest, without_digest, write_whole};
use hashvfl_identity::Fingerprint;

use crate::error::AuditError;
use crate::head::{HeadMoment, KeptHead, Side};
use crate::time;

/// The folder of heads that peers told. A party has one log for all runs of a coordinator. A coordinator that holds several runs has
/// one for each, and no head says of which it is: so its heads are compared with those that it told in the same run.
#[derive(Debug)]
pub struct HeadBook {
    folder: PathBuf,
}

/// A peer told heads that cannot both be of one log that only grows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Contradiction {
    /// The peer.
    pub side: Side,
    /// Entries of the head that does not fit.
    pub sequence: u64,
}

impl HeadBook {
    /// In `folder`, which is made with the first head.
    pub fn new(folder: PathBuf) -> Self {
        Self { folder }
    }

    /// The file about the log of `side`.
    pub fn path(&self, side: &Side) -> PathBuf {
        self.folder.join(format!("{}.jsonl", side.file_stem()))
    }

    /// How the log of which `told` is the head now differs from the one of which heads were kept, if it does.
    ///
    /// # Errors
    /// If the file of its heads cannot be read.
    pub fn compare(&self, told: &AuditHead) -> Result<Option<OlderLog>, AuditError> {
        let path = self.path(&Side::from(told.party.clone()));
        if !path.exists() {
            return Ok(None);
        }
        let kept = read_heads(&path)?;
        let is_other = |kept: &&KeptHead| contradict(kept, told.sequence, &told.entry.to_string());
        let kept = kept.iter().filter(is_other).map(|kept| kept.sequence).max();
        Ok(kept.map(|kept| OlderLog { kept, told: told.sequence }))
    }

    /// Puts the heads of `side` aside, under another name, so that its log is taken as it is now; entries of the last one.
    ///
    /// # Errors
    /// If there are none, or their file cannot be read or renamed.
    pub fn put_aside(&self, side: &Side) -> Result<u64, AuditError> {
        let path = self.path(side);
        if !path.exists() {
            return Err(AuditError::NoHeads(side.to_string()));
        }
        let sequence = read_heads(&path)?.iter().map(|head| head.sequence).max().unwrap_or(0);
        let aside = path.with_extension(format!("until-{sequence}.jsonl"));
        rename_durably(&path, &aside).map_err(|reason| AuditError::file("rename", &path, reason))?;
        Ok(sequence)
    }

    /// Keeps a head that its owner told in `run`, durably, with the key that signed it. It is kept also where it contradicts one from before
    /// of the same log.
    /// Of the heads of one day that a party tells under one key when it comes to serve, the first and the last stay, and those that
    /// contradict others: so one that comes again and again fills no disk, no head of another key or of none takes the place of one
    /// that was signed, and a head of an earlier day still vouches for what was before it.
    ///
    /// # Errors
    /// If its file cannot be read or written.
    pub fn keep(
        &self,
        told: &AuditHead,
        key: Option<Fingerprint>,
        run: &RunId,
        at: HeadMoment,
        now: SystemTime,
    ) -> Result<Option<Contradiction>, AuditError> {
        let side = Side::from(told.party.clone());
        let path = self.path(&side);
        let mut before = if path.exists() { read_heads(&path)? } else { Vec::new() };
        let head = KeptHead::new(told, key, run, at, time::text(now));
        if at == HeadMoment::Serve && before.iter().any(|kept| says_as_much(kept, &head)) {
            return Ok(None);
        }
        owner_only_folder()
            .recursive(true)
            .create(&self.folder)
            .map_err(|reason| AuditError::file("create the folder", &self.folder, reason))?;
        let contradicts = before
            .iter()
            .any(|kept| is_of_one_log(kept, &head) && contradict(kept, head.sequence, &head.entry_sha256));
        if at == HeadMoment::Serve {
            before.retain(|kept| !(kept.at == HeadMoment::Serve && says_as_much(&head, kept)));
        }
        if !contradicts && let Some(replaced) = replaced_by(&head, &before) {
            before.remove(replaced);
        }
        let mut lines = String::new();
        for head in before.iter().chain([&head]) {
            // Unwrap safety: names, numbers and texts are JSON.
            let line = serde_json::to_string(head).expect("a head");
            lines += &with_digest(&line);
            lines.push('\n');
        }
        write_whole(&path, lines.as_bytes())?;
        Ok(contradicts.then_some(Contradiction { side, sequence: told.sequence }))
    }
}

/// That a peer's log is not the one of which a head was kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OlderLog {
    /// Entries of the head that was kept.
    pub kept: u64,
    /// Entries of the log now.
    pub told: u64,
}

/// Whether `kept` vouches for all that `head` vouches for: it is the same, and signed with the same key, or `head` with none.
fn says_as_much(kept: &KeptHead, head: &KeptHead) -> bool {
    let is_same = kept.sequence == head.sequence && kept.entry_sha256 == head.entry_sha256;
    is_same && (kept.key == head.key || head.key.is_none())
}

/// Which of the heads before it a head takes the place of that a party tells when it comes to serve: the last one of the same
/// day, run and key behind the first one, unless that contradicts another.
fn replaced_by(head: &KeptHead, before: &[KeptHead]) -> Option<usize> {
    let like_it: Vec<usize> = (0..before.len()).filter(|at| is_of_a_day(head, &before[*at])).collect();
    let [_, .., last] = like_it[..] else { return None };
    let (earlier, later) = before.split_at(last);
    let told = &before[last];
    let fits = earlier.iter().all(|other| !contradict(other, told.sequence, &told.entry_sha256))
        && later.iter().all(|other| !contradict(told, other.sequence, &other.entry_sha256));
    fits.then_some(last)
}

/// Whether both heads were told in one run on one day, and under one key or none, by a party that came to serve.
fn is_of_a_day(head: &KeptHead, other: &KeptHead) -> bool {
    let of_serving = |head: &KeptHead| head.at == HeadMoment::Serve;
    // Days are as long in all time stamps.
    let day = |head: &KeptHead| head.time.get(..time::DATE_BYTES).map(str::to_string);
    let both = of_serving(head) && of_serving(other);
    both && head.run == other.run && head.key == other.key && day(head) == day(other)
}

/// Whether two heads that a peer told must be of one log: a coordinator may have one for each run.
fn is_of_one_log(head: &KeptHead, other: &KeptHead) -> bool {
    head.side != Side::Coordinator.file_stem() || head.run == other.run
}

/// Whether a log that had the head `earlier` cannot have `sequence` entries now, the last one `entry`, if it only grows.
fn contradict(earlier: &KeptHead, sequence: u64, entry: &str) -> bool {
    let other = earlier.sequence == sequence && earlier.entry_sha256 != entry;
    other || sequence < earlier.sequence
}

/// The heads in a file.
///
/// # Errors
/// If it cannot be read, or a line is no head or has changed since it was written.
pub fn read_heads(path: &Path) -> Result<Vec<KeptHead>, AuditError> {
    let text = fs::read_to_string(path).map_err(|reason| AuditError::file("read", path, reason))?;
    let mut heads = Vec::new();
    for (number, line) in (1..).zip(text.lines()) {
        let head = without_digest(line)
            .map_err(|_| AuditError::DamagedHead { path: path.to_path_buf(), line: number })?;
        let head = serde_json::from_str(&head);
        heads.push(head.map_err(|_| AuditError::NoHead { path: path.to_path_buf(), line: number })?);
    }
    Ok(heads)
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, UNIX_EPOCH};

    use hashvfl_core::{Digest, PartyName};

    use super::*;

    const DAY: Duration = Duration::from_secs(86_400);

    /// The heads of bank's log that are told in one run.
    struct Told {
        _place: tempfile::TempDir,
        book: HeadBook,
    }

    impl Told {
        fn new() -> Self {
            let place = tempfile::tempdir().unwrap();
            let book = HeadBook::new(place.path().join("heads"));
            Self { _place: place, book }
        }

        fn side() -> Side {
            Side::Party(PartyName::new("bank").unwrap())
        }

        /// The head of that many entries of the log that `of` names.
        fn head(sequence: u64, of: &str) -> AuditHead {
            let entry = Digest::of(format!("{of} {sequence}").as_bytes());
            let party = Some(PartyName::new("bank").unwrap());
            AuditHead { party, sequence, entry, signature: Vec::new() }
        }

        /// Keeps it; whether it contradicts another.
        fn keep(&self, head: &AuditHead, key: Option<Fingerprint>, at: HeadMoment, now: SystemTime) -> bool {
            let run = RunId::new("spring").unwrap();
            self.book.keep(head, key, &run, at, now).unwrap().is_some()
        }

        fn serves(&self, sequence: u64, key: Option<Fingerprint>, now: SystemTime) -> bool {
            self.keep(&Self::head(sequence, "log"), key, HeadMoment::Serve, now)
        }

        fn kept(&self) -> Vec<(u64, Option<Fingerprint>)> {
            let heads = read_heads(&self.book.path(&Self::side())).unwrap();
            heads.iter().map(|head| (head.sequence, head.key)).collect()
        }
    }

    fn noon() -> SystemTime {
        UNIX_EPOCH + DAY * 20_000 + DAY / 2
    }

    fn keys() -> [Option<Fingerprint>; 2] {
        [b"one", b"two"].map(|key| Some(Fingerprint::of_public_key(key)))
    }

    #[test]
    fn a_party_that_comes_to_serve_again_and_again_fills_no_disk() {
        for key in [None, keys()[0]] {
            let told = Told::new();
            let kept = || told.kept().iter().map(|(sequence, _)| *sequence).collect::<Vec<u64>>();
            assert!(!told.keep(&Told::head(3, "log"), key, HeadMoment::Finish, noon()));
            for sequence in 4..50 {
                assert!(!told.serves(sequence, key, noon()));
                assert!(!told.serves(sequence, key, noon()), "the same again");
            }
            assert_eq!(kept(), [3, 4, 49], "the first and the last of a day");
            for sequence in [50, 51, 52] {
                assert!(!told.serves(sequence, key, noon() + DAY));
            }
            assert_eq!(kept(), [3, 4, 49, 50, 52], "those of the day before still vouch");
            // One that does not fit puts none aside, and none is put aside for those that do again.
            assert!(told.serves(40, key, noon() + DAY));
            for sequence in [53, 54, 55] {
                told.serves(sequence, key, noon() + DAY);
            }
            assert_eq!(kept(), [3, 4, 49, 50, 52, 40, 55]);
        }
    }

    #[test]
    fn no_head_of_another_key_or_of_none_takes_the_place_of_one_that_was_signed() {
        let ([one, two], told) = (keys(), Told::new());
        for (sequence, key) in [(90, one), (100, one), (101, None), (102, two), (103, None), (104, None)] {
            assert!(!told.serves(sequence, key, noon()));
        }
        assert_eq!(told.kept(), [(90, one), (100, one), (101, None), (102, two), (104, None)]);
        assert!(!told.serves(105, one, noon()));
        assert!(!told.kept().contains(&(100, one)) && told.kept().contains(&(105, one)));
    }

    #[test]
    fn a_head_that_is_told_signed_takes_the_place_of_the_same_that_was_not() {
        let ([one, _], told) = (keys(), Told::new());
        told.serves(100, None, noon());
        told.serves(100, one, noon());
        assert_eq!(told.kept(), [(100, one)]);
        told.serves(100, None, noon() + DAY);
        assert_eq!(told.kept(), [(100, one)], "it says no more");
    }

    #[test]
    fn a_coordinator_may_have_a_log_for_each_run_and_a_party_has_one() {
        let told = Told::new();
        let contradicts = |of: &str, party: Option<PartyName>, sequence: u64, run: &str| {
            let head = AuditHead { party, ..Told::head(sequence, of) };
            let run = RunId::new(run).unwrap();
            told.book.keep(&head, None, &run, HeadMoment::Begin, noon()).unwrap().is_some()
        };
        for (log, sequence, run) in
            [("one", 9, "spring"), ("two", 4, "autumn"), ("one", 12, "spring"), ("two", 7, "autumn")]
        {
            assert!(!contradicts(log, None, sequence, run), "{run} at {sequence}");
        }
        assert!(contradicts("one", None, 11, "spring"), "it was cut");
        assert!(contradicts("other", None, 7, "autumn"), "it was changed");
        assert_eq!(read_heads(&told.book.path(&Side::Coordinator)).unwrap().len(), 6, "all are kept");
        let bank = || Some(PartyName::new("bank").unwrap());
        assert!(!contradicts("bank", bank(), 9, "spring"));
        assert!(contradicts("bank", bank(), 4, "autumn"), "an older log was restored between runs");
    }

    #[test]
    fn a_log_that_forked_before_the_first_head_of_a_day_contradicts_it() {
        let ([one, _], told) = (keys(), Told::new());
        told.serves(100, one, noon());
        for sequence in [101, 110, 120] {
            told.keep(&Told::head(sequence, "fork"), one, HeadMoment::Serve, noon());
        }
        assert_eq!(told.kept(), [(100, one), (120, one)], "both logs have a head");
        let kept = read_heads(&told.book.path(&Told::side())).unwrap();
        let fork = Told::head(100, "fork").entry.to_string();
        assert!(contradict(&kept[0], 100, &fork), "that log cannot have the first one");
    }
}
