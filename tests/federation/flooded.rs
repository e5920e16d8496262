//! Runs and predictions while strangers fill the port: silent connections, greetings that lead nowhere, streams without a
//! message, lengths that are announced, lists of nothing. A run ends with the same weights, predictions are the same, all
//! within the usual memory, with few file handles too, and with a short log.

use std::collections::VecDeque;
use std::fs;
use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{IpAddr, SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use hashvfl_learning::Snapshot;
use hashvfl_proto::v1::federation_client::FederationClient;
use hashvfl_proto::v1::inference_client::InferenceClient;
use hashvfl_proto::v1::{Hello, PartyMessage, PredictRequest, Setting, party_message};
use hashvfl_testbed::strangers;
use tokio::net::TcpSocket;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;

use crate::fixture::{Fixture, PARTIES, RECORDS, Role, eventually};
use crate::predict::{all_by, ids, predict, serving};
use crate::secured::secured;

/// Most that a flood may add to the coordinator's memory, in bytes.
const MORE_BYTES: u64 = 64 << 20;
/// Most that it may add to the log, in bytes: some lines a second.
const MORE_LOG_BYTES: usize = 20_000;

/// Tells floods to stop, also where a test fails.
struct Stop<'a>(&'a AtomicBool);

impl Drop for Stop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// How strangers' connections begin, after which they are silent.
fn beginnings() -> Vec<Vec<u8>> {
    vec![
        Vec::new(),
        strangers::PREFACE[..10].to_vec(),
        strangers::PREFACE.to_vec(),
        strangers::HALF_GREETING.to_vec(),
        strangers::client_hello(),
    ]
}

/// Connections of each kind, again and again until told to stop.
fn flood_connections(address: &str, stop: &AtomicBool, opened: &AtomicU64) {
    let (mut held, beginnings) = (Vec::new(), beginnings());
    while !stop.load(Ordering::Relaxed) {
        for first in &beginnings {
            let Ok(mut connection) = TcpStream::connect(address) else { continue };
            // Whoever is turned away is, which is the point.
            let _ = connection.write_all(first);
            held.push(connection);
            opened.fetch_add(1, Ordering::Relaxed);
        }
        if held.len() > 600 {
            held.drain(..300);
        }
        thread::sleep(Duration::from_millis(5));
    }
}

