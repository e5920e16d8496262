//! One grid of adversaries and releases for the records of one cut. Every row of a table of conditional means is one of its
//! cells, so that no row has another adversary than the row beside it.
//!
//! ```text
//!                 nothing     one code, or all epochs' codes
//! stranger           mean ----> guess
//! coordinator      guess ----> guess     each is handed the guesses of its neighbours that know less,
//! organisation     guess ----> guess     and held-out auxiliary records choose (regression::ensemble)
//! ```

use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::Instant;

use crate::attacks::AttackId;
use crate::attacks::reconstruction::regression::family::Effort;
use crate::attacks::reconstruction::regression::{Examples, draw_back, ensemble, family};
use crate::evaluation::adversary::{Adversary, Release};
use crate::evaluation::context::{AttackContext, Attempt};
use crate::evaluation::findings::{AttackOutcome, Comparison};
use crate::evaluation::outputs::Outputs;
use crate::evaluation::victim::{AttackSurface, Records, VictimContext};
use crate::evidence::knowledge::{Fact, known};
use crate::metrics::proportion;
use crate::report::{Knowledge, Metric, Metrics, Victim};

/// What one adversary makes of one release.
pub struct Guess {
    /// Outputs of held-out auxiliary records.
    on_held: Vec<f32>,
    /// Outputs of targets.
    on_targets: Vec<f32>,
    /// Kinds of the regressions.
    kinds: Vec<String>,
    /// Records that it learned from.
    records: usize,
    seconds: f64,
}

/// The grid.
pub struct Grid<'a> {
    /// The cut that is attacked.
    pub context: AttackContext<'a>,
    outputs: Outputs<'a>,
    adversaries: Vec<Adversary>,
    /// Rising: each says all that the one before says.
    releases: Vec<Release>,
    /// Auxiliary records to choose by, and the others.
    held: Vec<u32>,
    kept: Vec<u32>,
    truth: Vec<f32>,
    cells: BTreeMap<(Adversary, Release), Rc<Guess>>,
    parties: usize,
    effort: Effort,
    /// What else the adversary does or knows, and under which name it is reported.
    special: Option<(AttackId, Option<Knowledge>)>,
}

impl<'a> Grid<'a> {
    /// A grid over `releases`, which rise; the baseline is always among them.
    pub fn new(
        victim: &'a VictimContext<'a>,
        surface: &AttackSurface<'a>,
        records: &'a Records,
        releases: &[Release],
    ) -> Self {
        let context = victim.context(surface, records);
        let (held, kept) = held_out(context.auxiliary);
        let outputs = Outputs::new(&context);
        let truth = outputs.of(&held);
        Self {
            context,
            outputs,
            adversaries: Adversary::all(victim),
            releases: [&[Release::Nothing], releases].concat(),
            held,
            kept,
            truth,
            cells: BTreeMap::new(),
            parties: victim.evidence.owners.len(),
            effort: if victim.config.quick { Effort::Quick } else { Effort::All },
            special: None,
        }
    }

    /// The same by adversaries that also know, or have done, something special.
    pub fn special(self, attack: AttackId, knowledge: Option<Knowledge>) -> Self {
        Self { special: Some((attack, knowledge)), ..self }
    }

    /// What each adversary makes of a release.
    pub fn row(&mut self, release: Release) -> anyhow::Result<Vec<AttackOutcome>> {
        let mut outcomes = Vec::new();
        for adversary in self.adversaries.clone() {
            outcomes.push(self.outcome(adversary, release)?);
        }
        Ok(outcomes)
    }

    /// The release that says most.
    pub fn most(&self) -> Release {
        self.releases[self.releases.len() - 1]
    }

