//! Where the commands find an identity's files: in a folder, or in that which a config names.

use std::path::{Path, PathBuf};

use clap::Args;
use hashvfl_core::PartyName;

use crate::config::{IdentityConfig, NamedFolder};
use crate::error::CommandError;
use crate::holder::IdentityPaths;

/// Where the files are.
#[derive(Debug, Clone, Args)]
pub struct FolderArgs {
    /// The config file of the side whose identity it is: its [identity] names the folder.
    #[arg(long, value_name = "FILE", conflicts_with = "folder")]
    config: Option<PathBuf>,
    /// The folder of the identity's files. Without it and without --config: identity.
    #[arg(long, value_name = "FOLDER")]
    folder: Option<PathBuf>,
}

impl FolderArgs {
    /// The config file, where one was named.
    pub fn config(&self) -> Option<&Path> {
        self.config.as_deref()
    }

    /// The option that named it, as the next command takes it, with a blank before it; empty where there was none.
    pub fn option(&self) -> String {
        match (&self.config, &self.folder) {
            (Some(config), _) => format!(" --config {}", config.display()),
            (None, Some(folder)) => option_of(folder),
            (None, None) => String::new(),
        }
    }

    /// The folder.
    pub fn path(&self) -> Result<PathBuf, CommandError> {
        match (&self.folder, &self.config) {
            (Some(folder), _) => Ok(folder.clone()),
            (None, Some(config)) => Ok(NamedFolder::of_config(config)?.folder),
            (None, None) => Ok(IdentityConfig::default().folder),
        }
    }

    /// The places of the files in it.
    pub fn places(&self) -> Result<IdentityPaths, CommandError> {
        Ok(IdentityPaths::in_folder(&self.path()?))
    }

    /// The file of pins: the one that the config reads, or else the one in the folder.
    pub fn pins(&self) -> Result<PathBuf, CommandError> {
        match (&self.folder, &self.config) {
            (None, Some(config)) => NamedFolder::pins_of_config(config),
            _ => Ok(self.places()?.pins),
        }
    }

    /// The name that was given, or else the config's.
    pub fn name(&self, given: Option<&PartyName>) -> Result<PartyName, CommandError> {
        if let Some(given) = given {
            return Ok(given.clone());
        }
        let named = self.config.as_deref().map(NamedFolder::of_config).transpose()?;
        named.and_then(|named| named.name).ok_or(CommandError::NoName)
    }
}

/// The option that names a folder, with a blank before it.
pub fn option_of(folder: &Path) -> String {
    format!(" --folder {}", folder.display())
}
