//! The way to the coordinator that a config names, for training, serving and alignment.

use hashvfl_core::protocol::message::{Hello, PROTOCOL_VERSION};
use hashvfl_transport::dial::Dialer;

use crate::config::PartyConfig;

/// Dials the coordinator of `config`.
pub fn dialer(config: &PartyConfig) -> Dialer {
    Dialer::new(config.coordinator.clone(), config.timeouts.connect_s)
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
