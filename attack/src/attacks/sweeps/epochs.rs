//! The codes of several epochs of one record: each says something that the others do not. Of training records, which dropout
//! and the moving model blur, and of validation records, which were encoded after every epoch without dropout.

use crate::attacks::reconstruction::conditional_mean::KNOWS;
use crate::evaluation::PrivacyEvaluation;
use crate::evaluation::adversary::{Adversary, Release};
use crate::evaluation::attack::{About, Attack};
use crate::evaluation::findings::ChartId;
use crate::evaluation::grid::AdversaryGrid;
use crate::evaluation::victim::{AttackSurface, Records, VictimContext};
use crate::evidence::observed::ObservedAt;
use crate::report::{Chart, Curve, Metric};

/// The conditional mean of everything that training and validation records sent.
pub struct OverEpochs;

impl Attack for OverEpochs {
    fn about(&self) -> About {
        About { title: "leakage over epochs", knows: KNOWS, needs: &[] }
    }

    fn run(&self, evaluation: &mut PrivacyEvaluation) -> anyhow::Result<()> {
        let (victim, surfaces) = (evaluation.victim, evaluation.surfaces);
        let mut curves = Vec::new();
        for surface in [&surfaces.codes, &surfaces.floats] {
            let epochs = surface.observed.epochs();
            // Each four times as many as the one before.
            let fewer = (0..).map(|power| 4_u32.pow(power)).take_while(|some| *some < epochs);
            let releases: Vec<Release> =
                fewer.map(Release::Epochs).chain(everything(victim, surface)).collect();
            let mut grid = AdversaryGrid::new(victim, surface, &victim.training, &releases);
            evaluation.keep_grid(&mut grid)?;
            evaluation.keep_attributes(&mut grid)?;
            for adversary in [Adversary::Stranger, Adversary::strongest(victim)] {
                let mut points = Vec::new();
                for release in releases.iter() {
                    if let Release::Epochs(epochs) = release {
                        points.push((f64::from(*epochs), grid.outcome(adversary, *release)?.skill()));
                    }
                }
                curves.push(Curve { name: format!("{}, {adversary}", surface.defence), points });
            }
            if let Some(validation) = &victim.validation {
                let mut grid = AdversaryGrid::new(victim, surface, validation, &everything(victim, surface));
                evaluation.keep_grid(&mut grid)?;
            }
        }
        let chart = Chart {
            title: "Leakage over epochs, on training records".into(),
            x: "epochs whose codes the adversary has".into(),
            log_x: true,
            y: Metric::Skill.into(),
            curves,
        };
        evaluation.findings.charts.insert(ChartId::Epochs, chart);
        Ok(())
    }
}

/// Everything that left of a training record: [`everything_of`].
pub fn everything(victim: &VictimContext, surface: &AttackSurface) -> Vec<Release> {
    everything_of(victim, surface, &victim.training)
}

/// Everything that left of each of `records`, which were encoded in every epoch: the codes of all epochs, and the last one where
/// there is one. What says less stands before.
pub fn everything_of(victim: &VictimContext, surface: &AttackSurface, records: &Records) -> Vec<Release> {
    let epochs = surface.observed.epochs();
    let frozen = |record: &u32| surface.observed.saw(victim.place, ObservedAt::Frozen, *record);
    let records = [&records.auxiliary[..], &records.targets].concat();
    match records.iter().all(frozen) {
        true => vec![Release::Epochs(epochs), Release::EpochsAndLast(epochs)],
        false => vec![Release::Epochs(epochs)],
    }
}
