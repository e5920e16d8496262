//! The way to the collector.

use std::fs;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use opentelemetry_otlp::tonic_types::transport::{Certificate, ClientTlsConfig, Identity};
use opentelemetry_otlp::{SpanExporter as OtlpExporter, WithTonicConfig};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::error::{OTelSdkError, OTelSdkResult};
use opentelemetry_sdk::trace::{SpanData, SpanExporter};
use tokio::runtime::Handle;
use tokio::time::timeout;
use tracing::{info, warn};

use crate::asked;

/// Longest wait for the collector, whatever OTEL_EXPORTER_OTLP_TIMEOUT says.
const LIMIT: Duration = Duration::from_secs(30);

/// How many spans there were.
#[derive(Debug, Clone, Default)]
pub struct Counts(Arc<[AtomicU64; 2]>);

impl Counts {
    /// One more has ended.
    pub fn end(&self) {
        self.0[0].fetch_add(1, Ordering::Relaxed);
    }

    /// So many have ended.
    pub fn ended(&self) -> u64 {
        self.0[0].load(Ordering::Relaxed)
    }

    fn send(&self, count: usize) {
        self.0[1].fetch_add(count as u64, Ordering::Relaxed);
    }

    /// How many of these the collector has not taken; `None` where it has all.
    pub fn lost(&self) -> Option<u64> {
        let lost = self.ended().saturating_sub(self.0[1].load(Ordering::Relaxed));
        (lost > 0).then_some(lost)
    }
}

/// Sends spans to the collector, and says once when it does not take them.
#[derive(Debug)]
pub struct Sender {
    exporter: Arc<OtlpExporter>,
    /// Drives the network.
    network: Handle,
    /// The variable that names the collector.
    variable: &'static str,
    is_lost: AtomicBool,
    counts: Counts,
}

impl Sender {
    /// A sender of the spans of `resource` to the collector that `variable` names, which `network` drives. It dials when there
    /// is something to send.
    ///
    /// # Errors
    /// If the variables do not say how.
    pub fn open(variable: &'static str, resource: &Resource, network: Handle) -> Result<Self, String> {
        let _entered = network.enter();
        let mut builder = OtlpExporter::builder().with_tonic();
        if let Some((name, protocol)) = asked::variable("PROTOCOL").filter(|(_, protocol)| protocol != "grpc")
        {
            return Err(format!("{name} is {protocol}, but spans are sent only by gRPC: set it to grpc"));
        }
        let is_plain = |(_, endpoint): (String, String)| endpoint.starts_with("http://");
        if !asked::variable("ENDPOINT").is_some_and(is_plain) {
            builder = builder.with_tls_config(tls()?);
        }
        let mut exporter = builder.build().map_err(|error| error.to_string())?;
        exporter.set_resource(resource);
        let is_lost = AtomicBool::new(false);
        Ok(Self { exporter: Arc::new(exporter), network, variable, is_lost, counts: Counts::default() })
    }

    /// How many spans there were, so far and later.
    pub fn counts(&self) -> Counts {
        self.counts.clone()
    }

    /// Says that the collector takes no spans, or takes them again, each when it is new.
    fn tell(&self, sent: &OTelSdkResult) {
        match sent {
            Ok(()) => {
                if self.is_lost.swap(false, Ordering::Relaxed) {
                    info!("the collector accepts spans again");
                }
            }
            Err(error) => {
                if !self.is_lost.swap(true, Ordering::Relaxed) {
                    warn!(
                        "the collector ({}) does not accept spans; nothing else is affected: {error}",
                        self.variable
                    );
                }
            }
        }
    }
}

impl SpanExporter for Sender {
    async fn export(&self, batch: Vec<SpanData>) -> OTelSdkResult {
        let (exporter, count) = (Arc::clone(&self.exporter), batch.len());
        let sending = async move { timeout(LIMIT, exporter.export(batch)).await };
        let sent = match self.network.spawn(sending).await {
            Ok(Ok(sent)) => sent,
            Ok(Err(_)) => Err(OTelSdkError::Timeout(LIMIT)),
            Err(error) => Err(OTelSdkError::InternalFailure(error.to_string())),
        };
        self.tell(&sent);
        if sent.is_ok() {
            self.counts.send(count);
        }
        sent
    }
}

/// Whom to trust, by the authorities of this machine or that of the variables, and who this side is, where they say that.
fn tls() -> Result<ClientTlsConfig, String> {
    let read = |name: &str| -> Result<Option<Vec<u8>>, String> {
        let Some((variable, path)) = asked::variable(name) else { return Ok(None) };
        fs::read(&path).map(Some).map_err(|error| format!("{variable}: {path}: {error}"))
    };
    let mut config = ClientTlsConfig::new();
    config = match read("CERTIFICATE")? {
        Some(pem) => config.ca_certificate(Certificate::from_pem(pem)),
        None => config.with_enabled_roots(),
    };
    Ok(match (read("CLIENT_CERTIFICATE")?, read("CLIENT_KEY")?) {
        (Some(certificate), Some(key)) => config.identity(Identity::from_pem(certificate, key)),
        _ => config,
    })
}
