//! The audit trail of a process: the log, the heads of its peers, and the run that it is at.

use std::collections::BTreeMap;
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Instant, SystemTime};

use hashvfl_core::protocol::message::AuditHead;
use hashvfl_core::text::counted;
use hashvfl_core::{Digest, PartyName, RunId};
use hashvfl_identity::{Fingerprint, IdentityFiles, Revocations, Role};
use tracing::{error, warn};

use crate::config::AuditConfig;
use crate::error::AuditError;
use crate::event::AuditEvent;
use crate::head::{Head, HeadMoment, Side};
use crate::head_book::{HeadBook, OlderLog};
use crate::ledger_totals::LedgerTotals;
use crate::log::AuditLog;
use crate::receipt::ErasureReceipt;
use crate::tally::SignatureTally;

/// Where a process writes what it decides. Where the config has no audit trail, nothing is written and no head is told.
pub struct AuditTrail {
    side: Side,
    run: RunId,
    folder: PathBuf,
    log: Option<Mutex<AuditLog>>,
    signer: Option<Arc<IdentityFiles>>,
    /// The coordinator whose keys count for the coordinator's heads; `None`: all that are pinned.
    coordinator: Option<PartyName>,
    /// Badly signed heads of parties that come to serve.
    bad_signatures: Mutex<SignatureTally>,
    /// What revocation lists have taken back so far, as far as this process has looked.
    revocations: Mutex<Option<Arc<Revocations>>>,
}

impl AuditTrail {
    /// Opens the trail of `side`, or begins it, for the run `run`. It hears of the file `policy` if that is not the one of
    /// the last time.
    ///
    /// # Errors
    /// If the log cannot be read or written, was changed, or is another side's; if the policy file cannot be read.
    pub fn open(
        config: &AuditConfig,
        side: Side,
        run: &RunId,
        policy: Option<&Path>,
    ) -> Result<Self, AuditError> {
        let log = match config.enabled {
            true => Some(Mutex::new(AuditLog::open(&config.log(), &side)?)),
            false => None,
        };
        let (folder, revocations) = (config.folder().to_path_buf(), Mutex::default());
        let (run, bad_signatures) = (run.clone(), Mutex::new(SignatureTally::of_bad_signatures()));
        let trail =
            Self { side, run, folder, log, signer: None, coordinator: None, bad_signatures, revocations };
        trail.note_policy(policy)?;
        Ok(trail)
    }

    /// The same with an identity, if there is one, whose key signs heads and receipts, and whose pins hold for peers' heads. The
    /// trail hears which revocation lists and pins count there, if they are not those of the last time.
    #[must_use]
    pub fn signed_by(self, signer: Option<Arc<IdentityFiles>>) -> Self {
        let trail = Self { signer, ..self };
        trail.note_revocations();
        trail.note_pins();
        trail
    }

    /// The same where this side has named its coordinator: keys that are pinned of another one do not count for its heads.
    #[must_use]
    pub fn coordinated_by(self, coordinator: Option<PartyName>) -> Self {
        Self { coordinator, ..self }
    }

