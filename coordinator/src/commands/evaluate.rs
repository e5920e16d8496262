//! `coordinator evaluate` and `coordinator retrain`: the top model on stored codes, without any traffic.

use std::path::{Path, PathBuf};

use anyhow::{Context, anyhow, bail, ensure};
use hashvfl_core::text::counted;
use hashvfl_core::{CodeTable, Digest, Part, PartyName, Plan, RunRecords};
use hashvfl_files::say;
use hashvfl_learning::device;
use hashvfl_learning::top::loss::Labels;
use hashvfl_learning::training::ScreeningPoint;
use tracing::warn;

use crate::config::CoordinatorConfig;
use crate::labels::{self, ChangedLabels};
use crate::state::{StateFolder, read_codes};
use crate::top_file::{self, TopFile};
use crate::training::screening::Screener;

/// Measures a trained top model on the test records and prints the result as JSON, identical to the run's summary in every
/// digit.
pub fn evaluate(
    config: &CoordinatorConfig,
    given: &[(PartyName, PathBuf)],
    top_file: Option<&Path>,
    changed: ChangedLabels,
) -> anyhow::Result<()> {
    let stored = Stored::load(config, given, top_file, changed)?;
    let mut classifier = stored.classifier;
    classifier.load_trained(&stored.top.model)?;
    let rows = stored.plan.part(Part::Test);
    ensure!(!rows.is_empty(), "run.test_fraction is 0: there are no test records");
    let rows = known(&config.run.parties, &stored.tables, rows)?;
    let test = classifier.evaluate_stored(&|rows| gather(&stored.tables, rows), &rows);
    if let Some(name) = test.undefined(config.run.task) {
        warn!("{name} is undefined, and left out: the test records lack a class, or all have one value");
    }
    say!("{}", serde_json::to_string_pretty(&test)?);
    Ok(())
}

/// Trains the top model anew on stored codes of training records, chosen on validation records.
pub fn retrain(config: &CoordinatorConfig, out: &Path, changed: ChangedLabels) -> anyhow::Result<()> {
    ensure!(!out.exists(), "{} already exists: choose another file with --out", out.display());
    let stored = Stored::load(config, &[], None, changed)?;
    let known = |part| {
        known(&config.run.parties, &stored.tables, stored.plan.part(part)).context(
            "only a run that refits (run.refit, or run.cohort_fraction below 1) keeps codes of training records",
        )
    };
    let (train, validation) = (known(Part::Train)?, known(Part::Validation)?);
    let mut classifier = stored.classifier;
    let gather = |rows: &[u32]| gather(&stored.tables, rows);
    if let Some(screening) = &config.screening {
        let mut screener = Screener::new(screening, stored.labels, config.seed);
        let weights = screener.judge(ScreeningPoint::Refit, &train, &gather(&train));
        classifier
            .weigh(&train, &weights.map_err(|error| anyhow!("screening of training records: {error}"))?);
    }
    let batch_rows = stored.plan.batch_rows();
    let epoch = classifier.refit(&gather, &train, &validation, batch_rows, config.run.task)?;
    let file = TopFile::of(&classifier, stored.top.encoders, stored.top.classes, stored.top.records);
    file.to_snapshot(&config.run).write(out)?;
    let found = classifier.evaluate_stored(&gather, &validation).describe(config.run.task);
    say!("wrote {}: epoch {epoch}, on validation records {found}; no party was asked", out.display());
    Ok(())
}

struct Stored {
    plan: Plan,
    labels: Labels,
    classifier: hashvfl_learning::Classifier,
    top: TopFile,
    tables: Vec<CodeTable>,
}

impl Stored {
    fn load(
        config: &CoordinatorConfig,
        given: &[(PartyName, PathBuf)],
        top_file: Option<&Path>,
        changed: ChangedLabels,
    ) -> anyhow::Result<Self> {
        let state = StateFolder::existing(&config.state);
        let top_path = top_file.map_or_else(|| state.top(), Path::to_path_buf);
        let (top, records) = (TopFile::read(&top_path, &config.run)?, state.read_records()?);
        ensure!(
            top.records == records.digest(),
            "{} was not trained on the records of the run in {}: name a top model of that run",
            top_path.display(),
            config.state.display()
        );
        let labels = labels::of_run(config, &records, &top.classes, changed)?;
        let erased = records.count() - records.rows().len();
        if erased > 0 {
            warn!("excluding {} erased since the run", counted(erased, "record"));
        }
        let plan = Plan::new(&config.run, records.count())?.without(&records.gone());
        let plan = plan.context("without the records that were excluded or erased")?;
        let classifier = top_file::new(config, labels.clone(), &plan, &device::open(config.device)?.device)?;
        if let Some((stranger, _)) = given.iter().find(|(name, _)| !config.run.parties.contains(name)) {
            bail!("--codes names {stranger}, which is not among run.parties");
        }
        let encoders = config.run.parties.iter().zip(&top.encoders);
        let tables = encoders.map(|(party, encoder)| {
            let file = given.iter().find(|(name, _)| name == party).map(|(_, file)| file.clone());
            let file = file.unwrap_or_else(|| state.codes(party, encoder));
            table(party, &file, encoder, &records, config.run.code_of(party).bits())
        });
        Ok(Self { tables: tables.collect::<anyhow::Result<_>>()?, plan, labels, classifier, top })
    }
}

fn table(
    party: &PartyName,
    file: &Path,
    encoder: &Digest,
    records: &RunRecords,
    bits: usize,
) -> anyhow::Result<CodeTable> {
    let stored = read_codes(file)?;
    ensure!(
        stored.encoder == *encoder,
        "{}: codes of another bottom model of {party} ({}) than the top model was trained with ({})",
        file.display(),
        stored.encoder.short(),
        encoder.short()
    );
    let (found, expected) = ((stored.table.records(), stored.table.bits()), (records.count(), bits));
    ensure!(
        found == expected,
        "{}: codes of {} records x {} bits, expected {} x {}",
        file.display(),
        found.0,
        found.1,
        expected.0,
        expected.1
    );
    ensure!(
        stored.records == records.digest(),
        "{}: codes of other records than the run's, or in another order: write them again with `party encode`",
        file.display()
    );
    Ok(stored.table)
}

/// Those of `rows` whose codes are all there; says how many are not.
fn known(parties: &[PartyName], tables: &[CodeTable], rows: &[u32]) -> anyhow::Result<Vec<u32>> {
    for (party, table) in parties.iter().zip(tables) {
        let any = rows.is_empty() || rows.iter().any(|row| table.knows(*row));
        ensure!(any, "no codes of {party}'s {} records are stored", rows.len());
    }
    let known = |row: &u32| tables.iter().all(|table| table.knows(*row));
    let known: Vec<u32> = rows.iter().copied().filter(known).collect();
    let missing = rows.len() - known.len();
    ensure!(rows.is_empty() || !known.is_empty(), "codes of all {missing} records are missing");
    if missing > 0 {
        warn!("{missing} of {} records have no codes (erased, or never sent) and are excluded", rows.len());
    }
    Ok(known)
}

fn gather(tables: &[CodeTable], rows: &[u32]) -> Vec<Vec<f32>> {
    // Unwrap safety: only rows that `known` has looked at come here.
    tables.iter().map(|table| table.signs(rows).expect("a known row")).collect()
}
