//! From record ids to predictions.
//!
//! ```text
//! ids -> rows -> codes of each party that are not known yet -> its connection -> known codes
//!          `-> rows whose codes are known (or may be missing) -> top model -> answer
//! ```

use std::collections::HashSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::time::{Duration, Instant};

use anyhow::ensure;
use futures_util::future::join_all;
use hashvfl_audit::{AuditTrail, PredictionTally, Service};
use hashvfl_core::text::counted;
use hashvfl_core::{CodeForm, PackedCodes, PartyName, ServedRow};
use hashvfl_data::written_otherwise;
use hashvfl_learning::top::predictor::OutputKind;
use hashvfl_learning::{Predictor, device, threads};
use hashvfl_monitor::now_s;
use hashvfl_traces::{Phases, spans};
use hashvfl_transport::handshake::Turns;
use tracing::{Span, info, warn};

use super::answer::{ComputeError, PredictionAnswer, PredictionOutcome};
use super::index::RecordIndex;
use super::known_codes::KnownCodes;
use super::party_connection::{CodeResponse, PartyConnection, PartyTimeouts};
use crate::admission_log::AdmissionLog;
use crate::config::{CoordinatorConfig, OnAbsentParty};
use crate::detectors::{AnomalyScorer, Predicted, RequestFlags, SentPValues};
use crate::label_ledger::PredictionLedger;
use crate::permissions::{self, Joins, PartyAction, Permissions};
use crate::progress::ProgressReporter;
use crate::state::StateFolder;
use crate::top_file::TopFile;
use crate::training::commit::Unacknowledged;

/// Requests of fewer ids are answered without a thread of their own.
const SMALL: usize = 256;
/// Unknown ids of a request that are tried in other ways of writing.
const TRIED: usize = 100;

/// A party, there or away.
pub struct Party {
    /// Its name.
    pub name: PartyName,
    /// The way to it.
    pub connection: PartyConnection,
    known: RwLock<KnownCodes>,
}

impl Party {
    /// A party that is away.
    pub fn away(name: PartyName, known: KnownCodes) -> Self {
        Self { name, connection: PartyConnection::closed(), known: RwLock::new(known) }
    }

    /// Its known codes, to change.
    pub fn known(&self) -> RwLockWriteGuard<'_, KnownCodes> {
        // Tables are whole after each call, also one that panicked.
        self.known.write().unwrap_or_else(PoisonError::into_inner)
    }

    fn read(&self) -> RwLockReadGuard<'_, KnownCodes> {
        self.known.read().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Everything that it takes to answer a request.
pub struct Engine {
    /// The config.
    pub config: CoordinatorConfig,
    /// The served records.
    pub index: RecordIndex,
    /// The top model's file, for its classes and encoders; `predictor` holds its weights.
    pub top: TopFile,
    /// The parties, in the settings' order.
    pub parties: Vec<Party>,
    /// Reports what happens.
    pub reporter: ProgressReporter,
    /// Detectors of abnormal inputs, where the run has them.
    pub scorer: Option<AnomalyScorer>,
    predictor: Mutex<Predictor>,
    ledger: Mutex<PredictionLedger>,
    meaning: OutputKind,
    /// Where it is written down who joined, and who was refused.
    pub admissions: Arc<AdmissionLog>,
    /// The same of parties that ask whether the run has finished.
    pub asked: Arc<AdmissionLog>,
    /// How often parties may come to serve.
    pub serves: Joins,
    /// Whose records are digested next.
    pub turns: Turns,
    /// Who may ask for what.
    pub permissions: Permissions,
    /// Parties that do not know yet that the run has finished.
    pub unacknowledged: Arc<Unacknowledged>,
    audit: Arc<AuditTrail>,
    predictions: Mutex<PredictionTally>,
}

/// Whether one of the first unknown ids is that of a served record in another way of writing; `row` finds records.
fn written_otherwise_in(
    ids: &[String],
    rows: &[Option<ServedRow>],
    row: impl Fn(&str) -> Option<ServedRow>,
) -> bool {
    let unknown = ids.iter().zip(rows).filter(|(id, found)| found.is_none() && row(id).is_none());
    let is_known = |id: &String| written_otherwise(id).iter().any(|id| row(id).is_some());
    unknown.take(TRIED).any(|(id, _)| is_known(id))
}

/// A request's ids as rows.
struct ResolvedIds {
    outcomes: Vec<PredictionOutcome>,
    /// The row of each id that has one and is no repetition.
    rows: Vec<Option<ServedRow>>,
    /// Those rows, ascending.
    sorted: Vec<ServedRow>,
    /// Whether an unknown id is one of a served record, written otherwise.
    otherwise: bool,
}

