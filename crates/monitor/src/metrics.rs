//! A status in Prometheus's text format. Every metric is described in docs/reference/metrics.md.

use std::fmt::{Display, Write};

use crate::status::{Epochs, Phase, Status};

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

fn coordinator(text: &mut Text, status: &Status) {
    text.head("hashvfl_party_connected", "gauge", "Whether a party is there.");
    for (party, of) in &status.parties {
        text.sample("hashvfl_party_connected", &format!("party=\"{party}\""), u8::from(of.connected));
    }
    text.head("hashvfl_party_departures_total", "counter", "How often a party went away.");
    for (party, of) in &status.parties {
        text.sample("hashvfl_party_departures_total", &format!("party=\"{party}\""), of.departures);
    }
    text.head("hashvfl_party_answer_seconds_total", "counter", "Time spent waiting for a party's answers.");
    for (party, of) in &status.parties {
        text.sample("hashvfl_party_answer_seconds_total", &format!("party=\"{party}\""), of.answer_seconds);
    }
    let (received, sent) = (status.traffic.received_bytes, status.traffic.sent_bytes);
    text.one("hashvfl_received_bytes_total", "counter", "Bytes of messages from parties.", "", received);
    text.one("hashvfl_sent_bytes_total", "counter", "Bytes of messages to parties.", "", sent);
    let of = status.predictions;
    text.one("hashvfl_prediction_requests_total", "counter", "Requests of clients.", "", of.requests);
    text.head(
        "hashvfl_predictions_total",
        "counter",
        "Records that clients asked for, by what became of them.",
    );
    text.sample("hashvfl_predictions_total", "outcome=\"predicted\"", of.predicted);
    text.sample("hashvfl_predictions_total", "outcome=\"missing\"", of.missing);
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

    fn one(&mut self, name: &str, kind: &str, help: &str, labels: &str, value: impl Display) {
        self.head(name, kind, help);
        self.sample(name, labels, value);
    }
}

#[cfg(test)]
mod tests {
    use hashvfl_core::{PartyName, RunId};

    use super::*;

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
        ] {
            assert!(text.contains(line), "{line:?} is not in\n{text}");
        }
        let mut heads: Vec<&str> = text.lines().filter(|line| line.starts_with("# TYPE")).collect();
        let count = heads.len();
        heads.sort_unstable();
        heads.dedup();
        assert_eq!(heads.len(), count);
        assert!(!text.contains("training_loss"), "there is none yet");
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
        let of_party = Status::new("bank", RunId::new("spring").unwrap());
        of_coordinator.party(&PartyName::new("bank").unwrap());
        let mut names = Vec::new();
        for status in [&of_coordinator, &of_party] {
            for line in text(status).lines().filter(|line| line.starts_with("# TYPE ")) {
                names.push(line.split(' ').nth(2).unwrap().to_string());
            }
        }
        assert!(names.len() > 20, "{names:?}");
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
            include_str!("../../../monitoring/alerts.yml"),
            include_str!("../../../monitoring/alerts.test.yml"),
            include_str!("../../../monitoring/dashboard.json"),
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
