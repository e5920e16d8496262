//! The same run with encode-once training: what is leaked about records outside the cohort (one code each) and about records of
//! the cohort (one code per epoch).

use hashvfl_core::{Part, RunSettings};
use hashvfl_learning::encoder::CutLayer;

use crate::attacks::reconstruction::conditional_mean::KNOWS;
use crate::attacks::sweeps::epochs::everything_of;
use crate::evaluation::PrivacyEvaluation;
use crate::evaluation::adversary::{Adversary, ObservedRelease};
use crate::evaluation::attack::{About, Attack, Need};
use crate::evaluation::findings::ChartId;
use crate::evaluation::grid::AdversaryGrid;
use crate::evaluation::victim::{AttackSurface, LEAST_RECORDS};
use crate::evidence::simulation::{RunVariant, encoded_once, simulate};
use crate::report::{Curve, Defence, Population, Sent, UtilityPoint};

/// What is tried.
const TITLE: &str = "simulating encode-once training";
/// Fraction of the records that learn the bottom models.
const COHORT: f64 = 0.2;

/// The conditional mean of records outside the cohort of encode-once training, and of everything that those of the cohort sent.
pub struct EncodeOnce;

impl Attack for EncodeOnce {
    fn about(&self) -> About {
        About { title: TITLE, knows: KNOWS, needs: &[Need::EncodeOnce] }
    }

    fn run(&self, evaluation: &mut PrivacyEvaluation) -> anyhow::Result<()> {
        let (victim, surfaces) = (evaluation.victim, evaluation.surfaces);
        let evidence = victim.evidence;
        let run = &evidence.coordinator.run;
        let settings = RunSettings { cohort_fraction: COHORT, ..run.clone() };
        let rows = encoded_once(evidence, &settings)?;
        if rows.len() < LEAST_RECORDS {
            evaluation
                .not_tried
                .push(format!("{TITLE}, since fewer than {LEAST_RECORDS} records are outside the cohort"));
            return Ok(());
        }
        let path = evaluation.out.join("simulated-encode-once.parquet");
        let once = simulate(evidence, &RunVariant::new(&settings, CutLayer::Hash), &path)?;
        let records = victim.records(Population::OutsideCohort, &rows)?;
        let bits = run.code_of(&victim.owner.config.name).bits();
        let defence = Defence::new(Sent::EncodeOnce { bits });
        let surface = AttackSurface::repeated(&once, &surfaces.codes, defence);
        let mut grid = AdversaryGrid::new(victim, &surface, &records, &[ObservedRelease::OneCode]);
        evaluation.keep_grid(&mut grid)?;
        // Whatever the number of epochs, such a record has sent this one code.
        for adversary in [Adversary::Stranger, Adversary::strongest(victim)] {
            let skill = grid.outcome(adversary, ObservedRelease::OneCode)?.skill();
            let points = [1.0, f64::from(run.epochs)].map(|epochs| (epochs, skill)).to_vec();
            let name = format!("{}, records outside the cohort: one code each, {adversary}", surface.defence);
            if let Some(chart) = evaluation.findings.charts.get_mut(&ChartId::Epochs) {
                chart.curves.push(Curve { name, points });
            }
        }
        let setting = format!("{:.0} % cohort, d = {}", COHORT * 100.0, bits);
        let outside = evaluation.price("encode-once", setting.clone(), &surface, Population::OutsideCohort);
        let plan = evidence.plan_under(&settings)?;
        let mut points: Vec<UtilityPoint> = outside.into_iter().collect();
        for (population, part) in
            [(Population::Training, Part::CohortTrain), (Population::Validation, Part::CohortValidation)]
        {
            if plan.part(part).len() < LEAST_RECORDS {
                continue;
            }
            let records = victim.records(population, plan.part(part))?;
            let mut releases = everything_of(victim, &surface, &records);
            // What says less would take as long again.
            releases.drain(..releases.len() - 1);
            let mut grid = AdversaryGrid::new(victim, &surface, &records, &releases);
            evaluation.keep_grid(&mut grid)?;
            points.extend(evaluation.price("encode-once", setting.clone(), &surface, population));
        }
        // Whom it costs most.
        let worst = points.into_iter().max_by(|a, b| a.leakage.value.total_cmp(&b.leakage.value));
        evaluation.findings.utility.extend(worst);
        Ok(())
    }
}
