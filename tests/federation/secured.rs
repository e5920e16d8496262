//! Federations over mutual TLS, from empty folders by the commands of both sides: what is learned is the same, and whoever
//! is not the one that its certificate names is not let in.

use std::process::Command;
use std::time::{Duration, Instant};

use crate::fixture::{Fixture, PARTIES, Role, command, done, wait_until};
use crate::predict::ids;
use crate::proxy::Proxy;

/// The last word of the line of `text` that holds `what`.
pub fn last_word(text: &str, what: &str) -> String {
    let line = text.lines().find(|line| line.contains(what)).unwrap_or_else(|| panic!("no {what}: {text}"));
    line.split_whitespace().last().unwrap().to_string()
}

/// The fingerprint of the key in a side's folder.
pub fn key_of(fixture: &Fixture, folder: &str) -> String {
    let folder = fixture.path(folder).display().to_string();
    last_word(&done(&["party", "identity", "show", "--folder", &folder]), "key        ")
}

/// A fixture whose sides have identities: folders `shop`, `bank` and `telecom`, each in its config.
pub fn secured() -> Fixture {
    let mut fixture = Fixture { secured: true, ..Fixture::new() };
    let shop = fixture.path("shop").display().to_string();
    let said = done(&["coordinator", "identity", "init", "--name", "shop", "--folder", &shop]);
    let authority = last_word(&said, "authority  ");
    for name in PARTIES {
        enrol(&fixture, "party", name, &authority);
    }
    for (side, folder) in [("coordinator", "shop"), ("bank", "bank"), ("telecom", "telecom")] {
        fixture.extra.push((side, format!("identity = {{ folder = \"{folder}\" }}")));
    }
    fixture
}

/// Gives `name` an identity in the folder of that name.
pub fn enrol(fixture: &Fixture, role: &str, name: &str, authority: &str) {
    let (shop, folder) = (fixture.path("shop"), fixture.path(name));
    let (shop, own) = (shop.display().to_string(), folder.display().to_string());
    let program = if role == "party" { "party" } else { "coordinator" };
    let said = done(&[program, "identity", "request", "--name", name, "--role", role, "--folder", &own]);
    let told = last_word(&said, "with a new key");
    let request = folder.join(format!("{role}-{name}.request.pem")).display().to_string();
    done(&["coordinator", "identity", "sign", &request, "--fingerprint", &told, "--folder", &shop]);
    let answer = folder.join(format!("{role}-{name}.certificate.pem")).display().to_string();
    let said = done(&[program, "identity", "accept", &answer, "--authority", authority, "--folder", &own]);
    let pin = format!("party identity pin coordinator/NAME=FINGERPRINT --folder {own}\n");
    assert_eq!(said.contains(&pin), role == "party", "{said}");
}

/// The command in `said` that begins so, with words of it replaced.
fn printed(said: &str, begins: &str, replaced: &[(&str, &str)]) -> String {
    let line = said.lines().map(str::trim_start).find(|line| line.starts_with(begins));
    let line = line.unwrap_or_else(|| panic!("no {begins}: {said}")).to_string();
    replaced.iter().fold(line, |line, (old, new)| line.replace(old, new))
}

