//! What parties release is counted and bounded, over runs, restarts and kills.

use std::collections::BTreeMap;

use hashvfl_core::settings::OnRefusal;
use hashvfl_core::{ExcludedRecords, Part, Plan};

use crate::documented::check_documented;
use crate::fixture::{Fixture, RECORDS, Role, command};

/// Bits of each record in a party's ledger, with how many records have them.
pub fn counted(fixture: &Fixture, party: &str) -> BTreeMap<u64, usize> {
    let path = |name: &str| fixture.path(&format!("{party}{name}")).display().to_string();
    let _ = std::fs::remove_file(path(".csv.out"));
    let (ledger, config, out) = (path("-ledger.redb"), path(".toml"), path(".csv.out"));
    let export = ["party", "ledger", "export", "--ledger", &ledger, "--config", &config, "--out", &out];
    let (good, _, errors) = command(&export);
    assert!(good, "{errors}");
    let mut bits = BTreeMap::new();
    for line in fixture.read(&format!("{party}.csv.out")).lines().skip(1) {
        let cells: Vec<&str> = line.split(',').collect();
        assert!(cells[0].starts_with('r') && cells.len() == 6, "{line}");
        *bits.entry(cells[1].parse().unwrap()).or_default() += 1;
    }
    bits
}

/// The same configs for a new run, in new state folders.
pub fn next_run(fixture: &mut Fixture) {
    for name in ["bank", "telecom", "coordinator"] {
        let state = fixture.path(&format!("{name}-state"));
        std::fs::remove_dir_all(state).unwrap();
    }
    fixture.run_id = "test-2";
}

#[test]
fn a_record_is_counted_over_runs_and_the_same_codes_again_are_free() {
    let mut fixture = Fixture::new();
    fixture.run();
    // 288 training and 32 validation records in 4 epochs, 80 test records once, 8 bits each time.
    let first = BTreeMap::from([(32, 320), (8, 80)]);
    assert_eq!(counted(&fixture, "bank"), first);
    assert_eq!(counted(&fixture, "telecom"), first);
    let path = |name: &str| fixture.path(name).display().to_string();
    let encode = |part: &str| {
        let (config, out) = (path("bank.toml"), path("codes"));
        let (good, _, errors) =
            command(&["party", "encode", "--config", &config, "--part", part, "--out", &out]);
        assert!(good, "{errors}");
    };
    encode("test");
    assert_eq!(counted(&fixture, "bank"), first, "codes that the coordinator has already");
    let nowhere = ["--part", "validation", "--out", &path("none/codes")];
    let (good, _, errors) =
        command(&[&["party", "encode", "--config", &path("bank.toml")][..], &nowhere].concat());
    assert!(!good && errors.contains("cannot write"), "{errors}");
    assert_eq!(counted(&fixture, "bank"), first, "codes that cannot be kept are not charged");
    encode("validation");
    encode("validation");
    assert_eq!(
        counted(&fixture, "bank"),
        BTreeMap::from([(40, 32), (32, 288), (8, 80)]),
        "codes that it lacks"
    );

    let (good, said, errors) = command(&["coordinator", "ledger", "--ledger", &path("label-ledger.redb")]);
    assert!(good, "{errors}");
    // 4 epochs of 288 gradients, each of 8 bytes and a scale.
    assert!(said.contains("gradients to bank: 1152, with 110592 bits in total"), "{said}");
    assert!(said.contains("losses to summary: 19, with"), "{said}");

    next_run(&mut fixture);
    fixture.run();
    // The same seed ends at the same frozen encoder, whose codes of test records are known.
    assert_eq!(
        counted(&fixture, "telecom"),
        BTreeMap::from([(64, 320), (8, 80)]),
        "a new run resets nothing"
    );
    let ledger = fixture.path("bank-ledger.redb").display().to_string();
    let (good, said, errors) = command(&["party", "ledger", "show", "--ledger", &ledger]);
    assert!(good && said.contains("codes to test: ") && said.contains("codes to test-2: "), "{said}{errors}");
    let (good, said, _) = command(&["party", "ledger", "explain", "--ledger", &ledger, "--id", "r0"]);
    assert!(good && said.contains("this record released") && !said.contains("r0"), "{said}");
    let (good, said, _) = command(&["party", "ledger", "explain", "--ledger", &ledger]);
    assert!(good && said.contains("What the numbers mean"), "{said}");
}

/// A run in which bank has this policy; what the coordinator, bank and telecom say.
fn refused(fixture: &Fixture) -> [String; 3] {
    let (mut coordinator, address) = fixture.coordinator();
    let mut parties = ["bank", "telecom"].map(|name| fixture.party(name, &address));
    [coordinator.fails(), parties[0].fails(), parties[1].fails()]
}

#[test]
fn a_request_beyond_the_policy_ends_the_run_and_names_rule_and_records() {
    let mut fixture = Fixture::new();
    fixture.extra.push(("bank", "policy = \"policy.toml\"".into()));
    fixture.write("policy.toml", "bits_per_record = 40\nruns = [\"test*\"]\n");
    fixture.run();
    next_run(&mut fixture);
    let [coordinator, bank, telecom] = refused(&fixture);
    for said in [&coordinator, &bank] {
        assert!(said.contains("the policy's bits_per_record = 40 refuses 288 records"), "{said}");
    }
    assert!(coordinator.contains("bank stopped"), "{coordinator}");
    assert!(telecom.contains("bank stopped; its own log says why"), "{telecom}");
    assert!(counted(&fixture, "bank").keys().all(|bits| *bits <= 40));
    assert_eq!(counted(&fixture, "bank")[&8], 80, "no test record was asked for again");
}

