//! What a report says of data and method, and its pictures.

use std::collections::BTreeMap;

use hashvfl_core::text::counted;
use hashvfl_learning::top::evaluation::Evaluation as TaskMetrics;
use hashvfl_transcript::Recording;

use crate::attacks::AttackId;
use crate::config::AttackConfig;
use crate::evaluation::Surfaces;
use crate::evaluation::findings::{AttackOutcome, Findings};
use crate::evaluation::victim::VictimContext;
use crate::report::{
    AttackResult, CutKind, Defence, Knowledge, PictureGrid, PictureRow, Population, TargetRecords, Victim,
};

/// Records whose pictures are shown.
const PICTURES: usize = 12;

/// What the records and columns are, and in which units they are scored.
pub fn data(victim: &VictimContext) -> String {
    let unit = match (victim.owner.image, &victim.owner.positions[..]) {
        (Some(_), _) => "pixels brought to 0 to 1 by the range of auxiliary records",
        (None, []) => "columns in standard deviations of auxiliary records, all counted alike",
        (None, _) => {
            "columns in standard deviations of auxiliary records, all counted alike; a category of many values by its most common \
             values and all others, together as one column"
        }
    };
    let (test, training) = (&victim.test, &victim.training);
    let validation = match &victim.validation {
        Some(records) => format!(
            " Of validation records {} are scored, {} are its own.",
            records.targets.len(),
            records.auxiliary.len()
        ),
        None => " Validation records are too few to be attacked.".to_string(),
    };
    format!(
        "{} records; {} columns of {}, as its bottom model sees them (preprocessed as fitted on training records), \
         scored as {unit}. The adversary owns {} records. One code: {} test records are scored, {} are its own. All \
         epochs: {} training records are scored, {} are its own.{validation}",
        victim.evidence.labels.len(),
        victim.owner.columns.cols(),
        victim.config.victim,
        test.auxiliary.len() + test.elsewhere.len(),
        test.targets.len(),
        test.auxiliary.len(),
        training.targets.len(),
        training.auxiliary.len(),
    )
}

/// Rows of the run's records that are scored, by population.
pub fn targets(victim: &VictimContext) -> BTreeMap<TargetRecords, Vec<u32>> {
    let all = [Some(&victim.test), Some(&victim.training), victim.validation.as_ref()];
    let all = all.into_iter().flatten();
    all.map(|records| (TargetRecords { of: records.population, under: None }, records.targets.clone()))
        .collect()
}

/// For each row, the place of its record when ids are sorted.
pub fn sorted(victim: &VictimContext) -> Vec<u32> {
    let mut by_id: Vec<usize> = (0..victim.owner.ids.len()).collect();
    by_id.sort_by(|a, b| victim.owner.ids[*a].cmp(&victim.owner.ids[*b]));
    let mut places = vec![0; by_id.len()];
    (0..).zip(by_id).for_each(|(place, row)| places[row] = place);
    places
}

/// The name of what the task is measured by.
pub fn task_metric(victim: &VictimContext) -> &'static str {
    TaskMetrics::metric_name(victim.evidence.coordinator.run.task)
}

/// Which run it was, and what was recorded of it.
pub fn run_facts(recording: &Recording, floats_head: &str) -> BTreeMap<String, String> {
    let header = &recording.header;
    BTreeMap::from([
        ("run".to_string(), header.run_id.to_string()),
        ("recorded by".to_string(), header.recorder.clone()),
        (
            "what was recorded".to_string(),
            format!("{:?}, {}", header.cut, counted(recording.steps.len(), "step")),
        ),
        ("head of the transcript's chain (SHA-256)".to_string(), recording.head.to_string()),
        ("head of the simulated floats' transcript".to_string(), floats_head.to_string()),
    ])
}

/// How to get the figures again.
pub fn reproduce(config: &AttackConfig) -> Vec<String> {
    let fractions: Vec<String> = config.auxiliary_fractions.iter().map(ToString::to_string).collect();
    vec![
        "attack run --transcript transcript.parquet --config attack.toml --out FOLDER".into(),
        format!(
            "seed {} of splits, networks and resampling; auxiliary fractions {}",
            config.seed,
            fractions.join(", ")
        ),
        "each part of the records is shuffled by the seed; what the adversary owns is drawn from one half of it, the other is scored".into(),
        "intervals: 95 %, over scored records, for one training of the run"
            .into(),
        format!("trainings of the run with other first weights, its own counted: {}", config.trainings),
        match config.quick {
            true => "quick: only closed-form regressions with few settings, no networks or trees, so figures are lower than those of a \
                     full evaluation"
                .into(),
            false => "regressions of all kinds".into(),
        },
        "search steps and rates are the same at every cut; auxiliary records choose penalties and regressions".into(),
    ]
}

