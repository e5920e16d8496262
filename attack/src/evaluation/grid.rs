//! One grid of adversaries and releases for the records of one cut. Every row of a table of conditional means is one of its
//! cells, so that no row has another adversary than the row beside it.
//!
//! ```text
//!                 nothing     one code, or all epochs' codes
//! stranger           mean ----> guess
//! coordinator      guess ----> guess     each is handed the guesses of its neighbours that know less,
//! organisation     guess ----> guess     and auxiliary records choose that were left out (regression::ensemble)
//! ```

use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;
use std::time::Instant;

use crate::attacks::AttackId;
use crate::evaluation::adversary::{Adversary, ObservedRelease};
use crate::evaluation::context::{AttackContext, Attempt};
use crate::evaluation::findings::{AttackOutcome, Comparison};
use crate::evaluation::outputs::Outputs;
use crate::evaluation::units::GuessedColumns;
use crate::evaluation::victim::{AttackSurface, Records, VictimContext};
use crate::evidence::knowledge::{Fact, Features, known};
use crate::report::{Knowledge, Metric, Metrics, Victim};
use hashvfl_leakage::metrics::proportion;
use hashvfl_leakage::regression::ensemble::{Guesses, StackingWeights, paired};
use hashvfl_leakage::regression::family::{self, Candidate, Effort};
use hashvfl_leakage::regression::folds::Folds;
use hashvfl_leakage::regression::{Examples, column_means, draw_back, kinds};

/// What one adversary makes of one release.
pub struct Guess {
    /// Outputs of the records that judge.
    on_judges: Vec<f32>,
    /// Squared error of each of these.
    missed: Vec<f64>,
    /// Outputs of targets.
    on_targets: Vec<f32>,
    /// Kinds of the regressions, and how much each counts.
    kinds: String,
    /// Records that it learned from.
    records: usize,
    seconds: f64,
}

/// A regression of a cell.
struct Fitted {
    candidate: Candidate,
    /// Least and greatest value of each output that it has seen.
    ranges: Vec<(f32, f32)>,
    /// Which of the ways to know it is on.
    known: usize,
    /// Which of the lists of examples it is fitted on.
    examples: usize,
}

/// The grid of adversaries and releases.
pub struct AdversaryGrid<'a> {
    /// The cut that is attacked.
    pub context: AttackContext<'a>,
    outputs: Outputs<'a>,
    adversaries: Vec<Adversary>,
    /// Rising: each says all that the one before says.
    releases: Vec<ObservedRelease>,
    /// Auxiliary records that are divided into parts, of which the first ones judge.
    here: Vec<u32>,
    folds: Folds,
    /// Outputs of those that judge.
    truth: Vec<f32>,
    cells: BTreeMap<(Adversary, ObservedRelease), Rc<Guess>>,
    parties: usize,
    effort: Effort,
    /// What else the adversary does or knows, and under which name it is reported.
    special: Option<(AttackId, Option<Knowledge>)>,
    /// From 0 to 1: how far records that judge can be trusted.
    trust: f64,
    /// What adversaries make of the same cells that know less in another way.
    given: BTreeMap<(Adversary, ObservedRelease), Rc<Guess>>,
}

impl<'a> AdversaryGrid<'a> {
    /// A grid over `releases`, which rise; the baseline is always among them.
    pub fn new(
        victim: &'a VictimContext<'a>,
        surface: &AttackSurface<'a>,
        records: &'a Records,
        releases: &[ObservedRelease],
    ) -> Self {
        let context = victim.context(surface, records);
        let releases = [&[ObservedRelease::Nothing], releases].concat();
        let here = divided(&context, releases[releases.len() - 1]);
        let folds = Folds::new(here.len());
        let outputs = Outputs::new(&context);
        let truth = outputs.of(&here[..folds.judges()]);
        Self {
            context,
            outputs,
            adversaries: Adversary::all(victim),
            releases,
            here,
            folds,
            truth,
            cells: BTreeMap::new(),
            parties: victim.evidence.owners.len(),
            effort: if victim.config.quick { Effort::Quick } else { Effort::All },
            special: None,
            trust: 1.0,
            given: BTreeMap::new(),
        }
    }

