//! The tutorial, followed to the letter: its commands are run and its files are written as the page shows them.

use std::fs::{self, File};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use tempfile::TempDir;

use crate::ports::free_address;
use crate::secured::last_word;

const PAGE: &str = include_str!("../../docs/tutorial/two-organisations.md");

/// The tables that the page names, below the repository's root.
const DATA: &str = "docs/tutorial/data";

/// The port that `init` writes.
const PORT: &str = "127.0.0.1:7433";

/// No command of the page takes longer.
const LIMIT: Duration = Duration::from_secs(300);

/// Commands that a newcomer may have to say from empty folders to a trained run.
const MOST_COMMANDS: usize = 14;

/// What the page asks its reader to do.
#[derive(Debug, PartialEq)]
enum Step {
    /// Run this to its end.
    Run(String),
    /// Start this in a terminal of its own, and go on.
    Start(String),
    /// Wait until the commands in all terminals have ended by themselves.
    Wait,
    /// Press Ctrl+C in all terminals.
    Interrupt,
    /// Make a file.
    Write { file: String, text: String },
    /// Add lines to a file's end.
    Append { file: String, text: String },
    /// Put one line of a file in the place of another.
    Replace { file: String, old: String, new: String },
}

/// The steps of a page. A command that follows a line "Terminal N, whose:" goes on while the reader does; every other
/// command is run to its end.
fn steps(page: &str) -> Vec<Step> {
    let mut steps = Vec::new();
    let mut in_terminal = false;
    let mut lines = page.lines();
    while let Some(line) = lines.next() {
        if let Some(language) = line.strip_prefix("```") {
            let block: Vec<&str> = lines.by_ref().take_while(|line| *line != "```").collect();
            match language {
                "sh" if in_terminal => steps.extend(commands(&block).map(Step::Start)),
                "sh" => steps.extend(commands(&block).map(Step::Run)),
                "toml" => steps.push(file(&block)),
                "diff" => steps.push(change(&block)),
                other => panic!("nobody knows what a reader does with a block of {other:?}"),
            }
            in_terminal = false;
        } else if line.starts_with("Wait until") {
            steps.push(Step::Wait);
        } else if line.starts_with("Press Ctrl+C") {
            steps.push(Step::Interrupt);
        } else if !line.is_empty() {
            in_terminal = line.starts_with("Terminal ") && line.ends_with(':');
        }
    }
    steps
}

/// The commands of a block, one per line. Cargo has built already what the page installs.
fn commands(block: &[&str]) -> impl Iterator<Item = String> {
    block.iter().filter(|line| !line.starts_with("cargo install ")).map(ToString::to_string)
}

/// A block whose first line names a file, or says that it belongs at the end of one.
fn file(block: &[&str]) -> Step {
    let name = block[0].strip_prefix("# ").expect("the first line names the file");
    let text = format!("{}\n", block[1..].join("\n"));
    match name.strip_prefix("at the end of ") {
        Some(name) => Step::Append { file: name.into(), text: format!("\n{text}") },
        None => Step::Write { file: name.into(), text },
    }
}

/// A block with two lines that name a file, the line that goes and the line that comes.
fn change(block: &[&str]) -> Step {
    let [_, file, old, new] = block else { panic!("a change of one line has four lines: {block:?}") };
    Step::Replace { file: behind("+++ ", file), old: behind("-", old), new: behind("+", new) }
}

fn behind(mark: &str, line: &str) -> String {
    line.strip_prefix(mark).expect("a line of a change").to_string()
}

/// A command that was started; killed when dropped.
struct Running {
    command: String,
    child: Child,
    printed: PathBuf,
    log: PathBuf,
}

impl Running {
    /// Starts a command in a folder; `files` is how the names of its output's files start.
    fn start(command: &str, folder: &Path, files: &Path) -> Self {
        let words: Vec<&str> = command.split_whitespace().collect();
        let mut process = match words[0] {
            "party" | "coordinator" | "attack" => {
                let mut roles = Command::new(env!("CARGO_BIN_EXE_roles"));
                roles.args(&words);
                roles
            }
            program => {
                let mut process = Command::new(program);
                process.args(&words[1..]);
                process
            }
        };
        let (printed, log) = (files.with_extension("out"), files.with_extension("log"));
        let child = process
            .current_dir(folder)
            .stdin(Stdio::null())
            .stdout(File::create(&printed).unwrap())
            .stderr(File::create(&log).unwrap())
            .spawn()
            .unwrap();
        Self { command: command.into(), child, printed, log }
    }

