//! A status in Prometheus's text format. Every metric is described in docs/reference/metrics.md.

use std::collections::BTreeMap;
use std::fmt::{Display, Write};

use hashvfl_core::PartyName;

use crate::status::{Budget, Epochs, GradientMonitorStatus, PartyStatus, Phase, Status};

/// The type of the page.
pub const MEDIA_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// All metrics of a status.
pub fn text(status: &Status) -> String {
    let mut text = Text(String::new());
    let Status { version, side, run_id, .. } = status;
    let who = format!("version=\"{version}\",side=\"{side}\",run_id=\"{run_id}\"");
    text.one("hashvfl_info", "gauge", "Who this is.", &who, 1);
    text.one("hashvfl_start_time_seconds", "gauge", "When the work began, since 1970.", "", status.started_s);
    text.head("hashvfl_phase", "gauge", "1 for what the process is doing.");
    for phase in Phase::ALL {
        let label = format!("phase=\"{}\"", phase.name());
        text.sample("hashvfl_phase", &label, u8::from(phase == status.phase));
    }
    text.one("hashvfl_ready", "gauge", "Whether predictions are answered.", "", u8::from(status.ready));
    text.one("hashvfl_steps_total", "counter", "Steps of the run.", "", status.steps);
    text.one(
        "hashvfl_resumes_total",
        "counter",
        "How often the run went on from a checkpoint.",
        "",
        status.resumes,
    );
    if let Some(end_s) = status.certificate_end_s {
        let help = "When this side's certificate ends, since 1970.";
        text.one("hashvfl_certificate_expiry_timestamp_seconds", "gauge", help, "", end_s);
    }
    if let Some(end_s) = status.authority_end_s {
        let help = "When the first of this side's authorities ends, since 1970.";
        text.one("hashvfl_authority_expiry_timestamp_seconds", "gauge", help, "", end_s);
    }
    if let Some(end_s) = status.revocation_list_end_s {
        let help = "When the revocation list ends and nobody is let in any more, since 1970.";
        text.one("hashvfl_revocation_list_expiry_timestamp_seconds", "gauge", help, "", end_s);
    }
    if let Some(epochs) = &status.epochs {
        training(&mut text, epochs);
    }
    // A coordinator has an entry for each party from the start.
    match status.parties.is_empty() {
        true => party(&mut text, status),
        false => coordinator(&mut text, status),
    }
    text.0
}

fn training(text: &mut Text, epochs: &Epochs) {
    text.one("hashvfl_epochs_total", "counter", "Epochs that are done.", "", epochs.done);
    text.one("hashvfl_epochs_limit", "gauge", "Epochs at most.", "", epochs.most);
    let done = u64::from(epochs.done) * u64::from(epochs.batches) + u64::from(epochs.batches_done);
    text.one("hashvfl_batches_total", "counter", "Training batches that are done.", "", done);
    if let Some(loss) = epochs.train_loss {
        text.one("hashvfl_training_loss", "gauge", "Mean training loss of the last epoch.", "", loss);
    }
    if let Some(loss) = epochs.validation_loss {
        text.one("hashvfl_validation_loss", "gauge", "Validation loss after the last epoch.", "", loss);
    }
    if let Some((name, value)) = &epochs.metric {
        let label = format!("metric=\"{name}\"");
        text.one("hashvfl_validation_metric", "gauge", "The metric after the last epoch.", &label, value);
    }
}

/// What is said of each party.
struct PartyMetric {
    /// Behind `hashvfl_party_`.
    name: &'static str,
    kind: &'static str,
    help: &'static str,
    /// Its value; `None`: there is none yet.
    read: fn(&PartyStatus) -> Option<f64>,
}

impl PartyMetric {
    const fn gauge(name: &'static str, help: &'static str, read: fn(&PartyStatus) -> Option<f64>) -> Self {
        Self { name, kind: "gauge", help, read }
    }

    const fn counter(name: &'static str, help: &'static str, read: fn(&PartyStatus) -> Option<f64>) -> Self {
        Self { name, kind: "counter", help, read }
    }
}

const OF_PARTY: [PartyMetric; 10] = [
    PartyMetric::gauge("connected", "Whether a party is there.", |of| {
        Some(f64::from(u8::from(of.connected)))
    }),
    PartyMetric::gauge(
        "last_heard_timestamp_seconds",
        "When something of a party came last, since 1970.",
        |of| of.heard_s.map(|heard_s| heard_s as f64),
    ),
    PartyMetric::counter("departures_total", "How often a party went away.", |of| Some(of.departures as f64)),
    PartyMetric::counter("returns_total", "How often a party came back on another connection.", |of| {
        Some(of.returns as f64)
    }),
    PartyMetric::counter("answer_seconds_total", "Time spent waiting for a party's answers.", |of| {
        Some(of.answer_seconds)
    }),
    PartyMetric::gauge("lag_seconds", "How much later a party answers than the fastest one.", |of| {
        Some(of.lag_seconds)
    }),
    PartyMetric::counter("received_bytes_total", "Bytes of messages from a party.", |of| {
        Some(of.received_bytes as f64)
    }),
    PartyMetric::counter("sent_bytes_total", "Bytes of messages to a party.", |of| {
        Some(of.sent_bytes as f64)
    }),
    // Prometheus counts bytes; promtool refuses bits.
    PartyMetric::counter(
        "released_bytes_total",
        "Bits of the codes that a party released, divided by 8.",
        |of| Some(of.released_bits as f64 / 8.0),
    ),
    PartyMetric::gauge(
        "certificate_expiry_timestamp_seconds",
        "When a party's certificate ends, since 1970.",
        |of| of.certificate_end_s.map(|end_s| end_s as f64),
    ),
];

