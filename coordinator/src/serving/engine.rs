//! From record ids to predictions.
//!
//! ```text
//! ids -> rows -> of each party, codes that are not known yet -> its door -> known codes
//!          `-> rows whose codes are there (or may be left out) -> top model -> answer
//! ```

use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use hashvfl_core::p_value::Grid;
use hashvfl_core::{PartyName, ServedRow};
use hashvfl_data::written_otherwise;
use hashvfl_detectors::DetectorError;
use hashvfl_learning::Predictor;
use hashvfl_learning::top::predictor::OutputKind;
use hashvfl_ledger::StoreError;

use super::index::RecordIndex;
use super::known_codes::KnownCodes;
use super::party_connection::{CodeResponse, PartyConnection};
use crate::config::{Absent, CoordinatorConfig};
use crate::detectors::{AnomalyScorer, Flags};
use crate::label_ledger::PredictionLedger;
use crate::progress::ProgressReporter;
use crate::top_file::TopFile;

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

/// All that answers a request.
pub struct Engine {
    /// The config.
    pub config: CoordinatorConfig,
    /// The served records.
    pub index: RecordIndex,
    /// The top model's file, without its weights' use.
    pub top: TopFile,
    /// The parties, in the settings' order.
    pub parties: Vec<Party>,
    /// Tells what happens.
    pub reporter: ProgressReporter,
    /// Detectors of abnormal inputs, where the run has them.
    pub scorer: Option<AnomalyScorer>,
    predictor: Mutex<Predictor>,
    ledger: Mutex<PredictionLedger>,
    meaning: OutputKind,
}

/// What became of one record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// It has a prediction.
    Predicted,
    /// Its id is none of the served records'. No party heard of it.
    UnknownId,
    /// Its id came before in the same request.
    RepeatedId,
    /// A party's policy refuses it.
    Refused,
    /// A party is away.
    PartyAway,
}

/// The answer to a request.
#[derive(Debug, Default)]
pub struct Answer {
    /// One for each id.
    pub outcomes: Vec<Outcome>,
    /// For each predicted record, row by row: probabilities of classes, or the value.
    pub outputs: Vec<f32>,
    /// For each predicted record, whose bits are in it: bit k stands for party k.
    pub took_part: Vec<u64>,
    /// What detectors say, where there are any.
    pub flags: Option<Flags>,
    /// Why records were refused, for a person.
    pub text: String,
    /// Until rows were known; codes were known; all was predicted; all was judged.
    pub times: [Duration; 4],
}

