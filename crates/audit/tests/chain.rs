//! Whatever is changed, cut or reordered in a log is found when it is compared with a head that a peer kept; and a process
//! that dies at any byte leaves a log that the next one goes on with.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use hashvfl_audit::{
    AuditConfig, AuditError, AuditEvent, AuditLog, AuditTrail, Head, HeadMoment, KeptHead, LogChain, Receipt,
    ReceiptError, ReleaseTotals, Service, Side, read_heads,
};
use hashvfl_core::protocol::message::AuditHead;
use hashvfl_core::{Digest, PartyName, RunId};
use proptest::prelude::*;

fn bank() -> PartyName {
    PartyName::new("bank").unwrap()
}

fn run() -> RunId {
    RunId::new("spring").unwrap()
}

/// An event of a kind, with a number in it.
fn event(kind: u8, number: u64) -> AuditEvent {
    match kind {
        0 => AuditEvent::Joined { party: bank(), service: Service::Training },
        1 => AuditEvent::RunEnded { finished: true, step: number, why: None },
        2 => AuditEvent::Refused {
            party: None,
            who: None,
            service: Service::Serving,
            why: "other-settings".to_string(),
            count: number,
        },
        _ => AuditEvent::Released(ReleaseTotals {
            from: "bank".to_string(),
            to: "coordinator".to_string(),
            what: "codes".to_string(),
            records: number,
            bits: 16 * number,
            withheld: 0,
        }),
    }
}

fn at(number: u64) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(1_800_000_000 + number)
}

/// A log with these events; its path and the head after each entry.
fn log_of(folder: &Path, kinds: &[u8]) -> (PathBuf, Vec<Head>) {
    let path = folder.join("log.jsonl");
    let mut log = AuditLog::open(&path, &Side::Party(bank())).unwrap();
    let mut heads = vec![log.head()];
    for (number, kind) in (0..).zip(kinds) {
        heads.push(log.append(Some(&run()), &event(*kind, number), at(number)).unwrap());
    }
    (path, heads)
}

/// A peer's note of a head.
fn kept(head: Head) -> KeptHead {
    let (sequence, entry_sha256) = (head.sequence, head.entry.to_string());
    let (side, time) = ("party-bank".to_string(), "2027-01-15T08:00:00Z".to_string());
    KeptHead {
        side,
        run: run(),
        at: HeadMoment::Finish,
        time,
        sequence,
        entry_sha256,
        signature: None,
        key: None,
    }
}

/// Whether a log of these bytes is the one that had `head`.
fn fits(folder: &Path, bytes: &[u8], head: Head) -> Result<u64, AuditError> {
    let path = folder.join("altered.jsonl");
    fs::write(&path, bytes).unwrap();
    LogChain::read(&path)?.compare(&[kept(head)])
}

#[test]
fn every_single_changed_byte_is_found() {
    let folder = tempfile::tempdir().unwrap();
    let (path, heads) = log_of(folder.path(), &[0, 3, 1, 2]);
    let (bytes, head) = (fs::read(&path).unwrap(), *heads.last().unwrap());
    assert_eq!(fits(folder.path(), &bytes, head).unwrap(), 5);
    for at in 0..bytes.len() {
        for flip in [1, 0x20, 0x80] {
            let mut changed = bytes.clone();
            changed[at] ^= flip;
            assert!(fits(folder.path(), &changed, head).is_err(), "byte {at} with {flip}");
        }
    }
    for length in 0..bytes.len() {
        assert!(fits(folder.path(), &bytes[..length], head).is_err(), "cut to {length} bytes");
    }
}

