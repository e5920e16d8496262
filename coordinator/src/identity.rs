//! Whom the coordinator lets in, by the certificates that peers show.

use std::sync::Arc;

use anyhow::{Context, ensure};
use hashvfl_core::PartyName;
use hashvfl_identity::{Acceptor, IdentityFiles, Permitted, Role};
use hashvfl_transport::limits::gate::PortAccount;
use hashvfl_transport::listen::Listener;

use crate::config::CoordinatorConfig;

/// The files of the coordinator's identity; `None` where plain text is meant.
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

/// Listens over TLS for those whom `permitted` names, unless plain text is meant; `account` is kept of others.
///
/// # Errors
/// As [`files`].
pub fn secure(
    listener: Listener,
    config: &CoordinatorConfig,
    permitted: Permitted,
    account: Arc<dyn PortAccount>,
) -> anyhow::Result<Listener> {
    match files(config)? {
        Some(files) => Ok(listener.secured(Acceptor::new(files, permitted)).accounted(account)),
        None => Ok(listener),
    }
}

/// What is still to be done for the coordinator's identity, with its command.
pub fn to_do(config: &CoordinatorConfig) -> Option<String> {
    let identity = config.identity.as_ref().filter(|identity| !identity.is_made())?;
    Some(format!(
        "make an identity, by which parties know this coordinator: `coordinator identity init --name NAME --folder {}` (docs/how-to/identities.md)",
        identity.folder.display()
    ))
}

/// The parties of these names.
pub fn parties(names: &[PartyName]) -> Permitted {
    Permitted::nobody().and_named(Role::Party, names.iter().cloned())
}
