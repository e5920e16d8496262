//! Who joined and who was refused, in the log, the audit trail and the status: the same in training, serving and alignment, by a
//! certificate and by what somebody has said.

use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Instant, SystemTime};

use hashvfl_audit::{AuditTrail, HeadMoment, JoinTally, OlderLog, RefusalTally, Refusee, Service};
use hashvfl_core::PartyName;
use hashvfl_core::protocol::message::AuditHead;
use hashvfl_identity::{Identity, Role};
use hashvfl_monitor::{Board, REFUSALS, now_s};
use hashvfl_transport::handshake::HandshakeError;
use hashvfl_transport::limits::connections::ConnectedPeer;
use hashvfl_transport::limits::gate::PortAccount;
use hashvfl_transport::limits::quiet::{QuietLog, QuietLogs};
use tracing::error;

use crate::permissions::{Joins, NotLetIn};
use crate::training::awaited::{Absence, Absences};

/// Writes down who joined a service of this coordinator, and who was refused there. What was counted and not written yet
/// is written within a minute ([`PortAccount::look`]), or when it is dropped.
pub struct AdmissionLog {
    audit: Arc<AuditTrail>,
    service: Service,
    parties: Vec<PartyName>,
    refusals: Mutex<RefusalTally>,
    joins: Mutex<JoinTally>,
    lines: QuietLog,
    /// Lines about what fails on this side, as often as peers ask for it.
    failures: QuietLog,
    /// Lines about those who are let in, by name.
    party_lines: QuietLogs,
    board: Arc<Board>,
    /// How often each may be let in; `None`: whoever lets them in counts.
    rates: Option<Joins>,
    /// Where those who wait for parties hear of one that is refused by its certificate.
    absences: OnceLock<Arc<Absences>>,
}

impl AdmissionLog {
    /// Of `service`, which `parties` may join: those of the run, or the holders of an alignment.
    pub fn new(audit: Arc<AuditTrail>, service: Service, parties: Vec<PartyName>, board: Arc<Board>) -> Self {
        let refusals = Mutex::new(RefusalTally::of_refusals());
        let joins = Mutex::new(JoinTally::of_joins());
        let (lines, failures, party_lines) = (QuietLog::new(), QuietLog::new(), QuietLogs::default());
        let (rates, absences) = (None, OnceLock::new());
        Self {
            audit,
            service,
            parties,
            refusals,
            joins,
            lines,
            failures,
            party_lines,
            board,
            rates,
            absences,
        }
    }

    /// The same where parties are let in no more often than `rates` says.
    #[must_use]
    pub fn limited(mut self, rates: Joins) -> Self {
        self.rates = Some(rates);
        self
    }

    /// Where it writes.
    pub fn audit(&self) -> Arc<AuditTrail> {
        Arc::clone(&self.audit)
    }

    /// Counts, durably, that `party` is let in.
    ///
    /// # Errors
    /// If it may not, has been so too often, or nobody can count.
    pub fn count_entry(&self, party: &PartyName) -> Result<(), NotLetIn> {
        self.rates.as_ref().map_or(Ok(()), |rates| rates.take(party, SystemTime::now()))
    }

    /// Tells `absences` of each party that is refused by its certificate from now on.
    pub fn tell(&self, absences: Arc<Absences>) {
        // Who was told first is told on.
        let _ = self.absences.set(absences);
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
                self.complain(&failed.to_string());
                Err(HandshakeError::Failed(
                    "the coordinator cannot read the audit heads it keeps: see the coordinator's log".into(),
                ))
            }
        }
    }

    /// Keeps the `head` of the audit log of `party`, which has come to serve.
    pub fn keep_head(&self, party: &PartyName, head: &AuditHead) {
        self.audit.keep_heads_or_complain(&[owned(party, head)], &self.parties, HeadMoment::Serve);
    }

    /// Writes down that `party` joins, durably, before it hears so. One that joins again within a minute is counted, and told
    /// with those after it.
    ///
    /// # Errors
    /// If that cannot be written: nobody is let in then.
    pub fn joins(&self, party: &PartyName) -> Result<(), HandshakeError> {
        let mut joins = self.join_tally();
        let Some(event) = joins.count(party.clone(), self.service, Instant::now()) else { return Ok(()) };
        // Until it is written, so that no other stream of the party is let in on the strength of this entry.
        self.audit.note(event).map_err(|failed| {
            joins.forget(party);
            self.complain(&format!("no party can join: {failed}"));
            HandshakeError::Failed(
                "the coordinator cannot write its audit trail: see the coordinator's log".into(),
            )
        })
    }

    /// Whether a log line about the accepted `party` may be written now; returns what to append to it.
    pub fn may_write(&self, party: &PartyName) -> Option<String> {
        self.party_lines.may_write(party.as_str(), Instant::now())
    }

    /// Says that something has failed on this side, which a peer had asked for.
    pub fn complain(&self, failed: &str) {
        if let Some(more) = self.failures.next_line(Instant::now()) {
            error!("{failed}{more}");
        }
    }

    fn join_tally(&self) -> MutexGuard<'_, JoinTally> {
        // Counts are whole after each change.
        self.joins.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn refusal_tally(&self) -> MutexGuard<'_, RefusalTally> {
        // As above.
        self.refusals.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Writes down what has been counted for a minute.
    fn tell_due(&self, now: Instant) {
        let mut events = self.refusal_tally().due(now);
        events.extend(self.join_tally().due(now));
        events.into_iter().for_each(|event| self.audit.note_or_complain(event));
        self.audit.note_counted_heads(Some(now));
    }

    /// Warns of a refusal, of which `error` tells a person and `why` the audit trail, and writes it down unless there was
    /// another like it just before; it is then counted in the next entry. A name that is none of the run's parties is not
    /// written.
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
        debug_assert!(
            REFUSALS.contains(&why),
            "{why} is not among the reasons that metrics tell from the start"
        );
        *self.board.status().refusals.entry(why.to_string()).or_default() += 1;
        let due = self.refusal_tally().count((whom, why), self.service, Instant::now());
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
                if let Some(absences) = self.absences.get() {
                    // Whoever shows a certificate that does not count has not shown its key.
                    let why = format!("was refused (or someone who uses its certificate was): {why}");
                    absences.tell(Absence { party: name.clone(), why, gave_up: None });
                }
                Refusee::Party(name.clone())
            }
            Some(other) => Refusee::Certified(other.clone()),
        };
        self.count(whom, why);
    }

    fn look(&self) {
        self.audit.note_revocations();
        self.audit.note_pins();
        self.tell_due(Instant::now());
    }
}

