//! Test sets of abnormal inputs, made from real test records, one per kind. The second party's input is wrong.

use std::collections::BTreeMap;

use hashvfl_core::random::{below, stream};
use hashvfl_data::Ranges;
use hashvfl_detectors::codes::bit;
use hashvfl_detectors::codes::centres::Centres;
use rand::Rng;
use rand::rngs::ChaCha8Rng;

use crate::federation::{Federation, View};

/// The party whose input is abnormal.
pub const WRONG: usize = 1;
/// What a column in the wrong unit is multiplied by: euros become cents.
const UNIT: f32 = 100.0;
/// Steps of projected gradient descent.
const STEPS: usize = 10;
/// Embedding values beyond this need no further push.
const MARGIN: f32 = 0.5;

/// A test set of one kind.
pub struct AnomalySet {
    /// Its name.
    pub name: &'static str,
    /// How it was made.
    pub about: String,
    /// What both sides see.
    pub view: View,
}

/// Draws, and what is known of the training records.
pub struct Maker<'a, 'b> {
    federation: &'a Federation<'b>,
    rng: ChaCha8Rng,
    width: usize,
    /// Between which values the training rows' columns of the wrong party lie.
    ranges: Ranges,
    by_class: BTreeMap<u32, Vec<u32>>,
    centres: Centres,
    class_count: u32,
}

impl<'a, 'b> Maker<'a, 'b> {
    /// For one federation; `normal` is what both sides see of training records.
    pub fn new(federation: &'a Federation<'b>, normal: &View, seed: u64) -> Self {
        let columns = &federation.set.columns[WRONG];
        let mut ranges = Ranges::new(columns.cols());
        federation.fit.iter().for_each(|row| ranges.widen(columns.row(*row as usize)));
        let mut by_class: BTreeMap<u32, Vec<u32>> = BTreeMap::new();
        let classes = federation.set.classes();
        federation.test.iter().for_each(|row| by_class.entry(classes[*row as usize]).or_default().push(*row));
        let class_count = classes.iter().max().map_or(1, |most| most + 1);
        let centres = match federation.models.classifier.targets() {
            // Unwrap safety: the targets are of this run's code length.
            Some(targets) => {
                Centres::of_targets(targets, normal.codes.lengths()).expect("targets of the run")
            }
            None => Centres::of_majority(&normal.codes, &normal.classes, class_count as usize),
        };
        let rng = stream(seed, "abnormal rows", &[]);
        Self { federation, rng, width: columns.cols(), ranges, by_class, centres, class_count }
    }

    fn below(&mut self, bound: usize) -> usize {
        below(&mut self.rng, bound)
    }

    fn class(&self, row: u32) -> u32 {
        self.federation.set.classes()[row as usize]
    }

    /// All kinds from `base` rows; `unlike` are images of another set, a vector a party.
    pub fn all(&mut self, base: &[u32], unlike: Option<&[Vec<f32>; 2]>) -> anyhow::Result<Vec<AnomalySet>> {
        let mut kinds = vec![self.swapped(base, true)?, self.swapped(base, false)?, self.noise(base)?];
        kinds.push(self.unit(base)?);
        kinds.push(self.missing(base)?);
        if let Some(images) = unlike {
            let about = "images unlike digits at both parties".to_string();
            let view = self.federation.view(images.to_vec(), [None, None])?;
            kinds.push(AnomalySet { name: "images of another set", about, view });
        }
        kinds.push(self.adversarial(base, 1)?);
        kinds.push(self.adversarial(base, STEPS)?);
        kinds.push(self.forged(base, false)?);
        kinds.push(self.forged(base, true)?);
        Ok(kinds)
    }

