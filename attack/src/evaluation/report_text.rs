//! What a report says of data and method, and its pictures.

use crate::evaluation::context::AttackOutcome;
use crate::evaluation::victim::{Findings, VictimContext, skill};
use crate::report::{CutKind, Grid, PictureRow, names};

/// Records whose pictures are shown.
const PICTURES: usize = 12;

impl VictimContext<'_> {
    pub fn data(&self) -> String {
        let columns = self.owner.columns.cols();
        let unit = if self.owner.image.is_some() {
            "pixels brought to 0 to 1 by the range of auxiliary records"
        } else {
            "columns in standard deviations of auxiliary records, all counted alike"
        };
        format!(
            "{} records; {} columns of {}, as its bottom model sees them (preprocessed as fitted on training records), scored as {unit}. \
             One code: {} test records are scored, up to {} others are the adversary's. All epochs: {} training records are scored, up to {} others are the adversary's.",
            self.evidence.labels.len(),
            columns,
            self.config.victim,
            self.frozen.targets.len(),
            self.frozen.auxiliary(self.config.share()).len(),
            self.trained.targets.len(),
            self.trained.auxiliary(self.config.share()).len(),
        )
    }

    pub fn reproduce(&self) -> Vec<String> {
        let shares: Vec<String> = self.config.auxiliary_fractions.iter().map(ToString::to_string).collect();
        vec![
            "attack run --transcript transcript.parquet --config attack.toml --out FOLDER".into(),
            format!("seed {} of splits, networks and resampling; auxiliary shares {}", self.config.seed, shares.join(", ")),
            "each population is shuffled by the seed; one half is the adversary's pool, the other is scored".into(),
            "intervals: 95 %, percentiles of 1,000 bootstrap resamples of scored records, for one training of the run".into(),
            format!("trainings of the run with other first weights, its own counted: {}", self.config.trainings),
            "search steps and rates are the same at every cut; penalties and regressions are chosen on auxiliary records".into(),
        ]
    }

    pub fn pictures(&self, findings: &Findings) -> Option<Grid> {
        let [1, height, width] = self.owner.image? else { return None };
        let targets = &self.frozen.targets[..self.frozen.targets.len().min(PICTURES)];
        let cut = |values: &[f32]| -> Vec<Vec<f32>> {
            values
                .chunks_exact(height * width)
                .take(targets.len())
                .map(|pixels| self.frozen_scorer.grey(pixels))
                .collect()
        };
        let row = |name: &str, attacked: &AttackOutcome| PictureRow {
            name: name.into(),
            images: cut(&attacked.guess),
        };
        let on_test = |attacked: &&AttackOutcome| attacked.result.target_rows == self.frozen.targets.len();
        let best = |cut: CutKind, baseline: bool| {
            let fits = |attacked: &&AttackOutcome| {
                attacked.result.cut == cut
                    && (attacked.result.releases == 0) == baseline
                    && !attacked.guess.is_empty()
            };
            let found = findings.attacked.iter().filter(on_test).filter(fits);
            found.max_by(|a, b| skill(a).value.total_cmp(&skill(b).value))
        };
        let mut rows =
            vec![PictureRow { name: "original".into(), images: cut(&self.owner.columns.gather(targets)) }];
        let named = |attack: &str, known: &[&str]| {
            let fits = |attacked: &&AttackOutcome| {
                let result = &attacked.result;
                result.attack == attack && result.cut == CutKind::Codes && result.knowledge == known
            };
            findings.attacked.iter().filter(on_test).find(fits)
        };
        let door = findings.attacked.iter().find(|attacked| attacked.result.attack.contains("after block 1"));
        let more = [
            ("class mean", named(names::NO_CODE, &["labels"])),
            ("best without any code", best(CutKind::Codes, true)),
            ("conditional mean of one code", named(names::CONDITIONAL_MEAN, &[])),
            ("best from codes", best(CutKind::Codes, false)),
            ("best from floats (simulated)", best(CutKind::SimulatedFloats, false)),
            ("from floats after the first block (simulated)", door),
        ];
        rows.extend(more.into_iter().filter_map(|(name, attacked)| Some(row(name, attacked?))));
        Some(Grid { title: "Reconstructions of the same test records".into(), height, width, rows })
    }
}
