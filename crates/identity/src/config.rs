//! The table `[identity]` of a party's or the coordinator's config.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use hashvfl_core::PartyName;
use tracing::warn;

use crate::error::CommandError;
use crate::files::IdentityFiles;
use crate::names::Naming;

/// Where an identity's files are. All paths have defaults in one folder, where the commands write.
#[derive(Debug, Clone, PartialEq, Eq, serde::Deserialize)]
#[serde(from = "IdentityTable")]
pub struct IdentityConfig {
    /// The folder of the files that are not named.
    pub folder: PathBuf,
    /// This side's secret key, PEM, mode 0600.
    pub key: PathBuf,
    /// This side's certificate, and those between it and the authority.
    pub certificate: PathBuf,
    /// Certificates of the authorities that sign peers' certificates.
    pub authority: PathBuf,
    /// The authorities' revocation lists; absent: none is asked, and only pins keep a stolen key out.
    pub revoked: Option<PathBuf>,
    /// Keys of peers, as they were read out over another channel; a file that is not there pins nobody.
    pub pins: PathBuf,
    /// The name of the coordinator to dial; absent: any that the authority calls a coordinator.
    pub coordinator: Option<PartyName>,
    /// How names of certificates of an organisation's own PKI become identities.
    pub names: Naming,
}

/// The table as it stands in a config.
#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct IdentityTable {
    #[serde(default = "usual_folder")]
    folder: PathBuf,
    key: Option<PathBuf>,
    certificate: Option<PathBuf>,
    authority: Option<PathBuf>,
    revoked: Option<PathBuf>,
    pins: Option<PathBuf>,
    coordinator: Option<PartyName>,
    #[serde(default)]
    names: Naming,
}

fn usual_folder() -> PathBuf {
    PathBuf::from("identity")
}

impl From<IdentityTable> for IdentityConfig {
    fn from(table: IdentityTable) -> Self {
        let usual = Self::in_folder(&table.folder);
        Self {
            key: table.key.unwrap_or(usual.key),
            certificate: table.certificate.unwrap_or(usual.certificate),
            authority: table.authority.unwrap_or(usual.authority),
            revoked: table.revoked,
            pins: table.pins.unwrap_or(usual.pins),
            coordinator: table.coordinator,
            names: table.names,
            folder: table.folder,
        }
    }
}

impl Default for IdentityConfig {
    fn default() -> Self {
        Self::in_folder(&usual_folder())
    }
}

impl IdentityConfig {
    /// The files as the commands name them in `folder`, without a revocation list.
    pub fn in_folder(folder: &Path) -> Self {
        Self {
            folder: folder.to_path_buf(),
            key: folder.join("key.pem"),
            certificate: folder.join("certificate.pem"),
            authority: folder.join("authority.pem"),
            revoked: None,
            pins: folder.join("pins.toml"),
            coordinator: None,
            names: Naming::default(),
        }
    }

    /// Asks the revocation list that the authority's commands write, unless the config names another: whoever listens can
    /// take certificates back.
    #[must_use]
    pub fn listening(mut self) -> Self {
        self.revoked.get_or_insert_with(|| self.folder.join("revoked.pem"));
        self
    }

    /// Starts relative paths at `folder`, that of the config file.
    #[must_use]
    pub fn resolve(mut self, folder: &Path) -> Self {
        let paths =
            [&mut self.folder, &mut self.key, &mut self.certificate, &mut self.authority, &mut self.pins];
        for path in paths {
            *path = folder.join(&*path);
        }
        self.revoked = self.revoked.map(|list| folder.join(list));
        self
    }

    /// The files, for a side that signs with its key where it can: without it, or once its certificate has ended, it goes on
    /// unsigned, and the log says so.
    pub fn signer(&self) -> Option<Arc<IdentityFiles>> {
        if !self.is_made() {
            return None;
        }
        match IdentityFiles::load(self) {
            Ok(files) => Some(files),
            Err(failed) => {
                warn!("nothing is signed with this side's key: {failed}");
                None
            }
        }
    }

    /// Whether this side has a key and a certificate; otherwise both are still to be made.
    pub fn is_made(&self) -> bool {
        self.key.exists() && self.certificate.exists()
    }
}

/// What the commands need of a config file: where its identity is, and its name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct NamedFolder {
    pub folder: PathBuf,
    /// A party's; a coordinator's config has none.
    pub name: Option<PartyName>,
}

/// The parts of a config file that the commands read.
#[derive(serde::Deserialize)]
struct ConfigFile {
    name: Option<PartyName>,
    identity: Option<IdentityTable>,
}

impl ConfigFile {
    fn read(path: &Path) -> Result<Self, CommandError> {
        let text = fs::read_to_string(path).map_err(|error| wrong(path, error.to_string()))?;
        toml::from_str(&text).map_err(|error| wrong(path, error.message().to_string()))
    }
}

fn wrong(path: &Path, reason: String) -> CommandError {
    CommandError::Config { path: path.to_path_buf(), reason }
}

