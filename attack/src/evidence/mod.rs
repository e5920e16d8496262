//! What an evaluation has: the truth, the trained models, and what was seen.

pub(crate) mod knowledge;
pub(crate) mod manifest;
pub(crate) mod observed;
pub(crate) mod ownership;
pub(crate) mod recorder;
pub(crate) mod replay;
pub(crate) mod simulation;

use anyhow::{Context, ensure};
use hashvfl_coordinator::labels::{self, ChangedLabels};
use hashvfl_coordinator::state::StateFolder;
use hashvfl_coordinator::top_file::TopFile;
use hashvfl_coordinator::{CoordinatorConfig, top_file};
use hashvfl_core::records::plan::PlanError;
use hashvfl_core::records::run_records::digest_of_run;
use hashvfl_core::settings::OnRefusal;
use hashvfl_core::{CanonicalId, Digest, ExcludedRecords, Part, Plan, RunSettings};
use hashvfl_data::Matrix;
use hashvfl_learning::bottom::InputShape;
use hashvfl_learning::device::Device;
use hashvfl_learning::encoder::Encoder;
use hashvfl_learning::top::loss::Labels;
use hashvfl_learning::{Classifier, Snapshot};
use hashvfl_party::PartyConfig;
use hashvfl_party::prepare::Prepared;
use hashvfl_transcript::Recording;

use crate::evidence::manifest::Manifest;

/// One party's side of the truth.
pub struct PartyData {
    /// Its config.
    pub config: PartyConfig,
    /// The records' ids, in row order.
    pub ids: Vec<CanonicalId>,
    /// Its columns as its bottom model sees them: preprocessed as fitted on training records.
    pub columns: Matrix,
    /// Names of the columns.
    pub names: Vec<String>,
    /// For each of them the name of the table's column that it comes from.
    pub sources: Vec<String>,
    /// Those that hold positions of categories.
    pub positions: Vec<usize>,
    /// What they are to a model.
    pub input: InputShape,
    /// Channels, height and width, where they are an image.
    pub image: Option<[usize; 3]>,
    /// Its trained encoder.
    pub encoder: Encoder,
}

impl PartyData {
    fn new(config: PartyConfig, prepared: Prepared) -> anyhow::Result<Self> {
        let input = prepared.input();
        Ok(Self {
            config,
            ids: prepared.table_ids().canonical().collect(),
            names: prepared.names(),
            sources: prepared.sources(),
            positions: input.categories.iter().map(|categories| categories.column).collect(),
            input,
            image: prepared.image,
            columns: prepared.columns.into_matrix()?,
            encoder: prepared.encoder,
        })
    }
}

/// All that an evaluation has beside the transcript.
pub struct Evidence {
    /// The coordinator's config.
    pub coordinator: CoordinatorConfig,
    /// The trained top model.
    pub top: Classifier,
    /// The parties, in the run's order.
    pub owners: Vec<PartyData>,
    /// The labels.
    pub labels: Labels,
    /// Which records each part holds.
    pub plan: Plan,
    /// Digest of their ids in order.
    pub records: Digest,
    excluded: ExcludedRecords,
}

impl Evidence {
    /// Loads everything that a manifest names.
    pub fn load(manifest: &Manifest) -> anyhow::Result<Self> {
        let (coordinator, parties) = manifest.configs()?;
        let file = TopFile::read(&top_file::path(&coordinator), &coordinator.run)?;
        let records = StateFolder::existing(&coordinator.state).read_records()?;
        ensure!(
            file.records == records.digest(),
            "the top model and the list of records in {} belong to different runs: restore both from one backup",
            coordinator.state.display()
        );
        let labels = labels::of_run(&coordinator, &records, &file.classes, ChangedLabels::Refuse)?;
        let plan = Plan::new(&coordinator.run, records.count())?.without(&records.gone());
        let plan = plan.context("without the records that were excluded or erased")?;
        let mut owners = Vec::new();
        for config in parties {
            let model = Snapshot::read(&config.model_path())?;
            let prepared = Prepared::load_trained(&config, &model)
                .with_context(|| format!("the trained model of {}", config.name))?;
            ensure!(
                digest_of_run(&config.run_id, prepared.ids.iter().map(String::as_str)) == records.digest(),
                "{}: the table holds other records than the run was about, or in another order: restore it",
                config.name
            );
            owners.push(PartyData::new(config, prepared)?);
        }
        let mut top = top_file::new(&coordinator, labels.clone(), &plan, &Device::flex())?;
        top.load_trained(&file.model)?;
        let (records, excluded) = (records.digest(), records.gone());
        Ok(Self { coordinator, top, owners, labels, plan, records, excluded })
    }