    /// The same by adversaries that also know, or have done, something special.
    pub fn special(self, attack: AttackId, knowledge: Option<Knowledge>) -> Self {
        Self { special: Some((attack, knowledge)), ..self }
    }

    /// The same by adversaries that are handed what those of `other` have found, who know less: who may ask an encoder is none the
    /// worse for it. Without effect where other records judge.
    pub fn given(self, other: &AdversaryGrid) -> Self {
        let given = if self.here == other.here { other.cells.clone() } else { BTreeMap::new() };
        Self { given, ..self }
    }

    /// The same, with what `other` has found from these releases, which is the same here. Without effect where the victim, its cut,
    /// the grid's releases, an adversary's records or those that are scored are others; where the victim's codes are others, what
    /// was found without them is the same if those of the other parties are.
    pub fn filled_from(self, other: &AdversaryGrid, releases: &[ObservedRelease]) -> Self {
        let (own, its) = (&self.context, &other.context);
        let is_same = (own.party, own.cut, own.seed) == (its.party, its.cut, its.seed)
            && self.here == other.here
            && self.releases == other.releases
            && [own.auxiliary, own.elsewhere, own.targets] == [its.auxiliary, its.elsewhere, its.targets];
        let same_codes = std::ptr::eq(own.sources.observed, its.sources.observed);
        let mut cells = self.cells;
        if is_same {
            let found = other.cells.iter().filter(|((_, release), _)| {
                releases.contains(release) && (same_codes || *release == ObservedRelease::Nothing)
            });
            cells.extend(found.map(|(cell, guess)| (*cell, guess.clone())));
        }
        Self { cells, ..self }
    }

    /// The same by adversaries whose auxiliary records may mislead, and who trust them no further than `trust`.
    pub fn trusted(self, trust: f64) -> Self {
        Self { trust, ..self }
    }

    /// What each adversary makes of a release.
    pub fn row(&mut self, release: ObservedRelease) -> anyhow::Result<Vec<AttackOutcome>> {
        let mut outcomes = Vec::new();
        for adversary in self.adversaries.clone() {
            outcomes.push(self.outcome(adversary, release)?);
        }
        Ok(outcomes)
    }

    /// The release that says most.
    pub fn most(&self) -> ObservedRelease {
        self.releases[self.releases.len() - 1]
    }

    /// One cell.
    pub fn outcome(
        &mut self,
        adversary: Adversary,
        release: ObservedRelease,
    ) -> anyhow::Result<AttackOutcome> {
        let guess = self.guess(adversary, release)?;
        let attempt = self.attempt(adversary, release, &guess);
        let columns = self.outputs.columns(&guess.on_targets);
        let likelihoods = self.outputs.likelihoods(&guess.on_targets);
        let decided = self.outputs.decide(&guess.on_targets, |attribute, likely| attribute.likeliest(likely));
        let mut outcome = self.context.scored_with_values(attempt, columns, likelihoods, Some(&decided));
        outcome.result.auxiliary_rows = guess.records;
        outcome.result.seconds = guess.seconds;
        Ok(outcome)
    }

    /// What `adversary` gets of each column with few values.
    pub fn attribute_outcomes(
        &mut self,
        adversary: Adversary,
        release: ObservedRelease,
        names: &[String],
    ) -> anyhow::Result<Vec<AttackOutcome>> {
        let guess = self.guess(adversary, release)?;
        let reached = self.outputs.decide(&guess.on_targets, |attribute, likely| attribute.likeliest(likely));
        let raised =
            self.outputs.decide(&guess.on_targets, |attribute, likely| attribute.most_raised(likely));
        let mut outcomes = Vec::new();
        let scorer = self.context.scorer;
        for (place, attribute) in scorer.attributes().iter().enumerate() {
            let hits = scorer.hits(place, &reached[place]);
            let majority = scorer.hits(place, &vec![attribute.majority(); hits.len()]);
            let metrics = Metrics::from([
                (Metric::Accuracy, proportion::of(&hits)),
                (Metric::Majority, proportion::of(&majority)),
                (Metric::Balanced, scorer.balanced(place, &raised[place])),
            ]);
            let column = names.get(attribute.column).cloned().unwrap_or_default();
            let victim =
                Victim::Column { party: self.context.party.clone(), column, of: self.context.population };
            let attempt = self.attempt(adversary, release, &guess);
            let attempt = attempt.noted(attribute.describe());
            let outcome = self.context.outcome(attempt, victim, hits.len(), metrics);
            outcomes.push(outcome.with_hits(hits));
        }
        Ok(outcomes)
    }

