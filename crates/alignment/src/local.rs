//! A holder's side of an alignment from its config to its order: the one way that every role goes.

use std::path::{Path, PathBuf};
use std::time::Duration;

use hashvfl_core::{PartyName, RunId, text};
use hashvfl_ledger::{Policy, RedbStore, count_alignment};
use serde::Deserialize;

use crate::error::AlignmentError;
use crate::identity::{PublicKey, SecretKey};
use crate::protocol::holder::{AlignmentProgress, Holder, HolderLimits};
use crate::protocol::relay::Relay;
use crate::settings::AlignmentSettings;
use crate::storage::first_files::SERVED;
use crate::storage::folder::{AlignmentFolder, AlignmentResult};
use crate::storage::spool::Spool;

/// Memory for sorting: what does not fit is merged on disk. Thirty million ids need no more
/// (docs/reference/benchmarks.md).
const MEMORY_BYTES: usize = 64 << 20;

/// The `[alignment]` table of a config.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AlignmentConfig {
    /// Folder of this alignment, and of nothing else.
    pub folder: PathBuf,
    /// This holder's secret key.
    pub key: PathBuf,
    /// Its name among `settings.holders`, where the config has no other.
    #[serde(default)]
    pub name: Option<PartyName>,
    /// The agreed settings, equal at all holders.
    pub settings: AlignmentSettings,
}

impl AlignmentConfig {
    /// Makes relative paths start at `folder`.
    pub fn resolve(&mut self, folder: &Path) {
        self.folder = folder.join(&self.folder);
        self.key = folder.join(&self.key);
    }

    /// Checks every value. `key_columns`: how many columns of this holder's table are an id.
    ///
    /// # Errors
    /// When one is out of its range, or others agreed on another number of columns.
    pub fn check(&self, key_columns: usize) -> Result<(), AlignmentError> {
        let bad = |text: &str| Err(AlignmentError::Settings(text.to_string()));
        if self.settings.key_columns != key_columns {
            return bad(&format!(
                "alignment.settings.key_columns is {}, but this holder's `id` names {}: list as many columns as all \
                 holders agreed on, in the same order",
                self.settings.key_columns,
                text::counted(key_columns, "column")
            ));
        }
        self.settings.check()
    }

    /// The same for the records that are served, which are aligned in a folder and under an id of their own.
    ///
    /// # Errors
    /// If the id is too long to have another one made of it.
    pub fn served(&self) -> Result<Self, AlignmentError> {
        let mut folder = self.folder.clone().into_os_string();
        folder.push(SERVED);
        let too_long = |_| {
            AlignmentError::Settings(format!(
                "alignment.settings.id is too long: it must leave room for {SERVED:?} at its end"
            ))
        };
        let id = RunId::new(format!("{}{SERVED}", self.settings.id)).map_err(too_long)?;
        Ok(Self {
            folder: folder.into(),
            settings: AlignmentSettings { id, ..self.settings.clone() },
            ..self.clone()
        })
    }

    /// The order that comes of it.
    pub fn order(&self) -> PathBuf {
        self.folder.join("order.csv")
    }

    /// `order`, where it is the one that this alignment is to write yet.
    pub fn awaited<'a>(&self, order: Option<&'a Path>) -> Option<&'a Path> {
        order.filter(|order| *order == self.order() && !order.exists())
    }

    /// The same for the alignment of the records that are served.
    pub fn awaited_served<'a>(&self, order: Option<&'a Path>) -> Option<&'a Path> {
        self.served().ok()?.awaited(order)
    }

    /// Whether the other holders have to be told that this one has failed with `error`: they wait for it, and do not know yet.
    pub fn concerns_others(&self, error: &anyhow::Error) -> bool {
        let is_known = matches!(
            error.downcast_ref(),
            Some(AlignmentError::Stopped { .. } | AlignmentError::Relay(_) | AlignmentError::AskedToEnd)
        );
        // Nobody needs anything of one that is through.
        !is_known && !self.folder.join("finished").exists()
    }

    /// Whether all files are there that the alignment of the holder `name` needs, and fit; writes nothing. The other
    /// holders whose keys are not pinned yet.
    ///
    /// # Errors
    /// If one is missing or does not fit.
    pub fn check_files(&self, name: &PartyName, policy: &Policy) -> Result<Vec<PartyName>, AlignmentError> {
        let own = SecretKey::read(&self.key)?.public();
        AlignmentFolder::check(&self.folder, &self.settings)?;
        let mut missing = Vec::new();
        for other in self.settings.holders.iter().filter(|holder| *holder != name) {
            match pinned(policy, other) {
                Some(key) if key == own => return Err(AlignmentError::OwnKey(other.clone())),
                Some(_) => {}
                None => missing.push(other.clone()),
            }
        }
        Ok(missing)
    }

    /// What a person is to do before the records of the holder `name` are aligned, and to align them where `order` is awaited: with
    /// commands of `program`, whose config is at `path`.
    ///
    /// # Errors
    /// As [`Self::check_files`].
    pub fn to_do(
        &self,
        name: &PartyName,
        policy: &Policy,
        program: &str,
        path: &Path,
        order: Option<&Path>,
    ) -> Result<Vec<String>, AlignmentError> {
        let (mut to_do, config) = (Vec::new(), path.display());
        let missing = self.check_files(name, policy)?;
        if !missing.is_empty() {
            let pins: Vec<String> = missing.iter().map(|holder| format!("{holder}=KEY")).collect();
            let pins = pins.join(" ");
            to_do.push(format!(
                "pin the public keys of the other holders: `{program} pin --config {config} {pins}`"
            ));
        }
        if let Some(order) = order {
            let order = order.display();
            to_do.push(format!(
                "align the records, which writes {order}: `{program} align --config {config}`"
            ));
        }
        Ok(to_do)
    }
}