    /// Rows of `base` whose second half is `raw`.
    fn altered(
        &self,
        name: &'static str,
        about: &str,
        base: &[u32],
        raw: Vec<f32>,
    ) -> anyhow::Result<AnomalySet> {
        let federation = self.federation;
        let columns = vec![federation.prepare(0, federation.raw(0, base))?, federation.prepare(WRONG, raw)?];
        Ok(AnomalySet { name, about: about.to_string(), view: federation.view(columns, [None, None])? })
    }

    fn swapped(&mut self, base: &[u32], same: bool) -> anyhow::Result<AnomalySet> {
        let classes: Vec<u32> = self.by_class.keys().copied().collect();
        let mut others = Vec::new();
        for row in base {
            let own = self.class(*row);
            let class = if same {
                own
            } else {
                let rest: Vec<u32> = classes.iter().copied().filter(|class| *class != own).collect();
                rest[self.below(rest.len())]
            };
            let count = self.by_class[&class].len();
            let pick = self.below(count);
            others.push(self.by_class[&class][pick]);
        }
        let raw = self.federation.raw(WRONG, &others);
        let (name, about) = match same {
            true => (
                "another record, same class",
                "the second party's row is that of another record of the class",
            ),
            false => {
                ("another record, other class", "the second party's row is that of a record of another class")
            }
        };
        self.altered(name, about, base, raw)
    }

    fn noise(&mut self, base: &[u32]) -> anyhow::Result<AnomalySet> {
        let mut raw = Vec::with_capacity(base.len() * self.width);
        base.iter().for_each(|_| self.ranges.draw(&mut self.rng, &mut raw));
        let about = "the second party's columns are drawn evenly from the range that each has in training";
        self.altered("uniform noise", about, base, raw)
    }

    fn unit(&mut self, base: &[u32]) -> anyhow::Result<AnomalySet> {
        let mut raw = self.federation.raw(WRONG, base);
        for row in 0..base.len() {
            let at = row * self.width;
            let filled: Vec<usize> = (0..self.width).filter(|column| raw[at + column] != 0.0).collect();
            if !filled.is_empty() {
                let column = filled[self.below(filled.len())];
                raw[at + column] *= UNIT;
            }
        }
        let about = "one column of the second party, drawn for each row among those that are not 0, is 100 times too large";
        self.altered("wrong unit", about, base, raw)
    }

    fn missing(&mut self, base: &[u32]) -> anyhow::Result<AnomalySet> {
        let mut raw = self.federation.raw(WRONG, base);
        for value in &mut raw {
            if self.rng.next_u32() & 1 == 1 {
                *value = 0.0;
            }
        }
        let about =
            "each column of the second party is missing with probability a half, and 0 stands in its place";
        self.altered("missing columns", about, base, raw)
    }

    /// The code of a class at the wrong party, as +1.0 and -1.0.
    fn target(&self, class: u32) -> anyhow::Result<Vec<f32>> {
        let lengths = self.centres.lengths();
        let start: usize = lengths[..WRONG].iter().sum();
        let words = self.centres.of(class)?;
        Ok((start..start + lengths[WRONG]).map(|at| if bit(words, at) { 1.0 } else { -1.0 }).collect())
    }

    fn other_classes(&mut self, base: &[u32]) -> Vec<u32> {
        let mut others = Vec::with_capacity(base.len());
        for row in base {
            let away = 1 + self.below(self.class_count as usize - 1) as u32;
            others.push((self.class(*row) + away) % self.class_count);
        }
        others
    }

