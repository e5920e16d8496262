//! Parties' own detectors: fitted when a run ends, a few bits beside each code, counted, bounded, and part of the flags.

use std::collections::BTreeMap;

use crate::fixture::{Fixture, PARTIES, RECORDS, Role, command};
use crate::ledger::counted;
use crate::predict::{all_by, predict, serving};

/// A federation that has run with detectors at all sides; bank sends p-values, telecom flags.
fn trained() -> Fixture {
    let mut fixture = Fixture::new();
    fixture.settings.calibration_fraction = 0.65;
    fixture.extra = vec![
        ("coordinator", "detectors = { level = 0.1 }".into()),
        ("bank", "detectors = { send = \"p_value\", level = 0.03 }".into()),
        ("telecom", "detectors = { send = \"flag\", level = 0.05 }".into()),
    ];
    fixture.run();
    fixture
}

#[test]
fn classes_that_can_never_be_flagged_are_told_before_the_run() {
    let mut fixture = Fixture::new();
    fixture.settings.calibration_fraction = 0.65;
    fixture.extra = vec![("coordinator", "detectors = { level = 0.02, per_class = true }".into())];
    let (coordinator, _) = fixture.coordinator();
    coordinator.wait_for_log("[detectors]: per_class calibrates by predicted class, and ");
}

/// p-value and flag of each record of the last answer.
fn judged(fixture: &Fixture) -> Vec<(f64, bool)> {
    let cells = |line: &str| {
        let mut cells = line.rsplit(',');
        let flagged = cells.next() == Some("yes");
        (cells.next().unwrap().parse().unwrap(), flagged)
    };
    fixture.read("answer.csv").lines().skip(1).map(cells).collect()
}

fn ids(prefix: &str, count: usize) -> Vec<String> {
    (0..count).map(|row| format!("{prefix}{row}")).collect()
}

fn stop(parties: &mut [Role], coordinator: &mut Role) {
    parties.iter_mut().chain([&mut *coordinator]).for_each(Role::terminate);
    parties.iter_mut().chain([coordinator]).for_each(Role::succeeds);
}

#[test]
fn p_values_are_part_of_the_flags_and_counted_with_the_codes() {
    let fixture = trained();
    for name in PARTIES {
        let path = fixture.path(&format!("{name}-state/detectors.hashvfl"));
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o600);
        }
        assert!(path.exists());
    }
    let (mut coordinator, address) = fixture.serve();
    let mut parties = serving(&fixture, &coordinator, &address);
    let all = ids("r", RECORDS);
    let (first, errors) = predict(&fixture, &address, &all);
    assert!(all_by(&first, "bank+telecom") && errors.is_empty(), "{errors}");
    let normal = judged(&fixture);
    assert!(normal.iter().all(|(p, flagged)| (*p <= 0.1) == *flagged), "{normal:?}");
    assert!(normal.iter().filter(|(_, flagged)| *flagged).count() < RECORDS / 5);
    stop(&mut parties, &mut coordinator);
    // 80 training and 32 validation records in 4 epochs, test and calibration records once; then codes of 8 bits with 4
    // or 1 more, which have left of 62 calibrating records before.
    let of_bank = BTreeMap::from([(44, 112), (20, 226), (24, 62)]);
    assert_eq!(counted(&fixture, "bank"), of_bank);
    assert_eq!(counted(&fixture, "telecom"), BTreeMap::from([(41, 112), (17, 226), (18, 62)]));

    // What is known outlasts the coordinator, p-values as well as codes: nobody is there to ask.
    let (mut coordinator, address) = fixture.serve();
    predict(&fixture, &address, &all);
    assert_eq!(judged(&fixture), normal);
    stop(&mut [], &mut coordinator);
    // Should it be lost, the same codes and p-values are free.
    let codes = fixture.path("coordinator-state/codes");
    for entry in std::fs::read_dir(codes).unwrap().map(|entry| entry.unwrap().path()) {
        if entry.extension().is_some_and(|end| end == "served") {
            std::fs::remove_file(entry).unwrap();
        }
    }
    let (mut coordinator, address) = fixture.serve();
    let mut parties = serving(&fixture, &coordinator, &address);
    predict(&fixture, &address, &all);
    assert_eq!(judged(&fixture), normal);
    stop(&mut parties, &mut coordinator);
    assert_eq!(counted(&fixture, "bank"), of_bank);
}

