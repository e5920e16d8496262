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
//! The labelled records are never scored.

use std::collections::BTreeMap;
use std::time::Instant;

use hashvfl_core::random::{shuffle, stream};

use crate::evidence::observed::{Observed, ObservedAt};
use crate::metrics::{Bootstrap, label};
use crate::reconstruction::regression::{Examples, Regression};
use crate::report::{AttackResult, CutKind, Estimate, names};

/// Labelled records of each class that the party has.
const SHOTS: usize = 4;
/// Rounds of k-means.
const ROUNDS: usize = 20;
/// Clusters for each class.
const CLUSTERS: usize = 2;

/// A party or several that pool what they got, and the records that they look at.
pub struct Insider<'a> {
    /// What crossed the cut, gradients among it.
    pub observed: &'a Observed,
    /// The parties.
    pub parties: &'a [usize],
    /// Class of each record of the run.
    pub classes: &'a [u32],
    /// Number of classes.
    pub class_count: usize,
    /// The parties' name in the report.
    pub name: String,
    /// The defence and its setting.
    pub defence: String,
    /// Seed of the labelled records and of models.
    pub seed: u64,
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
    /// By a model of the code.
    CodeAlone,
}

impl Inference {
    const ALL: [Self; 5] = [Self::Norm, Self::Direction, Self::Clusters, Self::Completion, Self::CodeAlone];

    /// As a report says it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Norm => "gradient norm",
            Self::Direction => "gradient direction",
            Self::Clusters => "gradient clusters",
            Self::Completion => "model completion",
            Self::CodeAlone => "model completion, codes alone",
        }
    }
}