    /// Auxiliary records that judge, the columns that a cell guesses of them without them, and those of the targets.
    pub fn columns(
        &mut self,
        adversary: Adversary,
        release: ObservedRelease,
    ) -> anyhow::Result<(Vec<u32>, Vec<f32>, Vec<f32>)> {
        let guess = self.guess(adversary, release)?;
        let columns = |outputs: &[f32]| self.outputs.columns(outputs);
        let judges = self.here[..self.folds.judges()].to_vec();
        Ok((judges, columns(&guess.on_judges), columns(&guess.on_targets)))
    }

    fn attempt(&self, adversary: Adversary, release: ObservedRelease, guess: &Guess) -> Attempt {
        let mut knowledge = known(&adversary.facts(self.parties));
        let attack = match (release, self.special) {
            (ObservedRelease::Nothing, _) => AttackId::NoCode,
            (_, None) => AttackId::ConditionalMean,
            (_, Some((attack, special))) => {
                knowledge.extend(special);
                attack
            }
        };
        let releases = self.context.releases(&release.facts());
        let mut note = format!("stacked on {} auxiliary records: {}", self.folds.judges(), guess.kinds);
        if self.trust < 1.0 {
            note += &format!("; its codes of these are trusted by {:.0} %", 100.0 * self.trust);
        }
        Attempt::begin(attack, &knowledge, releases).noted(note)
    }

    /// The guess of a cell, which is made once.
    fn guess(&mut self, adversary: Adversary, release: ObservedRelease) -> anyhow::Result<Rc<Guess>> {
        if let Some(guess) = self.cells.get(&(adversary, release)) {
            return Ok(guess.clone());
        }
        let mut below: Vec<Rc<Guess>> = self.given.get(&(adversary, release)).cloned().into_iter().collect();
        if release == ObservedRelease::Nothing
            && let Some(same) = below.pop()
        {
            self.cells.insert((adversary, release), same.clone());
            return Ok(same);
        }
        for (adversary, release) in self.neighbours(adversary, release) {
            below.push(self.guess(adversary, release)?);
        }
        let guess = Rc::new(self.make(&self.known(adversary, release), &below)?);
        self.cells.insert((adversary, release), guess.clone());
        Ok(guess)
    }

    /// What is known in a cell. Where that is all codes that the other parties sent, once with their last ones alone and once with
    /// all of them: from wide inputs a regression may learn less.
    fn known(&self, adversary: Adversary, release: ObservedRelease) -> Vec<Vec<Fact>> {
        let facts = [adversary.facts(self.parties), release.facts()].concat();
        // Between nothing and what says most, cells have it from who knows less.
        let ends = release == ObservedRelease::Nothing || release == self.most();
        let others = facts.contains(&Fact::OtherCodes) && !self.context.sources.others.is_empty();
        let epochs = self.most().epochs().filter(|_| ends && others);
        let all = epochs.map(|epochs| [&facts[..], &[Fact::OtherEpochCodes(epochs)]].concat());
        [facts].into_iter().chain(all).collect()
    }

    /// The cells that know less by one step.
    fn neighbours(
        &self,
        adversary: Adversary,
        release: ObservedRelease,
    ) -> Vec<(Adversary, ObservedRelease)> {
        let mut neighbours: Vec<(Adversary, ObservedRelease)> =
            adversary.weaker().map(|weaker| (weaker, release)).into_iter().collect();
        let place = self.releases.iter().position(|other| *other == release).unwrap_or(0);
        if place > 0 {
            neighbours.push((adversary, self.releases[place - 1]));
        }
        neighbours
    }

