//! URVFL (Yao, Li, Gong, Hou and Pan 2025, "URVFL: Undetectable data reconstruction attack on vertical federated learning"): a
//! malicious coordinator sends the gradient of a classifier of its own in place of the loss's.
//!
//! It has auxiliary rows with the victim's columns, and all labels. On them it learns a surrogate of the bottom model with a
//! decoder from its codes, beside columns of the coordinator's own organisation, back to the victim's columns. A discriminator
//! learns of each class which codes are the victim's and which the surrogate's ([`Dac`]), and what is sent draws the victim's
//! codes to the surrogate's of the same class. So gradients of a class are alike and those of two classes are not, as a loss's
//! are, and the decoder reads the victim's codes.
//!
//! Where labels are numbers, a class is one of eight equally common ranges of them.

use hashvfl_core::CodeForm;
use hashvfl_data::Matrix;
use hashvfl_learning::Encoder;
use hashvfl_learning::top::loss::Labels;

use crate::attacks::active::dac::{Dac, LabelledCodes};
use crate::attacks::reconstruction::batches::Batches;
use crate::attacks::reconstruction::column_decoder::ColumnDecoder;
use crate::attacks::reconstruction::substitute::{BATCH, Substitute};
use crate::evaluation::score::scales;
use crate::evidence::knowledge::side_by_side;

/// Ranges into which labels that are numbers are cut.
const RANGES: usize = 8;

/// A hijacker's choices.
#[derive(Debug, Clone)]
pub struct UrvflConfig {
    /// Whether surrogate and decoder learn along with the run, an update for each of its batches (the paper's "sync"); else they
    /// have learned before it.
    pub sync: bool,
    /// Their updates before the run, where they do not learn along with it.
    pub head_start: u64,
    /// Units of the discriminator's hidden layers.
    pub hidden: Vec<usize>,
    /// Its learning rate.
    pub learning_rate: f64,
    /// Seed of the decoder's and the discriminator's weights and of batches.
    pub seed: u64,
}

impl Default for UrvflConfig {
    fn default() -> Self {
        Self { sync: false, head_start: 600, hidden: vec![64], learning_rate: 1e-3, seed: 0 }
    }
}

impl UrvflConfig {
    /// How many updates surrogate and decoder make in all, in a run of so many `steps`.
    pub fn updates(&self, steps: u64) -> u64 {
        if self.sync { steps } else { self.head_start }
    }
}

/// What a hijacker knows of a run's records.
#[derive(Clone, Copy)]
pub struct UrvflKnowledge<'a> {
    /// The victim's columns, as its bottom model takes them.
    pub columns: &'a Matrix,
    /// Rows of them that the hijacker owns.
    pub auxiliary: &'a [u32],
    /// The labels of all rows.
    pub labels: &'a Labels,
    /// The columns of a party of its own organisation, if there is one.
    pub own: Option<&'a Matrix>,
    /// Whether the victim's columns are pixels.
    pub pixels: bool,
}

/// A hijacker at work.
pub struct Urvfl<'a> {
    sync: bool,
    known: UrvflKnowledge<'a>,
    classes: Vec<u32>,
    /// Mean and deviation of own columns.
    scales: (Vec<f32>, Vec<f32>),
    surrogate: Substitute<'a>,
    decoder: ColumnDecoder,
    dac: Dac,
    batches: Batches,
    form: CodeForm,
    drawn: u32,
}

impl<'a> Urvfl<'a> {
    /// A hijacker of a run of so many `steps`. `surrogate` has learned nothing, and its rates are those of
    /// [`UrvflConfig::updates`] updates.
    pub fn new(config: &UrvflConfig, surrogate: Encoder, known: UrvflKnowledge<'a>, steps: u64) -> Self {
        let UrvflKnowledge { columns, auxiliary, labels, own, pixels } = known;
        let (form, seed) = (surrogate.form(), config.seed);
        let (count, classes) = classed(labels);
        let inputs = form.latents() + own.map_or(0, Matrix::cols);
        let updates = config.updates(steps);
        let mut hijacker = Self {
            sync: config.sync,
            classes,
            scales: own.map(|own| scales(own, auxiliary)).unwrap_or_default(),
            surrogate: Substitute::of(surrogate, columns, auxiliary),
            decoder: ColumnDecoder::new(inputs, columns, auxiliary, pixels, updates, seed),
            dac: Dac::new(form.latents(), count, &config.hidden, config.learning_rate, seed),
            batches: Batches::new(auxiliary, BATCH, seed),
            form,
            drawn: 0,
            known,
        };
        if !config.sync {
            for _ in 0..config.head_start {
                hijacker.learn_surrogate();
            }
            hijacker.surrogate.freeze();
        }
        hijacker
    }