/// The same tables cut down to their first `records` records; returns what puts them back.
pub fn first_records(fixture: &Fixture, records: usize) -> impl Fn() + use<> {
    let names = ["bank.csv", "telecom.csv", "labels.csv"];
    let whole = names.map(|name| (fixture.path(name), fixture.read(name)));
    for (path, text) in &whole {
        let lines: Vec<&str> = text.lines().take(records + 1).collect();
        std::fs::write(path, lines.join("\n") + "\n").unwrap();
    }
    move || whole.iter().for_each(|(path, text)| std::fs::write(path, text).unwrap())
}

#[test]
fn a_run_goes_on_without_records_that_a_policy_refuses() {
    let mut fixture = Fixture::new();
    fixture.settings.on_refusal = OnRefusal::LeaveOut;
    fixture.extra.push(("bank", "policy = \"policy.toml\"".into()));
    fixture.write("policy.toml", "bits_per_record = 40\n");
    let whole = first_records(&fixture, 200);
    fixture.run();
    // 144 training and 16 validation records of 32 bits, 40 test records of 8.
    assert_eq!(counted(&fixture, "bank"), BTreeMap::from([(32, 160), (8, 40)]));
    assert_eq!(fixture.summary()["excluded"], serde_json::json!({"bank": 0, "telecom": 0}));
    whole();
    next_run(&mut fixture);
    fixture.run();

    let plan = Plan::new(&fixture.settings, RECORDS).unwrap();
    let first = Plan::new(&fixture.settings, 200).unwrap();
    let spent: Vec<u32> =
        [Part::Train, Part::Validation].iter().flat_map(|part| first.part(*part).to_vec()).collect();
    // Of these, test records need one code more, which bank allows.
    let tested = plan.part(Part::Test);
    let gone: Vec<u32> = spent.into_iter().filter(|row| !tested.contains(row)).collect();
    let plan = plan.without(&ExcludedRecords::of(&gone, RECORDS)).unwrap();
    let summary = fixture.summary();
    assert_eq!(summary["excluded"], serde_json::json!({"bank": gone.len(), "telecom": 0}));
    check_documented(&summary, &["bank", "telecom"]);
    let parts = |part| serde_json::json!(plan.part(part).len());
    assert_eq!(summary["records"]["train"], parts(Part::Train));
    assert_eq!(summary["test"]["rows"], parts(Part::Test));
    let bits = counted(&fixture, "bank");
    assert!(bits.keys().all(|bits| *bits <= 40), "{bits:?}");
    let told = counted(&fixture, "telecom").values().sum::<usize>();
    assert_eq!(told, RECORDS, "bank's records are left out by telecom too, and counted nowhere twice");
    let config = fixture.path("coordinator.toml").display().to_string();
    let (good, said, errors) = command(&["coordinator", "evaluate", "--config", &config]);
    assert!(good && serde_json::from_str::<serde_json::Value>(&said).unwrap() == summary["test"], "{errors}");

    // Who has nothing left ends the run before a record is asked for.
    next_run(&mut fixture);
    fixture.run_id = "test-3";
    let [coordinator, bank, telecom] = refused(&fixture);
    for said in [coordinator, bank, telecom] {
        assert!(said.contains("too few records") && said.contains("without the records"), "{said}");
    }
    assert_eq!(counted(&fixture, "bank"), bits);
}

#[test]
fn a_policy_that_forbids_a_run_says_so_before_it() {
    for (policy, expected) in [
        ("runs = [\"spring\"]", "the policy's runs = [\"spring\"] refuses 400 records"),
        ("min_batch = 33", "the policy's min_batch = 33 refuses 32 records"),
        ("bits = 3", "unknown field `bits`"),
        ("batch_statistics = \"never\"", "unknown field `batch_statistics`"),
    ] {
        let mut fixture = Fixture::new();
        fixture.extra.push(("bank", "policy = \"policy.toml\"".into()));
        fixture.write("policy.toml", policy);
        let config = fixture.party_config("bank", "127.0.0.1:1");
        let config = config.to_str().unwrap();
        for arguments in [&["party", "--check", "--config", config][..], &["party", "--config", config]] {
            let (good, _, errors) = command(arguments);
            assert!(!good && errors.contains(expected), "{policy}: {errors}");
        }
        assert!(!fixture.path("bank-ledger.redb").exists(), "nothing was asked for");
    }
}

#[test]
fn a_killed_party_has_counted_all_that_it_sent() {
    let mut fixture = Fixture::new();
    fixture.settings.epochs = 100_000;
    let (mut coordinator, address) = fixture.coordinator();
    let mut parties = ["bank", "telecom"].map(|name| fixture.party(name, &address));
    coordinator.wait_for("\"epoch\":5");
    parties.iter_mut().for_each(Role::kill);
    coordinator.fails();
    let bits = counted(&fixture, "bank");
    assert!(bits.keys().all(|bits| *bits == 0 || *bits >= 5 * 8), "{bits:?}");
    assert!(bits.values().sum::<usize>() == 320, "no test record was asked for: {bits:?}");
}

#[test]
fn two_processes_do_not_share_a_ledger() {
    let fixture = Fixture::new();
    let (coordinator, address) = fixture.coordinator();
    let bank = fixture.party("bank", &address);
    coordinator.wait_for("joined");
    let telecom = fixture.party_config("telecom", &address);
    let text = fixture.read("telecom.toml").replace("telecom-ledger.redb", "bank-ledger.redb");
    fixture.write("telecom.toml", &text);
    let (good, _, errors) = command(&["party", "--config", telecom.to_str().unwrap()]);
    assert!(!good && errors.contains("is in use by another process"), "{errors}");
    drop(bank);
}
