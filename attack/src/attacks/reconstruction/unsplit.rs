//! UnSplit (Erdogan, Kupcu and Cicek 2022, "UnSplit: data-oblivious model inversion, model stealing, and label inference
//! attacks against split learning"): who knows the architecture alone looks for columns and for a clone of the model at
//! once, in turns, that give what was seen. It has no record of its own.

use hashvfl_learning::Encoder;

use crate::attacks::AttackId;
use crate::attacks::reconstruction::batches::Batches;
use crate::attacks::reconstruction::inversion::{AttackedModel, Inversion, Matching};
use crate::attacks::reconstruction::substitute::{self, BATCH, untrained};
use crate::evaluation::PrivacyEvaluation;
use crate::evaluation::attack::{About, Attack, Need};
use crate::evaluation::context::{AttackContext, Attempt};
use crate::evaluation::findings::AttackOutcome;
use crate::evaluation::victim::{AttackSurface, VictimContext};
use crate::evidence::knowledge::Fact;
use crate::report::{CutKind, Knowledge};
use hashvfl_leakage::cores::on_all_cores;

/// Turns, and in each the steps on columns and the updates of the clone. The authors take 1,000 turns of 100 and 100.
const TURNS: u64 = 30;
const STEPS: u32 = 40;
const UPDATES: u64 = 40;
/// Weight of the penalty on columns.
const PRIOR: f32 = 0.1;
/// Records that are looked for together.
const TARGETS: usize = 300;

/// UnSplit.
pub struct UnSplit;

const KNOWS: &[Knowledge] = &[Knowledge::Architecture];

impl Attack for UnSplit {
    fn about(&self) -> About {
        About { title: "UnSplit", knows: KNOWS, needs: &[Need::FurtherAttacks, Need::Signs] }
    }

    fn run(&self, evaluation: &mut PrivacyEvaluation) -> anyhow::Result<()> {
        let (victim, surfaces) = (evaluation.victim, evaluation.surfaces);
        for attacked in on_all_cores(&surfaces.all(), |surface| attack(victim, surface)) {
            evaluation.keep(attacked?);
        }
        Ok(())
    }
}

fn attack(victim: &VictimContext, surface: &AttackSurface) -> anyhow::Result<AttackOutcome> {
    let attempt = Attempt::begin(AttackId::UnSplit, KNOWS, 1);
    let context = victim.test_context(surface);
    let targets = &context.targets[..context.targets.len().min(TARGETS)];
    let seen = context.sources.features(&[Fact::Code], targets)?.values;
    let (rows, width) = (targets.len(), context.columns.cols());
    let mut clone = untrained(victim, surface.cut, substitute::UPDATES)?;
    // Pixels are 0 to 1, columns of a table standardised: all that the adversary knows of them.
    let (middle, spread) = if context.image.is_some() { (0.5, 0.3) } else { (0.0, 1.0) };
    let (mut columns, deviation) = (vec![middle; rows * width], vec![spread; width]);
    let places: Vec<u32> = (0..rows as u32).collect();
    let mut batches = Batches::new(&places, BATCH, victim.config.seed);
    let floats = surface.cut == CutKind::SimulatedFloats;
    let matching = if floats { Matching::Value } else { Matching::StraightThrough };
    for _ in 0..TURNS {
        clone.calibrate(&places, &|places| take(&columns, places, width));
        for _ in 0..UPDATES {
            let batch = batches.draw();
            let wanted = take(&seen, &batch, surface.observed.width(victim.place));
            update(&mut clone, &context, take(&columns, &batch, width), &wanted);
        }
        clone.calibrate(&places, &|places| take(&columns, places, width));
        let search = Inversion {
            through: AttackedModel::Encoder(&clone),
            image: context.image,
            deviation: &deviation,
            matching,
            prior: PRIOR,
            steps: STEPS,
        };
        columns = search.run(&columns, &seen, rows);
    }
    let note =
        format!("{TURNS} turns of {STEPS} steps on columns and {UPDATES} on a clone, no auxiliary record");
    Ok(context.scored(attempt.noted(note), columns))
}

/// One update of the clone, so that `columns` [batch, columns] give `wanted` [batch, bits].
fn update(clone: &mut Encoder, context: &AttackContext, columns: Vec<f32>, wanted: &[f32]) {
    let rows = columns.len() / context.columns.cols();
    let values = context.at_cut(clone.encode_batch(columns, rows));
    let count = values.len() as f32;
    clone.learn(values.iter().zip(wanted).map(|(value, seen)| 2.0 * (value - seen) / count).collect());
}

/// Rows of `values` [rows, width].
fn take(values: &[f32], rows: &[u32], width: usize) -> Vec<f32> {
    rows.iter().flat_map(|row| &values[*row as usize * width..][..width]).copied().collect()
}