/// Streams whose first message is long and holds nothing, and streams without a message.
async fn flood_streams(address: String, stop: Arc<AtomicBool>) {
    let settings = vec![Setting::default(); 4_000_000];
    let hello = Hello { settings, ..Hello::default() };
    let large = PartyMessage { message: Some(party_message::Message::Hello(hello)) };
    let mut open = Vec::new();
    while !stop.load(Ordering::Relaxed) {
        if let Ok(mut client) = FederationClient::connect(format!("http://{address}")).await {
            let (queue, messages) = mpsc::channel(1);
            if open.len() % 2 == 0 {
                let _ = queue.send(large.clone()).await;
            }
            let joined = client.join(ReceiverStream::new(messages));
            let joined = tokio::time::timeout(Duration::from_secs(1), joined).await;
            open.push((queue, joined));
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// The most memory that a process has had so far, in bytes; none where it has ended, or the system does not tell.
fn most_memory(pid: u32) -> Option<u64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    Some(line.trim().strip_suffix(" kB")?.parse::<u64>().ok()? << 10)
}

/// The most memory that a process has had, looked at until it has ended.
fn follow_memory(pid: u32, stop: &AtomicBool, peak: &AtomicU64) {
    while let Some(bytes) = most_memory(pid).filter(|_| !stop.load(Ordering::Relaxed)) {
        peak.fetch_max(bytes, Ordering::Relaxed);
        thread::sleep(Duration::from_millis(20));
    }
}

/// Runs a federation; the coordinator's peak of memory in bytes (0 where the system does not tell), and its log.
fn run(fixture: &Fixture, flooded: bool) -> (u64, String) {
    let (mut coordinator, address) = fixture.coordinator();
    let (stop, opened, peak) = (Arc::new(AtomicBool::new(false)), AtomicU64::new(0), AtomicU64::new(0));
    let pid = coordinator.pid();
    let log = thread::scope(|scope| {
        let _stop = Stop(&stop);
        scope.spawn(|| follow_memory(pid, &stop, &peak));
        let mut parties = PARTIES.map(|name| fixture.party(name, &address));
        PARTIES.iter().for_each(|_| coordinator.wait_for("joined"));
        if flooded {
            scope.spawn(|| flood_connections(&address, &stop, &opened));
            let (address, stop) = (address.clone(), Arc::clone(&stop));
            scope.spawn(move || {
                let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
                runtime.block_on(flood_streams(address, stop));
            });
        }
        let (good, log) = coordinator.ends();
        assert!(good, "{log}");
        parties.iter_mut().for_each(Role::succeeds);
        assert!(!flooded || opened.load(Ordering::Relaxed) > 300, "{opened:?} connections are no flood");
        log
    });
    (peak.into_inner(), log)
}

#[test]
fn a_flooded_run_learns_the_same_within_its_memory() {
    learns_the_same(Fixture::new(), Fixture::new());
}

#[test]
fn a_flooded_run_over_tls_learns_the_same_within_its_memory() {
    learns_the_same(secured(), secured());
}

fn learns_the_same(mut quiet: Fixture, mut flooded: Fixture) {
    let limits = "limits = { connections_per_address = 48, message_s = 2 }";
    for fixture in [&mut quiet, &mut flooded] {
        // Some seconds.
        fixture.settings.epochs = 300;
        fixture.extra.push(("coordinator", limits.into()));
    }
    let (usual, quiet_log) = run(&quiet, false);
    let (peak, log) = run(&flooded, true);
    let more_log = log.len().saturating_sub(quiet_log.len());
    eprintln!("coordinator's memory: {usual} bytes, flooded {peak}; {more_log} bytes more of log");
    assert_same_weights(&quiet, &flooded);
    assert!(peak <= usual + MORE_BYTES, "{peak} bytes, {usual} without the flood");
    assert!(log.len() < quiet_log.len() + MORE_LOG_BYTES, "{more_log} bytes more of log");
}

fn assert_same_weights(quiet: &Fixture, flooded: &Fixture) {
    let weights = "coordinator-state/top.safetensors";
    let [before, after] = [quiet, flooded].map(|fixture| Snapshot::read(&fixture.path(weights)).unwrap());
    assert!(before.arrays == after.arrays, "other weights");
    assert_eq!(before.text, after.text);
}

/// The first byte that comes back.
fn answer_to(address: &str, first: &[u8]) -> u8 {
    let mut connection = TcpStream::connect(address).unwrap();
    connection.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    connection.write_all(first).unwrap();
    let mut byte = [0];
    connection.read_exact(&mut byte).unwrap();
    byte[0]
}

#[test]
fn a_stranger_s_whole_greeting_makes_the_coordinator_greet() {
    let fixture = secured();
    let (mut coordinator, address) = fixture.coordinator();
    assert_eq!(answer_to(&address, &strangers::client_hello()), 0x16, "a record of the handshake");
    coordinator.kill();
}

/// Clients whose requests are 20 and 4 million empty ids.
async fn flood_requests(address: &str, stop: &AtomicBool, refused: &AtomicU64) {
    let longest = strangers::long_message(strangers::PREDICT, 40_000_000, [0x0a, 0]);
    let many = PredictRequest { ids: vec![String::new(); 4_000_000] };
    let mut held = VecDeque::new();
    while !stop.load(Ordering::Relaxed) {
        let Ok(mut connection) = TcpStream::connect(address) else { continue };
        let _ = connection.write_all(&longest);
        held.push_back(connection);
        if held.len() > 8 {
            held.pop_front();
        }
        let Ok(mut client) = InferenceClient::connect(format!("http://{address}")).await else { continue };
        let Ok(answers) = client.predict(tokio_stream::once(many.clone())).await else { continue };
        let mut answers = answers.into_inner();
        let Ok(Some(_model)) = answers.message().await else { continue };
        let Err(error) = answers.message().await else { continue };
        refused.fetch_add(u64::from(error.message().contains("too many record ids")), Ordering::Relaxed);
    }
}

#[test]
fn a_flooded_coordinator_predicts_the_same_within_its_memory() {
    let fixture = Fixture::new();
    fixture.run();
    let (mut coordinator, address) = fixture.serve();
    let mut parties = serving(&fixture, &coordinator, &address);
    let (expected, _) = predict(&fixture, &address, &ids(0..RECORDS));
    assert!(all_by(&expected, "bank+telecom"));
    let (stop, refused, pid) = (AtomicBool::new(false), AtomicU64::new(0), coordinator.pid());
    let usual = most_memory(pid).unwrap_or(0);
    thread::scope(|scope| {
        let _stop = Stop(&stop);
        scope.spawn(|| {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(flood_requests(&address, &stop, &refused));
        });
        let began = Instant::now();
        while refused.load(Ordering::Relaxed) < 5 {
            let (flooded, errors) = predict(&fixture, &address, &ids(0..RECORDS));
            assert!(flooded == expected, "{errors}");
            assert!(began.elapsed() < Duration::from_secs(60), "{refused:?} requests refused");
        }
    });
    let peak = most_memory(pid).unwrap_or(0);
    eprintln!("coordinator's memory: {usual} bytes, flooded {peak}; {refused:?} requests refused");
    assert!(peak <= usual + MORE_BYTES, "{peak} bytes, {usual} without the flood");
    parties.iter_mut().chain([&mut coordinator]).for_each(Role::terminate);
    parties.iter_mut().chain([&mut coordinator]).for_each(Role::succeeds);
}

/// File handles of a process that has few, and the connections that it takes then: 128 handles are for files, 48 for those who
/// read `monitor`, and 16 for connections that end.
const HANDLES: u32 = 300;
const SEATS: u64 = 108;

/// A connection that says nothing.
struct Silent {
    from: IpAddr,
    connection: tokio::net::TcpStream,
}

impl Silent {
    async fn open(from: IpAddr, to: SocketAddr) -> Option<Self> {
        let socket = TcpSocket::new_v4().ok()?;
        socket.bind(SocketAddr::new(from, 0)).ok()?;
        Some(Self { from, connection: socket.connect(to).await.ok()? })
    }

    fn is_open(&self) -> bool {
        let mut buffer = [0; 1024];
        match self.connection.try_read(&mut buffer) {
            Ok(bytes) => bytes > 0,
            Err(error) => error.kind() == ErrorKind::WouldBlock,
        }
    }
}

/// Holds 60 silent connections from each of six addresses of this machine, opens others for those that are closed, and
/// sees how many file handles the process has at most.
async fn flood_from_addresses(to: SocketAddr, pid: u32, stop: &AtomicBool, most: &AtomicU64) {
    let mut silent: Vec<Silent> = Vec::new();
    while !stop.load(Ordering::Relaxed) {
        silent.retain(Silent::is_open);
        for from in (2..8).map(|last| IpAddr::from([127, 0, 0, last])) {
            let missing = 60 - silent.iter().filter(|one| one.from == from).count();
            for _ in 0..missing {
                silent.extend(Silent::open(from, to).await);
            }
        }
        if let Ok(handles) = fs::read_dir(format!("/proc/{pid}/fd")) {
            most.fetch_max(handles.count() as u64, Ordering::Relaxed);
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

#[test]
fn few_file_handles_are_enough_for_a_flooded_run() {
    let (mut quiet, mut flooded) = (Fixture::new(), Fixture { handles: Some(HANDLES), ..Fixture::new() });
    quiet.settings.epochs = 300;
    flooded.settings.epochs = 300;
    quiet.run();
    let (mut coordinator, address) = flooded.coordinator();
    let (stop, most) = (AtomicBool::new(false), AtomicU64::new(0));
    let (to, pid) = (address.parse().unwrap(), coordinator.pid());
    let log = thread::scope(|scope| {
        let _stop = Stop(&stop);
        scope.spawn(|| {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(flood_from_addresses(to, pid, &stop, &most));
        });
        // All seats are taken before the parties come.
        eventually(|| {
            let opened = most.load(Ordering::Relaxed);
            if opened > SEATS { Ok(()) } else { Err(format!("{opened} file handles are no flood")) }
        });
        let mut parties = PARTIES.map(|name| flooded.party(name, &address));
        let (good, log) = coordinator.ends();
        assert!(good, "{log}");
        parties.iter_mut().for_each(Role::succeeds);
        log
    });
    let most = most.load(Ordering::Relaxed);
    eprintln!("{most} file handles at most");
    assert!(most < u64::from(HANDLES), "{most} file handles: none was left for files");
    let warned = format!("is more than this process may open, so it is {SEATS}: raise `ulimit -n`");
    assert!(log.contains(&warned), "{log}");
    assert_same_weights(&quiet, &flooded);
    assert_eq!(flooded.summary()["test"], quiet.summary()["test"]);
}
