//! The table `[encryption]` of a config file, and the subcommand `encryption`.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, bail, ensure};
use clap::{Args, Subcommand};
use hashvfl_core::text::counted;
use hashvfl_files::encryption::{EncryptionKey, decrypt, encrypt_blocks, encrypt_whole, protect};
use hashvfl_files::{FolderLock, say, write_readable};
use serde::Deserialize;

/// Where the key is with which this side's files are encrypted: one of both.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EncryptionConfig {
    /// A file of 64 hexadecimal digits that only its owner can read.
    #[serde(default)]
    key_file: Option<PathBuf>,
    /// A variable of the environment that holds them.
    #[serde(default)]
    key_variable: Option<String>,
}

/// The files of a side that are encrypted where it has a key.
#[derive(Debug, Clone)]
pub struct EncryptedPlaces {
    /// The state folder.
    pub state: PathBuf,
    /// Files in it that are not encrypted.
    pub readable: Vec<&'static str>,
    /// Files in it that an unfinished run leaves, and that only the run itself goes on with.
    pub growing: Vec<&'static str>,
    /// The ledger.
    pub ledger: PathBuf,
    /// Files elsewhere.
    pub others: Vec<PathBuf>,
}

impl EncryptionConfig {
    /// Reads the key, whose relative path starts at `folder`: from now on files in `places` are encrypted with it. Those of
    /// `outside`, each with its key in the config, must lie elsewhere: they are not encrypted.
    ///
    /// # Errors
    /// If there is no key, or something lies where it would be encrypted.
    pub fn protect(
        &mut self,
        folder: &Path,
        places: &EncryptedPlaces,
        outside: &[(&str, Option<&Path>)],
    ) -> anyhow::Result<()> {
        self.key_file = self.key_file.take().map(|file| folder.join(file));
        let key = match (&self.key_file, &self.key_variable) {
            (Some(file), None) => EncryptionKey::read(file)?,
            (None, Some(name)) => EncryptionKey::from_variable(name)?,
            _ => bail!("[encryption]: name one of key_file and key_variable"),
        };
        for (what, path) in [("encryption.key_file", self.key_file.as_deref())].iter().chain(outside) {
            if let Some(path) = path.filter(|path| path.starts_with(&places.state)) {
                bail!(
                    "{what} = {} is inside the state folder, whose files are encrypted, but this one is not: choose a \
                     path outside it",
                    path.display()
                );
            }
        }
        let key = Arc::new(key);
        for place in [&places.state, &places.ledger].into_iter().chain(&places.others) {
            protect(place, &key).with_context(|| format!("cannot resolve the path {}", place.display()))?;
        }
        Ok(())
    }
}

/// Where the key of an encrypted file is, for commands that read no config file.
#[derive(Debug, Args)]
pub struct KeyArguments {
    /// The file that holds the key with which it is encrypted.
    #[arg(long, value_name = "FILE", conflicts_with = "key_variable")]
    key_file: Option<PathBuf>,
    /// The variable of the environment that holds the key with which it is encrypted.
    #[arg(long, value_name = "NAME")]
    key_variable: Option<String>,
}

impl KeyArguments {
    /// The file at `path` is encrypted if a key is named.
    ///
    /// # Errors
    /// If there is no such key.
    pub fn unlock(&self, path: &Path) -> anyhow::Result<()> {
        let key = match (&self.key_file, &self.key_variable) {
            (Some(file), _) => EncryptionKey::read(file)?,
            (None, Some(name)) => EncryptionKey::from_variable(name)?,
            (None, None) => return Ok(()),
        };
        Ok(protect(path, &Arc::new(key))?)
    }
}

