//! Bits that change on disk in the folder of an alignment: each is found before anything is done with its file, and none costs
//! an order that is there already.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;
use std::sync::{Arc, Mutex};

use hashvfl_alignment::identity::SecretKey;
use hashvfl_alignment::{
    AlignmentConfig, AlignmentError, AlignmentFolder, AlignmentResult, Holder, HolderLimits, Owner, align,
};
use hashvfl_core::PartyName;
use hashvfl_core::records::order;
use hashvfl_ledger::Policy;

use crate::fixture::{Fixture, HEADER_BYTES, MEMORY_BYTES, RelayHub, RelayLink, ids};

/// The files of a folder that hold anything.
type Files = BTreeMap<String, Vec<u8>>;

fn files(folder: &Path) -> Files {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap());
    let files =
        entries.map(|entry| (entry.file_name().into_string().unwrap(), fs::read(entry.path()).unwrap()));
    files.filter(|(name, bytes)| !name.starts_with('.') && !bytes.is_empty()).collect()
}

fn write(folder: &Path, files: &Files) {
    fs::create_dir_all(folder).unwrap();
    files.iter().for_each(|(name, bytes)| fs::write(folder.join(name), bytes).unwrap());
}

/// Two holders with two common records, whose alignment is over; and the folder of each whenever it sent a frame.
fn aligned() -> (Fixture, Vec<(PartyName, Files)>) {
    let fixture = Fixture::new(&[ids(0, 3, 1), ids(1, 4, 2)]);
    let seen = Arc::new(Mutex::new(Vec::new()));
    let (home, record) = (fixture.folder.path().to_path_buf(), Arc::clone(&seen));
    // Whoever sends does nothing else meanwhile, so its files are those that a kill at this moment leaves.
    let hub = RelayHub::meddling(Box::new(move |from, _, frame| {
        let stage = (PartyName::new(from.to_string()).unwrap(), files(&home.join(from)));
        record.lock().unwrap().push(stage);
        vec![frame]
    }));
    assert!(fixture.run_all(&hub).iter().all(|outcome| outcome.as_ref().is_ok_and(|it| it.common == 2)));
    let mut stages = seen.lock().unwrap().clone();
    stages.extend(
        fixture.settings.holders.iter().map(|name| (name.clone(), files(&fixture.path(name.as_str())))),
    );
    (fixture, stages)
}

/// Whether a holder would go on with what is in `folder`.
fn goes_on(
    fixture: &Fixture,
    name: &PartyName,
    key: &SecretKey,
    folder: &Path,
) -> Result<(), AlignmentError> {
    let folder = AlignmentFolder::open(folder, &fixture.settings)?;
    let pinned = |other: &PartyName| fixture.keys.get(other).copied();
    let limits = HolderLimits { wait: fixture.wait, memory_bytes: MEMORY_BYTES };
    let link = RelayHub::default().join(name);
    Holder::new(&fixture.settings, name, &folder, key, &pinned, link, limits)?;
    Ok(())
}

/// Changes each bit of `file` in turn, and hands the path to `look`; the file is what it was afterwards.
fn each_bit(path: &Path, file: &[u8], mut look: impl FnMut(usize)) {
    for bit in 0..file.len() * 8 {
        let mut changed = file.to_vec();
        changed[bit / 8] ^= 1 << (bit % 8);
        fs::write(path, changed).unwrap();
        look(bit);
    }
    fs::write(path, file).unwrap();
}

/// Flips every bit of every file of a holder, at the first stage that has the file; the names of files.
fn flip_all(fixture: &Fixture, holder: &PartyName, stages: &[(PartyName, Files)]) -> BTreeSet<String> {
    let key = SecretKey::read(&fixture.path(&format!("{holder}.key"))).unwrap();
    let folder = fixture.path(&format!("{holder}-changed"));
    let mut flipped = BTreeSet::new();
    for (_, stage) in stages.iter().filter(|(name, _)| name == holder) {
        write(&folder, stage);
        goes_on(fixture, holder, &key, &folder).unwrap();
        for (name, file) in stage {
            // A journal that holds nothing yet is begun anew, and the order is for whoever reads it to check.
            if file.len() <= HEADER_BYTES || name == "order.csv" || !flipped.insert(name.clone()) {
                continue;
            }
            let path = folder.join(name);
            each_bit(&path, file, |bit| match goes_on(fixture, holder, &key, &folder) {
                Err(AlignmentError::Damaged(found)) => assert_eq!(found, path, "{holder}, {name}, bit {bit}"),
                other => panic!("{holder}, {name}, bit {bit} of {}: {other:?}", file.len() * 8),
            });
        }
        fs::remove_dir_all(&folder).unwrap();
    }
    flipped
}

