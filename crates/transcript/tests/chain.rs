//! A transcript comes back as it was written, and one that was changed is refused by the step.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use hashvfl_core::{Digest, PackedCodes, Part, PartyName, RunId, RunRow, RunSettings, Task};
use hashvfl_transcript::{
    Expiry, RecordedBatches, RecordedKind, RecordedStep, Recording, SentValues, Transcript, TranscriptError,
    TranscriptHeader, ValueEncoding, erase, expire,
};

fn parties() -> Vec<PartyName> {
    ["bank", "telecom"].map(|name| PartyName::new(name).unwrap()).to_vec()
}

/// When all of them were begun.
const BEGUN_S: u64 = 1_700_000_000;

fn settings() -> RunSettings {
    RunSettings::new(parties(), Task::Binary, 3, 2)
}

fn header() -> TranscriptHeader {
    let header = TranscriptHeader::new(
        RunId::new("t").unwrap(),
        "coordinator",
        &settings(),
        SentValues::Codes,
        RECORDS,
    );
    // The chain goes over the time as well: one for all.
    TranscriptHeader { written_s: Some(BEGUN_S), ..header }
}

const RECORDS: Digest = Digest([4; 32]);

fn rows(numbers: &[u32]) -> Vec<RunRow> {
    numbers.iter().map(|number| RunRow::new(*number)).collect()
}

fn codes(first: f32) -> PackedCodes {
    PackedCodes::pack(&[first, -1.0, 1.0, 1.0, 1.0, -1.0], 3).unwrap()
}

/// Writes steps of these numbers; `first` is the first bit of the first record.
fn write(path: &Path, steps: &[u64], first: f32) -> Digest {
    let mut transcript = Transcript::create(path, &header()).unwrap();
    for step in steps {
        let batch = RecordedStep { number: *step, kind: RecordedKind::Batch { epoch: 2 } };
        let sent = [codes(first), codes(-1.0)];
        transcript.record(batch, &[5, 9], &parties(), &RecordedBatches::Codes(&sent)).unwrap();
        let gradients = [vec![0.5, 0.1, 0.2, 0.3, 0.4, 0.6], vec![-0.25; 6]];
        let gradients = RecordedBatches::Floats(gradients.iter().map(Vec::as_slice).collect());
        let gradient = RecordedStep { kind: RecordedKind::Gradient { epoch: 2 }, ..batch };
        transcript.record(gradient, &[5, 9], &parties(), &gradients).unwrap();
    }
    let test = RecordedStep { number: 99, kind: RecordedKind::Part(Part::Test) };
    let sent = [codes(1.0), codes(1.0)];
    transcript.record(test, &[1, 2], &parties(), &RecordedBatches::Codes(&sent)).unwrap();
    let head = transcript.head();
    transcript.finish().unwrap();
    head
}

fn temporary() -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("transcript.parquet");
    (folder, path)
}

#[test]
fn a_transcript_is_read_back_and_a_broken_off_one_leaves_nothing() {
    let (folder, path) = temporary();
    drop(Transcript::create(&path, &header()).unwrap());
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
    let head = write(&path, &[7, 8], 1.0);
    let recording = Recording::read(&path, Some(head)).unwrap();
    assert_eq!((recording.header, recording.head), (header(), head));
    let kinds: Vec<_> = recording.steps.iter().map(|step| (step.step, step.kind)).collect();
    let (batch, gradient) = (RecordedKind::Batch { epoch: 2 }, RecordedKind::Gradient { epoch: 2 });
    assert_eq!(
        kinds,
        [(7, batch), (7, gradient), (8, batch), (8, gradient), (99, RecordedKind::Part(Part::Test))]
    );
    let first = &recording.steps[0];
    assert_eq!((first.records.as_slice(), first.encoding), (&[5, 9][..], ValueEncoding::Bits));
    assert_eq!(first.values[0], ("bank".to_string(), vec![0b101, 0b011]));
    assert_eq!(first.values[1], ("telecom".to_string(), vec![0b100, 0b011]));
    assert_eq!(recording.steps[1].values[0].1[..4], 0.5_f32.to_le_bytes());
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    }
}