fn coordinator(text: &mut Text, status: &Status) {
    for PartyMetric { name, kind, help, read } in OF_PARTY {
        let name = format!("hashvfl_party_{name}");
        let values: Vec<(&PartyName, f64)> =
            status.parties.iter().filter_map(|(party, of)| Some((party, read(of)?))).collect();
        if !values.is_empty() {
            text.head(&name, kind, help);
        }
        for (party, value) in values {
            text.sample(&name, &format!("party=\"{party}\""), value);
        }
    }
    let seconds = status.step_seconds;
    text.one(
        "hashvfl_step_seconds_total",
        "counter",
        "Time from the first step to the last answer.",
        "",
        seconds,
    );
    let (received, sent) = (status.traffic.received_bytes, status.traffic.sent_bytes);
    text.one("hashvfl_received_bytes_total", "counter", "Bytes of messages from parties.", "", received);
    text.one("hashvfl_sent_bytes_total", "counter", "Bytes of messages to parties.", "", sent);
    text.each("hashvfl_refusals_total", "Peers that were refused, by why.", "reason", &status.refusals);
    let of = status.predictions;
    text.one("hashvfl_prediction_requests_total", "counter", "Requests of clients.", "", of.requests);
    text.head(
        "hashvfl_predictions_total",
        "counter",
        "Records that clients asked for, by what became of them.",
    );
    text.sample("hashvfl_predictions_total", "outcome=\"predicted\"", of.predicted);
    text.sample("hashvfl_predictions_total", "outcome=\"missing\"", of.missing);
    text.one("hashvfl_judged_records_total", "counter", "Records that detectors judged.", "", of.judged);
    text.one("hashvfl_flagged_records_total", "counter", "Records that detectors flagged.", "", of.flagged);
    text.one("hashvfl_drifted", "gauge", "Whether inputs have changed as a whole.", "", u8::from(of.drifted));
}

fn party(text: &mut Text, status: &Status) {
    let of = status.released;
    text.one("hashvfl_released_codes_total", "counter", "Codes that left.", "", of.codes);
    // Prometheus counts bytes; promtool refuses bits.
    let bytes = of.bits as f64 / 8.0;
    text.one(
        "hashvfl_released_bytes_total",
        "counter",
        "Bits of the codes that left, divided by 8.",
        "",
        bytes,
    );
    text.one("hashvfl_refused_records_total", "counter", "Records whose code was refused.", "", of.refused);
    text.each("hashvfl_requests_total", "Messages of the coordinator, by kind.", "kind", &status.requests);
    if let Some(Budget { bits, encodings, epsilon, .. }) = status.budget {
        let figures = [("bits", bits), ("encodings", encodings), ("epsilon", epsilon)];
        text.head("hashvfl_budget_used", "gauge", "The most that any record has used up of its budget.");
        for (name, of) in figures {
            text.sample("hashvfl_budget_used", &format!("limit=\"{name}\""), of.used);
        }
        if figures.iter().any(|(_, of)| of.allowed.is_some()) {
            text.head("hashvfl_budget_allowed", "gauge", "What the policy allows a record in its life.");
        }
        for (name, of) in figures {
            if let Some(allowed) = of.allowed {
                text.sample("hashvfl_budget_allowed", &format!("limit=\"{name}\""), allowed);
            }
        }
    }
    if let Some(of) = status.gradient_monitor {
        let GradientMonitorStatus {
            batches,
            explained,
            suspicion,
            bound,
            alarm,
            earlier_score,
            earlier_bound,
        } = of;
        text.one("hashvfl_gradient_batches_total", "counter", "Training batches that left.", "", batches);
        let help = "The share of the last gradient that follows from this party's own codes.";
        text.one("hashvfl_gradient_explained_ratio", "gauge", help, "", explained);
        text.one(
            "hashvfl_gradient_suspicion",
            "gauge",
            "The sum of shares that are too large.",
            "",
            suspicion,
        );
        text.one("hashvfl_gradient_suspicion_limit", "gauge", "The sum that raises an alarm.", "", bound);
        let help = "How far gradients go along with noise in earlier codes, in standard deviations.";
        text.one("hashvfl_gradient_earlier_codes_score", "gauge", help, "", earlier_score);
        let help = "The score that raises an alarm.";
        text.one("hashvfl_gradient_earlier_codes_limit", "gauge", help, "", earlier_bound);
        text.one("hashvfl_gradient_alarm", "gauge", "Whether an alarm was raised.", "", u8::from(alarm));
    }
}

