//! Labels from gradients: what a party that follows the protocol learns of them from what it is sent.
//!
//! The gradient of a log loss is `(p - y)` times a slope, so its length and direction show the label. Attacks:
//!
//! - **norm** and **direction** of a record's gradient (Li et al. 2022, "Label leakage and protection in two-party
//!   split learning"), the sign and the directions of classes taken from a few labelled records;
//! - **clusters** of directions, named by those records;
//! - **model completion** (Fu et al. 2022, "Label inference attacks against vertical federated learning"): a model
//!   fitted on the code and gradient of those records;
//! - the same from the code alone: what gradients add is the difference.
//!
//! A party has its own columns as well. So models are fitted with them and without them: they help where labelled records are many
//! enough, and drown the rest where they are few. The labelled records are never scored.

use std::collections::BTreeMap;
use std::time::Instant;

use hashvfl_core::CodeForm;
use hashvfl_core::random::{shuffle, stream};
use hashvfl_data::Matrix;

use crate::attacks::AttackId;
use crate::attacks::inference::clusters::{cosine, k_means, nearest, norm};
use crate::evaluation::findings::AttackOutcome;
use crate::evaluation::score::moments;
use crate::evidence::observed::{Observed, ObservedAt};
use crate::metrics::label;
use crate::report::{AttackResult, CutKind, Defence, Knowledge, Metric, Metrics, Victim};
use hashvfl_leakage::metrics::{Bootstrap, proportion};
use hashvfl_leakage::regression::{Examples, Regression};

/// Labelled records of each class that the party has.
pub const SHOTS: usize = 4;
/// Fraction of the records from which labelled ones and the fractions of classes are drawn.
pub const POOL: f64 = 0.5;
/// Clusters for each class.
const CLUSTERS: usize = 2;

/// What a party sees of a run, or several parties that pool what they see.
#[derive(Clone)]
pub struct PartyView<'a> {
    /// What crossed the cut, gradients among it.
    pub observed: &'a Observed,
    /// The parties.
    pub parties: &'a [usize],
    /// Which gradients these are, as the report says it.
    pub gradients: Knowledge,
    /// Which codes.
    pub codes: Knowledge,
    /// The columns of each of these parties; none where they are not looked at.
    pub columns: Vec<&'a Matrix>,
    /// The defence and its setting.
    pub defence: Defence,
    /// What a reader must know of the run.
    pub note: String,
}

/// A party or several, and the records that they look at.
pub struct Insider<'a> {
    view: PartyView<'a>,
    classes: Classes<'a>,
    /// Mean and deviation of each party's columns over the pool.
    moments: Vec<(Vec<f32>, Vec<f32>)>,
    /// Seed of the labelled records and of models.
    seed: u64,
    /// Labelled records.
    shots: Vec<u32>,
    /// Records that are scored.
    targets: &'a [u32],
}

/// How labels are inferred.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Inference {
    /// By the length of the gradient; of two classes only.
    Norm,
    /// By the labelled class whose gradient points most alike.
    Direction,
    /// By the cluster of directions, named by labelled records.
    Clusters,
    /// By a model of code and gradient.
    Completion,
    /// By a model of code, gradient and columns.
    CompletionWithColumns,
    /// By a model of the code.
    CodeAlone,
    /// By a model of code and columns.
    CodeAndColumns,
}

impl Inference {
    const ALL: [Self; 7] = [
        Self::Norm,
        Self::Direction,
        Self::Clusters,
        Self::Completion,
        Self::CompletionWithColumns,
        Self::CodeAlone,
        Self::CodeAndColumns,
    ];

    /// Which attack it is.
    pub fn id(self) -> AttackId {
        match self {
            Self::Norm => AttackId::GradientNorm,
            Self::Direction => AttackId::GradientDirection,
            Self::Clusters => AttackId::GradientClusters,
            Self::Completion => AttackId::ModelCompletion,
            Self::CompletionWithColumns => AttackId::CompletionWithColumns,
            Self::CodeAlone => AttackId::CodesAlone,
            Self::CodeAndColumns => AttackId::CodesAndColumns,
        }
    }

