//! What a report says of data and method, and its pictures.

use std::collections::BTreeMap;

use hashvfl_learning::top::evaluation::Evaluation as TaskMetrics;
use hashvfl_transcript::Recording;

use crate::attacks::AttackId;
use crate::config::AttackConfig;
use crate::evaluation::Surfaces;
use crate::evaluation::findings::{AttackOutcome, Findings};
use crate::evaluation::victim::VictimContext;
use crate::report::{CutKind, Knowledge, PictureGrid, PictureRow};

/// Records whose pictures are shown.
const PICTURES: usize = 12;

/// What the records and columns are, and in which units they are scored.
pub fn data(victim: &VictimContext) -> String {
    let unit = if victim.owner.image.is_some() {
        "pixels brought to 0 to 1 by the range of auxiliary records"
    } else {
        "columns in standard deviations of auxiliary records, all counted alike"
    };
    let (test, training) = (&victim.test, &victim.training);
    format!(
        "{} records; {} columns of {}, as its bottom model sees them (preprocessed as fitted on training records), \
         scored as {unit}. The adversary owns {} records. One code: {} test records are scored, {} are its own. All \
         epochs: {} training records are scored, {} are its own.",
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

/// Rows of the records that were scored, by population.
pub fn targets(victim: &VictimContext) -> BTreeMap<String, Vec<u32>> {
    let all = [Some(&victim.test), Some(&victim.training), victim.validation.as_ref()];
    let all = all.into_iter().flatten();
    all.map(|records| (records.population.to_string(), records.targets.clone())).collect()
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
        ("what was recorded".to_string(), format!("{:?}, {} steps", header.cut, recording.steps.len())),
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
        "intervals: 95 %, percentiles of 1,000 bootstrap resamples of scored records, for one training of the run"
            .into(),
        format!("trainings of the run with other first weights, its own counted: {}", config.trainings),
        match config.quick {
            true => "quick: regressions in closed form with few settings alone, without networks and trees, so figures are lower".into(),
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
    let codes = |attacked: &&AttackOutcome| attacked.result.cut == CutKind::Codes;
    let whole = |attacked: &&AttackOutcome| {
        attacked.result.target_rows == targets.len() && !attacked.guess.is_empty()
    };
    let scored: Vec<&AttackOutcome> = findings.attacked.iter().filter(whole).collect();
    let known = |attack: AttackId, knowledge: &[Knowledge]| {
        let mut on_codes = scored.iter().copied().filter(codes);
        on_codes.find(|found| found.result.attack == attack && found.result.knowledge == knowledge)
    };
    let best = |cut: CutKind, baseline: bool| {
        let at_cut = scored.iter().copied().filter(|attacked| attacked.result.cut == cut);
        let fits = at_cut.filter(|attacked| attacked.result.is_baseline() == baseline);
        fits.max_by(|a, b| a.skill().value.total_cmp(&b.skill().value))
    };
    let control = AttackId::BlockDecoder(1);
    let control = findings.attacked.iter().find(|attacked| attacked.result.attack == control);
    let attacks = [
        (
            "labels and other parties' codes alone",
            known(AttackId::NoCode, &[Knowledge::Labels, Knowledge::OtherCodes]),
        ),
        ("best without any code", best(CutKind::Codes, true)),
        ("conditional mean of one code", known(AttackId::ConditionalMean, &[])),
        ("best from codes", best(surfaces.codes.cut, false)),
        ("best from floats (simulated)", best(surfaces.floats.cut, false)),
        ("from floats after the first block (simulated)", control),
    ];
    let row = |name: &str, values: &[f32]| PictureRow { name: name.into(), images: images(values) };
    let mut rows = vec![row("original", &victim.owner.columns.gather(shown))];
    rows.extend(attacks.into_iter().filter_map(|(name, attacked)| Some(row(name, &attacked?.guess))));
    Some(PictureGrid { title: "Reconstructions of the same test records".into(), height, width, rows })
}
