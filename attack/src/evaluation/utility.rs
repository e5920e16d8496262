//! The privacy-utility trade-off of each defence: the task's metric, and what the adversary that knows most gets.

use crate::attacks::AttackId;
use crate::evaluation::PrivacyEvaluation;
use crate::evaluation::adversary::Adversary;
use crate::evaluation::victim::AttackSurface;
use crate::evidence::knowledge::known;
use crate::metrics::dcs;
use crate::report::{AttackResult, Estimate, Metric, Population, UtilityPoint, baseline_of};

const NOTHING: Estimate = Estimate { value: 0.0, low: 0.0, high: 0.0 };

impl PrivacyEvaluation<'_> {
    /// A point of the trade-off of a defence: what the adversary of the grid that knows most gets of such records; nothing where it
    /// was not attacked. It is the same adversary for every defence, whatever else was tried on one of them.
    pub fn price(
        &self,
        defence: &str,
        setting: String,
        surface: &AttackSurface,
        of: Population,
    ) -> Option<UtilityPoint> {
        let victim = self.victim.columns(of);
        let utility = surface.utility.unwrap_or(f64::NAN);
        let lost = self.surfaces.floats.utility.unwrap_or(f64::NAN) - utility;
        let attacks = self.findings.on(&surface.defence, &victim);
        let knows = known(&Adversary::strongest(self.victim).facts(self.victim.evidence.owners.len()));
        let attacks = attacks.filter(|attacked| {
            let AttackResult { attack, cut, knowledge, .. } = &attacked.result;
            let in_grid =
                matches!(attack, AttackId::ConditionalMean | AttackId::Steering | AttackId::AfterHijack);
            in_grid && *cut == surface.cut && knowledge.starts_with(&knows)
        });
        let strongest = attacks.max_by(|a, b| a.skill().value.total_cmp(&b.skill().value))?;
        let results = || self.findings.attacked.iter().map(|attacked| &attacked.result);
        let baseline = baseline_of(results, &strongest.result);
        let skill_of_baseline = baseline.and_then(|result| result.metrics.get(&Metric::Skill));
        let dcs = strongest.result.metrics.get(&Metric::Mse).map(|mse| {
            let score = |mse: f64| dcs::defence_capability(1.0 - mse, lost, dcs::BETA);
            Estimate { value: score(mse.value), low: score(mse.low), high: score(mse.high) }
        });
        let known: Vec<String> = strongest.result.knowledge.iter().map(ToString::to_string).collect();
        Some(UtilityPoint {
            defence: defence.to_string(),
            setting,
            utility,
            utility_interval: None,
            leakage: strongest.skill(),
            baseline: skill_of_baseline.copied().unwrap_or(NOTHING),
            dcs,
            strongest: format!("{} from {}", strongest.result.attack, known.join(", ")),
        })
    }

    /// Puts the run itself and its float baseline before the other defences.
    pub fn price_surfaces(&mut self) {
        let (codes, floats) = (&self.surfaces.codes, &self.surfaces.floats);
        let form = self.victim.code_form();
        let (bits, floats_a_record) = (form.bits(), form.latents());
        let points = [
            self.price("hash codes", format!("d = {bits}"), codes, Population::Test),
            self.price("hash codes, all epochs", format!("d = {bits}"), codes, Population::Training),
            self.price("none", format!("{floats_a_record} floats"), floats, Population::Test),
        ];
        self.findings.utility.splice(0..0, points.into_iter().flatten());
    }
}