    /// Whether it looks at gradients.
    pub fn sees_gradients(self) -> bool {
        !matches!(self, Self::CodeAlone | Self::CodeAndColumns)
    }

    fn sees_codes(self) -> bool {
        !matches!(self, Self::Norm | Self::Direction | Self::Clusters)
    }

    fn sees_columns(self) -> bool {
        matches!(self, Self::CompletionWithColumns | Self::CodeAndColumns)
    }
}

/// The classes of a run's records.
#[derive(Clone, Copy)]
pub struct Classes<'a> {
    /// Class of each record.
    pub of_record: &'a [u32],
    /// Their number.
    pub count: usize,
}

impl<'a> Insider<'a> {
    /// An insider that draws its labelled records from `pool` and is scored on `targets`.
    pub fn new(
        view: PartyView<'a>,
        classes: Classes<'a>,
        pool: &[u32],
        targets: &'a [u32],
        seed: u64,
    ) -> Self {
        let mut order = pool.to_vec();
        shuffle(&mut order, &mut stream(seed, "labelled records", &[]));
        let of_class =
            |class| order.iter().filter(move |record| classes.of_record[**record as usize] == class);
        let shots =
            (0..classes.count as u32).flat_map(|class| of_class(class).take(SHOTS)).copied().collect();
        let moments = view.columns.iter().map(|columns| moments(columns, pool)).collect();
        Self { view, classes, moments, seed, shots, targets }
    }

    /// The ways that fit the number of classes, and what is looked at.
    pub fn ways(&self) -> impl Iterator<Item = Inference> + use<> {
        let (binary, columns) = (self.classes.count == 2, !self.view.columns.is_empty());
        let fits =
            move |way: &Inference| (binary || *way != Inference::Norm) && (columns || !way.sees_columns());
        Inference::ALL.into_iter().filter(fits)
    }

    /// What labels are scored by: AUC of two classes, accuracy of more.
    pub fn metric(&self) -> Metric {
        metric(self.classes.count)
    }

    /// The baseline: the most common class of `pool`, guessed for every record.
    pub fn majority(&self, pool: &[u32]) -> AttackOutcome {
        let labels: Vec<u32> = pool.iter().map(|record| self.class(*record)).collect();
        let most = label::majority(&labels).unwrap_or(0);
        let one_hot = |_| (0..self.classes.count as u32).map(|class| f64::from(u8::from(class == most)));
        let scores: Vec<f64> = (0..self.targets.len()).flat_map(one_hot).collect();
        let result = AttackResult {
            knowledge: vec![Knowledge::FewLabels],
            note: Some("granted the fractions of classes".into()),
            ..self.result(AttackId::MajorityClass, self.score(&scores))
        };
        outcome(result)
    }

    /// Infers labels from the gradients (and codes) of `epochs`.
    ///
    /// # Errors
    /// If the transcript lacks gradients or codes of these records.
    pub fn infer(&self, way: Inference, epochs: std::ops::Range<u32>) -> anyhow::Result<AttackOutcome> {
        let began = Instant::now();
        let known = self.features(way, epochs.clone(), &self.shots)?;
        let asked = self.features(way, epochs.clone(), self.targets)?;
        let scores = match way {
            Inference::Norm => self.by_norm(&known, &asked),
            Inference::Direction => self.by_direction(&known, &asked),
            Inference::Clusters => self.by_clusters(&known, &asked),
            Inference::Completion
            | Inference::CompletionWithColumns
            | Inference::CodeAlone
            | Inference::CodeAndColumns => self.by_model(&known, &asked),
        };
        let releases = u64::from(epochs.end - epochs.start);
        let seen = self.view.observed;
        let forms = self.view.parties.iter().map(|party| seen.forms[*party]);
        let (cut, values, value_bits) = match way.sees_gradients() {
            false => (CutKind::Codes, forms.map(CodeForm::bits).sum::<usize>(), 1),
            true => (CutKind::Gradients, forms.map(CodeForm::latents).sum(), 32),
        };
        let values = values as u64;
        let metrics = self.score(&scores);
        Ok(outcome(AttackResult {
            releases,
            bits: releases * values * value_bits,
            cut,
            knowledge: self.knowledge(way),
            seconds: began.elapsed().as_secs_f64(),
            ..self.result(way.id(), metrics)
        }))
    }

