//! Checks on the harness itself, told in every report.

use hashvfl_core::codes::randomised_response::Response;
use hashvfl_core::random::{shuffle, stream};

use crate::evaluation::victim::{AttackSurface, VictimContext};
use crate::evidence::knowledge::Fact;
use crate::evidence::observed::ObservedAt;
use crate::report::Check;

impl VictimContext<'_> {
    /// An attack on codes that were dealt out anew must fall to what it knows without codes.
    pub fn shuffled(&self, codes: &AttackSurface) -> anyhow::Result<Check> {
        let records: Vec<u32> =
            self.frozen.auxiliary(self.config.share()).iter().chain(&self.frozen.targets).copied().collect();
        let mut order = records.clone();
        shuffle(&mut order, &mut stream(self.config.seed, "shuffled codes", &[]));
        let observed = codes.observed.shuffled(&records, &order);
        let scene_of = AttackSurface { observed: &observed, ..codes.clone() };
        let attack_context = self.frozen_context(&scene_of);
        let (with, without) = (
            attack_context.conditional_mean(&[Fact::Label, Fact::AllCodes])?,
            attack_context.conditional_mean(&[Fact::Label])?,
        );
        let gain = self.frozen_scorer.gain(&with.errors, &without.errors);
        Ok(Check {
            name: "on shuffled codes the attack falls to the one without codes".into(),
            held: gain.low <= 0.0,
            detail: format!(
                "skill gained by shuffled codes: {:.4} ({:.4} to {:.4})",
                gain.value, gain.low, gain.high
            ),
        })
    }

    /// The manifest's model must give the very codes of the transcript.
    pub fn same_codes(&self, codes: &AttackSurface) -> anyhow::Result<Check> {
        let records = &self.frozen.targets;
        let encoded = self.owner.encoder.encode(self.owner.columns.gather(records), records.len());
        let seen = codes.observed.gather(self.victim, ObservedAt::Frozen, records)?;
        let same = encoded.iter().zip(&seen).filter(|(v, bit)| (**v >= 0.0) == (**bit > 0.0)).count();
        let (bits, detail) = (seen.len() as f64, format!("{same} of {} bits are equal", seen.len()));
        let name = "the manifest's model and columns give the transcript's codes".into();
        let Some(epsilon) = self.evidence.coordinator.run.randomised_response else {
            return Ok(Check { name, held: same == seen.len(), detail });
        };
        // Which bits are flipped only the party's key tells; how many, everybody knows.
        let share = 1.0 - Response::flip_probability(epsilon);
        let (expected, deviation) = (bits * share, (bits * share * (1.0 - share)).sqrt());
        Ok(Check {
            name,
            held: (same as f64 - expected).abs() <= 5.0 * deviation,
            detail: format!("{detail}, {expected:.0} within {:.0} expected under flips", 5.0 * deviation),
        })
    }
}
