//! The posterior of whole records: who of the people whom the adversary knows has the columns of a record, judged by the likelihood
//! of all its codes at once.
//!
//! ```text
//! prior        known people, the likelier the nearer to the record in what is expected of both without codes
//! likelihood   their codes by the encoder where it answers, else by a copy of the encoder of every epoch; a power of it, since
//!              copies take bits for independent that are not
//! posterior    its mean for columns, and the combination of values that holds most of it for whole records
//! ```
//!
//! A conditional mean guesses column by column, and the likeliest value of each column need not be those of any person. The prior is
//! a kernel around known records (Silverman 1986, "Density estimation for statistics and data analysis"), its weights those of
//! importance sampling; as a posterior of inputs given what a network says it is that of model inversion (Fredrikson, Jha and
//! Ristenpart 2015, "Model inversion attacks that exploit confidence information and basic countermeasures"). How far the prior
//! reaches and how much the likelihood counts choose known records that were left out.

use hashvfl_leakage::copied::{self, CodeLikelihoods};
use hashvfl_leakage::cores::on_all_cores;
use hashvfl_leakage::regression::family::Effort;
use hashvfl_leakage::regression::{Examples, Regression, column_means};
use hashvfl_learning::Encoder;

use crate::attacks::AttackId;
use crate::attacks::reconstruction::record_posterior::{
    ObservedRecord, PosteriorGuess, PriorSupport, RecordPrior, best, settings,
};
use crate::attacks::sweeps::epochs::everything_of;
use crate::evaluation::PrivacyEvaluation;
use crate::evaluation::adversary::{Adversary, ObservedRelease};
use crate::evaluation::attack::{About, Attack, Need};
use crate::evaluation::attributes::Decided;
use crate::evaluation::context::{AttackContext, Attempt};
use crate::evaluation::findings::AttackOutcome;
use crate::evaluation::score::scales;
use crate::evaluation::victim::{AttackSurface, Records, VictimContext};
use crate::evidence::knowledge::{Fact, known};
use crate::report::{CutKind, Knowledge};

/// The posterior: of one code of test records, and of all that training and validation records sent.
pub struct Posterior;

const KNOWS: &[Knowledge] =
    &[Knowledge::Labels, Knowledge::OtherCodes, Knowledge::OwnColumns, Knowledge::QueryAccess];

/// People that copies learn from at most, people that a record may be, and those who choose.
const MOST_COPIED: usize = 4000;
const MOST_PEOPLE: usize = 6000;
const JUDGES: usize = 200;

impl Attack for Posterior {
    fn about(&self) -> About {
        About {
            title: "the posterior of whole records",
            knows: KNOWS,
            needs: &[Need::FurtherAttacks, Need::Table, Need::Thorough],
        }
    }

    fn run(&self, evaluation: &mut PrivacyEvaluation) -> anyhow::Result<()> {
        let (victim, surfaces) = (evaluation.victim, evaluation.surfaces);
        let mut tries = Vec::new();
        for surface in [&surfaces.codes, &surfaces.floats] {
            let encoder = surface.encoders.get(victim.place).copied().filter(|_| victim.config.white_box);
            tries.push((surface, &victim.test, ObservedRelease::OneCode, None));
            tries.extend(encoder.map(|_| (surface, &victim.test, ObservedRelease::OneCode, encoder)));
        }
        for records in [Some(&victim.training), victim.validation.as_ref()].into_iter().flatten() {
            let all = everything_of(victim, &surfaces.codes, records);
            tries.extend(all.last().map(|most| (&surfaces.codes, records, *most, None)));
        }
        for (surface, records, most, encoder) in tries {
            for attacked in attack(victim, surface, records, most, encoder)? {
                evaluation.keep(attacked);
            }
        }
        Ok(())
    }
}

