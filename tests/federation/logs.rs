//! What processes log at the most that anybody asks them for: no value, label, id, key or code.

use std::fs;

use hashvfl_core::{PackedCodes, StoredCodes, Task};

use crate::fixture::{Fixture, PARTIES, RECORDS, Role, command_with};
use crate::predict::{predict_command, serving};

/// Bits of a code: so many that none of its bytes stands in a log by chance.
const BITS: usize = 64;

/// Texts that are nobody's business.
struct Secrets(Vec<String>);

impl Secrets {
    /// Ids, cells and labels of the tables, in front of a run.
    fn of_tables(fixture: &Fixture) -> Self {
        let mut found = Vec::new();
        for file in ["bank.csv", "telecom.csv", "labels.csv"] {
            for line in fixture.read(file).lines().skip(1) {
                let mut cells = line.split(',');
                found.push(cells.next().unwrap().to_string());
                // More digits than a time of a log has; as a f32 they are the same.
                found.extend(cells.map(|cell| cell.trim_start_matches('-')[..9].to_string()));
            }
        }
        Self(found)
    }

    /// Codes as a log would write bytes, and keys, after a run.
    fn add_kept(&mut self, fixture: &Fixture) {
        let mut secrets: Vec<Vec<u8>> =
            PARTIES.map(|name| fs::read(fixture.path(&format!("{name}.key"))).unwrap()).into();
        for entry in fs::read_dir(fixture.path("coordinator-state/codes")).unwrap() {
            let StoredCodes { table, .. } =
                StoredCodes::from_bytes(&fs::read(entry.unwrap().path()).unwrap()).unwrap();
            for row in (0..RECORDS as u32).filter(|row| table.knows(*row)) {
                let signs = table.signs(&[row]).unwrap();
                secrets.push(PackedCodes::pack(&signs, BITS).unwrap().row_bytes(0));
            }
        }
        assert!(secrets.len() > RECORDS, "codes of both parties are kept");
        for bytes in secrets {
            self.0.push(hashvfl_core::hex::hex(&bytes));
            self.0.push(format!("{bytes:?}").trim_matches(['[', ']']).to_string());
            self.0.push(bytes.escape_ascii().to_string());
        }
    }

    /// How many of them stand in `text`.
    fn count_in(&self, text: &str) -> usize {
        self.0.iter().filter(|secret| text.contains(*secret)).count()
    }
}

/// Ends the processes; all that they have logged.
fn logged(roles: impl IntoIterator<Item = Role>) -> String {
    let ended = |mut role: Role| {
        let (good, text) = role.ends();
        assert!(good, "{text}");
        text
    };
    roles.into_iter().map(ended).collect()
}

#[test]
fn no_log_holds_what_is_private() {
    let mut fixture = Fixture::new();
    fixture.log = "debug";
    fixture.settings.bits = BITS;
    fixture.settings.calibration_fraction = 0.65;
    fixture.settings.randomised_response = Some(4.0);
    fixture.settings.task = Task::Regression;
    fixture.extra = vec![
        ("coordinator", "transcript = true".into()),
        ("coordinator", "detectors = { level = 0.1 }".into()),
        ("bank", "detectors = { send = \"p_value\", level = 0.1 }".into()),
        ("telecom", "transcript = true".into()),
    ];
    for file in ["bank.csv", "telecom.csv", "labels.csv"] {
        let named = fixture.read(file).replace("\nr", "\napplicant-");
        fixture.write(file, &named);
    }
    let label = |(row, line): (usize, &str)| match line.split_once(',') {
        Some((id, label)) if row > 0 => format!("{id},{label}.{:08}\n", row * 24_683),
        _ => format!("{line}\n"),
    };
    let labels: String = fixture.read("labels.csv").lines().enumerate().map(label).collect();
    fixture.write("labels.csv", &labels);
    let mut secrets = Secrets::of_tables(&fixture);

    let (coordinator, address) = fixture.coordinator();
    let parties = PARTIES.map(|name| fixture.party(name, &address));
    let training = logged(parties.into_iter().chain([coordinator]));
    secrets.add_kept(&fixture);

    let (mut coordinator, address) = fixture.serve();
    let mut parties = serving(&fixture, &coordinator, &address);
    let ids: String = (0..RECORDS).map(|row| format!("applicant-{row}\n")).collect();
    fixture.write("ask.csv", &format!("id\n{ids}"));
    let (good, said, errors) = predict_command(&fixture, &address, "ask.csv", "answer.csv");
    assert!(good, "{errors}");
    parties.iter_mut().chain([&mut coordinator]).for_each(Role::terminate);
    let serving = logged(parties.into_iter().chain([coordinator])) + &said + &errors;

    for (log, requests) in
        [(training, ["Encode", "EncodeSynthetic", "Finish"]), (serving, ["request", "records=", "bank"])]
    {
        assert!(requests.iter().all(|request| log.contains(request)), "debug logs name requests: {log}");
        assert_eq!(secrets.count_in(&log), 0, "private texts in a log: {log}");
        // What would be found.
        let slip = format!("{log}\ndebug: {:?}", &secrets.0[secrets.0.len() - 2]);
        assert_eq!(secrets.count_in(&slip), 1);
    }
}

