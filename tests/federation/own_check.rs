//! A party's check of its own codes: within the policy's limits nothing changes, beyond them the run ends, and others hear of
//! neither figures nor limits.

use hashvfl_core::{Part, Plan};
use hashvfl_leakage::check::FEWEST_RECORDS;

use crate::fixture::{Fixture, PARTIES, RECORDS, Role, command};
use crate::ledger::next_run;

/// A federation whose bank has this policy.
fn under(policy: &str) -> Fixture {
    let mut fixture = Fixture::new();
    fixture.extra.push(("bank", "policy = \"policy.toml\"".into()));
    fixture.write("policy.toml", policy);
    fixture
}

/// Words of a check that nobody but the party may read.
const FIGURES: [&str; 4] = ["explain", "max_", "variance", "identif"];

#[test]
fn codes_within_the_limits_are_checked_and_the_run_is_what_it_is_without() {
    let plain = Fixture::new();
    plain.run();
    let mut fixture = under("max_explained = 1.0\nmax_reidentified = 1.0\n[max_explained_of]\na = 1.0\n");
    fixture.extra.push(("coordinator", "checkpoint_every_s = 0".into()));
    let (mut coordinator, address) = fixture.coordinator();
    let mut parties = PARTIES.map(|name| fixture.party(name, &address));
    coordinator.wait_for("\"epoch\":2");
    parties.iter_mut().for_each(Role::kill);
    coordinator.kill();
    let [first, _] = parties.each_mut().map(|party| party.end().log);
    coordinator.end();
    let (mut coordinator, address) = fixture.coordinator();
    let mut parties = PARTIES.map(|name| fixture.party(name, &address));
    coordinator.succeeds();
    let [second, _] = parties.each_mut().map(|party| party.end().log);
    assert_eq!(fixture.summary()["test"], plain.summary()["test"], "bit for bit");
    let epochs =
        |log: &str, epoch: u32| log.contains(&format!("records and their codes of epoch {epoch} explain"));
    assert!((1..=2).all(|epoch| epochs(&first, epoch)), "{first}");
    assert!(second.contains("goes on from a checkpoint") && epochs(&second, 4), "{second}");
    assert!(
        second.contains("codes of the frozen bottom model of 400 records, one of each, explain"),
        "{second}"
    );
    // Two columns are sums that decide the label, so codes tell much of them and little of the third.
    let line = second.lines().rfind(|line| line.contains("frozen bottom model")).unwrap();
    let explained: f64 = line.split_once("explain ").unwrap().1.split_once(" %").unwrap().0.parse().unwrap();
    assert!((20.0..90.0).contains(&explained), "{line}");
}

#[test]
fn codes_that_tell_too_much_end_the_run_and_nobody_hears_why() {
    let fixture = under("max_explained = 0.05\nmax_refused_runs = 2\n");
    let (mut coordinator, address) = fixture.coordinator();
    let mut parties = PARTIES.map(|name| fixture.party(name, &address));
    let bank = parties[0].end();
    let [error] = bank.errors()[..] else { panic!("{}", bank.log) };
    assert!(
        error.contains("the policy's max_explained = 0.05 refuses 288 records: codes explain up to 0."),
        "{error}"
    );
    for mut other in [coordinator.end(), parties[1].end()] {
        assert!(other.code == Some(1) && other.errors().len() == 1, "{}", other.log);
        other.log.make_ascii_lowercase();
        assert!(!FIGURES.iter().any(|word| other.log.contains(word)), "{}", other.log);
    }
    assert!(fixture.unfinished().is_empty());
    // The run is over for this party, whoever asks: a coordinator that tried again would learn more each time.
    let config = fixture.party_config("bank", &address).display().to_string();
    let refused = |config: &str| {
        let (good, _, errors) = command(&["party", "--config", config]);
        assert!(!good, "{errors}");
        errors
    };
    assert!(refused(&config).contains("this run was refused before"), "{}", refused(&config));
    let (good, _, errors) = command(&["party", "--check", "--config", &config]);
    assert!(!good && errors.contains("this run was refused before"), "{errors}");
    let ledger = fixture.path("bank-ledger.redb").display().to_string();
    let (good, said, errors) = command(&["party", "ledger", "show", "--ledger", &ledger]);
    assert!(good && said.contains("test refused 1 times for what its codes tell"), "{said}{errors}");
    // So are all others once as many were refused as the policy allows.
    let mut fixture = fixture;
    next_run(&mut fixture);
    let (mut coordinator, address) = fixture.coordinator();
    let mut parties = PARTIES.map(|name| fixture.party(name, &address));
    assert!(parties[0].fails().contains("max_explained = 0.05"));
    coordinator.fails();
    parties[1].fails();
    fixture.run_id = "test-3";
    let config = fixture.party_config("bank", &address).display().to_string();
    assert!(refused(&config).contains("the policy's max_refused_runs = 2 refuses"), "{}", refused(&config));
}

