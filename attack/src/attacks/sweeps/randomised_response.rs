//! The same run with randomised response on every bit, or on every level.

use hashvfl_core::RunSettings;
use hashvfl_core::codes::randomised_response::{cost_in_words, cost_of_a_draw};
use hashvfl_learning::encoder::CutLayer;

use crate::attacks::reconstruction::conditional_mean::KNOWS;
use crate::attacks::sweeps::epochs::everything_of;
use crate::evaluation::PrivacyEvaluation;
use crate::evaluation::adversary::ObservedRelease;
use crate::evaluation::attack::{About, Attack, Need};
use crate::evaluation::grid::AdversaryGrid;
use crate::evaluation::victim::AttackSurface;
use crate::evidence::simulation::{RunVariant, simulate};
use crate::report::{Defence, Population, Sent};

/// The conditional mean of flipped codes, at each epsilon that the config names: one of a test record, and all that training
/// and validation records sent over the epochs.
pub struct OverEpsilons;

impl Attack for OverEpsilons {
    fn about(&self) -> About {
        About { title: "randomised response", knows: KNOWS, needs: &[Need::RandomisedResponse] }
    }

    fn run(&self, evaluation: &mut PrivacyEvaluation) -> anyhow::Result<()> {
        for epsilon in &evaluation.victim.config.randomised_response {
            at(evaluation, *epsilon)?;
        }
        Ok(())
    }
}

fn at(evaluation: &mut PrivacyEvaluation, epsilon: f64) -> anyhow::Result<()> {
    let (victim, surfaces) = (evaluation.victim, evaluation.surfaces);
    let run = &victim.evidence.coordinator.run;
    // Test records are encoded once, by a model that others are fitted on.
    let settings = RunSettings { randomised_response: Some(epsilon), ..run.clone() };
    let form = settings.code_of(&victim.owner.config.name);
    let draw = cost_of_a_draw(&settings, form).unwrap_or_default();
    let each = if form.is_signs() { "bit" } else { "latent" };
    evaluation
        .say(&format!("simulating randomised response with epsilon {epsilon} per {each}, {draw} per draw"));
    let path = evaluation.out.join(format!("simulated-epsilon{epsilon}.parquet"));
    let simulated = simulate(victim.evidence, &RunVariant::new(&settings, CutLayer::Hash), &path)?;
    let cost = cost_in_words(&settings, form).unwrap_or_default();
    let defence = Defence::new(Sent::RandomisedResponse { bits: form.bits(), cost });
    let surface = AttackSurface::repeated(&simulated, &surfaces.codes, defence);
    evaluation.keep_grid(&mut AdversaryGrid::new(
        victim,
        &surface,
        &victim.test,
        &[ObservedRelease::OneCode],
    ))?;
    // What noise hides in one code, the codes of many epochs show.
    for records in [Some(&victim.training), victim.validation.as_ref()].into_iter().flatten() {
        let releases = everything_of(victim, &surface, records);
        evaluation.keep_grid(&mut AdversaryGrid::new(victim, &surface, records, &releases))?;
    }
    let setting = format!("epsilon {epsilon} per {each}, {draw} per draw, {draw} over the run");
    let point = evaluation.price("randomised response", setting, &surface, Population::Test);
    evaluation.findings.utility.extend(point);
    let setting = format!("epsilon {epsilon} per {each}, {draw} per draw, all epochs");
    let point = evaluation.price("randomised response", setting, &surface, Population::Training);
    evaluation.findings.utility.extend(point);
    Ok(())
}
