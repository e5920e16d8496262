//! UnSplit (Erdogan, Kupcu and Cicek 2022, "UnSplit: data-oblivious model inversion, model stealing, and label inference
//! attacks against split learning"): who knows the architecture alone looks for columns and for a clone of the model at
//! once, in turns, that give what was seen. It has no record of its own.

use std::time::Instant;

use crate::evaluation::context::AttackOutcome;
use crate::evaluation::victim::{AttackSurface, VictimContext};
use crate::evidence::knowledge::Fact;
use crate::reconstruction::inversion::{Inversion, Matching, Through};
use crate::reconstruction::substitute::Batches;
use crate::report::CutKind;

/// Turns, and in each the steps on columns and the updates of the clone. The authors take 1,000 turns of 100 and 100.
const TURNS: u64 = 30;
const STEPS: u32 = 40;
const UPDATES: u64 = 40;
/// Weight of the penalty on columns.
const PRIOR: f32 = 0.1;
/// Records that are looked for together.
const TARGETS: usize = 300;

impl VictimContext<'_> {
    /// UnSplit on codes of test records.
    pub fn unsplit(&self, attackable: &AttackSurface) -> anyhow::Result<AttackOutcome> {
        let began = Instant::now();
        let attack_context = self.frozen_context(attackable);
        let targets = &attack_context.targets[..attack_context.targets.len().min(TARGETS)];
        let seen = attack_context.sources.features(&[Fact::Code], targets)?.values;
        let (rows, width, bits) = (targets.len(), attack_context.columns.cols(), attackable.observed.width);
        let mut clone = self.substitute(attackable.cut)?;
        // Pixels are 0 to 1, columns of a table standardised: all that the adversary knows of them.
        let (middle, spread) = if attack_context.image.is_some() { (0.5, 0.3) } else { (0.0, 1.0) };
        let (mut columns, deviation) = (vec![middle; rows * width], vec![spread; width]);
        let places: Vec<u32> = (0..rows as u32).collect();
        let mut batches = Batches::new(&places, self.config.seed);
        let floats = attackable.cut == CutKind::SimulatedFloats;
        let matching = if floats { Matching::Value } else { Matching::StraightThrough };
        for _ in 0..TURNS {
            let take = |columns: &[f32], places: &[u32], width: usize| -> Vec<f32> {
                places.iter().flat_map(|at| &columns[*at as usize * width..][..width]).copied().collect()
            };
            clone.calibrate(&places, &|places| take(&columns, places, width));
            for _ in 0..UPDATES {
                let batch = batches.draw();
                let values =
                    attack_context.at_cut(clone.encode_batch(take(&columns, &batch, width), batch.len()));
                let count = values.len() as f32;
                let wanted = take(&seen, &batch, bits);
                let slope = values.iter().zip(wanted).map(|(value, seen)| 2.0 * (value - seen) / count);
                clone.learn(slope.collect());
            }
            clone.calibrate(&places, &|places| take(&columns, places, width));
            let search = Inversion {
                through: Through::Encoder(&clone),
                image: attack_context.image,
                deviation: &deviation,
                matching,
                prior: PRIOR,
                steps: STEPS,
            };
            columns = search.run(&columns, &seen, rows);
        }
        let note = format!(
            "{TURNS} turns of {STEPS} steps on columns and {UPDATES} on a clone, no auxiliary record"
        );
        Ok(attack_context.attacked("UnSplit", (vec!["architecture".into()], 1), columns, Some(note), began))
    }
}
