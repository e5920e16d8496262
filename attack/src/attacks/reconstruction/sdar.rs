//! SDAR (Zhu, Luo, Zhao and Xiao 2025, "Passive inference attacks on split learning via adversarial regularization", section
//! IV): a substitute of the victim's bottom model learns through the top model as it is at each step of the run, and so that a
//! discriminator cannot tell its codes from the victim's. A decoder learns from the substitute's codes to columns, and so
//! that another discriminator cannot tell its guesses from the victim's codes from columns. Where labels are classes, the
//! decoder and both discriminators are told them.

use hashvfl_core::CodeForm;
use hashvfl_core::random::stream;
use hashvfl_data::Matrix;
use hashvfl_learning::device::Device;
use hashvfl_learning::init::Init;
use hashvfl_learning::top::loss::Labels;

use crate::attacks::critic::{Critic, CriticConfig, Objective};
use crate::attacks::reconstruction::batches::Batches;
use crate::attacks::reconstruction::column_decoder::ColumnDecoder;
use crate::attacks::reconstruction::moment::Moment;
use crate::attacks::reconstruction::substitute::{BATCH, Substitute};
use crate::evidence::knowledge::{label_values, side_by_side};

/// Weight of the first discriminator against the top model's loss.
const OF_CODES: f32 = 0.02;
/// Weight of the second one against the mean squared error.
const OF_COLUMNS: f32 = 1e-5;

/// The attack while the run goes on.
pub struct Sdar<'a> {
    /// What learns.
    pub substitute: Substitute<'a>,
    /// What reads it.
    decoder: ColumnDecoder,
    of_codes: Critic,
    of_columns: Critic,
    batches: Batches,
    columns: &'a Matrix,
    labels: &'a Labels,
    form: CodeForm,
}

/// What the decoder is about.
#[derive(Clone, Copy)]
pub struct SdarKnowledge<'a> {
    /// The victim's columns.
    pub columns: &'a Matrix,
    /// Rows of them that the adversary owns and that are encoded in the run.
    pub auxiliary: &'a [u32],
    /// The labels.
    pub labels: &'a Labels,
    /// Whether columns are pixels.
    pub pixels: bool,
}

impl<'a> Sdar<'a> {
    /// One that has learned nothing and makes so many `updates`.
    pub fn new(substitute: Substitute<'a>, known: SdarKnowledge<'a>, updates: u64, seed: u64) -> Self {
        let SdarKnowledge { columns, auxiliary, labels, pixels } = known;
        let form = substitute.encoder.form();
        let condition = label_columns(labels);
        let inputs = form.latents() + condition;
        let device = Device::flex().autodiff();
        let mut init = Init::new(stream(seed, "sdar critics", &[]), &device);
        let config = CriticConfig { objective: Objective::JensenShannon, ..CriticConfig::default() };
        Self {
            decoder: ColumnDecoder::new(inputs, columns, auxiliary, pixels, updates, seed),
            of_codes: Critic::new(config.clone(), inputs, &mut init, seed),
            of_columns: Critic::new(config, columns.cols() + condition, &mut init, seed),
            batches: Batches::new(auxiliary, BATCH, seed),
            substitute,
            columns,
            labels,
            form,
        }
    }

    /// An update of every network at one step.
    pub fn learn(&mut self, moment: &Moment) {
        let rows = moment.last.known(self.batches.draw());
        let (strangers, theirs) = moment.strangers();
        if rows.is_empty() || strangers.is_empty() {
            return;
        }
        let codes = self.substitute.encode_batch(&rows);
        let mut gradient = moment.gradient(codes.clone(), &rows);
        let (ours, theirs) = (self.inputs(&codes, &rows), self.inputs(&theirs, &strangers));
        self.of_codes.learn(&theirs, &ours);
        let pull = without(&self.of_codes.pull(&ours), self.form.latents(), rows.len());
        gradient.iter_mut().zip(pull).for_each(|(sum, pull)| *sum += OF_CODES * pull);
        self.substitute.encoder.learn(gradient);
        let columns = self.decoder.standard(&self.columns.gather(&rows));
        let guess = self.decoder.standard_guess(&theirs);
        let (real, drawn) = (self.beside(&columns, &rows), self.beside(&guess, &strangers));
        self.of_columns.learn(&real, &drawn);
        let mut pull = without(&self.of_columns.pull(&drawn), self.columns.cols(), strangers.len());
        pull.iter_mut().for_each(|pull| *pull *= OF_COLUMNS);
        self.decoder.learn(&ours, &columns, &theirs, &pull);
    }

    /// What its decoder makes of the victim's `codes` [rows, bits] of `rows`: columns [rows, columns].
    pub fn read(&self, codes: &[f32], rows: &[u32]) -> Vec<f32> {
        self.decoder.guess(&self.inputs(codes, rows))
    }

    /// What codes [rows, bits] of `rows` say, and their labels.
    fn inputs(&self, codes: &[f32], rows: &[u32]) -> Vec<f32> {
        self.beside(&self.form.decode(codes), rows)
    }

    /// `values` [rows, width] of `rows` with their labels beside.
    fn beside(&self, values: &[f32], rows: &[u32]) -> Vec<f32> {
        match label_columns(self.labels) {
            0 => values.to_vec(),
            _ => side_by_side(&[values.to_vec(), label_values(self.labels, rows)], rows.len()).1,
        }
    }
}

/// Values by which the networks are told a label: none where labels are numbers.
fn label_columns(labels: &Labels) -> usize {
    match labels {
        Labels::Classes { count, .. } => *count,
        Labels::Real(_) => 0,
    }
}

/// The first `width` values of each of so many `rows`.
fn without(values: &[f32], width: usize, rows: usize) -> Vec<f32> {
    let each = values.len() / rows.max(1);
    values.chunks_exact(each).flat_map(|row| &row[..width]).copied().collect()
}
