//! A query on a Ballista cluster: the same session, whose plans a scheduler and its executors carry out. Connections use TLS
//! with a certificate on either side.

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use ballista_core::extension::{SessionConfigExt, SessionStateExt};
use datafusion::execution::SessionStateBuilder;
use datafusion::prelude::{SessionConfig, SessionContext};
use tonic::transport::{Certificate, ClientTlsConfig, Endpoint, Identity};

use super::session::reading;
use super::{ClusterAddress, SqlColumns, SqlError, failure};

/// The longest wait for a first answer of the scheduler.
const CONNECT: Duration = Duration::from_secs(20);

/// A session whose queries run on the cluster at `address`.
pub(super) async fn session(
    source: &SqlColumns,
    address: &ClusterAddress,
) -> Result<SessionContext, SqlError> {
    let failed = |reason: String| SqlError::Cluster { address: address.to_string(), reason };
    let tls = identify(source).map_err(failed)?;
    let url = format!("https://{}", address.authority());
    greet(&url, &tls).await.map_err(failed)?;
    let config = reading(SessionConfig::new_with_ballista())
        .with_target_partitions(source.threads.get())
        .with_ballista_use_tls(true)
        .with_ballista_override_create_grpc_client_endpoint(Arc::new(move |endpoint: Endpoint| {
            Ok(endpoint.tls_config(tls.clone())?)
        }));
    let state = SessionStateBuilder::new().with_default_features().with_config(config).build();
    let state = state.upgrade_for_ballista(url).map_err(|error| failed(failure::text(&error)))?;
    Ok(SessionContext::new_with_state(state))
}

/// The certificates of `tls`.
fn identify(source: &SqlColumns) -> Result<ClientTlsConfig, String> {
    let Some(tls) = &source.tls else {
        let needed = "it needs tls = { ca = \"...\", certificate = \"...\", key = \"...\" }: without it, tables and \
                      results would cross the network unencrypted";
        return Err(needed.to_owned());
    };
    Ok(ClientTlsConfig::new()
        .ca_certificate(Certificate::from_pem(read(&tls.ca)?))
        .identity(Identity::from_pem(read(&tls.certificate)?, read(&tls.key)?)))
}

fn read(path: &Path) -> Result<Vec<u8>, String> {
    fs::read(path).map_err(|reason| format!("cannot read {}: {reason}", path.display()))
}

/// Connects once, to tell why a scheduler cannot be reached. The failure of a query would not say.
async fn greet(url: &str, tls: &ClientTlsConfig) -> Result<(), String> {
    let endpoint =
        Endpoint::from_shared(url.to_owned()).and_then(|endpoint| endpoint.tls_config(tls.clone()));
    let endpoint =
        endpoint.map_err(|error| format!("its certificates cannot be used: {}", causes(&error)))?;
    let connected = tokio::time::timeout(CONNECT, endpoint.connect()).await;
    match connected {
        Err(_) => Err(format!("no answer within {} s: is the scheduler running?", CONNECT.as_secs())),
        Ok(Err(error)) => Err(format!(
            "cannot connect ({}): is the scheduler running, and is its certificate for this host and signed by tls.ca?",
            causes(&error)
        )),
        Ok(Ok(_)) => Ok(()),
    }
}

/// An error and what caused it.
fn causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text = format!("{text}: {cause}");
        source = cause.source();
    }
    text
}
