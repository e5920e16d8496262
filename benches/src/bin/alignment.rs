//! What an alignment costs: `cargo run --release -p hashvfl-benches --bin alignment -- COMMAND`.
//!
//! `arithmetic [THREADS]`: ids per second for both steps. `run ROWS [FOLDER]`: two holders of ROWS ids each, half of
//! them common, each a process of its own, over a relay of pipes: wall clock, memory of a process, bytes. `kills ROWS TIMES
//! [FOLDER]`: the same, and once more while either holder, drawn each time, is killed (SIGKILL) at a drawn moment and started
//! again, TIMES times: whether both end with the same order, and how many points were done and had to be done again.

use std::fs::OpenOptions;
use std::io::{self, Read, Write};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use hashvfl_alignment::curve::Secret;
use hashvfl_alignment::identity::{PublicKey, SecretKey};
use hashvfl_alignment::{
    AlignmentFolder, AlignmentSettings, Holder, HolderLimits, Relay, RelayError, RelayEvent, Spool,
};
use hashvfl_core::PartyName;
use hashvfl_core::random::stream;
use rand::Rng;

const NAMES: [&str; 2] = ["a", "b"];
const MEMORY_BYTES: usize = 64 << 20;

fn main() -> anyhow::Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["arithmetic"] => arithmetic(1),
        ["arithmetic", threads] => arithmetic(threads.parse()?),
        ["run", rows] => run(rows.parse()?, "out/align"),
        ["run", rows, folder] => run(rows.parse()?, folder),
        ["kills", rows, times] => kills(rows.parse()?, times.parse()?, "out/align"),
        ["kills", rows, times, folder] => kills(rows.parse()?, times.parse()?, folder),
        ["holder", name, rows, folder, theirs] => holder(name, rows.parse()?, folder, theirs),
        _ => bail!("arithmetic [THREADS] | run ROWS [FOLDER] | kills ROWS TIMES [FOLDER]"),
    }
}

fn arithmetic(threads: usize) -> anyhow::Result<()> {
    const IDS: usize = 20_000;
    rayon::ThreadPoolBuilder::new().num_threads(threads).build_global()?;
    let (one, other) = (Secret::draw()?, Secret::draw()?);
    let messages: Vec<[u8; 32]> = (0..IDS as u64)
        .map(|id| {
            let mut message = [0; 32];
            message[..8].copy_from_slice(&id.to_le_bytes());
            message
        })
        .collect();
    let mut rates = [Vec::new(), Vec::new()];
    for _ in 0..7 {
        let start = Instant::now();
        let points = one.blind(&messages);
        rates[0].push(IDS as f64 / start.elapsed().as_secs_f64());
        let start = Instant::now();
        other.blind_again(&points)?;
        rates[1].push(IDS as f64 / start.elapsed().as_secs_f64());
    }
    for (what, mut rates) in ["hash, multiply, encode", "decode, multiply, encode"].into_iter().zip(rates) {
        rates.sort_by(f64::total_cmp);
        println!(
            "{what}: {:.0} ids/s on {threads} threads (median of 7 runs of {IDS} ids; best {:.0})",
            rates[3], rates[6]
        );
    }
    Ok(())
}

fn settings(rows: u64) -> AlignmentSettings {
    let name = |name: &str| PartyName::new(name).expect("a name");
    AlignmentSettings {
        id: hashvfl_core::RunId::new("bench").expect("a name"),
        holders: NAMES.map(name).to_vec(),
        comparer: name("b"),
        case: Default::default(),
        unicode: Default::default(),
        key_columns: 1,
        most_records: rows,
    }
}