#[test]
fn a_log_that_was_written_anew_follows_from_itself_and_not_from_the_head() {
    let (one, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (_, heads) = log_of(one.path(), &[0, 3, 1]);
    let (path, _) = log_of(other.path(), &[0, 2, 1]);
    let chain = LogChain::read(&path).unwrap();
    let error = chain.compare(&heads.iter().copied().map(kept).collect::<Vec<_>>()).unwrap_err().to_string();
    // What both logs begin with has the time of its own opening; the first that differs is named.
    assert!(error.contains("was changed or rewritten: at least one of the entries"), "{error}");
    assert!(error.contains("sent in run spring (2027-01-15T08:00:00Z)"), "{error}");
    let more = Head { sequence: 9, entry: Digest([1; 32]) };
    let error = chain.compare(&[kept(more)]).unwrap_err().to_string();
    assert!(error.contains("was truncated or restarted: it has 4 entries"), "{error}");
    let of_other = KeptHead { side: "coordinator".to_string(), ..kept(more) };
    let error = chain.compare(&[of_other]).unwrap_err().to_string();
    assert!(error.contains("the log is that of party-bank, the head that of coordinator"), "{error}");
}

#[test]
fn where_a_head_of_a_run_does_not_fit_that_the_coordinators_log_does_not_name_it_may_be_of_another_log() {
    let place = tempfile::tempdir().unwrap();
    let path = place.path().join("log.jsonl");
    let mut log = AuditLog::open(&path, &Side::Coordinator).unwrap();
    log.append(Some(&run()), &event(0, 0), at(0)).unwrap();
    let chain = LogChain::read(&path).unwrap();
    for sequence in [1, 9] {
        for (of, is_named) in [("spring", true), ("autumn", false)] {
            let head = kept(Head { sequence, entry: Digest([1; 32]) });
            let run = RunId::new(of).unwrap();
            let head = KeptHead { side: "coordinator".to_string(), run, ..head };
            let error = chain.compare(&[head]).unwrap_err().to_string();
            assert_eq!(!error.contains("It has no entry of that run"), is_named, "{error}");
        }
    }
}

#[test]
fn a_process_that_dies_at_any_byte_loses_nothing_that_was_acknowledged() {
    let folder = tempfile::tempdir().unwrap();
    let (path, heads) = log_of(folder.path(), &[0, 3, 1, 2]);
    let bytes = fs::read(&path).unwrap();
    let ends: Vec<usize> = (0..bytes.len()).filter(|at| bytes[*at] == b'\n').map(|at| at + 1).collect();
    for length in 0..=bytes.len() {
        let crashed = folder.path().join("crashed.jsonl");
        fs::write(&crashed, &bytes[..length]).unwrap();
        let acknowledged = ends.iter().filter(|end| **end <= length).count();
        let torn = length - acknowledged.checked_sub(1).map_or(0, |last| ends[last]);
        let mut log = AuditLog::open(&crashed, &Side::Party(bank())).unwrap();
        log.append(Some(&run()), &event(1, 7), at(7)).unwrap();
        let chain = LogChain::read(&crashed).unwrap();
        let mended: Vec<AuditEvent> = chain
            .entries
            .iter()
            .filter_map(|entry| entry.event())
            .filter(|event| matches!(event, AuditEvent::Mended { .. }))
            .collect();
        match torn {
            0 => assert!(mended.is_empty(), "{length}"),
            torn => assert_eq!(mended, [AuditEvent::Mended { cut_bytes: torn as u64 }], "{length}"),
        }
        // Entries that were acknowledged are there, and a log that had none begins anew.
        if acknowledged > 0 {
            assert_eq!(chain.compare(&[kept(heads[acknowledged - 1])]).unwrap(), acknowledged as u64);
        }
        assert_eq!(chain.head(), log.head());
    }
}

#[test]
fn two_writers_of_one_log_make_one_chain() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("log.jsonl");
    let mut writers = [(), ()].map(|()| AuditLog::open(&path, &Side::Coordinator).unwrap());
    for number in 0..6 {
        writers[number % 2].append(None, &event(1, number as u64), at(0)).unwrap();
    }
    let chain = LogChain::read(&path).unwrap();
    assert_eq!((chain.entries.len(), chain.head()), (7, writers[1].head()));
    let other = AuditLog::open(&path, &Side::Party(bank())).unwrap_err().to_string();
    assert!(other.contains("belongs to coordinator, not to party-bank"), "{other}");
}

