//! What clients are answered: the engine's outcomes as messages.

use std::sync::Arc;

use hashvfl_core::PartyName;
use hashvfl_core::limits::{MAX_MESSAGE_BYTES, MAX_PREDICT_IDS};
use hashvfl_learning::top::predictor::OutputKind;
use hashvfl_proto::v1;
use hashvfl_transport::limits::clients::AnswerSize;
use hashvfl_transport::listen::{Predictions, Rejection};
use tokio::task::spawn_blocking;

use super::answer::{PredictionAnswer, PredictionOutcome};
use super::engine::Engine;
use crate::detectors::{AnomalyScorer, RequestFlags};
use crate::permissions::{AnswerDetail, ClientPermission, Denied, ToldFlags};

/// Bytes that an answer takes per record beside its outputs, at most.
const RECORD_BYTES: usize = 32;

impl Predictions for Engine {
    fn model(&self, client: Option<&PartyName>) -> v1::Model {
        let permission = self.permissions.of(client);
        let flag_level = if permission.flags == ToldFlags::Nothing { 0.0 } else { self.flag_level() };
        v1::Model {
            run_id: self.config.run_id.to_string(),
            parties: self.config.run.parties.iter().map(ToString::to_string).collect(),
            classes: self.top.classes.clone(),
            max_ids: max_ids(self.meaning()) as u32,
            flag_level,
            classes_only: permission.answers == AnswerDetail::Classes,
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
        let permission = self.ask(client.clone(), ids.len()).await?;
        let permission = permission.map_err(|denied| self.refuse(client.as_ref(), &denied))?;
        let engine = Arc::clone(&self);
        // Without certificates all clients are one.
        let name = client.as_ref().map_or("unnamed", PartyName::as_str);
        let answer = self.answer(name, ids, permission.records.clone()).await.map_err(|error| {
            engine.admissions.complain(&error.to_string());
            Rejection::Internal("the coordinator cannot answer: see its log")
        })?;
        engine.count_answer(name, &answer);
        Ok(predictions(answer, meaning, &permission, engine.flag_level()))
    }
}

impl Engine {
    /// What `client` may get of `count` records, which are counted. Off the network's threads: it writes what is counted, and where
    /// the lists of ids have changed it reads them.
    async fn ask(
        self: &Arc<Self>,
        client: Option<PartyName>,
        count: usize,
    ) -> Result<Result<ClientPermission, Denied>, Rejection> {
        if client.is_none() {
            return Ok(self.permissions.ask(None, count));
        }
        let engine = Arc::clone(self);
        let asked = spawn_blocking(move || engine.permissions.ask(client.as_ref(), count)).await;
        asked.map_err(|_| Rejection::Internal("the coordinator cannot answer: see its log"))
    }