#[test]
fn rows_of_a_broken_sensor_are_flagged_by_the_partys_own_detectors() {
    let mut fixture = trained();
    // Rows of a broken sensor at bank: their codes are those of very large values, which the coordinator knows, and
    // bank's own detectors see that no record was like that.
    let spoil = |line: &str| {
        let cells: Vec<&str> = line.split(',').collect();
        let far = |cell: &str| cell.parse::<f64>().unwrap() * 40.0;
        format!("{},{},{},{}\n", cells[0], far(cells[1]), far(cells[2]), far(cells[3]))
    };
    for name in PARTIES {
        let text = fixture.read(&format!("{name}.csv")).replace("\nr", "\nnew-");
        let mut lines = text.lines();
        let mut table = format!("{}\n", lines.next().unwrap());
        for (row, line) in lines.enumerate().take(200) {
            table += &if name == "bank" && row < 100 { spoil(line) } else { format!("{line}\n") };
        }
        fixture.write(&format!("new-{name}.csv"), &table);
        let key = if name == "bank" { "coordinator" } else { name };
        let serve = |key: &str| {
            format!("serve = {{ {key} = {{ format = \"csv\", paths = [\"new-{name}.csv\"], id = \"id\" }} }}")
        };
        fixture.extra.push((name, serve("columns")));
        if key == "coordinator" {
            fixture.extra.push((key, serve("records")));
        }
    }
    let flagged = |fixture: &Fixture| {
        let (mut coordinator, address) = fixture.serve();
        let mut parties = serving(fixture, &coordinator, &address);
        let (new, errors) = predict(fixture, &address, &ids("new-", 200));
        assert!(all_by(&new, "bank+telecom") && errors.is_empty(), "{errors}");
        stop(&mut parties, &mut coordinator);
        let judged = judged(fixture);
        let count = |rows: &[(f64, bool)]| rows.iter().filter(|(_, flagged)| *flagged).count();
        [count(&judged[..100]), count(&judged[100..])]
    };
    let [broken, others] = flagged(&fixture);
    assert!(broken > 90 && others < 30, "{broken} {others}");
    // A party that sends nothing any more is asked again, and codes alone tell less.
    fixture.extra.retain(|(name, line)| *name != "bank" || !line.starts_with("detectors"));
    let [unseen, _] = flagged(&fixture);
    assert!(unseen < broken, "{unseen} of {broken}");
}

#[test]
fn a_policy_forbids_them_and_a_party_without_fitted_detectors_says_so() {
    let mut fixture = trained();
    fixture.extra.push(("bank", "policy = \"policy.toml\"".into()));
    fixture.write("policy.toml", "p_value_bits = 1\n");
    let (coordinator, address) = fixture.serve();
    let refusal = "the policy's p_value_bits = 1 refuses 400 records: each code would be sent with 4 bits from detectors";
    let error = fixture.party_serves("bank", &address).fails();
    assert!(error.contains(refusal), "{error}");
    let config = fixture.party_config("bank", &address).display().to_string();
    let (good, _, errors) = command(&["party", "--check", "--config", &config]);
    assert!(!good && errors.contains(refusal), "{errors}");
    fixture.write("policy.toml", "p_value_bits = 4\n");
    std::fs::remove_file(fixture.path("bank-state/detectors.hashvfl")).unwrap();
    let error = fixture.party_serves("bank", &address).fails();
    assert!(error.contains("detectors.hashvfl does not exist: a party fits its detectors when"), "{error}");
    drop(coordinator);

    // Before a run: too few records for the level, or none at all.
    let check = |fixture: &Fixture| {
        let config = fixture.party_config("telecom", "127.0.0.1:1").display().to_string();
        command(&["party", "--check", "--config", &config]).2
    };
    let mut fixture = Fixture::new();
    fixture.extra.push(("telecom", "detectors = { level = 0.01 }".into()));
    assert!(
        check(&fixture).contains("[detectors] needs run.calibration_fraction above 0"),
        "{}",
        check(&fixture)
    );
    fixture.settings.calibration_fraction = 0.65;
    assert!(
        check(&fixture).contains("needs 99 calibrating records, but only 62 of the calibration part's 208"),
        "{}",
        check(&fixture)
    );
}