    /// One cell.
    pub fn outcome(&mut self, adversary: Adversary, release: Release) -> anyhow::Result<AttackOutcome> {
        let guess = self.guess(adversary, release)?;
        let attempt = self.attempt(adversary, release, &guess);
        let columns = self.outputs.columns(&guess.on_targets);
        let decided = self.outputs.decide(&guess.on_targets, |attribute, likely| attribute.likeliest(likely));
        let mut outcome = self.context.scored_with_values(attempt, columns, Some(&decided));
        outcome.result.auxiliary_rows = guess.records;
        outcome.result.seconds = guess.seconds;
        Ok(outcome)
    }

    /// What `adversary` gets of each column with few values.
    pub fn attribute_outcomes(
        &mut self,
        adversary: Adversary,
        release: Release,
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
            let attempt = attempt.noted(format!("one of {} values", attribute.levels.len()));
            let outcome = self.context.outcome(attempt, victim, hits.len(), metrics);
            outcomes.push(AttackOutcome { hits, ..outcome });
        }
        Ok(outcomes)
    }

    /// Held-out auxiliary records, the columns that a cell guesses of them, and those of the targets.
    pub fn columns(
        &mut self,
        adversary: Adversary,
        release: Release,
    ) -> anyhow::Result<(Vec<u32>, Vec<f32>, Vec<f32>)> {
        let guess = self.guess(adversary, release)?;
        let columns = |outputs: &[f32]| self.outputs.columns(outputs);
        Ok((self.held.clone(), columns(&guess.on_held), columns(&guess.on_targets)))
    }

    fn attempt(&self, adversary: Adversary, release: Release, guess: &Guess) -> Attempt {
        let mut knowledge = known(&adversary.facts(self.parties));
        let attack = match (release, self.special) {
            (Release::Nothing, _) => AttackId::NoCode,
            (_, None) => AttackId::ConditionalMean,
            (_, Some((attack, special))) => {
                knowledge.extend(special);
                attack
            }
        };
        let releases = self.context.releases(&release.facts());
        Attempt::begin(attack, &knowledge, releases)
            .noted(format!("mean of what held-out auxiliary records chose: {}", guess.kinds.join(", ")))
    }

    /// The guess of a cell, which is made once.
    fn guess(&mut self, adversary: Adversary, release: Release) -> anyhow::Result<Rc<Guess>> {
        if let Some(guess) = self.cells.get(&(adversary, release)) {
            return Ok(guess.clone());
        }
        let mut below = Vec::new();
        for (adversary, release) in self.neighbours(adversary, release) {
            below.push(self.guess(adversary, release)?);
        }
        let facts = [adversary.facts(self.parties), release.facts()].concat();
        let guess = Rc::new(self.make(&facts, &below)?);
        self.cells.insert((adversary, release), guess.clone());
        Ok(guess)
    }

    /// The cells that know less by one step.
    fn neighbours(&self, adversary: Adversary, release: Release) -> Vec<(Adversary, Release)> {
        let mut neighbours: Vec<(Adversary, Release)> =
            adversary.weaker().map(|weaker| (weaker, release)).into_iter().collect();
        let place = self.releases.iter().position(|other| *other == release).unwrap_or(0);
        if place > 0 {
            neighbours.push((adversary, self.releases[place - 1]));
        }
        neighbours
    }

    /// Regressions on `facts`, fitted on auxiliary records like the targets and on all that know as much, and what `below`
    /// knows: averaged as held-out records choose.
    fn make(&self, facts: &[Fact], below: &[Rc<Guess>]) -> anyhow::Result<Guess> {
        let began = Instant::now();
        if facts.is_empty() {
            return self.mean();
        }
        let sources = &self.context.sources;
        let held = self.examples(facts, &self.held)?;
        let inputs = sources.features(facts, self.context.targets)?.values;
        let mut more: Vec<u32> = self.kept.clone();
        more.extend(self.context.elsewhere.iter().filter(|record| sources.knows(facts, **record)));
        let mut sets = vec![more];
        if sets[0].len() > self.kept.len() {
            sets.push(self.kept.clone());
        }
        let (mut kinds, mut on_held, mut on_targets) = (Vec::new(), Vec::new(), Vec::new());
        for records in &sets {
            let kept = self.examples(facts, records)?;
            let ranges = kept.output_ranges();
            for member in family::fit(&kept, &held, self.context.seed, self.effort) {
                for (into, inputs, rows) in [
                    (&mut on_held, &held.inputs, held.rows),
                    (&mut on_targets, &inputs, self.context.targets.len()),
                ] {
                    let mut guess = member.predict(inputs, rows);
                    draw_back(&mut guess, &ranges);
                    into.push(guess);
                }
                kinds.push(format!("{} on {} records", member.kind, records.len()));
            }
        }
        let mut views: Vec<&[f32]> = on_held.iter().map(Vec::as_slice).collect();
        views.extend(below.iter().map(|guess| guess.on_held.as_slice()));
        let weights = ensemble::choose(&views, &self.truth, self.outputs.width(), self.outputs.scored());
        let held_guess = ensemble::mix(&views, &weights);
        let mut views: Vec<&[f32]> = on_targets.iter().map(Vec::as_slice).collect();
        views.extend(below.iter().map(|guess| guess.on_targets.as_slice()));
        kinds.extend(below.iter().map(|_| "who knows less".to_string()));
        let chosen = kinds.into_iter().zip(&weights).filter(|(_, weight)| **weight > 0.0);
        Ok(Guess {
            on_held: held_guess,
            on_targets: ensemble::mix(&views, &weights),
            kinds: chosen.map(|(kind, _)| kind).collect(),
            records: sets[0].len() + self.held.len(),
            seconds: began.elapsed().as_secs_f64(),
        })
    }

    /// Who knows nothing guesses the mean.
    fn mean(&self) -> anyhow::Result<Guess> {
        let mean = self.examples(&[], self.context.auxiliary)?.output_means();
        Ok(Guess {
            on_held: mean.repeat(self.held.len()),
            on_targets: mean.repeat(self.context.targets.len()),
            kinds: vec!["mean".into()],
            records: self.context.auxiliary.len(),
            seconds: 0.0,
        })
    }

    fn examples(&self, facts: &[Fact], records: &[u32]) -> anyhow::Result<Examples> {
        let features = self.context.sources.features(facts, records)?;
        let outputs = self.outputs.of(records);
        Ok(Examples { inputs: features.values, outputs, rows: records.len(), discrete: features.discrete })
    }

    /// Each cell that was filled beside those that know less by one step.
    pub fn comparisons(&self) -> Vec<Comparison> {
        let mut comparisons = Vec::new();
        for ((adversary, release), guess) in &self.cells {
            let errors = self.errors(guess);
            for (weaker, less) in self.neighbours(*adversary, *release) {
                let gain = self.context.scorer.gain(&errors, &self.errors(&self.cells[&(weaker, less)]));
                comparisons.push(Comparison {
                    gain,
                    of: format!(
                        "{}: {adversary} from {release}, below {weaker} from {less}",
                        self.context.defence
                    ),
                });
            }
        }
        comparisons
    }

    fn errors(&self, guess: &Guess) -> Vec<f64> {
        let columns = self.outputs.columns(&guess.on_targets);
        self.context.scorer.errors_of(&columns, self.context.columns.cols())
    }
}

/// One in this many auxiliary records is held out to choose by, and so many at most.
const HELD_OUT: usize = 5;
const MOST_HELD_OUT: usize = 3000;

/// Auxiliary records, which stand in a random order, to choose by, and the others.
fn held_out(auxiliary: &[u32]) -> (Vec<u32>, Vec<u32>) {
    let count = (auxiliary.len() / HELD_OUT).clamp(1, MOST_HELD_OUT);
    let (held, kept) = auxiliary.split_at(count);
    (held.to_vec(), kept.to_vec())
}
