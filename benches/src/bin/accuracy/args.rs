//! The command line: which benchmark, on which data, with what in place of the recipe.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};
use hashvfl_core::settings::{Schedule, parse_own_code};
use hashvfl_core::{CodeForm, GradientEncoding, PartyName};
use hashvfl_data::Preprocessing;
use hashvfl_learning::encoder::CutLayer;
use hashvfl_learning::hash::{HashConfig, Surrogate};

use crate::recipe::Recipe;

/// Hash codes against floats: the accuracy benchmark of docs/reference/benchmarks.md.
///
/// All parties run in this process; a networked run with the same seeds gives the same bits, by parties that look for hijackers
/// as they do by default.
#[derive(Debug, Parser)]
#[command(name = "accuracy")]
pub struct Cli {
    /// The benchmark.
    #[command(subcommand)]
    pub benchmark: Benchmark,
    /// How to run it.
    #[command(flatten)]
    pub how: How,
    /// What to use in place of the recipe's values.
    #[command(flatten)]
    pub overrides: Overrides,
}

/// Which benchmark.
#[derive(Debug, Clone, Copy, Subcommand)]
pub enum Benchmark {
    /// Credit card defaults: guest's and host's columns, 16 bits, AUC.
    CreditDefault {
        /// Take raw.csv, preprocessed on training rows, in place of guest.csv and host.csv, which were scaled on
        /// all rows.
        #[arg(long)]
        raw: bool,
        /// Further splits, one pair of runs each.
        #[arg(long, default_value_t = 5)]
        splits: u32,
    },
    /// Vehicle silhouettes: 16 bits, 4 classes, 5 folds, accuracy.
    Vehicle,
    /// Left and right halves of digits, accuracy.
    Mnist {
        /// Bits per party and record.
        #[arg(long, default_value_t = 16)]
        bits: usize,
    },
    /// Credit card defaults with bottom models trained on a fifth of the records, beside joint training.
    EncodeOnce,
}

/// How to run.
#[derive(Debug, Clone, Args)]
pub struct How {
    /// The folder that holds credit-default/, vehicle/ and mnist/.
    #[arg(long, global = true, default_value = "data")]
    pub data: PathBuf,
    /// Training seeds; by default 3, for vehicle 5, for mnist 1.
    #[arg(long, global = true)]
    pub seeds: Option<u64>,
    /// The first training seed.
    #[arg(long, global = true, default_value_t = 0)]
    pub first_seed: u64,
    /// Which cuts to run.
    #[arg(long, global = true, value_enum, default_value_t = Cuts::Both)]
    pub cut: Cuts,
    /// Show no test figure: for choosing recipes.
    #[arg(long, global = true)]
    pub validation_only: bool,
    /// Leave the test records out and measure on N folds of the others, one after the other: for choosing recipes.
    #[arg(long, global = true, value_name = "N", value_parser = clap::value_parser!(u32).range(2..=100))]
    pub development: Option<u32>,
    /// Runs at a time.
    #[arg(long, global = true, default_value_t = 1)]
    pub jobs: usize,
    /// Show every epoch.
    #[arg(long, global = true)]
    pub curve: bool,
}

/// Which cuts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Cuts {
    /// Hash codes.
    Hash,
    /// Floats, as if they had a wire type.
    Float,
    /// Both, in pairs.
    Both,
}

impl Cuts {
    /// The cuts, floats first.
    pub fn list(self) -> Vec<CutLayer> {
        match self {
            Self::Hash => vec![CutLayer::Hash],
            Self::Float => vec![CutLayer::SimulatedFloat],
            Self::Both => vec![CutLayer::SimulatedFloat, CutLayer::Hash],
        }
    }
}

