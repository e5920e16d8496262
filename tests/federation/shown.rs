//! What is shown of a run is what happened: page, metrics and summary say the same, and whoever may not read hears so.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::process::Command;
use std::thread::sleep;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::fixture::{Fixture, PARTIES, Role, command, eventually};
use crate::ports::free_address;
use crate::proxy::Proxy;

/// What is answered to a request for `path` that calls the address `host`: head and body.
fn fetch(address: &str, host: &str, path: &str) -> (String, String) {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    stream.write_all(format!("GET {path} HTTP/1.0\r\nHost: {host}\r\n\r\n").as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    (head.to_string(), body.to_string())
}

/// Metrics by name and labels, as a page of them has them.
fn samples(page: &str) -> BTreeMap<String, f64> {
    let lines = page.lines().filter(|line| line.starts_with("hashvfl_"));
    lines
        .map(|line| line.rsplit_once(' ').unwrap())
        .map(|(name, value)| (name.into(), value.parse().unwrap()))
        .collect()
}

/// Metrics of the process that answers at `address`.
fn metrics(address: &str) -> BTreeMap<String, f64> {
    samples(&fetch(address, address, "/metrics").1)
}

/// Fails if a counter is smaller than it was.
fn no_counter_fell(before: &BTreeMap<String, f64>, now: &BTreeMap<String, f64>) {
    let counters = before.iter().filter(|(name, _)| name.split('{').next().unwrap().ends_with("_total"));
    let mut seen = 0;
    for (name, value) in counters {
        assert!(now.get(name).is_some_and(|now| now >= value), "{name}: {:?} after {value}", now.get(name));
        seen += 1;
    }
    assert!(seen >= 5, "{seen} counters were looked at");
}

/// A page of JSON.
fn json(address: &str, path: &str) -> Value {
    serde_json::from_str(&fetch(address, address, path).1).unwrap()
}

fn signal(process: &Role, name: &str) {
    assert!(Command::new("kill").args([name, &process.pid().to_string()]).status().unwrap().success());
}

/// The status of a coordinator when nothing in it changes any more, since a party does not answer. Where it has not changed for some
/// looks, it is not the machine that is slow.
fn standing_still(address: &str) -> Value {
    let (started, mut unchanged) = (Instant::now(), 0);
    let mut before = json(address, "/status");
    while unchanged < 5 {
        assert!(started.elapsed() < Duration::from_secs(60), "it goes on: {before}");
        sleep(Duration::from_millis(500));
        let now = json(address, "/status");
        let same = |of: &Value| (of["steps"].clone(), of["traffic"].clone());
        unchanged = if same(&now) == same(&before) { unchanged + 1 } else { 0 };
        before = now;
    }
    before
}

/// What page and metrics say of each party.
fn compare_parties(status: &Value, metrics: &BTreeMap<String, f64>) {
    let (mut received, mut sent) = (0, 0);
    for name in PARTIES {
        let party = &status["parties"][name];
        for (metric, value) in [
            ("connected", f64::from(u8::from(party["connected"].as_bool().unwrap()))),
            ("last_heard_timestamp_seconds", party["heard_s"].as_f64().unwrap()),
            ("answer_seconds_total", party["answer_seconds"].as_f64().unwrap()),
            ("lag_seconds", party["lag_seconds"].as_f64().unwrap()),
            ("received_bytes_total", party["received_bytes"].as_f64().unwrap()),
            ("sent_bytes_total", party["sent_bytes"].as_f64().unwrap()),
            ("released_bytes_total", party["released_bits"].as_f64().unwrap() / 8.0),
            ("run_released_bytes", party["run_released_bits"].as_f64().unwrap() / 8.0),
            ("planned_bytes", party["planned_bits"].as_f64().unwrap() / 8.0),
            ("returns_total", party["returns"].as_f64().unwrap()),
        ] {
            let key = format!("hashvfl_party_{metric}{{party=\"{name}\"}}");
            assert_eq!(metrics.get(&key), Some(&value), "{key}");
        }
        assert!(party["address"].as_str().unwrap().starts_with("127.0.0.1:"), "{party}");
        let released = party["run_released_bits"].as_u64().unwrap();
        assert!(released > 0 && released <= party["planned_bits"].as_u64().unwrap(), "{party}");
        assert!(party["connected"] == true, "{party}");
        received += party["received_bytes"].as_u64().unwrap();
        sent += party["sent_bytes"].as_u64().unwrap();
    }
    let traffic = serde_json::json!({ "received_bytes": received, "sent_bytes": sent });
    assert_eq!(status["traffic"], traffic, "what parties have in all");
    // What was done again is not the run's.
    for (of_process, of_run) in [
        (&status["steps"], &status["run"]["steps"]),
        (&status["traffic"]["received_bytes"], &status["run"]["received_bytes"]),
        (&status["traffic"]["sent_bytes"], &status["run"]["sent_bytes"]),
    ] {
        let (of_process, of_run) = (of_process.as_u64().unwrap(), of_run.as_u64().unwrap());
        assert!(of_run > 0 && of_run <= of_process, "{of_run} of {of_process}: {status}");
        assert!(of_run == of_process || status["resumes"] != 0, "{of_run} of {of_process}: {status}");
    }
    let waited: f64 =
        PARTIES.iter().map(|name| status["parties"][name]["answer_seconds"].as_f64().unwrap()).sum();
    let seconds = status["step_seconds"].as_f64().unwrap();
    assert!(seconds > 0.0 && waited <= 2.0 * seconds, "{waited} of {seconds}");
    for (key, value) in [
        ("hashvfl_steps_total", &status["steps"]),
        ("hashvfl_run_steps", &status["run"]["steps"]),
        ("hashvfl_run_received_bytes", &status["run"]["received_bytes"]),
        ("hashvfl_run_sent_bytes", &status["run"]["sent_bytes"]),
        ("hashvfl_received_bytes_total", &status["traffic"]["received_bytes"]),
        ("hashvfl_sent_bytes_total", &status["traffic"]["sent_bytes"]),
        ("hashvfl_step_seconds_total", &status["step_seconds"]),
        ("hashvfl_run_epochs", &status["epochs"]["done"]),
        ("hashvfl_training_loss", &status["epochs"]["train_loss"]),
        ("hashvfl_validation_loss", &status["epochs"]["validation_loss"]),
        ("hashvfl_validation_metric{metric=\"AUC\"}", &status["epochs"]["metric"][1]),
        ("hashvfl_resumes_total", &status["resumes"]),
    ] {
        assert_eq!(metrics.get(key).copied(), value.as_f64(), "{key}");
    }
}

/// What a finished run's line says, beside its summary.
fn compare_line(line: &Value, summary: &Value) {
    for (of_line, of_summary) in [
        ("/run_id", "/run_id"),
        ("/version", "/version"),
        ("/best_epoch", "/best_epoch"),
        ("/metric", "/metric"),
        ("/test", "/test/auc"),
        ("/test_loss", "/test/loss"),
        ("/flagged_fraction", "/flags/flagged_fraction"),
        ("/released_bits_per_record", "/bits_released_per_record/cohort_train"),
        ("/received_bytes", "/bytes/up"),
        ("/sent_bytes", "/bytes/down"),
        ("/seconds", "/seconds/run"),
    ] {
        let (one, other) = (line.pointer(of_line).unwrap(), summary.pointer(of_summary).unwrap());
        assert!(!one.is_null() && one == other, "{of_line}: {one}, {of_summary}: {other}");
    }
    let records: u64 = ["train", "validation", "test", "calibration"]
        .iter()
        .map(|part| summary["records"][part].as_u64().unwrap())
        .sum();
    assert_eq!(line["records"], records);
    assert_eq!(line["epochs"], summary["epochs"].as_array().unwrap().len());
    assert_eq!(line["parties"], serde_json::json!(PARTIES));
    assert_eq!(line["bits"].to_string(), summary["settings"]["run.bits"].as_str().unwrap());
}

/// What a party's own process says of itself, with an option of `party status`.
fn own_words(fixture: &Fixture, name: &str, option: &str) -> String {
    let config = fixture.path(&format!("{name}.toml"));
    let (good, out, errors) = command(&["party", "status", option, "--config", config.to_str().unwrap()]);
    assert!(good, "{errors}");
    out
}

/// The status that a party's own process tells.
fn own_status(fixture: &Fixture, name: &str) -> Value {
    serde_json::from_str(&own_words(fixture, name, "--json")).unwrap()
}

/// Bits that left a party are those of the codes that did.
fn compare_released(fixture: &Fixture, own: &Value) {
    let (codes, bits) =
        (own["released"]["codes"].as_u64().unwrap(), own["released"]["bits"].as_u64().unwrap());
    assert_eq!(bits, codes * fixture.settings.bits as u64, "{own}");
    let of_run = own["run"]["released_bits"].as_u64().unwrap();
    assert!(of_run > 0 && of_run <= bits, "{own}");
    assert!(of_run == bits || own["resumes"] != 0, "{own}");
}

#[test]
fn page_metrics_and_summary_of_a_run_say_the_same() {
    let mut fixture = Fixture::new();
    let (address, listen) = (free_address().to_string(), free_address().to_string());
    fixture.extra.push(("coordinator", format!("monitor = \"{address}\"\ndetectors = {{ level = 0.1 }}")));
    for name in PARTIES {
        fixture.extra.push((name, format!("monitor = \"unix:{name}.sock\"\npolicy = \"policy.toml\"")));
    }
    fixture.write("policy.toml", "bits_per_record = 4000\nencodings_per_record = 500\n");
    fixture.settings.epochs = 300;
    fixture.settings.calibration_fraction = 0.65;
    let config = fixture.coordinator_config();
    fixture.write("coordinator.toml", &fixture.read("coordinator.toml").replace("127.0.0.1:0", &listen));
    let mut coordinator =
        Role::start(&["coordinator", "train-and-serve", "--json", "--config"], &config, "info");
    coordinator.wait_for("listening");
    let start = |name: &str| {
        Role::start(&["party", "train-and-serve", "--config"], &fixture.party_config(name, &listen), "info")
    };
    let mut parties = PARTIES.map(start);
    coordinator.wait_for("\"epoch\":3");

    signal(&parties[1], "-STOP");
    let status = standing_still(&address);
    compare_parties(&status, &metrics(&address));
    let history = json(&address, "/history");
    let own = own_status(&fixture, "bank");
    compare_released(&fixture, &own);
    signal(&parties[1], "-CONT");
    let shown = history["epochs"].as_array().unwrap();
    assert_eq!(status["epochs"]["done"], shown.len());
    assert_eq!(history["balance"].as_object().unwrap().keys().collect::<Vec<_>>(), PARTIES);
    for balance in history["balance"].as_object().unwrap().values() {
        assert_eq!(balance["ones_per_mille"].as_array().unwrap().len(), fixture.settings.bits);
    }
    let audit: Vec<&str> =
        history["audit"].as_array().unwrap().iter().map(|entry| entry["text"].as_str().unwrap()).collect();
    assert!(audit[0].starts_with("run started with bank, telecom"), "the latest comes first: {audit:?}");
    // What the party says of itself: it has answered the step that the other one keeps waiting.
    assert!(own["requests"]["Encode"].as_u64().unwrap() > 5, "{own}");
    assert!(
        own["budget"]["bits"]["used"].as_f64().unwrap() > 0.0 && own["budget"]["bits"]["allowed"] == 4000.0
    );
    assert!(own["gradient_monitor"]["batches"].as_u64().unwrap() > 0, "{own}");
    assert_eq!(
        (&own["gradient_monitor"]["alarm"], &own["gradient_monitor"]["bound"]),
        (&false.into(), &12.0.into())
    );

    coordinator.wait_for("finished");
    PARTIES.iter().for_each(|_| coordinator.wait_for("joined"));
    let (summary, history) = (fixture.summary(), json(&address, "/history"));
    for (point, epoch) in shown.iter().zip(summary["epochs"].as_array().unwrap()) {
        assert_eq!((&point["epoch"], &point["train_loss"]), (&epoch["epoch"], &epoch["train_loss"]));
        assert_eq!(point["validation_loss"], epoch["validation"]["loss"]);
        assert_eq!(point["metric"], epoch["validation"]["auc"]);
    }
    assert_eq!(history["runs"].as_array().unwrap().len(), 1);
    compare_line(&history["runs"][0], &summary);
    // The most that a record has released of its budget is what the summary says of those that were asked for most often.
    for name in PARTIES {
        let used = own_status(&fixture, name)["budget"]["bits"]["used"].as_f64();
        assert_eq!(used, summary["bits_released_per_record"]["cohort_train"].as_f64());
    }
    for process in parties.iter_mut().chain([&mut coordinator]) {
        process.terminate();
        process.succeeds();
    }
}

/// The status of a coordinator whose run has gone on from a checkpoint, and made steps since.
fn gone_on(address: &str, before: &Value) -> Value {
    eventually(|| {
        let now = json(address, "/status");
        let has_gone_on = now["resumes"] == 1 && now["steps"].as_u64() > before["steps"].as_u64();
        if has_gone_on { Ok(now) } else { Err(format!("it does not go on: {now}")) }
    })
}

#[test]
fn a_run_that_goes_on_after_a_kill_is_shown_as_it_is_and_no_counter_falls() {
    let mut fixture = Fixture { on_interruption: "wait", ..Fixture::new() };
    let (address, listen) = (free_address().to_string(), free_address().to_string());
    let lines = format!("monitor = \"{address}\"\ncheckpoint_every_s = 0");
    fixture.extra.push(("coordinator", lines));
    for name in PARTIES {
        fixture.extra.push((name, format!("monitor = \"unix:{name}.sock\"")));
    }
    fixture.settings.epochs = 300;
    let config = fixture.coordinator_config();
    fixture.write("coordinator.toml", &fixture.read("coordinator.toml").replace("127.0.0.1:0", &listen));
    let mut coordinator = Role::start(&["coordinator", "--json", "--config"], &config, "info");
    coordinator.wait_for("listening");
    let [mut bank, mut telecom] = PARTIES.map(|name| fixture.party(name, &listen));
    coordinator.wait_for("\"epoch\":100,");
    signal(&telecom, "-STOP");
    let before = standing_still(&address);
    let (counted, counted_at_bank) = (metrics(&address), samples(&own_words(&fixture, "bank", "--metrics")));
    compare_parties(&before, &counted);

    telecom.kill();
    telecom.end();
    let mut telecom = fixture.party("telecom", &listen);
    gone_on(&address, &before);
    let stopped = Instant::now();
    signal(&telecom, "-STOP");
    let after = standing_still(&address);
    let now = metrics(&address);
    compare_parties(&after, &now);
    no_counter_fell(&counted, &now);
    let own = own_status(&fixture, "bank");
    compare_released(&fixture, &own);
    assert_eq!((&own["resumes"], &after["resumes"]), (&1.into(), &1.into()));
    no_counter_fell(&counted_at_bank, &samples(&own_words(&fixture, "bank", "--metrics")));
    let stood = stopped.elapsed().as_secs_f64();
    signal(&telecom, "-CONT");

    // The time before the checkpoint is the run's as well.
    for side in [&mut bank, &mut telecom, &mut coordinator] {
        side.succeeds();
    }
    let seconds = &fixture.summary()["seconds"];
    let (run, training) = (seconds["run"].as_f64().unwrap(), seconds["training"].as_f64().unwrap());
    let earlier = before["step_seconds"].as_f64().unwrap();
    assert!(
        run >= training && run >= earlier + stood,
        "{run} s: training {training} s, {earlier} s, {stood} s"
    );
}

#[test]
fn refused_parties_are_counted_and_a_page_under_another_name_is_refused() {
    let mut fixture = Fixture::new();
    let address = free_address().to_string();
    fixture.extra.push(("coordinator", format!("monitor = \"{address}\"")));
    let (coordinator, listens) = fixture.coordinator();
    let config = fixture.party_config("bank", &listens);
    let text = fixture.read("bank.toml");
    fixture.write("bank.toml", &text.replace("epochs = 4", "epochs = 5"));
    assert!(Role::start(&["party", "--config"], &config, "info").fails().contains("epochs"));
    let status = json(&address, "/status");
    assert_eq!(status["refusals"], serde_json::json!({ "other-settings": 1 }), "{status}");
    let refusals = metrics(&address);
    assert_eq!(refusals.get("hashvfl_refusals_total{reason=\"other-settings\"}"), Some(&1.0));
    assert_eq!(refusals.get("hashvfl_refusals_total{reason=\"revoked\"}"), Some(&0.0), "from the start");
    for path in ["/status", "/metrics"] {
        let (head, said) = fetch(&address, "example.org", path);
        let words = "ask for this page by its address in numbers, or as localhost";
        assert!(head.contains(" 403 ") && said.starts_with(words), "{path}: {head}{said}");
    }
    drop(coordinator);
}

#[test]
fn a_report_is_shown_where_the_config_names_it_and_readers_are_checked() {
    let mut fixture = Fixture::new();
    let address = free_address().to_string();
    let lines = format!(
        "monitor = \"{address}\"\nprivacy_report = \"report.html\"\nmonitor_readers = [\"192.0.2.0/24\"]"
    );
    fixture.extra.push(("coordinator", lines));
    let (coordinator, _) = fixture.coordinator();
    assert!(fetch(&address, &address, "/privacy-report").0.contains(" 404 "));
    assert_eq!(json(&address, "/history")["privacy_report"], false);
    fixture.write("report.html", "<!doctype html><title>Privacy</title></html>\n");
    let (head, report) = fetch(&address, &address, "/privacy-report");
    assert!(head.contains(" 200 ") && head.contains("style-src 'unsafe-inline'"), "{head}");
    assert!(head.contains("default-src 'none'") && !head.contains("script-src"), "no script runs: {head}");
    assert_eq!(report, fixture.read("report.html"));
    assert_eq!(json(&address, "/history")["privacy_report"], true);
    drop(coordinator);
    fixture.extra[0].1 = fixture.extra[0].1.replace("192.0.2.0/24", "somewhere");
    let config = fixture.coordinator_config();
    let (good, _, errors) = command(&["coordinator", "--check", "--config", config.to_str().unwrap()]);
    assert!(!good && errors.contains("expected an address in numbers"), "{errors}");
    fixture.extra[0].1 = "runs = \"there\"".to_string();
    std::fs::create_dir(fixture.path("there")).unwrap();
    let config = fixture.coordinator_config();
    let (good, _, errors) = command(&["coordinator", "--check", "--config", config.to_str().unwrap()]);
    assert!(!good && errors.contains("the list of finished runs"), "{errors}");
}

#[test]
fn a_party_that_comes_back_on_another_connection_is_shown_to_have_done_so() {
    let mut fixture = Fixture { reconnect_s: 60, ..Fixture::new() };
    let address = free_address().to_string();
    fixture.extra.push(("coordinator", format!("monitor = \"{address}\"")));
    fixture.settings.epochs = 100_000;
    let (coordinator, listens) = fixture.coordinator();
    let proxy = Proxy::to(&listens);
    let parties = [fixture.party("bank", &proxy.address), fixture.party("telecom", &listens)];
    coordinator.wait_for("\"epoch\":2");
    let before = json(&address, "/status");
    assert_eq!(
        (&before["parties"]["bank"]["returns"], &before["parties"]["bank"]["connected"]),
        (&0.into(), &true.into())
    );
    assert!(proxy.cut() > 0);
    let back = eventually(|| {
        let status = json(&address, "/status");
        let bank = &status["parties"]["bank"];
        let is_back = bank["returns"] == 1 && bank["connected"] == true;
        if is_back { Ok(status) } else { Err(format!("it is not back: {status}")) }
    });
    assert_ne!(
        back["parties"]["bank"]["address"], before["parties"]["bank"]["address"],
        "another connection"
    );
    assert_eq!(back["parties"]["telecom"]["returns"], 0);
    assert_eq!(metrics(&address)["hashvfl_party_returns_total{party=\"bank\"}"], 1.0);
    drop(parties);
}
