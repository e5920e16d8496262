//! Who a client is, and which coordinator it takes for the one that it asks: by its certificate, and by pins.

use std::path::Path;

use anyhow::{Context, ensure};
use hashvfl_core::{Address, PartyName};
use hashvfl_identity::{Connector, Identity, IdentityConfig, IdentityFiles, Pins, Role};
use tracing::warn;

/// Whether a client without an identity may ask at `server`: in plain text ids go only to this machine.
///
/// # Errors
/// If not.
pub fn check_plaintext(server: &Address) -> anyhow::Result<()> {
    ensure!(
        server.is_loopback(),
        "--server {server}: without --identity, record ids would be sent in plain text, which is allowed only to \
         this machine (127.0.0.1, [::1], localhost): pass --identity FOLDER; `coordinator identity issue \
         client/NAME --config FILE --into FOLDER` creates one"
    );
    Ok(())
}

/// Reaches the coordinator of the name `named` over TLS, with the client's identity in `folder`. Without a name, the only
/// coordinator that is pinned there counts, and where none is or several are, any that the authority has signed.
///
/// # Errors
/// If the files cannot be used, or are those of another than a client.
pub fn connector(server: &Address, folder: &Path, named: Option<&PartyName>) -> anyhow::Result<Connector> {
    let mut config = IdentityConfig::in_folder(folder);
    // A client is told of none, but one that lies there counts.
    config.revoked = Some(folder.join("revoked.pem")).filter(|list| list.exists());
    let files = IdentityFiles::load(&config).context("--identity")?;
    let own = files.current().own_identity().clone();
    ensure!(
        own.role == Role::Client,
        "--identity {} is the identity of {own}, but only a client may ask for predictions: `coordinator identity \
         request --role client --name NAME --folder FOLDER` requests one",
        folder.display()
    );
    let pins = Pins::read(&config.pins)?;
    let coordinator = chosen(named, &pins);
    if !server.is_loopback()
        && let Some(missing) = missing(folder, coordinator.as_ref(), &pins)
    {
        warn!("{missing}");
    }
    Ok(Connector::new(files, coordinator))
}

/// Which coordinator counts; `None`: any.
fn chosen(named: Option<&PartyName>, pins: &Pins) -> Option<PartyName> {
    match (named, pins.names(Role::Coordinator).as_slice()) {
        (Some(named), _) => Some(named.clone()),
        (None, [only]) => Some(only.clone()),
        (None, _) => None,
    }
}

/// What whoever asks a coordinator on another machine has yet to say of it, by name or key.
fn missing(folder: &Path, coordinator: Option<&PartyName>, pins: &Pins) -> Option<String> {
    let pin = |who: &str| format!("`coordinator identity pin {who}=KEY --folder {}`", folder.display());
    let Some(name) = coordinator else {
        return Some(format!(
            "any coordinator whose certificate the authority signed is accepted: pass --coordinator NAME, and pin \
             its key as its owner read it out: {}",
            pin("coordinator/NAME")
        ));
    };
    let coordinator = Identity::new(Role::Coordinator, name.clone());
    if pins.keys(&coordinator).is_some() {
        return None;
    }
    Some(format!(
        "the owner of the authority could sign another {coordinator}: pin its key as its owner read it out: {}",
        pin(&coordinator.to_string())
    ))
}

#[cfg(test)]
mod tests {
    use hashvfl_identity::Pin;

    use super::*;

    #[test]
    fn plain_text_is_for_this_machine_alone() {
        for (server, expected) in [
            ("http://127.0.0.1:7433", true),
            ("http://localhost:7433", true),
            ("http://bank.example:7433", false),
            ("http://192.0.2.7:7433", false),
        ] {
            assert_eq!(check_plaintext(&server.parse().unwrap()).is_ok(), expected, "{server}");
        }
    }

    #[test]
    fn the_coordinator_is_the_one_that_is_named_or_the_only_one_that_is_pinned() {
        let name = |name: &str| PartyName::new(name).unwrap();
        let (mut pins, folder) = (Pins::default(), Path::new("desk"));
        let says = |coordinator: Option<&PartyName>, pins: &Pins| {
            missing(folder, coordinator, pins).unwrap_or_default()
        };
        assert_eq!(chosen(None, &pins), None);
        assert!(says(None, &pins).contains("pass --coordinator NAME"));
        let pin = |pins: &mut Pins, who: &str| {
            pins.add(&format!("{who}=4OYM-IQUY-7QOB-JGX3-6TEJ-S35Z").parse::<Pin>().unwrap());
        };
        pin(&mut pins, "party/bank");
        assert_eq!(chosen(None, &pins), None);
        pin(&mut pins, "coordinator/shop");
        assert_eq!(chosen(None, &pins), Some(name("shop")));
        assert_eq!(chosen(Some(&name("mill")), &pins), Some(name("mill")));
        assert_eq!(says(Some(&name("shop")), &pins), "");
        assert!(says(Some(&name("mill")), &pins).contains("pin coordinator/mill=KEY --folder desk`"));
        pin(&mut pins, "coordinator/mill");
        assert_eq!(chosen(None, &pins), None, "each has its pin, and any of them counts");
    }
}