    /// The gradient that is sent for the victim's `codes` [rows, latents] of `rows`, after which every network has learned.
    pub fn gradient(&mut self, rows: &[u32], codes: &[f32]) -> Vec<f32> {
        let (own_rows, own_codes) = if self.sync { self.learn_surrogate() } else { self.draw_surrogate() };
        let (classes, own_classes) = (self.classes_of(rows), self.classes_of(&own_rows));
        let theirs = LabelledCodes { codes, classes: &classes };
        let pull = self.dac.pull(theirs);
        self.dac.learn(theirs, LabelledCodes { codes: &own_codes, classes: &own_classes });
        pull
    }

    /// What the decoder makes of `codes` [rows, latents] of `rows`: columns, row-major.
    pub fn reconstruct(&self, codes: &[f32], rows: &[u32]) -> Vec<f32> {
        self.decoder.guess(&self.inputs(codes, rows))
    }

    /// What the decoder makes of the surrogate's own codes of `rows`: all that a hijack could give.
    pub fn reconstruct_own(&self, rows: &[u32]) -> Vec<f32> {
        let codes = self.surrogate.encode(rows);
        self.reconstruct(&self.form.decode(&codes), rows)
    }

    /// An update of surrogate and decoder; the rows of its batch, and what the surrogate said of them before [rows, latents].
    fn learn_surrogate(&mut self) -> (Vec<u32>, Vec<f32>) {
        let rows = self.batches.draw();
        let sent = self.surrogate.encode_batch(&rows);
        let codes = self.form.decode(&sent).into_owned();
        let columns = self.decoder.standard(&self.known.columns.gather(&rows));
        let inputs = self.inputs(&codes, &rows);
        let of_inputs = self.decoder.learn(&inputs, &columns, &[], &[]);
        let (latents, width) = (self.form.latents(), inputs.len() / rows.len().max(1));
        let of_codes = of_inputs.chunks_exact(width).flat_map(|row| row[..latents].iter().copied());
        self.surrogate.encoder.learn(of_codes.collect());
        (rows, codes)
    }

    /// A batch of a surrogate that has learned: its rows, and their codes [rows, latents].
    fn draw_surrogate(&mut self) -> (Vec<u32>, Vec<f32>) {
        let rows = self.batches.draw();
        self.drawn += 1;
        let sent = self.surrogate.encode_with_noise(&rows, self.drawn);
        let codes = self.form.decode(&sent).into_owned();
        (rows, codes)
    }

    fn classes_of(&self, rows: &[u32]) -> Vec<u32> {
        rows.iter().map(|row| self.classes[*row as usize]).collect()
    }

    /// `codes` [rows, latents] of `rows`, with own columns beside where there are any.
    fn inputs(&self, codes: &[f32], rows: &[u32]) -> Vec<f32> {
        let Some(own) = self.known.own else { return codes.to_vec() };
        let mut own = own.gather(rows);
        let (mean, deviation) = &self.scales;
        for (value, (mean, deviation)) in own.iter_mut().zip(mean.iter().zip(deviation).cycle()) {
            *value = (*value - mean) / deviation;
        }
        side_by_side(&[codes.to_vec(), own], rows.len()).1
    }
}

/// How many classes there are, and which one each row is of.
fn classed(labels: &Labels) -> (usize, Vec<u32>) {
    match labels {
        Labels::Classes { count, index } => (*count, index.clone()),
        Labels::Real(values) => {
            let mut rising = values.clone();
            rising.sort_unstable_by(f32::total_cmp);
            let places = (1..RANGES).map(|range| range * rising.len() / RANGES);
            let edges: Vec<f32> = places.filter_map(|place| rising.get(place).copied()).collect();
            let classes = values.iter().map(|value| edges.partition_point(|edge| edge <= value) as u32);
            (RANGES, classes.collect())
        }
    }
}