    fn interrupt(&self) {
        let process = self.child.id().to_string();
        assert!(Command::new("kill").args(["-INT", &process]).status().unwrap().success());
    }

    /// Waits for a good end; what it printed on standard output.
    fn succeeds(mut self) -> String {
        let status = self.ends();
        let log = fs::read_to_string(&self.log).unwrap();
        assert!(status.is_some_and(|status| status.success()), "{}: {status:?}\n{log}", self.command);
        fs::read_to_string(&self.printed).unwrap()
    }

    /// Its exit status; none if it takes too long.
    fn ends(&mut self) -> Option<ExitStatus> {
        let start = Instant::now();
        while start.elapsed() < LIMIT {
            if let Some(status) = self.child.try_wait().unwrap() {
                return Some(status);
            }
            thread::sleep(Duration::from_millis(20));
        }
        None
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Who follows the page, in an empty folder that holds the tutorial's tables alone.
struct Reader {
    folder: TempDir,
    /// Where the coordinator listens instead of at the page's port, which may be taken.
    address: String,
    terminals: Vec<Running>,
    commands: usize,
    /// The fingerprint of the authority, once a command has printed it.
    authority: String,
}

impl Reader {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let from = Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(DATA);
        let to = folder.path().join(DATA);
        fs::create_dir_all(&to).unwrap();
        for table in fs::read_dir(from).unwrap() {
            let table = table.unwrap();
            fs::copy(table.path(), to.join(table.file_name())).unwrap();
        }
        let address = free_address().to_string();
        Self { folder, address, terminals: Vec::new(), commands: 0, authority: String::new() }
    }

    fn path(&self, file: &str) -> PathBuf {
        self.folder.path().join(file)
    }

    fn read(&self, file: &str) -> String {
        fs::read_to_string(self.path(file)).unwrap()
    }

    fn summary(&self) -> serde_json::Value {
        serde_json::from_str(&self.read("bank/coordinator-state/summary.json")).unwrap()
    }

    /// Does what a step says; what a command printed.
    fn follow(&mut self, step: &Step) -> String {
        match step {
            Step::Run(command) => {
                let printed = self.start(command).succeeds();
                if let Some((_, fingerprint)) = printed.split_once("the authority's fingerprint: ") {
                    self.authority = fingerprint.trim().to_string();
                }
                self.move_to_free_port(command);
                return printed;
            }
            Step::Start(command) => {
                let running = self.start(command);
                self.terminals.push(running);
                if command.starts_with("coordinator ") {
                    self.wait_until_it_listens();
                }
            }
            Step::Wait => self.wait(),
            Step::Interrupt => {
                self.terminals.iter().for_each(Running::interrupt);
                self.wait();
            }
            Step::Write { file, text } => fs::write(self.path(file), text).unwrap(),
            Step::Append { file, text } => fs::write(self.path(file), self.read(file) + text).unwrap(),
            Step::Replace { file, old, new } => self.replace(file, old, new),
        }
        String::new()
    }

    fn start(&mut self, command: &str) -> Running {
        self.commands += 1;
        let files = self.path(&format!("command-{}", self.commands));
        let command = command.replace(PORT, &self.address).replace("AUTHORITY", &self.authority);
        Running::start(&command, self.folder.path(), &files)
    }

    /// A reader takes longer to change terminals than a coordinator to listen; a test does not.
    fn wait_until_it_listens(&self) {
        let start = Instant::now();
        while TcpStream::connect(&self.address).is_err() {
            assert!(start.elapsed() < LIMIT, "the coordinator does not listen");
            thread::sleep(Duration::from_millis(20));
        }
    }

    fn wait(&mut self) {
        for running in self.terminals.drain(..) {
            running.succeeds();
        }
    }

    fn replace(&self, file: &str, old: &str, new: &str) {
        let text = self.read(file);
        assert_eq!(text.lines().filter(|line| *line == old).count(), 1, "{file} has one line {old:?}");
        fs::write(self.path(file), text.replace(&format!("{old}\n"), &format!("{new}\n"))).unwrap();
    }

    /// Config files that `init` has just written name the page's port.
    fn move_to_free_port(&self, command: &str) {
        let Some((start, file)) = command.split_once(" --out ") else { return };
        if start.contains(" init ") {
            let text = self.read(file);
            assert!(text.contains(PORT), "{file} names another port than {PORT}");
            fs::write(self.path(file), text.replace(PORT, &self.address)).unwrap();
        }
    }
}

/// Commands of the programs until a run is trained, both sides' in all.
fn commands_until_trained(steps: &[Step]) -> Vec<&str> {
    let mut found = Vec::new();
    for step in steps.iter().take_while(|step| **step != Step::Wait) {
        if let Step::Run(command) | Step::Start(command) = step
            && (command.starts_with("party ") || command.starts_with("coordinator "))
        {
            found.push(command.as_str());
        }
    }
    found
}

#[test]
fn a_newcomer_says_few_commands_until_a_run_is_trained() {
    let steps = steps(PAGE);
    let commands = commands_until_trained(&steps);
    assert!(commands.len() <= MOST_COMMANDS, "{} commands: {commands:?}", commands.len());
    assert_eq!(commands.iter().filter(|command| command.ends_with(" --check")).count(), 3, "{commands:?}");
    assert!(!PAGE.contains("insecure_plaintext"), "over TLS");
}

#[test]
fn the_tutorial_does_what_it_says() {
    let steps = steps(PAGE);
    let started = steps.iter().filter(|step| matches!(step, Step::Start(_))).count();
    assert_eq!(started, 6, "three programs train and three serve: {steps:?}");
    for step in [Step::Wait, Step::Interrupt] {
        assert_eq!(steps.iter().filter(|other| **other == step).count(), 1, "{step:?} once");
    }
    let mut reader = Reader::new();
    for step in &steps {
        let printed = reader.follow(step);
        if let Step::Run(command) = step {
            check_printed(command, &printed, &reader);
        }
    }
    check_summary(&reader.summary());
    check_predictions(&reader.read("bank/predictions.csv"));
    assert!(reader.read("report/report.html").contains("telecom"), "a report on the telecom's columns");
    let mut commands =
        steps.iter().filter_map(|step| if let Step::Run(command) = step { Some(command) } else { None });
    let attack = commands.find(|command| command.starts_with("attack run ")).expect("an attack");
    let printed = reader.follow(&Step::Run(format!("{attack} --keep")));
    assert!(
        printed.starts_with("kept: report/report.html"),
        "of the same run, nothing is attacked anew: {printed}"
    );
}

/// What the page says about what a command prints.
fn check_printed(command: &str, printed: &str, reader: &Reader) {
    if let Some((_, file)) = command.split_once(" --out ").filter(|(start, _)| start.contains(" init ")) {
        assert!(reader.read(file).lines().count() < 60, "{file} is short");
    }
    if command.contains(" identity sign ") {
        let requested = reader.read(&format!("command-{}.out", reader.commands - 1));
        let key = last_word(&requested, "party/telecom with a new key: ");
        assert!(printed.contains(&format!("with the key {key}\n")), "{key}: {printed}");
        assert!(printed.trim_end().ends_with(&reader.authority), "its last line: {printed}");
    }
    if command.contains(" identity accept ") {
        assert!(printed.contains("accepted: party/telecom"), "{printed}");
    }
    if command.ends_with(" --check") {
        assert!(printed.contains("is in order") && !printed.contains("to do before the run:"), "{printed}");
        let nobody = printed.contains("nobody answers yet: is the coordinator running?");
        assert_eq!(nobody, command.starts_with("party "), "{command}: {printed}");
    }
    if command.starts_with("coordinator evaluate") {
        let test: serde_json::Value = serde_json::from_str(printed).unwrap();
        assert!(test["auc"].as_f64().unwrap() > 0.72, "near 0.8: {printed}");
    }
    if command.contains("ledger show") {
        let bits = &reader.summary()["bits_released_per_record"]["cohort_train"];
        assert!(printed.contains(&format!("records released {bits} bits")), "{bits}: {printed}");
    }
}

fn check_summary(summary: &serde_json::Value) {
    let test = summary["test"]["auc"].as_f64().unwrap();
    for party in ["bank", "telecom"] {
        let without = summary["without"][party]["auc"].as_f64().unwrap();
        assert!(without < test, "{party} contributes: {without}, {test}");
    }
}

fn check_predictions(predictions: &str) {
    let mut lines = predictions.lines();
    let header = lines.next().unwrap();
    assert!(
        header.starts_with("id,outcome,class,probability,probability_0,probability_1,parties"),
        "{header}"
    );
    let customers: Vec<&str> = lines.collect();
    assert_eq!(customers.len(), 40);
    for line in customers {
        assert!(line.contains(",predicted,") && line.contains(",bank+telecom"), "{line}");
    }
}
