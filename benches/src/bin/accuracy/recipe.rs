//! The recipes, one a data set and cut, chosen on validation records with the same budget for both cuts.
//!
//! `docs/research/accuracy.md` tells what was tried. Nothing else in the benchmark holds a hyperparameter.

use std::collections::BTreeMap;

use hashvfl_core::settings::{RunSettings, Schedule};
use hashvfl_core::{CodeForm, GradientEncoding, PartyName, Task};
use hashvfl_data::Preprocessing;
use hashvfl_learning::TopConfig;
use hashvfl_learning::adam::AdamConfig;
use hashvfl_learning::bottom::{BottomConfig, CnnConfig, MlpConfig};
use hashvfl_learning::encoder::{CutLayer, EncoderConfig};
use hashvfl_learning::hash::{HashConfig, Surrogate};

/// Everything that is tuned.
#[derive(Debug, Clone)]
pub struct Recipe {
    /// Passes over the training records.
    pub epochs: u32,
    /// Records of a batch.
    pub batch_rows: usize,
    /// Peak learning rate.
    pub learning_rate: f64,
    /// How it moves.
    pub schedule: Schedule,
    /// Times that it does so.
    pub cycles: u32,
    /// How gradients travel.
    pub gradient: GradientEncoding,
    /// Bits of each latent of a code; 1: signs.
    pub bits_per_latent: usize,
    /// Codes of parties' own.
    pub codes: BTreeMap<PartyName, CodeForm>,
    /// Fraction of the records outside the test part that is kept for validation.
    pub validation_fraction: f64,
    /// Share of the records on which bottom models learn.
    pub cohort_fraction: f64,
    /// Whether the top model is fitted again on stored codes.
    pub refit: bool,
    /// What happens to columns first, fitted on training records.
    pub preprocessing: Preprocessing,
    /// Each party's model.
    pub encoder: EncoderConfig,
    /// Noise of parties whose own it is not.
    pub noises: BTreeMap<PartyName, f32>,
    /// The top model.
    pub top: TopConfig,
}

impl Recipe {
    fn base(cut: CutLayer) -> Self {
        // Floats pass through this process alone: no encoding of gradients speaks for them.
        let gradient = match cut {
            CutLayer::Hash => GradientEncoding::Int8,
            CutLayer::SimulatedFloat => GradientEncoding::F32,
        };
        // The bell is as wide as the noise: the slope of the expected sign.
        let hash = HashConfig { noise: 0.5, clip: 0.5, surrogate: Surrogate::Bell, ..HashConfig::default() };
        Self {
            epochs: 20,
            batch_rows: 256,
            learning_rate: 3e-3,
            schedule: Schedule::OneCycle,
            cycles: 1,
            gradient,
            bits_per_latent: 1,
            codes: BTreeMap::new(),
            validation_fraction: 0.1,
            cohort_fraction: 1.0,
            refit: false,
            preprocessing: Preprocessing::Standardize,
            encoder: EncoderConfig { hash, ..EncoderConfig::default() },
            noises: BTreeMap::new(),
            top: TopConfig::default(),
        }
    }

    /// Credit card defaults, joint training.
    pub fn credit_default(cut: CutLayer) -> Self {
        let mut recipe = Self { preprocessing: Preprocessing::Quantile, ..Self::base(cut) };
        recipe.set_hidden(vec![128]);
        recipe.encoder.dropout = if cut == CutLayer::Hash { 0.1 } else { 0.3 };
        recipe.encoder.hash.noise = 0.4;
        recipe.encoder.hash.clip = 0.4;
        recipe.top.dropout = 0.3;
        recipe.top.loss.distillation = if cut == CutLayer::Hash { 0.6 } else { 0.8 };
        Self { batch_rows: 128, epochs: 30, cycles: 3, ..recipe }
    }

    /// Credit card defaults, bottom models trained on a fifth of the records.
    pub fn encode_once(cut: CutLayer) -> Self {
        Self { cohort_fraction: 0.2, batch_rows: 64, ..Self::credit_default(cut) }
    }

    /// Vehicle silhouettes.
    pub fn vehicle(cut: CutLayer) -> Self {
        let adam = AdamConfig { weight_decay: 1e-3, ..AdamConfig::default() };
        let base = Self::base(cut);
        Self {
            epochs: 60,
            batch_rows: 32,
            refit: true,
            encoder: EncoderConfig { adam, ..base.encoder },
            ..base
        }
    }

