//! The codes of several epochs of one record: each says something that the others do not. Of training records, which dropout
//! and the moving model blur, and of validation records, which were encoded after epochs: signs without dropout and noise.

use crate::attacks::reconstruction::conditional_mean::KNOWS;
use crate::evaluation::PrivacyEvaluation;
use crate::evaluation::adversary::{Adversary, ObservedRelease};
use crate::evaluation::attack::{About, Attack};
use crate::evaluation::findings::ChartId;
use crate::evaluation::grid::AdversaryGrid;
use crate::evaluation::victim::{AttackSurface, Records, VictimContext};
use crate::evidence::knowledge::EpochRange;
use crate::evidence::observed::ObservedAt;
use crate::report::{Chart, Curve, CutKind, Metric};

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
            let releases = more_and_more(everything(victim, surface));
            let mut grid = AdversaryGrid::new(victim, surface, &victim.training, &releases);
            evaluation.keep_grid(&mut grid)?;
            evaluation.keep_attributes(&mut grid)?;
            for adversary in [Adversary::Stranger, Adversary::strongest(victim)] {
                let mut points = Vec::new();
                for release in releases.iter() {
                    if let ObservedRelease::Epochs(epochs) = release {
                        points.push((f64::from(epochs.count), grid.outcome(adversary, *release)?.skill()));
                    }
                }
                curves.push(Curve { name: format!("{}, {adversary}", surface.defence), points });
            }
            if let Some(validation) = &victim.validation {
                // More of them must not say less. Of floats, and at first sight, what says less would take as long again.
                let all = everything_of(victim, surface, validation);
                let in_steps = surface.cut == CutKind::Codes && !victim.config.quick;
                let releases = if in_steps { more_and_more(all) } else { all };
                let mut grid = AdversaryGrid::new(victim, surface, validation, &releases);
                evaluation.keep_grid(&mut grid)?;
                evaluation.keep_attributes(&mut grid)?;
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

/// The codes of the first epoch of all these, of four, of sixteen, and so on, before `everything`.
fn more_and_more(everything: Vec<ObservedRelease>) -> Vec<ObservedRelease> {
    let all = everything.first().and_then(|release| release.epochs()).unwrap_or(EpochRange::first(0));
    let counts = (0..).map(|power| 4_u32.pow(power)).take_while(|count| *count < all.count);
    let fewer = counts.map(|count| ObservedRelease::Epochs(EpochRange { count, ..all }));
    fewer.chain(everything).collect()
}

/// Everything that left of a training record: [`everything_of`].
pub fn everything(victim: &VictimContext, surface: &AttackSurface) -> Vec<ObservedRelease> {
    everything_of(victim, surface, &victim.training)
}

/// Everything that left of each of `records`, which were encoded in every epoch, or from some epoch on as validation records may be:
/// the codes of these epochs, and the last one where there is one. Ordered from least to most informative.
pub fn everything_of(
    victim: &VictimContext,
    surface: &AttackSurface,
    records: &Records,
) -> Vec<ObservedRelease> {
    let all = surface.observed.epochs();
    let records = [&records.auxiliary[..], &records.targets].concat();
    let seen = |moment| records.iter().all(|record| surface.observed.saw(victim.place, moment, *record));
    let from = (0..all).find(|epoch| seen(ObservedAt::Epoch(*epoch))).unwrap_or(0);
    let epochs = EpochRange { from, count: all - from };
    match seen(ObservedAt::Frozen) {
        true => vec![ObservedRelease::Epochs(epochs), ObservedRelease::EpochsAndLast(epochs)],
        false => vec![ObservedRelease::Epochs(epochs)],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fewer_codes_stand_before_all_of_them() {
        let of = |count| ObservedRelease::Epochs(EpochRange { from: 3, count });
        let last = ObservedRelease::EpochsAndLast(EpochRange { from: 3, count: 5 });
        assert_eq!(more_and_more(vec![of(5), last]), [of(1), of(4), of(5), last]);
        assert_eq!(more_and_more(vec![of(1)]), [of(1)]);
        assert!(more_and_more(Vec::new()).is_empty());
    }
}