/// Why a request cannot be answered at all.
#[derive(Debug, thiserror::Error)]
pub enum ComputeError {
    /// Predictions cannot be counted.
    #[error("predictions cannot be counted: {0}")]
    Ledger(#[from] StoreError),
    /// Detectors cannot judge.
    #[error("inputs cannot be judged: {0}")]
    Detectors(#[from] DetectorError),
}

/// A request's ids as rows.
struct ResolvedIds {
    outcomes: Vec<Outcome>,
    /// The row of each id that has one and is no repetition.
    rows: Vec<Option<ServedRow>>,
    /// Those rows, ascending.
    sorted: Vec<ServedRow>,
    /// Whether an unknown id is one of a served record, written otherwise.
    otherwise: bool,
}

impl Engine {
    /// An engine whose parties are all away.
    pub fn new(
        config: CoordinatorConfig,
        (index, top, parties): (RecordIndex, TopFile, Vec<Party>),
        (predictor, scorer, ledger): (Predictor, Option<AnomalyScorer>, PredictionLedger),
        reporter: ProgressReporter,
    ) -> Self {
        let meaning = predictor.meaning();
        let (predictor, ledger) = (Mutex::new(predictor), Mutex::new(ledger));
        Self { config, index, top, parties, reporter, scorer, predictor, ledger, meaning }
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

    /// Warns where a party's p-values leave too little to each.
    pub fn check_p_values(&self) {
        if let Some(scorer) = &self.scorer {
            let grids: Vec<Grid> = self.parties.iter().filter_map(|party| party.read().grid()).collect();
            scorer.check_parties(&grids);
        }
    }

    /// Predicts the records `ids`.
    pub async fn predict(self: Arc<Self>, ids: Vec<String>) -> Result<Answer, ComputeError> {
        let (began, count) = (Instant::now(), ids.len());
        let engine = Arc::clone(&self);
        let asked = compute(count, move || engine.look_up(&ids)).await;
        let looked_up = began.elapsed();
        let answered = join_all((0..self.parties.len()).map(|party| self.codes(party, &asked.sorted))).await;
        let reached = began.elapsed();
        let engine = Arc::clone(&self);
        let answer = compute(count, move || engine.compute(asked, &answered)).await?;
        let [_, _, _, judging] = answer.times;
        let predicting = (began.elapsed() - reached).saturating_sub(judging);
        let times = [looked_up, reached - looked_up, predicting, judging];
        Ok(Answer { times, ..answer })
    }

    fn look_up(&self, ids: &[String]) -> ResolvedIds {
        let mut rows: Vec<Option<ServedRow>> = ids.iter().map(|id| self.index.row(id)).collect();
        let outcome =
            |row: &Option<ServedRow>| if row.is_some() { Outcome::Predicted } else { Outcome::UnknownId };
        let mut outcomes: Vec<Outcome> = rows.iter().map(outcome).collect();
        let placed =
            rows.iter().enumerate().filter_map(|(at, row)| Some((row.as_ref().copied()?, at as u32)));
        let mut placed: Vec<(ServedRow, u32)> = placed.collect();
        placed.sort_unstable();
        for pair in placed.windows(2).filter(|pair| pair[0].0 == pair[1].0) {
            let again = pair[1].1 as usize;
            (rows[again], outcomes[again]) = (None, Outcome::RepeatedId);
        }
        let mut sorted: Vec<ServedRow> = placed.into_iter().map(|(row, _)| row).collect();
        sorted.dedup();
        let otherwise = self.written_otherwise(ids, &rows);
        ResolvedIds { outcomes, rows, sorted, otherwise }
    }

    /// Whether one of the first unknown ids is that of a served record in another way of writing.
    fn written_otherwise(&self, ids: &[String], rows: &[Option<ServedRow>]) -> bool {
        let unknown = ids.iter().zip(rows).filter(|(id, row)| row.is_none() && self.index.row(id).is_none());
        let known = |id: &String| written_otherwise(id).iter().any(|id| self.index.row(id).is_some());
        unknown.take(TRIED).any(|(id, _)| known(id))
    }

    /// Sees to it that a party's codes of `rows` are known; `None` if it is away.
    async fn codes(&self, party: usize, rows: &[ServedRow]) -> Option<CodeResponse> {
        let party = &self.parties[party];
        let missing: Vec<ServedRow> = {
            let known = party.read();
            rows.iter().copied().filter(|row| !known.knows(*row)).collect()
        };
        if missing.is_empty() {
            return Some(CodeResponse::default());
        }
        let patience = match self.config.serve.absent {
            Absent::Wait => Duration::from_secs(self.config.serve.absent_timeout_s),
            Absent::Mask | Absent::Refuse => Duration::ZERO,
        };
        party.connection.ask(&missing, patience).await
    }

    fn compute(&self, asked: ResolvedIds, answered: &[Option<CodeResponse>]) -> Result<Answer, ComputeError> {
        let ResolvedIds { mut outcomes, rows, otherwise, .. } = asked;
        let known: Vec<_> = self.parties.iter().map(Party::read).collect();
        let mut predicted = Vec::with_capacity(rows.len());
        let mut took_part = Vec::with_capacity(rows.len());
        let everybody = u64::MAX >> (64 - known.len());
        for (outcome, row) in outcomes.iter_mut().zip(&rows) {
            let Some(row) = row else { continue };
            let bits = known.iter().enumerate().filter(|(_, known)| known.knows(*row));
            let bits = bits.fold(0, |bits, (party, _)| bits | 1_u64 << party);
            *outcome = if bits == everybody {
                Outcome::Predicted
            } else if answered.iter().flatten().any(|one| one.refused.binary_search(row).is_ok()) {
                Outcome::Refused
            } else if self.config.serve.absent == Absent::Mask && bits != 0 {
                Outcome::Predicted
            } else {
                Outcome::PartyAway
            };
            if *outcome == Outcome::Predicted {
                predicted.push(*row);
                took_part.push(bits);
            }
        }
        let codes: Vec<Vec<f32>> = known.iter().map(|known| known.signs_or_zeros(&predicted)).collect();
        let p_values: Vec<Vec<f64>> = known.iter().filter_map(|known| known.p_values(&predicted)).collect();
        drop(known);
        let (outputs, features) = match predicted.len() {
            0 => Default::default(),
            // A predictor holds weights alone, which nothing changes.
            count => self.predictor.lock().unwrap_or_else(PoisonError::into_inner).predict(&codes, count),
        };
        let began = Instant::now();
        let whole = took_part.iter().map(|bits| *bits == everybody);
        let flags = match &self.scorer {
            Some(scorer) if !predicted.is_empty() => {
                let seen = (self.meaning.classes(&outputs), features);
                Some(scorer.judge(&codes, (&seen.0, &seen.1), &p_values, whole.collect())?)
            }
            _ => None,
        };
        let judging = began.elapsed();
        self.ledger().count(predicted.len())?;
        let times = [Duration::ZERO, Duration::ZERO, Duration::ZERO, judging];
        let mut text = self.explain(answered);
        if otherwise {
            let more = if text.is_empty() { String::new() } else { format!("; {text}") };
            text = format!("unknown ids are served in another way of writing{more}");
        }
        Ok(Answer { text, outcomes, outputs, took_part, flags, times })
    }

    fn explain(&self, answered: &[Option<CodeResponse>]) -> String {
        let why =
            self.parties.iter().zip(answered).filter_map(|(Party { name, .. }, answered)| match answered {
                None => Some(format!("{name} is away")),
                Some(answered) if !answered.reason.is_empty() => Some(format!("{name}: {}", answered.reason)),
                Some(_) => None,
            });
        why.collect::<Vec<_>>().join("; ")
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