    /// The level of flags; 0 without detectors.
    fn flag_level(&self) -> f64 {
        self.scorer.as_ref().map_or(0.0, AnomalyScorer::level)
    }

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

fn outcome(outcome: &PredictionOutcome) -> i32 {
    match outcome {
        PredictionOutcome::Predicted => v1::Outcome::Predicted.into(),
        PredictionOutcome::UnknownId => v1::Outcome::UnknownId.into(),
        PredictionOutcome::RepeatedId => v1::Outcome::RepeatedId.into(),
        PredictionOutcome::Refused => v1::Outcome::Refused.into(),
        PredictionOutcome::PartyAway => v1::Outcome::PartyAway.into(),
    }
}

fn predictions(
    answer: PredictionAnswer,
    meaning: OutputKind,
    permission: &ClientPermission,
    flag_level: f64,
) -> v1::Predictions {
    let outcomes = answer.outcomes.iter().map(outcome).collect();
    let (classes, probabilities, values) = match (meaning, permission.answers) {
        (OutputKind::Classes(_), AnswerDetail::Classes) => {
            (meaning.classes(&answer.outputs), Vec::new(), Vec::new())
        }
        (OutputKind::Classes(_), AnswerDetail::Probabilities) => {
            (meaning.classes(&answer.outputs), rounded(answer.outputs, permission.decimals), Vec::new())
        }
        (OutputKind::Value { .. }, _) => {
            (Vec::new(), Vec::new(), rounded(answer.outputs, permission.decimals))
        }
    };
    let [lookup_us, parties_us, model_us, flags_us] = answer.times.map(|time| time.as_micros() as u32);
    let times = permission.times.then_some(v1::Times { lookup_us, parties_us, model_us, flags_us });
    let flags = answer.flags.unwrap_or_default();
    let RequestFlags { p_values, flagged, drifted } = told_flags(flags, permission, flag_level);
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

/// What a client is told of how strange records are. A flag travels as a p-value, too: the level or 1.
fn told_flags(flags: RequestFlags, permission: &ClientPermission, level: f64) -> RequestFlags {
    match permission.flags {
        ToldFlags::Nothing => RequestFlags::default(),
        ToldFlags::Flag => {
            let as_flag = |(p_value, flagged): (&f32, &bool)| match (p_value.is_nan(), *flagged) {
                (true, _) => f32::NAN,
                (false, true) => level as f32,
                (false, false) => 1.0,
            };
            let p_values = flags.p_values.iter().zip(&flags.flagged).map(as_flag).collect();
            RequestFlags { p_values, ..flags }
        }
        ToldFlags::PValue => {
            RequestFlags { p_values: rounded_up(flags.p_values, permission.decimals), ..flags }
        }
    }
}

/// p-values to so many decimals, none lower than it is; `None`: as they are.
fn rounded_up(mut p_values: Vec<f32>, decimals: Option<u8>) -> Vec<f32> {
    let Some(decimals) = decimals else { return p_values };
    let scale = 10_f64.powi(i32::from(decimals));
    for p_value in &mut p_values {
        // What a float is above a decimal by its own precision stays that decimal.
        let scaled = f64::from(*p_value) * scale * (1.0 - f64::from(f32::EPSILON));
        *p_value = (scaled.ceil() / scale) as f32;
    }
    p_values
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

    fn flags() -> RequestFlags {
        let p_values = vec![0.004, 0.02, 0.1, 0.123_4, 1.0, f32::NAN];
        let flagged = vec![true, true, false, false, false, false];
        RequestFlags { p_values, flagged, drifted: true }
    }

    /// As text, in which what is no number equals itself.
    fn told(flags: ToldFlags, decimals: Option<u8>) -> String {
        let permission = {
            let mut everything = ClientPermission::everything();
            (everything.flags, everything.decimals) = (flags, decimals);
            everything
        };
        let told = told_flags(self::flags(), &permission, 0.02);
        format!("{:?} {:?} {}", told.p_values, told.flagged, told.drifted)
    }

    #[test]
    fn a_client_is_told_no_more_of_strange_records_than_it_may_be() {
        let flagged = "[true, true, false, false, false, false] true";
        for (flags, decimals, p_values) in [
            (ToldFlags::PValue, None, "[0.004, 0.02, 0.1, 0.1234, 1.0, NaN]"),
            (ToldFlags::PValue, Some(2), "[0.01, 0.02, 0.1, 0.13, 1.0, NaN]"),
            (ToldFlags::Flag, Some(6), "[0.02, 0.02, 1.0, 1.0, 1.0, NaN]"),
        ] {
            assert_eq!(told(flags, decimals), format!("{p_values} {flagged}"), "{flags:?}");
        }
        assert_eq!(told(ToldFlags::Nothing, None), "[] [] false");
    }

    #[test]
    fn numbers_are_rounded_to_decimals() {
        assert_eq!(rounded(vec![0.123_456, -7.96, 2e7], Some(1)), [0.1, -8.0, 2e7]);
        assert_eq!(rounded(vec![0.123_456], Some(0)), [0.0]);
        assert_eq!(rounded(vec![0.123_456], None), [0.123_456]);
    }
}
