//! The files of an identity, read again when they change.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use rustls::crypto::CryptoProvider;
use sha2::{Digest, Sha256};
use tokio::sync::watch;
use tracing::{info, warn};
use zeroize::Zeroizing;

use crate::config::IdentityConfig;
use crate::dates::{DAY_S, now_s};
use crate::list_numbers::ListNumbers;
use crate::pem::{self, AUTHORITY, CERTIFICATE, FileError, KEY, LIST, PINS};
use crate::role::Identity;
use crate::trust::Trust;

/// Open connections look at the files at most so often, all of them together.
const LOOK: Duration = Duration::from_millis(500);

/// Files of an identity that cannot be used together.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// One of them.
    #[error(transparent)]
    File(#[from] FileError),
    /// The certificate is another key's.
    #[error(
        "the certificate {} of {name} does not belong to the key {}: `identity accept` puts a certificate beside the key that it was requested with", certificate.display(), key.display()
    )]
    OtherKey {
        /// The certificate.
        certificate: PathBuf,
        /// The key.
        key: PathBuf,
        /// Whom the certificate names.
        name: Identity,
    },
    /// This side's certificate has ended.
    #[error(
        "the certificate {} of {name} was valid until {until}: `coordinator identity renew {name}` makes another, and `identity accept` puts it in place",
        certificate.display()
    )]
    Expired {
        /// The file.
        certificate: PathBuf,
        /// Whom it names.
        name: Identity,
        /// A date.
        until: String,
    },
    /// A revocation list that is older than one before.
    #[error(
        "the revocation list {} has the number {number}, and one with {before} was seen: an old copy would let revoked names in again. Put the \
         newest one there (`coordinator identity renew --list` writes it where the authority is); if the authority itself was begun anew, \
         remove {}, which holds the highest number so far",
        list.display(),
        kept.display()
    )]
    OlderList {
        /// The file.
        list: PathBuf,
        /// Its number.
        number: String,
        /// The highest number before.
        before: String,
        /// Where that is kept.
        kept: PathBuf,
    },
    /// The file of the highest numbers of revocation lists.
    #[error(
        "cannot read {}, which holds the highest number of the revocation list so far: {reason}. If the list beside it is the newest \
         (`coordinator identity list` says its number where the authority is), remove the file",
        path.display()
    )]
    Numbers {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
}

/// The bytes of all files.
pub(crate) struct Contents {
    pub certificate: Zeroizing<Vec<u8>>,
    pub key: Zeroizing<Vec<u8>>,
    pub authority: Zeroizing<Vec<u8>>,
    pub revoked: Option<Zeroizing<Vec<u8>>>,
    pub pins: Option<Zeroizing<Vec<u8>>>,
}

impl Contents {
    fn read(config: &IdentityConfig) -> Result<Self, FileError> {
        let revoked = config.revoked.as_deref().map(|path| pem::bytes(path, LIST)).transpose()?;
        let pins = config.pins.exists().then(|| pem::bytes(&config.pins, PINS)).transpose()?;
        Ok(Self {
            key: pem::bytes(&config.key, KEY)?,
            certificate: pem::bytes(&config.certificate, CERTIFICATE)?,
            authority: pem::bytes(&config.authority, AUTHORITY)?,
            revoked,
            pins,
        })
    }

    fn digest(&self) -> [u8; 32] {
        let mut digest = Sha256::new();
        for part in [
            Some(&self.certificate),
            Some(&self.key),
            Some(&self.authority),
            self.revoked.as_ref(),
            self.pins.as_ref(),
        ] {
            let bytes = part.map(|bytes| bytes.as_slice());
            digest.update(bytes.map_or(u64::MAX, |bytes| bytes.len() as u64).to_le_bytes());
            digest.update(bytes.unwrap_or_default());
        }
        digest.finalize().into()
    }
}

/// What tells that a file may have changed.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Stamp {
    modified: Option<SystemTime>,
    bytes: u64,
    inode: u64,
}

impl Stamp {
    fn of(path: &Path) -> Option<Self> {
        let metadata = fs::metadata(path).ok()?;
        #[cfg(unix)]
        let inode = std::os::unix::fs::MetadataExt::ino(&metadata);
        #[cfg(not(unix))]
        let inode = 0;
        Some(Self { modified: metadata.modified().ok(), bytes: metadata.len(), inode })
    }
}

struct Seen {
    stamps: Vec<Option<Stamp>>,
    digest: [u8; 32],
    numbers: ListNumbers,
    looked: Instant,
    warned_s: i64,
}