/// Signs of validation records have neither the noise nor the dropout of training records, so they tell more.
#[test]
fn codes_of_validation_records_are_held_to_the_policy_as_they_leave() {
    let run = |most: f64| {
        let mut fixture = under(&format!("max_explained = {most:.3}\n"));
        fixture.extra.push(("bank", "encoder.hash.noise = 2.0".into()));
        let (mut coordinator, address) = fixture.coordinator();
        let mut parties = PARTIES.map(|name| fixture.party(name, &address));
        let ends = parties.each_mut().map(Role::end);
        coordinator.end();
        ends
    };
    let [bank, _] = run(1.0);
    assert_eq!(bank.code, Some(0), "{}", bank.log);
    // The greatest upper end, per cent.
    let most = |what: &str| {
        let lines = bank.log.lines().filter(|line| line.contains(what));
        let ends = lines.map(|line| line.split_once(" to ").unwrap().1.split_once(')').unwrap().0);
        ends.map(|end| end.parse::<f64>().unwrap()).fold(0.0, f64::max)
    };
    let training = most("records and their codes of epoch");
    let validation = most("encoded as validation records are, and their codes after epoch");
    assert!(training > 0.0 && validation > training + 3.0, "{training} {validation}");
    let [bank, _] = run((training + validation) / 200.0);
    let [error] = bank.errors()[..] else { panic!("{}", bank.log) };
    assert!(error.contains("the policy's max_explained = 0."), "{error}");
    assert!(!bank.log.contains("frozen bottom model"), "it leaves before the freeze: {}", bank.log);
}

#[test]
fn a_frozen_bottom_model_is_held_to_the_policy_of_the_day() {
    let mut fixture = Fixture::new();
    fixture.run();
    fixture.extra.push(("bank", "policy = \"policy.toml\"".into()));
    fixture.write("policy.toml", "[max_explained_of]\na = 0.02\n");
    let config = fixture.party_config("bank", "127.0.0.1:1").display().to_string();
    let out = fixture.path("codes").display().to_string();
    let encode = ["party", "encode", "--config", &config, "--part", "test", "--out", &out];
    for arguments in [&["party", "serve", "--config", &config][..], &encode[..]] {
        let (good, _, errors) = command(arguments);
        let expected = "the policy's max_explained_of = 0.02 refuses 400 records: codes explain up to 0.";
        assert!(!good && errors.contains(expected) && errors.contains("column \"a\""), "{errors}");
    }
    assert!(!fixture.path("codes").exists());
    fixture.write("policy.toml", "[max_explained_of]\na = 1.0\n");
    let (good, _, errors) = command(&encode);
    assert!(good, "{errors}");
}

#[test]
fn what_cannot_be_checked_is_refused_before_the_run() {
    let check = |fixture: &Fixture| {
        let config = fixture.party_config("bank", "127.0.0.1:1").display().to_string();
        let (good, _, errors) = command(&["party", "--check", "--config", &config]);
        let lines: Vec<&str> = errors.lines().filter(|line| line.starts_with("error: ")).collect();
        assert!(!good && lines.len() == 1 && !errors.contains("panicked"), "{errors}");
        lines[0].to_string()
    };
    let limited = "max_explained = 0.5\n";
    let mut fixture = under(limited);
    fixture.settings.cohort_fraction = 0.5;
    let few = Plan::new(&fixture.settings, RECORDS).unwrap().part(Part::CohortTrain).len();
    assert!(few < FEWEST_RECORDS);
    let expected = format!("{few} records are too few to check codes by: {FEWEST_RECORDS} are needed");
    assert!(check(&fixture).contains(&expected), "{}", check(&fixture));
    let mut fixture = under(limited);
    fixture.settings.randomised_response = Some(2.0);
    assert!(check(&fixture).contains("would void epsilon"), "{}", check(&fixture));
    for (policy, expected) in [
        ("[max_explained_of]\nd = 0.5\n", "max_explained_of: this table has no column \"d\""),
        ("max_explained = 0.0\n", "max_explained: a fraction above 0 and at most 1"),
        ("max_reidentified = \"low\"\n", "policy.toml"),
    ] {
        assert!(check(&under(policy)).contains(expected), "{policy}: {}", check(&under(policy)));
    }
}
