//! A transcript that grows on disk: what is taken back, what becomes of it, and damage.

use std::fs;
use std::path::Path;
use std::time::{Duration, SystemTime};

use hashvfl_core::settings::{RunSettings, Task};
use hashvfl_core::{Digest, PackedCodes, Part, PartyName, RunId};
use hashvfl_transcript::{
    Expiry, RecordedBatches, RecordedKind, RecordedStep, Recording, SentValues, Transcript, TranscriptHeader,
    TranscriptSpool, expire_unfinished,
};

fn parties() -> Vec<PartyName> {
    ["a", "bank"].into_iter().map(|name| PartyName::new(name).unwrap()).collect()
}

fn header() -> TranscriptHeader {
    let settings = RunSettings::new(parties(), Task::Binary, 4, 2);
    TranscriptHeader::new(
        RunId::new("r").unwrap(),
        "coordinator",
        &settings,
        SentValues::Codes,
        Digest([1; 32]),
    )
}

/// What step `step` shows.
fn codes(step: u64) -> (RecordedKind, Vec<u32>, Vec<PackedCodes>) {
    let signs = |flip: u64| -> Vec<f32> {
        (0..12).map(|at| if (at * step + flip).is_multiple_of(3) { 1.0 } else { -1.0 }).collect()
    };
    let batches = [0, 1].map(|flip| PackedCodes::pack(&signs(flip), 4).unwrap()).to_vec();
    let kind = match step % 3 {
        0 => RecordedKind::Part(Part::Calibration),
        _ => RecordedKind::Batch { epoch: step as u32 },
    };
    (kind, vec![3, step as u32, 9], batches)
}

fn keep(spool: &mut TranscriptSpool, step: u64) {
    let (kind, records, batches) = codes(step);
    let batches = RecordedBatches::Codes(&batches);
    spool.record(RecordedStep { number: step, kind }, &records, &parties(), &batches).unwrap();
}

fn whole(path: &Path, header: &TranscriptHeader, steps: u64) -> Transcript {
    let mut transcript = Transcript::create(path, header).unwrap();
    for step in 1..=steps {
        let (kind, records, batches) = codes(step);
        let batches = RecordedBatches::Codes(&batches);
        transcript.record(RecordedStep { number: step, kind }, &records, &parties(), &batches).unwrap();
    }
    transcript
}

#[test]
fn what_a_run_took_back_is_as_if_it_had_never_been() {
    let folder = tempfile::tempdir().unwrap();
    let (path, plain) = (folder.path().join("transcript.parquet"), folder.path().join("plain.parquet"));
    let header = header();
    let mut spool = TranscriptSpool::create(&path, &header).unwrap();
    (1..=5).for_each(|step| keep(&mut spool, step));
    let mark = spool.mark().unwrap();
    // Other steps than those that will be kept, and one that a dying process has written half of.
    (90..=93).for_each(|step| keep(&mut spool, step));
    spool.mark().unwrap();
    drop(spool);
    let unfinished = TranscriptSpool::unfinished(&path);
    let length = fs::metadata(&unfinished).unwrap().len();
    fs::OpenOptions::new().write(true).open(&unfinished).unwrap().set_len(length - 3).unwrap();
    let mut spool = TranscriptSpool::resume(&path, &mark).unwrap();
    (6..=8).for_each(|step| keep(&mut spool, step));
    let head = spool.head();
    spool.finish().unwrap();
    let transcript = whole(&plain, &header, 8);
    assert_eq!(transcript.head(), head);
    transcript.finish().unwrap();
    let (one, other) = (Recording::read(&path, Some(head)).unwrap(), Recording::read(&plain, None).unwrap());
    assert!(one.steps == other.steps && one.header == other.header && one.steps.len() == 8);
    // The run may yet go on from the mark.
    assert_eq!(TranscriptSpool::resume(&path, &mark).unwrap().mark().unwrap(), mark);
}

#[test]
fn every_flipped_bit_before_the_mark_is_found() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("transcript.parquet");
    let mut spool = TranscriptSpool::create(&path, &header()).unwrap();
    (1..=3).for_each(|step| keep(&mut spool, step));
    let mark = spool.mark().unwrap();
    drop(spool);
    let unfinished = TranscriptSpool::unfinished(&path);
    let bytes = fs::read(&unfinished).unwrap();
    for at in 0..bytes.len() * 8 {
        let mut flipped = bytes.clone();
        flipped[at / 8] ^= 1 << (at % 8);
        fs::write(&unfinished, &flipped).unwrap();
        let error = TranscriptSpool::resume(&path, &mark).err().expect("a flipped bit is found").to_string();
        assert!(error.contains("--fresh"), "{error}");
    }
    fs::write(&unfinished, &bytes[..bytes.len() - 1]).unwrap();
    assert!(TranscriptSpool::resume(&path, &mark).is_err(), "shorter than at the mark");
    fs::write(&unfinished, &bytes).unwrap();
    TranscriptSpool::resume(&path, &mark).unwrap().finish().unwrap();
    assert_eq!(Recording::read(&path, None).unwrap().steps.len(), 3);
}

#[test]
fn what_an_unfinished_run_has_kept_expires_by_the_time_that_is_written_in_it() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("transcript.parquet");
    let begun = SystemTime::UNIX_EPOCH + Duration::from_secs(1_700_000_000);
    let in_days = |days: u64| begun + Duration::from_secs(days * 86_400);
    assert_eq!(expire_unfinished(&path, 0, begun).unwrap(), Expiry::Absent);
    let header = TranscriptHeader { written_s: Some(1_700_000_000), ..header() };
    let mut spool = TranscriptSpool::create(&path, &header).unwrap();
    keep(&mut spool, 1);
    let mark = spool.mark().unwrap();
    drop(spool);
    assert_eq!(expire_unfinished(&path, 30, in_days(30)).unwrap(), Expiry::Kept);
    let before = begun - Duration::from_secs(5 * 86_400);
    assert_eq!(expire_unfinished(&path, 30, before).unwrap(), Expiry::Ahead { days: 5 });
    assert_eq!(expire_unfinished(&path, 30, in_days(31)).unwrap(), Expiry::Removed);
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
    let message = TranscriptSpool::resume(&path, &mark).err().unwrap().to_string();
    assert!(message.contains("transcript_days") && message.contains("--fresh"), "{message}");
}