    /// Regressions on what is `known`, in one way or several, fitted on auxiliary records like the targets and on all that know as
    /// much, and what `below` knows: averaged, for each column and each attribute, as records choose that were left out.
    fn make(&self, known: &[Vec<Fact>], below: &[Rc<Guess>]) -> anyhow::Result<Guess> {
        let began = Instant::now();
        if known[0].is_empty() {
            return self.mean();
        }
        let (mut fitted, mut lists) = (Vec::new(), Vec::new());
        for (place, facts) in known.iter().enumerate() {
            for records in self.learned_from(facts) {
                let examples = self.examples(facts, &records)?;
                let candidates = family::cross_fit(&examples, &self.folds, self.context.seed, self.effort);
                let (ranges, list) = (examples.output_ranges(), lists.len());
                let fit =
                    |candidate| Fitted { candidate, ranges: ranges.clone(), known: place, examples: list };
                fitted.extend(candidates.into_iter().map(fit));
                lists.push(examples);
            }
        }
        let mut views: Vec<&[f32]> = fitted.iter().map(|fit| &fit.candidate.on_judges[..]).collect();
        views.extend(below.iter().map(|guess| guess.on_judges.as_slice()));
        let guesses = self.guesses(&views);
        // Auxiliary records without any code are what they are.
        let trust = if self.context.releases(&known[0]) > 0 { self.trust } else { 1.0 };
        let bases: Vec<usize> = (fitted.len()..views.len()).collect();
        let mixture = guesses.stack_blocks(&self.outputs.blocks(), &bases, trust);
        let on_judges = mixture.mix(&views);
        let missed = guesses.errors_of(&on_judges);
        let names = fitted.iter().map(|fit| fit.candidate.kind);
        let names = names.chain(below.iter().map(|_| "who knows less"));
        let kinds = kinds(names.zip(mixture.shares(self.outputs.scored())));
        let mut on_targets = vec![0.0; self.context.targets.len() * self.outputs.width()];
        for (place, guess) in bases.iter().zip(below) {
            mixture.put(*place, &guess.on_targets, &mut on_targets);
        }
        let records = lists.iter().map(|examples| examples.rows).max().unwrap_or(0);
        self.put_fitted(known, fitted, &lists, &mixture, &mut on_targets)?;
        Ok(Guess { on_judges, missed, on_targets, kinds, records, seconds: began.elapsed().as_secs_f64() })
    }

    /// Adds to `on_targets` what regressions that count in a `mixture` make of the targets, each fitted on all of its examples.
    fn put_fitted(
        &self,
        known: &[Vec<Fact>],
        fitted: Vec<Fitted>,
        lists: &[Examples],
        mixture: &StackingWeights,
        on_targets: &mut [f32],
    ) -> anyhow::Result<()> {
        let targets = self.context.targets;
        let inputs = known.iter().map(|facts| self.context.sources.inputs(facts, targets));
        let inputs: Vec<Features> = inputs.collect::<anyhow::Result<_>>()?;
        let (mut candidates, mut seen) = (Vec::new(), Vec::new());
        for (place, fit) in fitted.into_iter().enumerate().filter(|(place, _)| mixture.counts(*place)) {
            seen.push((place, fit.known, fit.ranges));
            candidates.push((fit.candidate, &lists[fit.examples]));
        }
        let candidates = family::refit(candidates, &self.folds, self.context.seed);
        for (candidate, (place, known, ranges)) in candidates.iter().zip(seen) {
            let mut guess = candidate.predict(&inputs[known].values, targets.len());
            draw_back(&mut guess, &ranges);
            mixture.put(place, &guess, on_targets);
        }
        Ok(())
    }

    /// Records that regressions on `facts` are fitted on: all of which these are known, and where that is many of another kind,
    /// whose codes may mislead, those like the targets by themselves as well.
    fn learned_from(&self, facts: &[Fact]) -> Vec<Vec<u32>> {
        let mut records = self.here.clone();
        let divided: BTreeSet<u32> = self.here.iter().copied().collect();
        let more = self.context.elsewhere.iter().filter(|record| !divided.contains(record));
        records.extend(more.filter(|record| self.context.sources.knows(facts, **record)));
        let codes = self.context.releases(facts) > 0 || facts.contains(&Fact::OtherCodes);
        let mislead = codes && records.len() > 2 * self.here.len() && self.here.len() >= FEWEST;
        [records].into_iter().chain(mislead.then(|| self.here.clone())).collect()
    }