#[test]
fn every_bit_that_changes_in_the_folder_of_an_alignment_is_found() {
    let (fixture, stages) = aligned();
    let flipped: BTreeSet<String> = std::thread::scope(|scope| {
        let (fixture, stages) = (&fixture, &stages);
        let flip = |holder| scope.spawn(move || flip_all(fixture, holder, stages));
        let threads: Vec<_> = fixture.settings.holders.iter().map(flip).collect();
        threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
    });
    let kinds: BTreeSet<&str> = flipped.iter().map(|name| name.split('-').next().unwrap()).collect();
    let expected = [
        "fingerprint",
        "finished",
        "ids",
        "mask",
        "placed",
        "places",
        "points",
        "records",
        "scalar",
        "settings",
        "sorted",
        "tags",
        "verdict",
    ];
    assert_eq!(kinds, expected.into());
    // What comes of it has a digest of its own.
    let path = fixture.path("a").join("order.csv");
    let file = fs::read(&path).unwrap();
    assert!(order::verified(&file).is_some());
    each_bit(&path, &file, |bit| {
        assert!(order::verified(&fs::read(&path).unwrap()).is_none(), "bit {bit}");
    });
}

/// What `a` says whose alignment is over, when nobody is there any more.
fn ask_once_more(fixture: &Fixture, least_common: u64) -> anyhow::Result<AlignmentResult> {
    let [a, b] = fixture.settings.holders.as_slice() else { panic!("two holders") };
    let config = AlignmentConfig {
        folder: fixture.path("a"),
        key: fixture.path("a.key"),
        name: None,
        settings: fixture.settings.clone(),
    };
    let keys = format!("[alignment.keys]\n{b} = \"{}\"", fixture.keys[b]);
    let policy = Policy::parse(&format!("[alignment]\nleast_common = {least_common}\n{keys}")).unwrap();
    let ledger = fixture.path("ledger.redb");
    let owner = Owner {
        key_columns: 1,
        read: &|_| panic!("no table is read"),
        ledger: &ledger,
        policy: &policy,
        wait: fixture.wait,
    };
    let join = || -> anyhow::Result<RelayLink> { anyhow::bail!("nobody is there") };
    align(&config, a, &owner, join, &mut |_| {})
}

#[test]
fn an_order_is_not_removed_because_a_bit_has_changed() {
    let (fixture, _) = aligned();
    let [finished, order] = ["finished", "order.csv"].map(|name| fixture.path("a").join(name));
    let written = fs::read(&order).unwrap();
    assert_eq!(ask_once_more(&fixture, 2).unwrap(), AlignmentResult { records: 3, common: 2 });
    each_bit(&finished, &fs::read(&finished).unwrap(), |bit| {
        let error = ask_once_more(&fixture, 2).unwrap_err();
        let found = error.downcast_ref();
        assert!(
            matches!(found, Some(AlignmentError::Damaged(path)) if *path == finished),
            "bit {bit}: {error}"
        );
    });
    // Earlier versions wrote no digest: what they wrote is read, and removes nothing.
    fs::write(&finished, "3 2\n").unwrap();
    assert_eq!(ask_once_more(&fixture, 2).unwrap(), AlignmentResult { records: 3, common: 2 });
    fs::write(&finished, "3 0\n").unwrap();
    let error = ask_once_more(&fixture, 2).unwrap_err().to_string();
    assert!(error.contains("an earlier version recorded 0 common records"), "{error}");
    assert_eq!(fs::read(&order).unwrap(), written);
}

#[test]
fn too_few_common_records_leave_no_order() {
    let (fixture, _) = aligned();
    let error = ask_once_more(&fixture, 3).unwrap_err().to_string();
    assert!(error.contains("the holders have 2 records in common, but an order needs at least 3"), "{error}");
    assert!(!fixture.path("a").join("order.csv").exists());
}

#[test]
fn what_an_earlier_version_has_begun_is_refused_and_stays() {
    let (fixture, stages) = aligned();
    let a = &fixture.settings.holders[0];
    let key = SecretKey::read(&fixture.path("a.key")).unwrap();
    let folder = fixture.path("earlier");
    let mut begun = stages.into_iter().find(|(name, _)| name == a).unwrap().1;
    begun.get_mut("scalar").unwrap().truncate(32);
    // Its settings had no digest of their own.
    begun.insert("settings".to_string(), fixture.settings.digest().to_string().into_bytes());
    write(&folder, &begun);
    let error = goes_on(&fixture, a, &key, &folder).unwrap_err();
    assert!(matches!(&error, AlignmentError::EarlierVersion(path) if *path == folder), "{error}");
    let mut left = files(&folder);
    left.retain(|name, _| begun.contains_key(name));
    assert_eq!(left, begun);
}
