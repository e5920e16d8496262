//! A federation as it runs between organisations: one coordinator and its parties, each a process of its own
//! that knows only its config file. This binary plays all of them: it starts itself again with `party` or
//! `coordinator` in front, so that one `cargo run` builds all that it needs.

use std::ffi::OsString;
use std::fs::File;
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, ExitCode, Stdio};

use anyhow::{Context, bail, ensure};
use hashvfl_coordinator::progress::Event;
use hashvfl_coordinator::summary::Summary;
use hashvfl_files::{complain, say};

/// Ticks in which Linux counts processor time.
const TICKS_PER_S: f64 = 100.0;

/// Runs as a role if the first argument names one; otherwise returns, so that the binary continues with its own work.
pub fn play_role() -> Option<ExitCode> {
    let arguments: Vec<OsString> = std::env::args_os().skip(1).collect();
    match arguments.first()?.to_str()? {
        "party" => Some(hashvfl_party::entry(arguments)),
        "coordinator" => Some(hashvfl_coordinator::entry(arguments)),
        _ => None,
    }
}

/// What such a binary's `main` does: it plays a role if the first argument names one, and tells `story` otherwise.
pub fn main(story: impl FnOnce() -> anyhow::Result<()>) -> ExitCode {
    if let Some(ended) = play_role() {
        return ended;
    }
    match story() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            complain!("error: {error:#}");
            ExitCode::FAILURE
        }
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

    fn usage(&self) -> ProcessUsage {
        ProcessUsage { peak_bytes: peak(self.child.id()), processor_s: processor_s(self.child.id()) }
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

/// What a process has used so far; where the system tells.
#[derive(Debug, Clone, Copy, Default)]
pub struct ProcessUsage {
    /// Its largest memory, in bytes.
    pub peak_bytes: Option<u64>,
    /// Its processor time, in seconds.
    pub processor_s: Option<f64>,
}

/// Config files of a federation.
pub struct Configs {
    /// The coordinator's; it must listen on port 0 of the loopback address.
    pub coordinator: PathBuf,
    /// Name and config of each party; its line `coordinator = ...` gets the address to dial.
    pub parties: Vec<(String, PathBuf)>,
}

/// Runs a federation to its end; `on_event` hears what the coordinator tells.
pub fn run(configs: &Configs, on_event: impl FnMut(&Event)) -> anyhow::Result<Summary> {
    run_measured(configs, on_event).map(|(summary, _)| summary)
}

/// The same, and what the coordinator and each party have used up to the last event.
pub fn run_measured(
    configs: &Configs,
    mut on_event: impl FnMut(&Event),
) -> anyhow::Result<(Summary, Vec<ProcessUsage>)> {
    run_observed(configs, |event, _| on_event(event))
}

/// The same; `on_event` hears as well what the coordinator and each party have used so far.
pub fn run_observed(
    configs: &Configs,
    mut on_event: impl FnMut(&Event, &[ProcessUsage]),
) -> anyhow::Result<(Summary, Vec<ProcessUsage>)> {
    let mut coordinator =
        Process::start("coordinator", &["coordinator", "--json"], &configs.coordinator, Stdio::piped())?;
    let stdout = coordinator.child.stdout.take().context("the coordinator's output")?;
    let mut parties = Vec::new();
    let (mut summary, mut used) = (None, vec![ProcessUsage::default(); 1 + configs.parties.len()]);
    for line in BufReader::new(stdout).lines() {
        let line = line.context("reading the coordinator's output")?;
        let event: Event = serde_json::from_str(&line).context("the coordinator's output")?;
        if let Event::Listening { address } = &event {
            parties = start_parties(configs, *address, &["party"], "")?;
        }
        if let Event::Finished { summary: path } = &event {
            let text = std::fs::read(path).with_context(|| format!("cannot read {path}"))?;
            summary = Some(serde_json::from_slice(&text).with_context(|| format!("reading {path}"))?);
        }
        for (used, process) in used.iter_mut().zip([&coordinator].into_iter().chain(&parties)) {
            let now = process.usage();
            // A process that has ended tells nothing more.
            if now.peak_bytes.is_some() {
                *used = now;
            }
        }
        on_event(&event, &used);
    }
    coordinator.join()?;
    parties.iter_mut().try_for_each(Process::join)?;
    Ok((summary.context("the coordinator ended without a summary")?, used))
}

/// A trained federation that serves predictions, each side a process of its own; ended when it is dropped.
pub struct ServingFederation {
    /// Where the coordinator listens.
    pub address: SocketAddr,
    coordinator: Process,
    parties: Vec<Process>,
    // Closed, it would end the coordinator's events.
    _events: BufReader<ChildStdout>,
}

impl ServingFederation {
    /// Starts coordinator and parties, and waits until all are there.
    pub fn start(configs: &Configs) -> anyhow::Result<Self> {
        let arguments = ["coordinator", "serve", "--json"];
        let mut coordinator = Process::start("serving", &arguments, &configs.coordinator, Stdio::piped())?;
        let stdout = coordinator.child.stdout.take().context("the coordinator's output")?;
        let mut events = BufReader::new(stdout);
        let address = loop {
            if let Event::Listening { address } = next_event(&mut events, &mut coordinator)? {
                break address;
            }
        };
        let parties = start_parties(configs, address, &["party", "serve"], "-serving")?;
        let mut joined = 0;
        while joined < parties.len() {
            let event = next_event(&mut events, &mut coordinator)?;
            joined += usize::from(matches!(event, Event::Joined { .. }));
        }
        Ok(Self { address, coordinator, parties, _events: events })
    }

    /// What the coordinator and each party have used so far.
    pub fn usage(&self) -> Vec<ProcessUsage> {
        [&self.coordinator].into_iter().chain(&self.parties).map(Process::usage).collect()
    }

    /// Predicts the records in `input`; largest memory that was seen of the asking process.
    pub fn predict(&self, input: &Path, out: &Path, more: &[&str]) -> anyhow::Result<Option<u64>> {
        let (server, text) = (format!("http://{}", self.address), |path: &Path| path.display().to_string());
        let program = std::env::current_exe().context("cannot find this program's own file")?;
        let mut child = Command::new(program)
            .args([
                "coordinator",
                "predict",
                "--server",
                &server,
                "--input",
                &text(input),
                "--out",
                &text(out),
            ])
            .args(more)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .spawn()
            .context("cannot start the process that predicts")?;
        let mut most = None;
        loop {
            most = most.max(peak(child.id()));
            if let Some(status) = child.try_wait().context("waiting for the process that predicts")? {
                ensure!(status.success(), "`coordinator predict` ended with {status}");
                return Ok(most);
            }
            std::thread::sleep(std::time::Duration::from_millis(5));
        }
    }
}

/// Bytes as a figure to read.
pub fn megabytes(bytes: Option<u64>) -> String {
    bytes.map_or("unknown".into(), |bytes| format!("{:.0} MB", bytes as f64 / 1e6))
}

/// The line that tells the largest memory of a coordinator and its parties.
pub fn tell_memory(used: &[ProcessUsage]) {
    let peaks: Vec<String> = used.iter().map(|used| megabytes(used.peak_bytes)).collect();
    say!("peak memory of coordinator and parties: {}", peaks.join(", "));
}

fn peak(process: u32) -> Option<u64> {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    Some(line.trim().strip_suffix(" kB")?.trim().parse::<u64>().ok()? * 1024)
}

fn processor_s(process: u32) -> Option<f64> {
    let times = std::fs::read_to_string(format!("/proc/{process}/stat")).ok()?;
    // The name before the last parenthesis may hold anything; the times are the 12th and 13th fields after it.
    let (_, fields) = times.rsplit_once(')')?;
    let mut fields = fields.split_whitespace().skip(11);
    let ticks = fields.next()?.parse::<u64>().ok()? + fields.next()?.parse::<u64>().ok()?;
    Some(ticks as f64 / TICKS_PER_S)
}

/// Starts all parties with these arguments, each under its name and `ending`; their configs name the coordinator at `address`
/// from now on.
fn start_parties(
    configs: &Configs,
    address: SocketAddr,
    arguments: &[&str],
    ending: &str,
) -> anyhow::Result<Vec<Process>> {
    let mut parties = Vec::new();
    for (name, config) in &configs.parties {
        let text =
            std::fs::read_to_string(config).with_context(|| format!("cannot read {}", config.display()))?;
        std::fs::write(config, dialling(&text, address))
            .with_context(|| format!("cannot write {}", config.display()))?;
        parties.push(Process::start(&format!("{name}{ending}"), arguments, config, Stdio::null())?);
    }
    Ok(parties)
}

/// A party's config that names the coordinator at `address`.
fn dialling(config: &str, address: SocketAddr) -> String {
    let (mut text, mut is_named) = (String::new(), false);
    for line in config.lines() {
        // Only the first one: [identity] may have such a key as well.
        if !is_named && line.starts_with("coordinator = ") {
            is_named = true;
            text.push_str(&format!("coordinator = \"http://{address}\""));
        } else {
            text.push_str(line);
        }
        text.push('\n');
    }
    text
}

/// The next thing that a coordinator tells which waits for parties to serve.
fn next_event(events: &mut BufReader<ChildStdout>, coordinator: &mut Process) -> anyhow::Result<Event> {
    let mut line = String::new();
    if events.read_line(&mut line).context("reading the coordinator's output")? == 0 {
        coordinator.join()?;
        bail!("the coordinator ended before all parties had joined");
    }
    serde_json::from_str(&line).context("the coordinator's output")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_coordinator_that_is_dialled_is_named_and_not_the_one_of_the_certificate() {
        let address = SocketAddr::from(([127, 0, 0, 1], 7433));
        for before in ["{coordinator}", "http://127.0.0.1:1"] {
            let config = format!("a = 1\ncoordinator = \"{before}\"\n[identity]\ncoordinator = \"shop\"\n");
            let expected =
                "a = 1\ncoordinator = \"http://127.0.0.1:7433\"\n[identity]\ncoordinator = \"shop\"\n";
            assert_eq!(dialling(&config, address), expected);
        }
    }
}
