//! Fitted detectors: what each says of rows, and what the combinations of each side say.
//!
//! A panel of its own brings every detector's score to minus the logarithm of the fraction of normal rows that score as high.
//! The scores of one side's default detectors are combined by its rule and brought to that scale again. The largest of several
//! such scores is then their combination by Bonferroni, up to a constant.

use std::time::Instant;

use hashvfl_detectors::calibration::tail::Tail;
use hashvfl_detectors::{
    BatchKind, Codes, Combination, CoordinatorDetector, CoordinatorKind, CoordinatorNormal, DetectorKind,
    Panel, PartyDetector, PartyKind, References, Score,
};

use crate::federation::{Federation, View};
use crate::kinds::WRONG;

/// One line of the tables: detectors whose scores are combined.
pub struct Line {
    /// Its name.
    pub name: String,
    /// Where it runs.
    pub side: &'static str,
    groups: Vec<Group>,
}

/// Detectors of one place, whose scores become one by a rule.
#[derive(Clone)]
pub struct Group {
    members: Vec<usize>,
    rule: Combination,
    /// Brings the combined score back to the scale of a single one.
    tail: Option<Tail>,
}

impl Group {
    /// A single detector, at the place `member`.
    fn single(member: usize) -> Self {
        Self { members: vec![member], rule: Combination::Bonferroni, tail: None }
    }

    /// The detectors at the places `members`, on `scores` of the rows that gave them their scale.
    pub fn fit(members: Vec<usize>, rule: Combination, scores: &[Vec<f64>]) -> anyhow::Result<Self> {
        let mut group = Self { members, rule, tail: None };
        if group.members.len() > 1 {
            group.tail = Some(Tail::new(group.of(scores))?);
        }
        Ok(group)
    }

    /// Its scores, from those of each detector.
    pub fn of(&self, scores: &[Vec<f64>]) -> Vec<f64> {
        (0..scores[0].len()).map(|row| self.of_row(scores, row)).collect()
    }

    fn of_row(&self, scores: &[Vec<f64>], row: usize) -> f64 {
        let score = match self.members[..] {
            [single] => scores[single][row],
            _ => combined(self.rule, self.members.iter().map(|at| scores[*at][row])),
        };
        self.tail.as_ref().map_or(score, |tail| -tail.log_fraction(score))
    }
}

/// Scores, which are minus logarithms of shares, as one by `rule`.
pub fn combined(rule: Combination, scores: impl Iterator<Item = f64>) -> f64 {
    let logs: Vec<f64> = scores.map(|score| -score).collect();
    -rule.of_logs(&logs)
}

/// Fitted detectors.
pub struct Fitted {
    coordinator: Vec<Panel<CoordinatorDetector>>,
    /// `parties[kind][party]`.
    parties: Vec<Vec<Panel<PartyDetector>>>,
    /// What is reported.
    pub lines: Vec<Line>,
    /// Seconds of fitting.
    pub fit_seconds: f64,
}

/// Lines that are the default of a side.
pub const DEFAULTS: [&str; 3] = ["default, codes only", "default, at the parties", "default, both sides"];

impl Fitted {
    /// Fits all detectors on the rows that the models learned from, so many at most; `normal` is what is seen of them.
    pub fn fit(federation: &Federation<'_>, seed: u64, fit_rows: usize) -> anyhow::Result<(Self, View)> {
        let start = Instant::now();
        let rows = &federation.fit[..federation.fit.len().min(fit_rows)];
        let (normal, scale) = (federation.view_of(rows)?, federation.view_of(&federation.scale)?);
        let synthetic = federation.synthetic(rows, seed)?;
        let fitted_on = CoordinatorNormal {
            rows: normal.at_coordinator()?,
            targets: federation.models.classifier.targets(),
            synthetic: Some(&synthetic),
        };
        let mut coordinator = Vec::new();
        for kind in CoordinatorKind::ALL {
            let detector = kind.fit(&fitted_on, seed)?;
            coordinator.push(Panel::new(vec![detector], Combination::Bonferroni, &scale.at_coordinator()?)?);
        }
        let mut parties = Vec::new();
        for kind in PartyKind::ALL {
            let mut of_kind = Vec::new();
            for party in 0..2 {
                let detector = kind.fit(&normal.at_party(party)?, seed)?;
                of_kind.push(Panel::new(vec![detector], Combination::Bonferroni, &scale.at_party(party)?)?);
            }
            parties.push(of_kind);
        }
        let mut fitted = Self { coordinator, parties, lines: Vec::new(), fit_seconds: 0.0 };
        fitted.lines = lines(&fitted.score(&scale)?.0)?;
        fitted.fit_seconds = start.elapsed().as_secs_f64();
        Ok((fitted, normal))
    }

    /// The line of one of the [`DEFAULTS`].
    pub fn default(&self, name: &str) -> &Line {
        // Unwrap safety: the defaults are among the lines.
        self.lines.iter().find(|line| line.name == name).expect("a default")
    }

    /// Seconds of each of the coordinator's detectors.
    pub fn time(&self, view: &View) -> anyhow::Result<Vec<f64>> {
        let mut seconds = Vec::new();
        for panel in &self.coordinator {
            let start = Instant::now();
            panel.score(&view.at_coordinator()?)?;
            seconds.push(start.elapsed().as_secs_f64());
        }
        Ok(seconds)
    }

