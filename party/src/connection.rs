//! The way to the coordinator that a config names, for training, serving and alignment.

use std::time::Duration;

use anyhow::{Context, ensure};
use hashvfl_core::protocol::message::{Hello, PROTOCOL_VERSION};
use hashvfl_identity::{Connector, Identity, IdentityFiles, Role};
use hashvfl_transport::dial::Dialer;

use crate::config::PartyConfig;

/// Dials the coordinator of `config`: over TLS, unless plain text is meant.
///
/// # Errors
/// If the files of the identity cannot be used, or are another's.
pub fn dialer(config: &PartyConfig) -> anyhow::Result<Dialer> {
    let timeouts = &config.timeouts;
    let dialer = Dialer::new(config.coordinator.clone(), timeouts.connect_s)
        .keeping_alive(Duration::from_secs(timeouts.keep_alive_s));
    let Some(identity) = &config.identity else { return Ok(dialer) };
    let files = IdentityFiles::load(identity).context("[identity]")?;
    let own = files.current().own_identity().clone();
    let expected = Identity::new(Role::Party, config.name.clone());
    ensure!(
        own == expected,
        "[identity]: {} is the certificate of {own}, but this party is {expected}: set another folder in [identity], \
         and request a certificate with `party identity request --config FILE`",
        identity.certificate.display()
    );
    Ok(dialer.secured(Connector::new(files, identity.coordinator.clone())))
}

/// What a party says first, in training and in serving.
pub fn hello(config: &PartyConfig) -> Hello {
    let settings = config.run.to_settings();
    Hello {
        protocol: PROTOCOL_VERSION,
        run: config.run_id.clone(),
        party: config.name.clone(),
        settings_digest: settings.digest(),
        settings,
    }
}
