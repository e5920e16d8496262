//! A run while strangers fill the port: silent connections, half of a greeting, streams without a message, lengths that
//! are announced, lists of nothing. It ends with the same weights, within its memory, and with a short log.

use std::fs;
use std::io::Write as _;
use std::net::TcpStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use hashvfl_learning::Snapshot;
use hashvfl_proto::v1::federation_client::FederationClient;
use hashvfl_proto::v1::{Hello, PartyMessage, Setting, party_message};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;

use crate::fixture::{Fixture, PARTIES, Role};

/// Most that a flood may add to the coordinator's memory, in bytes.
const MORE_BYTES: u64 = 64 << 20;
/// Most that it may add to the log, in bytes: some lines a second.
const MORE_LOG_BYTES: usize = 20_000;
/// HTTP/2's preface and an empty SETTINGS frame.
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";

/// Connections of each kind, again and again until told to stop.
fn flood_connections(address: &str, stop: &AtomicBool, opened: &AtomicU64) {
    let mut held = Vec::new();
    while !stop.load(Ordering::Relaxed) {
        for first in [&b""[..], &PREFACE[..10], PREFACE] {
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

/// The most memory that a process has had, looked at while it lives.
fn watch_memory(pid: u32, peak: &AtomicU64) {
    while let Ok(status) = fs::read_to_string(format!("/proc/{pid}/status")) {
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        let Some(kilobytes) = line.and_then(|line| line.trim().strip_suffix(" kB")?.parse::<u64>().ok())
        else {
            return;
        };
        peak.fetch_max(kilobytes << 10, Ordering::Relaxed);
        thread::sleep(Duration::from_millis(20));
    }
}

/// Runs a federation; the coordinator's peak of memory in bytes (0 where the system does not tell), and its log.
fn run(fixture: &Fixture, flooded: bool) -> (u64, String) {
    let (mut coordinator, address) = fixture.coordinator();
    let (stop, opened, peak) = (Arc::new(AtomicBool::new(false)), AtomicU64::new(0), AtomicU64::new(0));
    let pid = coordinator.pid();
    let log = thread::scope(|scope| {
        scope.spawn(|| watch_memory(pid, &peak));
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
        stop.store(true, Ordering::Relaxed);
        assert!(good, "{log}");
        parties.iter_mut().for_each(Role::succeeds);
        assert!(!flooded || opened.load(Ordering::Relaxed) > 300, "{opened:?} connections are no flood");
        log
    });
    (peak.into_inner(), log)
}

#[test]
fn a_flooded_run_learns_the_same_within_its_memory() {
    let mut quiet = Fixture::new();
    let mut flooded = Fixture::new();
    let limits = "limits = { connections_per_address = 48, silence_s = 1, message_s = 2 }";
    for fixture in [&mut quiet, &mut flooded] {
        // Some seconds.
        fixture.settings.epochs = 600;
        fixture.extra.push(("coordinator", limits.into()));
    }
    let (usual, quiet_log) = run(&quiet, false);
    let (peak, log) = run(&flooded, true);
    let more_log = log.len().saturating_sub(quiet_log.len());
    eprintln!("coordinator's memory: {usual} bytes, flooded {peak}; {more_log} bytes more of log");
    let weights = "coordinator-state/top.safetensors";
    let [before, after] = [&quiet, &flooded].map(|fixture| Snapshot::read(&fixture.path(weights)).unwrap());
    assert!(before.arrays == after.arrays, "other weights");
    assert_eq!(before.text, after.text);
    assert!(peak <= usual + MORE_BYTES, "{peak} bytes, {usual} without the flood");
    assert!(log.len() < quiet_log.len() + MORE_LOG_BYTES, "{more_log} bytes more of log");
}
