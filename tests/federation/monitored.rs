//! What a running process says of itself is what happens: its status, its health and its metrics beside its events.

use std::fs;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::Command;

use crate::fixture::{Fixture, PARTIES, Role, command, command_with, wait_until};
use crate::ports::free_address;

/// A fixture whose processes can be asked how they are.
fn monitored() -> Fixture {
    let mut fixture = Fixture::new();
    for name in ["coordinator", "bank", "telecom"] {
        fixture.extra.push((name, format!("monitor = \"unix:{name}.sock\"")));
    }
    fixture
}

/// `status --json` of a side.
fn status(fixture: &Fixture, program: &str, name: &str) -> serde_json::Value {
    let config = fixture.path(&format!("{name}.toml"));
    let (good, out, errors) = command(&[program, "status", "--json", "--config", config.to_str().unwrap()]);
    assert!(good, "{errors}");
    serde_json::from_str(&out).unwrap()
}

fn health(fixture: &Fixture, program: &str, name: &str, predictions: bool) -> Result<String, String> {
    let config = fixture.path(&format!("{name}.toml"));
    let mut arguments = vec![program, "health", "--config", config.to_str().unwrap()];
    arguments.extend(predictions.then_some("--predictions"));
    let (good, out, errors) = command(&arguments);
    if good { Ok(out) } else { Err(errors) }
}

#[test]
fn a_training_says_what_its_events_say() {
    let mut fixture = monitored();
    fixture.settings.epochs = 100_000;
    let (coordinator, address) = fixture.coordinator();
    assert_eq!(status(&fixture, "coordinator", "coordinator")["phase"], "waiting");
    let parties = PARTIES.map(|name| fixture.party(name, &address));
    let mut losses = Vec::new();
    while losses.len() < 3 {
        let event: serde_json::Value = serde_json::from_str(&coordinator.next_line().unwrap()).unwrap();
        if event["event"] == "epoch" {
            losses.push(event["train_loss"].as_f64().unwrap());
        }
    }
    let said = status(&fixture, "coordinator", "coordinator");
    let done = said["epochs"]["done"].as_u64().unwrap() as usize;
    while losses.len() < done {
        let event: serde_json::Value = serde_json::from_str(&coordinator.next_line().unwrap()).unwrap();
        losses.push(event["train_loss"].as_f64().unwrap());
    }
    assert_eq!(said["epochs"]["train_loss"].as_f64(), losses.get(done - 1).copied());
    assert_eq!((&said["phase"], &said["epochs"]["most"]), (&"training".into(), &100_000.into()));
    for name in PARTIES {
        assert_eq!(said["parties"][name]["connected"], true, "{said}");
        assert!(said["parties"][name]["answer_seconds"].as_f64().unwrap() > 0.0, "{said}");
        let own = status(&fixture, "party", name);
        assert_eq!((&own["phase"], &own["side"]), (&"training".into(), &name.into()));
        let (codes, bits) = (own["released"]["codes"].as_u64(), own["released"]["bits"].as_u64());
        assert_eq!(codes.map(|codes| codes * fixture.settings.bits as u64), bits);
    }
    assert_eq!(health(&fixture, "coordinator", "coordinator", false).unwrap(), "well\n");
    let waits = health(&fixture, "coordinator", "coordinator", true).unwrap_err();
    assert!(waits.contains("not answering predictions yet"), "{waits}");
    drop((coordinator, parties));
    let gone = health(&fixture, "coordinator", "coordinator", false).unwrap_err();
    assert!(gone.contains("nothing answers at unix:") && gone.contains("is the process running"), "{gone}");
}

