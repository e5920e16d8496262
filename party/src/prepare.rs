//! From a config to a table that is ready to be encoded, and an encoder for it.

use std::collections::BTreeMap;

use anyhow::{Context, ensure};
use hashvfl_core::response::Response;
use hashvfl_core::{Digest, Part, Plan, RunSettings};
use hashvfl_data::{Matrix, Preprocessor, Quantiles, Standardizer, Table};
use hashvfl_learning::bottom::{BottomConfig, InputShape};
use hashvfl_learning::device::{self, Opened};
use hashvfl_learning::encoder::{Cut, Encoder};
use hashvfl_learning::snapshot::{Snapshot, SnapshotError};
use hashvfl_learning::threads;
use rand::TryRng;

use crate::config::PartyConfig;
use crate::secret;

/// A party's records, its plan and its encoder.
pub struct Prepared {
    /// Record ids in row order.
    pub ids: Vec<String>,
    /// The columns, preprocessed.
    pub columns: Matrix,
    /// Channels, height and width, where the columns are an image.
    pub image: Option<[usize; 3]>,
    /// The plan.
    pub plan: Plan,
    /// The encoder.
    pub encoder: Encoder,
    preprocessor: Option<Preprocessor>,
    names: Vec<String>,
    device: String,
    seed: u64,
}

impl Prepared {
    /// Loads the table, fits preprocessing on training records, opens the device and makes the encoder.
    pub fn load(config: &PartyConfig) -> anyhow::Result<Self> {
        let mut table = hashvfl_data::load(&config.columns)?;
        let plan = Plan::new(&config.run, table.ids.len())?;
        let preprocessor = config
            .preprocessing
            .fit_apply(&mut table.matrix, plan.part(Part::CohortTrain), config.clip)
            .context("preprocessing")?;
        let seed = match config.seed {
            Some(seed) => seed,
            None => {
                rand::rngs::SysRng.try_next_u64().context("cannot draw a seed from the operating system")?
            }
        };
        let response =
            config.run.randomised_response.map(|epsilon| secret::for_run(config, epsilon)).transpose()?;
        Self::assemble(config, table, plan, preprocessor, (seed, response))
    }

    /// Loads the table with the preprocessing and weights of a trained model.
    pub fn load_trained(config: &PartyConfig, model: &Snapshot) -> anyhow::Result<Self> {
        let table = hashvfl_data::load(&config.columns)?;
        let plan = Plan::new(&config.run, table.ids.len())?;
        Self::of_trained(config, table, plan, model)
    }

    /// Loads the table to be served with the preprocessing and weights of a trained model.
    pub fn load_served(config: &PartyConfig, model: &Snapshot) -> anyhow::Result<Self> {
        let table = hashvfl_data::load(config.served_columns())?;
        let plan = Plan::of_trained(table.ids.len());
        Self::of_trained(config, table, plan, model)
    }

    fn of_trained(
        config: &PartyConfig,
        mut table: Table,
        plan: Plan,
        model: &Snapshot,
    ) -> anyhow::Result<Self> {
        let trained = Trained::take(model, table.matrix.cols())?;
        let digest = config.run.to_settings().digest().to_string();
        ensure!(
            trained.settings == digest,
            "the model was trained under other run settings than those of the config: restore the config of that run"
        );
        ensure!(
            trained.names == table.names.join(","),
            "the table's columns are not those that the model was trained on, or in another order"
        );
        if let Some(preprocessor) = &trained.preprocessor {
            preprocessor.apply(&mut table.matrix)?;
        }
        let response =
            config.run.randomised_response.map(|epsilon| secret::kept(config, epsilon)).transpose()?;
        let seed = (trained.seed, response);
        let mut prepared = Self::assemble(config, table, plan, trained.preprocessor, seed)?;
        prepared.encoder.load(model)?;
        Ok(prepared)
    }

