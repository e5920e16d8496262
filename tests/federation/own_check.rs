//! A party's check of its own codes: within the policy's limits nothing changes, beyond them the run ends, and others hear of
//! neither figures nor limits.

use hashvfl_core::random::{stream, uniform};
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
        |log: &str, epoch: u32| log.contains(&format!("records, with their codes of epoch {epoch}, explain"));
    assert!((1..=2).all(|epoch| epochs(&first, epoch)), "{first}");
    // A bottom model moves within an epoch too.
    for batch in [2, 3] {
        let look = format!("before epoch 1, with their codes from its batch {batch} on, explain");
        assert!(first.contains(&look), "{look}: {first}");
    }
    assert!(!first.contains("before epoch 2, with their codes from"), "{first}");
    assert!(second.contains("continues from a checkpoint") && epochs(&second, 4), "{second}");
    assert!(
        second.contains("codes of the frozen bottom model, one for each of 400 records, explain"),
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
    assert!(refused(&config).contains("this run was already refused"), "{}", refused(&config));
    let (good, _, errors) = command(&["party", "--check", "--config", &config]);
    assert!(!good && errors.contains("this run was already refused"), "{errors}");
    let ledger = fixture.path("bank-ledger.redb").display().to_string();
    let (good, said, errors) = command(&["party", "ledger", "show", "--ledger", &ledger]);
    assert!(
        good && said.contains("test was refused once because its codes revealed too much"),
        "{said}{errors}"
    );
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

/// The upper end, in per cent, of the interval in a line: `(LOWER to UPPER)`.
fn end_of_interval(line: &str) -> f64 {
    line.split_once(" to ").unwrap().1.split_once(')').unwrap().0.parse().unwrap()
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
        lines.map(end_of_interval).fold(0.0, f64::max)
    };
    let training = most("training records, with their codes of epoch");
    let validation = most("encoded like validation records, with their codes after epoch");
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
    assert!(good && errors.contains("what left in training is not kept"), "{errors}");
}

/// The upper end, in per cent, of the last line with these words.
fn upper_end(log: &str, words: &str) -> f64 {
    let line = log.lines().rfind(|line| line.contains(words));
    end_of_interval(line.unwrap_or_else(|| panic!("{words}: {log}")))
}

/// One code may tell little, and one more than all that left in training too much: who serves the same records is held to both.
#[test]
fn codes_of_a_frozen_bottom_model_are_checked_together_with_what_left_in_training() {
    let mut fixture = under("max_explained = 1.0\n");
    fixture.settings.bits = 4;
    fixture.settings.epochs = 6;
    fixture.run();
    let released = fixture.path("bank-state/released.safetensors");
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        assert_eq!(released.metadata().unwrap().permissions().mode() & 0o777, 0o600);
    }
    assert!(!fixture.path("telecom-state/released.safetensors").exists(), "nothing is limited there");
    let [config, out, ids] =
        ["bank.toml", "codes", "ids.txt"].map(|name| fixture.path(name).display().to_string());
    let encode = |part: &str| {
        let (good, _, said) =
            command(&["party", "encode", "--config", &config, "--part", part, "--out", &out]);
        (good, said)
    };
    let all_of = |records: usize| {
        format!("all codes sent of {records} records in training, with one more code, explain")
    };
    let (good, said) = encode("train");
    assert!(good && !said.contains("encoded like validation records in training"), "{said}");
    let (alone, together) = (upper_end(&said, "one for each of "), upper_end(&said, &all_of(288)));
    assert!(together > alone + 1.0, "{alone} {together}");
    let (good, said) = encode("validation");
    assert!(good && said.contains("all codes sent of 320 records encoded like validation records"), "{said}");

    fixture.write("policy.toml", &format!("max_explained = {:.4}\n", (alone + together) / 200.0));
    let (good, said) = encode("test");
    assert!(good && !said.contains("in training"), "test records left nothing in training: {said}");
    let (served, _, serving) = command(&["party", "serve", "--config", &config]);
    let (encoded, encoding) = encode("train");
    for (good, said) in [(served, serving), (encoded, encoding)] {
        assert!(!good && said.contains("the policy's max_explained = 0."), "{said}");
        assert!(said.contains(" refuses 288 records: codes explain up to 0."), "{said}");
    }

    // Whoever is erased is forgotten here as well.
    fixture.write("policy.toml", "max_explained = 1.0\n");
    let named: Vec<String> = (0..40).map(|record| format!("r{record}")).collect();
    fixture.write("ids.txt", &named.join("\n"));
    let (good, said, errors) = command(&["party", "erase", "--config", &config, "--ids", &ids]);
    let forgotten =
        said.split_once("forgot the codes sent of ").map(|(_, rest)| rest.split_once(' ').unwrap().0);
    let forgotten: usize = forgotten.unwrap_or_else(|| panic!("{said}{errors}")).parse().unwrap();
    assert!(good && (1..=40).contains(&forgotten), "{said}{errors}");
    let (good, said) = encode("train");
    let left = (248..288).find(|records| said.contains(&all_of(*records)));
    assert!(good && left.is_some_and(|left| left + forgotten >= 288), "{left:?} {forgotten}: {said}");
    std::fs::remove_file(&released).unwrap();
    let (good, said) = encode("train");
    assert!(!good && said.contains("released.safetensors is not there, which says what left"), "{said}");
}

