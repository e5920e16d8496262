//! The same attack over epochs, auxiliary shares, code lengths and other defences. Runs under other settings than
//! the one that was recorded go through the same course in this process.

use std::path::Path;

use anyhow::Context;
use hashvfl_core::RunSettings;
use hashvfl_core::codes::randomised_response::cost_in_words;
use hashvfl_learning::encoder::CutLayer;

use crate::evaluation::score::Scorer;
use crate::evaluation::victim::{
    AttackSurface, Findings, OUTSIDE, TEST, VictimContext, most_auxiliary, skill,
};
use crate::evidence::knowledge::{Fact, names as known};
use crate::evidence::simulation::{RunVariant, Simulated, encoded_once, simulate};
use crate::evidence::split::Split;
use crate::report::{Chart, Check, Curve, CutKind, UtilityPoint, names};

/// Share of the records that learn the bottom models where the run is repeated with encode-once training.
const COHORT: f64 = 0.2;

impl VictimContext<'_> {
    /// The codes of a run that was repeated in this process.
    pub fn simulated_codes<'b>(&self, run: &'b Simulated, defence: String) -> AttackSurface<'b> {
        AttackSurface {
            observed: &run.observed,
            encoders: run.encoders.iter().collect(),
            top: Some(&run.top),
            cut: CutKind::Codes,
            defence,
            value_bits: 1,
        }
    }

    /// Skill over the number of epochs whose codes were seen, on training records.
    pub fn over_epochs(&self, cuts: &[&AttackSurface], findings: &mut Findings) -> anyhow::Result<Chart> {
        let mut curves = Vec::new();
        if let Some(first) = cuts.first() {
            findings.keep(self.trained_context(first).conditional_mean(&[])?);
            findings.keep(self.trained_context(first).conditional_mean(&[Fact::Label])?);
        }
        for attackable in cuts {
            let attack_context = self.trained_context(attackable);
            let epochs = attackable.observed.epochs();
            let seen: Vec<u32> =
                (0..).map(|power| 1_u32 << power).take_while(|n| *n < epochs).chain([epochs]).collect();
            let mut points = Vec::new();
            for epochs in seen.iter().copied().filter(|epochs| *epochs > 0) {
                let attacked = attack_context.conditional_mean(&[Fact::EpochCodes(epochs)])?;
                points.push((f64::from(epochs), skill(&attacked)));
                if Some(&epochs) == seen.last() {
                    findings.keep(attacked);
                    findings.keep(attack_context.conditional_mean(&[Fact::Label, Fact::EpochCodes(epochs)])?);
                }
            }
            curves.push(Curve { name: attackable.defence.clone(), points });
        }
        Ok(Chart {
            title: "Leakage over epochs, on training records".into(),
            x: "epochs whose codes the adversary has".into(),
            log_x: true,
            y: names::SKILL.into(),
            curves,
        })
    }

    /// Skill over the auxiliary share, and whether it grows.
    pub fn over_auxiliary_fraction(&self, codes: &AttackSurface) -> anyhow::Result<(Chart, Vec<Check>)> {
        let (mut points, mut errors) = (Vec::new(), Vec::new());
        for share in &self.config.auxiliary_fractions {
            let attack_context =
                self.attack_context(codes, (&self.frozen, &self.frozen_scorer, TEST), *share);
            let attacked = attack_context.conditional_mean(&[Fact::Label, Fact::AllCodes])?;
            points.push((share * 100.0, skill(&attacked)));
            errors.push(attacked.errors);
        }
        let mut checks = Vec::new();
        if let [first, .., last] = errors.as_slice() {
            let gain = self.frozen_scorer.gain(last, first);
            checks.push(Check {
                name: "more auxiliary records make the attack stronger".into(),
                held: gain.low > 0.0,
                detail: format!(
                    "skill gained between the smallest and the largest share: {:.3} ({:.3} to {:.3})",
                    gain.value, gain.low, gain.high
                ),
            });
        }
        let name = format!("conditional mean of {}, labels and all parties' codes", codes.defence);
        let chart = Chart {
            title: "Leakage over the auxiliary share".into(),
            x: "auxiliary records, per cent".into(),
            log_x: true,
            y: names::SKILL.into(),
            curves: vec![Curve { name, points }],
        };
        Ok((chart, checks))
    }

    /// The same run with encode-once training: what its records outside the cohort leak, which send one code each.
    pub fn encode_once(&self, out: &Path, findings: &mut Findings) -> anyhow::Result<(UtilityPoint, Curve)> {
        let run = &self.evidence.coordinator.run;
        let settings = RunSettings { cohort_fraction: COHORT, ..run.clone() };
        let path = out.join("simulated-encode-once.parquet");
        let once = simulate(self.evidence, &RunVariant::new(&settings, CutLayer::Hash), &path)?;
        let records = encoded_once(self.evidence, &settings)?;
        let split = Split::new(&records, most_auxiliary(self.owner), self.config.seed)
            .context("records outside the cohort")?;
        let rows = (split.auxiliary(self.config.share()), split.targets.as_slice());
        let owner = self.owner;
        let scorer = Scorer::new(&owner.columns, owner.image, &self.evidence.labels, rows, self.config.seed);
        let attackable = self.simulated_codes(&once, format!("encode-once, d = {}", run.bits));
        let attack_context =
            self.attack_context(&attackable, (&split, &scorer, OUTSIDE), self.config.share());
        findings.keep(attack_context.conditional_mean(&[])?);
        findings.keep(attack_context.conditional_mean(&[Fact::Label])?);
        let one = attack_context.conditional_mean(&[Fact::Code])?;
        // Whatever the number of epochs, such a record has sent this one code.
        let points = [1.0, f64::from(run.epochs)].map(|epochs| (epochs, skill(&one))).to_vec();
        let name = format!("{}, records outside the cohort: one code each", attackable.defence);
        findings.keep(one);
        findings.keep(attack_context.conditional_mean(&[Fact::Label, Fact::AllCodes])?);
        let setting = format!("{:.0} % cohort, d = {}", COHORT * 100.0, run.bits);
        let point = self.utility(("encode-once", setting), once.utility, findings, (&attackable, OUTSIDE));
        Ok((point, Curve { name, points }))
    }

    /// The same run with randomised response on every bit.
    pub fn responding(
        &self,
        out: &Path,
        epsilon: f64,
        facts: &[Fact],
        findings: &mut Findings,
    ) -> anyhow::Result<UtilityPoint> {
        let run = &self.evidence.coordinator.run;
        let settings = RunSettings { randomised_response: Some(epsilon), ..run.clone() };
        let cost = cost_in_words(&settings).unwrap_or_default();
        let simulated = simulate(
            self.evidence,
            &RunVariant::new(&settings, CutLayer::Hash),
            &out.join(format!("simulated-epsilon{epsilon}.parquet")),
        )?;
        let attackable =
            self.simulated_codes(&simulated, format!("randomised response, {cost}, d = {}", run.bits));
        let attack_context = self.frozen_context(&attackable);
        for facts in [&[Fact::Code][..], facts] {
            findings.keep(attack_context.conditional_mean(facts)?);
        }
        // What noise hides in one code, the codes of many epochs show.
        let everything = [Fact::EpochCodes(attackable.observed.epochs())];
        findings.keep(self.trained_context(&attackable).conditional_mean(&everything)?);
        // Test records are encoded once, by a model that others are fitted on.
        let draw = epsilon * run.bits as f64;
        let setting = format!("epsilon {epsilon} a bit, {draw} a draw, {draw} over the run");
        Ok(self.utility(("randomised response", setting), simulated.utility, findings, (&attackable, TEST)))
    }

    /// The same run with other code lengths: one code of test records, and the codes of all epochs of training records.
    pub fn over_bits(
        &self,
        out: &Path,
        tell: &mut dyn FnMut(&str),
        facts: &[Fact],
        utility: &mut Vec<UtilityPoint>,
        findings: &mut Findings,
    ) -> anyhow::Result<Chart> {
        let run = &self.evidence.coordinator.run;
        let mut lengths = self.config.bits.clone();
        lengths.sort_unstable();
        lengths.dedup();
        let (mut one, mut most, mut all) = (Vec::new(), Vec::new(), Vec::new());
        for bits in lengths {
            tell(&format!("simulating the run with d = {bits}"));
            let settings = RunSettings { bits, ..run.clone() };
            let path = out.join(format!("simulated-d{bits}.parquet"));
            let simulated = simulate(self.evidence, &RunVariant::new(&settings, CutLayer::Hash), &path)?;
            let attackable = self.simulated_codes(&simulated, format!("simulated codes, d = {bits}"));
            let attack_context = self.frozen_context(&attackable);
            for (facts, points) in [(&[Fact::Code][..], &mut one), (facts, &mut most)] {
                let attacked = attack_context.conditional_mean(facts)?;
                points.push((bits as f64, skill(&attacked)));
                findings.keep(attacked);
            }
            let of_epochs = [Fact::EpochCodes(attackable.observed.epochs())];
            let attacked = self.trained_context(&attackable).conditional_mean(&of_epochs)?;
            all.push((bits as f64, skill(&attacked)));
            findings.keep(attacked);
            let setting = format!("d = {bits}");
            utility.push(self.utility(
                ("hash codes", setting),
                simulated.utility,
                findings,
                (&attackable, TEST),
            ));
        }
        let codes = if facts.contains(&Fact::AllCodes) { "all parties' codes" } else { "the code" };
        let strongest = [known(facts), vec![codes.to_string()]].concat().join(" and ");
        let curve = |name: String, points| Curve { name, points };
        Ok(Chart {
            title: "Leakage over the code's length".into(),
            x: "bits of a code".into(),
            log_x: true,
            y: names::SKILL.into(),
            curves: vec![
                curve("conditional mean of one code of a test record".into(), one),
                curve(format!("conditional mean of {strongest}"), most),
                curve("conditional mean of all epochs' codes of a training record".into(), all),
            ],
        })
    }
}
