//! How a process says how it is: gRPC's health check, and pages over HTTP/1.1, at an address of its own.
//!
//! A thread of its own answers, so that a process that computes answers at once. Pages are for processes of this machine, and
//! for those whom a config names ([`AddressRange`]); whoever reaches the address may ask for the health. Connections by TCP are few
//! ([`crate::limits::connections`]), so that nobody there takes the file handles of a run. No page holds a value, a code, a
//! label or an id.

mod address;
mod client;
mod pages;
mod readers;

use std::io;
use std::os::unix::fs::FileTypeExt;
use std::path::Path;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use hashvfl_proto::v1::inference_server::SERVICE_NAME;
use tokio::net::{TcpListener, UnixListener};
use tokio::runtime::{Builder, Runtime};
use tokio::sync::watch;
use tokio_stream::wrappers::UnixListenerStream;
use tonic::transport::Server;
use tonic_health::ServingStatus;
use tonic_health::server::HealthReporter;
use tracing::warn;

pub use address::{MonitorAddress, NoMonitorAddress};
pub use client::{AskError, ask_health, ask_page};
pub use pages::{Page, Pages};
pub use readers::{AddressRange, NoNetwork};

use crate::limits::connections::Connections;

/// Streams of one connection over HTTP/2.
const STREAMS: u32 = 8;
/// How often a connection over HTTP/2 is asked for a sign of life.
const KEEP_ALIVE: Duration = Duration::from_secs(20);

/// The gRPC service whose health is whether predictions are answered. The health of the empty name is that of the process.
pub const PREDICTIONS: &str = SERVICE_NAME;

/// Answers at an address until it is dropped.
pub struct Monitor {
    address: MonitorAddress,
    /// Whether predictions are answered.
    ready: watch::Sender<bool>,
    ended: watch::Sender<bool>,
    thread: Option<JoinHandle<()>>,
}

impl Monitor {
    /// Listens at `address`, where `pages` are to be seen by this machine and `readers`.
    ///
    /// # Errors
    /// If the address is taken, or none of this machine's.
    pub fn start(
        address: &MonitorAddress,
        readers: Vec<AddressRange>,
        pages: Arc<impl Pages>,
    ) -> io::Result<Self> {
        let runtime = Builder::new_current_thread().enable_all().build()?;
        let listener = runtime.block_on(Listener::bind(address))?;
        let (ready, readiness) = watch::channel(false);
        let (ended, mut end) = watch::channel(false);
        let work = move || {
            run(&runtime, async {
                tokio::select! {
                    answered = answer(listener, readers, pages, readiness) => answered,
                    _ = end.wait_for(|ended| *ended) => Ok(()),
                }
            });
        };
        let thread = std::thread::Builder::new().name("monitor".into()).spawn(work)?;
        Ok(Self { address: address.clone(), ready, ended, thread: Some(thread) })
    }

    /// Says whether predictions are answered.
    pub fn set_ready(&self, ready: bool) {
        self.ready.send_replace(ready);
    }
}

impl Drop for Monitor {
    fn drop(&mut self) {
        self.ended.send_replace(true);
        if let Some(thread) = self.thread.take() {
            // It panics only where the runtime does, and then nothing is left to tell.
            let _ = thread.join();
        }
        if let MonitorAddress::Unix(path) = &self.address {
            // What is left of it is taken away by whoever listens there next.
            let _ = remove_socket(path);
        }
    }
}

fn run(runtime: &Runtime, answering: impl Future<Output = Result<(), tonic::transport::Error>>) {
    if let Err(error) = runtime.block_on(answering) {
        warn!("the monitor endpoint stopped: {error}");
    }
}

enum Listener {
    Tcp(TcpListener),
    Unix(UnixListener),
}

impl Listener {
    async fn bind(address: &MonitorAddress) -> io::Result<Self> {
        match address {
            MonitorAddress::Tcp(address) => TcpListener::bind(address).await.map(Self::Tcp),
            MonitorAddress::Unix(path) => {
                if std::os::unix::net::UnixStream::connect(path)
                    .is_err_and(|error| error.kind() == io::ErrorKind::ConnectionRefused)
                {
                    remove_socket(path)?;
                }
                UnixListener::bind(path).map(Self::Unix)
            }
        }
    }
}

/// Removes the socket of a process that was killed, and no other file.
fn remove_socket(path: &Path) -> io::Result<()> {
    if !std::fs::symlink_metadata(path)?.file_type().is_socket() {
        let what = "a file of this name already exists and is not a socket: choose another name";
        return Err(io::Error::new(io::ErrorKind::AlreadyExists, what));
    }
    std::fs::remove_file(path)
}

/// Answers whoever asks, and says of the predictions what `readiness` says.
async fn answer(
    listener: Listener,
    readers: Vec<AddressRange>,
    pages: Arc<impl Pages>,
    readiness: watch::Receiver<bool>,
) -> Result<(), tonic::transport::Error> {
    let (reporter, health) = tonic_health::server::health_reporter();
    let service = pages::PagesAndHealth::new(pages, readers, health);
    let server = Server::builder()
        .accept_http1(true)
        .max_concurrent_streams(STREAMS)
        .http2_keepalive_interval(Some(KEEP_ALIVE));
    let reporting = tell_readiness(reporter, readiness);
    let answering = async {
        match listener {
            Listener::Tcp(tcp) => {
                server.serve_with_incoming(service, Connections::of_monitor(tcp).incoming()).await
            }
            Listener::Unix(unix) => server.serve_with_incoming(service, UnixListenerStream::new(unix)).await,
        }
    };
    tokio::join!(reporting, answering).1
}

async fn tell_readiness(reporter: HealthReporter, mut readiness: watch::Receiver<bool>) {
    loop {
        let status = match *readiness.borrow_and_update() {
            true => ServingStatus::Serving,
            false => ServingStatus::NotServing,
        };
        reporter.set_service_status(PREDICTIONS, status).await;
        if readiness.changed().await.is_err() {
            return;
        }
    }
}