/// The pinned key of another holder.
fn pinned(policy: &Policy, holder: &PartyName) -> Option<PublicKey> {
    policy.alignment.keys.get(holder.as_str()).and_then(|key| PublicKey::from_hex(key))
}

/// What a role brings.
pub struct Owner<'a> {
    /// How many columns of its table are a record's id.
    pub key_columns: usize,
    /// Hands the id of every record of its table to the spool and finishes it.
    pub read: &'a dyn Fn(Spool<'_>) -> anyhow::Result<()>,
    /// Its ledger, made if need be.
    pub ledger: &'a Path,
    /// Its policy: how many alignments, and the others' keys.
    pub policy: &'a Policy,
    /// Longest wait for another holder.
    pub wait: Duration,
}

impl Owner<'_> {
    /// Counts the alignment `id` of so many records before anything leaves.
    fn charge(&self, id: &str, records: u64) -> anyhow::Result<()> {
        let mut store = RedbStore::open_or_create(self.ledger)?;
        Ok(count_alignment(&mut store, self.policy, id, records as usize)?)
    }
}

/// Aligns, or continues what an earlier call began; `join` is called when all is ready to talk. A holder that has already
/// finished returns its result without contacting the relay.
///
/// # Errors
/// When anything fails; what is in the folder stays there, and the same call goes on with it.
pub fn align<R: Relay>(
    config: &AlignmentConfig,
    name: &PartyName,
    owner: &Owner,
    join: impl FnOnce() -> anyhow::Result<R>,
    tell: &mut dyn FnMut(AlignmentProgress),
) -> anyhow::Result<AlignmentResult> {
    config.check(owner.key_columns)?;
    let settings = &config.settings;
    // Before anything is read, counted or told: without a key of each of them nobody can be talked to.
    if let Some(missing) = config.check_files(name, owner.policy)?.into_iter().next() {
        return Err(AlignmentError::NotPinned(missing).into());
    }
    let key = SecretKey::read(&config.key)?;
    let folder = AlignmentFolder::open(&config.folder, settings)?;
    if folder.outcome()?.is_none() && !folder.has_begun() {
        (owner.read)(Spool::new(&folder, settings, MEMORY_BYTES)?)?;
        owner.charge(settings.id.as_str(), folder.records()?)?;
        folder.begin()?;
    }
    let pinned = |holder: &PartyName| pinned(owner.policy, holder);
    let limits = HolderLimits { wait: owner.wait, memory_bytes: MEMORY_BYTES };
    let outcome = match (join(), folder.outcome()?) {
        (Ok(relay), _) => Holder::new(settings, name, &folder, &key, &pinned, relay, limits)?.run(tell)?,
        // Killed when it was through: it needs nobody any more, and without a relay nobody asks for it.
        (Err(_), Some(outcome)) => {
            folder.destroy()?;
            outcome
        }
        (Err(error), None) => return Err(error),
    };
    let least = owner.policy.alignment.least_common.max(1);
    if outcome.common < least {
        folder.forget_order(least)?;
        return Err(AlignmentError::TooFew { common: outcome.common, least }.into());
    }
    Ok(outcome)
}