/// By each adversary, with `most` and with nothing, where that is not the same at another cut or without an encoder that answers.
fn attack(
    victim: &VictimContext,
    surface: &AttackSurface,
    records: &Records,
    most: ObservedRelease,
    encoder: Option<&Encoder>,
) -> anyhow::Result<Vec<AttackOutcome>> {
    let context = victim.context(surface, records);
    let people = People::new(&context, most, encoder)?;
    let mut outcomes = Vec::new();
    for adversary in Adversary::all(victim) {
        let beside = adversary.facts(victim.evidence.owners.len());
        let granted = encoder.map(|_| Knowledge::QueryAccess);
        let knowledge: Vec<Knowledge> = known(&beside).into_iter().chain(granted).collect();
        let is_new = surface.cut == CutKind::Codes || beside.contains(&Fact::OtherCodes);
        let prior = people.prior(&context, &beside)?;
        if is_new && encoder.is_none() {
            let attempt = Attempt::begin(AttackId::Posterior, &knowledge, 0);
            outcomes.push(people.guess(&context, &prior, ObservedRelease::Nothing, attempt)?);
        }
        let attempt = Attempt::begin(AttackId::Posterior, &knowledge, context.releases(&most.facts()));
        outcomes.push(people.guess(&context, &prior, most, attempt)?);
    }
    Ok(outcomes)
}

/// People whom the adversary owns.
struct People {
    /// Rows of the run.
    rows: Vec<u32>,
    /// How many of them, the first ones, are like the targets: their codes were seen.
    coded: usize,
    /// Mean and deviation of each column.
    mean: Vec<f32>,
    deviation: Vec<f32>,
    support: PriorSupport,
}

impl People {
    /// Those whose codes were seen first, and what all their codes would be, by the `encoder` or by a copy of those behind `most`.
    fn new(
        context: &AttackContext,
        most: ObservedRelease,
        encoder: Option<&Encoder>,
    ) -> anyhow::Result<Self> {
        let mut rows = context.owned_like_targets(&most.facts());
        rows.truncate(MOST_COPIED);
        let coded = rows.len();
        let mut taken = rows.clone();
        taken.sort_unstable();
        let others = [context.auxiliary, context.elsewhere].concat().into_iter();
        let others = others.filter(|row| taken.binary_search(row).is_err());
        rows.extend(others.filter(|row| context.sources.knows(&[Fact::OtherCodes], *row)));
        rows.truncate(MOST_PEOPLE);

        let (mean, deviation) = scales(context.columns, &rows);
        let width = mean.len();
        let table = context.columns.gather(&rows);
        let attributes = context.scorer.attributes().iter();
        let values: Decided = attributes.map(|attribute| attribute.nearest(&table, width)).collect();
        let scales = mean.iter().zip(&deviation).cycle();
        let columns: Vec<f32> =
            table.iter().zip(scales).map(|(value, (mean, scale))| (value - mean) / scale).collect();
        let likelihoods = match encoder {
            Some(encoder) => by_encoder(context, encoder, &rows),
            None => by_copy(context, &columns, width, codes(context, most, &rows[..coded])?, coded),
        };
        let support = PriorSupport::new(columns, width, values, likelihoods);
        Ok(Self { rows, coded, mean, deviation, support })
    }

    /// What is expected by regressions on what is known `beside` codes, which were fitted without the person they are about.
    fn prior(&self, context: &AttackContext, beside: &[Fact]) -> anyhow::Result<RecordPrior> {
        if beside.is_empty() {
            return Ok(RecordPrior::default());
        }
        let inputs = context.sources.inputs(beside, &self.rows)?;
        let examples = Examples {
            inputs: inputs.values,
            outputs: self.support.columns.clone(),
            rows: self.rows.len(),
            discrete: inputs.discrete,
        };
        let (regression, of_people) = Regression::out_of_fold(&examples, context.seed, Effort::Check);
        let asked = context.sources.inputs(beside, context.targets)?;
        let of_targets = regression.predict(&asked.values, context.targets.len());
        let squares: f32 = of_people.iter().map(|value| value * value).sum();
        let spread = (squares / self.rows.len() as f32).max(1e-6);
        Ok(RecordPrior { of_people, of_targets, spread })
    }