#[test]
fn a_log_that_is_changed_in_use_is_not_written_to() {
    let folder = tempfile::tempdir().unwrap();
    let (path, _) = log_of(folder.path(), &[0, 3]);
    let bytes = fs::read(&path).unwrap();
    let mut log = AuditLog::open(&path, &Side::Party(bank())).unwrap();
    fs::write(&path, &bytes[..bytes.len() / 2]).unwrap();
    let error = log.append(None, &event(1, 1), at(0)).unwrap_err().to_string();
    assert!(error.contains("is shorter than it was a moment ago"), "{error}");
    let text = String::from_utf8(bytes).unwrap().replace("\"records\":1", "\"records\":2");
    fs::write(&path, text + "{}\n").unwrap();
    let error = AuditLog::open(&path, &Side::Party(bank())).unwrap_err().to_string();
    assert!(error.contains("log.jsonl, line 4: this line is not an entry"), "{error}");
}

#[cfg(unix)]
#[test]
fn its_owner_alone_can_read_a_log() {
    use std::os::unix::fs::PermissionsExt;
    let folder = tempfile::tempdir().unwrap();
    let (path, _) = log_of(folder.path(), &[]);
    assert_eq!(fs::metadata(path).unwrap().permissions().mode() & 0o777, 0o600);
}

/// The trail of the coordinator in a folder, without a policy.
fn trail(folder: &Path) -> (AuditTrail, PathBuf) {
    trail_under(folder, None)
}

/// The same under the policy at `policy`.
fn trail_under(folder: &Path, policy: Option<&Path>) -> (AuditTrail, PathBuf) {
    let mut config = AuditConfig::default();
    config.resolve(folder, &folder.join("ledger.redb"), &folder.join("state")).unwrap();
    let trail = AuditTrail::open(&config, Side::Coordinator, &run(), policy).unwrap();
    (trail, config.folder().to_path_buf())
}

fn told(sequence: u64, byte: u8) -> AuditHead {
    AuditHead { party: Some(bank()), sequence, entry: Digest([byte; 32]), signature: vec![0xab] }
}

#[test]
fn heads_of_peers_are_kept_and_one_that_does_not_fit_is_written_down() {
    let place = tempfile::tempdir().unwrap();
    let (trail, folder) = trail(place.path());
    let stranger = AuditHead { party: Some(PartyName::new("nobody").unwrap()), ..told(4, 1) };
    let own = trail.head().unwrap();
    trail.keep_heads(&[told(4, 1), stranger, own], &[bank()], HeadMoment::Begin).unwrap();
    trail.keep_heads(&[told(4, 1), told(6, 2)], &[bank()], HeadMoment::Finish).unwrap();
    let heads = read_heads(&folder.join("heads/party-bank.jsonl")).unwrap();
    let sequences: Vec<u64> = heads.iter().map(|head| head.sequence).collect();
    assert_eq!((sequences, heads[0].signature.as_deref()), (vec![4, 4, 6], Some("ab")));
    assert_eq!(fs::read_dir(folder.join("heads")).unwrap().count(), 1, "bank's alone");
    for (sequence, byte) in [(6, 3), (5, 9)] {
        trail.keep_heads(&[told(sequence, byte)], &[bank()], HeadMoment::Begin).unwrap();
        let log = LogChain::read(&folder.join("log.jsonl")).unwrap();
        let last = log.entries.last().unwrap().event().unwrap();
        assert_eq!(last, AuditEvent::Contradiction { side: "party-bank".to_string(), sequence });
    }
}

