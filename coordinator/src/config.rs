//! The coordinator's config file.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, ensure};
use hashvfl_alignment::AlignmentConfig;
use hashvfl_audit::{AuditConfig, AuditTrail, Side};
use hashvfl_cli::OnInterruption;
use hashvfl_cli::config::COORDINATOR_PRESETS;
use hashvfl_cli::encryption::EncryptionConfig;
use hashvfl_core::{RunId, RunSettings};
use hashvfl_data::{IdsSource, LabelsSource};
use hashvfl_files::check_paths;
use hashvfl_identity::{IdentityConfig, identity_or_plaintext};
use hashvfl_learning::TopConfig;
use hashvfl_learning::device::DeviceChoice;
use hashvfl_monitor::{AddressRange, Board, BoardConfig, MonitorAddress, Status};
use hashvfl_transport::dial::greeting_limit;
use hashvfl_transport::limits::ListenLimits;
use serde::Deserialize;
use serde::de::{self, Deserializer};

use crate::detectors::DetectorsConfig;
use crate::relay::FRAME_BYTES;

mod places;
mod screening;
mod timeouts;

pub use screening::ScreeningConfig;
pub use timeouts::Timeouts;

/// What `coordinator.toml` holds. Unknown keys are refused; relative paths start at the file's folder.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CoordinatorConfig {
    /// The run.
    pub run_id: RunId,
    /// Where to listen for parties, `address:port`.
    #[serde(deserialize_with = "listen")]
    pub listen: SocketAddr,
    /// Folder for the top model, codes, metrics and transcript.
    pub state: PathBuf,
    /// The ledger of what left that depends on labels: one file for all runs about them, outside `state`.
    #[serde(default = "default_ledger")]
    pub ledger: PathBuf,
    /// Where this side's audit trail is.
    #[serde(default)]
    pub audit: AuditConfig,
    /// Where the key is with which state folder and ledger are encrypted; absent: they are in plain text.
    #[serde(default)]
    pub encryption: Option<EncryptionConfig>,
    /// The agreed order of records; absent: that of the labels.
    #[serde(default)]
    pub order: Option<PathBuf>,
    /// Which device computes.
    #[serde(default)]
    pub device: DeviceChoice,
    /// Seed of the top model's weights.
    #[serde(default)]
    pub seed: u64,
    /// Whether to keep all codes ever received, in `transcript.parquet`. They are as private as columns.
    #[serde(default)]
    pub transcript: bool,
    /// Days after which `coordinator erase` and `coordinator evaluate` remove the transcript; absent: it is kept.
    #[serde(default)]
    pub transcript_days: Option<u32>,
    /// Private alignment of records, for `coordinator align`.
    #[serde(default)]
    pub alignment: Option<AlignmentConfig>,
    /// The policy that bounds alignments and pins the other holders' keys.
    #[serde(default)]
    pub policy: Option<PathBuf>,
    /// Who may do what; absent: the run's parties and every client with a certificate everything.
    #[serde(default)]
    pub permissions: Option<PathBuf>,
    /// Who the coordinator is, and whose certificates it accepts; absent: the files in the folder `identity`. `None` once it is
    /// read: plain text is meant.
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
    /// The file that lists finished runs; absent: beside the ledger, under the ledger's name with the ending `runs.jsonl`.
    #[serde(default)]
    pub runs: PathBuf,
    /// A privacy report to be read there as well: the `report.html` of `attack run`.
    #[serde(default)]
    pub privacy_report: Option<PathBuf>,
    /// Seconds after which another checkpoint is written, between batches too, from which a run goes on when processes have
    /// died; 0: one at the end of each epoch.
    #[serde(default = "default_checkpoint_every_s")]
    pub checkpoint_every_s: u64,
    /// What follows when a party's process has died, or cannot be reached any more, while a run goes on.
    #[serde(default)]
    pub on_interruption: OnInterruption,
    /// Limits of every wait.
    #[serde(default)]
    pub timeouts: Timeouts,
    /// Limits on the resources that anyone who can reach the port can make the coordinator use.
    #[serde(default)]
    pub limits: LimitsConfig,
    /// The agreed settings, equal at all organisations.
    pub run: RunSettings,
    /// Where the labels are.
    pub labels: LabelsSource,
    /// The top model, its loss and optimiser.
    #[serde(default)]
    pub top: TopConfig,
    /// What `coordinator serve` serves.
    #[serde(default)]
    pub serve: ServeConfig,
    /// Detectors of abnormal inputs, where `run.calibration_fraction` is above 0.
    #[serde(default)]
    pub detectors: DetectorsConfig,
    /// Screening of training records; absent: none.
    #[serde(default)]
    pub screening: Option<ScreeningConfig>,
}