#[test]
fn a_transcript_that_was_cut_off_or_is_another_is_refused() {
    let (_folder, path) = temporary();
    let head = write(&path, &[7], 1.0);
    let other = Recording::read(&path, Some(Digest::of(b"another"))).err().unwrap();
    assert!(matches!(other, TranscriptError::Other { .. }), "{other}");
    let bytes = fs::read(&path).unwrap();
    for kept in [0, 3, bytes.len() / 2, bytes.len() - 1] {
        fs::write(&path, &bytes[..kept]).unwrap();
        let refused = Recording::read(&path, Some(head)).err().unwrap();
        assert!(matches!(refused, TranscriptError::Format { .. }), "{refused}");
    }
    assert!(matches!(Recording::read(&path.join("x"), None), Err(TranscriptError::Io { .. })));
}

/// Replaces `from` by `to` of the same length in the file, wherever it stands.
fn forge(path: &Path, from: &[u8], to: &[u8]) -> usize {
    let mut bytes = fs::read(path).unwrap();
    let places: Vec<usize> =
        (0..bytes.len() - from.len()).filter(|at| &bytes[*at..at + from.len()] == from).collect();
    places.iter().for_each(|at| bytes[*at..at + to.len()].copy_from_slice(to));
    fs::write(path, bytes).unwrap();
    places.len()
}

#[test]
fn what_was_changed_is_refused_by_the_step() {
    let (_folder, path) = temporary();
    // Gradients stand in the file as they are, so that a forger finds them.
    write(&path, &[7, 8], 1.0);
    assert!(forge(&path, &0.1_f32.to_le_bytes(), &0.7_f32.to_le_bytes()) > 0);
    let refused = Recording::read(&path, None).err().unwrap();
    assert!(matches!(refused, TranscriptError::Chain { step: 7, .. }), "{refused}");

    // The head of one transcript in another that lacks its last steps.
    let (whole, cut) = (write(&path, &[7, 8], 1.0), write(&path, &[7], 1.0));
    assert!(forge(&path, cut.to_string().as_bytes(), whole.to_string().as_bytes()) > 0);
    let refused = Recording::read(&path, Some(whole)).err().unwrap();
    assert!(matches!(refused, TranscriptError::Head { step: 99, .. }), "{refused}");

    write(&path, &[7], 1.0);
    assert!(forge(&path, b"{\"version\":1", b"{\"version\":2") > 0);
    let refused = Recording::read(&path, None).err().unwrap();
    assert!(matches!(refused, TranscriptError::Version { found: 2, .. }), "{refused}");
}

#[test]
fn erased_records_are_gone_and_what_is_left_is_a_transcript() {
    let (_folder, path) = temporary();
    let before = write(&path, &[7], 1.0);
    assert_eq!(erase(&path, RECORDS, &rows(&[77])).unwrap().head, before, "nothing to erase");
    let other = erase(&path, Digest([5; 32]), &rows(&[5])).err().unwrap();
    assert!(matches!(other, TranscriptError::OtherRecords { .. }), "{other}");
    assert_eq!(Recording::read(&path, Some(before)).unwrap().head, before, "rows of other records stay");
    // Two parties in two steps about record 5, and the whole of the last step.
    let erased = erase(&path, RECORDS, &rows(&[1, 2, 5])).unwrap();
    assert_eq!(erased.rows, 8);
    let left = Recording::read(&path, Some(erased.head)).unwrap();
    assert_eq!(left.header.erasures.len(), 1);
    assert_eq!((&left.header.erasures[0].head, left.header.erasures[0].rows), (&before.to_string(), 8));
    assert_eq!(left.steps.len(), 2);
    for step in &left.steps {
        assert_eq!((step.step, step.records.as_slice()), (7, &[9][..]));
    }
    assert_eq!(left.steps[0].values[1], ("telecom".to_string(), vec![0b011]));
    assert_eq!(left.steps[1].values[0].1[..4], 0.3_f32.to_le_bytes());
    fs::write(&path, "rubbish").unwrap();
    assert!(erase(&path, RECORDS, &rows(&[5])).is_err());
    assert_eq!(fs::read(&path).unwrap(), b"rubbish", "it stays as it was");
}

