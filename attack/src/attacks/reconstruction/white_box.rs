//! White-box inversion of one code of each test record, by an adversary that is granted the victim's weights. A level, unlike
//! a sign, says about where the value lies: there the middle of the level is what the search makes agree.

use hashvfl_core::CodeForm;
use hashvfl_core::normal::normal_score;
use hashvfl_learning::encoder::Encoder;

use crate::attacks::AttackId;
use crate::attacks::reconstruction::inversion::{AttackedModel, Inversion, Matching, STEPS};
use crate::attacks::reconstruction::queries::queried;
use crate::evaluation::PrivacyEvaluation;
use crate::evaluation::adversary::{Adversary, ObservedRelease};
use crate::evaluation::attack::{About, Attack, Need};
use crate::evaluation::context::{AttackContext, Attempt};
use crate::evaluation::findings::AttackOutcome;
use crate::evaluation::grid::AdversaryGrid;
use crate::evaluation::score::moments;
use crate::evaluation::victim::AttackSurface;
use crate::evidence::knowledge::{Fact, known};
use crate::report::{CutKind, Knowledge};
use hashvfl_leakage::regression::column_means;

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
    /// Records by which the penalty is chosen.
    tried: Vec<u32>,
    /// For them [tried, columns].
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

/// The conditional mean with codes of all owned records, and white-box inversion that starts from it or from the mean: from
/// codes and from floats, and from the value before the sign, which nobody sees.
pub struct WhiteBox;

const KNOWS: &[Knowledge] = &[
    Knowledge::Labels,
    Knowledge::OtherCodes,
    Knowledge::OwnColumns,
    Knowledge::QueryAccess,
    Knowledge::Weights,
];

impl Attack for WhiteBox {
    fn about(&self) -> About {
        About { title: "white-box inversion", knows: KNOWS, needs: &[Need::Weights] }
    }

    fn run(&self, evaluation: &mut PrivacyEvaluation) -> anyhow::Result<()> {
        let surfaces = evaluation.surfaces;
        let form = surfaces.codes.observed.forms[evaluation.victim.place];
        let ways = if form.is_signs() { &Matching::OF_CODES[..] } else { &[Matching::Value] };
        attack(evaluation, &surfaces.codes, ways)?;
        attack(evaluation, &surfaces.floats, &[Matching::Value])?;
        let victim = evaluation.victim;
        let before = AttackSurface { cut: CutKind::BeforeSign, value_bits: 32, ..surfaces.codes.clone() };
        let context = victim.test_context(&before);
        let starts = context.starts_at_mean();
        let attempt = Attempt::begin(AttackId::WhiteBoxBeforeSign(Start::Mean), &[Knowledge::Weights], 1);
        let mut attacked = context.search(attempt, &victim.owner.encoder, Matching::Value, &starts)?;
        attacked.result.bits = 32 * form.latents() as u64;
        evaluation.keep(attacked);
        Ok(())
    }
}

/// At one cut, from the mean and from what each adversary's conditional mean is.
fn attack(
    evaluation: &mut PrivacyEvaluation,
    surface: &AttackSurface,
    matchings: &[Matching],
) -> anyhow::Result<()> {
    let victim = evaluation.victim;
    let Some(observed) = queried(victim, surface) else { return Ok(()) };
    let encoder = surface.encoders[victim.place];
    let context = victim.test_context(surface);
    let starts = context.starts_at_mean();
    for matching in matchings {
        let attempt = Attempt::begin(AttackId::WhiteBox(*matching, Start::Mean), &[Knowledge::Weights], 1);
        evaluation.keep_beside_mean(context.search(attempt, encoder, *matching, &starts)?);
    }
    let asked = AttackSurface { observed: &observed, ..surface.clone() };
    let grid = AdversaryGrid::new(victim, &asked, &victim.test, &[ObservedRelease::OneCode]);
    let mut grid = grid.special(AttackId::QueriedMean, Some(Knowledge::QueryAccess));
    if let Some(without) = evaluation.grids.get(&surface.cut) {
        grid = grid.given(without);
    }
    evaluation.keep_grid(&mut grid)?;
    for adversary in Adversary::all(victim) {
        let starts = context.starts_at_guess(&mut grid, adversary)?;
        let knowledge =
            [known(&adversary.facts(victim.evidence.owners.len())), vec![Knowledge::Weights]].concat();
        for matching in matchings {
            let attack = AttackId::WhiteBox(*matching, Start::ConditionalMean);
            let attempt = Attempt::begin(attack, &knowledge, 1);
            evaluation.keep_beside_mean(context.search(attempt, encoder, *matching, &starts)?);
        }
    }
    Ok(())
}

