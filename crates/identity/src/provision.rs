//! All identities of a federation at once: for one host on which one person plays all sides. Between organisations each side
//! makes its own key, which never leaves it.

use std::path::{Path, PathBuf};
use std::str::FromStr;

use hashvfl_files::say;

use crate::authority::Authority;
use crate::commands::CommandError;
use crate::holder::Places;
use crate::issue::issue;
use crate::role::Identity;

/// A side and the folder of its identity.
#[derive(Debug, Clone)]
pub struct Side {
    identity: Identity,
    folder: PathBuf,
}

impl FromStr for Side {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (identity, folder) = text.split_once('=').ok_or("expected ROLE/NAME=FOLDER")?;
        let identity = identity.parse().map_err(|error: crate::IdentityError| error.to_string())?;
        Ok(Self { identity, folder: folder.into() })
    }
}

/// Makes keys and certificates of those `sides` that have none yet, signed by the authority in `folder`.
///
/// # Errors
/// If files cannot be read or written, or a name has another key already.
pub fn provision(folder: &Path, sides: &[Side], days: i64) -> Result<(), CommandError> {
    let mut authority = Authority::open(folder)?;
    for Side { identity, folder } in sides {
        let places = Places::in_folder(folder);
        if places.certificate.exists() {
            say!("{identity} has its certificate already, in {}", folder.display());
            continue;
        }
        let accepted = issue(&mut authority, &places, identity, days)?;
        say!("issued {identity} in {} (valid until {})", folder.display(), accepted.until);
    }
    Ok(())
}
