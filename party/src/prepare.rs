//! From a config to a table that is ready to be encoded, and an encoder for it.

use std::cell::RefCell;

use anyhow::Context;
use hashvfl_core::random::stream;
use hashvfl_core::records::plan::CHUNK_ROWS;
use hashvfl_core::text::{counted, records_on_lines};
use hashvfl_core::{Digest, Part, Plan, RunSettings, TableIds};
use hashvfl_data::{
    EmbeddedColumn, EncodedColumns, Encoding, EncodingNotes, Faulty, Ranges, RecordStore, Treatment,
    remarks_on_ids,
};
use hashvfl_learning::bottom::{BottomConfig, Categories, InputShape};
use hashvfl_learning::device::{self, Opened};
use hashvfl_learning::encoder::{CutLayer, Encoder};
use hashvfl_learning::schedule::Rates;
use hashvfl_learning::snapshot::{Snapshot, SnapshotError};
use hashvfl_learning::threads;
use rand::TryRng;

use crate::config::{PartyConfig, Source};

/// Columns with unusable cells that are named, at most.
const MOST_COLUMNS: usize = 8;

/// A party's records, its plan and its encoder.
pub struct Prepared {
    /// Record ids in row order.
    pub ids: Vec<String>,
    /// Columns that make up an id.
    pub key_columns: usize,
    /// Digests of what the table holds of each record, in row order: they tell whether guessed columns are right.
    pub contents: Vec<Digest>,
    /// The columns, encoded.
    pub columns: EncodedColumns,
    /// Channels, height and width, where the columns are an image.
    pub image: Option<[usize; 3]>,
    /// The plan.
    pub plan: Plan,
    /// The encoder.
    pub encoder: Encoder,
    /// How many records the source has, those that an order leaves out among them.
    pub read: usize,
    /// What was taken for something else. Faulty rows are only among records to be served.
    pub noted: EncodingNotes,
    encoding: Encoding,
    ranges: Option<Ranges>,
    device: String,
    seed: u64,
}

impl Prepared {
    /// Loads the table, fits its encoding on training records, opens the device and makes the encoder.
    pub fn load(config: &PartyConfig) -> anyhow::Result<Self> {
        let treatment = config.treatment();
        let records = load(&config.trained_on(), &treatment)?;
        let plan = Plan::new(&config.run, records.ids().len())?;
        let encoding = records.fit(plan.part(Part::CohortTrain), &treatment);
        let encoding = encoding.context("preprocessing")?;
        let seed = match config.seed {
            Some(seed) => seed,
            None => {
                rand::rngs::SysRng.try_next_u64().context("cannot draw a seed from the operating system")?
            }
        };
        let key_columns = config.columns.ids().key_columns();
        Self::assemble(config, records, key_columns, plan, encoding, &treatment, seed)
    }

    /// Loads the table with the encoding and weights of a trained model.
    pub fn load_trained(config: &PartyConfig, model: &Snapshot) -> anyhow::Result<Self> {
        let plan = |records| Ok(Plan::new(&config.run, records)?);
        Self::of_trained(config, &config.trained_on(), model, Faulty::Refuse, &plan)
    }

    /// Loads the table to be served with the encoding and weights of a trained model. A record with a cell that is no
    /// value of its column stops nothing: it is among the faulty ones, and its other cells are used where it may not be refused.
    pub fn load_served(config: &PartyConfig, model: &Snapshot) -> anyhow::Result<Self> {
        let plan = |records| Ok(Plan::of_trained(records));
        Self::of_trained(config, &config.served(), model, config.faulty_served(), &plan)
    }

    fn of_trained(
        config: &PartyConfig,
        source: &Source,
        model: &Snapshot,
        faulty: Faulty,
        plan: &dyn Fn(usize) -> anyhow::Result<Plan>,
    ) -> anyhow::Result<Self> {
        let trained = ModelMetadata::take(model)?;
        let settings = config.run.check_digest(&trained.settings);
        settings.with_context(|| format!("the model {}", config.model_path().display()))?;
        let types = trained.encoding.types(&config.types).context("[types]")?;
        let treatment = Treatment { types, faulty, ..config.treatment() };
        let records =
            load(source, &treatment).context("the table is read as the one that the model was trained on")?;
        let plan = plan(records.ids().len())?;
        let (key_columns, encoding) = (source.columns.ids().key_columns(), trained.encoding);
        let mut prepared =
            Self::assemble(config, records, key_columns, plan, encoding, &treatment, trained.seed)?;
        prepared.encoder.load(model)?;
        Ok(prepared)
    }