    /// What the posterior makes of the targets, from `release`.
    fn guess(
        &self,
        context: &AttackContext,
        prior: &RecordPrior,
        release: ObservedRelease,
        attempt: Attempt,
    ) -> anyhow::Result<AttackOutcome> {
        let judges: Vec<usize> = (0..JUDGES.min(self.coded)).collect();
        let of_judges = codes(context, release, &self.rows[..judges.len()])?;
        let of_targets = codes(context, release, context.targets)?;
        let expected = &prior.of_people[..prior.of_people.len() / self.rows.len() * judges.len()];
        let settings = settings(expected.is_empty(), release == ObservedRelease::Nothing);
        let tried = on_all_cores(&judges, |judge| {
            let seen = ObservedRecord::at(*judge, judges.len(), &of_judges, expected);
            self.support.misses(*judge, &seen, prior, &settings)
        });
        let [of_columns, of_values] = best(&tried);
        let attributes = context.scorer.attributes();
        let targets: Vec<usize> = (0..context.targets.len()).collect();
        let guesses = on_all_cores(&targets, |target| {
            let seen = ObservedRecord::at(*target, targets.len(), &of_targets, &prior.of_targets);
            let logarithms = self.support.logarithms(&seen, prior);
            let by_columns = self.support.posterior(&logarithms, settings[of_columns], None, attributes);
            let by_values = self.support.posterior(&logarithms, settings[of_values], None, attributes);
            PosteriorGuess { like: by_values.like, ..by_columns }
        });
        let (mut columns, mut categories) = (Vec::new(), Vec::new());
        for guess in &guesses {
            let scales = self.mean.iter().zip(&self.deviation);
            let scaled = guess.columns.iter().zip(scales);
            columns.extend(scaled.map(|(value, (mean, scale))| value * scale + mean));
            categories.extend_from_slice(&guess.categories);
        }
        let values = self.support.values.iter();
        let decided: Decided =
            values.map(|of| guesses.iter().map(|guess| of[guess.like]).collect()).collect();
        let note = format!(
            "{} people; chosen on {} of them: {} for columns, {} for whole records",
            self.rows.len(),
            judges.len(),
            settings[of_columns],
            settings[of_values]
        );
        let mut outcome =
            context.scored_with_values(attempt.noted(note), columns, categories, Some(&decided));
        outcome.result.auxiliary_rows = self.rows.len();
        Ok(outcome)
    }
}

/// How likely codes are by a copy of the encoder: regressions from `columns` [people, width] to the `codes` that were seen of the
/// first people, each of whom they guess without.
fn by_copy(
    context: &AttackContext,
    columns: &[f32],
    width: usize,
    codes: Vec<f32>,
    coded: usize,
) -> CodeLikelihoods {
    let (seen, others) = columns.split_at(coded * width);
    let examples = Examples { inputs: seen.to_vec(), outputs: codes, rows: coded, discrete: false };
    let (copy, mut copied) = Regression::out_of_fold(&examples, context.seed, Effort::Check);
    let values = examples.outputs_width();
    let weights = copied::weights(&examples.outputs, &copied, values);
    if !others.is_empty() {
        copied.extend(copy.predict(others, others.len() / width));
    }
    CodeLikelihoods::new(&copied, &weights, values)
}

/// The same by the codes that the encoder gives of the people at `rows`; floats count by how far they spread.
fn by_encoder(context: &AttackContext, encoder: &Encoder, rows: &[u32]) -> CodeLikelihoods {
    let form = context.sources.observed.forms[context.sources.victim];
    let values = context.at_cut(encoder.encode(context.columns.gather(rows), rows.len()));
    let codes = form.decode(&values);
    let width = codes.len() / rows.len();
    let middle = column_means(&codes, width, rows.len()).repeat(rows.len());
    CodeLikelihoods::new(&codes, &copied::weights(&codes, &middle, width), width)
}

/// What `release` says of `records` [records, values], with the values of levels in place of their bits; empty of nothing.
fn codes(context: &AttackContext, release: ObservedRelease, records: &[u32]) -> anyhow::Result<Vec<f32>> {
    let form = context.sources.observed.forms[context.sources.victim];
    let sent = context.sources.features(&release.facts(), records)?.values;
    Ok(if sent.is_empty() { sent } else { form.decode(&sent).into_owned() })
}
