//! Which coordinator a party dials: its config says the name, and its pins say the key.

use std::path::Path;

use hashvfl_identity::{Identity, IdentityConfig, Pins, Role};

use crate::config::PartyConfig;

/// One line for the party's officer: which coordinators count for `config`.
///
/// # Errors
/// If the file of pins cannot be read.
pub fn described(config: &PartyConfig) -> anyhow::Result<String> {
    let Some(identity) = &config.identity else {
        return Ok("any coordinator at that address: in plain text none shows a key".to_string());
    };
    let Some(chosen) = chosen(identity) else {
        return Ok(
            "any coordinator that the authority has signed: identity.coordinator names none".to_string()
        );
    };
    let pins = Pins::read(&identity.pins)?;
    Ok(match pins.keys(&chosen) {
        None => format!("{chosen} alone, with any key that the authority has signed: none is pinned"),
        Some(keys) => {
            let keys: Vec<String> = keys.iter().map(ToString::to_string).collect();
            format!("{chosen} alone, with the key {} alone", keys.join(" or "))
        }
    })
}

/// What its officer has yet to say of the coordinator on another machine, by name and key; `None` where all is said. `path` is
/// the file of `config`.
///
/// # Errors
/// If the file of pins cannot be read.
pub fn missing(config: &PartyConfig, path: &Path) -> anyhow::Result<Option<String>> {
    let made = config.identity.as_ref().filter(|identity| identity.is_made());
    let Some(identity) = made.filter(|_| !config.coordinator.is_loopback()) else { return Ok(None) };
    let pin = |who: &str| format!("`party identity pin {who}=KEY --config {}`", path.display());
    let Some(chosen) = chosen(identity) else {
        return Ok(Some(format!(
            "whoever the authority calls a coordinator is taken for this party's: name yours in [identity] of {}, as in coordinator = \
             \"NAME\", and pin its key as it was read out: {}",
            path.display(),
            pin("coordinator/NAME")
        )));
    };
    if Pins::read(&identity.pins)?.keys(&chosen).is_some() {
        return Ok(None);
    }
    Ok(Some(format!(
        "whoever keeps the authority can sign another {chosen}: pin its key as it was read out: {}",
        pin(&chosen.to_string())
    )))
}

/// The coordinator that the config names.
fn chosen(identity: &IdentityConfig) -> Option<Identity> {
    Some(Identity::new(Role::Coordinator, identity.coordinator.clone()?))
}
