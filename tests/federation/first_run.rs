//! From two tables to predictions, by the commands of docs/how-to/align-records.md as they stand there.

use std::fs::{self, File};
use std::net::TcpStream;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use hashvfl_coordinator::CoordinatorConfig;
use hashvfl_core::CodeForm;
use hashvfl_core::random::stream;
use hashvfl_data::Order;
use hashvfl_party::PartyConfig;
use rand::Rng;

use crate::fixture::{eventually, wait_until};
use crate::ports::free_address;

const CUSTOMERS: usize = 800;
const NEW_CUSTOMERS: usize = 40;

/// A command that runs; killed when dropped.
struct Running {
    line: String,
    child: Child,
    log: PathBuf,
}

impl Running {
    fn ends(&mut self) -> (bool, String) {
        let log = || fs::read_to_string(&self.log).unwrap();
        let status = eventually(|| {
            let status = self.child.try_wait().unwrap();
            status.ok_or_else(|| format!("`{}` hangs: {}", self.line, log()))
        });
        (status.success(), log())
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Both organisations, in one folder and on one machine.
struct Organisations {
    folder: tempfile::TempDir,
    port: u16,
    started: usize,
}

impl Organisations {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let port = free_address().port();
        let organisations = Self { folder, port, started: 0 };
        organisations.write_tables("", CUSTOMERS);
        organisations.write_tables("-new", NEW_CUSTOMERS);
        organisations
    }

    /// Tables of different customers in different orders; whoever has a positive sum over both defaulted.
    fn write_tables(&self, ending: &str, customers: usize) {
        let mut rng = stream(1, ending, &[]);
        let mut draw = || f64::from(rng.next_u32()) / f64::from(u32::MAX) - 0.5;
        let (mut bank, mut telecom) = (Vec::new(), Vec::new());
        for customer in 0..customers {
            let (income, age, calls) = (draw(), draw(), draw());
            let label = if ending.is_empty() {
                format!(",{}", u8::from(income + calls > 0.0))
            } else {
                String::new()
            };
            if customer % 10 != 0 {
                bank.push(format!("c{customer},{income},{age}{label}\n"));
            }
            if customer % 10 != 1 {
                telecom.push(format!("c{customer},{calls}\n"));
            }
        }
        telecom.reverse();
        let label = if ending.is_empty() { ",defaulted" } else { "" };
        self.write(&format!("bank{ending}.csv"), &format!("id,income,age{label}\n{}", bank.concat()));
        self.write(&format!("telecom{ending}.csv"), &format!("id,calls\n{}", telecom.concat()));
    }

    fn write(&self, name: &str, text: &str) {
        fs::write(self.folder.path().join(name), text).unwrap();
    }

    fn read(&self, name: &str) -> String {
        fs::read_to_string(self.folder.path().join(name)).unwrap()
    }

    /// Starts a command of the page, at this port and with these holders' keys.
    fn start(&mut self, line: &str) -> Running {
        let address = format!("127.0.0.1:{}", self.port);
        let mut line = line.replace("bank.example:7433", &address).replace("0.0.0.0:7433", &address);
        for (word, role, config) in [
            ("BANK_KEY", "party", "bank.toml"),
            ("TELECOM_KEY", "party", "telecom.toml"),
            ("LABELS_KEY", "coordinator", "coordinator.toml"),
        ] {
            if line.contains(word) {
                let (_, key) = self.run(&format!("{role} key --config {config}"));
                line = line.replace(word, key.trim());
            }
        }
        if line.contains("AUTHORITY") {
            let (_, shown) = self.run("coordinator identity show --config coordinator.toml");
            let authority = shown.lines().find_map(|line| line.strip_prefix("authority  ")).unwrap();
            line = line.replace("AUTHORITY", authority);
        }
        self.started += 1;
        let log = self.folder.path().join(format!("{}.log", self.started));
        let file = File::create(&log).unwrap();
        let child = Command::new(env!("CARGO_BIN_EXE_roles"))
            .args(line.split_whitespace())
            .current_dir(self.folder.path())
            .stdin(Stdio::null())
            .stdout(file.try_clone().unwrap())
            .stderr(file)
            .spawn()
            .unwrap();
        Running { line, child, log }
    }

    /// A config that `init` has just written for this machine names the port of the page.
    fn move_to_free_port(&self, line: &str) {
        let Some((_, file)) = line.split_once(" --out ") else { return };
        if line.contains(" init ") {
            self.write(file, &self.read(file).replace("127.0.0.1:7433", &format!("127.0.0.1:{}", self.port)));
        }
    }

    /// A reader takes longer to change terminals than a coordinator to listen; a test does not.
    fn wait_until_it_listens(&self) {
        wait_until("the coordinator does not listen", || {
            TcpStream::connect(("127.0.0.1", self.port)).is_ok()
        });
    }

    /// Takes the identity out of a config: here, the sides are processes of one machine.
    fn in_plain_text(&self, file: &str) {
        let mut config: toml::Table = self.read(file).parse().unwrap();
        config.remove("identity");
        config.insert("insecure_plaintext".to_string(), true.into());
        self.write(file, &config.to_string());
    }

    /// Runs a command to its end: whether it was good, and what it said.
    fn run(&mut self, line: &str) -> (bool, String) {
        self.start(line).ends()
    }
}

/// The commands of the page's sample, block by block.
fn blocks() -> Vec<Vec<String>> {
    let page = include_str!("../../docs/how-to/align-records.md");
    let (_, sample) = page.split_once("## From two tables to predictions").unwrap();
    let (sample, _) = sample.split_once("\n## By hand").unwrap();
    let blocks = sample.split("```sh\n").skip(1).map(|block| block.split_once("```").unwrap().0);
    let command = |line: &str| line.split_once(" #").map_or(line, |(command, _)| command).trim().to_string();
    blocks.map(|block| block.lines().map(command).collect()).collect()
}

#[test]
fn the_commands_of_the_page_lead_from_two_tables_to_predictions() {
    let mut both = Organisations::new();
    let mut serving = Vec::new();
    for block in blocks() {
        let predicts = block[0].starts_with("coordinator predict");
        let joint = ["align", "serve", "--config"].contains(&block[0].split_whitespace().nth(1).unwrap());
        let mut running: Vec<Running> = Vec::new();
        for line in &block {
            let mut one = both.start(line);
            if !joint {
                let (good, said) = one.ends();
                assert_eq!(good, !predicts, "`{line}`: {said}");
                both.move_to_free_port(line);
            }
            running.push(one);
        }
        if block[0].contains(" serve ") {
            serving = running;
            both.wait_until_it_listens();
        } else {
            for one in &mut running {
                let (good, said) = one.ends();
                assert_eq!(good, !predicts, "`{}`: {said}", one.line);
            }
        }
    }
    drop(serving);
    let summary: serde_json::Value =
        serde_json::from_str(&both.read("coordinator-state/summary.json")).unwrap();
    assert!(summary["test"]["auc"].as_f64().unwrap() > 0.75, "rows of one customer must meet: {summary}");
    let order = Order::read(&both.folder.path().join("bank-align/order.csv")).unwrap();
    assert_eq!(order.ids.len(), CUSTOMERS - 2 * CUSTOMERS / 10);
    let predictions = both.read("predictions.csv");
    let with = |text: &str| predictions.lines().filter(|line| line.contains(text)).count();
    assert_eq!((with("bank+telecom"), with("unknown id")), (NEW_CUSTOMERS - 8, 4), "{predictions}");
    // What a check says when all is done.
    for (role, config, model) in
        [("party", "bank.toml", "bottom.safetensors"), ("coordinator", "coordinator.toml", "top.safetensors")]
    {
        let (good, said) = both.run(&format!("{role} --check --config {config}"));
        assert!(
            good && said.contains(model) && said.contains("done: the run has already finished"),
            "{said}"
        );
    }
}

/// Tables of the same customers in the same order, one with labels.
fn write_tables_in_order(both: &Organisations) {
    let mut rng = stream(2, "private", &[]);
    let mut draw = || f64::from(rng.next_u32()) / f64::from(u32::MAX) - 0.5;
    let (mut bank, mut telecom) = (Vec::new(), Vec::new());
    for customer in 0..CUSTOMERS {
        let (income, calls) = (draw(), draw());
        bank.push(format!("c{customer},{income},{}\n", u8::from(income + calls > 0.0)));
        telecom.push(format!("c{customer},{calls}\n"));
    }
    both.write("bank.csv", &format!("id,income,defaulted\n{}", bank.concat()));
    both.write("telecom.csv", &format!("id,calls\n{}", telecom.concat()));
}

#[test]
fn what_the_coordinator_prints_leads_to_a_run_of_short_codes() {
    let mut both = Organisations::new();
    write_tables_in_order(&both);
    let line = "coordinator init --from bank.csv --label defaulted --short-codes --own bank";
    let (good, said) = both.run(&format!("{line} --listen 127.0.0.1:{}", both.port));
    assert!(good, "{said}");
    for party in ["bank", "telecom"] {
        let (_, printed) = said.split_once(&format!("at {party}:\n")).unwrap();
        let command = printed.lines().next().unwrap().replace("TABLE", "telecom.csv");
        let (good, said) = both.run(&command);
        assert!(good, "`{command}`: {said}");
    }
    let run = CoordinatorConfig::read(&both.folder.path().join("coordinator.toml")).unwrap().run;
    for (party, form, noise) in [("bank", CodeForm::new(16, 4), 0.4), ("telecom", CodeForm::new(1, 5), 0.1)] {
        let config = PartyConfig::read(&both.folder.path().join(format!("{party}.toml"))).unwrap();
        assert_eq!(config.run, run);
        assert_eq!((config.code_form(), config.encoder.hash.noise), (form, noise));
        assert_eq!(config.encoder.hash.initial_noise, Some(3.0), "the preset's, beside each noise");
    }

    for side in ["coordinator", "bank", "telecom"] {
        both.in_plain_text(&format!("{side}.toml"));
    }
    let lines =
        ["coordinator --config coordinator.toml", "party --config bank.toml", "party --config telecom.toml"];
    for mut one in lines.map(|line| both.start(line)) {
        let (good, said) = one.ends();
        assert!(good, "`{}`: {said}", one.line);
    }
    let summary: serde_json::Value =
        serde_json::from_str(&both.read("coordinator-state/summary.json")).unwrap();
    assert!(summary["test"]["auc"].as_f64().unwrap() > 0.65, "{summary}");
    let epochs = summary["epochs"].as_array().unwrap();
    let validated: Vec<bool> = epochs.iter().map(|epoch| epoch.get("validation").is_some()).collect();
    let expected: Vec<bool> = (1..=run.epochs).map(|epoch| epoch + run.cycle_epochs() > run.epochs).collect();
    assert_eq!(validated, expected, "validation records send codes in the last cycle alone");
}