impl Engine {
    /// What a finished run left in its state folder, with the served records; all parties are away.
    ///
    /// # Errors
    /// If a file is missing or damaged, or the device cannot be opened.
    pub fn load(config: &CoordinatorConfig, json: bool) -> anyhow::Result<Self> {
        // First, so that whoever asks hears that it starts.
        let board = config.board()?.with_progress_line();
        let state = StateFolder::existing(&config.state);
        let top = TopFile::read(&state.top(), &config.run)?;
        let run = &config.run;
        ensure!(
            top.encoders.len() == run.parties.len(),
            "{} is damaged: it names {} bottom models for {} parties",
            state.top().display(),
            top.encoders.len(),
            run.parties.len()
        );
        let opened = device::open(config.device)?;
        // The top model is a small mlp, fastest on one thread.
        threads::limit(1);
        let predictor = Predictor::load(&top.model, run.code_forms().collect(), &opened.device)?;
        let index = RecordIndex::served(config)?;
        let list = Arc::new(index.list());
        let mut parties = Vec::with_capacity(run.parties.len());
        for (name, encoder) in run.parties.iter().zip(&top.encoders) {
            let path = state.served_codes(name, encoder, &list.digest);
            parties.push(Party::away(
                name.clone(),
                KnownCodes::load(path, Arc::clone(&list), run.code_of(name).bits())?,
            ));
        }
        if config.serve.absent == OnAbsentParty::Mask && run.party_dropout == 0.0 {
            warn!(
                "serve.absent = \"mask\", but run.party_dropout was 0: the top model has not learned to do without a party"
            );
        }
        let lengths: Vec<usize> = run.code_forms().map(CodeForm::bits).collect();
        let scorer = AnomalyScorer::load(&state, &config.detectors, &lengths, predictor.feature_count())?;
        let meaning = predictor.meaning();
        let ledger = PredictionLedger::open(config, meaning.outputs())?;
        let audit = Arc::new(config.audit_trail()?);
        let reporter = ProgressReporter::new(json, board);
        let account = |service| {
            let (names, shown) = (config.run.parties.clone(), Arc::clone(reporter.board()));
            Arc::new(AdmissionLog::new(Arc::clone(&audit), service, names, shown))
        };
        let (admissions, asked) = (account(Service::Serving), account(Service::Training));
        let permissions = Permissions::load(config, Arc::clone(&audit))?;
        info!("predictions for {}, top model on {}", counted(index.records(), "record"), opened.name);
        Ok(Self {
            config: config.clone(),
            index,
            top,
            parties,
            reporter,
            scorer,
            predictor: Mutex::new(predictor),
            ledger: Mutex::new(ledger),
            meaning,
            admissions,
            asked,
            serves: permissions::joins(config, PartyAction::Serve, None)?,
            turns: Turns::default(),
            permissions,
            unacknowledged: Arc::new(Unacknowledged::read(state)?),
            audit,
            predictions: Mutex::new(PredictionTally::new(Instant::now())),
        })
    }

    /// Counts what a client got for the audit trail, which hears of it within a minute ([`Self::tell_audit`]).
    pub fn count_answer(&self, client: &str, answer: &PredictionAnswer) {
        let (mut predicted, mut refused) = (0, 0);
        for outcome in &answer.outcomes {
            predicted += usize::from(*outcome == PredictionOutcome::Predicted);
            refused += usize::from(*outcome == PredictionOutcome::Refused);
        }
        let mut tally = self.predictions.lock().unwrap_or_else(PoisonError::into_inner);
        tally.count(client, answer.outcomes.len(), predicted, refused);
        drop(tally);
        let board = self.reporter.board();
        let mut status = board.status();
        let counts = &mut status.predictions;
        counts.requests += 1;
        counts.predicted += predicted as u64;
        counts.missing += (answer.outcomes.len() - predicted) as u64;
        let Some(RequestFlags { p_values, flagged, drifted }) = &answer.flags else { return };
        // Records without the codes of some party are not judged.
        let judged = p_values.iter().filter(|value| !value.is_nan()).count() as u64;
        let flagged = flagged.iter().filter(|flagged| **flagged).count() as u64;
        counts.judged += judged;
        counts.flagged += flagged;
        // Once for one client is worth a look, whatever the next one asks for.
        counts.drifted |= *drifted;
        drop(status);
        board.count_flags(judged, flagged);
    }

    /// Shows codes that came from a party.
    pub fn note_codes(&self, party: &PartyName, codes: &PackedCodes) {
        let board = self.reporter.board();
        board.look_at_codes(party.as_str(), codes);
        let mut status = board.status();
        let entry = status.party(party);
        entry.heard_s = Some(now_s());
        entry.released_bits += (codes.rows() * codes.bits()) as u64;
    }