/// What `party encryption` and `coordinator encryption` do.
#[derive(Debug, Subcommand)]
pub enum EncryptionCommand {
    /// Create a key and write it to a file that only its owner can read.
    NewKey {
        /// The file to write; it must not exist.
        #[arg(value_name = "FILE")]
        file: PathBuf,
    },
    /// Encrypt the files that a config without `[encryption]` has left in plain text: the state folder of a finished run, and
    /// the ledger. If it is interrupted, run it again.
    Encrypt {
        /// The config file, with an `[encryption]` table.
        #[arg(long, value_name = "FILE")]
        config: PathBuf,
    },
    /// Write a decrypted copy of an encrypted file, such as a transcript, for other programs.
    Decrypt {
        /// The config file whose `[encryption]` table names the key.
        #[arg(long, value_name = "FILE")]
        config: PathBuf,
        /// The encrypted file.
        #[arg(long, value_name = "FILE")]
        file: PathBuf,
        /// The file to write; it must not exist.
        #[arg(long, value_name = "FILE")]
        out: PathBuf,
    },
}

impl EncryptionCommand {
    /// Does it; `places` reads a config file, and says what of it is encrypted: `None` where it has no `[encryption]`.
    ///
    /// # Errors
    /// If a file cannot be read or written, or a key is wrong. Files are whole then, each in the old form or the new one.
    pub fn run(&self, places: fn(&Path) -> anyhow::Result<Option<EncryptedPlaces>>) -> anyhow::Result<()> {
        let of = |config: &Path| {
            places(config)?.with_context(|| {
                format!("{} has no [encryption] table, which names the key", config.display())
            })
        };
        match self {
            Self::NewKey { file } => {
                EncryptionKey::draw(file)?;
                say!(
                    "{} written: name it in [encryption], and keep a copy elsewhere, since nothing that it encrypts can be read \
                     without it",
                    file.display()
                );
                Ok(())
            }
            Self::Encrypt { config } => encrypt(&of(config)?),
            Self::Decrypt { config, file, out } => {
                of(config)?;
                ensure!(!out.exists(), "{} already exists: choose another file with --out", out.display());
                let content = decrypt(file).with_context(|| format!("cannot decrypt {}", file.display()))?;
                write_readable(out, &content)?;
                say!("{} written: it is not encrypted", out.display());
                Ok(())
            }
        }
    }
}

fn encrypt(places: &EncryptedPlaces) -> anyhow::Result<()> {
    let (mut found, mut lock) = (Vec::new(), None);
    if places.state.exists() {
        lock = Some(FolderLock::take(&places.state)?);
        list(&places.state, &mut found)?;
    }
    let is_called = |path: &Path, names: &[&str]| {
        path.file_name().is_some_and(|name| names.iter().any(|other| name == *other))
    };
    found.retain(|path| !is_called(path, &places.readable));
    if let Some(unfinished) = found.iter().find(|path| is_called(path, &places.growing)) {
        bail!(
            "{} belongs to a run that has not finished: let the run finish without [encryption], or discard it with \
             --fresh",
            unfinished.display()
        );
    }
    found.extend(places.others.iter().filter(|path| path.exists()).cloned());
    let mut count = 0;
    for path in &found {
        let encrypted = encrypt_whole(path).with_context(|| format!("cannot encrypt {}", path.display()))?;
        count += usize::from(encrypted);
    }
    if places.ledger.exists() {
        let encrypted = encrypt_blocks(&places.ledger)
            .with_context(|| format!("cannot encrypt the ledger {}", places.ledger.display()))?;
        count += usize::from(encrypted);
    }
    drop(lock);
    say!(
        "encrypted {}; the former plain text may remain on the disk until it is overwritten",
        counted(count, "file")
    );
    Ok(())
}

/// All files in `folder` and below.
fn list(folder: &Path, found: &mut Vec<PathBuf>) -> anyhow::Result<()> {
    for entry in fs::read_dir(folder).with_context(|| format!("cannot read {}", folder.display()))? {
        let path = entry?.path();
        if path.is_dir() {
            list(&path, found)?;
        } else if path.is_file() {
            found.push(path);
        }
    }
    Ok(())
}