    fn assemble(
        config: &PartyConfig,
        records: RecordStore,
        key_columns: usize,
        plan: Plan,
        encoding: Encoding,
        treatment: &Treatment,
        seed: u64,
    ) -> anyhow::Result<Self> {
        let contents = records.contents()?;
        let (ids, image, read) = (records.ids().to_vec(), records.image(), records.read());
        let (columns, noted) = records.encode_noting(&encoding, treatment).context("preprocessing")?;
        let small = matches!(config.encoder.model, BottomConfig::Mlp(_));
        threads::limit(if config.threads == 0 && small { 1 } else { config.threads });
        let Opened { device, name } = device::open(config.device)?;
        let image = image.map(|image| [image.channels, image.height, image.width]);
        let input = input(&columns, image, &encoding);
        let (form, rates) = (config.code_form(), Rates::of_plan(&config.run, &plan));
        let mut encoder =
            Encoder::new(config.encoder.clone(), CutLayer::Hash, input, form, rates, seed, &device)?;
        if config.on_alarm.monitors() {
            encoder.expect_monitoring();
        }
        let (device, ranges) = (name, None);
        Ok(Self {
            ids,
            key_columns,
            contents,
            columns,
            image,
            plan,
            encoder,
            read,
            noted,
            encoding,
            ranges,
            device,
            seed,
        })
    }

    /// Whether the table to be served becomes what the encoder takes: which of its records do not, for a cell that is
    /// missing, new or no value, and what else is taken for something else, of how many records. As when it is served, these stop
    /// nothing.
    ///
    /// # Errors
    /// When it cannot be read, or its columns are not those of the training.
    pub fn check_served(&self, config: &PartyConfig) -> anyhow::Result<(EncodingNotes, usize)> {
        let types = self.encoding.types(&config.types)?;
        let treatment = Treatment { types, faulty: config.faulty_served(), ..config.treatment() };
        let records = load(&config.served(), &treatment)?;
        let (columns, noted) = records.encode_noting(&self.encoding, &treatment).context("preprocessing")?;
        Ok((noted, columns.rows()))
    }

    /// Does `work`, which measures the encoder on records, with what brings it their columns.
    ///
    /// # Errors
    /// When these cannot be read.
    pub fn measure(
        &mut self,
        work: impl FnOnce(&mut Encoder, &Plan, &dyn Fn(&[u32]) -> Vec<f32>),
    ) -> anyhow::Result<()> {
        let Self { columns, plan, encoder, .. } = self;
        let failed = RefCell::new(None);
        let gather = |rows: &[u32]| match columns.gather(rows) {
            Ok(values) => values,
            Err(error) => {
                failed.borrow_mut().get_or_insert(error);
                vec![0.0; rows.len() * columns.cols()]
            }
        };
        work(encoder, plan, &gather);
        failed.into_inner().map_or(Ok(()), |error| Err(error.into()))
    }

    /// A chunk of inputs that are no records: drawn evenly over the ranges of the columns at training records, from this
    /// party's seed.
    ///
    /// # Errors
    /// When records cannot be read.
    pub fn draw(&mut self, chunk: u32) -> anyhow::Result<Vec<f32>> {
        let ranges = match &self.ranges {
            Some(ranges) => ranges,
            None => {
                let ranges = self.ranges()?;
                self.ranges.insert(ranges)
            }
        };
        let mut rng = stream(self.seed, "drawn inputs", &[u64::from(chunk)]);
        let mut values = Vec::with_capacity(CHUNK_ROWS * self.columns.cols());
        (0..CHUNK_ROWS).for_each(|_| self.encoding.draw(ranges, &mut rng, &mut values));
        Ok(values)
    }

    fn ranges(&self) -> anyhow::Result<Ranges> {
        let mut ranges = Ranges::new(self.columns.cols());
        for rows in self.plan.part(Part::CohortTrain).chunks(CHUNK_ROWS) {
            ranges.widen(&self.columns.gather(rows)?);
        }
        Ok(ranges)
    }

    /// Follows `plan` from here on, which leaves out records of the old one.
    pub fn follow(&mut self, plan: Plan) {
        self.encoder.expect_updates(plan.updates());
        self.plan = plan;
    }

    /// What the columns are to a model.
    pub fn input(&self) -> InputShape {
        input(&self.columns, self.image, &self.encoding)
    }

