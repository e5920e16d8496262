//! Whom the coordinator lets in, by the certificates that peers show.

use std::path::Path;
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
        "[identity]: {} is the certificate of {own}, but a coordinator needs a coordinator's certificate: set \
         another folder in [identity], and create one with `coordinator identity init --config FILE --name NAME`",
        identity.certificate.display()
    );
    Ok(Some(files))
}

/// Listens over TLS for those whom `permitted` names, unless plain text is meant; `account` is kept of others, and is asked to
/// look now and then.
///
/// # Errors
/// As [`files`].
pub fn secure(
    listener: Listener,
    config: &CoordinatorConfig,
    permitted: Permitted,
    account: Arc<dyn PortAccount>,
) -> anyhow::Result<Listener> {
    let listener = listener.accounted(account);
    match files(config)? {
        Some(files) => Ok(listener.secured(Acceptor::new(files, permitted))),
        None => Ok(listener),
    }
}

/// What is still to be done for the coordinator's identity, with its command. `path` is the file of `config`.
pub fn to_do(config: &CoordinatorConfig, path: &Path) -> Option<String> {
    config.identity.as_ref().filter(|identity| !identity.is_made())?;
    Some(format!(
        "create an identity, by which parties recognise this coordinator: `coordinator identity init --config {} \
         --name NAME` (docs/how-to/identities.md)",
        path.display()
    ))
}

/// The parties of these names.
pub fn parties(names: &[PartyName]) -> Permitted {
    Permitted::nobody().and_named(Role::Party, names.iter().cloned())
}