#[test]
fn heads_that_are_told_at_once_are_all_kept() {
    let place = tempfile::tempdir().unwrap();
    let (one, folder) = trail(place.path());
    // As of another process, such as one that serves.
    let (other, _) = trail(place.path());
    std::thread::scope(|scope| {
        for byte in 1..=16_u8 {
            let keeper = if byte % 2 == 0 { &one } else { &other };
            scope.spawn(move || {
                let head = told(byte.into(), byte);
                keeper.keep_heads(&[head], &[bank()], HeadMoment::Begin).unwrap();
            });
        }
    });
    let heads = read_heads(&folder.join("heads/party-bank.jsonl")).unwrap();
    let kept: BTreeSet<u64> = heads.iter().map(|head| head.sequence).collect();
    assert_eq!(kept, (1..=16).collect());
}

#[test]
fn whatever_bit_of_a_kept_head_changes_no_other_head_is_read() {
    let place = tempfile::tempdir().unwrap();
    let (trail, folder) = trail(place.path());
    trail.keep_heads(&[told(4, 1)], &[bank()], HeadMoment::Begin).unwrap();
    trail.keep_heads(&[told(6, 2)], &[bank()], HeadMoment::Finish).unwrap();
    let path = folder.join("heads/party-bank.jsonl");
    let (whole, heads) = (fs::read(&path).unwrap(), read_heads(&path).unwrap());
    for bit in 0..whole.len() * 8 {
        let mut changed = whole.clone();
        changed[bit / 8] ^= 1 << (bit % 8);
        fs::write(&path, &changed).unwrap();
        match read_heads(&path) {
            Ok(read) => assert_eq!(read, heads, "bit {bit}"),
            Err(error) => assert!(error.to_string().contains("party-bank.jsonl"), "bit {bit}: {error}"),
        }
    }
    // Of an earlier version.
    let before: Vec<String> = heads.iter().map(|head| serde_json::to_string(head).unwrap()).collect();
    fs::write(&path, before.join("\n")).unwrap();
    assert_eq!(read_heads(&path).unwrap(), heads);
}

#[test]
fn an_end_that_has_changed_takes_no_entry_away() {
    let folder = tempfile::tempdir().unwrap();
    let (path, _) = log_of(folder.path(), &[0, 3, 1]);
    let bytes = fs::read(&path).unwrap();
    for bit in 0..8 {
        let mut changed = bytes.clone();
        *changed.last_mut().unwrap() ^= 1 << bit;
        fs::write(&path, &changed).unwrap();
        let error = AuditLog::open(&path, &Side::Party(bank())).unwrap_err().to_string();
        assert!(error.contains("log.jsonl, line 4: unexpected bytes follow the last entry"), "{error}");
        assert_eq!(fs::read(&path).unwrap(), changed, "nothing is cut off");
    }
    // A loss of power has left the place of an end that was not forced to the disk: nobody was told of that entry.
    fs::write(&path, [&bytes[..bytes.len() - 1], &[0]].concat()).unwrap();
    let log = AuditLog::open(&path, &Side::Party(bank())).unwrap();
    assert_eq!(
        (LogChain::read(&path).unwrap().entries.len(), log.head().sequence),
        (4, 4),
        "and a line that says so"
    );
}

#[test]
fn a_policy_is_written_down_when_it_changes() {
    let place = tempfile::tempdir().unwrap();
    let path = place.path().join("policy.toml");
    let mut changes = Vec::new();
    for text in [None, Some("min_batch = 1"), Some("min_batch = 1"), Some("min_batch = 2"), None] {
        text.map_or(Ok(()), |text| fs::write(&path, text)).unwrap();
        let (_, folder) = trail_under(place.path(), text.map(|_| path.as_path()));
        changes.push(LogChain::read(&folder.join("log.jsonl")).unwrap().entries.len() - 1);
    }
    assert_eq!(changes, [0, 1, 1, 2, 3]);
}