    /// What a way looks at, as the report says it.
    fn knowledge(&self, way: Inference) -> Vec<Knowledge> {
        let seen = [
            (way.sees_columns(), Knowledge::OwnColumns),
            (way.sees_codes(), self.view.codes),
            (way.sees_gradients(), self.view.gradients),
        ];
        let seen = seen.into_iter().filter(|(sees, _)| *sees).map(|(_, knowledge)| knowledge);
        [Knowledge::FewLabels].into_iter().chain(seen).collect()
    }

    fn class(&self, record: u32) -> u32 {
        self.classes.of_record[record as usize]
    }

    /// What a way looks at, [records][values].
    fn features(
        &self,
        way: Inference,
        epochs: std::ops::Range<u32>,
        records: &[u32],
    ) -> anyhow::Result<Vec<Vec<f32>>> {
        let mut features = vec![Vec::new(); records.len()];
        for epoch in epochs {
            for party in self.view.parties {
                let mut add = |moment, unit: bool| -> anyhow::Result<()> {
                    let values = self.view.observed.gather(*party, moment, records)?;
                    let width = self.view.observed.width_at(*party, moment);
                    for (features, row) in features.iter_mut().zip(values.chunks_exact(width)) {
                        let length = if unit { norm(row).max(1e-20) } else { 1.0 };
                        features.extend(row.iter().map(|v| v / length));
                    }
                    Ok(())
                };
                match way {
                    Inference::Norm => add(ObservedAt::Gradient(epoch), false)?,
                    Inference::Direction | Inference::Clusters => add(ObservedAt::Gradient(epoch), true)?,
                    Inference::Completion | Inference::CompletionWithColumns => {
                        add(ObservedAt::Epoch(epoch), false)?;
                        add(ObservedAt::Gradient(epoch), true)?;
                    }
                    Inference::CodeAlone | Inference::CodeAndColumns => add(ObservedAt::Epoch(epoch), false)?,
                }
            }
        }
        if way.sees_columns() {
            self.add_columns(records, &mut features);
        }
        Ok(features)
    }

    /// Adds the columns of `records`, each in standard deviations.
    fn add_columns(&self, records: &[u32], features: &mut [Vec<f32>]) {
        for (columns, (mean, deviation)) in self.view.columns.iter().zip(&self.moments) {
            for (features, record) in features.iter_mut().zip(records) {
                let row = columns.row(*record as usize).iter().zip(mean).zip(deviation);
                features.extend(row.map(|((value, mean), deviation)| (value - mean) / deviation.max(1e-6)));
            }
        }
    }

    /// The mean of the labelled records' values, class by class.
    fn centres(&self, known: &[Vec<f32>]) -> Vec<Vec<f32>> {
        let width = known.first().map_or(0, Vec::len);
        let mut centres = vec![vec![0.0; width]; self.classes.count];
        for (record, values) in self.shots.iter().zip(known) {
            let centre = &mut centres[self.class(*record) as usize];
            centre.iter_mut().zip(values).for_each(|(sum, v)| *sum += v / SHOTS as f32);
        }
        centres
    }

    fn by_norm(&self, known: &[Vec<f32>], asked: &[Vec<f32>]) -> Vec<f64> {
        let mean = |class: u32| {
            let of_class = self.shots.iter().zip(known).filter(|(record, _)| self.class(**record) == class);
            of_class.map(|(_, values)| norm(values)).sum::<f32>()
        };
        let sign = if mean(1) >= mean(0) { 1.0 } else { -1.0 };
        asked.iter().flat_map(|values| [0.0, f64::from(sign * norm(values))]).collect()
    }