/// Values in place of the recipe's.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "In place of the recipe's values")]
pub struct Overrides {
    /// What codes are made of: latents x bits of each, as 2x3; 16x1 is 16 signs. Floats are one for each latent.
    #[arg(long, global = true)]
    pub code: Option<CodeForm>,
    /// Codes of parties' own, as guest=16x4,host=1x5; the others have that of --code.
    #[arg(long, global = true, value_delimiter = ',', value_parser = parse_codes)]
    pub codes: Vec<(PartyName, CodeForm)>,
    /// Peak learning rate.
    #[arg(long, global = true)]
    lr: Option<f64>,
    /// Epochs.
    #[arg(long, global = true)]
    epochs: Option<u32>,
    /// Records of a batch.
    #[arg(long, global = true)]
    batch: Option<usize>,
    /// Units of the bottom models' hidden layers, as 64 or 64,32.
    #[arg(long, global = true, value_delimiter = ',')]
    hidden: Option<Vec<usize>>,
    /// Units of the top model's hidden layers; 0 for none.
    #[arg(long, global = true, value_delimiter = ',')]
    top_hidden: Option<Vec<usize>>,
    /// Dropout in the bottom models.
    #[arg(long, global = true)]
    dropout: Option<f32>,
    /// Dropout in the top model.
    #[arg(long, global = true)]
    top_dropout: Option<f32>,
    /// Deviation of the noise before the sign or the level.
    #[arg(long, global = true)]
    noise: Option<f32>,
    /// The same of single parties, as host=0.1; the others have that of --noise.
    #[arg(long, global = true, value_delimiter = ',', value_parser = parse_noise)]
    noises: Vec<(PartyName, f32)>,
    /// Deviation that the noise begins with, from where it falls.
    #[arg(long, global = true)]
    initial_noise: Option<f32>,
    /// Fraction of the updates over which it falls.
    #[arg(long, global = true)]
    noise_decay_fraction: Option<f32>,
    /// Distance from the threshold beyond which no gradient passes.
    #[arg(long, global = true)]
    clip: Option<f32>,
    /// What the sign's gradient is taken to be: box or bell.
    #[arg(long, global = true, value_parser = parse_surrogate)]
    surrogate: Option<Surrogate>,
    /// Weight of the consistency term.
    #[arg(long, global = true)]
    consistency: Option<f32>,
    /// Weight decay of all models.
    #[arg(long, global = true)]
    weight_decay: Option<f32>,
    /// Weight decay of the top model alone.
    #[arg(long, global = true)]
    top_weight_decay: Option<f32>,
    /// Label smoothing.
    #[arg(long, global = true)]
    label_smoothing: Option<f32>,
    /// Schedule of the learning rate.
    #[arg(long, global = true, value_parser = parse_schedule)]
    schedule: Option<Schedule>,
    /// Number of cycles of the learning rate through that schedule.
    #[arg(long, global = true)]
    cycles: Option<u32>,
    /// Fraction of a target that comes from predictions of earlier cycles (self-distillation).
    #[arg(long, global = true)]
    distillation: Option<f32>,
    /// What happens to columns first: none, standardize, quantile or auto.
    #[arg(long, global = true, value_parser = parse_preprocessing)]
    preprocessing: Option<Preprocessing>,
    /// How gradients travel: f32 or int8.
    #[arg(long, global = true, value_parser = parse_gradient)]
    gradient: Option<GradientEncoding>,
    /// Fraction of the records outside the test part that is kept for validation.
    #[arg(long, global = true)]
    validation_fraction: Option<f64>,
    /// Whether the top model is fitted again on stored codes.
    #[arg(long, global = true)]
    refit: Option<bool>,
    /// Epochs of that.
    #[arg(long, global = true)]
    refit_epochs: Option<u32>,
    /// Peak learning rate of that.
    #[arg(long, global = true)]
    refit_lr: Option<f64>,
}

impl Overrides {
    /// Puts the given values into `recipe`.
    pub fn apply(&self, recipe: &mut Recipe) {
        fn set<T: Clone>(place: &mut T, value: &Option<T>) {
            if let Some(value) = value {
                *place = value.clone();
            }
        }
        if let Some(code) = self.code {
            recipe.bits_per_latent = code.bits_per_latent();
        }
        recipe.codes = self.codes.iter().cloned().collect();
        set(&mut recipe.learning_rate, &self.lr);
        set(&mut recipe.epochs, &self.epochs);
        set(&mut recipe.batch_rows, &self.batch);
        set(&mut recipe.schedule, &self.schedule);
        set(&mut recipe.cycles, &self.cycles);
        set(&mut recipe.gradient, &self.gradient);
        set(&mut recipe.validation_fraction, &self.validation_fraction);
        set(&mut recipe.refit, &self.refit);
        set(&mut recipe.preprocessing, &self.preprocessing);
        set(&mut recipe.encoder.dropout, &self.dropout);
        set(&mut recipe.encoder.hash.noise, &self.noise);
        recipe.noises = self.noises.iter().cloned().collect();
        let HashConfig { initial_noise, noise_decay_fraction, .. } = &mut recipe.encoder.hash;
        *initial_noise = self.initial_noise.or(*initial_noise);
        *noise_decay_fraction = self.noise_decay_fraction.or(*noise_decay_fraction);
        set(&mut recipe.encoder.hash.clip, &self.clip);
        set(&mut recipe.encoder.hash.surrogate, &self.surrogate);
        set(&mut recipe.encoder.adam.weight_decay, &self.weight_decay);
        set(&mut recipe.top.adam.weight_decay, &self.weight_decay);
        set(&mut recipe.top.adam.weight_decay, &self.top_weight_decay);
        set(&mut recipe.top.dropout, &self.top_dropout);
        set(&mut recipe.top.loss.consistency, &self.consistency);
        set(&mut recipe.top.loss.label_smoothing, &self.label_smoothing);
        set(&mut recipe.top.loss.distillation, &self.distillation);
        set(&mut recipe.top.refit_epochs, &self.refit_epochs);
        set(&mut recipe.top.refit_learning_rate, &self.refit_lr);
        if let Some(hidden) = &self.hidden {
            recipe.set_hidden(hidden.iter().copied().filter(|units| *units > 0).collect());
        }
        if let Some(hidden) = &self.top_hidden {
            recipe.top.hidden = hidden.iter().copied().filter(|units| *units > 0).collect();
        }
    }
}

