//! The party's config file.

use std::num::NonZeroU32;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail, ensure};
use hashvfl_alignment::AlignmentConfig;
use hashvfl_audit::{AuditConfig, AuditTrail, Side};
use hashvfl_cli::OnInterruption;
use hashvfl_cli::config::PARTY_PRESETS;
use hashvfl_cli::encryption::EncryptionConfig;
use hashvfl_core::p_value::Grid;
use hashvfl_core::{Address, CodeForm, PartyName, RunId, RunSettings};
use hashvfl_data::{ColumnsSource, Faulty, Missing, Preprocessing, Treatment, Types, Unseen};
use hashvfl_files::check_paths;
use hashvfl_identity::{IdentityConfig, identity_or_plaintext};
use hashvfl_learning::device::DeviceChoice;
use hashvfl_learning::{EncoderConfig, Snapshot};
use hashvfl_monitor::{AddressRange, Board, BoardConfig, MonitorAddress, Status};
use serde::Deserialize;

use crate::detectors::config::DetectorsConfig;

mod on_alarm;
mod places;

pub use on_alarm::OnAlarm;

/// Threads that compute, at most: more than any machine has cores.
const MOST_THREADS: usize = 1024;

/// What `party.toml` holds. Unknown keys are refused; relative paths start at the file's folder.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PartyConfig {
    /// This party's name, one of `run.parties`.
    pub name: PartyName,
    /// The run to join.
    pub run_id: RunId,
    /// Where the coordinator listens: `http://HOST:PORT`.
    pub coordinator: Address,
    /// Folder for checkpoints and the trained model.
    pub state: PathBuf,
    /// The ledger of what was released of each record: one file for all runs about these records, outside `state`.
    #[serde(default = "default_ledger")]
    pub ledger: PathBuf,
    /// The policy that bounds what is released; absent: all is counted and nothing refused.
    #[serde(default)]
    pub policy: Option<PathBuf>,
    /// Where this side's audit trail is.
    #[serde(default)]
    pub audit: AuditConfig,
    /// Where the key is with which state folder, ledger and `response_key` are encrypted; absent: they are in plain text.
    #[serde(default)]
    pub encryption: Option<EncryptionConfig>,
    /// Number of passes over the records that one durable write of the ledger reserves; if the process is killed, at most
    /// that many are counted without having been sent.
    #[serde(default = "default_passes_ahead")]
    pub passes_ahead: NonZeroU32,
    /// Which device computes.
    #[serde(default)]
    pub device: DeviceChoice,
    /// Threads that compute on the CPU; 0: one for an mlp, which is fastest so, all cores for an image model.
    #[serde(default)]
    pub threads: usize,
    /// Seed of this party's weights and noise. Keep it secret: who knows it knows the first weights. Absent:
    /// drawn anew for each run.
    #[serde(default)]
    pub seed: Option<u64>,
    /// Whether to keep the codes that were sent and the gradients that came, in `transcript.parquet`: what this party
    /// could learn of labels is measured on it.
    #[serde(default)]
    pub transcript: bool,
    /// Days after which `party erase` and `party encode` remove the transcript; absent: it is kept.
    #[serde(default)]
    pub transcript_days: Option<u32>,
    /// What happens when gradients look like a hijacker's.
    #[serde(default)]
    pub on_alarm: OnAlarm,
    /// What follows when another side's process has died, or cannot be reached any more, while a run goes on.
    #[serde(default)]
    pub on_interruption: OnInterruption,
    /// The key of randomised response, where the run has it: drawn on first use, and to be kept.
    #[serde(default = "response_key")]
    pub response_key: PathBuf,
    /// What happens to columns first, fitted on training records.
    #[serde(default)]
    pub preprocessing: Preprocessing,
    /// Standardised values beyond this many standard deviations are cut off there.
    #[serde(default)]
    pub clip: Option<f32>,
    /// Private alignment of records, for `party align`.
    #[serde(default)]
    pub alignment: Option<AlignmentConfig>,
    /// Values beyond this quantile of training records, or its complement, are cut off there before that.
    #[serde(default)]
    pub clip_quantile: Option<f64>,
    /// Texts that stand for a missing value, in addition to an empty cell.
    #[serde(default)]
    pub null_values: Vec<String>,
    /// What a missing value is.
    #[serde(default)]
    pub missing: Missing,
    /// What becomes of a category, or a missing value, that no training record had.
    #[serde(default)]
    pub unseen: Unseen,
    /// Types of columns; those that are not named get theirs from their first value.
    #[serde(default)]
    pub types: Types,
    /// A file on this disk that holds the table, for more rows than memory does; absent: the table is held in memory.
    #[serde(default)]
    pub cache: Option<PathBuf>,
    /// The agreed order of records; absent: that of the table.
    #[serde(default)]
    pub order: Option<PathBuf>,
    /// Who this party is, and whose certificates it accepts; absent: the files in the folder `identity`. `None` once it is read:
    /// plain text is meant.
    #[serde(default)]
    pub identity: Option<IdentityConfig>,
    /// Whether connections are in plain text, which is allowed only on one machine.
    #[serde(default)]
    pub insecure_plaintext: bool,
    /// Where the running process reports its status: `unix:PATH` or `ADDRESS:PORT`; absent: nowhere.
    #[serde(default)]
    pub monitor: Option<MonitorAddress>,
    /// Who may read it there beside this machine: addresses and networks. Only for an address of TCP.
    #[serde(default)]
    pub monitor_readers: Vec<AddressRange>,
    /// Limits of every wait.
    #[serde(default)]
    pub timeouts: Timeouts,
    /// The agreed settings, equal at all organisations.
    pub run: RunSettings,
    /// Where the columns are.
    pub columns: ColumnsSource,
    /// The bottom model, hash layer and optimiser: this party's own business.
    #[serde(default)]
    pub encoder: EncoderConfig,
    /// What `party serve` serves.
    #[serde(default)]
    pub serve: ServeConfig,
    /// This party's own detectors of abnormal inputs; absent: it fits none.
    #[serde(default)]
    pub detectors: Option<DetectorsConfig>,
}