#[test]
fn an_old_transcript_expires_by_the_time_that_is_written_in_it() {
    let (_folder, path) = temporary();
    let begun = SystemTime::UNIX_EPOCH + Duration::from_secs(BEGUN_S);
    let in_days = |days: u64| begun + Duration::from_secs(days * 24 * 60 * 60);
    assert_eq!(expire(&path, 0, begun).unwrap(), Expiry::Absent);
    write(&path, &[7], 1.0);
    assert_eq!(expire(&path, 30, in_days(29)).unwrap(), Expiry::Kept);
    // Erasing writes the file anew, and it gets no younger.
    assert!(erase(&path, RECORDS, &rows(&[5])).unwrap().rows > 0);
    assert!(fs::metadata(&path).unwrap().modified().unwrap() > in_days(31), "rewritten just now");
    assert!(path.exists());
    assert_eq!(expire(&path, 30, in_days(31)).unwrap(), Expiry::Removed);
    assert!(!path.exists());
    assert_eq!(
        TranscriptHeader::new(RunId::new("t").unwrap(), "bank", &settings(), SentValues::Codes, RECORDS)
            .written_s
            .map(|s| s > BEGUN_S),
        Some(true)
    );
}

#[test]
fn a_time_stamp_ahead_is_told_and_one_that_is_missing_is_the_file_s() {
    let (_folder, path) = temporary();
    write(&path, &[7], 1.0);
    let begun = SystemTime::UNIX_EPOCH + Duration::from_secs(BEGUN_S);
    let before = |seconds: u64| begun - Duration::from_secs(seconds);
    assert_eq!(expire(&path, 0, before(60)).unwrap(), Expiry::Kept, "clocks differ by seconds");
    assert_eq!(expire(&path, 0, before(3 * 86_400 + 5)).unwrap(), Expiry::Ahead { days: 3 });
    assert!(path.exists());
    // Its days count from there, and end.
    let seen = before(3 * 86_400 + 5);
    let later = |days: u64| seen + Duration::from_secs(days * 86_400);
    assert_eq!(expire(&path, 1, later(1)).unwrap(), Expiry::Ahead { days: 2 });
    assert_eq!(expire(&path, 1, later(2)).unwrap(), Expiry::Removed);
    assert_eq!(fs::read_dir(path.parent().unwrap()).unwrap().count(), 0, "nor does it leave what was seen");

    // A clock that was set right counts from the stamp again.
    write(&path, &[7], 1.0);
    assert_eq!(expire(&path, 1, before(9 * 86_400)).unwrap(), Expiry::Ahead { days: 9 });
    assert_eq!(expire(&path, 1, begun).unwrap(), Expiry::Kept);
    assert_eq!(expire(&path, 1, before(2 * 86_400)).unwrap(), Expiry::Ahead { days: 2 });

    // Of an older program, or no transcript at all.
    let transcript = Transcript::create(&path, &TranscriptHeader { written_s: None, ..header() }).unwrap();
    transcript.finish().unwrap();
    assert_eq!(expire(&path, 30, SystemTime::now()).unwrap(), Expiry::Kept);
    fs::write(&path, "damaged").unwrap();
    let later = SystemTime::now() + Duration::from_secs(31 * 86_400);
    assert_eq!(expire(&path, 30, later).unwrap(), Expiry::Removed);
}