    fn by_direction(&self, known: &[Vec<f32>], asked: &[Vec<f32>]) -> Vec<f64> {
        let centres = self.centres(known);
        asked.iter().flat_map(|values| centres.iter().map(|centre| cosine(values, centre))).collect()
    }

    fn by_clusters(&self, known: &[Vec<f32>], asked: &[Vec<f32>]) -> Vec<f64> {
        let means = k_means(asked, CLUSTERS * self.classes.count, self.seed);
        let of_class = |cluster: &Vec<f32>| -> Vec<f64> {
            let near = |record: &Vec<f32>| cosine(record, cluster);
            let mut best = vec![f64::NEG_INFINITY; self.classes.count];
            for (record, values) in self.shots.iter().zip(known) {
                let best = &mut best[self.class(*record) as usize];
                *best = best.max(near(values));
            }
            best
        };
        let classes: Vec<Vec<f64>> = means.iter().map(of_class).collect();
        asked.iter().flat_map(|values| classes[nearest(values, &means)].clone()).collect()
    }

    fn by_model(&self, known: &[Vec<f32>], asked: &[Vec<f32>]) -> Vec<f64> {
        let one_hot = |record: &u32| {
            let class = self.class(*record);
            (0..self.classes.count as u32).map(move |other| f32::from(u8::from(other == class)))
        };
        let examples = Examples {
            inputs: known.concat(),
            outputs: self.shots.iter().flat_map(one_hot).collect(),
            rows: known.len(),
            discrete: false,
        };
        let model = Regression::fit(&examples, self.seed);
        model.predict(&asked.concat(), asked.len()).into_iter().map(f64::from).collect()
    }

    /// Figures of `scores` [targets, classes].
    fn score(&self, scores: &[f64]) -> Metrics {
        let bootstrap = Bootstrap::new(self.seed);
        let truth: Vec<u32> = self.targets.iter().map(|record| self.class(*record)).collect();
        let rows = scores.chunks_exact(self.classes.count);
        if self.classes.count == 2 {
            let positive: Vec<bool> = truth.iter().map(|class| *class == 1).collect();
            let margins: Vec<f64> = rows.map(|row| row[1] - row[0]).collect();
            let area = |rows: &[usize]| {
                let positive: Vec<bool> = rows.iter().map(|row| positive[*row]).collect();
                let margins: Vec<f64> = rows.iter().map(|row| margins[*row]).collect();
                label::auc(&positive, &margins).unwrap_or(f64::NAN)
            };
            return Metrics::from([(Metric::Auc, bootstrap.estimate(truth.len(), area))]);
        }
        let best =
            |row: &[f64]| (0..row.len()).max_by(|a, b| row[*a].total_cmp(&row[*b])).unwrap_or(0) as u32;
        let guess: Vec<u32> = rows.map(best).collect();
        Metrics::from([(Metric::Accuracy, proportion::of(&label::hits(&truth, &guess)))])
    }

    /// A result by an insider that knows what it was sent; what it looked at and how long it took is the caller's to say.
    fn result(&self, attack: AttackId, metrics: Metrics) -> AttackResult {
        AttackResult {
            attack,
            victim: Victim::Labels,
            knowledge: vec![Knowledge::FewLabels, self.view.gradients],
            releases: 0,
            cut: CutKind::Gradients,
            defence: self.view.defence.clone(),
            bits: 0,
            auxiliary_rows: self.shots.len(),
            target_rows: self.targets.len(),
            metrics,
            of_columns: BTreeMap::new(),
            errors: Vec::new(),
            note: Some(self.view.note.clone()),
            seconds: 0.0,
        }
    }
}

/// What labels are scored by, given their number of classes.
pub fn metric(classes: usize) -> Metric {
    if classes == 2 { Metric::Auc } else { Metric::Accuracy }
}

/// A result that is no guess of columns.
fn outcome(result: AttackResult) -> AttackOutcome {
    AttackOutcome { result, guess: Vec::new(), errors: Vec::new(), reference: Vec::new(), hits: Vec::new() }
}
