//! What codes say after a malicious coordinator has steered the bottom model, beside an honest run.

use hashvfl_learning::encoder::CutLayer;

use crate::attacks::AttackId;
use crate::attacks::active::cheated_run::{CheatedRun, Cheating, form_at};
use crate::attacks::active::contrastive::{Contrastive, Memory};
use crate::attacks::active::steering_server::{Decoder, Goal};
use crate::evaluation::PrivacyEvaluation;
use crate::evaluation::adversary::ObservedRelease;
use crate::evaluation::attack::{About, Attack, Need};
use crate::evaluation::victim::AttackSurface;
use crate::report::{Change, Defence, Knowledge};

/// Power of the goal's gradient, as multiples of the honest one's.
const WEIGHTS: [u32; 2] = [1, 10];

/// What a contrastive gradient's temperature is.
const TEMPERATURE: f32 = 0.2;

/// Repeats the run under gradients that steer, towards codes from which columns can be decoded, towards codes that lie apart
/// and towards each record's own earlier codes, and attacks one code of each test record; of the weight that gives most of it,
/// everything that training and validation records sent, too. With a decoder as the goal, and for the first weight, it also
/// attacks floats and one-bit floats.
pub struct Steering;

const KNOWS: &[Knowledge] =
    &[Knowledge::Labels, Knowledge::OtherCodes, Knowledge::OwnColumns, Knowledge::TrainingColumns];

/// Towards what a coordinator steers.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Towards {
    Decoded,
    Apart,
    OwnEarlierCodes,
}

impl Towards {
    fn change(self, weight: u32) -> Change {
        match self {
            Self::Decoded => Change::Steered(weight),
            Self::Apart => Change::SteeredApart(weight),
            Self::OwnEarlierCodes => Change::SteeredContrastive(weight),
        }
    }

    /// What a setting says of it behind the weight.
    fn in_words(self) -> &'static str {
        match self {
            Self::Decoded => "",
            Self::Apart => ", without any columns",
            Self::OwnEarlierCodes => ", by own earlier codes",
        }
    }
}

impl Attack for Steering {
    fn about(&self) -> About {
        About { title: "gradients that steer the bottom model", knows: KNOWS, needs: &[Need::FurtherAttacks] }
    }

    fn run(&self, evaluation: &mut PrivacyEvaluation) -> anyhow::Result<()> {
        let (victim, surfaces) = (evaluation.victim, evaluation.surfaces);
        let bits = victim.code_form().bits();
        for towards in [Towards::Decoded, Towards::Apart, Towards::OwnEarlierCodes] {
            let mut best: Option<(f64, CheatedRun, Defence)> = None;
            for weight in WEIGHTS {
                let run = steer(evaluation, CutLayer::Hash, towards, weight)?;
                let defence = surfaces.codes.defence.changed(towards.change(weight));
                let setting = format!("weight {weight}, d = {bits}{}", towards.in_words());
                let reached =
                    run.attack_one_code(evaluation, &defence, "steered by its coordinator", setting)?;
                if best.as_ref().is_none_or(|(most, ..)| reached > *most) {
                    best = Some((reached, run, defence));
                }
            }
            if let Some((_, run, defence)) = best {
                run.attack_everything(evaluation, defence)?;
            }
        }
        let weight = WEIGHTS[0];
        let run = steer(evaluation, CutLayer::SimulatedFloat, Towards::Decoded, weight)?;
        let defence = surfaces.floats.defence.changed(Change::Steered(weight));
        let surface = AttackSurface::repeated(&run.simulated, &surfaces.floats, defence);
        run.attack(evaluation, &surface, &victim.test, &[ObservedRelease::OneCode])?;
        let owned = [&victim.test.auxiliary[..], &victim.test.elsewhere].concat();
        let one_bit = run.simulated.observed.quantised(&owned);
        let defence = surfaces.one_bit.defence.changed(Change::Steered(weight));
        let surface = AttackSurface::quantised(&one_bit, defence);
        run.attack(evaluation, &surface, &victim.test, &[ObservedRelease::OneCode])?;
        Ok(())
    }
}

/// The run under a coordinator that steers with `weight`.
fn steer(
    evaluation: &PrivacyEvaluation,
    cut: CutLayer,
    towards: Towards,
    weight: u32,
) -> anyhow::Result<CheatedRun> {
    let victim = evaluation.victim;
    let known = &victim.training.auxiliary;
    let goal = match towards {
        Towards::Decoded => {
            let (columns, latents) = (&victim.owner.columns, form_at(victim, cut).latents());
            Goal::Decoded(Box::new(Decoder::new(columns, known, latents, victim.config.seed)))
        }
        Towards::Apart => Goal::Apart,
        Towards::OwnEarlierCodes => Goal::OwnEarlierCodes(Contrastive::new(Memory::Mean, TEMPERATURE)),
    };
    let sent = if cut == CutLayer::Hash { "codes" } else { "floats" };
    let how = match towards {
        Towards::Decoded => "decoded",
        Towards::Apart => "apart",
        Towards::OwnEarlierCodes => "contrastive",
    };
    let (who, knowledge) = match towards {
        Towards::Decoded => (format!("{} records steer", known.len()), Some(Knowledge::TrainingColumns)),
        Towards::Apart | Towards::OwnEarlierCodes => ("no columns are known".to_string(), None),
    };
    let cheating = Cheating {
        goal,
        weight: weight as f32,
        honest: 1.0,
        keep_last: false,
        file: format!("simulated-steered-{sent}-{how}-{weight}.parquet"),
        who,
        special: (AttackId::Steering, knowledge),
    };
    CheatedRun::new(evaluation, cut, cheating)
}