#[test]
fn the_commands_that_identity_prints_work_as_they_stand() {
    let fixture = Fixture::new();
    fixture.write("shop.toml", "[identity]\nfolder = \"shop-identity\"\n");
    fixture.write(
        "bank.toml",
        "name = \"bank\"\n[identity]\nfolder = \"bank-identity\"\npins = \"peers.toml\"\n",
    );
    let path = |name: &str| fixture.path(name).display().to_string();
    let (shop, bank) = (path("shop.toml"), path("bank.toml"));
    let run = |line: String| done(&line.split_whitespace().collect::<Vec<_>>());
    let made = run(format!("coordinator identity init --name shop --config {shop}"));
    let requested = run(format!("party identity request --config {bank}"));
    // What is sent lies where its receiver is.
    let request = path("bank-identity/party-bank.request.pem");
    let sent =
        [(" party-bank.request.pem ", format!(" {request} ")), ("--config FILE", format!("--config {shop}"))];
    let sent = sent.each_ref().map(|(old, new)| (*old, new.as_str()));
    run(printed(&requested, "coordinator identity sign", &sent));
    let answer = path("bank-identity/party-bank.certificate.pem");
    let authority = last_word(&made, "authority  ");
    let came = [("party-bank.certificate.pem", answer.as_str()), ("FINGERPRINT", authority.as_str())];
    let accepted = run(printed(&requested, "party identity accept", &came));
    let key = last_word(&made, "coordinator/shop  ");
    run(printed(&accepted, "party identity pin", &[("NAME", "shop"), ("FINGERPRINT", &key)]));
    assert!(fixture.read("peers.toml").contains(&key), "the file that the config reads");
    // A renewed certificate, with the config of the side that accepts it.
    let renewed = run(format!("coordinator identity renew party/bank --config {shop}"));
    let answer = path("shop-identity/party-bank.certificate.pem");
    let came = [(" party-bank.certificate.pem", format!(" {answer}")), ("FILE", bank.clone())];
    let came = came.each_ref().map(|(old, new)| (*old, new.as_str()));
    run(printed(&renewed, "party identity accept", &came));
}

#[test]
fn what_is_learned_over_tls_is_what_is_learned_without() {
    let plain = Fixture::new();
    plain.run();
    let fixture = secured();
    let (mut coordinator, address) = fixture.coordinator();
    let config = fixture.party_config("bank", &address).display().to_string();
    let said = done(&["party", "--config", &config, "--check"]);
    assert!(said.contains(&format!("at http://{address}: coordinator/shop with the key ")), "{said}");
    let mut parties = PARTIES.map(|name| fixture.party(name, &address));
    coordinator.succeeds();
    for party in &mut parties {
        let (good, errors) = party.ends();
        assert!(good && errors.contains("coordinator/shop answers at"), "{errors}");
    }
    assert_eq!(fixture.summary()["test"], plain.summary()["test"], "bit for bit");
}

#[test]
fn plain_text_is_refused_for_another_machine_before_anything_is_sent() {
    let fixture = Fixture::new();
    let refused = |arguments: &[&str]| {
        let (good, _, errors) = command(arguments);
        let expected = "insecure_plaintext = true is allowed only on one machine";
        assert!(!good && errors.contains(expected), "{arguments:?}: {errors}");
        assert!(errors.contains("create an identity (docs/how-to/identities.md)"), "{errors}");
    };
    let party = fixture.party_config("bank", "192.0.2.7:7433").display().to_string();
    refused(&["party", "--config", &party, "--check"]);
    let coordinator = fixture.coordinator_config().display().to_string();
    let open = fixture.read("coordinator.toml").replace("127.0.0.1:0", "0.0.0.0:0");
    fixture.write("coordinator.toml", &open);
    refused(&["coordinator", "--config", &coordinator, "--check"]);
}

#[test]
fn a_check_asks_which_coordinator_on_another_machine_a_party_dials_by_name_and_key() {
    let fixture = secured();
    let config = fixture.party_config("bank", "192.0.2.7:7433").display().to_string();
    let checked = || {
        let (good, _, errors) = command(&["party", "--config", &config, "--check"]);
        assert!(good, "{errors}");
        errors
    };
    assert!(checked().contains("any coordinator whose certificate the authority signed is accepted"));
    let named =
        fixture.read("bank.toml").replace("folder = \"bank\"", "folder = \"bank\", coordinator = \"shop\"");
    fixture.write("bank.toml", &named);
    let pin = format!("`party identity pin coordinator/shop=KEY --config {config}`");
    let errors = checked();
    assert!(errors.contains("could sign another coordinator/shop") && errors.contains(&pin), "{errors}");
    let (key, folder) = (key_of(&fixture, "shop"), fixture.path("bank").display().to_string());
    done(&["party", "identity", "pin", &format!("coordinator/shop={key}"), "--folder", &folder]);
    let errors = checked();
    assert!(!errors.contains("the authority"), "all is said: {errors}");
    // Whoever approves a run sees it, too.
    fixture.write("policy.toml", "require_approval = true\n");
    fixture.write("bank.toml", &format!("policy = \"policy.toml\"\n{named}"));
    let said = done(&["party", "approve", "--config", &config]);
    let expected = format!("  coordinator: only coordinator/shop, and only with the key {key}\n");
    assert!(said.contains(&expected), "{said}");
}