/// The lines of a log, each an object.
fn objects(log: &str) -> Vec<serde_json::Value> {
    log.lines()
        .map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}")))
        .collect()
}

#[test]
fn lines_of_json_name_side_run_and_step_at_both_sides() {
    let mut fixture = Fixture::new();
    fixture.log = "debug,h2=off,hyper=off,tower=off,tonic=off";
    let config = fixture.coordinator_config();
    let coordinator =
        Role::start(&["coordinator", "--log-format", "json", "--json", "--config"], &config, fixture.log);
    let listening: serde_json::Value = serde_json::from_str(&coordinator.next_line().unwrap()).unwrap();
    let address = listening["address"].as_str().unwrap();
    let party = |name: &str| {
        let config = fixture.party_config(name, address);
        Role::start(&["party", "--log-format", "json", "--config"], &config, fixture.log)
    };
    let [mut bank, telecom] = PARTIES.map(party);
    let (good, own) = bank.ends();
    assert!(good, "{own}");
    let (own, others) = (objects(&own), objects(&logged([coordinator])));
    drop(telecom);
    // Each step at the coordinator is the same step at the party, of the same run.
    let steps = |log: &[serde_json::Value], side: &str| -> Vec<(u64, String)> {
        let mut steps = Vec::new();
        for line in log.iter().filter(|line| line["message"] == "request" && line["step"].is_u64()) {
            assert_eq!((&line["side"], &line["run"]), (&side.into(), &"test".into()), "{line}");
            steps.push((line["step"].as_u64().unwrap(), line["kind"].as_str().unwrap().to_string()));
        }
        // What is no request of a step bears the number of the last one.
        steps.retain(|(_, kind)| {
            ["Encode", "Freeze", "Finish", "Checkpoint", "Restore"].contains(&kind.as_str())
        });
        steps
    };
    let (here, there) = (steps(&own, "bank"), steps(&others, "coordinator"));
    assert!(here.len() > 20, "{here:?}");
    assert_eq!(here, there);
    for line in own.iter().chain(&others) {
        assert!(line["time"].as_str().unwrap().ends_with('Z') && line["level"].is_string(), "{line}");
    }

    // The line that says why a process ends is an object as well.
    let (good, _, errors) =
        crate::fixture::command(&["party", "--log-format", "json", "--config", "/nowhere.toml"]);
    let last = objects(&errors);
    assert!(!good && last.last().unwrap()["message"].as_str().unwrap().contains("/nowhere.toml"), "{errors}");
}

/// A unit or a container sets a variable more easily than it changes a command.
#[test]
fn the_format_of_the_log_is_a_variable_too_and_the_option_comes_first() {
    let json = [("HASHVFL_LOG_FORMAT", "json")];
    for program in ["party", "coordinator"] {
        let wrong = [program, "status", "--config", "/nowhere.toml"];
        let (good, _, errors) = command_with(&wrong, &json);
        let last = objects(&errors);
        assert!(!good && last[0]["message"].as_str().unwrap().contains("/nowhere.toml"), "{errors}");
        let (good, _, errors) = command_with(&[&wrong[..], &["--log-format", "text"]].concat(), &json);
        assert!(!good && errors.starts_with("error: "), "{errors}");
        let (good, _, errors) = command_with(&wrong, &[("HASHVFL_LOG_FORMAT", "xml")]);
        assert!(!good && errors.contains("xml") && errors.contains("--log-format"), "{errors}");
    }
}