    fn assemble(
        config: &PartyConfig,
        table: Table,
        plan: Plan,
        preprocessor: Option<Preprocessor>,
        (seed, response): (u64, Option<Response>),
    ) -> anyhow::Result<Self> {
        let Table { ids, names, matrix, image } = table;
        let small = matches!(config.encoder.model, BottomConfig::Mlp(_));
        threads::limit(if config.threads == 0 && small { 1 } else { config.threads });
        let Opened { device, name } = device::open(config.device)?;
        let image = image.map(|image| [image.channels, image.height, image.width]);
        let input = InputShape { columns: matrix.cols(), image };
        let updates = plan.updates();
        let mut encoder =
            Encoder::new(config.encoder.clone(), Cut::Hash, input, &config.run, updates, seed, &device)?;
        if let Some(response) = response {
            encoder.respond_with(response);
        }
        Ok(Self { ids, columns: matrix, image, plan, encoder, preprocessor, names, device: name, seed })
    }

    /// One line for a person.
    pub fn describe(&self) -> String {
        let (rows, columns, weights) = (self.columns.rows(), self.columns.cols(), self.encoder.weights());
        format!("{rows} records, {columns} columns, a bottom model of {weights} weights on {}", self.device)
    }

    /// Digest of everything that turns columns into codes.
    pub fn digest(&self) -> Digest {
        self.parts().digest(&["model.", "hash.", "columns."])
    }

    /// Digest of everything that decides which codes come out while the encoder learns.
    pub fn learning_digest(&self) -> Digest {
        let snapshot = self.encoder.snapshot();
        let (arrays, columns, seed) = (snapshot.digest(&[""]), self.digest(), self.seed.to_le_bytes());
        let text = snapshot.text.iter().flat_map(|(key, value)| [key.as_bytes(), value.as_bytes()]);
        let parts = [arrays.0.as_slice(), &columns.0, &seed, self.device.as_bytes()];
        Digest::of_parts(parts.into_iter().chain(text))
    }

    fn parts(&self) -> Snapshot {
        let mut parts = self.encoder.snapshot();
        if let Some(Preprocessor { quantiles, standardizer }) = &self.preprocessor {
            if let Some(quantiles) = quantiles {
                parts.put("columns.quantiles", quantiles.values().to_vec());
                parts.put("columns.scores", quantiles.scores().to_vec());
            }
            parts.put("columns.mean", standardizer.mean().to_vec());
            parts.put("columns.scale", standardizer.scale().to_vec());
            if let Some(clip) = standardizer.clip() {
                parts.put("columns.clip", vec![clip]);
            }
        }
        parts
    }

    /// The trained model with its preprocessing: all that turns columns of new records into codes.
    pub fn model(&self, settings: &RunSettings) -> Snapshot {
        let mut model = self.parts();
        let text = [
            ("settings_sha256", settings.to_settings().digest().to_string()),
            ("columns", self.names.join(",")),
            ("seed", self.seed.to_string()),
        ];
        model.text.extend(text.map(|(key, value)| (key.to_string(), value)));
        model
    }
}

/// What a model file holds beside the encoder.
struct Trained {
    preprocessor: Option<Preprocessor>,
    settings: String,
    names: String,
    seed: u64,
}

impl Trained {
    fn take(model: &Snapshot, columns: usize) -> anyhow::Result<Self> {
        let text = |texts: &BTreeMap<String, String>, key: &str| {
            texts.get(key).cloned().ok_or_else(|| SnapshotError::Missing(key.to_string()))
        };
        let preprocessor = if model.arrays.contains_key("columns.mean") {
            let clip = model.arrays.get("columns.clip").and_then(|array| array.values.first().copied());
            let mean = model.get("columns.mean", columns)?.to_vec();
            let scale = model.get("columns.scale", columns)?.to_vec();
            let array = |name: &str| model.arrays.get(name).map(|array| array.values.clone());
            let quantiles = match array("columns.quantiles").zip(array("columns.scores")) {
                Some((values, scores)) => {
                    let quantiles = Quantiles::from_parts(columns, values, scores);
                    Some(quantiles.context("the model file's quantiles are damaged")?)
                }
                None => None,
            };
            Some(Preprocessor { quantiles, standardizer: Standardizer::from_parts(mean, scale, clip)? })
        } else {
            None
        };
        Ok(Self {
            preprocessor,
            settings: text(&model.text, "settings_sha256")?,
            names: text(&model.text, "columns")?,
            seed: model.number("seed")?,
        })
    }
}
