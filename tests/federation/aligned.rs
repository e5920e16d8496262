//! Private alignment between processes: rows unordered, some missing at each side, then killed in the midst of it.

use std::collections::BTreeSet;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use hashvfl_data::Order;

use crate::fixture::{Fixture, PARTIES, Role, command, wait_until};
use crate::predict::{all_by, predict, serving};

/// A fixture whose tables miss different records, in different orders, with keys pinned in policies.
pub fn unordered(most: u32) -> Fixture {
    let mut fixture = Fixture::new();
    let mut keys = Vec::new();
    for name in ["bank", "telecom", "labels"] {
        let key = fixture.path(&format!("{name}-align.key"));
        let role = if name == "labels" { "coordinator" } else { "party" };
        let (good, out, error) = command(&[role, "keygen", "--out", key.to_str().unwrap()]);
        assert!(good, "{error}");
        keys.push((name, out.trim().to_string()));
    }
    for (index, name) in ["bank", "telecom", "labels"].into_iter().enumerate() {
        let text = fixture.read(&format!("{name}.csv"));
        let mut lines: Vec<&str> = text.lines().collect();
        let header = lines.remove(0);
        let mut row = 0;
        lines.retain(|_| {
            row += 1;
            row % 10 != index
        });
        lines.rotate_left(37 * (index + 1));
        lines.reverse();
        fixture.write(&format!("{name}.csv"), &format!("{header}\n{}\n", lines.join("\n")));
        let pins: String = keys
            .iter()
            .filter(|(other, _)| *other != name)
            .map(|(other, key)| format!("{other} = \"{key}\"\n"))
            .collect();
        fixture.write(
            &format!("{name}-policy.toml"),
            &format!("[alignment]\nmost = {most}\n[alignment.keys]\n{pins}"),
        );
        let own = if name == "labels" { "name = \"labels\", " } else { "" };
        let table = format!(
            "policy = \"{name}-policy.toml\"\nalignment = {{ {own}folder = \"{name}-align\", key = \"{name}-align.key\", \
             settings = {{ id = \"al\", holders = [\"bank\", \"telecom\", \"labels\"], comparer = \"labels\", most_records = 1000 }} }}"
        );
        let config = if name == "labels" { "coordinator" } else { name };
        fixture.extra.push((config, table));
    }
    fixture
}

/// The ids of a table.
fn ids(fixture: &Fixture, file: &str) -> Vec<String> {
    fixture.read(file).lines().skip(1).map(|line| line.split(',').next().unwrap().to_string()).collect()
}

/// The ids that a holder keeps from an alignment.
fn agreed(fixture: &Fixture, name: &str) -> Vec<String> {
    Order::read(&fixture.path(&format!("{name}-align/order.csv"))).unwrap().own
}

fn coordinator(fixture: &Fixture) -> (Role, String) {
    let config = fixture.coordinator_config();
    let role = Role::start(&["coordinator", "align", "--json", "--config"], &config, "info");
    let line = role.next_line().expect("an address");
    let event: serde_json::Value = serde_json::from_str(&line).unwrap();
    (role, event["address"].as_str().unwrap().to_string())
}

fn party(config: &Path) -> Role {
    Role::start(&["party", "align", "--config"], config, "info")
}

/// Aligns the tables of a fixture, whose configs then name their orders.
pub fn align(fixture: &mut Fixture) {
    let (mut relay, address) = coordinator(fixture);
    let mut parties = PARTIES.map(|name| party(&fixture.party_config(name, &address)));
    parties.iter_mut().for_each(Role::succeeds);
    relay.succeeds();
    for (config, name) in [("bank", "bank"), ("telecom", "telecom"), ("coordinator", "labels")] {
        fixture.extra.push((config, format!("order = \"{name}-align/order.csv\"")));
    }
}

/// Fails unless all holders have the same order, of the common records.
pub fn check(fixture: &Fixture) {
    let sets: Vec<BTreeSet<String>> = ["bank.csv", "telecom.csv", "labels.csv"]
        .map(|file| ids(fixture, file).into_iter().collect())
        .to_vec();
    let expected: BTreeSet<String> =
        sets[0].iter().filter(|id| sets[1].contains(*id) && sets[2].contains(*id)).cloned().collect();
    let orders: Vec<Vec<String>> = ["bank", "telecom", "labels"].map(|name| agreed(fixture, name)).to_vec();
    assert!(orders.windows(2).all(|pair| pair[0] == pair[1]));
    assert!(orders[0].len() > 200 && orders[0].iter().cloned().collect::<BTreeSet<_>>() == expected);
    assert!(!fixture.path("bank-align/scalar").exists());
}

