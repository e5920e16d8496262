//! `party serve`: sends codes of the records that the coordinator asks for, as far as policy and ledger allow, until it is
//! told to stop. If the coordinator goes away, the party dials again.

mod connection;
pub(crate) mod revision;

use std::collections::HashSet;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use hashvfl_audit::{AuditEvent, AuditTrail, ReleaseTotals, Service};
use hashvfl_cli::{OnInterruption, at_run};
use hashvfl_core::codes::randomised_response::RequestPlace;
use hashvfl_core::limits::CODES_ROWS;
use hashvfl_core::protocol::serving_party::{
    FromServingParty, Serving, ServingPartyError, ServingPartySession, ServingWork, granted,
};
use hashvfl_core::records::RecordsDigest;
use hashvfl_core::text::counted;
use hashvfl_core::{Digest, PackedCodes, RunRow};
use hashvfl_data::Faulty;
use hashvfl_files::encryption::check_place;
use hashvfl_learning::Snapshot;
use hashvfl_ledger::{Refused, RowBlock};
use hashvfl_monitor::{Board, ProcessPhase};
use hashvfl_traces::{Phases, spans};
use hashvfl_transport::backoff::Backoff;
use hashvfl_transport::dial::DialError;
use hashvfl_transport::limits::quiet::QuietLog;
use hashvfl_transport::runtime::NetworkRuntime;
use hashvfl_transport::stop::Stop;
use rand::TryRng;
use tokio::runtime::Runtime;
use tracing::{debug, info, info_span, warn};

use self::connection::{Received, ServingConnection};
use crate::answer::ReleasedAnswer;
use crate::config::PartyConfig;
use crate::connection::{dialer, hello};
use crate::detectors::AnomalyScorer;
use crate::farewell::for_coordinator;
use crate::leakage::{FrozenModel, KeptReleases};
use crate::noise::AskedRecords;
use crate::prepare::{Prepared, told_of_faulty};
use crate::progress::{LedgerLook, ProgressThrottle};
use crate::releases::ReleaseLedger;
use crate::state;

/// Longest wait until the coordinator has heard why this party leaves.
const FAREWELL: Duration = Duration::from_secs(2);
/// Shortest time between two entries of the audit trail about what was released.
const AUDIT_EVERY: Duration = Duration::from_secs(60);
/// Shortest and longest pause after another stream has taken this one's place: two processes of one name do not push each
/// other aside all the time.
const DISPLACED_PAUSE: [Duration; 2] = [Duration::from_secs(1), Duration::from_secs(60)];

/// How a stream ended.
enum Ended {
    /// The coordinator is gone; it may come back.
    Lost(String),
    /// The coordinator refuses for now.
    Displaced(String),
    /// Somebody asked this process to stop.
    Stopped,
}

/// Serves until it is stopped. `was_in`: the coordinator has let this party in before, and is waited for as one that was lost.
///
/// # Errors
/// If model, columns or policy do not allow it, or the coordinator refuses or breaks the protocol.
pub fn serve(config: &PartyConfig, was_in: bool) -> anyhow::Result<()> {
    let span = info_span!("party", run = %config.run_id, party = %config.name);
    let _entered = span.enter();
    at_run(config.name.as_str(), config.run_id.as_str());
    check_place(&config.state, &[])?;
    let board = config.board()?.with_progress_line();
    let model = config.read_model()?;
    let prepared = Prepared::load_served(config, &model)?;
    let scorer = AnomalyScorer::load(config.detectors.as_ref(), &config.detectors_path(), &prepared)?;
    let mut releases = ReleaseLedger::open_to_serve(config, &prepared, scorer.as_ref())?;
    if releases.policy().limits_leakage() {
        let trained = Prepared::load_trained(config, &model);
        let trained = trained.context("the table of the training, by which codes are checked")?;
        let frozen = FrozenModel { trained: &trained, scorer: scorer.as_ref() };
        check_codes(config, &model, &frozen, &prepared, &mut releases)?;
    }
    let audit = releases.audit_trail(config)?;
    let (encoder, revision) = (prepared.digest(), revision::current(config, &prepared, scorer.as_ref())?);
    info!(encoder = encoder.short(), "serving {}", prepared.describe());
    info!("read: {}", prepared.reading(&config.served())?);
    if let Some(told) = told_of_faulty(config, &prepared.noted, prepared.ids.len()) {
        warn!("{told}");
    }
    if let Some(scorer) = &scorer {
        let bits = counted(scorer.grid().bits(), "bit");
        info!("each code is sent with {bits} from this party's detectors");
    }
    // One thread for the network; this one computes.
    let runtime = NetworkRuntime::on_a_thread()?;
    let stop = Stop::listen();
    let mut process = [0; 32];
    rand::rngs::SysRng.try_fill_bytes(&mut process).context("cannot draw from the operating system")?;
    let mut server = Server {
        config,
        prepared,
        scorer,
        releases,
        encoder,
        revision,
        process,
        was_in,
        contact: Instant::now(),
        is_in: None,
        answered: 0,
        served: Served::default(),
        audit,
        board,
        look: LedgerLook::default(),
        refusals: QuietLog::new(),
    };
    server.look.show(&server.releases, &server.board, true);
    let ended = server.serve_until_stopped(&runtime, &stop);
    server.tell_audit();
    server.settle()?;
    ended
}