    /// Gradient steps through the second party's bottom model towards the code of another class, within a box around
    /// the row: FGSM (Goodfellow et al. 2015) in one step, PGD (Madry et al. 2018) in several.
    fn adversarial(&mut self, base: &[u32], steps: usize) -> anyhow::Result<AnomalySet> {
        let federation = self.federation;
        let image = federation.set.image.is_some();
        let reach = if image { 0.2_f32 } else { 0.5 };
        let classes = self.other_classes(base);
        let targets: Vec<Vec<f32>> =
            classes.iter().map(|class| self.target(*class)).collect::<anyhow::Result<_>>()?;
        let start = federation.prepare(WRONG, federation.raw(WRONG, base))?;
        let mut moved = start.clone();
        let step = if steps == 1 { reach } else { 2.5 * reach / steps as f32 };
        for _ in 0..steps {
            for (at, pass) in targets.chunks(256).enumerate() {
                let from = at * 256 * self.width;
                let rows = pass.len();
                let values = &mut moved[from..from + rows * self.width];
                let pull = federation
                    .encoder(WRONG)
                    .pull_values(values.to_vec(), rows, |embedding| push(embedding, pass));
                let origin = &start[from..from + rows * self.width];
                for ((value, pull), origin) in values.iter_mut().zip(pull).zip(origin) {
                    let sign = if pull == 0.0 { 0.0 } else { pull.signum() };
                    let stepped = (*value + step * sign).clamp(origin - reach, origin + reach);
                    *value = if image { stepped.clamp(0.0, 1.0) } else { stepped };
                }
            }
        }
        let columns = vec![federation.prepare(0, federation.raw(0, base))?, moved];
        let view = federation.view(columns, [None, None])?;
        let (name, way) = if steps == 1 { ("FGSM", "one step") } else { ("PGD", "ten steps") };
        let unit = if image { "of the range of a pixel" } else { "deviations" };
        let about = format!(
            "{way} through the second party's bottom model towards the code of another class, at most {reach} {unit} away"
        );
        Ok(AnomalySet { name, about, view })
    }

    /// A malicious party sends the code of a class in place of its record's.
    fn forged(&mut self, base: &[u32], own: bool) -> anyhow::Result<AnomalySet> {
        let federation = self.federation;
        let classes =
            if own { base.iter().map(|row| self.class(*row)).collect() } else { self.other_classes(base) };
        let mut codes = Vec::new();
        for class in classes {
            codes.extend(self.target(class)?);
        }
        let columns = (0..2).map(|party| federation.prepare(party, federation.raw(party, base)));
        let view = federation.view(columns.collect::<anyhow::Result<_>>()?, [None, Some(codes)])?;
        let (name, about) = match own {
            true => (
                "target code, own class",
                "the second party sends the target code of the record's true class",
            ),
            false => ("target code, other class", "the second party sends the target code of another class"),
        };
        Ok(AnomalySet { name, about: about.to_string(), view })
    }

    /// Rows that change slowly: the second party's columns move by up to one deviation from the first row to the last.
    pub fn drifting(&mut self, base: &[u32]) -> anyhow::Result<AnomalySet> {
        let mut raw = self.federation.raw(WRONG, base);
        let columns = &self.federation.set.columns[WRONG];
        let mut deviations = Vec::with_capacity(self.width);
        for column in 0..self.width {
            let rows = self.federation.fit.iter();
            let values: Vec<f64> = rows.map(|row| f64::from(columns.row(*row as usize)[column])).collect();
            deviations.push(deviation(&values) as f32);
        }
        for (row, values) in raw.chunks_exact_mut(self.width).enumerate() {
            let share = row as f32 / base.len() as f32;
            values.iter_mut().zip(&deviations).for_each(|(value, deviation)| *value += share * deviation);
        }
        let about = "the second party's columns move by one deviation from the first row to the last";
        self.altered("slow drift", about, base, raw)
    }
}

/// Where each value of `embedding` is to go for its sign to be that of the target: nowhere where it is far enough.
fn push(embedding: &[f32], targets: &[Vec<f32>]) -> Vec<f32> {
    let mut push = Vec::with_capacity(embedding.len());
    for (value, target) in embedding.iter().zip(targets.iter().flatten()) {
        push.push(if value * target < MARGIN { *target } else { 0.0 });
    }
    push
}

fn deviation(values: &[f64]) -> f64 {
    let mean = values.iter().sum::<f64>() / values.len() as f64;
    (values.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / values.len() as f64).sqrt()
}