/// What `coordinator serve` serves.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ServeConfig {
    /// The ids of the aligned records, in the order in which all parties hold them; absent: those of `order`, or of
    /// the labels.
    pub records: Option<IdsSource>,
    /// The order of served records that holders agreed on, of `records` where these are named.
    pub order: Option<PathBuf>,
    /// What happens to records of which a party that is away has not sent the code yet.
    pub absent: OnAbsentParty,
    /// How long a request waits for a party that is there and silent, in seconds, before that counts as away; with
    /// `absent = "wait"` as well for one that is away.
    pub absent_timeout_s: u64,
}

impl Default for ServeConfig {
    fn default() -> Self {
        Self { records: None, order: None, absent: OnAbsentParty::Wait, absent_timeout_s: 30 }
    }
}

/// What happens while a party is away.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum OnAbsentParty {
    /// Requests wait for it, up to a limit, and are refused then.
    Wait,
    /// Its bits are left out.
    Mask,
    /// Requests are refused at once.
    Refuse,
}

/// What anybody who reaches the port can make the coordinator hold.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct LimitsConfig {
    /// Connections in all.
    pub connections: usize,
    /// Connections of one address.
    pub connections_per_address: usize,
    /// Longest time for a message to become complete, in seconds.
    pub message_s: u64,
}

impl Default for LimitsConfig {
    fn default() -> Self {
        Self { connections: 512, connections_per_address: 64, message_s: 60 }
    }
}

impl LimitsConfig {
    fn check(&self) -> anyhow::Result<()> {
        let Self { connections, connections_per_address, message_s } = *self;
        ensure!(
            connections > 0 && connections_per_address > 0 && message_s > 0,
            "[limits]: each must be 1 or more"
        );
        Ok(())
    }
}

fn listen<'de, D: Deserializer<'de>>(deserializer: D) -> Result<SocketAddr, D::Error> {
    let text = String::deserialize(deserializer)?;
    text.parse().map_err(|_| {
        de::Error::custom(
            "listen must be ADDRESS:PORT with a numeric address, not a host name, such as 127.0.0.1:7433, \
             0.0.0.0:7433 or [::]:7433",
        )
    })
}

fn default_checkpoint_every_s() -> u64 {
    10
}

fn default_ledger() -> PathBuf {
    PathBuf::from("label-ledger.redb")
}

impl CoordinatorConfig {
    /// Limits of a port where accepted peers send messages of up to so many bytes.
    pub fn listening(&self, message_bytes: usize) -> ListenLimits {
        let LimitsConfig { connections, connections_per_address, message_s } = self.limits;
        let (keep_alive, message) =
            (Duration::from_secs(self.timeouts.keep_alive_s), Duration::from_secs(message_s));
        let limits = ListenLimits {
            connections,
            connections_per_address,
            silence: greeting_limit(keep_alive).min(message),
            keep_alive,
            message,
            ..ListenLimits::default()
        };
        limits.with_window_for(message_bytes)
    }

    /// Limits of the relay's port.
    pub fn relaying(&self) -> ListenLimits {
        self.listening(4 * FRAME_BYTES)
    }

    /// Reads and checks a config file.
    pub fn read(path: &Path) -> anyhow::Result<Self> {
        hashvfl_cli::config::read(path, Self::parse)
    }

    /// Opens this side's audit trail, which hears of the policy if it has changed.
    ///
    /// # Errors
    /// If it cannot be read or written, or somebody changed it.
    pub fn audit_trail(&self) -> anyhow::Result<AuditTrail> {
        let trail = AuditTrail::open(&self.audit, Side::Coordinator, &self.run_id, self.policy.as_deref())?;
        Ok(trail.signed_by(self.identity.as_ref().and_then(IdentityConfig::signer)))
    }

    /// Where a process of this config writes down how it is, with an entry for each party.
    ///
    /// # Errors
    /// If nobody can listen at `monitor`.
    pub fn board(&self) -> anyhow::Result<Board> {
        let mut status = Status::new("coordinator", self.run_id.clone());
        for party in &self.run.parties {
            status.party(party);
        }
        let shown = BoardConfig {
            address: self.monitor.clone(),
            readers: self.monitor_readers.clone(),
            audit_log: self.audit.enabled.then(|| self.audit.log()),
            identity: self.identity.clone(),
            runs: Some(self.runs.clone()),
            privacy_report: self.privacy_report.clone(),
        };
        Board::open(shown, status)
    }

