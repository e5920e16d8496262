//! A status in Prometheus's text format. Every metric is described in docs/reference/metrics.md.

use std::collections::BTreeMap;
use std::fmt::{Display, Write};

use hashvfl_core::PartyName;

use crate::refusals::REFUSALS;
use crate::status::{Budget, Epochs, GradientMonitorStatus, PartyStatus, ProcessPhase, RunTotals, Status};

/// The type of the page.
pub const MEDIA_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// All metrics of a status.
pub fn text(status: &Status) -> String {
    let mut text = Text(String::new());
    let Status { version, side, run_id, .. } = status;
    let who = format!("version=\"{version}\",side=\"{side}\",run_id=\"{run_id}\"");
    text.one("hashvfl_info", "gauge", "Program version, side and run of this process.", &who, 1);
    text.one(
        "hashvfl_start_time_seconds",
        "gauge",
        "When this process started its work, in seconds since 1970.",
        "",
        status.started_s,
    );
    text.head("hashvfl_phase", "gauge", "1 for the current phase of the process, 0 for the others.");
    for phase in ProcessPhase::ALL {
        let label = format!("phase=\"{}\"", phase.name());
        text.sample("hashvfl_phase", &label, u8::from(phase == status.phase));
    }
    text.one("hashvfl_ready", "gauge", "1 if predictions are answered, else 0.", "", u8::from(status.ready));
    text.one("hashvfl_steps_total", "counter", "Steps of this process.", "", status.steps);
    text.one(
        "hashvfl_resumes_total",
        "counter",
        "Number of times the run continued from a checkpoint.",
        "",
        status.resumes,
    );
    if let Some(end_s) = status.certificate_end_s {
        let help = "When this side's certificate expires, in seconds since 1970.";
        text.one("hashvfl_certificate_expiry_timestamp_seconds", "gauge", help, "", end_s);
    }
    if let Some(end_s) = status.authority_end_s {
        let help = "When the first of this side's authorities expires, in seconds since 1970.";
        text.one("hashvfl_authority_expiry_timestamp_seconds", "gauge", help, "", end_s);
    }
    if let Some(end_s) = status.revocation_list_end_s {
        let help =
            "When the first revocation list expires, in seconds since 1970; after that, no peer is accepted.";
        text.one("hashvfl_revocation_list_expiry_timestamp_seconds", "gauge", help, "", end_s);
    }
    if let Some(epochs) = &status.epochs {
        training(&mut text, epochs, status.run);
    }
    // A coordinator has an entry for each party from the start.
    match status.parties.is_empty() {
        true => party(&mut text, status),
        false => coordinator(&mut text, status),
    }
    text.0
}

