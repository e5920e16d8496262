//! Asking a process on this machine how it is.

use std::io;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpStream, UnixStream};
use tokio::time::timeout;
use tonic::Code;
use tonic::transport::Endpoint;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;

use super::MonitorAddress;
use crate::status::describe;

/// Longest wait for an answer.
const LIMIT: Duration = Duration::from_secs(5);

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum AskError {
    /// Nobody is there.
    #[error(
        "nothing answers at {address}: is the process running, with this `monitor` in its config? ({reason})"
    )]
    Absent {
        /// The address.
        address: MonitorAddress,
        /// What the system says.
        reason: String,
    },
    /// Nothing came in time.
    #[error("no answer from {0} within 5 s")]
    Silent(MonitorAddress),
    /// Something else is there.
    #[error("{address} answers something else than HashVFL: {reason}")]
    Stranger {
        /// The address.
        address: MonitorAddress,
        /// What it said.
        reason: String,
    },
}

/// Whether the process at `address` is well, by gRPC's health check of a service; the empty name is the whole process.
///
/// # Errors
/// If nobody answers, or not that.
pub async fn ask_health(address: &MonitorAddress, service: &str) -> Result<bool, AskError> {
    within(address, async {
        let stranger = |reason: String| AskError::Stranger { address: address.clone(), reason };
        let target = match address.to_dial() {
            unix @ MonitorAddress::Unix(_) => unix.to_string(),
            MonitorAddress::Tcp(tcp) => format!("http://{tcp}"),
        };
        let endpoint = Endpoint::from_shared(target).map_err(|error| stranger(error.to_string()))?;
        let channel = endpoint.connect().await.map_err(|error| absent(address, &error))?;
        let request = HealthCheckRequest { service: service.to_string() };
        match HealthClient::new(channel).check(request).await {
            Ok(answer) => Ok(answer.into_inner().status() == ServingStatus::Serving),
            // A service that this process does not have.
            Err(status) if status.code() == Code::NotFound => Ok(false),
            Err(status) => Err(stranger(describe(&status))),
        }
    })
    .await
}

/// The page of `path` at `address`.
///
/// # Errors
/// If nobody answers, or not with a page.
pub async fn ask_page(address: &MonitorAddress, path: &str) -> Result<String, AskError> {
    let request = format!("GET {path} HTTP/1.0\r\nHost: localhost\r\n\r\n");
    let answer = within(address, async {
        let answer = match address.to_dial() {
            MonitorAddress::Unix(socket) => exchange(UnixStream::connect(socket).await, &request).await,
            MonitorAddress::Tcp(tcp) => exchange(TcpStream::connect(tcp).await, &request).await,
        };
        answer.map_err(|error| absent(address, &error))
    })
    .await?;
    let (head, page) = answer.split_once("\r\n\r\n").unwrap_or((&answer, ""));
    let status = head.lines().next().unwrap_or_default();
    match status.split(' ').nth(1) {
        Some("200") => Ok(page.to_string()),
        _ => Err(AskError::Stranger { address: address.clone(), reason: status.to_string() }),
    }
}

async fn exchange(
    connected: io::Result<impl AsyncRead + AsyncWrite + Unpin>,
    request: &str,
) -> io::Result<String> {
    let mut stream = connected?;
    stream.write_all(request.as_bytes()).await?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await?;
    Ok(String::from_utf8_lossy(&answer).into_owned())
}

async fn within<T>(
    address: &MonitorAddress,
    asking: impl Future<Output = Result<T, AskError>>,
) -> Result<T, AskError> {
    timeout(LIMIT, asking).await.unwrap_or_else(|_| Err(AskError::Silent(address.clone())))
}

fn absent(address: &MonitorAddress, error: &dyn std::error::Error) -> AskError {
    let reason = error.source().map_or_else(|| error.to_string(), ToString::to_string);
    AskError::Absent { address: address.clone(), reason }
}
