//! A trained federation in this process: rows to what each side sees of them.

use std::path::Path;

use hashvfl_core::Part;
use hashvfl_core::random::{shuffle, stream};
use hashvfl_data::{Matrix, Ranges};
use hashvfl_detectors::{Codes, CoordinatorRows, MatrixView, PartyRows};
use hashvfl_files::say;
use hashvfl_learning::encoder::CutLayer;
use hashvfl_learning::{Encoder, Snapshot};
use hashvfl_testbed::simulation::{Models, SimulatedParty, Simulation};

use crate::data::Set;

/// Rows that pass through the models at once.
const PASS: usize = 512;

/// What both sides see of some rows.
pub struct View {
    /// Each party's columns after preprocessing.
    pub columns: Vec<Vec<f32>>,
    /// Each party's embedding before the sign.
    pub embedding: Vec<Vec<f32>>,
    /// All codes.
    pub codes: Codes,
    /// The predicted classes.
    pub classes: Vec<u32>,
    /// The top model's features.
    pub features: Vec<f32>,
    width: usize,
}

impl View {
    /// As the coordinator sees them.
    pub fn at_coordinator(&self) -> anyhow::Result<CoordinatorRows<'_>> {
        Ok(CoordinatorRows::new(
            &self.codes,
            &self.classes,
            MatrixView::new("features", &self.features, self.width)?,
        )?)
    }

    /// As a party sees them.
    pub fn at_party(&self, party: usize) -> anyhow::Result<PartyRows<'_>> {
        let rows = self.classes.len();
        let (columns, embedding) = (&self.columns[party], &self.embedding[party]);
        let columns = MatrixView::new("columns", columns, columns.len() / rows.max(1))?;
        Ok(PartyRows::new(
            columns,
            MatrixView::new("an embedding", embedding, embedding.len() / rows.max(1))?,
        )?)
    }

    /// Number of rows.
    pub fn rows(&self) -> usize {
        self.classes.len()
    }
}

/// A federation and the rows of its parts.
pub struct Federation<'a> {
    /// The data.
    pub set: &'a Set,
    /// The models.
    pub models: Models,
    /// Rows to fit detectors on: those that the models learned from.
    pub fit: Vec<u32>,
    /// Rows to learn the scale of scores on: the run's validation records.
    pub scale: Vec<u32>,
    /// Rows to calibrate on: half of the test records.
    pub calibration: Vec<u32>,
    /// Rows that nothing was fitted on: the other half.
    pub test: Vec<u32>,
}

impl<'a> Federation<'a> {
    /// Trains on `columns` and the set's labels, or takes models that were kept in `keep`.
    pub fn train(set: &'a Set, seed: u64, keep: Option<&Path>) -> anyhow::Result<Self> {
        let sides: Vec<SimulatedParty<'_>> = set
            .columns
            .iter()
            .enumerate()
            .map(|(party, columns)| SimulatedParty {
                columns,
                image: set.image,
                preprocessing: (set.preprocessing, None),
                encoder: set.encoder.clone(),
                seed: seed + 1 + party as u64,
            })
            .collect();
        let simulation = Simulation {
            settings: &set.settings,
            sides: &sides,
            labels: &set.labels,
            top: &set.top,
            seed,
            cut: CutLayer::Hash,
            balance: Part::Test,
        };
        let models = match keep {
            Some(folder) if folder.join("top.safetensors").exists() => kept(simulation.models()?, folder)?,
            _ => {
                let (simulated, models) = simulation.train(&mut |_| {})?;
                if let Some(test) = simulated.test {
                    say!("  trained; test metric {}", test.metric_text(set.settings.task));
                }
                keep.map_or(Ok(()), |folder| put(&models, folder))?;
                models
            }
        };
        let part = |part| models.plan.part(part).to_vec();
        let (fit, scale, mut calibration) = (part(Part::Train), part(Part::Validation), part(Part::Test));
        let mut rng = stream(seed, "calibration split", &[]);
        shuffle(&mut calibration, &mut rng);
        let test = calibration.split_off(calibration.len() / 2);
        Ok(Self { set, models, fit, scale, calibration, test })
    }

    /// A party's columns of rows, as the files have them.
    pub fn raw(&self, party: usize, rows: &[u32]) -> Vec<f32> {
        self.set.columns[party].gather(rows)
    }