/// What falls where a run goes on from a checkpoint is no counter.
fn training(text: &mut Text, epochs: &Epochs, run: RunTotals) {
    text.one("hashvfl_run_steps", "gauge", "The run's last step.", "", run.steps);
    text.one("hashvfl_run_epochs", "gauge", "Epochs of the run that are completed.", "", epochs.done);
    text.one("hashvfl_epochs_limit", "gauge", "Maximum number of epochs.", "", epochs.most);
    let done = u64::from(epochs.done) * u64::from(epochs.batches) + u64::from(epochs.batches_done);
    text.one("hashvfl_run_batches", "gauge", "Training batches of the run that are completed.", "", done);
    if let Some(loss) = epochs.train_loss {
        text.one("hashvfl_training_loss", "gauge", "Mean training loss of the last epoch.", "", loss);
    }
    if let Some(loss) = epochs.validation_loss {
        text.one("hashvfl_validation_loss", "gauge", "Validation loss after the last epoch.", "", loss);
    }
    if let Some((name, value)) = &epochs.metric {
        let label = format!("metric=\"{name}\"");
        text.one(
            "hashvfl_validation_metric",
            "gauge",
            "Metric on validation records after the last epoch.",
            &label,
            value,
        );
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

const OF_PARTY: [PartyMetric; 12] = [
    PartyMetric::gauge("connected", "1 if the party is connected, else 0.", |of| {
        Some(f64::from(u8::from(of.connected)))
    }),
    PartyMetric::gauge(
        "last_heard_timestamp_seconds",
        "When the party's last message arrived, in seconds since 1970.",
        |of| of.heard_s.map(|heard_s| heard_s as f64),
    ),
    PartyMetric::counter(
        "departures_total",
        "Number of times the party disconnected while predictions were served.",
        |of| Some(of.departures as f64),
    ),
    PartyMetric::counter("returns_total", "Number of times the party reconnected during a run.", |of| {
        Some(of.returns as f64)
    }),
    PartyMetric::counter("answer_seconds_total", "Seconds spent waiting for the party's answers.", |of| {
        Some(of.answer_seconds)
    }),
    PartyMetric::gauge(
        "lag_seconds",
        "Seconds by which the party answers later than the fastest party.",
        |of| Some(of.lag_seconds),
    ),
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
        "run_released_bytes",
        "Bits of the codes that a party released in the whole run, divided by 8.",
        |of| of.run_released_bits.map(|bits| bits as f64 / 8.0),
    ),
    PartyMetric::gauge("planned_bytes", "The most such bits that the whole run can ask for.", |of| {
        of.planned_bits.map(|bits| bits as f64 / 8.0)
    }),
    PartyMetric::gauge(
        "certificate_expiry_timestamp_seconds",
        "When the party's certificate expires, in seconds since 1970.",
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
        "Seconds from the first step to the last answer.",
        "",
        seconds,
    );
    let (received, sent) = (status.traffic.received_bytes, status.traffic.sent_bytes);
    text.one("hashvfl_received_bytes_total", "counter", "Bytes of messages from parties.", "", received);
    text.one("hashvfl_sent_bytes_total", "counter", "Bytes of messages to parties.", "", sent);
    if status.epochs.is_some() {
        let RunTotals { received_bytes, sent_bytes, .. } = status.run;
        let help = "Bytes of messages from parties in the whole run.";
        text.one("hashvfl_run_received_bytes", "gauge", help, "", received_bytes);
        let help = "Bytes of messages to parties in the whole run.";
        text.one("hashvfl_run_sent_bytes", "gauge", help, "", sent_bytes);
    }
    // Each from the start: the first refusal shows as a rise.
    let mut refusals = BTreeMap::from(REFUSALS.map(|why| (why.to_string(), 0)));
    refusals.extend(status.refusals.clone());
    text.each("hashvfl_refusals_total", "Refused peers, by reason.", "reason", &refusals);
    let of = status.predictions;
    text.one(
        "hashvfl_prediction_requests_total",
        "counter",
        "Prediction requests from clients.",
        "",
        of.requests,
    );
    text.head("hashvfl_predictions_total", "counter", "Records that clients asked for, by outcome.");
    text.sample("hashvfl_predictions_total", "outcome=\"predicted\"", of.predicted);
    text.sample("hashvfl_predictions_total", "outcome=\"missing\"", of.missing);
    text.one("hashvfl_judged_records_total", "counter", "Records that detectors judged.", "", of.judged);
    text.one("hashvfl_flagged_records_total", "counter", "Records that detectors flagged.", "", of.flagged);
    text.one(
        "hashvfl_drifted",
        "gauge",
        "1 if the inputs as a whole have drifted, else 0.",
        "",
        u8::from(of.drifted),
    );
}

fn party(text: &mut Text, status: &Status) {
    let of = status.released;
    text.one("hashvfl_released_codes_total", "counter", "Codes released by this party.", "", of.codes);
    // Prometheus counts bytes; promtool refuses bits.
    let bytes = of.bits as f64 / 8.0;
    text.one(
        "hashvfl_released_bytes_total",
        "counter",
        "Bits of the codes released by this party, divided by 8.",
        "",
        bytes,
    );
    if status.epochs.is_some() {
        let bytes = status.run.released_bits as f64 / 8.0;
        let help = "Bits released by this party in the whole run, divided by 8.";
        text.one("hashvfl_run_released_bytes", "gauge", help, "", bytes);
    }
    text.one("hashvfl_refused_records_total", "counter", "Records whose code was refused.", "", of.refused);
    text.each("hashvfl_requests_total", "Messages of the coordinator, by kind.", "kind", &status.requests);
    if let Some(budget) = &status.budget {
        used_up(text, budget);
    }
    if let Some(of) = &status.gradient_monitor {
        gradients(text, of);
    }
}

fn used_up(text: &mut Text, budget: &Budget) {
    let Budget { bits, encodings, epsilon, without_epsilon } = budget;
    let figures = [("bits", bits), ("encodings", encodings), ("epsilon", epsilon)];
    text.head("hashvfl_budget_used", "gauge", "The most that any record has used of its budget.");
    for (name, of) in figures {
        text.sample("hashvfl_budget_used", &format!("limit=\"{name}\""), of.used);
    }
    if figures.iter().any(|(_, of)| of.allowed.is_some()) {
        text.head("hashvfl_budget_allowed", "gauge", "The policy's limit per record, over all runs.");
    }
    for (name, of) in figures {
        if let Some(allowed) = of.allowed {
            text.sample("hashvfl_budget_allowed", &format!("limit=\"{name}\""), allowed);
        }
    }
    let help = "Records for which no finite epsilon holds.";
    text.one("hashvfl_budget_without_epsilon_records", "gauge", help, "", without_epsilon);
}

fn gradients(text: &mut Text, of: &GradientMonitorStatus) {
    let GradientMonitorStatus { batches, explained, suspicion, bound, alarm, earlier_score, earlier_bound } =
        of;
    let help = "Training batches of the run whose codes were released.";
    text.one("hashvfl_gradient_batches", "gauge", help, "", batches);
    let help = "Fraction of the last gradient that can be predicted from this party's own codes.";
    text.one("hashvfl_gradient_explained_ratio", "gauge", help, "", explained);
    let help = "Accumulated excess of the fractions that can be predicted.";
    text.one("hashvfl_gradient_suspicion", "gauge", help, "", suspicion);
    text.one(
        "hashvfl_gradient_suspicion_limit",
        "gauge",
        "Accumulated excess at which an alarm is raised.",
        "",
        bound,
    );
    let help = "Correlation of gradients with the noise in earlier codes, in standard deviations.";
    text.one("hashvfl_gradient_earlier_codes_score", "gauge", help, "", earlier_score);
    let help = "Score at which an alarm is raised.";
    text.one("hashvfl_gradient_earlier_codes_limit", "gauge", help, "", earlier_bound);
    text.one("hashvfl_gradient_alarm", "gauge", "1 if an alarm was raised, else 0.", "", u8::from(*alarm));
}

/// The text so far. Labels hold only names and versions, in which nothing has to be escaped.
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
        status.phase = ProcessPhase::Training;
        status.epochs = Some(Epochs { done: 3, most: 30, batches_done: 2, batches: 10, ..Epochs::default() });
        for name in ["bank", "telecom"] {
            status.party(&PartyName::new(name).unwrap()).connected = name == "bank";
        }
        let text = text(&status);
        for line in [
            "# TYPE hashvfl_phase gauge\n",
            "\nhashvfl_phase{phase=\"training\"} 1\n",
            "\nhashvfl_phase{phase=\"serving\"} 0\n",
            "\nhashvfl_run_batches 32\n",
            "\nhashvfl_refusals_total{reason=\"revoked\"} 0\n",
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
        for absent in ["training_loss", "last_heard", "certificate_", "authority", "revocation"] {
            assert!(!text.contains(absent), "there is none yet: {absent}");
        }
    }

    #[test]
    fn each_end_of_a_certificate_or_list_is_told_as_what_it_is() {
        let mut status = Status::new("coordinator", RunId::new("spring").unwrap());
        status.certificate_end_s = Some(3);
        status.authority_end_s = Some(4);
        status.revocation_list_end_s = Some(5);
        let text = text(&status);
        for (what, end_s) in [("certificate", 3), ("authority", 4), ("revocation_list", 5)] {
            let line = format!("\nhashvfl_{what}_expiry_timestamp_seconds {end_s}\n");
            assert!(text.contains(&line), "{line:?} is not in\n{text}");
        }
    }

    /// Names of all metrics of both sides.
    fn names() -> Vec<String> {
        let mut of_coordinator = Status::new("coordinator", RunId::new("spring").unwrap());
        let mut of_party = Status::new("bank", RunId::new("spring").unwrap());
        of_party.epochs = Some(Epochs::default());
        of_coordinator.epochs = Some(Epochs {
            train_loss: Some(0.5),
            validation_loss: Some(0.5),
            metric: Some(("AUC".into(), 0.7)),
            ..Epochs::default()
        });
        *of_coordinator.party(&PartyName::new("bank").unwrap()) = PartyStatus {
            heard_s: Some(1),
            certificate_end_s: Some(2),
            run_released_bits: Some(3),
            planned_bits: Some(4),
            ..PartyStatus::default()
        };
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
