//! The table `[identity]` of a party's or the coordinator's config.

use std::path::{Path, PathBuf};

use hashvfl_core::PartyName;

use crate::names::Naming;

/// Where an identity's files are. All paths have defaults in the folder `identity`, where the commands write.
#[derive(Debug, Clone, serde::Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct IdentityConfig {
    /// This side's secret key, PEM, mode 0600.
    pub key: PathBuf,
    /// This side's certificate, and those between it and the authority.
    pub certificate: PathBuf,
    /// Certificates of the authorities that sign peers' certificates.
    pub authority: PathBuf,
    /// The authorities' revocation lists; absent: none is asked, and only pins keep a stolen key out.
    pub revoked: Option<PathBuf>,
    /// Keys of peers that were told on another way; a file that is not there pins nobody.
    pub pins: PathBuf,
    /// The name of the coordinator to dial; absent: any that the authority calls a coordinator.
    pub coordinator: Option<PartyName>,
    /// How names of certificates of an organisation's own PKI become identities.
    pub names: Naming,
}

impl Default for IdentityConfig {
    fn default() -> Self {
        Self::in_folder(Path::new("identity"))
    }
}

impl IdentityConfig {
    /// The files as the commands name them in `folder`, without a revocation list.
    pub fn in_folder(folder: &Path) -> Self {
        Self {
            key: folder.join("key.pem"),
            certificate: folder.join("certificate.pem"),
            authority: folder.join("authority.pem"),
            revoked: None,
            pins: folder.join("pins.toml"),
            coordinator: None,
            names: Naming::default(),
        }
    }

    /// Starts relative paths at `folder`, that of the config file.
    pub fn resolve(&mut self, folder: &Path) {
        for path in [&mut self.key, &mut self.certificate, &mut self.authority, &mut self.pins] {
            *path = folder.join(&*path);
        }
        self.revoked = self.revoked.take().map(|list| folder.join(list));
    }

    /// Checks what can be checked without files.
    ///
    /// # Errors
    /// One line for its owner.
    pub fn check(&self) -> Result<(), String> {
        self.names.check()
    }
}

/// Checks what a config says of its connections: with an identity over TLS, or in plain text on this machine alone.
///
/// # Errors
/// One line for its owner.
pub fn check_plaintext(
    identity: Option<&IdentityConfig>,
    insecure_plaintext: bool,
    is_loopback: bool,
) -> Result<(), String> {
    match identity {
        Some(_) if insecure_plaintext => {
            Err("insecure_plaintext = true and [identity] exclude each other: remove one of them".to_string())
        }
        Some(identity) => identity.check(),
        None if insecure_plaintext && !is_loopback => Err(
            "insecure_plaintext = true is for one machine alone, and the address is none of loopback (127.0.0.1, [::1], localhost): make an [identity]"
                .to_string(),
        ),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_text_is_for_one_machine() {
        let config = IdentityConfig::default();
        assert!(check_plaintext(Some(&config), false, false).is_ok());
        assert!(check_plaintext(Some(&config), true, true).unwrap_err().contains("exclude each other"));
        assert!(check_plaintext(None, true, true).is_ok());
        assert!(check_plaintext(None, true, false).unwrap_err().contains("make an [identity]"));
    }

    #[test]
    fn paths_start_at_the_config() {
        let mut config: IdentityConfig = toml::from_str("revoked = \"lists/revoked.pem\"").unwrap();
        config.resolve(Path::new("/etc/hashvfl"));
        assert_eq!(config.key, Path::new("/etc/hashvfl/identity/key.pem"));
        assert_eq!(config.revoked.as_deref(), Some(Path::new("/etc/hashvfl/lists/revoked.pem")));
        assert!(toml::from_str::<IdentityConfig>("keys = \"a\"").is_err());
    }
}
