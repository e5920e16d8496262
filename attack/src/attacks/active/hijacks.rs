//! Hijacks: gradients that take the place of honest ones, wholly or half, so that codes come to be those of a surrogate that the
//! coordinator can read.

use hashvfl_learning::encoder::CutLayer;

use crate::attacks::AttackId;
use crate::attacks::active::cheated_run::{CheatedRun, Cheating, form_at};
use crate::attacks::active::fsha::{Auxiliary, Fsha, FshaConfig};
use crate::attacks::active::hijacker::Hijacker;
use crate::attacks::active::steering_server::Goal;
use crate::attacks::active::urvfl::{Urvfl, UrvflConfig, UrvflKnowledge};
use crate::attacks::reconstruction::substitute::{BATCH, untrained};
use crate::evaluation::PrivacyEvaluation;
use crate::evaluation::attack::{About, Attack, Need};
use crate::evaluation::context::{AttackContext, Attempt};
use crate::evaluation::score::scales;
use crate::evaluation::victim::{AttackSurface, VictimContext};
use crate::evidence::knowledge::Fact;
use crate::report::{Change, CutKind, Defence, Hijack, Knowledge};

/// Repeats the run under each hijacker, with none and with half of the honest gradient kept. One code of each test record is read by
/// the hijacker's own decoder, and by every adversary of the grid; of the hijack that gives these most, so is everything that
/// training and validation records sent. Only the decoder reads floats.
pub struct Hijacks;

const KNOWS: &[Knowledge] =
    &[Knowledge::Labels, Knowledge::OtherCodes, Knowledge::OwnColumns, Knowledge::Architecture];

/// The hijackers.
const HIJACKERS: [Hijack; 3] = [Hijack::Urvfl, Hijack::UrvflSync, Hijack::Fsha];
/// Parts of the honest gradient that are kept, in per cent.
const HONEST: [u32; 2] = [0, 50];
/// Passes over the rows that a hijacker owns before the run, and the updates that these are at least and at most.
const PASSES: usize = 20;
const LEAST_UPDATES: u64 = 300;
const MOST_UPDATES: u64 = 1500;

impl Attack for Hijacks {
    fn about(&self) -> About {
        About {
            title: "hijacks: gradients that take the place of honest ones",
            knows: KNOWS,
            needs: &[Need::FurtherAttacks],
        }
    }

    fn run(&self, evaluation: &mut PrivacyEvaluation) -> anyhow::Result<()> {
        let bits = evaluation.victim.code_form().bits();
        let mut best: Option<(f64, CheatedRun, Defence)> = None;
        for by in HIJACKERS {
            for honest_percent in HONEST {
                let (run, defence) = hijacked(evaluation, by, CutLayer::Hash, honest_percent)?;
                let setting = format!("{by}, {honest_percent} % honest, d = {bits}");
                let reached =
                    run.attack_one_code(evaluation, &defence, "hijacked by its coordinator", setting)?;
                if best.as_ref().is_none_or(|(most, ..)| reached > *most) {
                    best = Some((reached, run, defence));
                }
            }
            hijacked(evaluation, by, CutLayer::SimulatedFloat, HONEST[0])?;
        }
        if let Some((_, run, defence)) = best {
            run.attack_everything(evaluation, defence)?;
        }
        Ok(())
    }
}

/// The run under a hijacker; keeps what its own decoder makes of the codes or floats of test records.
fn hijacked(
    evaluation: &mut PrivacyEvaluation,
    by: Hijack,
    cut: CutLayer,
    honest_percent: u32,
) -> anyhow::Result<(CheatedRun, Defence)> {
    let (victim, surfaces) = (evaluation.victim, evaluation.surfaces);
    let (like, sent) = match cut {
        CutLayer::Hash => (&surfaces.codes, "codes"),
        CutLayer::SimulatedFloat => (&surfaces.floats, "floats"),
    };
    let attempt = Attempt::begin(AttackId::Hijack(by), &knowledge(by, victim), 1);
    let owned = [&victim.test.auxiliary[..], &victim.test.elsewhere].concat();
    let mut hijacker = hijacker(by, victim, like.cut, &owned)?;
    let name = by.to_string().to_lowercase();
    let cheating = Cheating {
        goal: Goal::Hijacked(Box::new(|rows: &[u32], codes: &[f32]| hijacker.gradient(rows, codes))),
        weight: (100 - honest_percent) as f32 / 100.0,
        honest: honest_percent as f32 / 100.0,
        keep_last: true,
        file: format!("simulated-hijacked-{sent}-{name}-{honest_percent}.parquet"),
        who: format!("{} records make a surrogate", owned.len()),
        special: (AttackId::AfterHijack, Some(Knowledge::Architecture)),
    };
    let run = CheatedRun::new(evaluation, cut, cheating)?;
    let defence = like.defence.changed(Change::Hijacked { by, honest_percent });
    let attacked = {
        let surface = AttackSurface::repeated(&run.simulated, like, defence.clone());
        let context = AttackContext { auxiliary: &owned, ..victim.test_context(&surface) };
        let codes = context.sources.features(&[Fact::Code], context.targets)?.values;
        let guess = hijacker.reconstruct(&form_at(victim, cut).decode(&codes), context.targets);
        run.noted(context.scored(attempt, guess))
    };
    evaluation.keep(attacked);
    Ok((run, defence))
}

/// What a hijacker's own decoder is told and its surrogate is made with.
fn knowledge(by: Hijack, victim: &VictimContext) -> Vec<Knowledge> {
    let mut knows = Vec::new();
    if by != Hijack::Fsha {
        knows.push(Knowledge::Labels);
        knows.extend(victim.own.map(|_| Knowledge::OwnColumns));
    }
    knows.push(Knowledge::Architecture);
    knows
}

/// A hijacker that owns these rows, with a surrogate of the victim's architecture.
fn hijacker<'a>(
    by: Hijack,
    victim: &VictimContext<'a>,
    cut: CutKind,
    owned: &'a [u32],
) -> anyhow::Result<Hijacker<'a>> {
    let (evidence, owner, seed) = (victim.evidence, victim.owner, victim.config.seed);
    let steps = evidence.plan.updates();
    if by == Hijack::Fsha {
        let config = FshaConfig { seed, ..FshaConfig::default() };
        let pilot = untrained(victim, cut, steps + u64::from(config.head_start))?;
        return Ok(Hijacker::Fsha(Box::new(Fsha::new(config, pilot, auxiliary(victim, owned)))));
    }
    let head_start = ((PASSES * owned.len()).div_ceil(BATCH) as u64).clamp(LEAST_UPDATES, MOST_UPDATES);
    let sync = by == Hijack::UrvflSync;
    let config = UrvflConfig { sync, head_start, seed, ..UrvflConfig::default() };
    let surrogate = untrained(victim, cut, config.updates(steps))?;
    let known = UrvflKnowledge {
        columns: &owner.columns,
        auxiliary: owned,
        labels: &evidence.labels,
        own: victim.own,
        pixels: owner.image.is_some(),
    };
    Ok(Hijacker::Urvfl(Box::new(Urvfl::new(&config, surrogate, known, steps))))
}

/// The rows that FSHA owns. Pixels are guessed as they are, other columns in standard deviations.
fn auxiliary(victim: &VictimContext, owned: &[u32]) -> Auxiliary {
    let columns = &victim.owner.columns;
    let scales = match victim.owner.image {
        Some(_) => Vec::new(),
        None => {
            let (mean, deviation) = scales(columns, owned);
            mean.into_iter().zip(deviation).collect()
        }
    };
    Auxiliary { values: columns.gather(owned), columns: columns.cols(), scales }
}
