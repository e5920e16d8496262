//! What clients are answered: the engine's outcomes as messages.

use std::sync::Arc;

use hashvfl_core::PartyName;
use hashvfl_core::limits::{MAX_MESSAGE_BYTES, MAX_PREDICT_IDS};
use hashvfl_learning::top::predictor::OutputKind;
use hashvfl_proto::v1;
use hashvfl_transport::limits::clients::AnswerSize;
use hashvfl_transport::listen::{Predictions, Rejection};

use super::engine::{Engine, Outcome, PredictionAnswer};
use crate::detectors::{AnomalyScorer, Flags};
use crate::permissions::{Answers, ClientPermission, Denied};

/// Bytes that an answer takes per record beside its outputs, at most.
const RECORD_BYTES: usize = 32;

impl Predictions for Engine {
    fn model(&self, client: Option<&PartyName>) -> v1::Model {
        v1::Model {
            run_id: self.config.run_id.to_string(),
            parties: self.config.run.parties.iter().map(ToString::to_string).collect(),
            classes: self.top.classes.clone(),
            max_ids: max_ids(self.meaning()) as u32,
            flag_level: self.scorer.as_ref().map_or(0.0, AnomalyScorer::level),
            classes_only: self.permissions.answers(client) == Answers::Classes,
        }
    }

    fn answer_size(&self) -> AnswerSize {
        let meaning = self.meaning();
        AnswerSize { records: max_ids(meaning), record_bytes: record_bytes(meaning) }
    }

    async fn predict(
        self: Arc<Self>,
        client: Option<PartyName>,
        number: usize,
        ids: Vec<String>,
    ) -> Result<v1::Predictions, Rejection> {
        let meaning = self.meaning();
        check(number, ids.len(), max_ids(meaning))?;
        let permission = self.permissions.ask(client.as_ref(), ids.len());
        let permission = permission.map_err(|denied| self.refuse(client.as_ref(), &denied))?;
        let engine = Arc::clone(&self);
        let answer = self.answer(ids, permission.records.clone()).await.map_err(|error| {
            tracing::error!("{error}");
            Rejection::Internal("the coordinator cannot answer: see its log")
        })?;
        // Without certificates all clients are one.
        engine.count_answer(client.as_ref().map_or("unnamed", PartyName::as_str), &answer);
        Ok(predictions(answer, meaning, &permission))
    }
}

impl Engine {
    /// Writes down that `client` gets nothing; what it hears.
    fn refuse(&self, client: Option<&PartyName>, denied: &Denied) -> Rejection {
        if let Some(client) = client {
            self.admissions.refused_client(client, why_denied(denied), &denied.to_string());
        }
        Rejection::Denied(denied.to_string())
    }
}

/// Why a client gets nothing, as a word.
fn why_denied(denied: &Denied) -> &'static str {
    match denied {
        Denied::Client(_) => "not-permitted",
        Denied::PerDay { .. } => "over-its-quota",
        Denied::Quota => "not-counted",
    }
}

/// Ids of one request at most: its answer must fit into a message.
fn max_ids(meaning: OutputKind) -> usize {
    (MAX_MESSAGE_BYTES / 2 / record_bytes(meaning)).clamp(1, MAX_PREDICT_IDS)
}

/// Bytes that an answer takes per record, at most.
fn record_bytes(meaning: OutputKind) -> usize {
    4 * meaning.outputs() + RECORD_BYTES
}

fn check(number: usize, count: usize, most: usize) -> Result<(), Rejection> {
    if count == 0 {
        return Err(Rejection::Invalid(format!(
            "request {number} holds no record ids: ask for at least one"
        )));
    }
    if count > most {
        return Err(Rejection::Invalid(format!(
            "request {number} holds {count} record ids, at most {most} may be asked for at once: send several requests"
        )));
    }
    Ok(())
}

fn outcome(outcome: &Outcome) -> i32 {
    match outcome {
        Outcome::Predicted => v1::Outcome::Predicted.into(),
        Outcome::UnknownId => v1::Outcome::UnknownId.into(),
        Outcome::RepeatedId => v1::Outcome::RepeatedId.into(),
        Outcome::Refused => v1::Outcome::Refused.into(),
        Outcome::PartyAway => v1::Outcome::PartyAway.into(),
    }
}

fn predictions(
    answer: PredictionAnswer,
    meaning: OutputKind,
    permission: &ClientPermission,
) -> v1::Predictions {
    let outcomes = answer.outcomes.iter().map(outcome).collect();
    let (classes, probabilities, values) = match (meaning, permission.answers) {
        (OutputKind::Classes(_), Answers::Classes) => {
            (meaning.classes(&answer.outputs), Vec::new(), Vec::new())
        }
        (OutputKind::Classes(_), Answers::Probabilities) => {
            (meaning.classes(&answer.outputs), rounded(answer.outputs, permission.decimals), Vec::new())
        }
        (OutputKind::Value { .. }, _) => {
            (Vec::new(), Vec::new(), rounded(answer.outputs, permission.decimals))
        }
    };
    let [lookup_us, parties_us, model_us, flags_us] = answer.times.map(|time| time.as_micros() as u32);
    let times = Some(v1::Times { lookup_us, parties_us, model_us, flags_us });
    let Flags { p_values, flagged, drifted } = answer.flags.unwrap_or_default();
    v1::Predictions {
        outcomes,
        classes,
        probabilities,
        values,
        took_part: answer.took_part,
        text: answer.text,
        times,
        p_values,
        flagged,
        drifted,
    }
}

/// Numbers to so many decimals; `None`: as they are.
fn rounded(mut numbers: Vec<f32>, decimals: Option<u8>) -> Vec<f32> {
    let Some(decimals) = decimals else { return numbers };
    let scale = 10_f64.powi(i32::from(decimals));
    for number in &mut numbers {
        *number = ((f64::from(*number) * scale).round() / scale) as f32;
    }
    numbers
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_rounded_to_decimals() {
        assert_eq!(rounded(vec![0.123_456, -7.96, 2e7], Some(1)), [0.1, -8.0, 2e7]);
        assert_eq!(rounded(vec![0.123_456], Some(0)), [0.0]);
        assert_eq!(rounded(vec![0.123_456], None), [0.123_456]);
    }
}
