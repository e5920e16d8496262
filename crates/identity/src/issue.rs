//! Keys and certificates that are made where the authority is.

use hashvfl_files::write_whole;

use crate::authority::{Authority, SigningOptions};
use crate::certificate::Facts;
use crate::error::CommandError;
use crate::fingerprint::Fingerprint;
use crate::holder::{self, Accepted, IdentityPaths};
use crate::pem::CERTIFICATE;
use crate::role::Identity;

/// Makes key and certificate of `identity` at `places`, where it and the authority are on one machine.
///
/// # Errors
/// If the authority does not sign it, or a file cannot be written.
pub fn issue(
    authority: &mut Authority,
    places: &IdentityPaths,
    identity: &Identity,
    days: i64,
) -> Result<Accepted, CommandError> {
    refuse_others(places, identity)?;
    let requested = holder::request(places, identity, false)?;
    let options =
        SigningOptions { days, fingerprint: Some(requested.fingerprint), role: Some(identity.role) };
    let (_, text) = authority.sign(&requested.request, &options)?;
    accept_here(places, authority.fingerprint(), identity, &text)
}

/// A folder in which another's certificate is stays that one's.
fn refuse_others(places: &IdentityPaths, identity: &Identity) -> Result<(), CommandError> {
    if !places.certificate.exists() {
        return Ok(());
    }
    let facts = Facts::of_first_in(&places.certificate, CERTIFICATE)?;
    match facts.uris.iter().find_map(|uri| Identity::from_uri(uri)?.ok()).filter(|found| found != identity) {
        Some(found) => Err(CommandError::OthersFolder { folder: places.folder.clone(), found }),
        None => Ok(()),
    }
}

/// Puts a certificate in place that was signed on this machine, from a file that is gone afterwards.
pub fn accept_here(
    places: &IdentityPaths,
    authority: Fingerprint,
    identity: &Identity,
    text: &str,
) -> Result<Accepted, CommandError> {
    let answer = places.folder.join("answer.pem");
    write_whole(&answer, text.as_bytes())?;
    let accepted = holder::accept(places, &answer, Some(authority), Some(identity));
    // What is left of it hurts nobody.
    let _ = std::fs::remove_file(&answer);
    Ok(accepted?)
}