/// What `party serve` serves.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ServeConfig {
    /// The columns of the records to predict; absent: those of the training table, in `order`.
    pub columns: Option<ColumnsSource>,
    /// The order of their records that holders agreed on; absent: that of the table `columns`.
    pub order: Option<PathBuf>,
}

/// Limits of waits, in seconds.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Timeouts {
    /// For the coordinator to be there.
    pub connect_s: u64,
    /// For all parties to join; in an alignment, for another holder.
    pub start_s: u64,
    /// For the coordinator's next request.
    pub step_s: u64,
    /// To come back to a run after the connection broke.
    pub reconnect_s: u64,
    /// For anything from a connection until it is asked for a sign of life; after as long again it counts as broken.
    pub keep_alive_s: u64,
}

fn response_key() -> PathBuf {
    "response.key".into()
}

impl Default for Timeouts {
    fn default() -> Self {
        Self { connect_s: 120, start_s: 3600, step_s: 600, reconnect_s: 900, keep_alive_s: 20 }
    }
}

fn default_passes_ahead() -> NonZeroU32 {
    NonZeroU32::MIN.saturating_add(3)
}

fn default_ledger() -> PathBuf {
    PathBuf::from("ledger.redb")
}

/// Where records are.
#[derive(Debug)]
pub struct Source<'a> {
    /// The table.
    pub columns: &'a ColumnsSource,
    /// The order that holders agreed on.
    pub order: Option<&'a Path>,
    /// The file that holds the table beside memory.
    pub cache: Option<PathBuf>,
}

impl PartyConfig {
    /// Reads and checks a config file.
    pub fn read(path: &Path) -> anyhow::Result<Self> {
        hashvfl_cli::config::read(path, Self::parse)
    }

    /// Whose audit trail it is.
    pub fn side(&self) -> Side {
        Side::Party(self.name.clone())
    }

    /// Opens this side's audit trail, which hears of the policy if it has changed.
    ///
    /// # Errors
    /// If it cannot be read or written, or somebody changed it.
    pub fn audit_trail(&self) -> anyhow::Result<AuditTrail> {
        let trail = AuditTrail::open(&self.audit, self.side(), &self.run_id, self.policy.as_deref())?;
        let identity = self.identity.as_ref();
        let coordinator = identity.and_then(|identity| identity.coordinator.clone());
        Ok(trail.signed_by(identity.and_then(IdentityConfig::signer)).coordinated_by(coordinator))
    }

    /// Where a process of this config writes down how it is.
    ///
    /// # Errors
    /// If nobody can listen at `monitor`.
    pub fn board(&self) -> anyhow::Result<Board> {
        let shown = BoardConfig {
            address: self.monitor.clone(),
            readers: self.monitor_readers.clone(),
            audit_log: self.audit.enabled.then(|| self.audit.log()),
            identity: self.identity.clone(),
            runs: None,
            privacy_report: None,
        };
        Board::open(shown, Status::new(self.name.as_str(), self.run_id.clone()))
    }

    /// Where the transcript is kept.
    pub fn transcript_path(&self) -> PathBuf {
        self.state.join("transcript.parquet")
    }

