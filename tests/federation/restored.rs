//! Backups that are restored: a ledger that is older than the audit trail beside it, and both together, of which the coordinator
//! has kept a newer head.

use std::fs;
use std::path::{Path, PathBuf};

use crate::fixture::{Fixture, PARTIES, Role, command, wait_until};

/// Files of bank that outlive a run.
const KEPT: [&str; 2] = ["bank-ledger.redb", "bank-ledger.audit/log.jsonl"];

/// Copies what bank keeps into the folder `to`, or back from there.
fn copy(from: &Path, to: &Path, names: &[&str]) {
    for name in names {
        fs::create_dir_all(to.join(name).parent().unwrap()).unwrap();
        fs::copy(from.join(name), to.join(name)).unwrap();
    }
}

/// Another run in the place of the one before.
fn next_run(fixture: &mut Fixture, run: &'static str) {
    for side in ["coordinator", PARTIES[0], PARTIES[1]] {
        fs::remove_dir_all(fixture.path(&format!("{side}-state"))).unwrap();
    }
    fixture.run_id = run;
}

/// Two runs were, of which the first left a backup, and a third is about to begin; bank's files, and its backup.
fn with_backup_of_a_run_before() -> (Fixture, PathBuf, PathBuf) {
    let mut fixture = Fixture::new();
    fixture.run();
    let (own, backup) = (fixture.folder.path().to_path_buf(), fixture.path("backup"));
    copy(&own, &backup, &KEPT);
    next_run(&mut fixture, "second");
    fixture.run();
    next_run(&mut fixture, "third");
    (fixture, own, backup)
}

#[test]
fn a_ledger_that_is_older_than_its_audit_trail_sends_nothing() {
    let (fixture, own, backup) = with_backup_of_a_run_before();
    let config = fixture.party_config("bank", "127.0.0.1:1");
    let check = ["party", "--check", "--config", config.to_str().unwrap()];
    let (good, said, errors) = command(&check);
    assert!(good, "the ledger of the last run is in order: {said}{errors}");

    copy(&backup, &own, &KEPT[..1]);
    let (good, _, errors) = command(&check);
    assert!(!good && errors.contains("it is an older copy"), "{errors}");
    assert_eq!(errors.lines().count(), 1, "{errors}");
    let run = Role::start(&["party", "--config"], &config, "info").fails();
    assert!(run.contains("it is an older copy") && run.contains("docs/how-to/back-up.md"), "{run}");
    // Without a ledger it is the same.
    fs::remove_file(fixture.path(KEPT[0])).unwrap();
    let (good, _, errors) = command(&check);
    assert!(!good && errors.contains("counts 0 items"), "{errors}");
}

#[test]
fn a_party_whose_ledger_and_audit_trail_are_older_than_the_head_that_was_kept_is_refused() {
    let (fixture, own, backup) = with_backup_of_a_run_before();
    copy(&backup, &own, &KEPT);
    let config = fixture.party_config("bank", "127.0.0.1:1");
    let (good, _, errors) = command(&["party", "--check", "--config", config.to_str().unwrap()]);
    assert!(good, "they are of one day, so nothing here tells: {errors}");

    let (mut coordinator, address) = fixture.coordinator();
    let refused = fixture.party("bank", &address).fails();
    assert!(refused.contains("an older backup may have been restored"), "{refused}");
    let accept = "coordinator audit accept --config FILE party/bank";
    assert!(refused.contains(accept), "what to do: {refused}");
    let config = fixture.path("coordinator.toml");
    let config = config.to_str().unwrap();
    let (good, said, errors) = command(&["coordinator", "audit", "accept", "--config", config, "party/bank"]);
    assert!(good && said.contains("accepted the current log of party bank"), "{said}{errors}");
    // Twice is once too often: there is nothing that keeps it out.
    let (good, _, errors) = command(&["coordinator", "audit", "accept", "--config", config, "party/bank"]);
    assert!(!good && errors.contains("no head of the audit trail of party bank is stored"), "{errors}");
    let mut parties = PARTIES.map(|name| fixture.party(name, &address));
    coordinator.succeeds();
    parties.iter_mut().for_each(Role::succeeds);

    let (good, log, errors) = command(&["coordinator", "audit", "show", "--config", config]);
    assert!(good, "{errors}");
    assert!(log.contains("bank refused from training: older-log"), "{log}");
    assert!(log.contains("the log of party-bank is taken as it is now, in place of one of"), "{log}");
    let aside = fs::read_dir(fixture.path("label-ledger.audit/heads")).unwrap();
    let names: Vec<String> = aside.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    assert!(names.iter().any(|name| name.starts_with("party-bank.until-")), "{names:?}");
}

/// Bank comes to serve, and its side and the coordinator end again.
fn bank_serves_once(fixture: &Fixture) {
    let entries = || fs::metadata(fixture.path(KEPT[1])).unwrap().len();
    let before = entries();
    let (mut coordinator, address) = fixture.serve();
    let mut bank = fixture.party_serves("bank", &address);
    coordinator.wait_for("\"joined\",\"party\":\"bank\"");
    wait_until("bank writes nothing down", || entries() != before);
    for role in [&mut bank, &mut coordinator] {
        role.terminate();
        role.succeeds();
    }
}

#[test]
fn a_party_that_is_older_than_the_head_that_it_told_when_it_served_serves_no_more() {
    let fixture = Fixture::new();
    fixture.run();
    let (own, backup) = (fixture.folder.path().to_path_buf(), fixture.path("backup"));
    copy(&own, &backup, &KEPT);
    // What it wrote down while it served the first time is in the head that it tells the second time.
    bank_serves_once(&fixture);
    bank_serves_once(&fixture);
    copy(&backup, &own, &KEPT);
    let (mut coordinator, address) = fixture.serve();
    let refused = fixture.party_serves("bank", &address).fails();
    assert!(refused.contains("an older backup may have been restored"), "{refused}");
    coordinator.terminate();
    coordinator.succeeds();
}
