//! All identities of a federation at once: for one host on which one person plays all sides. Between organisations each side
//! makes its own key, which never leaves it.

use std::path::{Path, PathBuf};
use std::str::FromStr;

use hashvfl_core::PartyName;
use hashvfl_files::say;

use crate::authority::Authority;
use crate::certificate::Facts;
use crate::dates::{DAY_S, date, now_s};
use crate::error::CommandError;
use crate::holder::IdentityPaths;
use crate::issue::{accept_here, issue};
use crate::pem::CERTIFICATE;
use crate::role::{Identity, Role};

/// Certificates that count for fewer days than this get new dates: nobody on such a host looks at warnings.
const RENEWED_DAYS: i64 = 30;

/// A side and the folder of its identity.
#[derive(Debug, Clone)]
pub struct ProvisionedSide {
    identity: Identity,
    folder: PathBuf,
}

impl FromStr for ProvisionedSide {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (identity, folder) = text.split_once('=').ok_or("expected ROLE/NAME=FOLDER")?;
        let identity = identity.parse().map_err(|error: crate::IdentityError| error.to_string())?;
        Ok(Self { identity, folder: folder.into() })
    }
}

/// Makes keys and certificates of those `sides` that have none yet, signed by the authority in `folder`. Certificates that end
/// soon get new dates, that of the coordinator `name` in `folder` too, and there is a new revocation list each time.
///
/// # Errors
/// If files cannot be read or written, or a name has another key already.
pub fn provision(
    folder: &Path,
    name: &PartyName,
    sides: &[ProvisionedSide],
    days: i64,
) -> Result<(), CommandError> {
    let mut authority = Authority::open(folder)?;
    let own = ProvisionedSide {
        identity: Identity::new(Role::Coordinator, name.clone()),
        folder: folder.to_path_buf(),
    };
    for ProvisionedSide { identity, folder } in std::iter::once(&own).chain(sides) {
        let places = IdentityPaths::in_folder(folder);
        if places.certificate.exists() {
            keep(&mut authority, &places, identity, days)?;
        } else {
            let accepted = issue(&mut authority, &places, identity, days)?;
            say!("issued {identity} in {} (valid until {})", folder.display(), accepted.until);
        }
    }
    authority.write_list()?;
    let issued = authority.issued();
    say!("revocation list {} is valid until {}", issued.list_number, date(issued.list_until_s));
    Ok(())
}

/// Gives the certificate at `places` new dates if it ends soon. One that was revoked or whose key was taken back, or that another
/// has signed, stays as it is: the others get their dates all the same.
fn keep(
    authority: &mut Authority,
    places: &IdentityPaths,
    identity: &Identity,
    days: i64,
) -> Result<(), CommandError> {
    let facts = Facts::of_first_in(&places.certificate, CERTIFICATE)?;
    let signed = &authority.issued().certificates;
    let is_ours = signed.iter().any(|issued| issued.serial == facts.serial && issued.revoked.is_none());
    let taken_back = authority.issued().taken_back(&facts.fingerprint).is_some();
    if !is_ours || taken_back || facts.not_after_s - now_s() > RENEWED_DAYS * DAY_S {
        say!("{identity} has its certificate already, in {}", places.folder.display());
        return Ok(());
    }
    let (_, text) = authority.renew(identity, days)?;
    let accepted = accept_here(places, authority.fingerprint(), identity, &text)?;
    say!("renewed {identity} in {} (valid until {})", places.folder.display(), accepted.until);
    Ok(())
}