/// `head` as one of `party`: its owner is who sent it.
fn owned(party: &PartyName, head: &AuditHead) -> AuditHead {
    AuditHead { party: Some(party.clone()), ..head.clone() }
}

/// Shows where `party` is, and until when its certificate counts.
pub fn note_place(board: &Board, party: &PartyName, peer: Option<&ConnectedPeer>) {
    let mut status = board.status();
    let entry = status.party(party);
    entry.heard_s = Some(now_s());
    if let Some(ConnectedPeer { address, identity }) = peer {
        entry.address = Some(address.to_string());
        entry.certificate_end_s = identity.as_ref().map(|identity| identity.not_after_s);
    }
}

/// Shows that `party` is back on another connection.
pub fn note_return(board: &Board, party: &PartyName, peer: Option<&ConnectedPeer>) {
    note_place(board, party, peer);
    let mut status = board.status();
    let entry = status.party(party);
    entry.connected = true;
    entry.returns += 1;
}

impl Drop for AdmissionLog {
    fn drop(&mut self) {
        let mut events = self.refusal_tally().rest();
        events.extend(self.join_tally().rest());
        events.into_iter().for_each(|event| self.audit.note_or_complain(event));
        self.audit.note_counted_heads(None);
    }
}

#[cfg(test)]
mod tests {
    use std::fs::OpenOptions;
    use std::io::Write;
    use std::path::{Path, PathBuf};
    use std::time::Duration;

    use hashvfl_audit::{AuditConfig, LogChain, Side};
    use hashvfl_core::RunId;
    use hashvfl_monitor::{BoardConfig, Status};

    use super::*;

    fn bank() -> PartyName {
        PartyName::new("bank").unwrap()
    }

    /// An account of those who join serving, kept in `folder`, and the log in which it is.
    fn account(folder: &Path) -> (AdmissionLog, PathBuf) {
        let mut config = AuditConfig::default();
        config.resolve(folder, &folder.join("ledger.redb"), &folder.join("state")).unwrap();
        let run = RunId::new("spring").unwrap();
        let audit = Arc::new(AuditTrail::open(&config, Side::Coordinator, &run, None).unwrap());
        let status = Status::new("coordinator", run);
        let board = Arc::new(Board::open(BoardConfig::default(), status).unwrap());
        (AdmissionLog::new(audit, Service::Serving, vec![bank()], board), config.log())
    }

    fn told(log: &Path) -> Vec<String> {
        LogChain::read(log).unwrap().entries.iter().skip(1).map(hashvfl_audit::LogEntry::describe).collect()
    }

    #[test]
    fn what_was_counted_is_written_within_a_minute_also_where_nothing_follows() {
        let place = tempfile::tempdir().unwrap();
        let (account, log) = account(place.path());
        for _ in 0..3 {
            account.refused(Some(&bank()), "other-records", "test");
            account.joins(&bank()).unwrap();
        }
        let first = ["bank refused from serving: other-records", "bank joined serving"];
        account.look();
        assert_eq!(told(&log), first);
        account.tell_due(Instant::now() + Duration::from_secs(60));
        let second = ["bank refused from serving 2 times: other-records", "bank joined serving 2 times more"];
        assert_eq!(told(&log), [first, second].concat());
    }

    #[test]
    fn nobody_is_let_in_without_an_entry() {
        let place = tempfile::tempdir().unwrap();
        let (account, log) = account(place.path());
        OpenOptions::new().append(true).open(&log).unwrap().write_all(b"no entry\n").unwrap();
        for _ in 0..2 {
            let refused = account.joins(&bank()).unwrap_err();
            assert_eq!(refused.reason(), "this-side-failed");
            assert!(refused.to_string().contains("cannot write its audit trail"), "{refused}");
            assert!(refused.is_for_now(), "it waits until that can be written");
        }
    }
}
