//! Labels from gradients: what a party that follows the protocol learns of them from what it is sent.
//!
//! The gradient of a log loss is `(p - y)` times a slope, so its length and direction show the label. Attacks:
//!
//! - **norm** and **direction** of a record's gradient (Li et al. 2022, "Label leakage and protection in two-party
//!   split learning"), the sign and the directions of classes taken from a few labelled records;
//! - **clusters** of directions, named by those records;
//! - **model completion** (Fu et al. 2022, "Label inference attacks against vertical federated learning"): a model
//!   fitted on the code and gradient of those records;
//! - the same from the code alone: what gradients add is the difference;
//! - the same without any labelled record, by how common each class is ([`unlabelled`]).
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
use crate::attacks::inference::unlabelled;
use crate::evaluation::findings::AttackOutcome;
use crate::evaluation::score::moments;
use crate::evidence::observed::{Observed, ObservedAt};
use crate::metrics::area::area;
use crate::metrics::label;
use crate::report::{AttackResult, CutKind, Defence, Knowledge, Metric, Metrics, Victim};
use hashvfl_leakage::metrics::proportion;
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
    /// How common each class is in the pool.
    fractions: Vec<f64>,
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
    /// Without any label, by the length of the gradient; of two classes only.
    UnlabelledNorm,
    /// Without any label, by clusters of directions.
    UnlabelledClusters,
    /// Without any label, by clusters of codes.
    UnlabelledCodes,
}