impl AttackContext<'_> {
    /// White-box inversion of one code. The penalty's weight is chosen on some auxiliary records, from which nothing
    /// else is learned.
    fn search(
        &self,
        attempt: Attempt,
        encoder: &Encoder,
        matching: Matching,
        starts: &Starts,
    ) -> anyhow::Result<AttackOutcome> {
        let Starts { tried, of_tried, of_targets, deviation } = starts;
        let inversion = Inversion {
            through: AttackedModel::Encoder(encoder),
            image: self.image,
            deviation,
            matching,
            prior: 0.0,
            steps: STEPS,
        };
        let seen = self.seen(encoder, tried)?;
        let prior = self.best_prior(&PRIORS, tried, self.auxiliary, &|prior| {
            inversion.with_prior(prior).run(of_tried, &seen, tried.len())
        });
        let (targets, inversion) = (self.searched(), inversion.with_prior(prior));
        let guess = inversion.run(of_targets, &self.seen(encoder, targets)?, targets.len());
        let note = format!("penalty {prior}, chosen on {} auxiliary records", tried.len());
        Ok(self.scored(attempt.noted(note), guess))
    }

    /// What the adversary sees of `records`: at the cut, or before the sign.
    fn seen(&self, encoder: &Encoder, records: &[u32]) -> anyhow::Result<Vec<f32>> {
        if self.cut == CutKind::BeforeSign {
            return Ok(encoder.values(self.columns.gather(records), records.len()));
        }
        let (seen, form) = (
            self.sources.features(&[Fact::Code], records)?.values,
            self.sources.observed.forms[self.sources.victim],
        );
        Ok(if form.is_signs() { seen } else { middles(form, &seen) })
    }

    /// Searches that start from the mean.
    fn starts_at_mean(&self) -> Starts {
        let (tried, rest) = self.auxiliary.split_at(TRIED.min(self.auxiliary.len() / 4));
        let (mean, deviation) = moments(self.columns, rest);
        let (of_tried, of_targets) = (mean.repeat(tried.len()), mean.repeat(self.searched().len()));
        Starts { tried: tried.to_vec(), of_tried, of_targets, deviation }
    }

    /// Searches that start from what `adversary` makes of one code: held-out records say how far that is from the truth.
    fn starts_at_guess(&self, grid: &mut AdversaryGrid, adversary: Adversary) -> anyhow::Result<Starts> {
        let (mut tried, mut of_tried, mut of_targets) = grid.columns(adversary, ObservedRelease::OneCode)?;
        let width = self.columns.cols();
        let truth = self.columns.gather(&tried);
        let squares: Vec<f32> = truth.iter().zip(&of_tried).map(|(t, g)| (t - g).powi(2)).collect();
        let variance = column_means(&squares, width, tried.len());
        let deviation = variance.into_iter().map(f32::sqrt).collect();
        tried.truncate(TRIED);
        of_tried.truncate(tried.len() * width);
        of_targets.truncate(self.searched().len() * width);
        Ok(Starts { tried, of_tried, of_targets, deviation })
    }
}

/// The normalised value in the middle of each level, as the normal distribution has it, of codes [rows, bits].
fn middles(form: CodeForm, codes: &[f32]) -> Vec<f32> {
    let middle = |bits: &[f32]| (CodeForm::level(bits) as f64 + 0.5) / form.levels() as f64;
    codes.chunks_exact(form.bits_per_latent()).map(|bits| normal_score(middle(bits)) as f32).collect()
}