/// The files that a config names, and what they said last.
///
/// Files that change are read again before the next handshake. Files that do not fit together, as while somebody replaces
/// them one by one, change nothing until they do.
pub struct IdentityFiles {
    config: IdentityConfig,
    provider: Arc<CryptoProvider>,
    seen: Mutex<Seen>,
    trust: watch::Sender<Arc<Trust>>,
}

impl std::fmt::Debug for IdentityFiles {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "IdentityFiles({:?})", self.trust.borrow())
    }
}

impl IdentityFiles {
    /// Reads the files that `config` names, and warns of what ends soon.
    ///
    /// # Errors
    /// If one is missing or damaged, they do not fit together, this side's certificate has ended, or the revocation list is
    /// older than one before.
    pub fn load(config: &IdentityConfig) -> Result<Arc<Self>, LoadError> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let stamps = stamps(config);
        let contents = Contents::read(config)?;
        let trust = Trust::new(config, &contents, &provider)?;
        if trust.own_not_after_s() <= now_s() {
            return Err(LoadError::Expired {
                certificate: config.certificate.clone(),
                name: trust.own_identity().clone(),
                until: crate::dates::date(trust.own_not_after_s()),
            });
        }
        let mut numbers = ListNumbers::read(config.revoked.as_deref())?;
        numbers.take(&trust.list_facts)?;
        warn_of(&trust);
        warn_of_readers(&config.key);
        let (digest, looked, warned_s) = (contents.digest(), Instant::now(), now_s());
        let seen = Seen { stamps, digest, numbers, looked, warned_s };
        let trust = watch::Sender::new(Arc::new(trust));
        Ok(Arc::new(Self { config: config.clone(), provider, seen: Mutex::new(seen), trust }))
    }

    /// What the files say now.
    pub fn current(&self) -> Arc<Trust> {
        self.look(Duration::ZERO);
        Arc::clone(&self.trust.borrow())
    }

    /// Hears of every change, from [`Self::current`] and from open connections, which look about once a second.
    pub fn subscribe(&self) -> watch::Receiver<Arc<Trust>> {
        self.trust.subscribe()
    }

    pub(crate) fn provider(&self) -> &Arc<CryptoProvider> {
        &self.provider
    }

    /// Keeps the numbers of the revocation lists in a file beside them, so that no older list is taken after a restart.
    pub(crate) fn keep_list_numbers(&self) {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).numbers.keep();
    }

    /// Looks at the files unless somebody has since.
    pub(crate) fn look_sometimes(&self) {
        self.look(LOOK);
    }

    fn look(&self, at_most_every: Duration) {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        if seen.looked.elapsed() < at_most_every {
            return;
        }
        seen.looked = Instant::now();
        if now_s() - seen.warned_s > DAY_S {
            seen.warned_s = now_s();
            warn_of(&self.trust.borrow());
        }
        let stamps = stamps(&self.config);
        if stamps == seen.stamps {
            return;
        }
        match self.read_again(&mut seen) {
            Ok(None) => {}
            Ok(Some(trust)) => {
                warn_of(&trust);
                info!(
                    "the files of {} have changed: connections from now on go by them",
                    trust.own_identity()
                );
                self.trust.send_replace(Arc::new(trust));
            }
            // Said once for each change of a file.
            Err(error) => warn!("{error}. What was read before counts until then"),
        }
        seen.stamps = stamps;
    }

    /// What the files say now; `None` where that is what they said before.
    fn read_again(&self, seen: &mut Seen) -> Result<Option<Trust>, LoadError> {
        let contents = Contents::read(&self.config)?;
        let digest = contents.digest();
        if digest == seen.digest {
            return Ok(None);
        }
        let trust = Trust::new(&self.config, &contents, &self.provider)?;
        seen.numbers.take(&trust.list_facts)?;
        seen.numbers.keep();
        seen.digest = digest;
        Ok(Some(trust))
    }
}

fn stamps(config: &IdentityConfig) -> Vec<Option<Stamp>> {
    let mut paths = vec![&config.certificate, &config.key, &config.authority, &config.pins];
    paths.extend(&config.revoked);
    paths.into_iter().map(|path| Stamp::of(path)).collect()
}

/// A key that others can read is everybody's identity.
#[cfg(unix)]
fn warn_of_readers(key: &Path) {
    use std::os::unix::fs::PermissionsExt;
    let mode = fs::metadata(key).map_or(0, |metadata| metadata.permissions().mode());
    if mode & 0o077 != 0 {
        warn!("the key {} can be read by others on this machine: `chmod 600` it", key.display());
    }
}

#[cfg(not(unix))]
fn warn_of_readers(_: &Path) {}

fn warn_of(trust: &Trust) {
    for warning in trust.warnings(now_s()) {
        warn!("{warning}");
    }
}