/// The text so far. Labels hold names and versions alone, in which nothing has to be escaped.
struct Text(String);

impl Text {
    fn head(&mut self, name: &str, kind: &str, help: &str) {
        let _ = writeln!(self.0, "# HELP {name} {help}\n# TYPE {name} {kind}");
    }

    fn sample(&mut self, name: &str, labels: &str, value: impl Display) {
        let _ = match labels {
            "" => writeln!(self.0, "{name} {value}"),
            labels => writeln!(self.0, "{name}{{{labels}}} {value}"),
        };
    }

    /// A counter with a sample for each of `counts`; nothing where there are none.
    fn each(&mut self, name: &str, help: &str, label: &str, counts: &BTreeMap<String, u64>) {
        if !counts.is_empty() {
            self.head(name, "counter", help);
        }
        for (what, count) in counts {
            self.sample(name, &format!("{label}=\"{what}\""), count);
        }
    }

    fn one(&mut self, name: &str, kind: &str, help: &str, labels: &str, value: impl Display) {
        self.head(name, kind, help);
        self.sample(name, labels, value);
    }
}

#[cfg(test)]
mod tests {
    use hashvfl_core::RunId;

    use super::*;
    use crate::status::Spent;

    #[test]
    fn each_metric_has_one_head_before_its_samples() {
        let mut status = Status::new("coordinator", RunId::new("spring").unwrap());
        status.phase = Phase::Training;
        status.epochs = Some(Epochs { done: 3, most: 30, batches_done: 2, batches: 10, ..Epochs::default() });
        for name in ["bank", "telecom"] {
            status.party(&PartyName::new(name).unwrap()).connected = name == "bank";
        }
        let text = text(&status);
        for line in [
            "# TYPE hashvfl_phase gauge\n",
            "\nhashvfl_phase{phase=\"training\"} 1\n",
            "\nhashvfl_phase{phase=\"serving\"} 0\n",
            "\nhashvfl_batches_total 32\n",
            "\nhashvfl_party_connected{party=\"bank\"} 1\n",
            "\nhashvfl_party_connected{party=\"telecom\"} 0\n",
            "\nhashvfl_party_lag_seconds{party=\"bank\"} 0\n",
        ] {
            assert!(text.contains(line), "{line:?} is not in\n{text}");
        }
        let mut heads: Vec<&str> = text.lines().filter(|line| line.starts_with("# TYPE")).collect();
        let count = heads.len();
        heads.sort_unstable();
        heads.dedup();
        assert_eq!(heads.len(), count);
        for absent in ["training_loss", "last_heard", "refusals", "certificate", "authority", "revocation"] {
            assert!(!text.contains(absent), "there is none yet: {absent}");
        }
    }

    /// Names of all metrics of both sides.
    fn names() -> Vec<String> {
        let mut of_coordinator = Status::new("coordinator", RunId::new("spring").unwrap());
        of_coordinator.epochs = Some(Epochs {
            train_loss: Some(0.5),
            validation_loss: Some(0.5),
            metric: Some(("AUC".into(), 0.7)),
            ..Epochs::default()
        });
        let mut of_party = Status::new("bank", RunId::new("spring").unwrap());
        *of_coordinator.party(&PartyName::new("bank").unwrap()) =
            PartyStatus { heard_s: Some(1), certificate_end_s: Some(2), ..PartyStatus::default() };
        of_coordinator.refusals.insert("settings".into(), 1);
        of_coordinator.certificate_end_s = Some(3);
        of_coordinator.authority_end_s = Some(4);
        of_coordinator.revocation_list_end_s = Some(5);
        of_party.count_request("Encode");
        let bits = Spent { used: 8.0, allowed: Some(80.0) };
        of_party.budget = Some(Budget { bits, ..Budget::default() });
        of_party.gradient_monitor = Some(GradientMonitorStatus::default());
        let mut names = Vec::new();
        for status in [&of_coordinator, &of_party] {
            for line in text(status).lines().filter(|line| line.starts_with("# TYPE ")) {
                names.push(line.split(' ').nth(2).unwrap().to_string());
            }
        }
        assert!(names.len() > 40, "{names:?}");
        names
    }

    #[test]
    fn the_page_describes_every_metric() {
        let page = include_str!("../../../docs/reference/metrics.md");
        for name in names() {
            assert!(page.contains(&format!("| `{name}` |")), "{name} is not in docs/reference/metrics.md");
        }
    }

    #[test]
    fn alerts_and_dashboard_ask_for_metrics_that_are_there() {
        let names = names();
        for file in [
            include_str!("../../../deploy/monitoring/alerts.yml"),
            include_str!("../../../deploy/monitoring/alerts.test.yml"),
            include_str!("../../../deploy/monitoring/dashboard.json"),
        ] {
            let mut seen = 0;
            let is_word = |character: char| character.is_ascii_alphanumeric() || character == '_';
            for word in
                file.split(|character| !is_word(character)).filter(|word| word.starts_with("hashvfl_"))
            {
                assert!(names.iter().any(|name| name == word), "there is no metric {word}");
                seen += 1;
            }
            assert!(seen > 5, "{seen} names were looked at");
        }
    }
}