    /// Who knows nothing guesses the mean.
    fn mean(&self) -> anyhow::Result<Guess> {
        let mean = self.examples(&[], self.context.auxiliary)?.output_means();
        let here = self.examples(&[], &self.here)?;
        let on_judges =
            family::cross_fit(&here, &self.folds, self.context.seed, self.effort).remove(0).on_judges;
        let missed = self.guesses(&[&on_judges]).errors(&[1.0]);
        Ok(Guess {
            on_judges,
            missed,
            on_targets: mean.repeat(self.context.targets.len()),
            kinds: "mean".into(),
            records: self.context.auxiliary.len(),
            seconds: 0.0,
        })
    }

    fn guesses<'b>(&'b self, views: &'b [&'b [f32]]) -> Guesses<'b> {
        Guesses { views, truth: &self.truth, outputs: self.outputs.width(), scored: self.outputs.scored() }
    }

    fn examples(&self, facts: &[Fact], records: &[u32]) -> anyhow::Result<Examples> {
        let features = self.context.sources.inputs(facts, records)?;
        let outputs = self.outputs.of(records);
        Ok(Examples { inputs: features.values, outputs, rows: records.len(), discrete: features.discrete })
    }

    /// Each cell that was filled beside those that know less by one step.
    pub fn comparisons(&self) -> Vec<Comparison> {
        let mut comparisons = Vec::new();
        for (adversary, release) in self.cells.keys() {
            for (weaker, less) in self.neighbours(*adversary, *release) {
                let of = format!(
                    "{}: {adversary} from {release}, below {weaker} from {less}",
                    self.context.defence
                );
                comparisons.extend(self.compare([(*adversary, *release), (weaker, less)], of));
            }
        }
        for ((adversary, release), more) in &self.cells {
            if *release != ObservedRelease::Nothing
                && let Some(less) = self.given.get(&(*adversary, *release))
            {
                let of = format!(
                    "{}: {adversary} from {release}, below the same without asking",
                    self.context.defence
                );
                comparisons.push(self.comparison(more, less, of));
            }
        }
        comparisons
    }

    /// The first of two cells beside the other; nothing if one was not filled.
    pub fn compare(&self, cells: [(Adversary, ObservedRelease); 2], of: String) -> Option<Comparison> {
        let [more, less] = cells.map(|cell| self.cells.get(&cell));
        Some(self.comparison(more?, less?, of))
    }

    fn comparison(&self, more: &Guess, less: &Guess, of: String) -> Comparison {
        let gain = self.context.scorer.gain(&self.errors(more), &self.errors(less));
        Comparison { gain, chance: self.chance(more, less), of }
    }

    /// Standard error, in skill, of what the records that judge say that `more` gains over `less`.
    fn chance(&self, more: &Guess, less: &Guess) -> f64 {
        let width = self.outputs.width();
        let mean = column_means(&self.truth, width, self.folds.judges()).repeat(self.folds.judges());
        let all: f64 = self.guesses(&[&mean]).errors(&[1.0]).iter().sum();
        let (_, error) = paired(&less.missed, &more.missed);
        error * self.folds.judges() as f64 / all.max(f64::MIN_POSITIVE)
    }

    fn errors(&self, guess: &Guess) -> Vec<f64> {
        let columns = self.outputs.columns(&guess.on_targets);
        let likelihoods = self.outputs.likelihoods(&guess.on_targets);
        self.context.scorer.errors_of(GuessedColumns { columns: &columns, likelihoods: &likelihoods })
    }
}

/// Records that are divided, if there are so many.
const FEWEST: usize = 100;

/// Auxiliary records, which stand in a random order. Where these are few, others that the adversary owns stand behind them of
/// which it saw as much of the release that says `most`: a handful of records cannot choose.
fn divided(context: &AttackContext, most: ObservedRelease) -> Vec<u32> {
    let mut records = context.auxiliary.to_vec();
    let mut facts = [vec![Fact::OtherCodes], most.facts()].concat();
    facts.extend(most.epochs().map(Fact::OtherEpochCodes));
    let others = context.elsewhere.iter().filter(|record| context.sources.knows(&facts, **record));
    let lacking = FEWEST.saturating_sub(records.len());
    records.extend(others.take(lacking));
    records
}
