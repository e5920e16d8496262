//! A stranger with a certificate of another authority, who knows whom it dials.

use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use hashvfl_core::PartyName;
use hashvfl_identity::{
    Connector, Identity, IdentityConfig, IdentityFiles, IdentityPaths, Role, begin_authority, issue,
};
use tokio::time::{MissedTickBehavior, interval};

use crate::crowd::Shared;

/// Days for which its certificate counts at its authority.
const DAYS: i64 = 30;
/// Longest wait for an answer.
const LIMIT: Duration = Duration::from_secs(5);

/// Makes the identity of a stranger below `out`, that of a federation, with the name of a party of it.
pub fn connector(out: &Path, party: &PartyName) -> anyhow::Result<Connector> {
    let folder = out.join("foreign");
    let (mut authority, _) = begin_authority(&folder.join("authority"), &PartyName::new("stranger")?, DAYS)?;
    let identity = Identity::new(Role::Party, party.clone());
    issue(&mut authority, &IdentityPaths::in_folder(&folder.join("identity")), &identity, DAYS)?;
    let mut config = IdentityConfig::in_folder(&folder.join("identity"));
    // It takes the coordinator's certificate for what it is.
    config.authority = out.join("coordinator/identity/authority.pem");
    config.pins = folder.join("no-pins.toml");
    Ok(Connector::new(IdentityFiles::load(&config)?, None))
}

/// Shows the certificate so often, until it is told to stop.
pub fn show(connector: &Connector, address: SocketAddr, per_second: f64, shared: &Shared) {
    let Ok(runtime) = tokio::runtime::Builder::new_current_thread().enable_all().build() else { return };
    runtime.block_on(async {
        let mut due = interval(Duration::from_secs_f64(1.0 / per_second));
        due.set_missed_tick_behavior(MissedTickBehavior::Delay);
        while shared.goes_on() {
            due.tick().await;
            let connected = connector.connect(&address.ip().to_string(), address.port(), LIMIT).await;
            shared.count(connected.is_ok());
            if let Ok(mut connection) = connected {
                // That it is refused is heard when the coordinator has looked at the certificate.
                let _ = connector.heard(&mut connection, LIMIT).await;
            }
        }
    });
}
