//! What a training loop leaves: detectors, what was measured, and the files of the state folder.

use std::collections::BTreeMap;

use anyhow::Context;
use hashvfl_core::p_value::PackedPValues;
use hashvfl_core::{PackedCodes, Part, PartyName, Plan, RunRecords, StoredCodes};
use hashvfl_detectors::calibration::split::shared_calibration;
use hashvfl_files::{remove_if_there, write_whole};
use hashvfl_learning::Classifier;
use hashvfl_learning::metrics::Balance;
use hashvfl_learning::top::evaluation::Evaluation;
use hashvfl_learning::training::TrainingOutcome;
use hashvfl_monitor::BitBalance;

use super::Run;
use super::network::NetworkedParties;
use super::screening::Screener;
use crate::config::CoordinatorConfig;
use crate::detectors::{self, FittedDetectors, FromParties};
use crate::finished;
use crate::state::StateFolder;
use crate::summary::{Bytes, FlagSummary, RecordCounts, Seconds, Summary};
use crate::top_file::TopFile;

/// A run after its last epoch.
pub struct TrainedRun<'a> {
    /// The run's plan, without records that it went on without.
    pub plan: Plan,
    /// Ids of all records, in row order.
    pub ids: Vec<String>,
    /// Names of the classes, in their order; none for a regression.
    pub classes: Vec<String>,
    /// Which records the run was about.
    pub records: RunRecords,
    /// The top model.
    pub classifier: Classifier,
    /// What screened the training records, if anything did.
    pub screener: Option<Screener<'a>>,
    /// How the training loop went.
    pub outcome: TrainingOutcome<PackedCodes>,
    /// How long it took.
    pub seconds: Seconds,
}

impl TrainedRun<'_> {
    /// Fits detectors, measures, writes everything into the state folder, and ends the run at all parties.
    ///
    /// # Errors
    /// If detectors cannot be fitted, a file cannot be written, or a party is lost. The run has not finished then.
    pub fn keep(self, run: &Run<'_>, network: &mut NetworkedParties<'_>) -> anyhow::Result<Summary> {
        let config = run.config;
        let from_parties = FromParties {
            synthetic: &self.outcome.synthetic,
            p_values: &ask_for_p_values(&self.plan, network)?,
        };
        let signs = |rows: &[u32]| self.signs(rows);
        let fitted = detectors::fit(
            &config.detectors,
            config.seed,
            &self.plan,
            &self.classifier,
            &signs,
            from_parties,
        )?;
        let flags = self.measure_flags(config, fitted.as_ref())?;
        let summary = self.summarise(run, network, flags);
        self.keep_screened(run.state)?;
        keep_detectors(run.state, fitted.as_ref())?;
        let Self { classes, records, classifier, outcome, .. } = self;
        let top = TopFile::of(&classifier, outcome.encoders.clone(), classes, records.digest());
        run.state.keep_records(&records)?;
        let mut model = top.to_snapshot(&config.run);
        model.text.insert(finished::RUN.into(), run.name.to_string());
        run.state.prepare(&model, &summary)?;
        let codes = outcome.encoders.into_iter().zip(outcome.tables);
        for (party, (encoder, table)) in config.run.parties.iter().zip(codes) {
            let codes = StoredCodes { encoder, records: records.digest(), table };
            run.state.keep_codes(party, &codes)?;
        }
        network.finish()?;
        run.state.finish(&config.run.parties)?;
        Ok(summary)
    }

    /// Codes of `rows` as row-major signs, one part per party.
    fn signs(&self, rows: &[u32]) -> Vec<Vec<f32>> {
        // Unwrap safety: the training loop keeps the codes of all test and calibration records.
        self.outcome.tables.iter().map(|table| table.signs(rows).expect("a kept row")).collect()
    }

    /// The flags that test records get, where there are detectors.
    fn measure_flags(
        &self,
        config: &CoordinatorConfig,
        fitted: Option<&FittedDetectors>,
    ) -> anyhow::Result<Option<FlagSummary>> {
        let Some(FittedDetectors { detectors, .. }) = fitted else { return Ok(None) };
        let signs = |rows: &[u32]| self.signs(rows);
        let test = self.plan.part(Part::Test);
        let (settings, seed) = (&config.detectors, config.seed);
        Ok(Some(detectors::measure(settings, seed, detectors, &self.classifier, &signs, test)?))
    }

    /// What the test metric is without each party's codes.
    fn evaluate_without_each(&self, config: &CoordinatorConfig) -> BTreeMap<PartyName, Evaluation> {
        let test = self.plan.part(Part::Test);
        let signs = |rows: &[u32]| self.signs(rows);
        let mut without = BTreeMap::new();
        if test.is_empty() {
            return without;
        }
        for (index, party) in config.run.parties.iter().enumerate() {
            without.insert(party.clone(), self.classifier.evaluate_without(index, &signs, test));
        }
        without
    }

    /// How evenly each party's bits are set, on test records.
    fn balance(&self, run: &Run<'_>) -> BTreeMap<PartyName, Balance> {
        let test = self.plan.part(Part::Test);
        let mut balance = BTreeMap::new();
        if test.is_empty() {
            return balance;
        }
        for (party, table) in run.config.run.parties.iter().zip(&self.outcome.tables) {
            if let Ok(signs) = table.signs(test) {
                if let Some(balance) = BitBalance::of_signs(&signs, table.bits()) {
                    run.reporter.board().set_balance(party.as_str(), balance);
                }
                balance.extend(Balance::of(&signs, table.bits()).map(|told| (party.clone(), told)));
            }
        }
        balance
    }

    fn summarise(
        &self,
        run: &Run<'_>,
        network: &NetworkedParties<'_>,
        flags: Option<FlagSummary>,
    ) -> Summary {
        let (config, outcome) = (run.config, &self.outcome);
        let settings = config.run.to_settings();
        let digests = outcome.encoders.iter().map(ToString::to_string);
        let (up_per_record_and_step, down_per_record_and_step) = network.traffic.per_record_and_step();
        Summary {
            version: env!("CARGO_PKG_VERSION").to_string(),
            run_id: config.run_id.clone(),
            settings: settings.pairs().map(|(key, value)| (key.to_string(), value.to_string())).collect(),
            settings_sha256: settings.digest().to_string(),
            encoders_sha256: config.run.parties.iter().cloned().zip(digests).collect(),
            transcript_head: network.transcript_head().map(|head| head.to_string()),
            device: run.opened.name.clone(),
            records: RecordCounts::of(&self.plan),
            excluded: run.excluded.iter().map(|(party, rows)| (party.clone(), rows.count())).collect(),
            best_epoch: outcome.best_epoch,
            epochs: outcome.curve.clone(),
            metric: Evaluation::metric_name(config.run.task).to_string(),
            test: outcome.test,
            without: self.evaluate_without_each(config),
            flags,
            screening: self.screener.as_ref().map(Screener::summary).unwrap_or_default(),
            bits_released_per_record: outcome.released,
            balance: self.balance(run),
            bytes: Bytes {
                up: network.traffic.up_bytes,
                down: network.traffic.down_bytes,
                up_per_record_and_step,
                down_per_record_and_step,
            },
            seconds: self.seconds,
        }
    }

    /// Writes the table of flagged training records, where there was screening.
    fn keep_screened(&self, state: &StateFolder) -> anyhow::Result<()> {
        let Some(screener) = &self.screener else { return Ok(()) };
        let Some(table) = screener.table(&self.ids)? else { return Ok(()) };
        Ok(write_whole(&state.screened(), &table)?)
    }
}

