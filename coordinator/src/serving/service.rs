//! What clients are answered: the engine's outcomes as messages.

use std::sync::Arc;

use hashvfl_core::PartyName;
use hashvfl_core::limits::{MAX_MESSAGE_BYTES, MAX_PREDICT_IDS};
use hashvfl_learning::top::predictor::OutputKind;
use hashvfl_proto::v1;
use hashvfl_transport::listen::{Predictions, Rejection};

use super::engine::{Engine, Outcome, PredictionAnswer};
use crate::detectors::{AnomalyScorer, Flags};

/// Bytes that an answer takes per record beside its outputs, at most.
const RECORD_BYTES: usize = 32;

impl Predictions for Engine {
    fn model(&self) -> v1::Model {
        v1::Model {
            run_id: self.config.run_id.to_string(),
            parties: self.config.run.parties.iter().map(ToString::to_string).collect(),
            classes: self.top.classes.clone(),
            max_ids: max_ids(self.meaning()) as u32,
            flag_level: self.scorer.as_ref().map_or(0.0, AnomalyScorer::level),
        }
    }

    async fn predict(
        self: Arc<Self>,
        client: Option<PartyName>,
        number: usize,
        ids: Vec<String>,
    ) -> Result<v1::Predictions, Rejection> {
        let meaning = self.meaning();
        check(number, ids.len(), max_ids(meaning))?;
        let engine = Arc::clone(&self);
        let answer = self.answer(ids).await.map_err(|error| {
            tracing::error!("{error}");
            Rejection::Internal("the coordinator cannot answer: see its log")
        })?;
        // Without certificates all clients are one.
        engine.count_answer(client.as_ref().map_or("unnamed", PartyName::as_str), &answer);
        Ok(predictions(answer, meaning))
    }
}

/// Ids of one request at most: its answer must fit into a message.
fn max_ids(meaning: OutputKind) -> usize {
    (MAX_MESSAGE_BYTES / 2 / (4 * meaning.outputs() + RECORD_BYTES)).clamp(1, MAX_PREDICT_IDS)
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

fn predictions(answer: PredictionAnswer, meaning: OutputKind) -> v1::Predictions {
    let outcomes = answer.outcomes.iter().map(outcome).collect();
    let (classes, probabilities, values) = match meaning {
        OutputKind::Classes(_) => (meaning.classes(&answer.outputs), answer.outputs, Vec::new()),
        OutputKind::Value { .. } => (Vec::new(), Vec::new(), answer.outputs),
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
