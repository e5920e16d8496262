//! What an alignment costs: `cargo run --release -p hashvfl-alignment --example align -- COMMAND`.
//!
//! `arithmetic [THREADS]`: ids a second for both steps. `run ROWS [FOLDER]`: two holders of ROWS ids each, half of
//! them common, each a process of its own, over a relay of pipes: wall clock, memory of a process, bytes.

use std::io::{self, Read, Write};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use hashvfl_alignment::curve::Secret;
use hashvfl_alignment::identity::{PublicKey, SecretKey};
use hashvfl_alignment::{AlignmentSettings, Event, Folder, Holder, Relay, RelayError, Spool};
use hashvfl_core::PartyName;

const NAMES: [&str; 2] = ["a", "b"];
const MEMORY_BYTES: usize = 64 << 20;

fn main() -> anyhow::Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["arithmetic"] => arithmetic(1),
        ["arithmetic", threads] => arithmetic(threads.parse()?),
        ["run", rows] => run(rows.parse()?, "out/align"),
        ["run", rows, folder] => run(rows.parse()?, folder),
        ["holder", name, rows, folder, theirs] => holder(name, rows.parse()?, folder, theirs),
        _ => bail!("arithmetic [THREADS] | run ROWS [FOLDER]"),
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
            "{what}: {:.0} ids/s on {threads} threads (median of 7 times {IDS}; best {:.0})",
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
        trim: true,
        case: Default::default(),
        unicode: Default::default(),
        key_columns: 1,
        most_records: rows,
    }
}

/// One holder's process: frames come and go by standard input and output.
fn holder(name: &str, rows: u64, folder: &str, theirs: &str) -> anyhow::Result<()> {
    let settings = settings(rows);
    let (name, path) = (PartyName::new(name)?, format!("{folder}/{name}"));
    let key = SecretKey::read(format!("{folder}/{name}.key").as_ref())?;
    let other = PublicKey::from_hex(theirs).context("a public key")?;
    let folder = Folder::open(path.as_ref(), &settings)?;
    let first = if name.as_str() == "a" { 0 } else { rows / 2 };
    let start = Instant::now();
    let mut spool = Spool::new(&folder, &settings, MEMORY_BYTES)?;
    (first..first + rows).try_for_each(|id| spool.push(&format!("customer-{id:012}")))?;
    spool.finish(None)?;
    folder.begin()?;
    let reading = start.elapsed().as_secs_f64();
    let relay = Pipes::new(&settings, &name);
    let wait = Duration::from_secs(600);
    let outcome =
        Holder::new(&settings, &name, &folder, (&key, &|_: &_| Some(other)), relay, (wait, MEMORY_BYTES))?
            .run(&mut |_| {})?;
    let status = std::fs::read_to_string("/proc/self/status")?;
    let peak = status.lines().find(|line| line.starts_with("VmHWM")).unwrap_or("VmHWM: unknown");
    eprintln!(
        "{name}: {} of {} common, {:.1} s in all, of which {reading:.1} s to read ids; {peak}",
        outcome.common,
        outcome.records,
        start.elapsed().as_secs_f64()
    );
    Ok(())
}

struct Pipes {
    events: Receiver<Event>,
    first: Option<PartyName>,
}

impl Pipes {
    fn new(settings: &AlignmentSettings, me: &PartyName) -> Self {
        let other = settings.holders.iter().find(|name| *name != me).cloned();
        let (sender, events) = mpsc::channel();
        let from = other.clone();
        thread::spawn(move || {
            let mut input = io::stdin().lock();
            while let (Ok(frame), Some(from)) = (read_frame(&mut input), &from) {
                let _ = sender.send(Event::Frame(from.clone(), frame));
            }
        });
        Self { events, first: other }
    }
}

impl Relay for Pipes {
    fn receive(&mut self, wait: Duration) -> Result<Option<Event>, RelayError> {
        if let Some(other) = self.first.take() {
            return Ok(Some(Event::Arrived(other)));
        }
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

fn run(rows: u64, folder: &str) -> anyhow::Result<()> {
    let _ = std::fs::remove_dir_all(folder);
    std::fs::create_dir_all(folder)?;
    let keys = NAMES.map(|name| SecretKey::create(format!("{folder}/{name}.key").as_ref()));
    let [a, b] = keys;
    let keys = [a?.public(), b?.public()];
    let start = Instant::now();
    let begin = |index: usize| {
        Command::new(std::env::current_exe()?)
            .args(["holder", NAMES[index], &rows.to_string(), folder, &keys[1 - index].to_string()])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
    };
    let mut children: Vec<Child> = vec![begin(0)?, begin(1)?];
    let outs: Vec<_> = children.iter_mut().filter_map(|child| child.stdout.take()).collect();
    let ins: Vec<Arc<Mutex<ChildStdin>>> = children
        .iter_mut()
        .filter_map(|child| child.stdin.take())
        .map(|pipe| Arc::new(Mutex::new(pipe)))
        .collect();
    let mut bytes = 0;
    let pumps: Vec<_> = outs
        .into_iter()
        .enumerate()
        .map(|(index, mut out)| {
            let other = Arc::clone(&ins[1 - index]);
            thread::spawn(move || {
                let mut bytes = 0;
                while let Ok(frame) = read_frame(&mut out) {
                    bytes += frame.len();
                    if let Ok(mut pipe) = other.lock() {
                        let _ = write_frame(&mut *pipe, &frame);
                    }
                }
                bytes
            })
        })
        .collect();
    for child in &mut children {
        anyhow::ensure!(child.wait()?.success(), "a holder failed");
    }
    let wall = start.elapsed().as_secs_f64();
    for pump in pumps {
        bytes += pump.join().unwrap_or(0);
    }
    println!(
        "{rows} x {rows}: {wall:.1} s wall clock, {:.2} us an id; {bytes} bytes in both directions",
        wall * 1e6 / rows as f64
    );
    std::fs::remove_dir_all(folder)?;
    Ok(())
}