#[test]
fn whoever_is_another_than_its_certificate_names_is_not_let_in() {
    let fixture = secured();
    let (mut coordinator, address) = fixture.coordinator();
    // The config of one with the identity of the other: it finds out itself.
    let config = fixture.party_config("bank", &address);
    let text = fixture.read("bank.toml").replace("folder = \"bank\"", "folder = \"telecom\"");
    fixture.write("bank.toml", &text);
    let (good, _, errors) = command(&["party", "--config", &config.display().to_string(), "--check"]);
    assert!(
        !good && errors.contains("is the certificate of party/telecom, but this party is party/bank"),
        "{errors}"
    );
    // Without an identity there is no TLS, and so no stream.
    let text = text
        .replace("identity = {", "insecure_plaintext = true # {")
        .replace("connect_s = 20", "connect_s = 1");
    fixture.write("bank.toml", &text);
    let (good, _, errors) = command(&["party", "--config", &config.display().to_string()]);
    assert!(!good && errors.contains("error: "), "{errors}");
    coordinator.kill();
    let (_, errors) = coordinator.ends();
    assert!(errors.contains("it did not use TLS"), "{errors}");
}

#[test]
fn a_party_that_is_revoked_in_a_run_ends_within_seconds_and_all_hear_who() {
    // Nobody waits for it to come back, also where runs that were interrupted are waited for.
    let mut fixture = Fixture { reconnect_s: 60, on_interruption: "wait", ..secured() };
    fixture.settings.epochs = 100_000;
    let (mut coordinator, address) = fixture.coordinator();
    let mut bank = fixture.party("bank", &address);
    let mut telecom = fixture.party("telecom", &address);
    coordinator.wait_for("\"epoch\":2");
    let shop = fixture.path("shop").display().to_string();
    done(&["coordinator", "identity", "revoke", "party/telecom", "--reason", "test", "--folder", &shop]);
    let began = Instant::now();
    let error = coordinator.fails();
    let took = began.elapsed();
    let reason = "the run ends without telecom: the connection was ended (the certificate of party/telecom is revoked)";
    assert!(error.contains(reason), "{error}");
    assert!(took < Duration::from_secs(30), "{took:?}");
    println!("the run ended {took:?} after the revocation");
    let error = bank.fails();
    assert!(error.contains(reason), "{error}");
    telecom.fails();
    assert_eq!(fixture.unfinished(), Vec::<String>::new(), "nothing of a run that did not finish");
    // It is not let in again, and hears why.
    let (mut coordinator, address) = fixture.coordinator();
    let error = fixture.party("telecom", &address).fails();
    assert!(error.contains("the certificate of party/telecom is revoked"), "{error}");
    coordinator.kill();
}

fn signal(role: &Role, signal: &str) {
    assert!(Command::new("kill").args([signal, &role.pid().to_string()]).status().unwrap().success());
}