/// Holds the codes that are to be served, and the p-values beside them, to the policy: one of each record, and where records of the
/// run are among those that are `served`, all that left of these in training too.
fn check_codes(
    config: &PartyConfig,
    model: &Snapshot,
    frozen: &FrozenModel<'_>,
    served: &Prepared,
    releases: &mut ReleaseLedger,
) -> anyhow::Result<()> {
    let what = if frozen.scorer.is_some() { "codes and p-values to be served" } else { "codes to be served" };
    frozen.check(what, releases)?;
    let Some(kept) = KeptReleases::of_model(config, model, releases)? else { return Ok(()) };
    let records = state::read_records(config)?;
    let asked: HashSet<RunRow> = served.ids.iter().filter_map(|id| records.row(id)).collect();
    kept.check(frozen, &records, &asked, config, releases)
}

struct Server<'a> {
    config: &'a PartyConfig,
    prepared: Prepared,
    scorer: Option<AnomalyScorer>,
    releases: ReleaseLedger,
    encoder: Digest,
    revision: Digest,
    /// Drawn anew by each process, so that no two processes flip bits alike.
    process: [u8; 32],
    /// Whether the coordinator has let this party in.
    was_in: bool,
    /// When the coordinator had this party in last, or told it to try again; at first when it began to wait for that.
    contact: Instant,
    /// Since when it is in; none where it is not.
    is_in: Option<Instant>,
    /// Answers so far, over all streams.
    answered: u64,
    served: Served,
    audit: AuditTrail,
    board: Board,
    look: LedgerLook,
    /// Lines about requests that the policy refuses: a coordinator may send as many as it likes.
    refusals: QuietLog,
}

/// What was served since the start.
#[derive(Default)]
struct Served {
    requests: u64,
    records: u64,
    progress: ProgressThrottle,
    /// Since the audit trail was told: records whose codes were sent, and records that were refused.
    untold: [u64; 2],
    told: Option<Instant>,
}

impl Served {
    /// Counts a request, and says now and then how many there were.
    fn count(&mut self, records: usize, refused: usize) {
        self.requests += 1;
        self.untold = [self.untold[0] + records as u64, self.untold[1] + refused as u64];
        self.records += records as u64;
        if self.progress.is_due(Instant::now()) {
            let (requests, records) = (counted(self.requests, "request"), counted(self.records, "record"));
            info!("{requests} so far, codes of {records} sent");
        }
    }
}

/// Rows of a request that get no code.
struct WithheldRows {
    /// Their positions in the request, ascending.
    positions: Vec<u32>,
    /// Why, for a person.
    reason: String,
}

