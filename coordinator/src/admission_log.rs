//! Who joined and who was refused, in the log, the audit trail and the status: the same in training, serving and alignment, by a
//! certificate and by what somebody has said.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use hashvfl_audit::{AuditEvent, AuditTrail, Moment, OlderLog, RefusalTally, Refusee, Service};
use hashvfl_core::PartyName;
use hashvfl_core::protocol::message::AuditHead;
use hashvfl_identity::{Identity, Role};
use hashvfl_monitor::{Board, now_s};
use hashvfl_transport::handshake::HandshakeError;
use hashvfl_transport::limits::connections::Peer;
use hashvfl_transport::limits::gate::PortAccount;
use hashvfl_transport::limits::quiet::QuietLog;
use tracing::error;

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
    /// Of `service`, which `parties` may join: those of the run, or the holders of an alignment.
    pub fn new(audit: Arc<AuditTrail>, service: Service, parties: Vec<PartyName>, board: Arc<Board>) -> Self {
        let refusals = Mutex::new(RefusalTally::new(service));
        Self { audit, service, parties, refusals, lines: QuietLog::new(), board }
    }

    /// Whether `head` may be that of the audit log of `party`, of which this side has kept heads.
    ///
    /// # Errors
    /// If that log had more entries once, or others.
    pub fn check_head(&self, party: &PartyName, head: &AuditHead) -> Result<(), HandshakeError> {
        match self.audit.compare_head(&owned(party, head)) {
            Ok(None) => Ok(()),
            Ok(Some(OlderLog { kept, told })) => {
                Err(HandshakeError::OlderLog { party: party.clone(), kept, told })
            }
            Err(failed) => {
                error!("{failed}");
                Err(HandshakeError::Failed(
                    "the coordinator cannot read what it kept: its log says why".into(),
                ))
            }
        }
    }

    /// Keeps the `head` of the audit log of `party`, which has come to serve.
    pub fn keep_head(&self, party: &PartyName, head: &AuditHead) {
        if let Err(failed) = self.audit.keep_heads(&[owned(party, head)], &self.parties, Moment::Serve) {
            error!("the head of the audit log of {party} is not kept: {failed}");
        }
    }

    /// Writes down that `party` has joined from where `peer` is.
    pub fn joined(&self, party: &PartyName, peer: Option<&Peer>) {
        note_place(&self.board, party, peer);
        self.audit.note_or_complain(AuditEvent::Joined { party: party.clone(), service: self.service });
    }

    /// Warns of a refusal, of which `error` tells a person and `why` the audit trail, and writes it down unless there was
    /// another like it just before; it counts with the next one then. A name that is none of the run's parties is not written.
    pub fn refused(&self, party: Option<&PartyName>, why: &'static str, error: &str) {
        let whom = if self.service == Service::Alignment { "holder" } else { "party" };
        self.lines.warn(&format!("refused a {whom}: {error}"));
        let party = party.filter(|party| self.parties.contains(party));
        self.count(party.map_or(Refusee::Stranger, |party| Refusee::Party(party.clone())), why);
    }

    /// The same of a client, whom its certificate names.
    pub fn refused_client(&self, client: &PartyName, why: &'static str, error: &str) {
        self.lines.warn(&format!("refused a client: {error}"));
        self.count(Refusee::Certified(Identity::new(Role::Client, client.clone())), why);
    }

    fn count(&self, whom: Refusee, why: &'static str) {
        // Reasons are a closed set of words.
        *self.board.status().refusals.entry(why.to_string()).or_default() += 1;
        let mut refusals = self.refusals.lock().unwrap_or_else(PoisonError::into_inner);
        let due = refusals.count(whom, why, Instant::now());
        drop(refusals);
        if let Some(event) = due {
            self.audit.note_or_complain(event);
        }
    }
}

impl PortAccount for AdmissionLog {
    fn turned_away(&self, who: Option<&Identity>, why: &'static str) {
        let whom = match who {
            None => Refusee::Stranger,
            Some(Identity { role: Role::Party, name }) if self.parties.contains(name) => {
                Refusee::Party(name.clone())
            }
            Some(other) => Refusee::Certified(other.clone()),
        };
        self.count(whom, why);
    }

    fn look(&self) {
        self.audit.note_revocations();
    }
}

/// `head` as one of `party`: its owner is who sent it.
fn owned(party: &PartyName, head: &AuditHead) -> AuditHead {
    AuditHead { party: Some(party.clone()), ..head.clone() }
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