#[test]
fn p_values_that_no_run_has_calibrated_take_no_part_in_flags() {
    let mut fixture = trained();
    // Fitted, and known as flags until now: nothing tells what its p-values of normal records are.
    fixture.extra.retain(|(name, _)| *name != "telecom");
    fixture.extra.push(("telecom", "detectors = { send = \"p_value\", level = 0.05 }".into()));
    let (mut coordinator, address) = fixture.serve();
    let mut parties = serving(&fixture, &coordinator, &address);
    let (answer, errors) = predict(&fixture, &address, &ids("r", RECORDS));
    assert!(all_by(&answer, "bank+telecom") && errors.is_empty(), "{errors}");
    assert!(judged(&fixture).iter().any(|(_, flagged)| *flagged), "bank's still do");
    parties.iter_mut().for_each(Role::terminate);
    coordinator.terminate();
    let (good, log) = coordinator.ends();
    assert!(good && log.contains("flags do not use the p-values of telecom"), "{log}");
    assert!(!log.contains("the p-values of bank"), "{log}");
}

#[test]
fn p_values_that_would_exceed_a_policy_stay_at_the_party_and_the_run_goes_on() {
    let mut fixture = Fixture::new();
    fixture.settings.calibration_fraction = 0.65;
    fixture.extra = vec![
        ("coordinator", "detectors = { level = 0.1 }".into()),
        ("bank", "detectors = { send = \"p_value\", level = 0.03 }".into()),
        ("bank", "policy = \"policy.toml\"".into()),
    ];
    // One code of 8 bits of each record, and no more.
    fixture.write("policy.toml", "bits_per_record = 8\n");
    fixture.settings.epochs = 1;
    let (mut coordinator, address) = fixture.coordinator();
    let mut bank = fixture.party("bank", &address);
    let mut telecom = fixture.party("telecom", &address);
    let (good, log) = bank.ends();
    assert!(good && log.contains("bits_per_record = 8 refuses 62 records"), "{log}");
    assert!(log.contains("the coordinator will not use this party's detectors"), "{log}");
    telecom.succeeds();
    coordinator.succeeds();
    assert!(!fixture.path("coordinator-state/evidence.hashvfl").exists());
}

#[test]
fn a_check_says_what_level_the_calibration_records_can_tell() {
    let check = |level: f64| {
        let mut fixture = Fixture::new();
        fixture.settings.calibration_fraction = 0.65;
        fixture.extra.push(("coordinator", format!("detectors = {{ level = {level} }}")));
        let config = fixture.coordinator_config().display().to_string();
        command(&["coordinator", "--check", "--config", &config])
    };
    let (good, _, errors) = check(0.01);
    assert!(
        !good && errors.contains("needs 99 calibrating records, but only 62 of the calibration part's 208"),
        "{errors}"
    );
    let (good, said, errors) = check(0.05);
    let told = "flags at level 0.05 depend on the 3 strangest of them";
    assert!(good && (said.contains(told) || errors.contains(told)), "{said}{errors}");
    let (good, said, errors) = check(0.1);
    assert!(good && !said.contains("strangest") && !errors.contains("strangest"), "{said}{errors}");
}
