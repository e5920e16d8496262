//! Who of known people has the columns of a record: the posterior of a prior that falls with distance and of the likelihood of codes,
//! its mean, and the combination of values that holds most of it.

use std::collections::BTreeMap;
use std::fmt;

use hashvfl_leakage::copied::CodeLikelihoods;

use crate::evaluation::attributes::{Attribute, Decided};

/// How fast the prior falls with distance, and powers of the likelihood, among which is chosen.
const NEARNESS: [f32; 4] = [0.0, 1.0, 4.0, 16.0];
const POWERS: [f32; 7] = [0.0, 0.1, 0.25, 0.5, 1.0, 4.0, 16.0];

/// People whose columns a record may have.
pub struct PriorSupport {
    /// Columns [people, width] in standard deviations.
    pub columns: Vec<f32>,
    /// Columns of each of them.
    pub width: usize,
    /// Values of attributes [attributes][people].
    pub values: Decided,
    /// Which combination of values each of them has, by the first who has it.
    combinations: Vec<usize>,
    likelihoods: CodeLikelihoods,
}

/// What is expected of people and of targets without codes.
#[derive(Default)]
pub struct RecordPrior {
    /// [people, width]; empty where nothing is known.
    pub of_people: Vec<f32>,
    /// [targets, width].
    pub of_targets: Vec<f32>,
    /// Mean squared distance of people from the middle.
    pub spread: f32,
}

/// What is known of one record.
pub struct ObservedRecord<'a> {
    /// All that was seen of it; empty where nothing was.
    pub code: &'a [f32],
    /// What is expected of it; empty where nothing is known.
    pub expected: &'a [f32],
}

/// How far a prior reaches, and how much the likelihood counts.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct PosteriorSetting {
    nearness: f32,
    power: f32,
}

impl fmt::Display for PosteriorSetting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "nearness {}, likelihood to the power {}", self.nearness, self.power)
    }
}

/// A guess of one record.
pub struct PosteriorGuess {
    /// In standard deviations.
    pub columns: Vec<f32>,
    /// How likely each category is of attributes that are scored by category.
    pub categories: Vec<f32>,
    /// One of those who have the likeliest combination of values.
    pub like: usize,
}

impl PriorSupport {
    /// People with these `columns` [people, width], values and likelihoods of codes.
    pub fn new(columns: Vec<f32>, width: usize, values: Decided, likelihoods: CodeLikelihoods) -> Self {
        let combinations = combinations(&values, columns.len() / width.max(1));
        Self { columns, width, values, combinations, likelihoods }
    }

    fn people(&self) -> usize {
        self.combinations.len()
    }

    /// Minus the distance of each of the people from a record, and the logarithm of how likely its code is theirs.
    pub fn logarithms(&self, seen: &ObservedRecord, prior: &RecordPrior) -> [Vec<f32>; 2] {
        let mut logarithms = [vec![0.0; self.people()], vec![0.0; self.people()]];
        if !seen.expected.is_empty() {
            logarithms[0] = prior.nearness(seen.expected);
        }
        if !seen.code.is_empty() {
            logarithms[1] = self.likelihoods.of(seen.code);
        }
        logarithms
    }

    /// Under each setting, by how much the columns of the person at a `place` are missed without that person, and 0 or 1 for all
    /// values.
    pub fn misses(
        &self,
        place: usize,
        seen: &ObservedRecord,
        prior: &RecordPrior,
        settings: &[PosteriorSetting],
    ) -> Vec<[f64; 2]> {
        let logarithms = self.logarithms(seen, prior);
        let truth = &self.columns[place * self.width..][..self.width];
        let mut missed = Vec::with_capacity(settings.len());
        for setting in settings {
            let guess = self.posterior(&logarithms, *setting, Some(place), &[]);
            let squares = truth.iter().zip(&guess.columns).map(|(t, g)| f64::from(t - g).powi(2));
            let is_like = self.combinations[guess.like] == self.combinations[place];
            missed.push([squares.sum::<f64>(), f64::from(u8::from(!is_like))]);
        }
        missed
    }