/// What a party's own detectors say of a record leaves beside its code, so it is checked with it.
#[test]
fn p_values_are_checked_beside_the_codes_that_they_leave_with() {
    let mut fixture = under("max_explained = 1.0\n");
    fixture.settings.calibration_fraction = 0.37;
    fixture.extra.push(("coordinator", "detectors = { level = 0.1 }".into()));
    fixture.extra.push(("bank", "detectors = { send = \"p_value\", level = 0.1 }".into()));
    let mut rng = stream(5, "own check", &[]);
    let mut draw = || uniform(&mut rng) - 0.5;
    let mut tables = [String::from("id,a,b,c\n"), String::from("id,a,b,c\n")];
    let mut labels = String::from("id,y\n");
    for record in 0..700 {
        let mut sum = 0.0;
        for table in &mut tables {
            let (a, b, c) = (draw(), draw(), draw());
            sum += a + b;
            *table += &format!("r{record},{a},{b},{c}\n");
        }
        labels += &format!("r{record},{}\n", u8::from(sum > 0.0));
    }
    PARTIES.iter().zip(&tables).for_each(|(name, table)| fixture.write(&format!("{name}.csv"), table));
    fixture.write("labels.csv", &labels);
    let (mut coordinator, address) = fixture.coordinator();
    let mut parties = PARTIES.map(|name| fixture.party(name, &address));
    coordinator.succeeds();
    let [bank, _] = parties.each_mut().map(Role::end);
    let checked = "codes and p-values of the frozen bottom model, one for each of 700 records, explain";
    assert!(bank.code == Some(0) && bank.log.contains(checked), "{}", bank.log);
    fixture.write("policy.toml", "max_explained = 0.001\n");
    let config = fixture.path("bank.toml").display().to_string();
    let (good, _, said) = command(&["party", "serve", "--config", &config]);
    assert!(
        !good && said.contains("codes and p-values to be served, one for each of 700 records,"),
        "{said}"
    );
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
    let expected =
        format!("{few} records are too few to check what codes reveal: at least {FEWEST_RECORDS} are needed");
    assert!(check(&fixture).contains(&expected), "{}", check(&fixture));
    let mut fixture = under(limited);
    fixture.settings.randomised_response = Some(2.0);
    assert!(check(&fixture).contains("would void epsilon"), "{}", check(&fixture));
    for (policy, expected) in [
        ("[max_explained_of]\nd = 0.5\n", "max_explained_of: this table has no column \"d\""),
        ("max_explained = 0.0\n", "max_explained must be a fraction above 0 and at most 1"),
        ("max_reidentified = \"low\"\n", "policy.toml"),
    ] {
        assert!(check(&under(policy)).contains(expected), "{policy}: {}", check(&under(policy)));
    }
}