/// From unordered tables of different records to one model, without a shared order beforehand.
#[test]
fn what_was_aligned_is_trained_on_and_a_table_that_changed_since_is_refused() {
    let mut fixture = unordered(1);
    align(&mut fixture);
    fixture.run();
    let auc = fixture.summary()["test"]["auc"].as_f64().unwrap();
    assert!(auc > 0.75, "rows of one record must meet: {auc}");
    // Served records are the aligned ones, where nothing else is said.
    let (coordinator, address) = fixture.serve();
    let parties = serving(&fixture, &coordinator, &address);
    let (rows, errors) = predict(&fixture, &address, &agreed(&fixture, "labels"));
    assert!(all_by(&rows, "bank+telecom") && rows.len() > 200, "{errors}");
    drop((coordinator, parties));
    // Records of another table are found in it by an order of their own.
    for name in PARTIES {
        let columns = format!("columns = {{ format = \"csv\", paths = [\"{name}.csv\"], id = \"id\" }}");
        fixture.extra.push((name, format!("serve = {{ {columns}, order = \"{name}-align/order.csv\" }}")));
    }
    fixture.extra.push(("coordinator", "serve = { order = \"labels-align/order.csv\" }".into()));
    let (coordinator, address) = fixture.serve();
    let parties = serving(&fixture, &coordinator, &address);
    let (again, errors) = predict(&fixture, &address, &agreed(&fixture, "labels"));
    assert_eq!(again, rows, "{errors}");
    drop((coordinator, parties));
    let table = fixture.read("bank.csv");
    fixture.write("bank.csv", &format!("{table}r9999,0.1,0.2,0.3\n"));
    let config = fixture.path("bank.toml");
    let (good, _, error) = command(&["party", "--check", "--config", config.to_str().unwrap()]);
    assert!(!good && error.contains("changed"), "{error}");
}

#[test]
fn three_processes_agree_and_a_second_alignment_is_over_the_policy() {
    let fixture = unordered(1);
    let (mut relay, address) = coordinator(&fixture);
    let mut parties = PARTIES.map(|name| party(&fixture.party_config(name, &address)));
    parties.iter_mut().for_each(Role::succeeds);
    relay.succeeds();
    check(&fixture);
    // One that is through and started again, when nobody is there any more, says so.
    let text = fixture.read("bank.toml").replace("connect_s = 20", "connect_s = 1");
    fixture.write("bank.toml", &text);
    party(&fixture.path("bank.toml")).succeeds();
    check(&fixture);
    std::fs::remove_dir_all(fixture.path("bank-align")).unwrap();
    let error = party(&fixture.path("bank.toml")).fails();
    assert!(error.contains("alignment.most = 1 refuses"), "{error}");
}

#[test]
fn a_party_killed_again_and_again_ends_with_the_same_order() {
    // One that is killed between counting and its first point counts once more.
    let fixture = unordered(6);
    let (mut relay, address) = coordinator(&fixture);
    let configs = PARTIES.map(|name| fixture.party_config(name, &address));
    // Where it was through when it was killed, nobody may be there any more.
    let text = fixture.read("bank.toml").replace("connect_s = 20", "connect_s = 3");
    fixture.write("bank.toml", &text);
    let mut telecom = party(&configs[1]);
    for kill in 0..5 {
        let mut bank = party(&configs[0]);
        thread::sleep(Duration::from_millis(20 * kill));
        bank.kill();
    }
    party(&configs[0]).succeeds();
    telecom.succeeds();
    relay.succeeds();
    check(&fixture);
}

/// One whose own table stops it before it comes.
#[test]
fn a_holder_that_gives_up_is_named_to_all_at_once() {
    let fixture = unordered(1);
    let (mut relay, address) = coordinator(&fixture);
    let configs = PARTIES.map(|name| fixture.party_config(name, &address));
    let mut telecom = party(&configs[1]);
    let table = fixture.read("bank.csv");
    let again = table.lines().nth(1).unwrap();
    fixture.write("bank.csv", &format!("{table}{again}\n"));
    let began = Instant::now();
    let own = party(&configs[0]).fails();
    assert!(own.contains("1 record with the ") && own.contains("keep one record per id"), "{own}");
    for error in [telecom.fails(), relay.fails()] {
        assert!(error.contains("bank has stopped") && error.contains("its own log says why"), "{error}");
    }
    assert!(began.elapsed().as_secs() < 30, "nobody waits for it: {:?}", began.elapsed());
}