#[test]
fn health_is_asked_without_a_config() {
    let fixture = monitored();
    let (coordinator, _) = fixture.coordinator();
    let socket = format!("unix:{}", fixture.path("coordinator.sock").display());
    // The check of an image knows neither config nor side.
    for program in ["party", "coordinator"] {
        let (good, out, errors) = command_with(&[program, "health"], &[("HASHVFL_MONITOR", &socket)]);
        assert!(good && out == "well\n", "{errors}");
        for (address, reason) in
            [("", "HASHVFL_MONITOR: expected \"unix:PATH\""), ("unix:none.sock", "nothing answers")]
        {
            let (good, _, errors) = command_with(&[program, "health"], &[("HASHVFL_MONITOR", address)]);
            assert!(!good && errors.contains(reason), "{errors}");
        }
        let (good, _, errors) = command(&[program, "health"]);
        assert!(!good && errors.contains("pass --config FILE"), "{errors}");
    }
    drop(coordinator);
}

/// What looks at a pod or a container may give up soon: a long table is read behind the address.
#[test]
fn a_process_answers_before_it_has_read_its_table() {
    let fixture = monitored();
    for (program, name, table, config) in [
        ("coordinator", "coordinator", "labels.csv", fixture.coordinator_config()),
        ("party", "bank", "bank.csv", fixture.party_config("bank", "127.0.0.1:1")),
    ] {
        // A pipe that nobody writes to is read for ever.
        fs::remove_file(fixture.path(table)).unwrap();
        assert!(Command::new("mkfifo").arg(fixture.path(table)).status().unwrap().success());
        let process = Role::start(&[program, "train-and-serve", "--config"], &config, "warn");
        wait_until("a process that reads its table answers", || {
            health(&fixture, program, name, false).is_ok()
        });
        assert_eq!(status(&fixture, program, name)["phase"], "starting");
        drop(process);
    }
}

#[test]
fn a_process_that_trains_and_serves_is_ready_when_all_are_there() {
    let fixture = monitored();
    let (mut first, address) = fixture.coordinator();
    let mut parties = PARTIES.map(|name| fixture.party(name, &address));
    first.succeeds();
    parties.iter_mut().for_each(Role::succeeds);
    let trained = fixture.read("coordinator-state/summary.json");

    // What was trained is not trained again.
    let config = fixture.path("coordinator.toml");
    let mut coordinator =
        Role::start(&["coordinator", "train-and-serve", "--json", "--config"], &config, "info");
    let listening: serde_json::Value = serde_json::from_str(&coordinator.next_line().unwrap()).unwrap();
    let address = listening["address"].as_str().unwrap().to_string();
    health(&fixture, "coordinator", "coordinator", true).unwrap_err();
    let serve = |name: &str| {
        Role::start(&["party", "train-and-serve", "--config"], &fixture.party_config(name, &address), "info")
    };
    let mut bank = serve("bank");
    coordinator.wait_for("bank");
    health(&fixture, "coordinator", "coordinator", true).unwrap_err();
    let mut telecom = serve("telecom");
    coordinator.wait_for("telecom");
    assert_eq!(health(&fixture, "coordinator", "coordinator", true).unwrap(), "well\n");

    fixture.write("ids.csv", "id\nr1\nr2\nunknown\n");
    let (input, out) = (fixture.path("ids.csv"), fixture.path("out.csv"));
    let server = format!("http://{address}");
    let predict = ["coordinator", "predict", "--server", &server, "--input", input.to_str().unwrap()];
    let predict = [&predict[..], &["--out", out.to_str().unwrap(), "--allow-missing"]].concat();
    assert!(command(&predict).0);
    let (good, _, errors) = command(&predict);
    assert!(!good && errors.contains("--replace"), "{errors}");
    assert!(command(&[&predict[..], &["--replace"]].concat()).0);
    let said = status(&fixture, "coordinator", "coordinator");
    let counts = serde_json::json!({
        "requests": 2, "predicted": 4, "missing": 2, "judged": 0, "flagged": 0, "drifted": false
    });
    assert_eq!((&said["predictions"], &said["ready"]), (&counts, &true.into()));

    telecom.terminate();
    telecom.succeeds();
    coordinator.wait_for("left");
    let said = status(&fixture, "coordinator", "coordinator");
    assert_eq!((&said["parties"]["telecom"]["departures"], &said["ready"]), (&1.into(), &false.into()));
    for process in [&mut bank, &mut coordinator] {
        process.terminate();
        process.succeeds();
    }
    assert_eq!(fixture.read("coordinator-state/summary.json"), trained);
}

