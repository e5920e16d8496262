//! Substitutes of the victim's bottom model that learn along with the run: PCAT and SDAR. The coordinator asks the party for
//! nothing that it would not ask anyway, and answers honestly. It has a top model of every step, in whose terms the
//! party's codes are written, and trains a bottom model of its own on labelled records of its own.
//!
//! Both look on while the top model is made again from the transcript, step by step, so they are tried on the very codes that were
//! sent. For floats, which nobody sent, the run is repeated in this process; so it is where records were erased from the transcript
//! since. Unless parties named their seeds, such a repetition of codes has other first weights than the run.

use std::path::Path;

use anyhow::Context;
use hashvfl_learning::Classifier;
use hashvfl_learning::encoder::CutLayer;
use hashvfl_transcript::Recording;

use crate::attacks::AttackId;
use crate::attacks::reconstruction::moment::{LastSent, Moment};
use crate::attacks::reconstruction::pcat::Pcat;
use crate::attacks::reconstruction::sdar::{Sdar, SdarKnowledge};
use crate::attacks::reconstruction::substitute::{Substitute, UPDATES, untrained};
use crate::evaluation::PrivacyEvaluation;
use crate::evaluation::attack::{About, Attack, Need};
use crate::evaluation::checks::same_top;
use crate::evaluation::context::{AttackContext, Attempt};
use crate::evaluation::findings::AttackOutcome;
use crate::evaluation::victim::{AttackSurface, VictimContext};
use crate::evidence::knowledge::Fact;
use crate::evidence::observed::ObservedAt;
use crate::evidence::replay::{is_whole, replay};
use crate::evidence::simulation::{RunVariant, observed};
use crate::report::{Change, Check, Knowledge};
use hashvfl_leakage::cores::on_all_cores;

/// PCAT and SDAR.
pub struct PseudoClients;

const KNOWS: &[Knowledge] = &[Knowledge::Labels, Knowledge::TopModels, Knowledge::Architecture];

impl Attack for PseudoClients {
    fn about(&self) -> About {
        About {
            title: "PCAT and SDAR: substitutes that learn along with the run",
            knows: KNOWS,
            needs: &[Need::FurtherAttacks],
        }
    }

    fn run(&self, evaluation: &mut PrivacyEvaluation) -> anyhow::Result<()> {
        let (victim, recording, out) = (evaluation.victim, evaluation.recording, evaluation.out);
        let found = on_all_cores(&evaluation.surfaces.repeated_cuts(), |(surface, cut, name)| {
            let path = out.join(format!("simulated-along-{name}.parquet"));
            attack(victim, recording, surface, *cut, &path)
        });
        for found in found {
            let Found { attacked, check } = found?;
            evaluation.findings.checks.extend(check);
            attacked.into_iter().for_each(|attacked| evaluation.keep(attacked));
        }
        Ok(())
    }
}

/// What both attacks found at one cut.
struct Found {
    attacked: Vec<AttackOutcome>,
    /// Whether the top model that was made again is the run's.
    check: Option<Check>,
}

