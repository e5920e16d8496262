//! Whoever reaches the address at which a process says how it is.

mod ports;

use std::collections::BTreeSet;
use std::io::ErrorKind;
use std::net::{IpAddr, SocketAddr, TcpListener};
use std::sync::Arc;
use std::time::Duration;

use hashvfl_transport::monitor::{Monitor, MonitorAddress, Page, Pages, ask_page};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio::time::{sleep, timeout};

/// Far longer than anything here takes.
const LONG: Duration = Duration::from_secs(60);
/// Connections that the address takes.
const SEATS: usize = 32;

struct OnePage;

impl Pages for OnePage {
    fn page(&self, path: &str) -> Option<Page> {
        let page = Page { media_type: "text/plain", text: "fine".to_string(), is_whole: false };
        (path == "/status").then_some(page)
    }
}

/// A connection from `from` that says nothing.
async fn silent(from: IpAddr, to: SocketAddr) -> TcpStream {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind(SocketAddr::new(from, 0)).unwrap();
    socket.connect(to).await.unwrap()
}

fn is_open(connection: &TcpStream) -> bool {
    match connection.try_read(&mut [0; 16]) {
        Ok(bytes) => bytes > 0,
        Err(error) => error.kind() == ErrorKind::WouldBlock,
    }
}

/// One who reads `/events` hears something.
async fn hears(events: &mut TcpStream) {
    let read = timeout(LONG, events.read(&mut [0; 4096])).await;
    assert!(read.unwrap().unwrap() > 0);
}

#[test]
fn no_address_is_handed_out_twice() {
    let found: BTreeSet<SocketAddr> = (0..20).map(|_| ports::free_address()).collect();
    assert_eq!(found.len(), 20);
    let taken = TcpListener::bind(ports::free_address()).unwrap();
    assert_ne!(ports::free_address(), taken.local_addr().unwrap());
}

#[test]
fn a_flooded_monitor_leaves_the_run_its_file_handles() {
    let to = ports::free_address();
    let address: MonitorAddress = to.to_string().parse().unwrap();
    let _monitor = Monitor::start(&address, Vec::new(), Arc::new(OnePage)).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let mut events = TcpStream::connect(to).await.unwrap();
        events.write_all(b"GET /events HTTP/1.1\r\nHost: localhost\r\n\r\n").await.unwrap();
        hears(&mut events).await;
        let mut connections = Vec::new();
        for last in 2..7 {
            for _ in 0..40 {
                connections.push(silent(IpAddr::from([127, 0, 0, last]), to).await);
            }
        }
        let count = || connections.iter().filter(|connection| is_open(connection)).count();
        // Until it has looked at all of them, the system keeps connections open for it.
        let looking = async {
            while count() > SEATS {
                sleep(Duration::from_millis(50)).await;
            }
        };
        let looked = timeout(LONG, looking).await.is_ok();
        assert!(looked && count() > 0, "{} of {}", count(), connections.len());
        // Silence gives way to whoever asks, and a reader keeps its place.
        assert_eq!(ask_page(&address, "/status").await.unwrap(), "fine");
        for _ in 0..2 {
            hears(&mut events).await;
        }
    });
}