    /// The posterior under one setting, of all people but one that is left `out`.
    pub fn posterior(
        &self,
        logarithms: &[Vec<f32>; 2],
        setting: PosteriorSetting,
        out: Option<usize>,
        attributes: &[Attribute],
    ) -> PosteriorGuess {
        let weights = weights(logarithms, setting, out);
        let (mut columns, mut masses) = (vec![0.0_f32; self.width], vec![0.0_f32; self.people()]);
        let people = self.columns.chunks_exact(self.width).zip(&self.combinations);
        for (weight, (row, combination)) in weights.iter().zip(people) {
            columns.iter_mut().zip(row).for_each(|(sum, value)| *sum += weight * value);
            masses[*combination] += weight;
        }
        let like = (0..masses.len()).max_by(|a, b| masses[*a].total_cmp(&masses[*b])).unwrap_or(0);
        let mut categories: Vec<f32> = Vec::new();
        for (attribute, values) in attributes.iter().zip(&self.values).filter(|(of, _)| of.is_position()) {
            let start = categories.len();
            categories.resize(start + attribute.count(), 0.0);
            values.iter().zip(&weights).for_each(|(value, weight)| categories[start + value] += weight);
        }
        PosteriorGuess { columns, categories, like }
    }
}

impl RecordPrior {
    /// Minus the squared distance of each of the people from what is `expected`, in mean squared distances from the middle.
    fn nearness(&self, expected: &[f32]) -> Vec<f32> {
        let mut near = Vec::with_capacity(self.of_people.len() / expected.len());
        for row in self.of_people.chunks_exact(expected.len()) {
            let apart: f32 = row.iter().zip(expected).map(|(a, b)| (a - b).powi(2)).sum();
            near.push(-apart / self.spread);
        }
        near
    }
}

impl<'a> ObservedRecord<'a> {
    /// The one at a `place` of so many `records`, of whom all these codes were seen and all that is expected.
    pub fn at(place: usize, records: usize, codes: &'a [f32], expected: &'a [f32]) -> Self {
        let [of_codes, of_expected] = [codes, expected].map(|all| all.len() / records.max(1));
        Self {
            code: &codes[place * of_codes..][..of_codes],
            expected: &expected[place * of_expected..][..of_expected],
        }
    }
}

/// Weights of people, which sum to one; none of who is left `out`.
fn weights([near, likely]: &[Vec<f32>; 2], setting: PosteriorSetting, out: Option<usize>) -> Vec<f32> {
    let PosteriorSetting { nearness, power } = setting;
    let logarithms = near.iter().zip(likely).map(|(near, likely)| nearness * near + power * likely);
    let mut weights: Vec<f32> = logarithms.collect();
    if let Some(out) = out {
        weights[out] = f32::NEG_INFINITY;
    }
    let most = weights.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    weights.iter_mut().for_each(|weight| *weight = (*weight - most).exp());
    let all: f32 = weights.iter().sum();
    weights.iter_mut().for_each(|weight| *weight /= all);
    weights
}

/// Settings among which is chosen: where nothing is known beside codes, or no code is seen, there is less to choose.
pub fn settings(is_stranger: bool, is_blind: bool) -> Vec<PosteriorSetting> {
    let nearness = if is_stranger { &NEARNESS[..1] } else { &NEARNESS[..] };
    let powers = if is_blind { &POWERS[..1] } else { &POWERS[..] };
    let mut settings = Vec::new();
    for nearness in nearness {
        settings.extend(powers.iter().map(|power| PosteriorSetting { nearness: *nearness, power: *power }));
    }
    settings
}

/// Places of the settings under which people are `missed` least [people][settings], in columns and in whole records.
pub fn best(missed: &[Vec<[f64; 2]>]) -> [usize; 2] {
    let mut sums = vec![[0.0, 0.0]; missed.first().map_or(0, Vec::len)];
    for person in missed {
        for (sum, missed) in sums.iter_mut().zip(person) {
            sum[0] += missed[0];
            sum[1] += missed[1];
        }
    }
    [0, 1].map(|of| least(sums.iter().map(|sum| sum[of])))
}

