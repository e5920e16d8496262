//! Honest holders, and what each role sees.

use std::collections::BTreeSet;
use std::os::unix::fs::PermissionsExt;

use hashvfl_alignment::{AlignmentError, AlignmentFolder, Case};

use crate::fixture::{Fixture, RelayHub, ids, spool};

fn aligned(tables: &[Vec<String>]) -> Fixture {
    let fixture = Fixture::new(tables);
    let hub = RelayHub::default();
    let expected = fixture.expected();
    for ((name, table), outcome) in fixture.tables.iter().zip(fixture.run_all(&hub)) {
        let outcome = outcome.unwrap();
        assert_eq!((outcome.records, outcome.common), (table.len() as u64, expected.len() as u64), "{name}");
        assert_eq!(fixture.order(name), expected, "{name}");
    }
    fixture
}

#[test]
fn two_three_and_five_holders_find_what_a_plain_intersection_finds() {
    aligned(&[ids(0, 5_000, 1), ids(1_000, 9_000, 2)]);
    aligned(&[ids(0, 3_000, 1), ids(1_000, 4_500, 2), ids(500, 2_500, 3)]);
    aligned(&[ids(0, 900, 1), ids(100, 1_000, 2), ids(50, 800, 3), ids(0, 2_100, 4), ids(300, 1_200, 5)]);
    aligned(&[vec!["one".into()], vec!["one".into()]]);
}

#[test]
fn nothing_but_the_order_stays_and_it_is_the_owners_alone() {
    let fixture = aligned(&[ids(0, 300, 1), ids(100, 400, 2)]);
    for name in &fixture.settings.holders {
        let files = std::fs::read_dir(fixture.path(name.as_str())).unwrap();
        let files: BTreeSet<String> =
            files.map(|file| file.unwrap().file_name().into_string().unwrap()).collect();
        assert_eq!(files, ["finished", "lock", "order.csv", "settings"].map(String::from).into());
        let order = fixture.path(name.as_str()).join("order.csv");
        assert_eq!(order.metadata().unwrap().permissions().mode() & 0o777, 0o600);
    }
}

#[test]
fn no_common_id_is_an_outcome_and_no_order() {
    let fixture = Fixture::new(&[ids(0, 50, 1), ids(50, 90, 2)]);
    for outcome in fixture.run_all(&RelayHub::default()) {
        assert_eq!(outcome.unwrap().common, 0);
    }
    assert!(!fixture.path("a").join("order.csv").exists());
}

#[test]
fn a_holder_that_gives_up_is_named_with_those_who_had_not_come() {
    let fixture = Fixture::new(&[ids(0, 50, 1), ids(0, 50, 2), ids(0, 50, 3)]);
    let [a, b, _] = fixture.settings.holders.as_slice() else { panic!("three holders") };
    let hub = RelayHub::default();
    let link = hub.join(a);
    hub.give_up(b);
    let error = fixture.run(a, link).unwrap_err().to_string();
    assert!(error.starts_with("b has stopped; c had not connected; its own log says why"), "{error}");
}

#[test]
fn duplicates_and_missing_ids_are_counted_and_not_shown() {
    let fixture = Fixture::new(&[ids(0, 9, 1), ids(0, 9, 2)]);
    let refused = |ids: &[&str]| {
        let folder = AlignmentFolder::open(&fixture.path("x"), &fixture.settings).unwrap();
        let ids: Vec<String> = ids.iter().map(|id| (*id).to_string()).collect();
        let text = spool(&folder, &fixture.settings, &ids).unwrap_err().to_string();
        assert!(!text.contains("secret"), "{text}");
        text
    };
    assert!(
        refused(&["secret", "b", "secret ", "secret"]).starts_with("2 records with the same normalised id")
    );
    assert!(refused(&["secret", " "]).starts_with("record 2 has no id"));
    assert!(refused(&[]).contains("no record"));
}

#[test]
fn a_folder_belongs_to_one_alignment_and_one_process() {
    let fixture = Fixture::new(&[ids(0, 9, 1), ids(0, 9, 2)]);
    let open = AlignmentFolder::open(&fixture.path("x"), &fixture.settings).unwrap();
    assert!(matches!(
        AlignmentFolder::open(&fixture.path("x"), &fixture.settings),
        Err(AlignmentError::InUse(_))
    ));
    drop(open);
    let mut others = fixture.settings.clone();
    others.case = Case::Lower;
    assert!(matches!(
        AlignmentFolder::open(&fixture.path("x"), &others),
        Err(AlignmentError::OtherAlignment(_))
    ));
    // What is not an alignment's own stays, and nothing is begun beside it.
    for name in ["notes.txt", "ledger.redb", "points-x", ".hidden"] {
        let folder = fixture.path("theirs");
        std::fs::create_dir_all(&folder).unwrap();
        std::fs::write(folder.join(name), "theirs").unwrap();
        for refused in
            [AlignmentFolder::check(&folder, &others), AlignmentFolder::open(&folder, &others).map(drop)]
        {
            assert!(matches!(refused, Err(AlignmentError::Foreign(_))), "{name}: {refused:?}");
        }
        assert_eq!(std::fs::read_dir(&folder).unwrap().count(), 1);
        std::fs::remove_dir_all(&folder).unwrap();
    }
}

/// A relay sees frames under Noise: no point, tag or id, each with at most 33 bytes per point and 17 per tag.
#[test]
fn a_relay_sees_sizes_and_times_alone() {
    let fixture = Fixture::new(&[ids(0, 8_000, 1), ids(4_000, 12_000, 2)]);
    let hub = RelayHub::default();
    fixture.run_all(&hub).into_iter().for_each(|outcome| assert!(outcome.is_ok()));
    let frames = hub.frames();
    let bytes = |from: &str| frames.iter().filter(|f| f.0 == from).map(|f| f.2.len()).sum::<usize>();
    // a: its points, and the tags of b's set; b: its points, and the verdict on a's.
    let (a, b) = (bytes("a"), bytes("b"));
    assert!(a <= 8_000 * 33 + 8_000 * 17, "{a}");
    assert!(b <= 8_000 * 33 + 2 * 1_000 + 500, "{b}");
    let whole: Vec<u8> = frames.into_iter().flat_map(|frame| frame.2).collect();
    // "id-" and two digits: among random bytes once in ten thousand runs.
    let id = |window: &[u8]| window.starts_with(b"id-") && window[3..].iter().all(u8::is_ascii_digit);
    assert!(!whole.windows(5).any(id));
    let mut seen = BTreeSet::new();
    let repeated = whole.chunks_exact(16).filter(|block| !seen.insert(block.to_vec())).count();
    assert_eq!(repeated, 0, "sealed bytes repeat");
}