    /// Halves of digits.
    pub fn mnist(cut: CutLayer) -> Self {
        let model = BottomConfig::Cnn(CnnConfig::default());
        let base = Self::base(cut);
        let preprocessing = Preprocessing::None;
        Self { epochs: 10, preprocessing, encoder: EncoderConfig { model, ..base.encoder }, ..base }
    }

    /// Sets the units of the bottom models' hidden layers.
    pub fn set_hidden(&mut self, hidden: Vec<usize>) {
        match &mut self.encoder.model {
            BottomConfig::Cnn(cnn) => cnn.hidden = hidden.first().copied().unwrap_or(0),
            model => *model = BottomConfig::Mlp(MlpConfig { hidden }),
        }
    }

    /// The model of the party `name`.
    pub fn encoder_of(&self, name: &str) -> EncoderConfig {
        let mut encoder = self.encoder.clone();
        let own = self.noises.iter().find(|(party, _)| party.as_str() == name);
        encoder.hash.noise = own.map_or(encoder.hash.noise, |(_, noise)| *noise);
        encoder
    }

    /// The agreed settings of a run of this recipe.
    pub fn settings(&self, parties: Vec<PartyName>, task: Task, bits: usize) -> RunSettings {
        RunSettings {
            batch_rows: self.batch_rows.into(),
            learning_rate: self.learning_rate,
            schedule: self.schedule,
            cycles: self.cycles,
            gradient: self.gradient,
            bits_per_latent: self.bits_per_latent,
            codes: self.codes.clone(),
            validation_fraction: self.validation_fraction,
            cohort_fraction: self.cohort_fraction,
            refit: self.refit,
            ..RunSettings::new(parties, task, bits, self.epochs)
        }
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use hashvfl_coordinator::CoordinatorConfig;
    use hashvfl_learning::training::Validate;
    use hashvfl_party::PartyConfig;

    use super::*;

    /// A preset's configs hold what the recipe of its benchmark holds.
    fn check(preset: &str, recipe: &Recipe, task: Task, bits: usize) {
        let common = format!("preset = \"{preset}\"\nrun_id = \"r\"\nstate = \"s\"\n");
        let run = format!("run = {{ parties = [\"a\", \"b\"], task = \"{task}\" }}\n");
        let party = format!(
            "{common}name = \"a\"\ncoordinator = \"http://localhost:1\"\n{run}\
             columns = {{ format = \"csv\", paths = [\"a.csv\"], id = \"id\" }}\n"
        );
        let party = PartyConfig::parse(&party, Path::new(".")).unwrap();
        let coordinator = format!(
            "{common}listen = \"127.0.0.1:0\"\n{run}\
             labels = {{ format = \"csv\", paths = [\"l.csv\"], id = \"id\", column = \"y\" }}\n"
        );
        let coordinator = CoordinatorConfig::parse(&coordinator, Path::new(".")).unwrap();
        let settings = recipe.settings(party.run.parties.clone(), task, bits);
        assert_eq!((&party.run, &coordinator.run), (&settings, &settings));
        assert_eq!(party.preprocessing, recipe.preprocessing);
        assert_eq!(format!("{:?}", party.encoder), format!("{:?}", recipe.encoder));
        assert_eq!(format!("{:?}", coordinator.top), format!("{:?}", recipe.top));
    }

    #[test]
    fn presets_are_the_recipes_of_the_benchmarks() {
        // The preset is for tables of any columns, the recipe for those of credit-default.
        let tabular = Recipe { preprocessing: Preprocessing::Auto, ..Recipe::credit_default(CutLayer::Hash) };
        check("tabular", &tabular, Task::Binary, 16);
        // The same with what a short code needs.
        let mut short = Recipe { bits_per_latent: 5, ..tabular };
        short.encoder.hash = HashConfig {
            noise: 0.1,
            initial_noise: Some(3.0),
            noise_decay_fraction: Some(0.15),
            ..short.encoder.hash
        };
        short.top.validate = Validate::LastCycle;
        check("tabular-short", &short, Task::Binary, 5);
        check("image", &Recipe::mnist(CutLayer::Hash), Task::Multiclass, 32);
    }
}