/// The place of the least value.
fn least(values: impl Iterator<Item = f64>) -> usize {
    values.enumerate().min_by(|a, b| a.1.total_cmp(&b.1)).map_or(0, |(place, _)| place)
}

/// For each of `people` the first who has the same values of all attributes.
fn combinations(values: &Decided, people: usize) -> Vec<usize> {
    let mut first: BTreeMap<Vec<usize>, usize> = BTreeMap::new();
    let mut found = Vec::with_capacity(people);
    for person in 0..people {
        let combination = values.iter().map(|of| of[person]).collect();
        found.push(*first.entry(combination).or_insert(person));
    }
    found
}

#[cfg(test)]
mod tests {
    use hashvfl_core::random::{stream, uniform};

    use super::*;

    const FLAGS: usize = 4;
    const SIGNS: usize = 24;

    /// People with four flags, signs of random sums of which are their codes.
    fn world(people: usize) -> (PriorSupport, Vec<f32>) {
        let mut rng = stream(12, "posterior test", &[]);
        let mixing: Vec<f32> = (0..SIGNS * FLAGS).map(|_| 2.0 * uniform(&mut rng) - 1.0).collect();
        let columns: Vec<f32> =
            (0..people * FLAGS).map(|_| if uniform(&mut rng) < 0.5 { 1.0 } else { -1.0 }).collect();
        let mut codes = Vec::new();
        for row in columns.chunks_exact(FLAGS) {
            for weights in mixing.chunks_exact(FLAGS) {
                let sum: f32 = row.iter().zip(weights).map(|(value, weight)| value * weight).sum();
                codes.push(sum.signum());
            }
        }
        let copied: Vec<f32> = codes.iter().map(|sign| 0.8 * sign).collect();
        let values: Decided = (0..FLAGS)
            .map(|flag| columns.chunks_exact(FLAGS).map(|row| usize::from(row[flag] > 0.0)).collect())
            .collect();
        let likelihoods = CodeLikelihoods::new(&copied, &[], SIGNS);
        (PriorSupport::new(columns, FLAGS, values, likelihoods), codes)
    }

    /// How far columns are missed, and how many whole records, under the best settings of each, where codes are those of the person
    /// so many places on.
    fn missed(support: &PriorSupport, codes: &[f32], shift: usize) -> [f64; 2] {
        let (people, settings) = (support.people(), settings(true, false));
        let mut tried = Vec::new();
        for person in 0..people {
            let seen = ObservedRecord::at((person + shift) % people, people, codes, &[]);
            tried.push(support.misses(person, &seen, &RecordPrior::default(), &settings));
        }
        let best = best(&tried);
        [0, 1].map(|of| tried.iter().map(|person| person[best[of]][of]).sum::<f64>() / people as f64)
    }

    #[test]
    fn whole_records_are_found_by_their_codes_and_not_by_those_of_others() {
        let (support, codes) = world(300);
        let [columns, whole] = missed(&support, &codes, 0);
        assert!(whole < 0.1 && columns < 0.4, "{whole} {columns}");
        // Each combination is that of one in sixteen; each column has a variance of one.
        let [columns, whole] = missed(&support, &codes, 7);
        assert!(whole > 0.85 && columns > 3.8, "{whole} {columns}");
    }

    #[test]
    fn the_prior_is_nearest_to_whom_the_same_is_expected_of() {
        let prior = RecordPrior { of_people: vec![0.0, 0.0, 3.0, 4.0], of_targets: Vec::new(), spread: 12.5 };
        assert_eq!(prior.nearness(&[0.0, 0.0]), [0.0, -2.0]);
        assert_eq!(settings(true, true), [PosteriorSetting { nearness: 0.0, power: 0.0 }]);
        assert_eq!(settings(false, false).len(), NEARNESS.len() * POWERS.len());
        assert_eq!(combinations(&vec![vec![1, 0, 1], vec![2, 2, 2]], 3), [0, 1, 0]);
    }
}