/// One holder's process: frames come and go by standard input and output. How far it is goes to a file, after each step.
fn holder(name: &str, rows: u64, folder: &str, theirs: &str) -> anyhow::Result<()> {
    let settings = settings(rows);
    let (name, path) = (PartyName::new(name)?, format!("{folder}/{name}"));
    let key = SecretKey::read(format!("{folder}/{name}.key").as_ref())?;
    let other = PublicKey::from_hex(theirs).context("a public key")?;
    let folder = AlignmentFolder::open(path.as_ref(), &settings)?;
    let first = if name.as_str() == "a" { 0 } else { rows / 2 };
    let start = Instant::now();
    if !folder.has_records() {
        let mut spool = Spool::new(&folder, &settings, MEMORY_BYTES)?;
        (first..first + rows).try_for_each(|id| spool.push(&format!("customer-{id:012}")))?;
        spool.finish(None)?;
    }
    if !folder.has_begun() && folder.outcome()?.is_none() {
        folder.begin()?;
    }
    let reading = start.elapsed().as_secs_f64();
    let relay = Pipes::new(&settings, &name);
    let limits = HolderLimits { wait: Duration::from_secs(600), memory_bytes: MEMORY_BYTES };
    let pins = |_: &PartyName| Some(other);
    let holder = Holder::new(&settings, &name, &folder, &key, &pins, relay, limits)?;
    let mut log = OpenOptions::new().create(true).append(true).open(format!("{path}.progress"))?;
    if folder.outcome()?.is_none() {
        writeln!(log, "started {}", holder.progress().done)?;
    }
    let outcome = holder.run(&mut |progress| {
        // Nothing is lost of a line that a killed process has written.
        let _ = writeln!(log, "at {}", progress.done);
    })?;
    let status = std::fs::read_to_string("/proc/self/status")?;
    let peak = status.lines().find(|line| line.starts_with("VmHWM")).unwrap_or("VmHWM: unknown");
    eprintln!(
        "{name}: {} of {} records common; {:.1} s in total, {reading:.1} s of it to read ids; {peak}",
        outcome.common,
        outcome.records,
        start.elapsed().as_secs_f64()
    );
    Ok(())
}

/// A holder's end of the relay. An empty frame says that the other holder has come, or gone.
struct Pipes {
    events: Receiver<RelayEvent>,
}

impl Pipes {
    fn new(settings: &AlignmentSettings, me: &PartyName) -> Self {
        let other = settings.holders.iter().find(|name| *name != me).cloned();
        let (sender, events) = mpsc::channel();
        thread::spawn(move || {
            let mut input = io::stdin().lock();
            let mut here = false;
            while let (Ok(frame), Some(from)) = (read_frame(&mut input), other.clone()) {
                let event = if !frame.is_empty() {
                    RelayEvent::Frame(from, frame)
                } else if here {
                    here = false;
                    RelayEvent::Left(from)
                } else {
                    here = true;
                    RelayEvent::Arrived(from)
                };
                let _ = sender.send(event);
            }
        });
        Self { events }
    }
}

impl Relay for Pipes {
    fn receive(&mut self, wait: Duration) -> Result<Option<RelayEvent>, RelayError> {
        match self.events.recv_timeout(wait) {
            Ok(event) => Ok(Some(event)),
            Err(RecvTimeoutError::Timeout) => Ok(None),
            Err(RecvTimeoutError::Disconnected) => Err(RelayError("the relay is gone".into())),
        }
    }

    fn send(&mut self, _: &PartyName, frame: Vec<u8>) -> Result<(), RelayError> {
        write_frame(&mut io::stdout().lock(), &frame).map_err(|error| RelayError(error.to_string()))
    }
}

fn read_frame(from: &mut impl Read) -> io::Result<Vec<u8>> {
    let mut length = [0; 4];
    from.read_exact(&mut length)?;
    let mut frame = vec![0; u32::from_le_bytes(length) as usize];
    from.read_exact(&mut frame)?;
    Ok(frame)
}

fn write_frame(to: &mut impl Write, frame: &[u8]) -> io::Result<()> {
    to.write_all(&(frame.len() as u32).to_le_bytes())?;
    to.write_all(frame)?;
    to.flush()
}

/// Both holders' processes and the pipes between them.
struct Holders {
    rows: u64,
    folder: String,
    keys: [PublicKey; 2],
    ins: [Arc<Mutex<Option<ChildStdin>>>; 2],
    bytes: Arc<AtomicUsize>,
    running: Vec<Running>,
}

/// A holder's process, and the thread that takes what it sends to the other one.
struct Running {
    child: Child,
    pump: thread::JoinHandle<()>,
}

impl Holders {
    fn start(rows: u64, folder: &str) -> anyhow::Result<Self> {
        let _ = std::fs::remove_dir_all(folder);
        std::fs::create_dir_all(folder)?;
        let [a, b] = NAMES.map(|name| SecretKey::create(format!("{folder}/{name}.key").as_ref()));
        let keys = [a?.public(), b?.public()];
        let (ins, bytes) = Default::default();
        let mut holders = Self { rows, folder: folder.into(), keys, ins, bytes, running: Vec::new() };
        holders.running = vec![holders.spawn(0)?, holders.spawn(1)?];
        (0..2).for_each(|index| holders.tell(index));
        Ok(holders)
    }