    /// What to tell when nobody can dial in at `listen`.
    pub fn cannot_listen(&self) -> String {
        format!(
            "cannot listen on {}: is another program using the port, and does the address belong to this machine?",
            self.listen
        )
    }

    /// The order of the training's records, where their alignment is to write it yet.
    pub fn awaited_order(&self) -> Option<&Path> {
        self.alignment.as_ref()?.awaited(self.order.as_deref())
    }

    /// The order of the served records, where their alignment is to write it yet.
    pub fn awaited_served_order(&self) -> Option<&Path> {
        self.alignment.as_ref()?.awaited_served(self.serve.order.as_deref())
    }

    /// Parses a config whose relative paths start at `folder`.
    pub fn parse(text: &str, folder: &Path) -> anyhow::Result<Self> {
        let mut config: Self = hashvfl_cli::config::parse(text, &COORDINATOR_PRESETS)?;
        config.labels.resolve(folder);
        if let Some(records) = &mut config.serve.records {
            records.resolve(folder);
        }
        config.serve.order = config.serve.order.map(|order| folder.join(order));
        config.state = folder.join(&config.state);
        config.ledger = folder.join(&config.ledger);
        config.runs = match config.runs.as_os_str().is_empty() {
            true => config.ledger.with_extension("runs.jsonl"),
            false => folder.join(&config.runs),
        };
        config.privacy_report = config.privacy_report.map(|report| folder.join(report));
        if let Some(monitor) = &mut config.monitor {
            monitor.resolve(folder);
        }
        config.order = config.order.map(|order| folder.join(order));
        ensure!(
            !config.ledger.starts_with(&config.state),
            "ledger = {:?} is inside the state folder, but must outlive every run: choose a path outside it",
            config.ledger
        );
        ensure!(
            !config.runs.starts_with(&config.state),
            "runs = {:?} is inside the state folder, but must outlive every run: choose a path outside it",
            config.runs
        );
        config.audit.resolve(folder, &config.ledger, &config.state)?;
        let is_loopback = config.listen.ip().is_loopback();
        config.identity = identity_or_plaintext(config.identity, config.insecure_plaintext, is_loopback)
            .map_err(anyhow::Error::msg)?
            .map(|identity| identity.listening().resolve(folder));
        config.permissions = config.permissions.map(|permissions| folder.join(permissions));
        ensure!(
            config.permissions.is_none() || config.identity.is_some(),
            "permissions: in plain text, names are not verified, so permissions cannot be enforced: create an \
             identity (docs/how-to/identities.md)"
        );
        config.run.check()?;
        check_paths(&config.places(folder))?;
        config.protect(folder)?;
        config.policy = config.policy.map(|policy| folder.join(policy));
        if let Some(alignment) = &mut config.alignment {
            alignment.resolve(folder);
            alignment.check(config.labels.ids().key_columns()).context("in [alignment]")?;
            ensure!(
                alignment.name.as_ref().is_some_and(|name| alignment.settings.holders.contains(name)),
                "[alignment] name must be one of alignment.settings.holders: the label holder's"
            );
            ensure!(
                config.policy.is_some(),
                "[alignment]: the coordinator needs a `policy`, a file that pins the keys of the other holders \
                 (docs/how-to/align-records.md)"
            );
        }
        config.check()?;
        Ok(config)
    }