fn parse_codes(text: &str) -> Result<(PartyName, CodeForm), &'static str> {
    parse_own_code(text).ok_or("expected a party and its code, latents x bits of each, as host=1x5")
}

fn parse_noise(text: &str) -> Result<(PartyName, f32), String> {
    let expected = "expected a party and the deviation of its noise, as host=0.1";
    let (name, noise) = text.split_once('=').ok_or(expected)?;
    let name = PartyName::new(name).map_err(|_| expected)?;
    Ok((name, noise.parse().map_err(|_| expected)?))
}

fn parse_schedule(text: &str) -> Result<Schedule, String> {
    let known = [Schedule::Constant, Schedule::OneCycle];
    let found = known.into_iter().find(|schedule| schedule.to_string() == text);
    found.ok_or_else(|| "expected constant or one-cycle".into())
}

fn parse_surrogate(text: &str) -> Result<Surrogate, String> {
    match text {
        "box" => Ok(Surrogate::Box),
        "bell" => Ok(Surrogate::Bell),
        _ => Err("expected box or bell".into()),
    }
}

fn parse_preprocessing(text: &str) -> Result<Preprocessing, String> {
    match text {
        "none" => Ok(Preprocessing::None),
        "standardize" => Ok(Preprocessing::Standardize),
        "quantile" => Ok(Preprocessing::Quantile),
        "auto" => Ok(Preprocessing::Auto),
        _ => Err("expected none, standardize, quantile or auto".into()),
    }
}

fn parse_gradient(text: &str) -> Result<GradientEncoding, String> {
    let known = [GradientEncoding::F32, GradientEncoding::Int8, GradientEncoding::Sign];
    let found = known.into_iter().find(|encoding| encoding.to_string() == text);
    found.ok_or_else(|| "expected f32, int8 or sign".into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn overrides_replace_recipe_values() {
        let line = "accuracy credit-default --raw --splits 2 --lr 0.01 --hidden 32,16 --top-hidden 0 \
                    --schedule constant --gradient f32 --cut hash --code 2x3 --codes host=1x5 \
                    --noise 0.4 --noises host=0.1 --initial-noise 5";
        let cli = Cli::try_parse_from(line.split_whitespace()).unwrap();
        assert!(matches!(cli.benchmark, Benchmark::CreditDefault { raw: true, splits: 2 }));
        assert_eq!(cli.how.cut.list(), [CutLayer::Hash]);
        let mut recipe = Recipe::credit_default(CutLayer::Hash);
        cli.overrides.apply(&mut recipe);
        assert_eq!((recipe.learning_rate, recipe.schedule), (0.01, Schedule::Constant));
        assert_eq!(recipe.gradient, GradientEncoding::F32);
        assert!(recipe.top.hidden.is_empty());
        assert_eq!(recipe.codes[&PartyName::new("host").unwrap()], CodeForm::new(1, 5));
        assert_eq!((recipe.bits_per_latent, cli.overrides.code.unwrap().bits()), (3, 6));
        let hash = |name: &str| recipe.encoder_of(name).hash;
        assert_eq!((hash("host").noise, hash("guest").noise), (0.1, 0.4));
        assert_eq!((hash("host").initial_noise, hash("guest").initial_noise), (Some(5.0), Some(5.0)));
        assert!(Cli::try_parse_from(["accuracy", "vehicle", "--noises", "0.1"]).is_err());
        assert!(Cli::try_parse_from(["accuracy", "vehicle", "--code", "2x9"]).is_err());
        assert!(Cli::try_parse_from(["accuracy", "vehicle", "--schedule", "cosine"]).is_err());
    }
}