    /// Its ids as a ledger takes them.
    pub fn table_ids(&self) -> TableIds<'_> {
        TableIds { ids: &self.ids, key_columns: self.key_columns }
    }

    /// The seed of this party's weights and noise, and of its detectors.
    pub fn seed(&self) -> u64 {
        self.seed
    }

    /// A name for each encoded column.
    pub fn names(&self) -> Vec<String> {
        self.encoding.names()
    }

    /// For each encoded column, the table's column that it comes from.
    pub fn sources(&self) -> Vec<String> {
        self.encoding.sources()
    }

    /// One line for a person.
    pub fn describe(&self) -> String {
        let (rows, columns, weights) = (self.columns.rows(), self.columns.cols(), self.encoder.weights());
        let (rows, columns) = (counted(rows, "record"), counted(columns, "column"));
        format!("{rows}, {columns}, a bottom model of {weights} weights on {}", self.device)
    }

    /// Digest of the preprocessing.
    pub fn encoding_digest(&self) -> Digest {
        Digest::of(self.encoding.to_text().as_bytes())
    }

    /// How the table was read, in a line for a person: only numbers, no value.
    pub fn reading(&self, source: &Source) -> anyhow::Result<String> {
        let read = self.read;
        let mut parts = vec![records_on_lines(read, source.columns.lines()?)];
        if self.ids.len() < read {
            parts.push(format!(
                "{} of them are not in the agreed order and were excluded",
                read - self.ids.len()
            ));
        }
        parts.extend(remarks_on_ids(&self.ids, self.key_columns));
        parts.push(self.encoding.describe());
        if let Some(excluded) = source.columns.excluded(self.encoding.columns())?.filter(|count| *count > 0) {
            let excluded = counted(excluded, "column");
            parts.push(format!("did not load {excluded} of the files, because of `columns` or `ignore`"));
        }
        parts.extend(taken_otherwise(&self.noted));
        parts.extend(source.columns.remarks()?);
        Ok(parts.join("; "))
    }

    /// Digest of everything that turns columns into codes.
    pub fn digest(&self) -> Digest {
        let encoder = self.encoder.snapshot().digest(&["model.", "hash."]);
        Digest::of_parts([encoder.0.as_slice(), self.encoding.to_text().as_bytes()])
    }

    /// Digest of everything that decides which codes come out while the encoder learns.
    pub fn learning_digest(&self) -> Digest {
        let (state, columns) = (self.encoder.state_digest(), self.encoding.to_text());
        Digest::of_parts([state.0.as_slice(), columns.as_bytes(), self.device.as_bytes()])
    }

    /// The trained model with its encoding: all that turns columns of new records into codes.
    ///
    /// `records` is the digest of the records that the run was about.
    pub fn model(&self, settings: &RunSettings, records: Digest) -> Snapshot {
        let mut model = self.encoder.snapshot();
        let text = [
            ("settings_sha256", settings.to_settings().digest().to_string()),
            ("columns", self.encoding.to_text()),
            ("seed", self.seed.to_string()),
            ("records_sha256", records.to_string()),
        ];
        model.text.extend(text.map(|(key, value)| (key.to_string(), value)));
        model
    }
}

/// What became something else on its way from cells to numbers, with its count: only numbers, no value.
pub fn taken_otherwise(noted: &EncodingNotes) -> Vec<String> {
    let counts = [
        (noted.missing, "missing value", "filled in, or a category of its own"),
        (noted.unseen, "value", "that no training record had (treated as no category, or filled in)"),
        (noted.rare, "value", "too rare in training for a category of its own (treated as no category)"),
        (
            noted.cut_off,
            "number",
            "clipped (by `clip_quantile`, to the range of the training records in a rank-transformed column, or by \
             `clip`)",
        ),
    ];
    let counts = counts.into_iter().filter(|(count, ..)| *count > 0);
    let unknown = noted.unknown_columns.iter().map(|name| {
        format!("column {name:?} has no category that training records had: is it written as in training?")
    });
    counts.map(|(count, one, what)| format!("{} {what}", counted(count, one))).chain(unknown).collect()
}

/// What becomes of those of so many served `records` with cells that cannot be used; none where all cells can be.
pub fn told_of_faulty(config: &PartyConfig, noted: &EncodingNotes, records: usize) -> Option<String> {
    let outcome = match config.faulty_served() {
        Faulty::Fill => {
            "these cells count as missing, because with randomised response refusing the records would reveal which \
             they are"
        }
        Faulty::Mark | Faulty::Refuse => "predictions for these records will be refused",
    };
    let faulty = noted.faulty.len();
    let by_column = match noted.faulty_by.len() {
        0 => String::new(),
        columns => {
            let shown = noted.faulty_by.iter().take(MOST_COLUMNS);
            let shown: Vec<String> = shown.map(|(name, rows)| format!("{name:?}: {rows}")).collect();
            let more = if columns > MOST_COLUMNS { ", ..." } else { "" };
            format!(" (by column: {}{more})", shown.join(", "))
        }
    };
    (faulty > 0).then(|| {
        format!(
            "{faulty} of {records} records have a cell that is missing, unseen in training, or not a value of its \
             column{by_column}, or an id that repeats; {outcome}. Correct the cells, or set missing = \"fill\" and unseen = \
             \"accept\""
        )
    })
}

fn load(source: &Source, treatment: &Treatment) -> anyhow::Result<RecordStore> {
    Ok(RecordStore::load(source.columns, source.order, treatment, source.cache.as_deref())?)
}

/// What encoded columns are to a model; those that hold positions among them.
fn input(columns: &EncodedColumns, image: Option<[usize; 3]>, encoding: &Encoding) -> InputShape {
    let embedded = encoding.embedded().into_iter();
    let categories =
        embedded.map(|EmbeddedColumn { column, count, width }| Categories { column, count, width });
    InputShape { columns: columns.cols(), image, categories: categories.collect() }
}

/// What a model file holds beside the encoder.
struct ModelMetadata {
    encoding: Encoding,
    settings: String,
    seed: u64,
}

impl ModelMetadata {
    fn take(model: &Snapshot) -> anyhow::Result<Self> {
        let text = |key: &str| model.text.get(key).ok_or_else(|| SnapshotError::Missing(key.to_string()));
        Ok(Self {
            encoding: Encoding::from_text(text("columns")?)?,
            settings: text("settings_sha256")?.clone(),
            seed: model.number("seed")?,
        })
    }
}