    /// Checks what needs no file: settings of the top model, detectors, screening, serving, limits and waits.
    fn check(&self) -> anyhow::Result<()> {
        self.top.check().context("in [top]")?;
        ensure!(
            self.top.loss.distillation == 0.0 || self.run.cycles > 1,
            "top.loss.distillation needs an earlier cycle to learn from: set run.cycles to 2 or more, or remove it"
        );
        ensure!(
            self.top.loss.consistency == 0.0 || (self.run.bits_per_latent == 1 && self.run.codes.is_empty()),
            "top.loss.consistency needs codes of signs of one length at all parties: set it to 0, or on all sides set \
             run.bits_per_latent (now {}) to 1 and remove run.codes",
            self.run.bits_per_latent
        );
        self.detectors.check().context("in [detectors]")?;
        if let Some(screening) = &self.screening {
            screening.check(self.run.epochs).context("in [screening]")?;
        }
        ensure!(self.serve.absent_timeout_s > 0, "serve.absent_timeout_s must be 1 or more");
        self.limits.check()?;
        self.timeouts.check()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SMALL: &str = r#"
        run_id = "r"
        listen = "127.0.0.1:0"
        state = "state"
        run = { parties = ["bank"], task = "binary", bits = 16, epochs = 3 }
        labels = { format = "csv", paths = ["a.csv"], id = "id", column = "y" }
    "#;

    #[test]
    fn a_small_config_and_what_is_refused() {
        let config = CoordinatorConfig::parse(SMALL, Path::new("/somewhere")).unwrap();
        assert_eq!(config.state, Path::new("/somewhere/state"));
        let refused =
            |text: &str| format!("{:#}", CoordinatorConfig::parse(text, Path::new(".")).unwrap_err());
        let unknown = refused(&SMALL.replace("state = ", "nonsense = 1\nstate = "));
        assert!(unknown.contains("unknown field `nonsense`") && unknown.contains("line 4"), "{unknown}");
        assert!(refused(&SMALL.replace("epochs = 3", "epochs = 0")).contains("run.epochs must be"));
        assert!(
            refused(&format!("{SMALL}\ntop = {{ dropout = 1.5 }}")).contains("in [top]: dropout must be")
        );
        let distilled = format!("{SMALL}\ntop = {{ loss = {{ distillation = 0.8 }} }}");
        assert!(refused(&distilled).contains("set run.cycles to 2 or more"));
        let cycles = distilled.replace("epochs = 3", "epochs = 4, cycles = 2");
        assert!(CoordinatorConfig::parse(&cycles, Path::new(".")).is_ok());
        assert!(refused(&cycles.replace("cycles = 2", "cycles = 3")).contains("a divisor of run.epochs, 4"));
        let levels = SMALL.replace("bits = 16", "bits = 16, bits_per_latent = 4");
        assert!(CoordinatorConfig::parse(&levels, Path::new(".")).is_ok());
        let drawn = refused(&format!("{levels}\ntop = {{ loss = {{ consistency = 0.1 }} }}"));
        assert!(
            drawn.contains("set it to 0, or on all sides set run.bits_per_latent (now 4) to 1"),
            "{drawn}"
        );
        let uneven = refused(&levels.replace("bits_per_latent = 4", "bits_per_latent = 3"));
        assert!(uneven.contains("run.bits_per_latent must be a divisor of run.bits, 16, not 3"), "{uneven}");
        for listen in ["nowhere", "localhost:7433", "127.0.0.1", "::1:7433:x", "http://127.0.0.1:7433"] {
            let error = refused(&SMALL.replace("127.0.0.1:0", listen));
            assert!(error.contains("such as 127.0.0.1:7433"), "{error}");
        }
        let screening = |text: &str| format!("{SMALL}\nscreening = {{ {text} }}");
        for (bad, expected) in [
            (
                "after_epochs = 3",
                "in [screening]: screening.after_epochs must be 1 or more and less than run.epochs = 3",
            ),
            ("after_epochs = 1, level = 1.0", "screening.level = 1"),
            ("after_epochs = 1, folds = 1", "screening.folds no longer exists"),
            ("after_epochs = 1, action = \"hide\"", "unknown variant `hide`"),
        ] {
            let error = refused(&screening(bad));
            assert!(error.contains(expected), "{error}");
        }
        let text = screening("action = \"down_weight\", after_epochs = 2");
        assert!(CoordinatorConfig::parse(&text, Path::new(".")).unwrap().screening.is_some());
    }

    #[test]
    fn a_connection_has_time_to_greet_where_the_network_is_slow() {
        let silence = |more: &str| {
            let config = CoordinatorConfig::parse(&format!("{SMALL}\n{more}"), Path::new(".")).unwrap();
            config.listening(0).silence.as_secs()
        };
        assert_eq!(silence(""), 10);
        assert_eq!(silence("timeouts = { keep_alive_s = 60 }"), 30);
        assert_eq!(silence("limits = { message_s = 2 }"), 2);
    }

    #[test]
    fn the_sample_in_the_docs_is_a_config() {
        let docs = include_str!("../../docs/reference/config.md");
        let start =
            docs.find("```toml\n# coordinator.toml").expect("a sample in docs/reference/config.md") + 8;
        let sample = &docs[start..start + docs[start..].find("```").unwrap()];
        CoordinatorConfig::parse(sample, Path::new(".")).unwrap();
    }
}