/// Both attacks at one cut; a repetition of the run is recorded at `path`.
fn attack(
    victim: &VictimContext,
    recording: &Recording,
    surface: &AttackSurface,
    cut: CutLayer,
    path: &Path,
) -> anyhow::Result<Found> {
    let (evidence, seed) = (victim.evidence, victim.config.seed);
    let (columns, auxiliary, labels) = (&victim.owner.columns, &victim.training.auxiliary, &evidence.labels);
    let owned = [&victim.test.auxiliary[..], &victim.test.elsewhere].concat();
    let attempts = [AttackId::Pcat, AttackId::Sdar, AttackId::SdarByRegressions];
    let attempts = attempts.map(|attack| Attempt::begin(attack, KNOWS, 1));
    // As many updates as a substitute makes that learns after the run, and one at each step at least. It begins when half of
    // the first epoch is over.
    let steps = evidence.plan.updates() - u64::from(evidence.plan.batches() / 2);
    let rounds = UPDATES.div_ceil(steps.max(1));
    let updates = rounds * steps;
    let substitute = || -> anyhow::Result<Substitute> {
        Ok(Substitute::of(untrained(victim, surface.cut, updates)?, columns, &owned))
    };
    let known = SdarKnowledge { columns, auxiliary, labels, pixels: victim.owner.image.is_some() };
    let mut pcat = Pcat::new(substitute()?, auxiliary, labels, seed);
    let mut sdar = Sdar::new(substitute()?, known, updates, seed);
    let mut last = LastSent::new(auxiliary);
    let mut observer = |top: &Classifier, rows: &[u32], parts: &[Vec<f32>]| {
        last.keep(rows, parts);
        if !last.has_most() {
            return;
        }
        let moment = Moment { top, rows, parts, last: &last, victim: victim.place };
        for _ in 0..rounds {
            pcat.learn(&moment);
            sdar.learn(&moment);
        }
    };
    let mut check = None;
    let run = if cut == CutLayer::Hash && is_whole(evidence, recording) {
        let again = replay(evidence, recording, &mut observer).context("the top model, step by step")?;
        let tested = &victim.test.targets;
        let parts = surface.observed.gather_all(ObservedAt::Frozen, tested)?;
        check = Some(same_top(&evidence.top, &again, &parts, tested.len()));
        None
    } else {
        let variant = RunVariant::new(&evidence.coordinator.run, cut);
        Some(observed(evidence, &variant, &mut observer, path)?)
    };
    let repeated = run.as_ref().map(|run| AttackSurface::repeated(run, surface, surface.defence.clone()));
    let seen = repeated.as_ref().unwrap_or(surface);
    let mut context = AttackContext { auxiliary: &owned, ..victim.test_context(seen) };
    let sent = |context: &AttackContext| context.sources.features(&[Fact::Code], context.targets);
    let codes = sent(&context)?.values;
    let whose = if repeated.is_none() {
        "the top model of every step was made again from the transcript"
    } else if codes == sent(&victim.test_context(surface))?.values {
        "the repetition sent what the run did"
    } else {
        // Nothing of it is an answer about the run itself.
        context.defence = surface.defence.changed(Change::Repeated);
        "the repetition had other first weights than the run"
    };
    let [of_pcat, of_decoder, of_regressions] = attempts;
    let guess = sdar.read(&codes, context.targets);
    let by_decoder = context.scored(of_decoder.noted(format!("{updates} updates")), guess);
    let by_regressions = sdar.substitute.read(&context, true, of_regressions)?;
    let mut attacked = vec![pcat.substitute.read(&context, false, of_pcat)?, by_decoder, by_regressions];
    for attacked in &mut attacked {
        attacked.result.note = attacked.result.note.take().map(|note| format!("{note}; {whose}"));
    }
    Ok(Found { attacked, check })
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use hashvfl_core::random::{shuffle, stream, uniform};
    use hashvfl_core::{CodeForm, Part, PartyName, Plan, RunSettings, Task};
    use hashvfl_data::Matrix;
    use hashvfl_learning::bottom::{BottomConfig, InputShape, MlpConfig};
    use hashvfl_learning::device::Device;
    use hashvfl_learning::schedule::Rates;
    use hashvfl_learning::top::loss::Labels;
    use hashvfl_learning::training::in_process::{InProcessParties, InProcessParty};
    use hashvfl_learning::training::{TrainingError, TrainingOptions, TrainingProgress, train};
    use hashvfl_learning::{Encoder, EncoderConfig, TopConfig};

    use super::*;

    const RECORDS: usize = 3000;
    const COLUMNS: usize = 2;

    /// A run of two parties with linear bottom models that send one float each. The victim is the first; labels say, with
    /// noise, whether twice its first column and its second one are above zero together.
    struct Case {
        settings: RunSettings,
        plan: Plan,
        columns: [Matrix; 2],
        labels: Labels,
        owned: Vec<u32>,
        targets: Vec<u32>,
    }

    impl Case {
        fn new() -> Self {
            let names = ["a", "b"].map(|name| PartyName::new(name).unwrap()).to_vec();
            let settings = RunSettings {
                test_fraction: 0.2,
                learning_rate: 1e-2,
                ..RunSettings::new(names, Task::Binary, 1, 10)
            };
            let plan = Plan::new(&settings, RECORDS).unwrap();
            let mut rng = stream(9, "pseudo-clients", &[]);
            let columns = [(); 2].map(|()| {
                let values = (0..RECORDS * COLUMNS).map(|_| 2.0 * uniform(&mut rng) - 1.0).collect();
                Matrix::new(RECORDS, COLUMNS, values).unwrap()
            });
            let class = |row: &[f32]| u32::from(2.0 * row[0] + row[1] + 2.0 * uniform(&mut rng) - 1.0 > 0.0);
            let index = columns[0].values().chunks_exact(COLUMNS).map(class).collect();
            let owned = plan.part(Part::CohortTrain).iter().copied().filter(|row| row % 4 == 0).collect();
            let targets = plan.part(Part::Test).to_vec();
            Self { settings, plan, columns, labels: Labels::Classes { count: 2, index }, owned, targets }
        }

        fn encoder(&self, seed: u64) -> Encoder {
            let model = BottomConfig::Mlp(MlpConfig { hidden: Vec::new() });
            let config = EncoderConfig { model, ..EncoderConfig::default() };
            let input = InputShape { columns: COLUMNS, ..InputShape::default() };
            let (form, rates) = (CodeForm::signs(1), Rates::of_run(&self.settings, self.plan.updates()));
            let cut = CutLayer::SimulatedFloat;
            Encoder::new(config, cut, input, form, rates, seed, &Device::flex()).unwrap()
        }

        fn substitute(&self) -> Substitute<'_> {
            Substitute::of(self.encoder(77), &self.columns[0], &self.owned)
        }

        /// Trains while both look on; returns them, and the victim's floats of the targets.
        fn attacked(&self) -> (Pcat<'_>, Sdar<'_>, Vec<f32>) {
            let Self { settings, plan, columns, labels, owned, targets } = self;
            let known = SdarKnowledge { columns: &columns[0], auxiliary: owned, labels, pixels: false };
            let mut pcat = Pcat::new(self.substitute(), owned, labels, 0);
            let mut sdar = Sdar::new(self.substitute(), known, plan.updates(), 0);
            let mut last = LastSent::new(owned);
            let mut observer = |top: &Classifier, rows: &[u32], parts: &[Vec<f32>]| {
                last.keep(rows, parts);
                if last.has_most() {
                    let moment = Moment { top, rows, parts, last: &last, victim: 0 };
                    pcat.learn(&moment);
                    sdar.learn(&moment);
                }
            };
            let party = |at: usize| InProcessParty {
                encoder: self.encoder(at as u64),
                gather: Box::new(move |rows: &[u32]| columns[at].gather(rows)),
                response: None,
            };
            let mut parties = InProcessParties::simulated_floats(vec![party(0), party(1)], plan.clone());
            let (config, device) = (TopConfig::default(), Device::flex());
            let mut top = Classifier::of_run(&config, labels.clone(), settings, plan, 4, &device).unwrap();
            let options = TrainingOptions { observer: Some(&mut observer), ..TrainingOptions::default() };
            let mut silent = |_: TrainingProgress| {};
            let trained = train(&mut parties, settings, &mut plan.clone(), &mut top, options, &mut silent);
            trained.map_err(|error: TrainingError<Infallible>| error.to_string()).unwrap();
            let victim = parties.into_encoders().swap_remove(0);
            let floats = victim.encode(columns[0].gather(targets), targets.len());
            (pcat, sdar, floats)
        }

        /// Skill of a guess of the targets' columns over guessing zero, which is their mean.
        fn skill(&self, guess: &[f32]) -> f32 {
            let truth = self.columns[0].gather(&self.targets);
            let error: f32 = guess.iter().zip(&truth).map(|(guess, truth)| (guess - truth).powi(2)).sum();
            1.0 - error / truth.iter().map(|truth| truth * truth).sum::<f32>()
        }
    }

    /// A float says what twice the first column and the second one are together: half of the variance. Both read most of that,
    /// and from the floats of other records nothing.
    #[test]
    fn floats_are_read_without_a_query() {
        let case = Case::new();
        let (mut pcat, sdar, floats) = case.attacked();
        let rows = case.targets.len();
        let regression = pcat.substitute.reader(&[], 0);
        let mut order: Vec<u32> = (0..rows as u32).collect();
        shuffle(&mut order, &mut stream(1, "other records", &[]));
        let others: Vec<f32> = order.iter().map(|row| floats[*row as usize]).collect();
        for (name, found, shuffled) in [
            ("PCAT", regression.predict(&floats, rows), regression.predict(&others, rows)),
            ("SDAR", sdar.read(&floats, &case.targets), sdar.read(&others, &case.targets)),
        ] {
            let (found, shuffled) = (case.skill(&found), case.skill(&shuffled));
            assert!(found > 0.4, "{name}: {found}");
            assert!(shuffled < 0.05, "{name}: {shuffled} from floats of other records");
        }
    }
}
