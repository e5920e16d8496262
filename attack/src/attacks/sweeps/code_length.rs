//! The same run with other code lengths: one code of test records, and the codes of all epochs of training records.

use hashvfl_core::RunSettings;
use hashvfl_learning::encoder::CutLayer;

use crate::attacks::reconstruction::conditional_mean::KNOWS;
use crate::attacks::sweeps::epochs::everything;
use crate::evaluation::PrivacyEvaluation;
use crate::evaluation::adversary::{Adversary, ObservedRelease};
use crate::evaluation::attack::{About, Attack, Need};
use crate::evaluation::findings::ChartId;
use crate::evaluation::grid::AdversaryGrid;
use crate::evaluation::victim::AttackSurface;
use crate::evidence::simulation::{RunVariant, simulate};
use crate::report::{Chart, Curve, Defence, Metric, Population, Sent};

/// The conditional mean at each code length that the config names.
pub struct OverCodeLengths;

impl Attack for OverCodeLengths {
    fn about(&self) -> About {
        About {
            title: "leakage over the code's length",
            knows: KNOWS,
            needs: &[Need::CodeLengths, Need::Signs],
        }
    }

    fn run(&self, evaluation: &mut PrivacyEvaluation) -> anyhow::Result<()> {
        let mut lengths = evaluation.victim.config.bits.clone();
        lengths.sort_unstable();
        lengths.dedup();
        let mut curves = Vec::new();
        for adversary in [Adversary::Stranger, Adversary::strongest(evaluation.victim)] {
            for what in ["one code of a test record", "all codes of a training record"] {
                curves.push(Curve { name: format!("{what}, {adversary}"), points: Vec::new() });
            }
        }
        for bits in lengths {
            at(evaluation, bits, &mut curves)?;
        }
        let chart = Chart {
            title: "Leakage over the code's length".into(),
            x: "bits of a code".into(),
            log_x: true,
            y: Metric::Skill.into(),
            curves,
        };
        evaluation.findings.charts.insert(ChartId::CodeLength, chart);
        Ok(())
    }
}

/// Repeats the run with codes of `bits` bits, and adds a point to each of the `curves`.
fn at(evaluation: &mut PrivacyEvaluation, bits: usize, curves: &mut [Curve]) -> anyhow::Result<()> {
    let (victim, surfaces) = (evaluation.victim, evaluation.surfaces);
    evaluation.say(&format!("simulating the run with d = {bits}"));
    let settings = RunSettings { bits, ..victim.evidence.coordinator.run.clone() };
    let path = evaluation.out.join(format!("simulated-d{bits}.parquet"));
    let simulated = simulate(victim.evidence, &RunVariant::new(&settings, CutLayer::Hash), &path)?;
    let defence = Defence::new(Sent::OtherLength { bits });
    let surface = AttackSurface::repeated(&simulated, &surfaces.codes, defence);
    let all = everything(victim, &surface);
    let mut grids = [
        AdversaryGrid::new(victim, &surface, &victim.test, &[ObservedRelease::OneCode]),
        AdversaryGrid::new(victim, &surface, &victim.training, &all),
    ];
    let mut curves = curves.iter_mut();
    for adversary in [Adversary::Stranger, Adversary::strongest(victim)] {
        for (grid, curve) in grids.iter_mut().zip(&mut curves) {
            let most = grid.most();
            curve.points.push((bits as f64, grid.outcome(adversary, most)?.skill()));
        }
    }
    for grid in &mut grids {
        evaluation.keep_grid(grid)?;
    }
    let point = evaluation.price("hash codes", format!("d = {bits}"), &surface, Population::Test);
    evaluation.findings.utility.extend(point);
    Ok(())
}