/// Reconstructions of the same records by several attacks, where columns are a grey image.
pub fn pictures(victim: &VictimContext, surfaces: &Surfaces, findings: &Findings) -> Option<PictureGrid> {
    let [1, height, width] = victim.owner.image? else { return None };
    let targets = &victim.test.targets;
    let shown = &targets[..targets.len().min(PICTURES)];
    let images = |values: &[f32]| -> Vec<Vec<f32>> {
        let each = values.chunks_exact(height * width).take(shown.len());
        each.map(|pixels| victim.test.scorer.grey(pixels)).collect()
    };
    let (codes, floats) = (&surfaces.codes.defence, &surfaces.floats.defence);
    let shown_of =
        |defence: &Defence| Shown { victim: victim.columns(Population::Test), defence: defence.clone() };
    let (on_codes, on_floats) = (shown_of(codes), shown_of(floats));
    let whole = |attacked: &&AttackOutcome| attacked.result.target_rows == targets.len();
    let whole: Vec<&AttackOutcome> = findings.attacked.iter().filter(whole).collect();
    let known = |attack: AttackId, knowledge: &[Knowledge]| {
        let mut fitting = whole.iter().copied().filter(|attacked| on_codes.fits(&attacked.result));
        fitting.find(|found| found.result.attack == attack && found.result.knowledge == knowledge)
    };
    let alike = whole.iter().copied().find(|found| {
        let AttackResult { attack, knowledge, releases, .. } = &found.result;
        on_codes.fits(&found.result)
            && (*attack, *releases) == (AttackId::SsimDecoder, 1)
            && knowledge.is_empty()
    });
    let control = AttackId::BlockDecoder(1);
    let control = findings.attacked.iter().find(|attacked| attacked.result.attack == control);
    let attacks = [
        (
            "labels and other parties' codes only",
            known(AttackId::NoCode, &[Knowledge::Labels, Knowledge::OtherCodes]),
        ),
        ("best without any code", on_codes.best(&whole, true)),
        ("conditional mean of one code", known(AttackId::ConditionalMean, &[])),
        ("one code, by a decoder trained for SSIM", alike),
        ("best from codes", on_codes.best(&whole, false)),
        ("best from floats (simulated)", on_floats.best(&whole, false)),
        ("from floats after the first block (simulated)", control),
    ];
    let row = |name: &str, values: &[f32]| PictureRow { name: name.into(), images: images(values) };
    let mut rows = vec![row("original", &victim.owner.columns.gather(shown))];
    rows.extend(attacks.into_iter().filter_map(|(name, attacked)| Some(row(name, &attacked?.guess))));
    Some(PictureGrid { title: "Reconstructions of the same test records".into(), height, width, rows })
}

/// Whose guesses stand below the originals: those at the same records, in the same run. Others, of as many records, are of other
/// people.
struct Shown {
    victim: Victim,
    defence: Defence,
}

impl Shown {
    fn fits(&self, result: &AttackResult) -> bool {
        result.victim == self.victim && result.defence == self.defence
    }

    /// The guess that explains most, of baselines or of attacks.
    fn best<'a>(&self, attacked: &[&'a AttackOutcome], baseline: bool) -> Option<&'a AttackOutcome> {
        let fits = |attacked: &&AttackOutcome| {
            self.fits(&attacked.result)
                && attacked.result.is_baseline() == baseline
                && attacked.result.cut != CutKind::BeforeSign
                && !attacked.guess.is_empty()
        };
        let fitting = attacked.iter().copied().filter(fits);
        fitting.max_by(|a, b| a.skill().value.total_cmp(&b.skill().value))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::Change;
    use crate::report::sample::{result, sample};

    #[test]
    fn pictures_below_the_originals_are_of_the_same_people_and_the_same_run() {
        let own = sample().defence;
        let guess = |of: Population, defence: &Defence, releases: u64, skill: f64| {
            let mut result = result(AttackId::ConditionalMean, &[], releases, CutKind::Codes, skill);
            let Victim::Columns { party, .. } = result.victim.clone() else { panic!("columns") };
            result.victim = Victim::Columns { party, of };
            result.defence = defence.clone();
            let (guess, likelihoods) = (vec![skill as f32], Vec::new());
            let (errors, reference, hits) = (Vec::new(), Vec::new(), Vec::new());
            AttackOutcome { result, guess, likelihoods, errors, reference, hits }
        };
        let steered = own.changed(Change::Steered(10));
        let attacked = [
            guess(Population::Test, &own, 0, 0.1),
            guess(Population::Test, &own, 1, 0.2),
            guess(Population::Training, &own, 5, 0.4),
            guess(Population::Test, &steered, 1, 0.5),
        ];
        let attacked: Vec<&AttackOutcome> = attacked.iter().collect();
        let shown = Shown { victim: attacked[0].result.victim.clone(), defence: own };
        assert_eq!(shown.best(&attacked, false).unwrap().guess, [0.2]);
        assert_eq!(shown.best(&attacked, true).unwrap().guess, [0.1]);
    }
}
