//! How the subcommand `identity` fails.

use std::path::PathBuf;

use hashvfl_files::WriteError;

use crate::authority::AuthorityError;
use crate::holder::HolderError;
use crate::pem::FileError;
use crate::role::Identity;

/// A command that has not done what it should.
#[derive(Debug, thiserror::Error)]
pub enum CommandError {
    /// On the authority's side.
    #[error(transparent)]
    Authority(#[from] AuthorityError),
    /// On a holder's side.
    #[error(transparent)]
    Holder(#[from] HolderError),
    /// A file of either.
    #[error(transparent)]
    File(#[from] FileError),
    /// A file that cannot be written.
    #[error(transparent)]
    Write(#[from] WriteError),
    /// A config file from which the folder cannot be told.
    #[error("{}: {reason}", path.display())]
    Config {
        /// The file.
        path: PathBuf,
        /// What is wrong with it, and what to do.
        reason: String,
    },
    /// A folder that holds somebody else's identity.
    #[error("{} holds the certificate of {found}: choose another folder", folder.display())]
    OthersFolder {
        /// The folder.
        folder: PathBuf,
        /// Whose it is.
        found: Identity,
    },
    /// Nobody said who it is.
    #[error("no name was given: pass --name NAME, or --config FILE with a config that has a name")]
    NoName,
    /// Nothing to do.
    #[error("nothing to renew: name a certificate's owner, such as party/bank, or pass --list")]
    Nothing,
    /// A file that is there.
    #[error("{} already exists: choose another file with --out", .0.display())]
    Exists(PathBuf),
}