#[cfg(test)]
mod tests {
    use hashvfl_core::random::{shuffle, stream, uniform};
    use hashvfl_learning::EncoderConfig;
    use hashvfl_learning::bottom::{BottomConfig, InputShape, MlpConfig};
    use hashvfl_learning::device::Device;
    use hashvfl_learning::encoder::CutLayer;
    use hashvfl_learning::schedule::Rates;

    use super::*;

    const ROWS: usize = 1200;
    const STEPS: u64 = 400;

    #[test]
    fn numbers_are_cut_into_ranges_that_are_equally_common() {
        let (count, classes) = classed(&Labels::Real((0..16).rev().map(|value| value as f32).collect()));
        assert_eq!(count, 8);
        assert_eq!(classes, (0..16).rev().map(|value| value / 2).collect::<Vec<u32>>());
        let same = Labels::Classes { count: 3, index: vec![2, 0] };
        assert_eq!(classed(&same), (3, vec![2, 0]));
    }

    /// Rows of two columns, a linear bottom model with two floats, and four classes: which quarter both columns say, with noise.
    struct Case {
        columns: Matrix,
        labels: Labels,
        auxiliary: Vec<u32>,
        others: Vec<u32>,
    }

    impl Case {
        fn new() -> Self {
            let mut rng = stream(7, "quarters", &[]);
            let values: Vec<f32> = (0..2 * ROWS).map(|_| 2.0 * uniform(&mut rng) - 1.0).collect();
            let mut above = |value: f32| u32::from(value + 0.3 * (2.0 * uniform(&mut rng) - 1.0) > 0.0);
            let index = values.chunks_exact(2).map(|row| 2 * above(row[0]) + above(row[1])).collect();
            let (auxiliary, others) = (0..ROWS as u32).partition(|row| row % 4 == 0);
            let columns = Matrix::new(ROWS, 2, values).unwrap();
            Self { columns, labels: Labels::Classes { count: 4, index }, auxiliary, others }
        }

        fn encoder(updates: u64, seed: u64) -> Encoder {
            let model = BottomConfig::Mlp(MlpConfig { hidden: Vec::new() });
            let config = EncoderConfig { model, ..EncoderConfig::default() };
            let input = InputShape { columns: 2, ..InputShape::default() };
            let (form, rates) = (CodeForm::signs(2), Rates::one_cycle(1e-2, updates));
            let cut = CutLayer::SimulatedFloat;
            Encoder::new(config, cut, input, form, rates, seed, &Device::flex()).unwrap()
        }

        fn hijacker(&self, sync: bool) -> Urvfl<'_> {
            let config = UrvflConfig { sync, head_start: 300, seed: 3, ..UrvflConfig::default() };
            let Self { columns, labels, auxiliary, .. } = self;
            let known = UrvflKnowledge { columns, auxiliary, labels, own: None, pixels: false };
            Urvfl::new(&config, Self::encoder(config.updates(STEPS), 77), known, STEPS)
        }

        /// The victim after a run under the hijacker; and how much more alike gradients of one class were than those of two, by
        /// their mean cosine, over the last hundred steps.
        fn hijacked(&self, hijacker: &mut Urvfl) -> (Encoder, f32) {
            let mut victim = Self::encoder(STEPS, 5);
            let (mut order, mut apart) = (self.others.clone(), 0.0);
            for step in 0..STEPS {
                shuffle(&mut order, &mut stream(4, "batches", &[step]));
                let rows = &order[..BATCH];
                let floats = victim.encode_batch(self.columns.gather(rows), rows.len());
                let gradient = hijacker.gradient(rows, &floats);
                if step >= STEPS - 100 {
                    apart += self.cosines_apart(rows, &gradient) / 100.0;
                }
                victim.learn(gradient);
            }
            victim.freeze(&self.others, &|rows| self.columns.gather(rows));
            (victim, apart)
        }