    fn spawn(&self, index: usize) -> anyhow::Result<Running> {
        let (rows, theirs) = (self.rows.to_string(), self.keys[1 - index].to_string());
        let mut child = Command::new(std::env::current_exe()?)
            .args(["holder", NAMES[index], &rows, &self.folder, &theirs])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        *self.ins[index].lock().expect("no panic") = child.stdin.take();
        let mut out = child.stdout.take().context("a pipe")?;
        let (other, bytes) = (Arc::clone(&self.ins[1 - index]), Arc::clone(&self.bytes));
        let pump = thread::spawn(move || {
            while let Ok(frame) = read_frame(&mut out) {
                bytes.fetch_add(frame.len(), Ordering::Relaxed);
                if let Some(pipe) = &mut *other.lock().expect("no panic") {
                    let _ = write_frame(pipe, &frame);
                }
            }
        });
        Ok(Running { child, pump })
    }

    /// Tells a holder that the other one has come or gone.
    fn tell(&self, index: usize) {
        if let Some(pipe) = &mut *self.ins[index].lock().expect("no panic") {
            let _ = write_frame(pipe, &[]);
        }
    }

    /// Kills a holder and starts it again; false if it was through.
    fn kill(&mut self, index: usize) -> anyhow::Result<bool> {
        if self.running[index].child.try_wait()?.is_some() {
            return Ok(false);
        }
        let Running { mut child, pump } = self.running.remove(index);
        child.kill()?;
        child.wait()?;
        // What it sent before is through when the other one hears that it is gone.
        let _ = pump.join();
        self.tell(1 - index);
        self.running.insert(index, self.spawn(index)?);
        self.tell(index);
        self.tell(1 - index);
        Ok(true)
    }

    /// Waits until both are through; the bytes that went in both directions.
    fn finish(self) -> anyhow::Result<usize> {
        for Running { mut child, pump } in self.running {
            anyhow::ensure!(child.wait()?.success(), "a holder failed");
            let _ = pump.join();
        }
        Ok(self.bytes.load(Ordering::Relaxed))
    }
}

/// The order that a holder has.
fn order(folder: &str, name: &str) -> anyhow::Result<Vec<u8>> {
    Ok(std::fs::read(format!("{folder}/{name}/order.csv"))?)
}

fn run(rows: u64, folder: &str) -> anyhow::Result<()> {
    let start = Instant::now();
    let bytes = Holders::start(rows, folder)?.finish()?;
    let wall = start.elapsed().as_secs_f64();
    println!(
        "{rows} x {rows}: {wall:.1} s wall clock, {:.2} us per id; {bytes} bytes in both directions",
        wall * 1e6 / rows as f64
    );
    Ok(std::fs::remove_dir_all(folder)?)
}

fn kills(rows: u64, times: u32, folder: &str) -> anyhow::Result<()> {
    let start = Instant::now();
    Holders::start(rows, folder)?.finish()?;
    let (wall, expected) = (start.elapsed(), order(folder, NAMES[0])?);
    let mut rng = stream(0, "kills", &[u64::from(times)]);
    let mut holders = Holders::start(rows, folder)?;
    let mut done = 0;
    for _ in 0..times {
        // All of them before the work is over, which takes longer with each.
        let share = f64::from(rng.next_u32()) / 2_f64.powi(32);
        thread::sleep(wall.mul_f64(2.0 * share / f64::from(times + 1)));
        done += u32::from(holders.kill((rng.next_u32() & 1) as usize)?);
    }
    holders.finish()?;
    for name in NAMES {
        anyhow::ensure!(order(folder, name)? == expected, "{name} has a different order");
    }
    println!("killed {done} times: both holders end with the order of an undisturbed run");
    for name in NAMES {
        let log = std::fs::read_to_string(format!("{folder}/{name}.progress"))?;
        let (mut before, mut starts, mut lost) = (0_u64, 0, 0);
        for line in log.lines() {
            let (what, points) = line.split_once(' ').context("a line")?;
            let points: u64 = points.parse()?;
            if what == "started" {
                starts += 1;
                lost = lost.max(before.saturating_sub(points));
            }
            before = points;
        }
        println!(
            "{name}: started {starts} times in the middle of it; at most {lost} finished points had to be repeated"
        );
    }
    Ok(std::fs::remove_dir_all(folder)?)
}