impl Inference {
    const ALL: [Self; 10] = [
        Self::Norm,
        Self::Direction,
        Self::Clusters,
        Self::Completion,
        Self::CompletionWithColumns,
        Self::CodeAlone,
        Self::CodeAndColumns,
        Self::UnlabelledNorm,
        Self::UnlabelledClusters,
        Self::UnlabelledCodes,
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
            Self::UnlabelledNorm => AttackId::UnlabelledNorm,
            Self::UnlabelledClusters => AttackId::UnlabelledClusters,
            Self::UnlabelledCodes => AttackId::UnlabelledCodes,
        }
    }

    /// Whether it looks at gradients.
    pub fn sees_gradients(self) -> bool {
        !matches!(self, Self::CodeAlone | Self::CodeAndColumns | Self::UnlabelledCodes)
    }

    /// What names the classes.
    pub fn classes_from(self) -> Knowledge {
        match self {
            Self::UnlabelledNorm | Self::UnlabelledClusters | Self::UnlabelledCodes => {
                Knowledge::ClassFractions
            }
            _ => Knowledge::FewLabels,
        }
    }

    fn sees_codes(self) -> bool {
        use Inference::{Clusters, Direction, Norm, UnlabelledClusters, UnlabelledNorm};
        !matches!(self, Norm | Direction | Clusters | UnlabelledNorm | UnlabelledClusters)
    }

    /// Whether lengths of gradients are what it looks at.
    fn is_by_length(self) -> bool {
        matches!(self, Self::Norm | Self::UnlabelledNorm)
    }

    fn sees_columns(self) -> bool {
        matches!(self, Self::CompletionWithColumns | Self::CodeAndColumns)
    }

    /// Whether it can be used: of `two_classes` or more, and `columns` that the party has or has not.
    fn is_for(self, two_classes: bool, columns: bool) -> bool {
        (two_classes || !self.is_by_length()) && (columns || !self.sees_columns())
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
        let fraction = |class| of_class(class).count() as f64 / pool.len() as f64;
        let fractions = (0..classes.count as u32).map(fraction).collect();
        Self { view, classes, moments, seed, shots, fractions, targets }
    }

    /// The ways that fit the number of classes, and what is looked at.
    pub fn ways(&self) -> impl Iterator<Item = Inference> + use<> {
        let (two_classes, columns) = (self.classes.count == 2, !self.view.columns.is_empty());
        Inference::ALL.into_iter().filter(move |way| way.is_for(two_classes, columns))
    }

    /// What labels are scored by: AUC of two classes, accuracy of more.
    pub fn metric(&self) -> Metric {
        metric(self.classes.count)
    }

    /// The baseline of adversaries that have classes from such `knowledge`: the most common class of `pool`, guessed for every
    /// record.
    pub fn majority(&self, pool: &[u32], knowledge: Knowledge) -> AttackOutcome {
        let labels: Vec<u32> = pool.iter().map(|record| self.class(*record)).collect();
        let most = label::majority(&labels).unwrap_or(0);
        let mut score = vec![0.0_f64; self.classes.count];
        score[most as usize] = 1.0;
        let scores = score.repeat(self.targets.len());
        let result = AttackResult {
            knowledge: vec![knowledge],
            note: Some("granted the fractions of classes".into()),
            hits: self.told_hits(&scores),
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
            Inference::UnlabelledNorm => unlabelled::by_lengths(&asked, &self.fractions),
            Inference::UnlabelledClusters | Inference::UnlabelledCodes => {
                unlabelled::by_clusters(&asked, &self.fractions, self.seed)
            }
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
            hits: self.told_hits(&scores),
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
        [way.classes_from()].into_iter().chain(seen).collect()
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
                let (code, gradient) = (ObservedAt::Epoch(epoch), ObservedAt::Gradient(epoch));
                if way.sees_codes() {
                    self.add_values(*party, code, records, false, &mut features)?;
                }
                if way.sees_gradients() {
                    let unit = !way.is_by_length();
                    self.add_values(*party, gradient, records, unit, &mut features)?;
                }
            }
        }
        if way.sees_columns() {
            self.add_columns(records, &mut features);
        }
        Ok(features)
    }

    /// Adds what crossed `party`'s cut at a `moment` about `records`; with `unit`, each record's at length 1.
    fn add_values(
        &self,
        party: usize,
        moment: ObservedAt,
        records: &[u32],
        unit: bool,
        features: &mut [Vec<f32>],
    ) -> anyhow::Result<()> {
        let values = self.view.observed.gather(party, moment, records)?;
        let width = self.view.observed.width_at(party, moment);
        for (features, row) in features.iter_mut().zip(values.chunks_exact(width)) {
            let length = if unit { norm(row).max(1e-20) } else { 1.0 };
            features.extend(row.iter().map(|v| v / length));
        }
        Ok(())
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
            let class = self.class(*record);
            let centre = &mut centres[class as usize];
            centre.iter_mut().zip(values).for_each(|(sum, v)| *sum += v / self.shots_of(class));
        }
        centres
    }

    /// How many labelled records a class has: of a rare one there may be fewer than of others.
    fn shots_of(&self, class: u32) -> f32 {
        self.shots.iter().filter(|record| self.class(**record) == class).count().max(1) as f32
    }

    fn by_norm(&self, known: &[Vec<f32>], asked: &[Vec<f32>]) -> Vec<f64> {
        let mean = |class: u32| {
            let of_class = self.shots.iter().zip(known).filter(|(record, _)| self.class(**record) == class);
            of_class.map(|(_, values)| norm(values)).sum::<f32>() / self.shots_of(class)
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
        let classes: Vec<Vec<f64>> = means.iter().map(|mean| self.likeness(mean, known)).collect();
        asked.iter().flat_map(|values| classes[nearest(values, &means)].clone()).collect()
    }

    /// How alike `cluster` points to the labelled record of each class that is most like it.
    fn likeness(&self, cluster: &[f32], known: &[Vec<f32>]) -> Vec<f64> {
        let mut best = vec![f64::NEG_INFINITY; self.classes.count];
        for (record, values) in self.shots.iter().zip(known) {
            let best = &mut best[self.class(*record) as usize];
            *best = best.max(cosine(values, cluster));
        }
        best
    }

    fn by_model(&self, known: &[Vec<f32>], asked: &[Vec<f32>]) -> Vec<f64> {
        // One-hot.
        let mut outputs = vec![0.0; self.shots.len() * self.classes.count];
        for (record, output) in self.shots.iter().zip(outputs.chunks_exact_mut(self.classes.count)) {
            output[self.class(*record) as usize] = 1.0;
        }
        let examples = Examples { inputs: known.concat(), outputs, rows: known.len(), discrete: false };
        let model = Regression::fit(&examples, self.seed);
        model.predict(&asked.concat(), asked.len()).into_iter().map(f64::from).collect()
    }

    /// Figures of `scores` [targets, classes].
    fn score(&self, scores: &[f64]) -> Metrics {
        if self.classes.count == 2 {
            let positive: Vec<bool> = self.targets.iter().map(|record| self.class(*record) == 1).collect();
            let margins: Vec<f64> = scores.chunks_exact(2).map(|row| row[1] - row[0]).collect();
            return Metrics::from([(Metric::Auc, area(&positive, &margins))]);
        }
        Metrics::from([(Metric::Accuracy, proportion::of(&self.hits(scores)))])
    }

    /// Whether each target's class has the greatest of `scores` [targets, classes]: 1 or 0.
    fn hits(&self, scores: &[f64]) -> Vec<f64> {
        let best =
            |row: &[f64]| (0..row.len()).max_by(|a, b| row[*a].total_cmp(&row[*b])).unwrap_or(0) as u32;
        let guess: Vec<u32> = scores.chunks_exact(self.classes.count).map(best).collect();
        let truth: Vec<u32> = self.targets.iter().map(|record| self.class(*record)).collect();
        label::hits(&truth, &guess)
    }

    /// The same for the report, where it is what the accuracy is of; two classes are told apart by scores.
    fn told_hits(&self, scores: &[f64]) -> Vec<f32> {
        let hits = if self.classes.count > 2 { self.hits(scores) } else { Vec::new() };
        hits.into_iter().map(|hit| hit as f32).collect()
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
            hits: Vec::new(),
            alarm: None,
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
    let (guess, likelihoods) = (Vec::new(), Vec::new());
    AttackOutcome { result, guess, likelihoods, errors: Vec::new(), reference: Vec::new(), hits: Vec::new() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::evaluation::findings::Findings;
    use crate::report::Sent;

    /// Gradients of one epoch of one party: of each record two numbers, whose length is `length` of its class.
    fn gradients(of_record: &[u32], length: impl Fn(u32) -> f32) -> Observed {
        let records: Vec<u32> = (0..of_record.len() as u32).collect();
        let values: Vec<f32> = of_record.iter().flat_map(|class| [0.0, length(*class)]).collect();
        let observed = Observed::none(vec![CodeForm::signs(2)]);
        observed.with(0, ObservedAt::Gradient(0), &records, &values)
    }

    fn inferred(of_record: &[u32], pool: &[u32], targets: &[u32], observed: &Observed) -> AttackOutcome {
        let view = PartyView {
            observed,
            parties: &[0],
            gradients: Knowledge::OwnGradients,
            codes: Knowledge::OwnCodes,
            columns: Vec::new(),
            defence: Defence::new(Sent::Codes { bits: 2, response: None }),
            note: String::new(),
        };
        let insider = Insider::new(view, Classes { of_record, count: 2 }, pool, targets, 1);
        insider.infer(Inference::Norm, 0..1).unwrap()
    }

    #[test]
    fn a_rare_class_with_few_labelled_records_has_the_longer_gradient_all_the_same() {
        // Two positive records of the pool and four negative ones; then those that are scored.
        let of_record = [1, 1, 0, 0, 0, 0, 1, 0, 1, 0, 0, 1];
        let observed = gradients(&of_record, |class| if class == 1 { 3.0 } else { 2.0 });
        let found = inferred(&of_record, &[0, 1, 2, 3, 4, 5], &[6, 7, 8, 9, 10, 11], &observed);
        assert_eq!(found.result.metrics[&Metric::Auc].value, 1.0);
    }

    #[test]
    fn of_records_of_one_class_there_is_no_figure_and_the_others_are_kept() {
        let of_record = [1, 0, 0, 0, 0, 0];
        let observed = gradients(&of_record, |class| 1.0 + class as f32);
        let found = inferred(&of_record, &[0, 1, 2], &[3, 4, 5], &observed);
        let mut findings = Findings::default();
        findings.keep(found);
        assert!(findings.attacked[0].result.metrics.is_empty() && findings.failed.is_empty());
    }
}
