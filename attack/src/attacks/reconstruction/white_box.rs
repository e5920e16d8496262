//! White-box inversion of one code of each test record, by an adversary that is granted the victim's weights. A level, unlike
//! a sign, says about where the value lies: there the middle of the level is what the search makes agree.

use hashvfl_core::CodeForm;
use hashvfl_core::normal::normal_score;
use hashvfl_learning::encoder::Encoder;

use crate::attacks::AttackId;
use crate::attacks::reconstruction::inversion::{AttackedModel, Inversion, Matching, STEPS};
use crate::attacks::reconstruction::regression::{Regression, column_means};
use crate::evaluation::PrivacyEvaluation;
use crate::evaluation::attack::{About, Attack, Need};
use crate::evaluation::context::{AttackContext, Attempt};
use crate::evaluation::findings::AttackOutcome;
use crate::evaluation::score::moments;
use crate::evaluation::victim::AttackSurface;
use crate::evidence::knowledge::Fact;
use crate::report::{CutKind, Knowledge};

/// Where a search starts, and what its penalty draws it to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Start {
    /// The mean of auxiliary records.
    Mean,
    /// Their conditional mean given the code.
    ConditionalMean,
}

/// Where searches start, and how far columns are from there.
struct Starts {
    /// For the records by which the penalty is chosen [tried, columns].
    of_tried: Vec<f32>,
    /// For the targets that are searched [searched, columns].
    of_targets: Vec<f32>,
    /// Standard deviation of each column around the start.
    deviation: Vec<f32>,
}

/// Weights of the penalty among which auxiliary records choose.
const PRIORS: [f32; 4] = [0.01, 0.1, 0.5, 2.0];
/// Auxiliary records that choose.
const TRIED: usize = 200;

/// White-box inversion, from codes and from floats, and from the value before the sign, which nobody sees.
pub struct WhiteBox;

impl Attack for WhiteBox {
    fn about(&self) -> About {
        About { title: "white-box inversion", knows: &[Knowledge::Weights], needs: &[Need::Weights] }
    }

    fn run(&self, evaluation: &mut PrivacyEvaluation) -> anyhow::Result<()> {
        let (victim, surfaces) = (evaluation.victim, evaluation.surfaces);
        let form = surfaces.codes.observed.form;
        let ways = if form.is_signs() { &Matching::OF_CODES[..] } else { &[Matching::Value] };
        for matching in ways.iter().copied() {
            for start in [Start::Mean, Start::ConditionalMean] {
                let encoder = &victim.owner.encoder;
                let attacked = victim.test_context(&surfaces.codes).white_box(encoder, matching, start)?;
                evaluation.keep_beside_mean(attacked);
            }
        }
        let before = AttackSurface { cut: CutKind::BeforeSign, value_bits: 32, ..surfaces.codes.clone() };
        let context = victim.test_context(&before);
        let mut attacked = context.white_box(&victim.owner.encoder, Matching::Value, Start::Mean)?;
        attacked.result.bits = 32 * form.latents() as u64;
        evaluation.keep(attacked);
        for start in [Start::Mean, Start::ConditionalMean] {
            let encoder = surfaces.floats.encoders[victim.place];
            let attacked =
                victim.test_context(&surfaces.floats).white_box(encoder, Matching::Value, start)?;
            evaluation.keep_beside_mean(attacked);
        }
        Ok(())
    }
}

impl AttackContext<'_> {
    /// White-box inversion of one code. The penalty's weight is chosen on some auxiliary records, from which nothing
    /// else is learned.
    fn white_box(
        &self,
        encoder: &Encoder,
        matching: Matching,
        start: Start,
    ) -> anyhow::Result<AttackOutcome> {
        let attack = if self.cut == CutKind::BeforeSign {
            AttackId::WhiteBoxBeforeSign(start)
        } else {
            AttackId::WhiteBox(matching, start)
        };
        let attempt = Attempt::begin(attack, &[Knowledge::Weights], 1);
        let (tried, rest) = self.auxiliary.split_at(TRIED.min(self.auxiliary.len() / 4));
        let Starts { of_tried, of_targets, deviation } = self.starts(start, rest, tried)?;
        let search = |prior: f32| Inversion {
            through: AttackedModel::Encoder(encoder),
            image: self.image,
            deviation: &deviation,
            matching,
            prior,
            steps: STEPS,
        };
        let seen = self.seen(encoder, tried)?;
        let prior =
            self.best_prior(&PRIORS, tried, rest, &|prior| search(prior).run(&of_tried, &seen, tried.len()));
        let targets = self.searched();
        let guess = search(prior).run(&of_targets, &self.seen(encoder, targets)?, targets.len());
        let note = format!("penalty {prior}, chosen on {} auxiliary records", tried.len());
        Ok(self.scored(attempt.noted(note), guess))
    }

    /// What the adversary sees of `records`: at the cut, or before the sign.
    fn seen(&self, encoder: &Encoder, records: &[u32]) -> anyhow::Result<Vec<f32>> {
        if self.cut == CutKind::BeforeSign {
            return Ok(encoder.values(self.columns.gather(records), records.len()));
        }
        let (seen, form) =
            (self.sources.features(&[Fact::Code], records)?.values, self.sources.observed.form);
        Ok(if form.is_signs() { seen } else { middles(form, &seen) })
    }

    /// Where searches start, learned from `rest`, for `tried` records and the targets.
    fn starts(&self, start: Start, rest: &[u32], tried: &[u32]) -> anyhow::Result<Starts> {
        if start == Start::Mean {
            let (mean, deviation) = moments(self.columns, rest);
            let (of_tried, of_targets) = (mean.repeat(tried.len()), mean.repeat(self.searched().len()));
            return Ok(Starts { of_tried, of_targets, deviation });
        }
        let code = [Fact::Code];
        let regression = Regression::fit(&self.examples(&code, rest)?, self.seed);
        let of_tried = self.predict(&regression, &code, tried)?;
        let truth = self.columns.gather(tried);
        let squares: Vec<f32> = truth.iter().zip(&of_tried).map(|(t, g)| (t - g).powi(2)).collect();
        let variance = column_means(&squares, self.columns.cols(), tried.len());
        let deviation = variance.into_iter().map(f32::sqrt).collect();
        let of_targets = self.predict(&regression, &code, self.searched())?;
        Ok(Starts { of_tried, of_targets, deviation })
    }
}

/// The normalised value in the middle of each level, as the normal distribution has it, of codes [rows, bits].
fn middles(form: CodeForm, codes: &[f32]) -> Vec<f32> {
    let middle = |bits: &[f32]| (CodeForm::level(bits) as f64 + 0.5) / form.levels() as f64;
    codes.chunks_exact(form.bits_per_latent()).map(|bits| normal_score(middle(bits)) as f32).collect()
}