    /// Where the trained model is kept.
    pub fn model_path(&self) -> PathBuf {
        self.state.join("bottom.safetensors")
    }

    /// Where it is kept which records the run was about.
    pub fn records_path(&self) -> PathBuf {
        self.state.join("records.hashvfl")
    }

    /// Where this party's detectors are kept.
    pub fn detectors_path(&self) -> PathBuf {
        self.state.join("detectors.hashvfl")
    }

    /// Where it is kept what left in training of the records by which codes are checked.
    pub fn released_path(&self) -> PathBuf {
        self.state.join("released.safetensors")
    }

    /// What this party's codes are made of.
    pub fn code_form(&self) -> CodeForm {
        self.run.code_of(&self.name)
    }

    /// Bits that leave beside a record's code.
    pub fn p_value_bits(&self) -> usize {
        self.detectors.as_ref().and_then(DetectorsConfig::grid).map_or(0, Grid::bits)
    }

    /// The trained model.
    pub fn read_model(&self) -> anyhow::Result<Snapshot> {
        let path = self.model_path();
        ensure!(
            path.exists(),
            "{} does not exist: the party writes its model when a run finishes",
            path.display()
        );
        Ok(Snapshot::read(&path)?)
    }

    /// The records of the training.
    pub fn trained_on(&self) -> Source<'_> {
        Source { columns: &self.columns, order: self.order.as_deref(), cache: self.cache.clone() }
    }

    /// The records that `party serve` serves.
    pub fn served(&self) -> Source<'_> {
        let Some(columns) = &self.serve.columns else { return self.trained_on() };
        // The training's cache stays what it is.
        let cache = self.cache.as_ref().map(|cache| hashvfl_data::beside(cache, ".served"));
        Source { columns, order: self.serve.order.as_deref(), cache }
    }

    /// What becomes of a served record with a cell that cannot be used. With randomised response it is answered like any
    /// other one: a refusal would tell that its columns are such.
    pub fn faulty_served(&self) -> Faulty {
        if self.run.randomised_response.is_some() { Faulty::Fill } else { Faulty::Mark }
    }

    /// The order of the training's records, where their alignment is to write it yet.
    pub fn awaited_order(&self) -> Option<&Path> {
        self.alignment.as_ref()?.awaited(self.order.as_deref())
    }

    /// The order of the served records, where their alignment is to write it yet.
    pub fn awaited_served_order(&self) -> Option<&Path> {
        self.alignment.as_ref()?.awaited_served(self.serve.order.as_deref())
    }

    /// What is done to columns on their way to numbers.
    pub fn treatment(&self) -> Treatment {
        Treatment {
            preprocessing: self.preprocessing,
            clip: self.clip,
            clip_quantile: self.clip_quantile,
            null_values: self.null_values.clone(),
            missing: self.missing,
            unseen: self.unseen,
            types: self.types.clone(),
            faulty: Faulty::Refuse,
        }
    }

    /// Parses a config whose relative paths start at `folder`.
    pub fn parse(text: &str, folder: &Path) -> anyhow::Result<Self> {
        let mut config: Self = hashvfl_cli::config::parse(text, &PARTY_PRESETS)?;
        config.columns.resolve(folder);
        if let Some(columns) = &mut config.serve.columns {
            columns.resolve(folder);
        }
        config.serve.order = config.serve.order.map(|order| folder.join(order));
        ensure!(
            config.serve.order.is_none() || config.serve.columns.is_some(),
            "serve.order is the order of the records of serve.columns, which is absent: name the table"
        );
        config.state = folder.join(&config.state);
        if let Some(monitor) = &mut config.monitor {
            monitor.resolve(folder);
        }
        config.response_key = folder.join(&config.response_key);
        config.ledger = folder.join(&config.ledger);
        config.policy = config.policy.map(|policy| folder.join(policy));
        config.order = config.order.map(|order| folder.join(order));
        config.cache = config.cache.map(|cache| folder.join(cache));
        ensure!(
            !config.ledger.starts_with(&config.state),
            "ledger = {:?} is inside the state folder, but must outlive every run: choose a path outside it",
            config.ledger
        );
        config.audit.resolve(folder, &config.ledger, &config.state)?;
        let is_loopback = config.coordinator.is_loopback();
        config.identity = identity_or_plaintext(config.identity, config.insecure_plaintext, is_loopback)
            .map_err(anyhow::Error::msg)?
            .map(|identity| identity.resolve(folder));
        config.run.check()?;
        check_paths(&config.places(folder))?;
        config.protect(folder)?;
        if let Some(alignment) = &mut config.alignment {
            alignment.resolve(folder);
            alignment.check(config.columns.ids().key_columns()).context("in [alignment]")?;
            ensure!(
                alignment.settings.holders.contains(&config.name),
                "name = \"{}\" is not among alignment.settings.holders",
                config.name
            );
            ensure!(
                config.policy.is_some(),
                "[alignment]: {} needs a `policy`, a file that pins the keys of the other holders (docs/how-to/align-records.md)",
                config.name
            );
        }
        if !config.run.parties.contains(&config.name) {
            bail!("name = \"{}\" is not among run.parties", config.name);
        }
        ensure!(config.threads <= MOST_THREADS, "threads must be 0 to {MOST_THREADS}");
        config.encoder.check().context("in [encoder]")?;
        config.detectors.as_ref().map_or(Ok(()), DetectorsConfig::check).context("in [detectors]")?;
        let Timeouts { connect_s, start_s, step_s, reconnect_s, keep_alive_s } = config.timeouts;
        let limits = [connect_s, start_s, step_s, reconnect_s, keep_alive_s];
        ensure!(limits.iter().all(|limit| *limit > 0), "[timeouts]: every value must be 1 s or more");
        Ok(config)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SMALL: &str = r#"
        name = "bank"
        run_id = "r"
        coordinator = "http://127.0.0.1:1"
        state = "state"
        run = { parties = ["bank"], task = "binary", bits = 16, epochs = 3 }
        columns = { format = "csv", paths = ["a.csv"], id = "id" }
    "#;

    #[test]
    fn a_small_config_and_what_is_refused() {
        let config = PartyConfig::parse(SMALL, Path::new("/somewhere")).unwrap();
        assert_eq!(config.state, Path::new("/somewhere/state"));
        assert_eq!((config.ledger, config.policy), (PathBuf::from("/somewhere/ledger.redb"), None));
        let refused = |text: &str| format!("{:#}", PartyConfig::parse(text, Path::new(".")).unwrap_err());
        let unknown = refused(&SMALL.replace("run_id", "nonsense = 1\nrun_id"));
        assert!(unknown.contains("unknown field `nonsense`") && unknown.contains("line 3"), "{unknown}");
        assert!(!unknown.contains('\n'), "{unknown}");
        assert!(
            refused(&SMALL.replace("bits = 16", "bits = 0")).contains("run.bits must be 1 to 1024, not 0")
        );
        let address = |address: &str| refused(&SMALL.replace("http://127.0.0.1:1", address));
        for (bad, expected) in [
            ("http://user:secret@127.0.0.1:9", "without a user or password"),
            ("http://127.0.0.1:99999", "a port from 1 to 65535"),
            ("http://::1:7433", "in brackets"),
            ("secret:7433", "expected http://HOST:PORT"),
        ] {
            let error = address(bad);
            assert!(error.contains(expected) && !error.contains("secret"), "{error}");
        }
        assert!(refused(&SMALL.replace("\"bank\"\n", "\"bnak\"\n")).contains("not among run.parties"));
        let inside = refused(&SMALL.replace("state = ", "ledger = \"state/ledger.redb\"\nstate = "));
        assert!(inside.contains("is inside the state folder"), "{inside}");
        assert!(refused(&SMALL.replace("state = ", "dropuot = 1\nstate = ")).contains("dropuot"));
        let detectors = |text: &str| SMALL.replace("run = ", &format!("detectors = {text}\nrun = "));
        let parsed = |text| PartyConfig::parse(&detectors(text), Path::new(".")).unwrap();
        assert_eq!((config_bits(SMALL), parsed("{}").p_value_bits()), (0, 0), "off by default");
        assert_eq!(parsed("{ send = \"flag\" }").p_value_bits(), 1);
        assert_eq!(parsed("{ send = \"p_value\" }").p_value_bits(), 4);
        assert!(refused(&detectors("{ send = \"columns\" }")).contains("unknown variant `columns`"));
        assert!(refused(&detectors("{ level = 1e-9 }")).contains("in [detectors]: level must be"));
        assert!(refused(&detectors("{ kinds = [] }")).contains("in [detectors]: kinds must name"));
    }

    fn config_bits(text: &str) -> usize {
        PartyConfig::parse(text, Path::new(".")).unwrap().p_value_bits()
    }

    #[test]
    fn the_sample_in_the_docs_is_a_config() {
        let docs = include_str!("../../docs/reference/config.md");
        let start = docs.find("```toml\n# party.toml").expect("a sample in docs/reference/config.md") + 8;
        let sample = &docs[start..start + docs[start..].find("```").unwrap()];
        PartyConfig::parse(sample, Path::new(".")).unwrap();
    }
}