    fn log(&self) -> Option<MutexGuard<'_, AuditLog>> {
        self.log.as_ref().map(lock)
    }

    /// Writes down what happened, durably, before this returns.
    ///
    /// # Errors
    /// If it cannot be written, or somebody changed the log.
    pub fn note(&self, event: AuditEvent) -> Result<(), AuditError> {
        match self.log() {
            Some(mut log) => log.append(Some(&self.run), &event, SystemTime::now()).map(drop),
            None => Ok(()),
        }
    }

    /// The same where a failure ends nothing: it is said in the log for people.
    pub fn note_or_complain(&self, event: AuditEvent) {
        if let Err(failed) = self.note(event) {
            error!("{failed}");
        }
    }

    /// Writes down what has been counted for a minute instead of getting an entry each: what is due at the time `now`, or,
    /// without one, all of it.
    pub fn note_counted_heads(&self, now: Option<Instant>) {
        let mut tally = self.bad_signatures();
        let events = match now {
            Some(now) => tally.due(now),
            None => tally.rest(),
        };
        drop(tally);
        events.into_iter().for_each(|event| self.note_or_complain(event));
    }

    fn bad_signatures(&self) -> MutexGuard<'_, SignatureTally> {
        // Counts are whole after each change.
        self.bad_signatures.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Writes down what the ledger beside the trail counts in all, unless it is what it was.
    pub fn note_counted(&self, counted: LedgerTotals) {
        if self.log().is_some_and(|log| log.counted() != counted) {
            let LedgerTotals { items, bits } = counted;
            self.note_or_complain(AuditEvent::Counted { items, bits });
        }
    }

    /// Whether the ledger at `path`, which counts so much in all, is no older one than the trail knows.
    ///
    /// # Errors
    /// If it counts less than at the last entry about that.
    pub fn check_counted(&self, counted: LedgerTotals, path: &Path) -> Result<(), AuditError> {
        self.log().map_or(Ok(()), |log| counted.check(log.counted(), path))
    }

    /// Looks at the revocation lists of this side's identity, and writes down which count if they are not those of the last entry
    /// about them: how many certificates they take back, and whose are new since this process has looked.
    pub fn note_revocations(&self) {
        let Some(signer) = &self.signer else { return };
        let now = signer.current().revocations();
        let mut seen = self.revocations.lock().unwrap_or_else(PoisonError::into_inner);
        if seen.as_ref() == Some(&now) {
            return;
        }
        let new = seen.as_ref().map_or_else(Vec::new, |before| now.since(before));
        *seen = Some(Arc::clone(&now));
        drop(seen);
        let Some(lists) = now.numbers() else { return };
        let is_known = self.log().is_some_and(|log| log.revocation_lists() == Some(lists.as_str()));
        if !is_known || !new.is_empty() {
            let revoked = now.count() as u64;
            self.note_or_complain(AuditEvent::RevocationsChanged { lists, revoked, new });
        }
    }

    /// Looks at the pins of this side's identity, and writes down which count if they are not those of the last entry about them.
    pub fn note_pins(&self) {
        let Some(signer) = &self.signer else { return };
        let trust = signer.current();
        let (pins_sha256, names) =
            (trust.pins().sha256().map(|digest| digest.to_string()), trust.pins().len() as u64);
        if self.log().is_some_and(|log| log.pins() != pins_sha256.as_deref()) {
            self.note_or_complain(AuditEvent::PinsChanged { pins_sha256, names });
        }
    }

    /// How the log of which `told` is the head now differs from the one of which this side has kept heads, if it does.
    ///
    /// # Errors
    /// If the file of its heads cannot be read.
    pub fn compare_head(&self, told: &AuditHead) -> Result<Option<OlderLog>, AuditError> {
        if self.log.is_none() {
            return Ok(None);
        }
        HeadBook::new(self.folder.join("heads")).compare(told)
    }

    /// Writes down which policy holds, if it is not the one of the last time.
    fn note_policy(&self, policy: Option<&Path>) -> Result<(), AuditError> {
        let Some(mut log) = self.log() else { return Ok(()) };
        let policy_sha256 = match policy.map(|path| (path, fs::read(path))) {
            None => None,
            Some((_, Ok(bytes))) => Some(Digest::of(&bytes).to_string()),
            // Whoever needs it will say what is missing.
            Some((_, Err(reason))) if reason.kind() == ErrorKind::NotFound => None,
            Some((path, Err(reason))) => return Err(AuditError::file("read the policy", path, reason)),
        };
        if log.policy() == policy_sha256.as_deref() {
            return Ok(());
        }
        log.append(Some(&self.run), &AuditEvent::PolicyChanged { policy_sha256 }, SystemTime::now()).map(drop)
    }

    /// The head of the log, as peers are told it; `None` without an audit trail.
    pub fn head(&self) -> Option<AuditHead> {
        let head = self.log()?.head();
        let Head { sequence, entry } = head;
        let signed = head.to_signed_bytes(&self.side, &self.run);
        let signature = self.signer.as_deref().map(|signer| signer.sign(&signed)).transpose();
        let signature = signature.unwrap_or_else(|failed| {
            error!("the head of the audit trail is sent unsigned: {failed}");
            None
        });
        let signature = signature.unwrap_or_default();
        let party = match &self.side {
            Side::Coordinator => None,
            Side::Party(name) => Some(name.clone()),
        };
        Some(AuditHead { party, sequence, entry, signature })
    }

    /// Keeps heads that sides of the run told, those of `parties` and the coordinator's; this side's own is passed over.
    ///
    /// # Errors
    /// If they cannot be written.
    pub fn keep_heads(
        &self,
        told: &[AuditHead],
        parties: &[PartyName],
        at: HeadMoment,
    ) -> Result<(), AuditError> {
        let Some(log) = &self.log else { return Ok(()) };
        let book = HeadBook::new(self.folder.join("heads"));
        for head in told {
            let side = Side::from(head.party.clone());
            if head.party.as_ref().is_some_and(|party| !parties.contains(party)) {
                warn!("ignored the head of an audit trail of {side}, which is not in the run");
                continue;
            }
            if side == self.side {
                continue;
            }
            let key = self.key_of(head, &side, at)?;
            // One at a time, so that none is lost that another thread or process keeps meanwhile.
            let kept = lock(log).locked(|_| book.keep(head, key, &self.run, at, SystemTime::now()))?;
            if let Some(found) = kept {
                warn!(
                    "{side} sent a head of its audit trail ({}) that contradicts an earlier one: its trail \
                     was truncated, changed or restarted. {} holds both heads: ask {side} why",
                    counted(found.sequence, "entry"),
                    book.path(&side).display()
                );
                self.note(AuditEvent::Contradiction { side: side.file_stem(), sequence: found.sequence })?;
            }
        }
        Ok(())
    }

    /// The same where a failure ends nothing: it is said in the log for people.
    pub fn keep_heads_or_complain(&self, told: &[AuditHead], parties: &[PartyName], at: HeadMoment) {
        if let Err(failed) = self.keep_heads(told, parties, at) {
            error!("heads of audit trails are not kept: {failed}");
        }
    }

    /// The key that signed a peer's head; `None` for a head that is not signed, or not by a key that counts. Where sides have
    /// identities, each signs its heads.
    fn key_of(
        &self,
        head: &AuditHead,
        side: &Side,
        at: HeadMoment,
    ) -> Result<Option<Fingerprint>, AuditError> {
        let Some(signer) = self.signer.as_deref() else { return Ok(None) };
        let text = Head { sequence: head.sequence, entry: head.entry }.to_signed_bytes(side, &self.run);
        let (role, name) = match side {
            Side::Coordinator => (Role::Coordinator, self.coordinator.as_ref()),
            Side::Party(name) => (Role::Party, Some(name)),
        };
        let failed = match signer.verify_of(role, name, &text, &head.signature) {
            Ok(key) => return Ok(Some(key)),
            Err(_) if head.signature.is_empty() => "it is not signed".to_string(),
            Err(failed) => failed.to_string(),
        };
        let sequence = head.sequence;
        let event = match at {
            // A run begins and ends once; whoever serves may come as often as it likes.
            HeadMoment::Begin | HeadMoment::Finish => {
                Some(AuditEvent::BadSignature { side: side.file_stem(), sequence, count: 1 })
            }
            HeadMoment::Serve => self.bad_signatures().count(side.clone(), sequence, Instant::now()),
        };
        if let Some(event) = event {
            warn!("the head of the audit trail of {side}: {failed}. It is stored as unsigned");
            self.note(event)?;
        }
        Ok(None)
    }

    /// Keeps a receipt for the erasure that the request with these bytes asked for, and writes it down; its file, which
    /// is `None` without an audit trail.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn erased(
        &self,
        request: &[u8],
        counts: BTreeMap<String, u64>,
    ) -> Result<Option<PathBuf>, AuditError> {
        if self.log.is_none() {
            return Ok(None);
        }
        let receipt = ErasureReceipt::new(&self.side, &self.run, request, counts.clone(), SystemTime::now())?;
        let receipt_sha256 = receipt.sha256().to_string();
        let path = receipt.keep(&self.folder.join("receipts"), self.signer.as_deref())?;
        self.note(AuditEvent::Erased { receipt_sha256, counts })?;
        Ok(Some(path))
    }
}

fn lock(log: &Mutex<AuditLog>) -> MutexGuard<'_, AuditLog> {
    // A log whose write failed mends itself with the next one.
    log.lock().unwrap_or_else(PoisonError::into_inner)
}
