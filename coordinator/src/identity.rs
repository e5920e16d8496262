//! Whom the coordinator lets in, by the certificates that peers show.

use std::sync::Arc;

use anyhow::{Context, ensure};
use hashvfl_core::PartyName;
use hashvfl_identity::{Acceptor, IdentityFiles, Permitted, Role};
use hashvfl_transport::listen::Listener;
use tracing::warn;

use crate::config::CoordinatorConfig;

/// The files of the coordinator's identity; `None` where the config has none.
///
/// # Errors
/// If they cannot be used, or are another's.
pub fn files(config: &CoordinatorConfig) -> anyhow::Result<Option<Arc<IdentityFiles>>> {
    let Some(identity) = &config.identity else { return Ok(None) };
    let files = IdentityFiles::load(identity).context("[identity]")?;
    let own = files.current().own_identity().clone();
    ensure!(
        own.role == Role::Coordinator,
        "[identity]: {} is the certificate of {own}, and whoever listens is a coordinator: `coordinator identity init --name NAME` makes one",
        identity.certificate.display()
    );
    Ok(Some(files))
}

/// Listens over TLS for those whom `permitted` names, where the config has an identity.
///
/// # Errors
/// As [`files`].
pub fn secure(
    listener: Listener,
    config: &CoordinatorConfig,
    permitted: Permitted,
) -> anyhow::Result<Listener> {
    match files(config)? {
        Some(files) => Ok(listener.secured(Acceptor::new(files, permitted))),
        None => {
            if !config.insecure_plaintext {
                warn!(
                    "no [identity] in the config: whoever reaches {} can take a party's name (docs/how-to/identities.md)",
                    config.listen
                );
            }
            Ok(listener)
        }
    }
}

/// The parties of these names.
pub fn parties(names: &[PartyName]) -> Permitted {
    Permitted::nobody().and_named(Role::Party, names.iter().cloned())
}