impl Server<'_> {
    /// How long the coordinator is waited for, in seconds: when it has been there, as long as for a run that was interrupted.
    fn patience_s(&self) -> u64 {
        let (timeouts, waits) = (&self.config.timeouts, self.config.on_interruption == OnInterruption::Wait);
        if waits && self.was_in { timeouts.start_s.max(timeouts.connect_s) } else { timeouts.connect_s }
    }

    /// Stream after stream, since a coordinator that goes away may come back. What is in its place meanwhile, and lets nobody in,
    /// is borne with as long as nobody there.
    fn serve_until_stopped(&mut self, runtime: &Runtime, stop: &Stop) -> anyhow::Result<()> {
        let (mut displaced, mut backoff) = (DISPLACED_PAUSE[0], Backoff::default());
        let address = &self.config.coordinator;
        loop {
            let ended = self.serve_stream(runtime, stop.clone())?;
            if let Some(since) = self.is_in.take() {
                self.contact = Instant::now();
                backoff = Backoff::default();
                if since.elapsed() > DISPLACED_PAUSE[1] {
                    displaced = DISPLACED_PAUSE[0];
                }
            }
            let pause = match ended {
                Ended::Stopped => return Ok(()),
                Ended::Displaced(reason) => {
                    warn!("{reason}: reconnecting to {address} in {displaced:?}");
                    self.contact = Instant::now();
                    self.releases.settle()?;
                    let pause = displaced;
                    displaced = (displaced * 2).min(DISPLACED_PAUSE[1]);
                    pause
                }
                Ended::Lost(reason) => {
                    let limit_s = self.patience_s();
                    ensure!(
                        self.contact.elapsed() < Duration::from_secs(limit_s),
                        "{reason}; {address} has not accepted this party for {limit_s} s (limits are in the config's \
                         [timeouts] table): is `coordinator serve` running there?"
                    );
                    warn!("{reason}: reconnecting to {address}");
                    self.tell_audit();
                    // Digests of what was sent outlast this process, should it die while it waits.
                    self.settle()?;
                    backoff.pause()
                }
            };
            let mut stop = stop.clone();
            if runtime.block_on(async { tokio::time::timeout(pause, stop.stopped()).await.is_ok() }) {
                return Ok(());
            }
        }
    }

    /// One stream from its handshake to its end.
    fn serve_stream(&mut self, runtime: &Runtime, mut stop: Stop) -> anyhow::Result<Ended> {
        self.board.set_ready(false);
        self.board.status().phase = ProcessPhase::Waiting;
        // What is left of it, however often somebody has taken a connection and let nobody in meanwhile.
        let left_s = self.patience_s().saturating_sub(self.contact.elapsed().as_secs()).max(1);
        let dialer = dialer(self.config)?.waiting(left_s).returning(self.was_in);
        let dialled = runtime.block_on(async {
            tokio::select! {
                stream = dialer.serving(FromServingParty::Hello(hello(self.config))) => Some(stream),
                () = stop.stopped() => None,
            }
        });
        let stream = match dialled {
            Some(Ok(stream)) => stream,
            Some(Err(DialError::Broken { reason, .. } | DialError::Absent { cause: reason, .. })) => {
                return Ok(Ended::Lost(reason));
            }
            Some(Err(error)) => return Err(error.into()),
            None => return Ok(Ended::Stopped),
        };
        let mut connection =
            ServingConnection { runtime, stream, limit_s: self.config.timeouts.step_s, stop };
        let mut session = ServingPartySession::new(self.prepared.ids.len());
        let ended = match self.answer(&mut session, &mut connection) {
            Err(error) if matches!(error.downcast_ref(), Some(ServingPartyError::TryAgain(_))) => {
                runtime.block_on(connection.stream.close(FAREWELL));
                return Ok(Ended::Displaced(format!("{error:#}")));
            }
            ended => ended,
        };
        if let Err(error) = ended.as_ref()
            && !matches!(error.downcast_ref(), Some(ServingPartyError::Refused(_)))
        {
            // The coordinator is told why; it may be gone, though.
            let _ = connection.send(FromServingParty::Failed { text: for_coordinator(error) });
            runtime.block_on(connection.stream.close(FAREWELL));
        }
        ended
    }

    fn answer(
        &mut self,
        session: &mut ServingPartySession,
        connection: &mut ServingConnection<'_>,
    ) -> anyhow::Result<Ended> {
        loop {
            let message = match connection.receive(session.joined(), self.look.behind())? {
                Received::Message(message) => message,
                Received::Nothing => {
                    self.look.show(&self.releases, &self.board, true);
                    continue;
                }
                Received::Ended(ended) => return Ok(ended),
            };
            match session.receive(message)? {
                ServingWork::SayServing(salt) => {
                    let ids = self.prepared.ids.iter().map(String::as_str);
                    let records = RecordsDigest::of(&salt, ids);
                    let (encoder, revision) = (self.encoder, self.revision);
                    let p_values = self.scorer.as_ref().map(AnomalyScorer::grid);
                    let head = self.audit.head();
                    let serving = Serving { records, encoder, revision, p_values, head };
                    connection.send(FromServingParty::Serving(serving))?;
                }
                ServingWork::Joined => {
                    info!("accepted; waiting for requests");
                    (self.was_in, self.is_in) = (true, Some(Instant::now()));
                    self.board.status().phase = ProcessPhase::Serving;
                    self.board.set_ready(true);
                    let (party, service) = (self.config.name.clone(), Service::Serving);
                    self.audit.note(AuditEvent::Joined { party, service })?;
                }
                ServingWork::Encode { request, rows } => {
                    debug!(request, records = rows.len(), "request");
                    let answered = self.encode(request, rows, connection);
                    if !answered.with_context(|| format!("request {request}"))? {
                        let left = Ended::Lost("the coordinator has left".into());
                        return Ok(if connection.stop.is_asked() { Ended::Stopped } else { left });
                    }
                }
            }
        }
    }

    /// Answers a request; false if the coordinator has gone, or this process was asked to end before all is encoded: what was reserved
    /// and not sent is given back then.
    fn encode(
        &mut self,
        request: u64,
        mut rows: Vec<u32>,
        connection: &mut ServingConnection<'_>,
    ) -> anyhow::Result<bool> {
        let (run, party) = (self.config.run_id.as_str(), self.config.name.as_str());
        let mut traced = Phases::default();
        traced.begin(spans::codes_request(run, party, request, rows.len()));
        traced.phase("ledger");
        let WithheldRows { positions, reason } = self.refuse(request, &rows)?;
        let refused = positions.len();
        rows.retain(granted(&positions));
        if !rows.is_empty() {
            self.releases.reserve(&rows, RowBlock::once(&rows))?;
        }
        if !connection.send(FromServingParty::Granted { request, refused: positions, reason })? {
            return Ok(false);
        }
        traced.phase("encode");
        let mut sent = 0;
        for rows in rows.chunks(CODES_ROWS) {
            if sent > 0 && connection.stop.is_asked() {
                break;
            }
            self.answered += 1;
            let place = RequestPlace::Serving { process: &self.process, draw: self.answered };
            let asked = AskedRecords { place, rows };
            let ReleasedAnswer { codes, p_values } =
                self.releases.answer(&self.prepared, &asked, self.scorer.as_ref())?;
            self.board.look_at_codes(self.config.name.as_str(), &codes);
            let p_values = p_values.map(PackedCodes::into_bytes).unwrap_or_default();
            if !connection.send(FromServingParty::Codes { request, bytes: codes.into_bytes(), p_values })? {
                break;
            }
            sent += rows.len();
        }
        traced.end();
        self.served.count(sent, refused);
        let mut status = self.board.status();
        status.released.codes += sent as u64;
        status.released.bits += (sent * (self.config.code_form().bits() + self.config.p_value_bits())) as u64;
        status.released.refused += refused as u64;
        status.count_request("EncodeRows");
        drop(status);
        self.look.show(&self.releases, &self.board, false);
        if self.served.told.is_none_or(|told| told.elapsed() >= AUDIT_EVERY) {
            self.tell_audit();
        }
        Ok(sent == rows.len())
    }

    /// Gives back what was reserved and not sent, and writes down what the ledger counts.
    fn settle(&mut self) -> anyhow::Result<()> {
        self.releases.settle()?;
        self.audit.note_counted(self.releases.counted());
        Ok(())
    }

    /// Writes down what was released since the last time.
    fn tell_audit(&mut self) {
        let [records, withheld] = std::mem::take(&mut self.served.untold);
        self.served.told = Some(Instant::now());
        if records + withheld == 0 {
            return;
        }
        let bits = self.config.code_form().bits() + self.config.p_value_bits();
        self.audit.note_or_complain(AuditEvent::Released(ReleaseTotals {
            from: self.config.name.to_string(),
            to: "coordinator".to_string(),
            what: "codes".to_string(),
            records,
            bits: records * bits as u64,
            withheld,
        }));
    }

    /// Those of `rows` that get no code: by the policy, or for what their columns hold, which was told at the start.
    fn refuse(&self, request: u64, rows: &[u32]) -> anyhow::Result<WithheldRows> {
        let refuses = self.config.faulty_served() == Faulty::Mark;
        let (mut faulty, mut usable) = (Vec::new(), Vec::new());
        for (position, row) in (0..).zip(rows) {
            match self.prepared.noted.faulty.binary_search(row) {
                Ok(_) if refuses => faulty.push(position),
                Ok(_) | Err(_) => usable.push(position),
            }
        }
        let asked: Vec<u32> = usable.iter().map(|position: &u32| rows[*position as usize]).collect();
        // Nothing asked for is no batch that could be too small.
        let refused = match asked.as_slice() {
            [] => Refused::default(),
            asked => self.releases.refused(&self.prepared, asked)?,
        };
        let unusable = (!faulty.is_empty()).then(|| {
            format!(
                "{} with a cell that is missing, unseen in training, or not a value of its column, or with an id that repeats",
                counted(faulty.len(), "record")
            )
        });
        let by_policy = refused.refusal.map(|refusal| refusal.to_string());
        if let Some(reason) = &by_policy
            && let Some(more) = self.refusals.next_line(Instant::now())
        {
            warn!(request, "{reason}{more}");
        }
        let reasons: Vec<String> = by_policy.into_iter().chain(unusable).collect();
        let refused = refused.positions.iter().map(|at| usable[*at as usize]);
        let mut positions: Vec<u32> = refused.chain(faulty).collect();
        positions.sort_unstable();
        Ok(WithheldRows { positions, reason: reasons.join("; ") })
    }
}