    /// The truth of runs that are still to be trained, by their configs; no model has learned anything.
    ///
    /// # Errors
    /// If tables and labels do not fit their configs, or hold other records.
    pub fn untrained(coordinator: CoordinatorConfig, parties: Vec<PartyConfig>) -> anyhow::Result<Self> {
        let labelled = labels::load(&coordinator)?;
        let plan = Plan::new(&coordinator.run, labelled.ids.len())?;
        let mut owners = Vec::new();
        for config in parties {
            let prepared = Prepared::load(&config)?;
            ensure!(
                prepared.ids == labelled.ids,
                "{}'s table holds other ids than the labels, or in another order",
                config.name
            );
            owners.push(PartyData::new(config, prepared)?);
        }
        let records = digest_of_run(&coordinator.run_id, labelled.ids.iter().map(String::as_str));
        let excluded = ExcludedRecords::of(&[], labelled.ids.len());
        let top = top_file::new(&coordinator, labelled.labels.clone(), &plan, &Device::flex())?;
        Ok(Self { coordinator, top, owners, labels: labelled.labels, plan, records, excluded })
    }

    /// Refuses a transcript whose rows are those of other records.
    ///
    /// # Errors
    /// If it is one.
    pub fn check(&self, recording: &Recording) -> anyhow::Result<()> {
        ensure!(
            recording.header.is_about(self.records),
            "the transcript's records differ from those of the tables, or an earlier version wrote it without naming its \
             records: use the tables that the run had"
        );
        Ok(())
    }

    /// Leaves out records that `recording` holds nothing of, where the run went on without some.
    ///
    /// # Errors
    /// When too few are left.
    pub fn leave_out(&mut self, recording: &Recording) -> anyhow::Result<()> {
        if self.coordinator.run.on_refusal == OnRefusal::End {
            return Ok(());
        }
        let mut unseen = vec![true; self.plan.records()];
        for record in recording.steps.iter().flat_map(|step| &step.records) {
            let seen = unseen
                .get_mut(*record as usize)
                .context("the transcript names a record that is not in the tables")?;
            *seen = false;
        }
        let unseen: Vec<u32> = (0..).zip(unseen).filter(|(_, unseen)| *unseen).map(|(row, _)| row).collect();
        self.excluded.add(&ExcludedRecords::of(&unseen, self.plan.records()));
        self.plan = self.plan_under(&self.coordinator.run).context("what the transcript holds")?;
        Ok(())
    }

    /// The plan of the same records under `settings`, without those that were left out.
    ///
    /// # Errors
    /// When too few are left.
    pub fn plan_under(&self, settings: &RunSettings) -> Result<Plan, PlanError> {
        Plan::new(settings, self.labels.len())?.without(&self.excluded)
    }

    /// Test records: each was encoded once, after the freeze.
    pub fn frozen_records(&self) -> &[u32] {
        self.plan.part(Part::Test)
    }

    /// Training records of the cohort: each was encoded in every epoch.
    pub fn trained_records(&self) -> &[u32] {
        self.plan.part(Part::CohortTrain)
    }

    /// Validation records of the cohort: each was encoded after every epoch, or after every epoch of the last cycle.
    pub fn validation_records(&self) -> &[u32] {
        self.plan.part(Part::CohortValidation)
    }
}
