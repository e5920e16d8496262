//! A status as a person reads it in a terminal.

use std::fmt;

use hashvfl_core::text::{counted, figure, times};

use crate::status::{
    Budget, Epochs, GradientMonitorStatus, PartyStatus, PredictionCounts, ProcessPhase, ReleasedCodes,
    RunTotals, Spent, Status, TrafficBytes,
};

/// Seconds of a day.
const DAY_S: u64 = 86_400;

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
        write_totals(f, self)?;
        if let Some(Budget { bits, encodings, .. }) = &self.budget {
            let (bits, codes) = (spent(*bits, "bit"), spent(*encodings, "code"));
            writeln!(f, "most released of any one record: {bits}, {codes}")?;
        }
        if let Some(gradients) = &self.gradient_monitor {
            let GradientMonitorStatus { suspicion, bound, earlier_score, earlier_bound, alarm, .. } =
                gradients;
            let raised = if *alarm { "an alarm was raised" } else { "no alarm" };
            writeln!(
                f,
                "gradients: {raised}; suspicion {suspicion:.1} (alarm at {bound}), correlation with earlier codes \
                 {earlier_score:.1} (alarm at {earlier_bound})"
            )?;
        }
        write_counts(f, self)?;
        for (what, end_s) in [
            ("certificate", self.certificate_end_s),
            ("authority", self.authority_end_s),
            ("revocation list", self.revocation_list_end_s),
        ] {
            if let Some(end_s) = end_s {
                writeln!(f, "{what}: {}", validity(end_s, self.now_s as i64))?;
            }
        }
        if self.phase == ProcessPhase::Serving { write_serving(f, self) } else { Ok(()) }
    }
}

/// Until when something is valid, or since when it no longer is, in whole days.
fn validity(end_s: i64, now_s: i64) -> String {
    let days = counted(end_s.saturating_sub(now_s).unsigned_abs() / DAY_S, "day");
    if end_s < now_s { format!("expired {days} ago") } else { format!("valid for {days}") }
}

/// What this process has sent and received; beside it what the run has, where others have had a part in it.
fn write_totals(f: &mut fmt::Formatter<'_>, status: &Status) -> fmt::Result {
    let Status { traffic, released, run, .. } = status;
    if *traffic != TrafficBytes::default() {
        let TrafficBytes { received_bytes, sent_bytes } = traffic;
        write!(f, "bytes: {received_bytes} received, {sent_bytes} sent")?;
        let RunTotals { received_bytes: received, sent_bytes: sent, .. } = run;
        if status.resumes > 0 {
            write!(f, "; in the whole run {received} received, {sent} sent")?;
        }
        writeln!(f)?;
    }
    if *released != ReleasedCodes::default() {
        let ReleasedCodes { codes, bits, refused } = released;
        let (codes, bits) = (counted(codes, "code"), counted(bits, "bit"));
        write!(f, "released: {codes}, {bits}; {} refused", counted(refused, "record"))?;
        if status.resumes > 0 {
            write!(f, "; in the whole run {}", counted(run.released_bits, "bit"))?;
        }
        writeln!(f)?;
    }
    Ok(())
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
    let there = if party.connected { "connected" } else { "away" };
    write!(f, "{there}")?;
    if let Some(address) = &party.address {
        write!(f, " at {address}")?;
    }
    if let Some(heard_s) = party.heard_s {
        write!(f, ", last message {} s ago", status.now_s.saturating_sub(heard_s))?;
    }
    let PartyStatus { departures, returns, answer_seconds, .. } = party;
    let (departures, returns) = (times(departures), times(returns));
    write!(f, ", disconnected {departures}, reconnected {returns}, waited {answer_seconds:.1} s for it")?;
    if status.step_seconds > 0.0 {
        let share = 100.0 * answer_seconds / status.step_seconds;
        write!(f, " ({share:.0} % of the time), {:.0} ms behind the fastest", 1e3 * party.lag_seconds)?;
    }
    writeln!(f)
}

fn spent(Spent { used, allowed }: Spent, one: &str) -> String {
    match allowed {
        Some(allowed) => format!("{used} of {}", counted(allowed, one)),
        None => counted(used, one),
    }
}

fn write_counts(f: &mut fmt::Formatter<'_>, status: &Status) -> fmt::Result {
    for (name, counts) in [("asked for", &status.requests), ("refused", &status.refusals)] {
        if !counts.is_empty() {
            let counts: Vec<String> = counts.iter().map(|(what, count)| format!("{count} {what}")).collect();
            writeln!(f, "{name}: {}", counts.join(", "))?;
        }
    }
    if status.resumes > 0 {
        writeln!(f, "continued from a checkpoint {}", times(status.resumes))?;
    }
    Ok(())
}

fn write_serving(f: &mut fmt::Formatter<'_>, status: &Status) -> fmt::Result {
    let PredictionCounts { requests, predicted, missing, judged, flagged, drifted } = status.predictions;
    let ready = if status.ready { "all parties are connected" } else { "not all parties are connected" };
    write!(f, "{ready}")?;
    if requests > 0 {
        let (requests, predicted) = (counted(requests, "request"), counted(predicted, "record"));
        write!(f, "; {requests}, {predicted} predicted, {missing} without a prediction")?;
    }
    if judged > 0 {
        write!(f, "; {flagged} of {judged} checked records flagged")?;
    }
    writeln!(f, "{}", if drifted { "; inputs have drifted" } else { "" })
}

#[cfg(test)]
mod tests {
    use hashvfl_core::{PartyName, RunId};

    use super::*;

    const DAY: i64 = 86_400;

    #[test]
    fn what_has_ended_is_not_valid_for_fewer_than_no_days() {
        for (end_s, expected) in [
            (100 * DAY + 3 * DAY + 5, "valid for 3 days"),
            (101 * DAY, "valid for 1 day"),
            (100 * DAY, "valid for 0 days"),
            (99 * DAY, "expired 1 day ago"),
            (97 * DAY - 5, "expired 3 days ago"),
        ] {
            assert_eq!(validity(end_s, 100 * DAY), expected);
        }
        let status =
            Status { certificate_end_s: Some(0), ..Status::new("coordinator", RunId::new("r").unwrap()) };
        assert!(status.to_string().contains("\ncertificate: expired "), "{status}");
    }

    #[test]
    fn one_thing_is_not_called_several() {
        let mut status = Status::new("coordinator", RunId::new("r").unwrap());
        status.resumes = 1;
        status.released = ReleasedCodes { codes: 1, bits: 16, refused: 1 };
        status.run.released_bits = 1;
        let encodings = Spent { used: 1.0, allowed: Some(2.0) };
        status.budget =
            Some(Budget { bits: Spent { used: 1.0, allowed: None }, encodings, ..Budget::default() });
        let bank = PartyStatus { departures: 1, returns: 2, ..PartyStatus::default() };
        status.parties.insert(PartyName::new("bank").unwrap(), bank);
        let text = status.to_string();
        for line in [
            "released: 1 code, 16 bits; 1 record refused; in the whole run 1 bit\n",
            "most released of any one record: 1 bit, 1 of 2 codes\n",
            "continued from a checkpoint once\n",
        ] {
            assert!(text.contains(line), "{text}");
        }
        assert!(
            text.contains("bank: away, disconnected once, reconnected 2 times, waited 0.0 s for it"),
            "{text}"
        );
    }
}
