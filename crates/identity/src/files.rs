//! The files of an identity, read again when they change.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use hashvfl_files::Stamps;
use rustls::crypto::CryptoProvider;
use tokio::sync::watch;
use tracing::{info, warn};
use zeroize::Zeroizing;

use crate::config::IdentityConfig;
use crate::dates::{DAY_S, now_s};
use crate::list_numbers::ListNumbers;
use crate::pem::{self, AUTHORITY, CERTIFICATE, FileError, KEY, LIST, PINS};
use crate::revocations::{ListFacts, Lists};
use crate::role::Identity;
use crate::trust::Trust;

/// Open connections look at the files at most so often, all of them together.
const LOOK: Duration = Duration::from_millis(500);
/// Files that could not be used are read again after so long, although they look as they did.
const RETRY: Duration = Duration::from_secs(2);
/// What keeps files from being used is said so often.
const REMIND: Duration = Duration::from_secs(3600);

/// Files of an identity that cannot be used together.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// One of them.
    #[error(transparent)]
    File(#[from] FileError),
    /// The certificate is another key's.
    #[error(
        "the certificate {} of {name} does not belong to the key {}: `identity accept CERTIFICATE --config FILE` installs a certificate beside \
         the key that it was requested with", certificate.display(), key.display()
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
        "the certificate {} of {name} expired on {until}: `coordinator identity renew {name} --config FILE` creates \
         another, and `identity accept CERTIFICATE --config FILE` installs it",
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
         newest one there (`coordinator identity renew --list --config FILE` writes it where the authority is); if the authority itself is a new \
         one, remove {}, which holds the highest number so far",
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
         (`coordinator identity list --config FILE` says its number where the authority is), remove the file",
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
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Contents {
    pub certificate: Zeroizing<Vec<u8>>,
    pub key: Zeroizing<Vec<u8>>,
    pub authority: Zeroizing<Vec<u8>>,
    pub revoked: Option<Zeroizing<Vec<u8>>>,
    pub pins: Option<Zeroizing<Vec<u8>>>,
}

impl Contents {
    fn read(config: &IdentityConfig) -> Result<Self, FileError> {
        let (revoked, pins) = (Self::lists(config)?, Self::pins(config)?);
        Ok(Self {
            key: pem::bytes(&config.key, KEY)?,
            certificate: pem::bytes(&config.certificate, CERTIFICATE)?,
            authority: pem::bytes(&config.authority, AUTHORITY)?,
            revoked,
            pins,
        })
    }

    /// The revocation lists; `None` where the config names none.
    fn lists(config: &IdentityConfig) -> Result<Option<Zeroizing<Vec<u8>>>, FileError> {
        config.revoked.as_deref().map(|path| pem::bytes(path, LIST)).transpose()
    }

    /// The pins; `None` where there is no such file.
    fn pins(config: &IdentityConfig) -> Result<Option<Zeroizing<Vec<u8>>>, FileError> {
        match pem::bytes(&config.pins, PINS) {
            Ok(pins) => Ok(Some(pins)),
            Err(FileError::Read { reason, .. }) if reason.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }
}

struct Seen {
    /// When the files were read that could be used, all of them.
    stamps: Stamps,
    /// What counts.
    contents: Contents,
    numbers: ListNumbers,
    looked: Instant,
    warned_s: i64,
    failed: Option<Failed>,
}

/// Files that could not be used.
struct Failed {
    stamps: Stamps,
    at: Instant,
    /// Why, as it was said last, and when.
    said: String,
    said_at: Instant,
}

impl Seen {
    /// The files could not be used as `stamps` were: says why, unless that has been said already.
    fn fail(&mut self, stamps: Stamps, now: Instant, error: &LoadError) {
        let why = error.to_string();
        let before = self.failed.take().filter(|failed| failed.said == why && now < failed.said_at + REMIND);
        let said_at = before.map_or(now, |failed| failed.said_at);
        if said_at == now {
            warn!(
                "{why}. Keeping the previous files until this is fixed, except a new revocation list and new pins, which count if they can be used by themselves"
            );
        }
        self.failed = Some(Failed { stamps, at: now, said: why, said_at });
    }
}

/// The files that a config names, and what they said last.
///
/// Files that change are read again before the next handshake. Files that do not fit together, as while somebody replaces
/// them one by one, change nothing until they do, but for a revocation list and pins.
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
        let (looked, warned_s) = (Instant::now(), now_s());
        let seen = Seen { stamps, contents, numbers, looked, warned_s, failed: None };
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

    /// Takes the numbers of lists of which is known since a handshake who has signed them.
    pub(crate) fn take_confirmed(&self, lists: &[ListFacts]) {
        if !lists.is_empty() {
            let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
            // A list that is older than one that was read meanwhile has none to give.
            let _ = seen.numbers.take(lists);
        }
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
        let now = Instant::now();
        seen.numbers.write_where_due(now);
        let stamps = stamps(&self.config);
        if stamps == seen.stamps {
            seen.failed = None;
            return;
        }
        if seen.failed.as_ref().is_some_and(|failed| failed.stamps == stamps && now < failed.at + RETRY) {
            return;
        }
        let read = Contents::read(&self.config).map_err(LoadError::from);
        match read.and_then(|contents| self.take(&mut seen, contents)) {
            Ok(trust) => {
                (seen.stamps, seen.failed) = (stamps, None);
                self.publish(trust);
            }
            Err(error) => {
                let trust = self.take_by_themselves(&mut seen);
                seen.fail(stamps, now, &error);
                self.publish(trust);
            }
        }
    }

    /// Goes by `trust` from now on, if there is one.
    fn publish(&self, trust: Option<Trust>) {
        let Some(trust) = trust else { return };
        warn_of(&trust);
        info!("the files of {} have changed: new connections use them", trust.own_identity());
        self.trust.send_replace(Arc::new(trust));
    }

    /// What `contents` say; `None` where they say what counts already.
    fn take(&self, seen: &mut Seen, contents: Contents) -> Result<Option<Trust>, LoadError> {
        if contents == seen.contents {
            return Ok(None);
        }
        let trust = Trust::new(&self.config, &contents, &self.provider)?;
        seen.numbers.take(&trust.list_facts)?;
        seen.numbers.keep();
        seen.contents = contents;
        Ok(Some(trust))
    }

    /// What a new revocation list and new pins say where other files cannot be used: no slip in another file lets somebody in
    /// who was taken back since.
    fn take_by_themselves(&self, seen: &mut Seen) -> Option<Trust> {
        let mut trust = None;
        if let Ok(Some(revoked)) = Contents::lists(&self.config)
            && seen.contents.revoked.as_ref() != Some(&revoked)
            && self.says_of_all(&revoked)
        {
            let contents = Contents { revoked: Some(revoked), ..seen.contents.clone() };
            trust = self.take(seen, contents).ok().flatten();
        }
        if let Ok(Some(pins)) = Contents::pins(&self.config) {
            let contents = Contents { pins: Some(pins), ..seen.contents.clone() };
            trust = self.take(seen, contents).ok().flatten().or(trust);
        }
        trust
    }

    /// Whether there is a list in `revoked` of every authority of which there was one: otherwise nobody of that one would be
    /// let in.
    fn says_of_all(&self, revoked: &[u8]) -> bool {
        let path = self.config.revoked.as_deref().unwrap_or(Path::new(""));
        let Ok(lists) = Lists::parse(revoked, path, &[]) else { return false };
        let before = Arc::clone(&self.trust.borrow());
        before.list_facts.iter().all(|before| lists.facts.iter().any(|list| list.issuer == before.issuer))
    }
}

fn stamps(config: &IdentityConfig) -> Stamps {
    let mut stamps = Stamps::default();
    for path in [&config.certificate, &config.key, &config.authority, &config.pins] {
        stamps.add(path.clone());
    }
    if let Some(revoked) = &config.revoked {
        stamps.add(revoked.clone());
    }
    stamps
}

/// A key that others can read is everybody's identity.
#[cfg(unix)]
fn warn_of_readers(key: &Path) {
    use std::os::unix::fs::MetadataExt;
    if std::fs::metadata(key).is_ok_and(|metadata| others_read(metadata.mode(), metadata.uid())) {
        warn!("the key {} can be read by others on this machine: `chmod 600` it", key.display());
    }
}

/// Whether others than whom a key is for can read it. A file of root's may be read by its group: so secrets are mounted.
#[cfg(unix)]
fn others_read(mode: u32, owner: u32) -> bool {
    let others = if owner == 0 { 0o037 } else { 0o077 };
    mode & others != 0
}

#[cfg(not(unix))]
fn warn_of_readers(_: &Path) {}

fn warn_of(trust: &Trust) {
    for warning in trust.warnings(now_s()) {
        warn!("{warning}");
    }
}

#[cfg(all(test, unix))]
mod tests {
    use super::others_read;

    #[test]
    fn a_mounted_secret_may_be_read_by_its_group() {
        for (mode, owner, expected) in [
            (0o100_600, 1000, false),
            (0o100_640, 1000, true),
            (0o100_400, 0, false),
            // As deploy/kubernetes mounts it.
            (0o100_440, 0, false),
            (0o100_660, 0, true),
            (0o100_444, 0, true),
        ] {
            assert_eq!(others_read(mode, owner), expected, "{mode:o} of {owner}");
        }
    }
}