    /// The same, as the model takes them.
    pub fn prepare(&self, party: usize, raw: Vec<f32>) -> anyhow::Result<Vec<f32>> {
        let Some(preprocessor) = &self.models.preprocessors[party] else { return Ok(raw) };
        let width = self.set.columns[party].cols();
        let mut matrix = Matrix::new(raw.len() / width, width, raw)?;
        preprocessor.apply(&mut matrix);
        Ok(matrix.into_values())
    }

    /// Codes of inputs that are no records, one for each of `rows`, as parties draw them at the end of a run.
    pub fn synthetic(&self, rows: &[u32], seed: u64) -> anyhow::Result<Codes> {
        let columns = (0..2).map(|party| {
            let prepared = self.prepare(party, self.raw(party, rows))?;
            let mut ranges = Ranges::new(self.set.columns[party].cols());
            ranges.widen(&prepared);
            let mut rng = stream(seed, "drawn inputs", &[party as u64]);
            let mut values = Vec::with_capacity(prepared.len());
            for _ in rows {
                match &self.models.preprocessors[party] {
                    Some(preprocessor) => preprocessor.draw(&ranges, &mut rng, &mut values),
                    None => ranges.draw(&mut rng, &mut values),
                }
            }
            Ok(values)
        });
        Ok(self.view(columns.collect::<anyhow::Result<_>>()?, [None, None])?.codes)
    }

    /// A party's encoder.
    pub fn encoder(&self, party: usize) -> &Encoder {
        &self.models.encoders[party]
    }

    /// What both sides see of records as they are.
    pub fn view_of(&self, rows: &[u32]) -> anyhow::Result<View> {
        let columns = (0..2).map(|party| self.prepare(party, self.raw(party, rows)));
        self.view(columns.collect::<anyhow::Result<_>>()?, [None, None])
    }

    /// What both sides see of prepared `columns`; `forged` are codes that a party sends in place of its own.
    pub fn view(&self, columns: Vec<Vec<f32>>, forged: [Option<Vec<f32>>; 2]) -> anyhow::Result<View> {
        let rows = columns[0].len() / self.set.columns[0].cols();
        let embedding: Vec<Vec<f32>> = columns
            .iter()
            .zip(&self.models.encoders)
            .map(|(values, encoder)| {
                let width = values.len() / rows.max(1);
                let pass = |values: &[f32]| encoder.encode(values.to_vec(), values.len() / width);
                values.chunks(PASS * width).flat_map(pass).collect()
            })
            .collect();
        let mut signs: Vec<Vec<f32>> = embedding
            .iter()
            .map(|values| values.iter().map(|value| if *value >= 0.0 { 1.0 } else { -1.0 }).collect())
            .collect();
        for (signs, forged) in signs.iter_mut().zip(forged) {
            if let Some(forged) = forged {
                *signs = forged;
            }
        }
        let parts: Vec<&[f32]> = signs.iter().map(Vec::as_slice).collect();
        let codes = Codes::of_values(&parts, rows)?;
        let (outputs, features) = self.models.classifier.predict_with_features(&signs, rows);
        let count = outputs.len() / rows.max(1);
        let classes = outputs.chunks_exact(count).map(likeliest).collect();
        Ok(View {
            columns,
            embedding,
            codes,
            classes,
            features,
            width: self.models.classifier.feature_count(),
        })
    }
}

/// The class of the largest output.
fn likeliest(outputs: &[f32]) -> u32 {
    (0..outputs.len()).max_by(|a, b| outputs[*a].total_cmp(&outputs[*b])).unwrap_or(0) as u32
}

fn put(models: &Models, folder: &Path) -> anyhow::Result<()> {
    std::fs::create_dir_all(folder)?;
    for (party, encoder) in models.encoders.iter().enumerate() {
        encoder.snapshot().write(&folder.join(format!("party{party}.safetensors")))?;
    }
    Ok(models.classifier.snapshot().write(&folder.join("top.safetensors"))?)
}

fn kept(mut models: Models, folder: &Path) -> anyhow::Result<Models> {
    for (party, encoder) in models.encoders.iter_mut().enumerate() {
        encoder.load(&Snapshot::read(&folder.join(format!("party{party}.safetensors")))?)?;
    }
    models.classifier.load(&Snapshot::read(&folder.join("top.safetensors"))?)?;
    say!("  models kept in {} are used", folder.display());
    Ok(models)
}