        fn cosines_apart(&self, rows: &[u32], gradient: &[f32]) -> f32 {
            let Labels::Classes { index, .. } = &self.labels else { panic!("classes") };
            // Sums and counts of one class, and of two.
            let mut sums = [(0.0_f32, 0.0_f32); 2];
            let length = |row: &[f32]| row.iter().map(|value| value * value).sum::<f32>().sqrt().max(1e-20);
            for (row, one) in rows.iter().zip(gradient.chunks_exact(2)) {
                for (other_row, other) in rows.iter().zip(gradient.chunks_exact(2)) {
                    let product: f32 = one.iter().zip(other).map(|(a, b)| a * b).sum();
                    let differ = usize::from(index[*row as usize] != index[*other_row as usize]);
                    sums[differ].0 += product / length(one) / length(other);
                    sums[differ].1 += 1.0;
                }
            }
            sums[0].0 / sums[0].1 - sums[1].0 / sums[1].1
        }

        /// Skill of a guess of the others' columns over guessing zero, which is their mean.
        fn skill(&self, guess: &[f32]) -> f32 {
            let truth = self.columns.gather(&self.others);
            let missed: f32 = guess.iter().zip(&truth).map(|(guess, truth)| (guess - truth).powi(2)).sum();
            1.0 - missed / truth.iter().map(|truth| truth * truth).sum::<f32>()
        }
    }

    /// Both ways read nearly all of the floats, and from those of other rows nothing; gradients look like those of a loss: alike
    /// within a class, and not between two.
    #[test]
    fn floats_are_read_after_urvfl() {
        let case = Case::new();
        for sync in [false, true] {
            let mut hijacker = case.hijacker(sync);
            let (victim, apart) = case.hijacked(&mut hijacker);
            let rows = &case.others;
            let floats = victim.encode(case.columns.gather(rows), rows.len());
            let mut order: Vec<u32> = (0..rows.len() as u32).collect();
            shuffle(&mut order, &mut stream(1, "other rows", &[]));
            let others: Vec<f32> =
                order.iter().flat_map(|row| floats[2 * *row as usize..][..2].to_vec()).collect();
            let found = case.skill(&hijacker.reconstruct(&floats, rows));
            let shuffled = case.skill(&hijacker.reconstruct(&others, rows));
            assert!(found > 0.7, "sync {sync}: {found}");
            assert!(shuffled < 0.05, "sync {sync}: {shuffled} from floats of other rows");
            assert!(apart > 0.2, "sync {sync}: {apart}");
            let of_surrogate = case.skill(&hijacker.reconstruct_own(rows));
            assert!(of_surrogate > 0.9, "sync {sync}: {of_surrogate}");
        }
    }

    /// Codes of signs: what is drawn of a frozen surrogate has its form, and own columns stand beside.
    #[test]
    fn codes_are_read_beside_own_columns() {
        let case = Case::new();
        let config = UrvflConfig { head_start: 30, ..UrvflConfig::default() };
        let model = BottomConfig::Mlp(MlpConfig { hidden: vec![8] });
        let surrogate = Encoder::new(
            EncoderConfig { model, ..EncoderConfig::default() },
            CutLayer::Hash,
            InputShape { columns: 2, ..InputShape::default() },
            CodeForm::new(3, 2),
            Rates::one_cycle(1e-2, 30),
            1,
            &Device::flex(),
        );
        let Case { columns, labels, auxiliary, others } = &case;
        let known = UrvflKnowledge { columns, auxiliary, labels, own: Some(columns), pixels: false };
        let mut hijacker = Urvfl::new(&config, surrogate.unwrap(), known, 10);
        let (rows, codes) = hijacker.draw_surrogate();
        let levels: Vec<f32> = (0..4).map(|level| CodeForm::new(3, 2).value(level)).collect();
        assert!(rows.len() == BATCH && codes.len() == 3 * BATCH);
        assert!(codes.iter().all(|value| levels.contains(value)));
        let gradient = hijacker.gradient(&others[..5], &[levels[0]; 15]);
        assert!(gradient.len() == 15 && gradient.iter().all(|value| value.is_finite()));
        assert_eq!(hijacker.reconstruct(&codes, &rows).len(), 2 * BATCH);
    }
}