#[test]
fn a_receipt_holds_no_id_and_is_for_its_request_alone() {
    let place = tempfile::tempdir().unwrap();
    let (trail, folder) = trail(place.path());
    let (request, counts) = (b"patient-4711\n", [("codes".to_string(), 3)].into());
    let path = trail.erased(request, counts).unwrap().unwrap();
    let text = fs::read_to_string(&path).unwrap();
    let receipt: hashvfl_audit::Receipt = serde_json::from_str(&text).unwrap();
    assert!(receipt.receipt.is_for(request) && !receipt.receipt.is_for(b"patient-4712\n"));
    let log = fs::read_to_string(folder.join("log.jsonl")).unwrap();
    assert!(!text.contains("4711") && !log.contains("4711"));
    assert!(log.contains(&receipt.receipt.sha256().to_string()), "{log}");
    assert!(!log.contains(&receipt.receipt.request_sha256), "whoever has the log can test no guess of an id");
}

#[test]
fn a_receipt_that_nobody_has_signed_or_that_says_otherwise_is_none() {
    let place = tempfile::tempdir().unwrap();
    let (trail, _) = trail(place.path());
    let path = trail.erased(b"patient-4711\n", [("codes".to_string(), 3)].into()).unwrap().unwrap();
    let receipt = Receipt::read(&path).unwrap();
    let refused = |receipt: &Receipt| receipt.verify(b"patient-4711\n", &[]).unwrap_err().to_string();
    assert!(refused(&receipt).contains("is not signed, so anyone could have written it: the coordinator"));
    let forged = Receipt { signature: Some("0303".to_string()), ..receipt.clone() };
    assert!(refused(&forged).contains("it was changed after the coordinator signed it"));
    let mut nobody = receipt;
    nobody.receipt.side = "party-".to_string();
    assert!(refused(&nobody).contains("not an erasure receipt"));
    fs::write(&path, "{}").unwrap();
    assert!(matches!(Receipt::read(&path), Err(ReceiptError::NoReceipt)));
    // Its maker's words end no line of whoever reads it.
    nobody.receipt.counts.insert("codes\nverified".to_string(), 1);
    let lines = nobody.receipt.lines();
    assert!(lines.len() == 3 && lines.iter().all(|line| !line.contains('\n')), "{lines:?}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    #[test]
    fn what_stands_before_a_kept_head_cannot_change(
        kinds in prop::collection::vec(0..4_u8, 2..12),
        keep in any::<prop::sample::Index>(),
        first in any::<prop::sample::Index>(),
        second in any::<prop::sample::Index>(),
        byte in any::<u8>(),
    ) {
        let folder = tempfile::tempdir().unwrap();
        let (path, heads) = log_of(folder.path(), &kinds);
        let text = fs::read_to_string(&path).unwrap();
        let lines: Vec<&str> = text.split_inclusive('\n').collect();
        let head = heads[keep.index(heads.len())];
        let vouched = head.sequence as usize;
        prop_assert_eq!(fits(folder.path(), text.as_bytes(), head).unwrap(), head.sequence);
        // A line less, a line twice, two lines swapped, a byte changed.
        let (one, other) = (first.index(vouched), second.index(vouched));
        let mut less = lines.clone();
        less.remove(one);
        prop_assert!(fits(folder.path(), less.concat().as_bytes(), head).is_err());
        let mut twice = lines.clone();
        twice.insert(one, lines[one]);
        prop_assert!(fits(folder.path(), twice.concat().as_bytes(), head).is_err());
        if one != other {
            let mut swapped = lines.clone();
            swapped.swap(one, other);
            prop_assert!(fits(folder.path(), swapped.concat().as_bytes(), head).is_err());
        }
        let end: usize = lines[..vouched].iter().map(|line| line.len()).sum();
        let mut bytes = text.clone().into_bytes();
        let at = second.index(end);
        if bytes[at] != byte {
            bytes[at] = byte;
            prop_assert!(fits(folder.path(), &bytes, head).is_err());
        }
        // A log that goes on after the head still fits it.
        let whole: String = lines[..vouched].concat();
        prop_assert!(fits(folder.path(), whole.as_bytes(), head).is_ok());
    }
}