#[test]
fn a_federation_trains_and_then_serves_without_anybody_s_help() {
    let fixture = monitored();
    let free = free_address().to_string();
    let config = fixture.coordinator_config();
    fixture.write("coordinator.toml", &fixture.read("coordinator.toml").replace("127.0.0.1:0", &free));
    let train_and_serve =
        |program: &str, config: &Path| Role::start(&[program, "train-and-serve", "--config"], config, "info");
    let mut sides = vec![train_and_serve("coordinator", &config)];
    for name in PARTIES {
        sides.push(train_and_serve("party", &fixture.party_config(name, &free)));
    }
    wait_until("it does not serve", || health(&fixture, "coordinator", "coordinator", true).is_ok());
    assert_eq!(fixture.summary()["run_id"], "test");
    for side in &mut sides {
        side.terminate();
        side.succeeds();
    }
}

#[test]
fn an_address_in_use_is_named_by_a_check() {
    let mut fixture = Fixture::new();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    fixture.extra.push(("coordinator", format!("monitor = \"{address}\"")));
    let config = fixture.coordinator_config();
    let (good, _, errors) = command(&["coordinator", "--check", "--config", config.to_str().unwrap()]);
    assert!(!good && errors.contains(&format!("cannot listen on {address} (key `monitor`)")), "{errors}");
    // Somebody else is there.
    let (good, _, errors) = command(&["coordinator", "status", "--config", config.to_str().unwrap()]);
    assert!(!good && errors.contains("no answer from"), "{errors}");
}

/// What an address of TCP answers to a request, up to `enough`.
fn asked(address: &str, request: &str, enough: &str) -> String {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(std::time::Duration::from_secs(20))).unwrap();
    stream.write_all(format!("{request} HTTP/1.1\r\nHost: {address}\r\n\r\n").as_bytes()).unwrap();
    let (mut answer, mut buffer) = (String::new(), [0; 4096]);
    while !answer.contains(enough) {
        let count = stream.read(&mut buffer).unwrap();
        assert!(count > 0, "it ended without {enough:?}: {answer}");
        answer += &String::from_utf8_lossy(&buffer[..count]);
    }
    answer
}

#[test]
fn a_browser_gets_a_page_that_follows_the_process() {
    let mut fixture = Fixture::new();
    let free = free_address().to_string();
    fixture.extra.push(("coordinator", format!("monitor = \"{free}\"")));
    fixture.settings.epochs = 100_000;
    let (coordinator, address) = fixture.coordinator();
    let page = asked(&free, "GET /", "</html>");
    assert!(page.starts_with("HTTP/1.1 200"), "{page}");
    assert!(page.contains("content-security-policy: default-src 'none'"), "{page}");
    assert!(!page.contains("http://") && !page.contains("https://"), "nothing comes from elsewhere: {page}");
    for (part, kind) in [
        ("/page.css", "text/css"),
        ("/page.js", "text/javascript"),
        ("/tables.js", "text/javascript"),
        ("/pictures.js", "text/javascript"),
        ("/history", "application/json"),
    ] {
        let answer = asked(&free, &format!("GET {part}"), "\r\n\r\n");
        assert!(answer.starts_with("HTTP/1.1 200") && answer.contains(kind), "{answer}");
    }
    assert!(asked(&free, "GET /events", "\n\n").contains("data: {\"version\":"));
    assert!(asked(&free, "GET /labels", "no such page").starts_with("HTTP/1.1 404"));
    assert!(asked(&free, "DELETE /", "can only be read").starts_with("HTTP/1.1 405"));
    let parties = PARTIES.map(|name| fixture.party(name, &address));
    coordinator.wait_for("\"epoch\":3");
    let curve = asked(&free, "GET /history", "\"epoch\":2");
    assert!(curve.contains("\"train_loss\":") && curve.contains("\"metric\":"), "{curve}");
    let event = asked(&free, "GET /events", "\"phase\":\"training\"");
    assert!(event.contains("\"connected\":true"), "{event}");
    drop(parties);
}
