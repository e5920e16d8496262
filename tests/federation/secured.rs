//! Federations over mutual TLS, from empty folders by the commands of both sides: what is learned is the same, and whoever
//! is not the one that its certificate names is not let in.

use std::process::Command;
use std::time::{Duration, Instant};

use crate::fixture::{Fixture, PARTIES, Role, command};
use crate::predict::ids;
use crate::proxy::Proxy;

/// Runs a command that must end well; its standard output.
fn done(arguments: &[&str]) -> String {
    let (good, said, errors) = command(arguments);
    assert!(good, "{arguments:?}: {errors}");
    said
}

/// The last word of the line of `text` that holds `what`.
fn last_word(text: &str, what: &str) -> String {
    let line = text.lines().find(|line| line.contains(what)).unwrap_or_else(|| panic!("no {what}: {text}"));
    line.split_whitespace().last().unwrap().to_string()
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
fn enrol(fixture: &Fixture, role: &str, name: &str, authority: &str) {
    let (shop, folder) = (fixture.path("shop"), fixture.path(name));
    let (shop, own) = (shop.display().to_string(), folder.display().to_string());
    let program = if role == "party" { "party" } else { "coordinator" };
    let said = done(&[program, "identity", "request", "--name", name, "--role", role, "--folder", &own]);
    let told = last_word(&said, "with a new key");
    let request = folder.join(format!("{role}-{name}.request.pem")).display().to_string();
    done(&["coordinator", "identity", "sign", &request, "--fingerprint", &told, "--folder", &shop]);
    let answer = folder.join(format!("{role}-{name}.certificate.pem")).display().to_string();
    done(&[program, "identity", "accept", &answer, "--authority", authority, "--folder", &own]);
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
fn whoever_is_another_than_its_certificate_names_is_not_let_in() {
    let fixture = secured();
    let (mut coordinator, address) = fixture.coordinator();
    // The config of one with the identity of the other: it finds out itself.
    let config = fixture.party_config("bank", &address);
    let text = fixture.read("bank.toml").replace("folder = \"bank\"", "folder = \"telecom\"");
    fixture.write("bank.toml", &text);
    let (good, _, errors) = command(&["party", "--config", &config.display().to_string(), "--check"]);
    assert!(
        !good && errors.contains("is the certificate of party/telecom, and this party is party/bank"),
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
    assert!(errors.contains("it spoke no TLS"), "{errors}");
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
    assert!(error.contains("telecom") && error.contains("is revoked"), "{error}");
    assert!(took < Duration::from_secs(5), "{took:?}");
    println!("the run ended {took:?} after the revocation");
    let error = bank.fails();
    assert!(error.contains("telecom"), "{error}");
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

#[test]
fn certificates_and_keys_that_are_replaced_in_a_run_cost_it_no_step() {
    let settings = |fixture: &mut Fixture| fixture.settings.epochs = 300;
    let mut plain = Fixture::new();
    settings(&mut plain);
    plain.run();
    let mut fixture = Fixture { reconnect_s: 60, ..secured() };
    settings(&mut fixture);
    let (mut coordinator, address) = fixture.coordinator();
    let proxy = Proxy::to(&address);
    let mut bank = fixture.party("bank", &proxy.address);
    let mut telecom = fixture.party("telecom", &address);
    coordinator.wait_for("\"epoch\":2");
    let (shop, own) =
        (fixture.path("shop").display().to_string(), fixture.path("bank").display().to_string());
    let key = |text: &str| last_word(text, "key        ");
    let old = key(&done(&["coordinator", "identity", "show", "--folder", &shop]));
    // The bank's certificate has new dates, and the coordinator another key; the authority's files change three times.
    done(&["coordinator", "identity", "renew", "party/bank", "--folder", &shop]);
    let answer = fixture.path("shop/party-bank.certificate.pem").display().to_string();
    done(&["party", "identity", "accept", &answer, "--folder", &own]);
    done(&["coordinator", "identity", "request", "--name", "shop", "--new-key", "--folder", &shop]);
    done(&[
        "coordinator",
        "identity",
        "revoke",
        "coordinator/shop",
        "--reason",
        "new key",
        "--folder",
        &shop,
    ]);
    let request = fixture.path("shop/coordinator-shop.request.pem").display().to_string();
    done(&["coordinator", "identity", "sign", &request, "--role", "coordinator", "--folder", &shop]);
    let answer = fixture.path("shop/coordinator-shop.certificate.pem").display().to_string();
    done(&["coordinator", "identity", "accept", &answer, "--folder", &shop]);
    let new = key(&done(&["coordinator", "identity", "show", "--folder", &shop]));
    assert_ne!(old, new);
    signal(&bank, "-CONT");
    coordinator.wait_for("\"epoch\":20");
    assert_eq!(proxy.opened(), 1, "no connection was lost");
    assert_eq!(proxy.cut(), 1);
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
    println!("{} connections of the bank in all", proxy.opened());
}

#[test]
fn a_party_joins_no_more_often_than_it_may_and_a_restart_gives_no_new_hour() {
    let mut fixture = secured();
    fixture.extra.push(("coordinator", "permissions = \"permissions.toml\"".into()));
    fixture.write("permissions.toml", "[parties.bank]\njoins_per_hour = 2\n[parties.telecom]\n");
    let (mut coordinator, address) = fixture.coordinator();
    for _ in 0..2 {
        let mut bank = fixture.party("bank", &address);
        coordinator.wait_for("joined");
        bank.kill();
        bank.end();
    }
    let said = |error: String| {
        assert!(error.contains("bank may join 2 times an hour, and has: it may again in "), "{error}");
    };
    said(fixture.party("bank", &address).fails());
    coordinator.kill();
    let log = coordinator.end().log;
    assert_eq!(log.lines().filter(|line| line.contains("bank may join 2 times an hour")).count(), 1, "{log}");
    // Another process counts on, and others are not concerned.
    let (mut coordinator, address) = fixture.coordinator();
    said(fixture.party("bank", &address).fails());
    let mut telecom = fixture.party("telecom", &address);
    coordinator.wait_for("joined");
    telecom.kill();
    telecom.end();
    fixture.write("permissions.toml", "[parties.bank]\njoins_per_hour = 3\n[parties.telecom]\n");
    coordinator.kill();
    coordinator.end();
    let (mut coordinator, address) = fixture.coordinator();
    let mut parties = PARTIES.map(|name| fixture.party(name, &address));
    coordinator.succeeds();
    parties.iter_mut().for_each(Role::succeeds);
}

#[test]
fn predictions_are_for_clients_and_for_each_what_it_may_have() {
    let mut fixture = secured();
    fixture.extra.push(("coordinator", "permissions = \"permissions.toml\"".into()));
    fixture.write("permissions.toml", "[clients.app]\nper_day = 50\ndecimals = 2\n");
    let shop = fixture.path("shop").display().to_string();
    let authority = last_word(&done(&["coordinator", "identity", "show", "--folder", &shop]), "authority  ");
    enrol(&fixture, "client", "app", &authority);
    fixture.run();
    let (mut coordinator, address) = fixture.serve();
    let mut parties = PARTIES.map(|name| fixture.party_serves(name, &address));
    fixture.write("ask.csv", &format!("id\n{}\n", ids(0..20).join("\n")));
    let (server, input) = (format!("http://{address}"), fixture.path("ask.csv").display().to_string());
    let out = fixture.path("answer.csv").display().to_string();
    let ask = [
        "coordinator",
        "predict",
        "--server",
        &server,
        "--input",
        &input,
        "--out",
        &out,
        "--timeout-s",
        "60",
    ];
    let (app, bank) = (fixture.path("app").display().to_string(), fixture.path("bank").display().to_string());
    let (good, _, errors) = command(&[&ask[..], &["--identity", &bank]].concat());
    assert!(!good && errors.contains("it is that of party/bank"), "{errors}");
    let (good, _, errors) = command(&ask);
    assert!(!good, "without an identity: {errors}");
    let _ = std::fs::remove_file(&out);
    let said = done(&[&ask[..], &["--identity", &app]].concat());
    assert!(said.contains("20 of 20 records predicted"), "{said}");
    let answers = fixture.read("answer.csv");
    let probability = answers.lines().nth(1).unwrap().split(',').nth(3).unwrap();
    assert!(probability.len() <= 4, "two decimals: {probability}");
    // What it may have changes while predictions are served.
    fixture.write(
        "permissions.toml",
        "[clients.app]\nrecords = \"few.csv\"\nanswers = \"classes\"\nper_day = 50\n",
    );
    fixture.write("few.csv", &format!("id\n{}\n", ids(0..5).join("\n")));
    std::fs::remove_file(&out).unwrap();
    let (good, said, errors) = command(&[&ask[..], &["--identity", &app]].concat());
    assert!(!good && said.contains("5 of 20 records predicted"), "{said}{errors}");
    let answers = fixture.read("answer.csv");
    assert!(answers.starts_with("id,outcome,class,parties\n"), "{answers}");
    assert_eq!(answers.lines().filter(|line| line.contains(",unknown id,")).count(), 15, "{answers}");
    std::fs::remove_file(&out).unwrap();
    let (good, _, errors) = command(&[&ask[..], &["--identity", &app]].concat());
    assert!(
        !good && errors.contains("app may ask for 50 records a day and has asked for 40 today"),
        "{errors}"
    );
    fixture.write("permissions.toml", "[clients.desk]\n");
    let (good, _, errors) = command(&[&ask[..], &["--identity", &app]].concat());
    assert!(!good && errors.contains("app may not ask for predictions here"), "{errors}");
    parties.iter_mut().for_each(Role::terminate);
    coordinator.terminate();
    coordinator.succeeds();
}
