//! Certificates that a peer shows, and certificates, authorities and revocation lists in files of another organisation.
//!
//! What an authority signs is changed before it is signed, so that changed names, dates and extensions are believed.

use std::fs;
use std::path::PathBuf;
use std::slice::from_ref;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use hashvfl_core::PartyName;
use hashvfl_identity::{
    Authority, Identity, IdentityConfig, IdentityFiles, IdentityPaths, PeerIdentity, PeerRefusal, Permitted,
    Role, Trust, Usage, issue,
};
use rcgen::KeyPair;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, UnixTime};
use tempfile::TempDir;

use crate::der;
use crate::pieces::{change, pieces};

mod seeds;

pub use seeds::seeds;
pub(crate) use seeds::{around_keys, public_key};

/// The authority's name; that of its certificate follows from it.
const AUTHORITY: &str = "shop";
/// Certificates of a chain that are looked at.
const MOST: usize = 4;

/// The first byte says what the others are.
pub fn target(bytes: &[u8]) {
    let Some((kind, bytes)) = bytes.split_first() else { return };
    thread_local!(static HOME: Home = Home::new());
    HOME.with(|home| match kind % 5 {
        0 => home.judge(bytes),
        1 => drop(home.with_list(&home.signed(bytes))),
        2 => {
            let judged = home.with_list(bytes);
            assert!(
                judged.is_none_or(|judged| judged.is_err()),
                "no list counts that the authority has not signed"
            );
        }
        3 => drop(home.load(|config| &mut config.authority, bytes)),
        _ => drop(home.load(|config| &mut config.certificate, bytes)),
    });
}

/// An authority and a party with a certificate of it: made once a thread.
struct Home {
    config: IdentityConfig,
    /// The party's files as they are, and with a table of names.
    trusts: [Arc<Trust>; 2],
    certificate: CertificateDer<'static>,
    authority_key: KeyPair,
    folder: TempDir,
}

impl Home {
    fn new() -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let keep = folder.path().join("authority");
        let name = |name| PartyName::new(name).expect("a name");
        let mut authority = Authority::create(&keep, &name(AUTHORITY)).expect("an authority");
        let places = IdentityPaths::in_folder(&folder.path().join("bank"));
        let bank = Identity::new(Role::Party, name("bank"));
        issue(&mut authority, &places, &bank, 30).expect("a certificate");
        let mut config = IdentityConfig::in_folder(&places.folder);
        config.revoked = Some(keep.join("revoked.pem"));
        let mut named = config.clone();
        let table =
            r#"{"cn:bank": "party/bank", "dns:bank.example": "client/bank", "uri:https://bank": "party/b"}"#;
        named.names = serde_json::from_str(table).expect("a table of names");
        let trusts = [&config, &named].map(|config| IdentityFiles::load(config).expect("files").current());
        let pem = fs::read(&config.certificate).expect("a certificate");
        let key = fs::read_to_string(keep.join("authority-key.pem")).expect("a key");
        Self {
            trusts,
            certificate: CertificateDer::from_pem_slice(&pem).expect("a certificate"),
            authority_key: KeyPair::from_pem(&key).expect("a key"),
            config,
            folder,
        }
    }

    /// What the authority signs, with its signature.
    fn signed(&self, content: &[u8]) -> Vec<u8> {
        der::signed(&self.authority_key, content)
    }

    /// The chain that pieces are: each as it stands, signed by the authority, or the bank's own with changes.
    fn chain(&self, bytes: &[u8]) -> Vec<CertificateDer<'static>> {
        let mut chain = Vec::new();
        for piece in pieces(bytes).into_iter().take(MOST) {
            let Some((kind, piece)) = piece.split_first() else { continue };
            chain.push(CertificateDer::from(match kind % 3 {
                0 => piece.to_vec(),
                1 => self.signed(piece),
                _ => {
                    let mut own = self.certificate.to_vec();
                    change(&mut own, 0, piece);
                    own
                }
            }));
        }
        chain
    }

    /// What is said of whoever shows `chain`, on either side of a connection.
    fn verdicts(&self, chain: &[CertificateDer<'_>]) -> Vec<Result<PeerIdentity, PeerRefusal>> {
        let permitted =
            Permitted::nobody().and_every(Role::Party).and_every(Role::Coordinator).and_every(Role::Client);
        let mut verdicts = Vec::new();
        for trust in &self.trusts {
            for usage in [Usage::Dialling, Usage::Listening] {
                verdicts.push(trust.verify(chain, usage, &permitted, now()));
            }
        }
        verdicts
    }

    /// Nobody is let in whose certificate the authority has not signed.
    fn judge(&self, bytes: &[u8]) {
        let chain = self.chain(bytes);
        let is_signed =
            pieces(bytes).into_iter().find_map(|piece| piece.first()).is_some_and(|kind| kind % 3 == 1);
        for verdict in self.verdicts(&chain) {
            match verdict {
                Ok(peer) => {
                    assert!(is_signed || chain[0] == self.certificate, "{} was let in", peer.identity);
                }
                // It goes to a log.
                Err(refusal) => assert!(!refusal.to_string().contains('\n'), "{refusal}"),
            }
        }
    }

    /// The bank's files with `bytes` in the place of one of them, if they can be used together.
    fn load(&self, place: fn(&mut IdentityConfig) -> &mut PathBuf, bytes: &[u8]) -> Option<Arc<Trust>> {
        let path = self.folder.path().join("file");
        fs::write(&path, bytes).expect("a file");
        let mut config = self.config.clone();
        *place(&mut config) = path;
        IdentityFiles::load(&config).ok().map(|files| files.current())
    }

    /// What is said of the bank where `list` is the revocation list; nothing where that cannot be read.
    fn with_list(&self, list: &[u8]) -> Option<Result<PeerIdentity, PeerRefusal>> {
        let trust = self.load(|config| config.revoked.get_or_insert_default(), list)?;
        let permitted = Permitted::nobody().and_every(Role::Party);
        Some(trust.verify(from_ref(&self.certificate), Usage::Dialling, &permitted, now()))
    }
}

fn now() -> UnixTime {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    UnixTime::since_unix_epoch(since.unwrap_or(Duration::ZERO))
}
