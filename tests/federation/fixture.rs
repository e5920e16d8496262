//! A small federation in a temporary folder: tables, configs, processes with a limit on every wait.

use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use hashvfl_core::random::stream;
use hashvfl_core::{PartyName, RunSettings, Task};
use rand::Rng;
use tempfile::TempDir;

/// No process of a test takes longer.
pub const LIMIT: Duration = Duration::from_secs(120);
pub const RECORDS: usize = 400;
pub const PARTIES: [&str; 2] = ["bank", "telecom"];

/// Tables and configs of a federation whose label is whether two hidden sums, one per party, have one sign.
pub struct Fixture {
    pub folder: TempDir,
    pub settings: RunSettings,
    pub run_id: &'static str,
    /// Whether connections are over TLS; what that takes is in `extra` then.
    pub secured: bool,
    /// Seconds for a party to come back after its connection broke: few, so that whoever is killed is soon given up.
    pub reconnect_s: u64,
    /// Seconds of silence until a connection is asked for a sign of life.
    pub keep_alive_s: u64,
    /// What sides do when their run is interrupted.
    pub on_interruption: &'static str,
    /// Lines put in front of a config, by name.
    pub extra: Vec<(&'static str, String)>,
    /// What processes log: HASHVFL_LOG.
    pub log: &'static str,
    /// Environment variables of all processes beside it.
    pub variables: Vec<(&'static str, String)>,
    /// File handles that the coordinator may open; as many as this process without.
    pub handles: Option<u32>,
}

impl Fixture {
    pub fn new() -> Self {
        let names = PARTIES.map(|name| PartyName::new(name).unwrap());
        let settings = RunSettings {
            batch_rows: 64.into(),
            learning_rate: 0.02,
            ..RunSettings::new(names.to_vec(), Task::Binary, 8, 4)
        };
        let folder = tempfile::tempdir().unwrap();
        let fixture = Self {
            folder,
            settings,
            run_id: "test",
            secured: false,
            reconnect_s: 1,
            keep_alive_s: 20,
            on_interruption: "stop",
            extra: Vec::new(),
            log: "info",
            variables: Vec::new(),
            handles: None,
        };
        let mut rng = stream(1, "fixture", &[]);
        let mut draw = || f64::from(rng.next_u32()) / f64::from(u32::MAX) - 0.5;
        let mut tables = [String::from("id,a,b,c\n"), String::from("id,a,b,c\n")];
        let mut labels = String::from("id,y\n");
        for record in 0..RECORDS {
            let mut sum = 0.0;
            for table in &mut tables {
                let (a, b, c) = (draw(), draw(), draw());
                sum += a + b;
                *table += &format!("r{record},{a},{b},{c}\n");
            }
            labels += &format!("r{record},{}\n", u8::from(sum > 0.0));
        }
        for (name, table) in PARTIES.iter().zip(&tables) {
            fixture.write(&format!("{name}.csv"), table);
        }
        fixture.write("labels.csv", &labels);
        fixture
    }

    /// One whose run is not over before something happens to it.
    pub fn that_never_ends() -> Self {
        let mut fixture = Self::new();
        fixture.settings.epochs = 100_000;
        fixture
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub fn write(&self, name: &str, text: &str) {
        fs::write(self.path(name), text).unwrap();
    }

    pub fn read(&self, name: &str) -> String {
        fs::read_to_string(self.path(name)).unwrap()
    }

    fn extra(&self, name: &str) -> String {
        let plaintext = if self.secured { "" } else { "insecure_plaintext = true\n" };
        let extra = self.extra.iter().filter(|(of, _)| *of == name);
        extra.fold(plaintext.to_string(), |lines, (_, line)| format!("{lines}{line}\n"))
    }

    fn run_table(&self) -> String {
        toml::to_string(&std::collections::BTreeMap::from([("run", &self.settings)])).unwrap()
    }

    /// Writes a party's config for a coordinator at `address`.
    pub fn party_config(&self, name: &str, address: &str) -> PathBuf {
        let text = format!(
            "{}name = \"{name}\"\nrun_id = \"{}\"\ncoordinator = \"http://{address}\"\nstate = \"{name}-state\"\n\
             ledger = \"{name}-ledger.redb\"\ndevice = \"cpu\"\nseed = 7\nresponse_key = \"{name}.key\"\ntimeouts = {{ connect_s = 20, start_s = 60, step_s = 60, reconnect_s = {}, keep_alive_s = {} }}\non_interruption = {:?}\n\
             columns = {{ format = \"csv\", paths = [\"{name}.csv\"], id = \"id\" }}\n{}",
            self.extra(name),
            self.run_id,
            self.reconnect_s,
            self.keep_alive_s,
            self.on_interruption,
            self.run_table()
        );
        self.write(&format!("{name}.toml"), &text);
        self.path(&format!("{name}.toml"))
    }

    /// Writes the coordinator's config.
    pub fn coordinator_config(&self) -> PathBuf {
        let text = format!(
            "{}run_id = \"{}\"\nlisten = \"127.0.0.1:0\"\nstate = \"coordinator-state\"\ndevice = \"cpu\"\n\
             timeouts = {{ join_s = 30, handshake_s = 10, step_s = 30, reconnect_s = {}, keep_alive_s = {} }}\non_interruption = {:?}\n\
             labels = {{ format = \"csv\", paths = [\"labels.csv\"], id = \"id\", column = \"y\" }}\n{}",
            self.extra("coordinator"),
            self.run_id,
            self.reconnect_s,
            self.keep_alive_s,
            self.on_interruption,
            self.run_table()
        );
        self.write("coordinator.toml", &text);
        self.path("coordinator.toml")
    }

    /// Starts the coordinator and waits until it listens.
    pub fn coordinator(&self) -> (Role, String) {
        self.listening(&["coordinator", "--json", "--config"])
    }

    /// Starts a coordinator that serves predictions, and waits until it listens.
    pub fn serve(&self) -> (Role, String) {
        self.listening(&["coordinator", "serve", "--json", "--config"])
    }

    fn start(&self, arguments: &[&str], config: &Path) -> Role {
        Role::start_with(arguments, config, self.log, &self.variables)
    }

    fn listening(&self, arguments: &[&str]) -> (Role, String) {
        let config = self.coordinator_config();
        let mut role = match self.handles {
            Some(handles) => Role::start_limited(arguments, &config, self.log, handles),
            None => self.start(arguments, &config),
        };
        let address = role.listens();
        (role, address)
    }

    /// Starts a party that serves predictions.
    pub fn party_serves(&self, name: &str, address: &str) -> Role {
        self.start(&["party", "serve", "--config"], &self.party_config(name, address))
    }

    pub fn party(&self, name: &str, address: &str) -> Role {
        self.start(&["party", "--config"], &self.party_config(name, address))
    }

    /// Runs a whole honest federation.
    pub fn run(&self) {
        let (mut coordinator, address) = self.coordinator();
        let mut parties = PARTIES.map(|name| self.party(name, &address));
        coordinator.succeeds();
        parties.iter_mut().for_each(Role::succeeds);
    }

    /// Files in the folder and below that are half-written, or that only a finished run has.
    pub fn unfinished(&self) -> Vec<String> {
        let finished = ["top.safetensors", "summary.json", "bottom.safetensors", "transcript.parquet"];
        let (mut found, mut waiting) = (Vec::new(), vec![self.folder.path().to_path_buf()]);
        while let Some(folder) = waiting.pop() {
            for entry in fs::read_dir(folder).unwrap() {
                let entry = entry.unwrap();
                let name = entry.file_name().into_string().unwrap();
                if entry.path().is_dir() {
                    waiting.push(entry.path());
                } else if name.starts_with('.') || name.contains("tmp") || finished.contains(&name.as_str()) {
                    found.push(name);
                }
            }
        }
        found
    }

    pub fn summary(&self) -> serde_json::Value {
        serde_json::from_str(&self.read("coordinator-state/summary.json")).unwrap()
    }
}

/// What `look` finds: it looks again and again, and what it said last is told where it finds nothing within [`LIMIT`].
pub fn eventually<T>(mut look: impl FnMut() -> Result<T, String>) -> T {
    let began = Instant::now();
    loop {
        match look() {
            Ok(found) => return found,
            Err(why) => assert!(began.elapsed() < LIMIT, "{why}"),
        }
        thread::sleep(Duration::from_millis(20));
    }
}

/// Waits until something holds; `otherwise` is told where it does not within [`LIMIT`].
pub fn wait_until(otherwise: &str, mut holds: impl FnMut() -> bool) {
    eventually(|| if holds() { Ok(()) } else { Err(otherwise.to_string()) });
}

/// Runs a command that must end well; its standard output.
pub fn done(arguments: &[&str]) -> String {
    let (good, said, errors) = command(arguments);
    assert!(good, "{arguments:?}: {errors}");
    said
}

/// Runs a role to its end; its exit code, standard output and error.
pub fn command(arguments: &[&str]) -> (bool, String, String) {
    command_with(arguments, &[])
}

/// The same with environment variables.
pub fn command_with(arguments: &[&str], variables: &[(&str, &str)]) -> (bool, String, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_roles"));
    command.args(arguments).envs(variables.iter().copied()).stdin(Stdio::null());
    let output = command.output().unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (output.status.success(), text(&output.stdout), text(&output.stderr))
}

/// How a process ended.
#[derive(Debug)]
pub struct End {
    /// Its exit code; `None` where a signal ended it.
    pub code: Option<i32>,
    /// What it logged.
    pub log: String,
}

impl End {
    /// The lines that say why it did not end well.
    pub fn errors(&self) -> Vec<&str> {
        self.log.lines().filter(|line| line.starts_with("error: ")).collect()
    }
}

/// A running process; killed when dropped.
pub struct Role {
    child: Child,
    lines: Receiver<String>,
    /// What it has logged so far, and who reads it.
    log: Arc<Mutex<Vec<u8>>>,
    reader: Option<JoinHandle<()>>,
}

impl Role {
    pub fn start(arguments: &[&str], config: &Path, log: &str) -> Self {
        Self::start_with(arguments, config, log, &[])
    }

    /// The same with environment variables.
    pub fn start_with(
        arguments: &[&str],
        config: &Path,
        log: &str,
        variables: &[(&'static str, String)],
    ) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_roles"));
        command
            .args(arguments)
            .arg(config)
            .env("HASHVFL_LOG", log)
            .envs(variables.iter().map(|(name, value)| (name, value)));
        Self::spawn(command)
    }

    /// The same with so many file handles.
    fn start_limited(arguments: &[&str], config: &Path, log: &str, handles: u32) -> Self {
        let mut command = Command::new("bash");
        command
            .args([
                "-c",
                "ulimit -n \"$0\" && exec \"$@\"",
                &handles.to_string(),
                env!("CARGO_BIN_EXE_roles"),
            ])
            .args(arguments)
            .arg(config)
            .env("HASHVFL_LOG", log);
        Self::spawn(command)
    }

    fn spawn(mut command: Command) -> Self {
        let mut child =
            command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let stdout = child.stdout.take().unwrap();
        let (to_test, lines) = mpsc::channel();
        thread::spawn(move || {
            BufReader::new(stdout).lines().map_while(Result::ok).try_for_each(|line| to_test.send(line))
        });
        let mut stderr = child.stderr.take().unwrap();
        let log = Arc::<Mutex<Vec<u8>>>::default();
        let read = Arc::clone(&log);
        let reader = thread::spawn(move || {
            let mut piece = [0; 4096];
            while let Ok(bytes @ 1..) = stderr.read(&mut piece) {
                read.lock().unwrap().extend(&piece[..bytes]);
            }
        });
        Self { child, lines, log, reader: Some(reader) }
    }

    /// The next line of standard output, `None` at its end.
    pub fn next_line(&self) -> Option<String> {
        self.lines.recv_timeout(LIMIT).ok()
    }

    /// Waits until it listens; where.
    pub fn listens(&mut self) -> String {
        loop {
            let line = self.next_line().unwrap_or_else(|| panic!("no address: {}", self.fails()));
            let event: serde_json::Value = serde_json::from_str(&line).unwrap();
            if event["event"] == "listening" {
                return event["address"].as_str().unwrap().to_string();
            }
        }
    }

    /// Waits for a line of standard output that holds `text`.
    pub fn wait_for(&self, text: &str) {
        let began = Instant::now();
        while let Ok(line) = self.lines.recv_timeout(LIMIT.saturating_sub(began.elapsed())) {
            if line.contains(text) {
                return;
            }
        }
        panic!("no {text:?} on standard output: {}", self.logged());
    }

    /// What it has logged so far.
    pub fn logged(&self) -> String {
        String::from_utf8_lossy(&self.log.lock().unwrap()).into_owned()
    }

    /// Waits until it has logged `text`.
    pub fn wait_for_log(&self, text: &str) {
        let began = Instant::now();
        loop {
            let is_over = self.reader.as_ref().is_none_or(JoinHandle::is_finished);
            let logged = self.logged();
            if logged.contains(text) {
                return;
            }
            assert!(!is_over && began.elapsed() < LIMIT, "no {text:?} in the log: {logged}");
            thread::sleep(Duration::from_millis(5));
        }
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    pub fn kill(&mut self) {
        self.child.kill().unwrap();
    }

    /// Asks it to end, as a service manager does.
    pub fn terminate(&mut self) {
        let pid = self.child.id().to_string();
        assert!(Command::new("kill").args(["-TERM", &pid]).status().unwrap().success());
    }

    /// Stops it, so that it is there and does nothing, or lets it go on.
    pub fn stand_still(&mut self, stands: bool) {
        let (signal, pid) = (if stands { "-STOP" } else { "-CONT" }, self.child.id().to_string());
        assert!(Command::new("kill").args([signal, &pid]).status().unwrap().success());
    }

    /// A line of standard output that is there already.
    pub fn line(&self) -> Option<String> {
        self.lines.try_recv().ok()
    }

    /// All lines of standard output that are left when it has ended.
    pub fn rest(&self) -> Vec<String> {
        self.lines.iter().collect()
    }

    /// How it ended, if it has; to be asked no more then.
    pub fn ended(&mut self) -> Option<End> {
        let status = self.child.try_wait().unwrap()?;
        self.reader.take().unwrap().join().unwrap();
        Some(End { code: status.code(), log: self.logged() })
    }

    /// Waits for its end.
    pub fn end(&mut self) -> End {
        eventually(|| self.ended().ok_or_else(|| "the process hangs".to_string()))
    }

    /// Waits for its end: whether it was good, and what it logged.
    pub fn ends(&mut self) -> (bool, String) {
        let End { code, log } = self.end();
        (code == Some(0), log)
    }

    /// Waits for a good end.
    pub fn succeeds(&mut self) {
        let (good, errors) = self.ends();
        assert!(good, "{errors}");
    }

    /// Waits for the end of a process that was asked to end before its work was done; its last line.
    pub fn was_asked(&mut self) -> String {
        let End { code, log } = self.end();
        assert_eq!(code, Some(130), "{log}");
        assert!(!log.contains("panicked") && !log.contains("error: "), "{log}");
        log.lines().last().unwrap().to_string()
    }

    /// Waits for a bad end; the one line that says why.
    pub fn fails(&mut self) -> String {
        let end = self.end();
        assert!(end.code != Some(0), "it ended well: {}", end.log);
        assert_eq!(end.errors().len(), 1, "one clear line expected: {}", end.log);
        assert!(!end.log.contains("panicked"), "{}", end.log);
        end.errors()[0].to_string()
    }
}

impl Drop for Role {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