/// Replaces certificates `times` times in a run of so many epochs, spread over it; the last time, the coordinator has another
/// key as well. Compares what was learned with an undisturbed run.
fn replace_certificates(epochs: u32, times: u32) {
    let began = Instant::now();
    let settings = |fixture: &mut Fixture| fixture.settings.epochs = epochs;
    let mut plain = Fixture::new();
    settings(&mut plain);
    run_to_the_end(&plain);
    let mut fixture = Fixture { reconnect_s: 60, ..secured() };
    settings(&mut fixture);
    let (mut coordinator, address) = fixture.coordinator();
    let proxy = Proxy::to(&address);
    let mut bank = fixture.party("bank", &proxy.address);
    let mut telecom = fixture.party("telecom", &address);
    let shop = fixture.path("shop").display().to_string();
    let key = |text: &str| last_word(text, "key        ");
    let old = key(&done(&["coordinator", "identity", "show", "--folder", &shop]));
    for time in 0..times {
        coordinator.wait_for(&format!("\"epoch\":{},", 2 + time * (epochs / 2 / times)));
        let own = fixture.path("bank").display().to_string();
        done(&["coordinator", "identity", "renew", "party/bank", "--folder", &shop]);
        let answer = fixture.path("shop/party-bank.certificate.pem").display().to_string();
        done(&["party", "identity", "accept", &answer, "--folder", &own]);
    }
    replace_key_of_the_coordinator(&fixture, &shop);
    let new = key(&done(&["coordinator", "identity", "show", "--folder", &shop]));
    assert_ne!(old, new);
    signal(&bank, "-CONT");
    coordinator.wait_for(&format!("\"epoch\":{},", epochs / 2 + 20));
    assert_eq!(proxy.opened(), 1, "no connection was lost");
    assert_eq!(proxy.cut(), 1);
    while coordinator.next_line().is_some() {}
    coordinator.succeeds();
    telecom.succeeds();
    let (good, log) = bank.ends();
    assert!(good, "{log}");
    for key in [&old, &new] {
        assert!(log.contains(&format!("with the key {key}")), "{key}: {log}");
    }
    assert!(log.contains("the files of party/bank have changed"), "{log}");
    assert_eq!(fixture.summary()["test"], plain.summary()["test"], "bit for bit");
    assert_eq!(fixture.summary()["best_epoch"], plain.summary()["best_epoch"]);
    let (seconds, connections) = (began.elapsed().as_secs(), proxy.opened());
    println!(
        "{epochs} epochs, {times} new certificates, {seconds} s with the undisturbed run: {connections} connections of the bank"
    );
}

/// A whole federation, however long it takes between two lines.
fn run_to_the_end(fixture: &Fixture) {
    let (mut coordinator, address) = fixture.coordinator();
    let mut parties = PARTIES.map(|name| fixture.party(name, &address));
    while coordinator.next_line().is_some() {}
    coordinator.succeeds();
    parties.iter_mut().for_each(Role::succeeds);
}

fn replace_key_of_the_coordinator(fixture: &Fixture, shop: &str) {
    done(&["coordinator", "identity", "request", "--name", "shop", "--new-key", "--folder", shop]);
    done(&["coordinator", "identity", "revoke", "coordinator/shop", "--reason", "new key", "--folder", shop]);
    let request = fixture.path("shop/coordinator-shop.request.pem").display().to_string();
    done(&["coordinator", "identity", "sign", &request, "--role", "coordinator", "--folder", shop]);
    let answer = fixture.path("shop/coordinator-shop.certificate.pem").display().to_string();
    done(&["coordinator", "identity", "accept", &answer, "--folder", shop]);
}

#[test]
fn certificates_and_keys_that_are_replaced_in_a_run_cost_it_no_step() {
    replace_certificates(300, 1);
}

/// The epochs of a run of ten minutes are another number on each machine.
#[test]
#[ignore = "ten minutes and as many for the undisturbed run; HASHVFL_EPOCHS is how many epochs these are"]
fn certificates_are_replaced_in_a_run_of_ten_minutes() {
    let epochs = std::env::var("HASHVFL_EPOCHS").map_or(60_000, |epochs| epochs.parse().unwrap());
    replace_certificates(epochs, 10);
}