    /// Scores of each detector: the coordinator's, then each kind at each party, and the seconds of each.
    pub fn score(&self, view: &View) -> anyhow::Result<(Vec<Vec<f64>>, Vec<f64>)> {
        let (mut scores, mut seconds) = (Vec::new(), Vec::new());
        for panel in &self.coordinator {
            let start = Instant::now();
            scores.push(panel.score(&view.at_coordinator()?)?);
            seconds.push(start.elapsed().as_secs_f64());
        }
        for kind in &self.parties {
            for (party, panel) in kind.iter().enumerate() {
                let start = Instant::now();
                scores.push(panel.score(&view.at_party(party)?)?);
                seconds.push(start.elapsed().as_secs_f64());
            }
        }
        Ok((scores, seconds))
    }
}

impl Line {
    /// Its scores, from those of each detector.
    pub fn of(&self, scores: &[Vec<f64>]) -> Vec<f64> {
        let mut most = vec![f64::NEG_INFINITY; scores[0].len()];
        for group in &self.groups {
            most.iter_mut().zip(group.of(scores)).for_each(|(most, score)| *most = most.max(score));
        }
        most
    }

    /// What each of its groups says by itself, minus logarithms of fractions: `scores[group][row]`.
    pub fn of_each(&self, scores: &[Vec<f64>]) -> Vec<Vec<f64>> {
        self.groups.iter().map(|group| group.of(scores)).collect()
    }

    /// The sum over its members.
    pub fn sum(&self, of_each: &[f64]) -> f64 {
        self.groups.iter().flat_map(|group| &group.members).map(|at| of_each[*at]).sum()
    }
}

/// Where a detector's scores are among those of [`Fitted::score`].
pub fn place(kind: &CoordinatorKind) -> usize {
    CoordinatorKind::ALL.iter().position(|other| other == kind).unwrap_or(0)
}

/// The same of a detector at each party.
pub fn places(kind: &PartyKind) -> [usize; 2] {
    let at = PartyKind::ALL.iter().position(|other| other == kind).unwrap_or(0);
    [0, 1].map(|party| CoordinatorKind::ALL.len() + 2 * at + party)
}

/// What is reported; `scale` are scores of the rows that gave each detector its scale.
fn lines(scale: &[Vec<f64>]) -> anyhow::Result<Vec<Line>> {
    let mut lines = Vec::new();
    for kind in CoordinatorKind::ALL {
        let groups = vec![Group::single(place(kind))];
        lines.push(Line { name: kind.name().into(), side: "coordinator", groups });
    }
    let codes = CoordinatorKind::DEFAULT.iter().map(place).collect();
    let codes = Group::fit(codes, CoordinatorKind::COMBINATION, scale)?;
    lines.push(Line { name: DEFAULTS[0].into(), side: "coordinator", groups: vec![codes.clone()] });
    for kind in PartyKind::ALL {
        let groups = places(kind).map(Group::single).to_vec();
        lines.push(Line { name: kind.name().into(), side: "parties", groups });
    }
    let [first, second] = [0, 1].map(|party| {
        let members = PartyKind::DEFAULT.iter().map(|kind| places(kind)[party]).collect();
        Group::fit(members, PartyKind::COMBINATION, scale)
    });
    let parties = [first?, second?];
    let own = vec![parties[WRONG].clone()];
    lines.push(Line { name: DEFAULTS[1].into(), side: "parties", groups: parties.to_vec() });
    lines.push(Line { name: "default, second party alone".into(), side: "party", groups: own });
    let both = [vec![codes], parties.to_vec()].concat();
    lines.push(Line { name: DEFAULTS[2].into(), side: "both", groups: both });
    Ok(lines)
}

/// Scores of rows that come as one batch: test rows, and as many abnormal ones as a share of them, if there are so many.
/// Returns those of calibration, test and abnormal rows.
pub fn of_batch(
    kind: BatchKind,
    references: &References,
    test: &View,
    abnormal: &View,
    share: f64,
) -> anyhow::Result<[Vec<f64>; 3]> {
    let most = (share * test.rows() as f64).ceil() as usize;
    let first: Vec<u32> = (0..abnormal.rows().min(most) as u32).collect();
    let batch = Codes::stack(&[&test.codes, &abnormal.codes.gather(&first)])?;
    let [calibration, mut test_scores] = references.scores(kind, &batch)?;
    let abnormal = test_scores.split_off(test.rows());
    Ok([calibration, test_scores, abnormal])
}

/// Minus the logarithm of the share of `calibration` scores that are as high.
pub fn rarity_among(calibration: &[f64], scores: &[f64]) -> Vec<f64> {
    let mut sorted = calibration.to_vec();
    sorted.sort_unstable_by(f64::total_cmp);
    let mut rarities = Vec::with_capacity(scores.len());
    for score in scores {
        let as_high = sorted.len() - sorted.partition_point(|other| other < score);
        let fraction = (1 + as_high) as f64 / (1 + sorted.len()) as f64;
        rarities.push(-fraction.ln());
    }
    rarities
}