    /// Writes down what clients got: what is due by now, or at the end all of it.
    pub fn tell_audit(&self, all: bool) {
        let mut tally = self.predictions.lock().unwrap_or_else(PoisonError::into_inner);
        let events = if all { tally.rest() } else { tally.due(Instant::now()) };
        drop(tally);
        for event in events {
            self.audit.note_or_complain(event);
        }
    }

    /// What predictions are.
    pub fn meaning(&self) -> OutputKind {
        self.meaning
    }

    /// The ledger of predictions.
    pub fn ledger(&self) -> MutexGuard<'_, PredictionLedger> {
        // What was counted stays counted.
        self.ledger.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Warns where a party's p-values take no part in flags, or hardly flag a record by themselves.
    pub fn check_p_values(&self, party: usize) {
        let Some(scorer) = &self.scorer else { return };
        let Some(grid) = self.parties[party].read().grid() else { return };
        let name = &self.parties[party].name;
        let sending = self.parties.iter().filter(|party| party.read().grid().is_some()).count();
        let is_taken = scorer.takes(party, grid);
        if is_taken && !scorer.is_coarse(grid, sending) {
            return;
        }
        // It may come again and again.
        let Some(more) = self.admissions.may_write(name) else { return };
        match is_taken {
            false => warn!(
                "flags do not use the p-values of {name}: the run calibrated no p-values of this kind. Set \
                 detectors.send and detectors.level at {name} before the next run{more}"
            ),
            true => warn!(
                "{name}'s p-values are too coarse to flag a record alone at level {}. Before the next run, lower \
                 detectors.level or set detectors.send = \"p_value\" at {name}{more}",
                scorer.level()
            ),
        }
    }

    /// Predicts the records `ids` for `client`; those that are not `permitted` are as if they were not served.
    ///
    /// # Errors
    /// If predictions cannot be counted, or inputs cannot be judged.
    pub async fn answer(
        self: Arc<Self>,
        client: &str,
        ids: Vec<String>,
        permitted: Option<Arc<HashSet<String>>>,
    ) -> Result<PredictionAnswer, ComputeError> {
        let (began, count) = (Instant::now(), ids.len());
        let mut traced = Phases::default();
        traced.begin(spans::prediction(self.config.run_id.as_str(), count));
        traced.phase("look up");
        let engine = Arc::clone(&self);
        let asked = compute(count, move || engine.look_up(&ids, permitted.as_deref())).await;
        let looked_up = began.elapsed();
        traced.phase("parties");
        let phase = traced.current();
        let asking = (0..self.parties.len()).map(|party| self.codes(party, &asked.sorted, &phase));
        let answered = join_all(asking).await;
        drop(phase);
        let reached = began.elapsed();
        traced.phase("top model");
        let (engine, client) = (Arc::clone(&self), client.to_string());
        let answer = compute(count, move || engine.compute(&client, asked, &answered)).await?;
        let [_, _, _, judging] = answer.times;
        let predicting = (began.elapsed() - reached).saturating_sub(judging);
        let times = [looked_up, reached - looked_up, predicting, judging];
        Ok(PredictionAnswer { times, ..answer })
    }

    fn look_up(&self, ids: &[String], permitted: Option<&HashSet<String>>) -> ResolvedIds {
        let row = |id: &str| match permitted {
            Some(permitted) if !permitted.contains(id) => None,
            _ => self.index.row(id),
        };
        let mut rows: Vec<Option<ServedRow>> = ids.iter().map(|id| row(id)).collect();
        let mut outcomes = Vec::with_capacity(rows.len());
        let mut placed: Vec<(ServedRow, usize)> = Vec::with_capacity(rows.len());
        for (at, row) in rows.iter().enumerate() {
            match row {
                Some(row) => {
                    outcomes.push(PredictionOutcome::Predicted);
                    placed.push((*row, at));
                }
                None => outcomes.push(PredictionOutcome::UnknownId),
            }
        }
        placed.sort_unstable();
        for pair in placed.windows(2).filter(|pair| pair[0].0 == pair[1].0) {
            let again = pair[1].1;
            (rows[again], outcomes[again]) = (None, PredictionOutcome::RepeatedId);
        }
        let mut sorted: Vec<ServedRow> = placed.into_iter().map(|(row, _)| row).collect();
        sorted.dedup();
        let otherwise = written_otherwise_in(ids, &rows, row);
        ResolvedIds { outcomes, rows, sorted, otherwise }
    }

