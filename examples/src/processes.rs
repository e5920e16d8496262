//! A federation as it runs between organisations: one coordinator and its parties, each a process of its own
//! that knows its config file alone. This binary plays all of them: it starts itself again with `party` or
//! `coordinator` in front, so that one `cargo run` builds all that it needs.

use std::ffi::OsString;
use std::fs::File;
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitCode, Stdio};

use anyhow::{Context, bail};
use hashvfl_coordinator::progress::Event;
use hashvfl_coordinator::summary::Summary;

/// Plays a role if the first argument names one; the binary goes on with its own story otherwise.
pub fn play_role() -> Option<ExitCode> {
    let arguments: Vec<OsString> = std::env::args_os().skip(1).collect();
    match arguments.first()?.to_str()? {
        "party" => Some(hashvfl_party::entry(arguments)),
        "coordinator" => Some(hashvfl_coordinator::entry(arguments)),
        _ => None,
    }
}

/// A process and its log; ended when it is dropped, so that no failure leaves one behind.
struct Process {
    what: String,
    child: Child,
    log: PathBuf,
}

impl Process {
    fn start(what: &str, arguments: &[&str], config: &Path, stdout: Stdio) -> anyhow::Result<Self> {
        let log = config.with_file_name(format!("{what}.log"));
        let file = File::create(&log).with_context(|| format!("cannot write {}", log.display()))?;
        let program = std::env::current_exe().context("cannot find this program's own file")?;
        let child = Command::new(program)
            .args(arguments)
            .arg("--config")
            .arg(config)
            .stdin(Stdio::null())
            .stdout(stdout)
            .stderr(file)
            .spawn()
            .with_context(|| format!("cannot start the process of {what}"))?;
        Ok(Self { what: what.to_string(), child, log })
    }

    /// Waits for the end, which must be a good one.
    fn join(&mut self) -> anyhow::Result<()> {
        let status = self.child.wait().with_context(|| format!("waiting for {}", self.what))?;
        if status.success() {
            return Ok(());
        }
        let log = std::fs::read_to_string(&self.log).unwrap_or_default();
        let last = log.lines().last().unwrap_or("it wrote nothing");
        bail!("{} ended with {status}: {last} (all of its log: {})", self.what, self.log.display())
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Config files of a federation.
pub struct Configs {
    /// The coordinator's; it must listen on port 0 of the loopback address.
    pub coordinator: PathBuf,
    /// Name and config of each party; `{coordinator}` in it stands for the address to dial.
    pub parties: Vec<(String, PathBuf)>,
}

/// Runs a federation to its end; `watch` hears what the coordinator tells.
pub fn run(configs: &Configs, mut watch: impl FnMut(&Event)) -> anyhow::Result<Summary> {
    let mut coordinator =
        Process::start("coordinator", &["coordinator", "--json"], &configs.coordinator, Stdio::piped())?;
    let stdout = coordinator.child.stdout.take().context("the coordinator's output")?;
    let mut parties = Vec::new();
    let mut summary = None;
    for line in BufReader::new(stdout).lines() {
        let line = line.context("reading the coordinator's output")?;
        let event: Event = serde_json::from_str(&line).context("the coordinator's output")?;
        if let Event::Listening { address } = &event {
            parties = start_parties(configs, *address)?;
        }
        if let Event::Finished { summary: path } = &event {
            let text = std::fs::read(path).with_context(|| format!("cannot read {path}"))?;
            summary = Some(serde_json::from_slice(&text).with_context(|| format!("reading {path}"))?);
        }
        watch(&event);
    }
    coordinator.join()?;
    parties.iter_mut().try_for_each(Process::join)?;
    summary.context("the coordinator ended without a summary")
}

fn start_parties(configs: &Configs, address: SocketAddr) -> anyhow::Result<Vec<Process>> {
    let start = |(name, config): &(String, PathBuf)| {
        let text = std::fs::read_to_string(config)
            .with_context(|| format!("cannot read {}", config.display()))?
            .replace("{coordinator}", &format!("http://{address}"));
        std::fs::write(config, text).with_context(|| format!("cannot write {}", config.display()))?;
        Process::start(name, &["party"], config, Stdio::null())
    };
    configs.parties.iter().map(start).collect()
}
