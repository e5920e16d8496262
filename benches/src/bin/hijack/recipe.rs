//! Recipes drawn by a seed: what an honest run may look like.

use std::collections::BTreeMap;

use hashvfl_core::random::{stream, uniform};
use hashvfl_core::settings::{RunSettings, Schedule};
use hashvfl_core::{CodeForm, GradientEncoding, PartyName};
use hashvfl_learning::bottom::{BottomConfig, CnnConfig, MlpConfig};
use hashvfl_learning::hash::HashConfig;
use hashvfl_learning::top::loss::{ClassWeights, LossConfig};
use hashvfl_learning::{EncoderConfig, TopConfig};

use crate::dataset::{Dataset, Name};
use crate::run::VICTIM;

/// All of a run but its data.
#[derive(Debug, Clone)]
pub struct Recipe {
    /// The agreed settings.
    pub settings: RunSettings,
    /// Each party's model.
    pub encoder: EncoderConfig,
    /// The top model.
    pub top: TopConfig,
}

impl Recipe {
    /// A recipe for `dataset`, drawn by `seed`.
    pub fn draw(dataset: &Dataset, seed: u64) -> anyhow::Result<Self> {
        let mut rng = stream(seed, "recipe", &[dataset.name as u64]);
        let mut pick = |count: usize| (uniform(&mut rng) * count as f32) as usize;
        let parties = vec![PartyName::new("a")?, PartyName::new("b")?];
        let cohort_fraction = if dataset.labels.len() > 5000 { [1.0, 0.2][pick(2)] } else { 1.0 };
        let settings = RunSettings {
            batch_rows: [32, 64, 128, 256][pick(4)].into(),
            learning_rate: [1e-3, 3e-3, 1e-2][pick(3)],
            schedule: [Schedule::OneCycle, Schedule::Constant][pick(2)],
            gradient: [GradientEncoding::Int8, GradientEncoding::F32][pick(2)],
            cohort_fraction,
            seed,
            ..RunSettings::new(parties, dataset.task, [8, 16, 32, 64][pick(4)], 60)
        };
        let (noise, dropout) = ([0.0, 0.5, 0.5][pick(3)], [0.0, 0.1][pick(2)]);
        let hidden = [vec![32], vec![64], vec![128]][pick(3)].clone();
        let convolve = dataset.name == Name::Mnist && pick(6) == 0;
        let model = if convolve {
            BottomConfig::Cnn(CnnConfig::default())
        } else {
            BottomConfig::Mlp(MlpConfig { hidden })
        };
        let hash = HashConfig { noise, ..HashConfig::default() };
        let encoder = EncoderConfig { model, hash, dropout, ..EncoderConfig::default() };
        let loss = LossConfig {
            consistency: [0.0, 0.1][pick(2)],
            label_smoothing: [0.0, 0.0, 0.1][pick(3)],
            class_weights: [ClassWeights::None, ClassWeights::Balanced][usize::from(pick(4) == 0)],
            ..LossConfig::default()
        };
        let top = TopConfig {
            hidden: [vec![64], vec![16], vec![64, 64]][pick(3)].clone(),
            dropout: [0.0, 0.3][pick(2)],
            loss,
            ..TopConfig::default()
        };
        Ok(Self { settings, encoder, top })
    }

    /// A recipe with anything that a config allows, drawn by `seed`: linear top models, noise and signs in gradients,
    /// absent parties, cycles with distillation, short codes, a strong consistency term.
    pub fn draw_any(dataset: &Dataset, seed: u64) -> anyhow::Result<Self> {
        let mut recipe = Self::draw(dataset, seed)?;
        let mut rng = stream(seed, "any recipe", &[dataset.name as u64]);
        let mut pick = |count: usize| (uniform(&mut rng) * count as f32) as usize;
        recipe.top.hidden = [vec![], vec![], vec![64], vec![16, 16]][pick(4)].clone();
        recipe.top.dropout = [0.0, 0.0, 0.5][pick(3)];
        recipe.top.loss.consistency = [0.0, 0.0, 0.1, 1.0][pick(4)];
        recipe.top.loss.class_weights =
            [ClassWeights::None, ClassWeights::Balanced][usize::from(pick(3) == 0)];
        let settings = &mut recipe.settings;
        settings.bits = [2, 4, 8, 16, 32, 64][pick(6)];
        settings.gradient = [GradientEncoding::Int8, GradientEncoding::F32, GradientEncoding::Sign][pick(3)];
        settings.gradient_noise = [None, None, None, Some(0.5), Some(2.0)][pick(5)];
        settings.party_dropout = [0.0, 0.0, 0.3][pick(3)];
        if pick(4) == 0 {
            (settings.cycles, recipe.top.loss.distillation) = (20, 0.8);
        }
        Ok(recipe)
    }

    /// The same with levels in codes, drawn by `seed`: latents of 1, 2 or 4 bits, half of the time a short code of the victim's
    /// own, and noise as beside levels where there is noise.
    pub fn with_levels(mut self, dataset: &Dataset, seed: u64) -> Self {
        let mut rng = stream(seed, "levels", &[dataset.name as u64]);
        let mut pick = |count: usize| (uniform(&mut rng) * count as f32) as usize;
        let settings = &mut self.settings;
        settings.bits_per_latent = [1_usize, 2, 4][pick(3)].min(settings.bits);
        if pick(2) == 0 {
            let own = [CodeForm::new(1, 4), CodeForm::new(1, 5), CodeForm::new(2, 3)][pick(3)];
            settings.codes = BTreeMap::from([(settings.parties[VICTIM].clone(), own)]);
        }
        if self.encoder.hash.noise > 0.0 {
            self.encoder.hash.noise = [0.1, 0.4][pick(2)];
        }
        self
    }

    /// What the gradient monitor may depend on, in a line.
    pub fn describe(&self) -> String {
        let Self { settings, encoder, top } = self;
        let forms: Vec<String> = settings.code_forms().map(|form| form.to_string()).collect();
        format!(
            "top {:?}, codes of {}, batches of {}, rate {}, {:?}, noise {:?}, bit noise {}, party_dropout {}, {} cycles, dropout {}, {:?}",
            top.hidden,
            forms.join(" and "),
            settings.batch_rows,
            settings.learning_rate,
            settings.gradient,
            settings.gradient_noise,
            encoder.hash.noise,
            settings.party_dropout,
            settings.cycles,
            top.dropout,
            top.loss
        )
    }
}