impl<'a> Insider<'a> {
    /// An insider that draws its labelled records from `pool`.
    pub fn new(
        observed: &'a Observed,
        parties: &'a [usize],
        (classes, class_count): (&'a [u32], usize),
        (pool, targets): (&[u32], &'a [u32]),
        (name, defence): (String, String),
        seed: u64,
    ) -> Self {
        let mut order = pool.to_vec();
        shuffle(&mut order, &mut stream(seed, "labelled records", &[]));
        let of_class = |class| order.iter().filter(move |record| classes[**record as usize] == class);
        let shots = (0..class_count as u32).flat_map(|class| of_class(class).take(SHOTS)).copied().collect();
        Self { observed, parties, classes, class_count, name, defence, seed, shots, targets }
    }

    /// The ways that fit the number of classes.
    pub fn ways(&self) -> impl Iterator<Item = Inference> + use<> {
        let binary = self.class_count == 2;
        Inference::ALL.into_iter().filter(move |way| binary || *way != Inference::Norm)
    }

    /// The figure by which labels are told: AUC of two classes, accuracy of more.
    pub fn figure(&self) -> &'static str {
        if self.class_count == 2 { names::AUC } else { names::ACCURACY }
    }

    /// The baseline: the most common class of `pool`, guessed for every record.
    pub fn majority(&self, pool: &[u32]) -> AttackResult {
        let labels: Vec<u32> = pool.iter().map(|record| self.class(*record)).collect();
        let most = label::majority(&labels).unwrap_or(0);
        let one_hot = |_| (0..self.class_count as u32).map(|class| f64::from(u8::from(class == most)));
        let scores: Vec<f64> = (0..self.targets.len()).flat_map(one_hot).collect();
        let known = vec![self.known_labels()];
        let result = self.result("majority class", known, (0, 0), self.score(&scores), 0.0);
        AttackResult { note: Some("granted the shares of classes".into()), ..result }
    }

    /// Infers labels from the gradients (and codes) of `epochs`.
    ///
    /// # Errors
    /// If the transcript lacks gradients or codes of these records.
    pub fn infer(&self, way: Inference, epochs: std::ops::Range<u32>) -> anyhow::Result<AttackResult> {
        let start = Instant::now();
        let known = self.features(way, epochs.clone(), &self.shots)?;
        let asked = self.features(way, epochs.clone(), self.targets)?;
        let scores = match way {
            Inference::Norm => self.by_norm(&known, &asked),
            Inference::Direction => self.by_direction(&known, &asked),
            Inference::Clusters => self.by_clusters(&known, &asked),
            Inference::Completion | Inference::CodeAlone => self.by_model(&known, &asked),
        };
        let releases = u64::from(epochs.end - epochs.start);
        let value_bits = if way == Inference::CodeAlone { 1 } else { 32 };
        let bits = releases * (self.observed.width * self.parties.len()) as u64 * value_bits;
        let knowledge = vec![self.known_labels(), self.name.clone()];
        let seconds = start.elapsed().as_secs_f64();
        let mut result = self.result(way.name(), knowledge, (releases, bits), self.score(&scores), seconds);
        if way == Inference::CodeAlone {
            result.cut = CutKind::Codes;
        }
        Ok(result)
    }

    fn known_labels(&self) -> String {
        format!("{SHOTS} labels a class")
    }

    fn class(&self, record: u32) -> u32 {
        self.classes[record as usize]
    }

    /// What a way looks at, [records][values].
    fn features(
        &self,
        way: Inference,
        epochs: std::ops::Range<u32>,
        records: &[u32],
    ) -> anyhow::Result<Vec<Vec<f32>>> {
        let width = self.observed.width;
        let mut features = vec![Vec::new(); records.len()];
        for epoch in epochs {
            for party in self.parties {
                let mut add = |moment, unit: bool| -> anyhow::Result<()> {
                    let values = self.observed.gather(*party, moment, records)?;
                    for (features, row) in features.iter_mut().zip(values.chunks_exact(width)) {
                        let length = if unit { norm(row).max(1e-20) } else { 1.0 };
                        features.extend(row.iter().map(|v| v / length));
                    }
                    Ok(())
                };
                match way {
                    Inference::Norm => add(ObservedAt::Gradient(epoch), false)?,
                    Inference::Direction | Inference::Clusters => add(ObservedAt::Gradient(epoch), true)?,
                    Inference::Completion => {
                        add(ObservedAt::Epoch(epoch), false)?;
                        add(ObservedAt::Gradient(epoch), true)?;
                    }
                    Inference::CodeAlone => add(ObservedAt::Epoch(epoch), false)?,
                }
            }
        }
        Ok(features)
    }

    /// The mean of the labelled records' values, class by class.
    fn centres(&self, known: &[Vec<f32>]) -> Vec<Vec<f32>> {
        let width = known.first().map_or(0, Vec::len);
        let mut centres = vec![vec![0.0; width]; self.class_count];
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
        let means = k_means(asked, CLUSTERS * self.class_count, self.seed);
        let of_class = |cluster: &Vec<f32>| -> Vec<f64> {
            let near = |record: &Vec<f32>| cosine(record, cluster);
            let mut best = vec![f64::NEG_INFINITY; self.class_count];
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
            (0..self.class_count as u32).map(move |other| f32::from(u8::from(other == class)))
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
    fn score(&self, scores: &[f64]) -> BTreeMap<String, Estimate> {
        let bootstrap = Bootstrap::new(self.seed);
        let truth: Vec<u32> = self.targets.iter().map(|record| self.class(*record)).collect();
        let rows = scores.chunks_exact(self.class_count);
        if self.class_count == 2 {
            let positive: Vec<bool> = truth.iter().map(|class| *class == 1).collect();
            let margins: Vec<f64> = rows.map(|row| row[1] - row[0]).collect();
            let area = |rows: &[usize]| {
                let positive: Vec<bool> = rows.iter().map(|row| positive[*row]).collect();
                let margins: Vec<f64> = rows.iter().map(|row| margins[*row]).collect();
                label::auc(&positive, &margins).unwrap_or(f64::NAN)
            };
            return BTreeMap::from([(names::AUC.to_string(), bootstrap.estimate(truth.len(), area))]);
        }
        let best =
            |row: &[f64]| (0..row.len()).max_by(|a, b| row[*a].total_cmp(&row[*b])).unwrap_or(0) as u32;
        let guess: Vec<u32> = rows.map(best).collect();
        BTreeMap::from([(names::ACCURACY.to_string(), bootstrap.mean(&label::hits(&truth, &guess)))])
    }

    fn result(
        &self,
        attack: &str,
        knowledge: Vec<String>,
        (releases, bits): (u64, u64),
        metrics: BTreeMap<String, Estimate>,
        seconds: f64,
    ) -> AttackResult {
        AttackResult {
            attack: attack.to_string(),
            victim: "the labels".into(),
            knowledge,
            releases,
            cut: CutKind::Gradients,
            defence: self.defence.clone(),
            bits,
            auxiliary_rows: self.shots.len(),
            target_rows: self.targets.len(),
            metrics,
            note: None,
            seconds,
        }
    }
}

fn norm(values: &[f32]) -> f32 {
    values.iter().map(|v| v * v).sum::<f32>().sqrt()
}

fn cosine(a: &[f32], b: &[f32]) -> f64 {
    let dot: f32 = a.iter().zip(b).map(|(a, b)| a * b).sum();
    f64::from(dot / (norm(a) * norm(b)).max(1e-20))
}

fn nearest(values: &[f32], means: &[Vec<f32>]) -> usize {
    let near = |mean: &Vec<f32>| cosine(values, mean);
    (0..means.len()).max_by(|a, b| near(&means[*a]).total_cmp(&near(&means[*b]))).unwrap_or(0)
}

/// Means of `count` clusters by cosine (Lloyd 1982), each start as far from the others as can be.
fn k_means(records: &[Vec<f32>], count: usize, seed: u64) -> Vec<Vec<f32>> {
    let mut order: Vec<u32> = (0..records.len() as u32).collect();
    shuffle(&mut order, &mut stream(seed, "clusters", &[]));
    let mut means: Vec<Vec<f32>> =
        order.first().map(|row| records[*row as usize].clone()).into_iter().collect();
    while !means.is_empty() && means.len() < count {
        let near = |row: &u32| {
            let values = &records[*row as usize];
            cosine(values, &means[nearest(values, &means)])
        };
        // A few hundred records tell where there is no cluster yet.
        let farthest = order.iter().take(500).min_by(|a, b| near(a).total_cmp(&near(b)));
        means.extend(farthest.map(|row| records[*row as usize].clone()));
    }
    for _ in 0..ROUNDS {
        let mut sums = vec![vec![0.0; records.first().map_or(0, Vec::len)]; means.len()];
        for values in records {
            let sum = &mut sums[nearest(values, &means)];
            sum.iter_mut().zip(values).for_each(|(sum, v)| *sum += v);
        }
        means = sums;
    }
    means
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clusters_are_found() {
        let records: Vec<Vec<f32>> = (0..60)
            .map(|row| {
                let near = (row / 3) as f32 * 0.01;
                [vec![1.0, near, 0.0], vec![-1.0, near, 0.1], vec![0.0, near, -1.0]][row % 3].clone()
            })
            .collect();
        let means = k_means(&records, 3, 7);
        let places: Vec<usize> = records.iter().map(|values| nearest(values, &means)).collect();
        assert!(places.iter().zip(&places[3..]).all(|(a, b)| a == b), "{places:?}");
        assert!(places[0] != places[1] && places[1] != places[2] && places[0] != places[2]);
    }
}
