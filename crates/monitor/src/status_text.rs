//! A status as a person reads it in a terminal.

use std::fmt;

use hashvfl_core::text::figure;

use crate::status::{
    Budget, Epochs, GradientMonitorStatus, PartyStatus, Phase, PredictionCounts, ReleasedCodes, Spent,
    Status, TrafficBytes,
};

/// Seconds of a day.
const DAY_S: i64 = 86_400;

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{} in run {}: {}", self.side, self.run_id, self.phase.name())?;
        if let Some(epochs) = &self.epochs {
            write_epochs(f, epochs)?;
        }
        for (party, status) in &self.parties {
            write!(f, "{party}: ")?;
            write_party(f, status, self)?;
        }
        if self.traffic != TrafficBytes::default() {
            let TrafficBytes { received_bytes, sent_bytes } = self.traffic;
            writeln!(f, "bytes: {received_bytes} received, {sent_bytes} sent")?;
        }
        if self.released != ReleasedCodes::default() {
            let ReleasedCodes { codes, bits, refused } = self.released;
            writeln!(f, "released: {codes} codes, {bits} bits; {refused} records refused")?;
        }
        if let Some(Budget { bits, encodings, .. }) = &self.budget {
            writeln!(f, "of any record at most: {} bits, {} codes", spent(*bits), spent(*encodings))?;
        }
        if let Some(gradients) = &self.gradient_monitor {
            let GradientMonitorStatus { suspicion, bound, earlier_score, earlier_bound, alarm, .. } =
                gradients;
            let raised = if *alarm { "an alarm was raised" } else { "no alarm" };
            writeln!(
                f,
                "gradients: {raised}; suspicion {suspicion:.1} of {bound}, trace of earlier codes {earlier_score:.1} of \
                 {earlier_bound}"
            )?;
        }
        write_counts(f, self)?;
        for (what, end_s) in [
            ("certificate", self.certificate_end_s),
            ("authority", self.authority_end_s),
            ("revocation list", self.revocation_list_end_s),
        ] {
            if let Some(end_s) = end_s {
                writeln!(f, "{what}: {} days left", (end_s - self.now_s as i64).div_euclid(DAY_S))?;
            }
        }
        if self.phase == Phase::Serving { write_serving(f, self) } else { Ok(()) }
    }
}

fn write_epochs(f: &mut fmt::Formatter<'_>, epochs: &Epochs) -> fmt::Result {
    let Epochs { done, most, batches_done, batches, .. } = epochs;
    write!(f, "epoch {done} of {most} done, batch {batches_done} of {batches}")?;
    for (name, value) in [("training loss", epochs.train_loss), ("validation loss", epochs.validation_loss)] {
        if let Some(value) = value {
            write!(f, ", {name} {}", figure(value))?;
        }
    }
    if let Some((name, value)) = &epochs.metric {
        write!(f, ", {name} {}", figure(*value))?;
    }
    writeln!(f)
}

fn write_party(f: &mut fmt::Formatter<'_>, party: &PartyStatus, status: &Status) -> fmt::Result {
    let there = if party.connected { "there" } else { "away" };
    write!(f, "{there}")?;
    if let Some(address) = &party.address {
        write!(f, " at {address}")?;
    }
    if let Some(heard_s) = party.heard_s {
        write!(f, ", heard {} s ago", status.now_s.saturating_sub(heard_s))?;
    }
    let PartyStatus { departures, returns, answer_seconds, .. } = party;
    write!(f, ", went away {departures} times, came back {returns} times, {answer_seconds:.1} s of waiting")?;
    if status.step_seconds > 0.0 {
        let share = 100.0 * answer_seconds / status.step_seconds;
        write!(f, " ({share:.0} % of the time), {:.0} ms behind the fastest", 1e3 * party.lag_seconds)?;
    }
    writeln!(f)
}

fn spent(Spent { used, allowed }: Spent) -> String {
    allowed.map_or_else(|| format!("{used}"), |allowed| format!("{used} of {allowed}"))
}

fn write_counts(f: &mut fmt::Formatter<'_>, status: &Status) -> fmt::Result {
    for (name, counts) in [("asked for", &status.requests), ("refused", &status.refusals)] {
        if !counts.is_empty() {
            let counts: Vec<String> = counts.iter().map(|(what, count)| format!("{count} {what}")).collect();
            writeln!(f, "{name}: {}", counts.join(", "))?;
        }
    }
    if status.resumes > 0 {
        writeln!(f, "went on from a checkpoint {} times", status.resumes)?;
    }
    Ok(())
}

fn write_serving(f: &mut fmt::Formatter<'_>, status: &Status) -> fmt::Result {
    let PredictionCounts { requests, predicted, missing, judged, flagged, drifted } = status.predictions;
    let ready = if status.ready { "all are there" } else { "not all are there" };
    write!(f, "{ready}")?;
    if requests > 0 {
        write!(f, "; {requests} requests, {predicted} records predicted, {missing} without a prediction")?;
    }
    if judged > 0 {
        write!(f, "; {flagged} of {judged} judged records flagged")?;
    }
    writeln!(f, "{}", if drifted { "; inputs have drifted" } else { "" })
}