    /// Sees to it that a party's codes of `rows` are known; `None` if it is away.
    async fn codes(&self, party: usize, rows: &[ServedRow], phase: &Span) -> Option<CodeResponse> {
        let party = &self.parties[party];
        let missing: Vec<ServedRow> = {
            let known = party.read();
            rows.iter().copied().filter(|row| !known.knows(*row)).collect()
        };
        if missing.is_empty() {
            return Some(CodeResponse::default());
        }
        let serve = &self.config.serve;
        let silent = Duration::from_secs(serve.absent_timeout_s);
        let away = match serve.absent {
            OnAbsentParty::Wait => silent,
            OnAbsentParty::Mask | OnAbsentParty::Refuse => Duration::ZERO,
        };
        let waiting = spans::codes(phase, party.name.as_str(), missing.len());
        party.connection.ask(&missing, PartyTimeouts { away, silent }, &waiting).await
    }

    fn compute(
        &self,
        client: &str,
        asked: ResolvedIds,
        answered: &[Option<CodeResponse>],
    ) -> Result<PredictionAnswer, ComputeError> {
        let ResolvedIds { mut outcomes, rows, otherwise, .. } = asked;
        let known: Vec<_> = self.parties.iter().map(Party::read).collect();
        let mut predicted = Vec::with_capacity(rows.len());
        let mut took_part = Vec::with_capacity(rows.len());
        let everybody = u64::MAX >> (64 - known.len());
        for (outcome, row) in outcomes.iter_mut().zip(&rows) {
            let Some(row) = row else { continue };
            let mut bits = 0;
            for (party, known) in known.iter().enumerate() {
                bits |= u64::from(known.knows(*row)) << party;
            }
            *outcome = if bits == everybody {
                PredictionOutcome::Predicted
            } else if answered.iter().flatten().any(|one| one.refused.binary_search(row).is_ok()) {
                PredictionOutcome::Refused
            } else if self.config.serve.absent == OnAbsentParty::Mask && bits != 0 {
                PredictionOutcome::Predicted
            } else {
                PredictionOutcome::PartyAway
            };
            if *outcome == PredictionOutcome::Predicted {
                predicted.push(*row);
                took_part.push(bits);
            }
        }
        let codes: Vec<Vec<f32>> = known.iter().map(|known| known.signs_or_zeros(&predicted)).collect();
        let p_values = self.p_values(&known, &predicted);
        drop(known);
        let (outputs, features) = match predicted.len() {
            0 => Default::default(),
            // A predictor holds only weights, which nothing changes.
            count => self.predictor.lock().unwrap_or_else(PoisonError::into_inner).predict(&codes, count),
        };
        let began = Instant::now();
        let flags = match &self.scorer {
            Some(scorer) if !predicted.is_empty() => Some(scorer.judge(Predicted {
                client,
                rows: &predicted,
                codes: &codes,
                classes: self.meaning.classes(&outputs),
                features,
                p_values: &p_values,
                complete: took_part.iter().map(|bits| *bits == everybody).collect(),
            })?),
            _ => None,
        };
        let judging = began.elapsed();
        self.ledger().count(predicted.len())?;
        let times = [Duration::ZERO, Duration::ZERO, Duration::ZERO, judging];
        let text = self.explain(answered, otherwise);
        Ok(PredictionAnswer { text, outcomes, outputs, took_part, flags, times })
    }

    /// The p-values of `rows` that parties sent and detectors take.
    fn p_values(&self, known: &[RwLockReadGuard<'_, KnownCodes>], rows: &[ServedRow]) -> Vec<SentPValues> {
        let mut sent = Vec::new();
        let Some(scorer) = &self.scorer else { return sent };
        for (party, known) in known.iter().enumerate() {
            if let Some(grid) = known.grid().filter(|grid| scorer.takes(party, *grid))
                && let Some(p_values) = known.p_values(rows)
            {
                sent.push(SentPValues { party, grid, p_values });
            }
        }
        sent
    }

    /// Why records have no prediction, for a person. `otherwise`: whether an unknown id is served in another way of
    /// writing.
    fn explain(&self, answered: &[Option<CodeResponse>], otherwise: bool) -> String {
        let mut reasons = Vec::new();
        if otherwise {
            reasons.push("unknown ids are served in another way of writing".to_string());
        }
        for (Party { name, .. }, answered) in self.parties.iter().zip(answered) {
            match answered {
                None => reasons.push(format!("{name} is away")),
                Some(answered) if !answered.reason.is_empty() => {
                    reasons.push(format!("{name}: {}", answered.reason));
                }
                Some(_) => {}
            }
        }
        reasons.join("; ")
    }
}

/// Computes off the network's threads, unless it is quickly done.
async fn compute<T: Send + 'static>(ids: usize, work: impl FnOnce() -> T + Send + 'static) -> T {
    if ids < SMALL {
        return work();
    }
    // Unwrap safety: a panic of the work goes on here, as if it had been done here.
    tokio::task::spawn_blocking(work)
        .await
        .unwrap_or_else(|error| std::panic::resume_unwind(error.into_panic()))
}