#[test]
fn a_party_joins_no_more_often_than_it_may_and_a_restart_gives_no_new_hour() {
    let mut fixture = secured();
    fixture.extra.push(("coordinator", "permissions = \"permissions.toml\"".into()));
    fixture.write("permissions.toml", "[parties.bank]\nper_hour = 2\n[parties.telecom]\n");
    let (mut coordinator, address) = fixture.coordinator();
    for _ in 0..2 {
        let mut bank = fixture.party("bank", &address);
        coordinator.wait_for("joined");
        bank.kill();
        bank.end();
    }
    let said = |error: String| {
        assert!(
            error
                .contains("bank may join at most 2 times per hour and has reached that limit: try again in "),
            "{error}"
        );
    };
    said(fixture.party("bank", &address).fails());
    coordinator.kill();
    let log = coordinator.end().log;
    assert_eq!(
        log.lines().filter(|line| line.contains("bank may join at most 2 times per hour")).count(),
        1,
        "{log}"
    );
    // Another process counts on, and others are not concerned.
    let (mut coordinator, address) = fixture.coordinator();
    said(fixture.party("bank", &address).fails());
    let mut telecom = fixture.party("telecom", &address);
    coordinator.wait_for("joined");
    telecom.kill();
    telecom.end();
    fixture.write("permissions.toml", "[parties.bank]\nper_hour = 3\n[parties.telecom]\n");
    coordinator.kill();
    coordinator.end();
    let (mut coordinator, address) = fixture.coordinator();
    let mut parties = PARTIES.map(|name| fixture.party(name, &address));
    coordinator.succeeds();
    parties.iter_mut().for_each(Role::succeeds);
}

#[test]
fn attempts_that_are_told_to_try_again_use_up_no_join() {
    let mut fixture = Fixture { keep_alive_s: 1, ..secured() };
    fixture.extra.push(("coordinator", "permissions = \"permissions.toml\"".into()));
    fixture.write("permissions.toml", "[parties.bank]\nper_hour = 2\n[parties.telecom]\n");
    let (mut coordinator, address) = fixture.coordinator();
    let mut still = fixture.party("bank", &address);
    coordinator.wait_for("joined");
    // It holds its name until its connection is given up.
    still.stand_still(true);
    fixture.party_config("bank", &address);
    let other =
        fixture.read("bank.toml").replace("bank-ledger", "other-ledger").replace("bank-state", "other-state");
    fixture.write("other.toml", &other);
    let mut bank = Role::start(&["party", "--config"], &fixture.path("other.toml"), fixture.log);
    coordinator.wait_for("joined");
    let mut telecom = fixture.party("telecom", &address);
    coordinator.succeeds();
    telecom.succeeds();
    let (good, log) = bank.ends();
    assert!(good && log.contains("a party named bank has joined run test already"), "{log}");
    still.kill();
}

/// `coordinator predict` of 20 records, in place of an earlier answer; whether it ended well, its output and its error.
fn ask(fixture: &Fixture, address: &str, more: &[&str]) -> (bool, String, String) {
    let path = |name: &str| fixture.path(name).display().to_string();
    fixture.write("ask.csv", &format!("id\n{}\n", ids(0..20).join("\n")));
    let (server, input, out) = (format!("http://{address}"), path("ask.csv"), path("answer.csv"));
    let ask = ["coordinator", "predict", "--server", &server, "--input", &input, "--out", &out, "--replace"];
    command(&[&ask[..], &["--timeout-s", "60"], more].concat())
}

/// Starts the bank, which has come to serve as often as it may: it hears so, and waits.
fn waits_to_serve(fixture: &Fixture, address: &str) {
    let heads = || fixture.read("label-ledger.audit/heads/party-bank.jsonl");
    let kept = heads();
    let mut bank = fixture.party_serves("bank", address);
    let trail = || fixture.read("label-ledger.audit/log.jsonl");
    wait_until("the bank is not refused", || trail().contains("too-often"));
    std::thread::sleep(Duration::from_millis(200));
    assert!(bank.ended().is_none(), "it waits");
    bank.terminate();
    let log = bank.end().log;
    assert!(
        log.contains("bank may serve at most once per hour and has reached that limit: try again in "),
        "{log}"
    );
    assert_eq!(heads(), kept, "of one that is refused nothing is kept");
}