impl NamedFolder {
    pub fn of_config(path: &Path) -> Result<Self, CommandError> {
        let file = ConfigFile::read(path)?;
        let own_files = |table: &IdentityTable| table.key.is_some() || table.certificate.is_some();
        if file.identity.as_ref().is_some_and(own_files) {
            let reason =
                "its [identity] names files of another PKI, which these commands do not write: pass --folder";
            return Err(wrong(path, reason.to_string()));
        }
        let folder = file.identity.map_or_else(usual_folder, |table| table.folder);
        let beside = path.parent().unwrap_or(Path::new(""));
        Ok(Self { folder: beside.join(folder), name: file.name })
    }

    /// The file of pins that the config reads, also where keys are those of another PKI.
    pub fn pins_of_config(path: &Path) -> Result<PathBuf, CommandError> {
        let identity = ConfigFile::read(path)?.identity.map(IdentityConfig::from).unwrap_or_default();
        Ok(path.parent().unwrap_or(Path::new("")).join(identity.pins))
    }
}

/// What a config says of its connections: over TLS, with the identity that is returned, unless plain text is meant, which
/// is only for one machine.
///
/// # Errors
/// One line for its owner.
pub fn identity_or_plaintext(
    identity: Option<IdentityConfig>,
    insecure_plaintext: bool,
    is_loopback: bool,
) -> Result<Option<IdentityConfig>, String> {
    match (identity, insecure_plaintext) {
        (Some(_), true) => {
            Err("insecure_plaintext = true and [identity] exclude each other: remove one of them".to_string())
        }
        (None, true) if !is_loopback => Err(
            "insecure_plaintext = true is allowed only on one machine, but the address is not a loopback address \
             (127.0.0.1, [::1], localhost): create an identity (docs/how-to/identities.md)"
                .to_string(),
        ),
        (None, true) => Ok(None),
        (identity, false) => {
            let identity = identity.unwrap_or_default();
            identity.names.check()?;
            Ok(Some(identity))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_text_is_for_one_machine_and_must_be_asked_for() {
        let given = || Some(IdentityConfig::default());
        assert!(identity_or_plaintext(given(), false, false).unwrap().is_some());
        assert!(identity_or_plaintext(None, false, true).unwrap().is_some());
        assert!(identity_or_plaintext(given(), true, true).unwrap_err().contains("exclude each other"));
        assert!(identity_or_plaintext(None, true, true).unwrap().is_none());
        assert!(identity_or_plaintext(None, true, false).unwrap_err().contains("create an identity"));
    }

    #[test]
    fn paths_start_at_the_config() {
        let read = |text: &str| toml::from_str::<IdentityConfig>(text);
        let config = read("revoked = \"lists/revoked.pem\"").unwrap().resolve(Path::new("/etc/hashvfl"));
        assert_eq!(config.key, Path::new("/etc/hashvfl/identity/key.pem"));
        assert_eq!(config.revoked.as_deref(), Some(Path::new("/etc/hashvfl/lists/revoked.pem")));
        let config = read("folder = \"bank\"\nkey = \"/run/key\"").unwrap().listening();
        let config = config.resolve(Path::new("/etc/hashvfl"));
        assert_eq!(config.key, Path::new("/run/key"));
        assert_eq!(config.pins, Path::new("/etc/hashvfl/bank/pins.toml"));
        assert_eq!(config.revoked.as_deref(), Some(Path::new("/etc/hashvfl/bank/revoked.pem")));
        assert!(read("keys = \"a\"").is_err());
    }

    #[test]
    fn a_config_names_the_folder_and_the_party() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("party.toml");
        let of = |text: &str| {
            fs::write(&path, text).unwrap();
            NamedFolder::of_config(&path).map_err(|error| error.to_string())
        };
        let named = of("name = \"bank\"\nrun_id = \"r\"\n[identity]\nfolder = \"bank-identity\"\n").unwrap();
        assert_eq!(named.folder, home.path().join("bank-identity"));
        assert_eq!(named.name.unwrap().as_str(), "bank");
        assert_eq!(
            of("run_id = \"r\"").unwrap(),
            NamedFolder { folder: home.path().join("identity"), name: None }
        );
        assert!(of("[identity]\nkey = \"/etc/pki/key.pem\"").unwrap_err().contains("pass --folder"));
        assert!(of("name = 3").unwrap_err().starts_with(&path.display().to_string()));
    }

    #[test]
    fn keys_are_pinned_in_the_file_that_the_config_reads() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("party.toml");
        for (text, pins) in [
            ("name = \"bank\"\n", "identity/pins.toml"),
            ("[identity]\nfolder = \"bank-identity\"\n", "bank-identity/pins.toml"),
            ("[identity]\nfolder = \"bank-identity\"\npins = \"peers.toml\"\n", "peers.toml"),
            ("[identity]\nkey = \"/etc/pki/key.pem\"\npins = \"peers.toml\"\n", "peers.toml"),
        ] {
            fs::write(&path, text).unwrap();
            assert_eq!(NamedFolder::pins_of_config(&path).unwrap(), home.path().join(pins), "{text}");
        }
    }
}