/// One whose policy is damaged since it was written.
#[test]
fn a_holder_whose_policy_cannot_be_read_is_named_to_all_at_once() {
    let fixture = unordered(1);
    let (mut relay, address) = coordinator(&fixture);
    let configs = PARTIES.map(|name| fixture.party_config(name, &address));
    let mut telecom = party(&configs[1]);
    fixture.write("bank-policy.toml", "[alignment]\nmost = ");
    let began = Instant::now();
    let own = party(&configs[0]).fails();
    assert!(own.contains("bank-policy.toml"), "{own}");
    for error in [telecom.fails(), relay.fails()] {
        assert!(error.contains("bank has stopped") && error.contains("its own log says why"), "{error}");
    }
    assert!(began.elapsed().as_secs() < 30, "nobody waits for it: {:?}", began.elapsed());
}

/// Waits until the bank has joined and blinded its own set, with which it begins.
fn until_bank_is_there(fixture: &Fixture) {
    let sorted = fixture.path("bank-align/sorted-0");
    wait_until("the bank does not come", || sorted.exists());
}

#[test]
fn a_holder_that_the_relay_refuses_is_named_to_those_who_come_later_and_may_come_again() {
    let fixture = unordered(1);
    let (mut relay, address) = coordinator(&fixture);
    let configs = PARTIES.map(|name| fixture.party_config(name, &address));
    let text = fixture.read("telecom.toml");
    fixture.write("telecom.toml", &text.replace("most_records = 1000", "most_records = 999"));
    let error = party(&configs[1]).fails();
    assert!(error.contains("alignment.most_records is 1000 at the relay and 999 at telecom"), "{error}");
    std::fs::remove_dir_all(fixture.path("telecom-align")).unwrap();
    std::fs::remove_file(fixture.path("telecom-ledger.redb")).unwrap();
    fixture.write("telecom.toml", &text);
    let mut bank = party(&configs[0]);
    until_bank_is_there(&fixture);
    party(&configs[1]).succeeds();
    let (good, log) = bank.ends();
    assert!(good && log.contains("the relay has refused telecom"), "{log}");
    relay.succeeds();
}

/// One in whose folder a bit has changed.
#[test]
fn a_holder_that_fails_once_it_has_joined_is_named_to_those_who_come_later() {
    let fixture = unordered(1);
    let (mut relay, address) = coordinator(&fixture);
    let configs = PARTIES.map(|name| fixture.party_config(name, &address));
    let bank = party(&configs[0]);
    until_bank_is_there(&fixture);
    drop(bank);
    let sorted = fixture.path("bank-align/sorted-0");
    let mut bytes = std::fs::read(&sorted).unwrap();
    bytes[1_000] ^= 1;
    std::fs::write(&sorted, bytes).unwrap();
    let own = party(&configs[0]).fails();
    assert!(own.contains("bank-align/sorted-0 is damaged: all holders must start over"), "{own}");
    let came = Instant::now();
    let error = party(&configs[1]).fails();
    assert!(error.contains("bank has stopped") && error.contains("its own log says why"), "{error}");
    assert!(came.elapsed() < Duration::from_secs(30), "it waits for nobody: {:?}", came.elapsed());
    let error = relay.fails();
    assert!(error.contains("bank has stopped"), "{error}");
}

#[test]
fn a_holder_without_a_policy_or_a_key_of_another_is_told_before_anything_is_read() {
    let fixture = unordered(1);
    let config = fixture.party_config("telecom", "127.0.0.1:1");
    let text = fixture.read("telecom.toml");
    fixture.write("telecom.toml", &text.replace("policy = \"telecom-policy.toml\"", ""));
    let none = party(&config).fails();
    assert!(none.contains("telecom needs a `policy`"), "{none}");
    fixture.write("telecom.toml", &text);
    let policy: String = fixture
        .read("telecom-policy.toml")
        .lines()
        .filter(|line| !line.starts_with("labels"))
        .collect::<Vec<_>>()
        .join("\n");
    fixture.write("telecom-policy.toml", &policy);
    fixture.write("telecom.toml", &text.replace("connect_s = 20", "connect_s = 1"));
    let lacking = party(&config).fails();
    assert!(lacking.contains("pins no key of labels") && lacking.contains("pin --config"), "{lacking}");
    assert!(!fixture.path("telecom-align").exists() && !fixture.path("telecom-ledger.redb").exists());
}
