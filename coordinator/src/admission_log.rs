//! Who joined and who was refused, in the log, the audit trail and the status: the same in training and serving.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use hashvfl_audit::{AuditEvent, AuditTrail, RefusalTally, Service};
use hashvfl_core::PartyName;
use hashvfl_monitor::{Board, now_s};
use hashvfl_transport::limits::connections::Peer;
use hashvfl_transport::limits::quiet::QuietLog;

/// Writes down who joined a service of this coordinator, and who was refused there. Refusals that were counted and not
/// written yet are written when it is dropped.
pub struct AdmissionLog {
    audit: Arc<AuditTrail>,
    service: Service,
    parties: Vec<PartyName>,
    refusals: Mutex<RefusalTally>,
    lines: QuietLog,
    board: Arc<Board>,
}

impl AdmissionLog {
    /// Of `service`, which `parties` may join.
    pub fn new(audit: Arc<AuditTrail>, service: Service, parties: Vec<PartyName>, board: Arc<Board>) -> Self {
        let refusals = Mutex::new(RefusalTally::new(service));
        Self { audit, service, parties, refusals, lines: QuietLog::new(), board }
    }

    /// The audit trail.
    pub fn audit(&self) -> &AuditTrail {
        &self.audit
    }

    /// Writes down that `party` has joined from where `peer` is.
    pub fn joined(&self, party: &PartyName, peer: Option<&Peer>) {
        note_place(&self.board, party, peer);
        self.audit.note_or_complain(AuditEvent::Joined { party: party.clone(), service: self.service });
    }

    /// Warns of a refusal, of which `error` tells a person and `why` the audit trail, and writes it down unless there was
    /// another like it just before; it counts with the next one then. A name that is none of the run's parties is not written.
    pub fn refused(&self, party: Option<&PartyName>, why: &'static str, error: &str) {
        self.lines.warn(&format!("refused a party: {error}"));
        // Reasons are a closed set of words.
        *self.board.status().refusals.entry(why.to_string()).or_default() += 1;
        let party = party.filter(|party| self.parties.contains(party)).cloned();
        let mut refusals = self.refusals.lock().unwrap_or_else(PoisonError::into_inner);
        let due = refusals.count(party, why, Instant::now());
        drop(refusals);
        if let Some(event) = due {
            self.audit.note_or_complain(event);
        }
    }
}

/// Shows where `party` is, and until when its certificate counts.
pub fn note_place(board: &Board, party: &PartyName, peer: Option<&Peer>) {
    let mut status = board.status();
    let entry = status.party(party);
    entry.heard_s = Some(now_s());
    if let Some(Peer { address, identity }) = peer {
        entry.address = Some(address.to_string());
        entry.certificate_end_s = identity.as_ref().map(|identity| identity.not_after_s);
    }
}

/// Shows that `party` is back on another connection, for that many times.
pub fn note_return(board: &Board, party: &PartyName, peer: Option<&Peer>, times: u64) {
    note_place(board, party, peer);
    let mut status = board.status();
    let entry = status.party(party);
    (entry.connected, entry.returns) = (true, times);
}

impl Drop for AdmissionLog {
    fn drop(&mut self) {
        for event in self.refusals.get_mut().unwrap_or_else(PoisonError::into_inner).rest() {
            self.audit.note_or_complain(event);
        }
    }
}
