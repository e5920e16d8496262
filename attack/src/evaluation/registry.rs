//! Attacks beyond columns from a code and records like it.

use std::path::Path;

use hashvfl_learning::encoder::CutLayer;

use crate::evaluation::victim::{AttackSurface, Findings, VictimContext};
use crate::evidence::simulation::{RunVariant, simulate};
use crate::report::UtilityPoint;

/// To what predictions are rounded in the second try at a linear top model's equations.
const ROUNDED: f32 = 0.01;

impl VictimContext<'_> {
    /// All of them, at each of `cuts` that has what they need: codes, floats, and floats at one bit each. Returns what
    /// steering costs.
    pub fn remaining_attacks(
        &self,
        out: &Path,
        tell: &mut dyn FnMut(&str),
        cuts: [&AttackSurface; 3],
        findings: &mut Findings,
    ) -> anyhow::Result<Vec<UtilityPoint>> {
        tell("attributes, and auxiliary records of other classes");
        self.attributes(&cuts, findings)?;
        self.shifted(&cuts, findings)?;
        for cut in cuts {
            tell(&format!("membership, substitutes of the bottom model, predictions: {}", cut.defence));
            self.membership(cut, findings)?;
            self.query_free(cut)?.into_iter().for_each(|attacked| findings.keep(attacked));
            findings.keep(self.fora(cut)?);
            findings.keep(self.unsplit(cut)?);
            self.predictions(cut, findings)?;
        }
        tell("a linear top model's equations");
        let run = &self.evidence.coordinator.run;
        for (like, cut, name) in
            [(cuts[0], CutLayer::Hash, "codes"), (cuts[1], CutLayer::SimulatedFloat, "floats")]
        {
            let path = out.join(format!("simulated-linear-{name}.parquet"));
            let repeat = RunVariant { linear_top: true, ..RunVariant::new(run, cut) };
            let linear = simulate(self.evidence, &repeat, &path)?;
            let defence = format!("{}, linear top model", like.defence);
            let attackable = AttackSurface { defence, ..AttackSurface::of(&linear, like) };
            for step in [0.0, ROUNDED] {
                let solved = self.equations(&attackable, step)?;
                solved.into_iter().for_each(|attacked| findings.keep(attacked));
            }
        }
        tell("gradients that steer the bottom model");
        self.steering(out, cuts, findings)
    }
}