/// What each party's own detectors say of the records that calibrate; nothing where none do.
fn ask_for_p_values(
    plan: &Plan,
    network: &mut NetworkedParties<'_>,
) -> anyhow::Result<Vec<Option<PackedPValues>>> {
    match shared_calibration(plan.part(Part::Calibration)).len() {
        0 => Ok(Vec::new()),
        count => Ok(network.calibration_p_values(count)?),
    }
}

/// Writes what judges records, in place of what a run that did not finish has left.
fn keep_detectors(state: &StateFolder, fitted: Option<&FittedDetectors>) -> anyhow::Result<()> {
    for path in [state.detectors(), state.references(), state.evidence()] {
        remove_if_there(&path).with_context(|| format!("cannot remove {}", path.display()))?;
    }
    let Some(FittedDetectors { detectors, references, evidence }) = fitted else { return Ok(()) };
    hashvfl_detectors::file::write(&state.detectors(), detectors)?;
    if let Some(references) = references {
        hashvfl_detectors::file::write(&state.references(), references)?;
    }
    if let Some(evidence) = evidence {
        hashvfl_detectors::file::write(&state.evidence(), evidence)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_picture_of_bits_is_what_the_summary_says_of_them() {
        let bits = 5;
        let sign = |at: usize| if (at * at + at / 3) % 7 < 1 + at % bits { 1.0 } else { -1.0 };
        let signs: Vec<f32> = (0..40 * bits).map(sign).collect();
        let shown = BitBalance::of_signs(&signs, bits).unwrap();
        let off: Vec<f64> =
            shown.ones_per_mille.iter().map(|ones| (f64::from(*ones) / 500.0 - 1.0).abs()).collect();
        let told = Balance::of(&signs, bits).unwrap();
        let mean = off.iter().sum::<f64>() / bits as f64;
        assert!((mean - told.mean_abs_bit_mean).abs() < 0.002, "{mean} and {told:?}");
        let most = off.iter().copied().fold(0.0, f64::max);
        assert!(most > 0.1 && (most - told.max_abs_bit_mean).abs() < 0.002, "{most} and {told:?}");
    }
}
