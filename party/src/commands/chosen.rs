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
            "any coordinator whose certificate the authority signed (identity.coordinator is not set)"
                .to_string(),
        );
    };
    let pins = Pins::read(&identity.pins)?;
    Ok(match pins.keys(&chosen) {
        None => format!("only {chosen}, with any key that the authority signed (no key is pinned)"),
        Some(keys) => {
            let keys: Vec<String> = keys.iter().map(ToString::to_string).collect();
            format!("only {chosen}, and only with the key {}", keys.join(" or "))
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
            "any coordinator whose certificate the authority signed is accepted: name yours in [identity] of {} \
             (coordinator = \"NAME\"), and pin its key as its owner read it out: {}",
            path.display(),
            pin("coordinator/NAME")
        )));
    };
    if Pins::read(&identity.pins)?.keys(&chosen).is_some() {
        return Ok(None);
    }
    Ok(Some(format!(
        "the owner of the authority could sign another {chosen}: pin its key as its owner read it out: {}",
        pin(&chosen.to_string())
    )))
}

/// The coordinator that the config names.
fn chosen(identity: &IdentityConfig) -> Option<Identity> {
    Some(Identity::new(Role::Coordinator, identity.coordinator.clone()?))
}