#[test]
fn predictions_are_for_clients_and_for_each_what_it_may_have() {
    let mut fixture = secured();
    fixture.extra.push(("coordinator", "permissions = \"permissions.toml\"".into()));
    let limited = "[parties.bank]\nper_hour = 1\n[parties.telecom]\n";
    fixture.write("permissions.toml", &format!("{limited}[clients.app]\nper_day = 70\ndecimals = 2\n"));
    let shop = fixture.path("shop").display().to_string();
    let authority = last_word(&done(&["coordinator", "identity", "show", "--folder", &shop]), "authority  ");
    enrol(&fixture, "client", "app", &authority);
    fixture.run();
    let (mut coordinator, address) = fixture.serve();
    let mut parties = PARTIES.map(|name| fixture.party_serves(name, &address));
    let (app, bank) = (fixture.path("app").display().to_string(), fixture.path("bank").display().to_string());
    let (good, _, errors) = ask(&fixture, &address, &["--identity", &bank]);
    assert!(!good && errors.contains("is the identity of party/bank"), "{errors}");
    let (good, _, errors) = ask(&fixture, &address, &["--connect-s", "1"]);
    assert!(!good, "without an identity: {errors}");
    let timings = fixture.path("timings.csv").display().to_string();
    let (good, said, errors) = ask(&fixture, &address, &["--identity", &app, "--timings", &timings]);
    assert!(good && said.contains("20 of 20 records predicted"), "{said}{errors}");
    assert!(said.contains("does not send this client the times of its stages"), "{said}");
    assert!(fixture.read("timings.csv").lines().nth(1).is_some_and(|line| line.ends_with(",,,,")));
    let answers = fixture.read("answer.csv");
    let probability = answers.lines().nth(1).unwrap().split(',').nth(3).unwrap();
    assert!(probability.len() <= 4, "two decimals: {probability}");
    // What it may have changes while predictions are served.
    fixture.write(
        "permissions.toml",
        "[clients.app]\nrecords = \"few.csv\"\nanswers = \"classes\"\nper_day = 70\n",
    );
    fixture.write("few.csv", &format!("id\n{}\n", ids(0..5).join("\n")));
    let (good, said, errors) = ask(&fixture, &address, &["--identity", &app]);
    assert!(!good && said.contains("5 of 20 records predicted"), "{said}{errors}");
    let answers = fixture.read("answer.csv");
    assert!(answers.starts_with("id,outcome,class,parties\n"), "{answers}");
    assert_eq!(answers.lines().filter(|line| line.contains(",unknown id,")).count(), 15, "{answers}");
    // A record that is taken out of the list is unknown from the next request on.
    fixture.write("few.csv", &format!("id\n{}\n", ids(0..4).join("\n")));
    let (good, said, errors) = ask(&fixture, &address, &["--identity", &app]);
    assert!(!good && said.contains("4 of 20 records predicted"), "{said}{errors}");
    let (good, _, errors) = ask(&fixture, &address, &["--identity", &app]);
    assert!(
        !good && errors.contains("app may ask for 70 records per day and has already asked for 60 today"),
        "{errors}"
    );
    fixture.write("permissions.toml", &format!("{limited}[clients.desk]\n"));
    let (good, _, errors) = ask(&fixture, &address, &["--identity", &app]);
    assert!(!good && errors.contains("app may not ask for predictions here"), "{errors}");
    parties[0].kill();
    parties[0].end();
    waits_to_serve(&fixture, &address);
    parties[1].terminate();
    coordinator.terminate();
    coordinator.succeeds();
    let config = fixture.path("coordinator.toml").display().to_string();
    let log = done(&["coordinator", "audit", "show", "--config", &config]);
    for expected in [
        "client/app refused from serving: over-its-quota",
        "client/app refused from serving: not-permitted",
        "in force: 0 certificates revoked",
        ", with 5 record ids listed for clients",
        ", with 4 record ids listed for clients",
    ] {
        assert_eq!(log.matches(expected).count(), 1, "{expected}: {log}");
    }
    assert!(log.contains("bank refused from serving: too-often"), "{log}");
}
