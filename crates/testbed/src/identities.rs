//! Identities of a federation whose sides are folders of this machine, as the command `identity issue` makes them.

use std::path::Path;

use hashvfl_core::PartyName;
use hashvfl_identity::{Identity, IdentityPaths, Role, begin_authority, issue};

use crate::federation::home;

/// Days for which certificates of a federation on one machine count.
const DAYS: i64 = 30;

/// Gives coordinator, parties and a client an identity each, in `identity` in the folder of each below `out`. The
/// coordinator's holds the authority that has signed them all.
pub fn issue_all(out: &Path, parties: &[PartyName]) -> anyhow::Result<()> {
    let folder = |name: &str| Ok::<_, anyhow::Error>(home(out, name)?.join("identity"));
    let (mut authority, _) = begin_authority(&folder("coordinator")?, &PartyName::new("coordinator")?, DAYS)?;
    let client = Identity::new(Role::Client, PartyName::new("client")?);
    let parties = parties.iter().map(|party| Identity::new(Role::Party, party.clone()));
    for identity in parties.chain([client]) {
        issue(&mut authority, &IdentityPaths::in_folder(&folder(identity.name.as_str())?), &identity, DAYS)?;
    }
    Ok(())
}
