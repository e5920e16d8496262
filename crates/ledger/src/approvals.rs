//! Settings of runs that this side's officer has approved, by digest: a text file beside the policy.

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use hashvfl_core::Digest;
use hashvfl_files::write_whole;

use crate::policy::{Policy, PolicyError, PolicyRefusal, Rule};

/// The first line of a new file.
const HEADING: &str =
    "# Settings of runs that `party approve` has approved, by SHA-256. Remove a line to take one back.\n";

/// The file of approvals that belongs to the policy at `policy`: its name with the ending `approved`.
pub fn approvals_path(policy: &Path) -> PathBuf {
    policy.with_extension("approved")
}

/// Whether the settings of this digest are approved in the file beside the policy at `policy`.
///
/// # Errors
/// If the file is there and cannot be read.
pub fn is_approved(policy: &Path, settings: Digest) -> Result<bool, PolicyError> {
    let wanted = settings.to_string();
    Ok(read(&approvals_path(policy))?.lines().any(|line| line.split_whitespace().next() == Some(&wanted)))
}

/// Approves the settings of this digest; false if they were approved already.
///
/// # Errors
/// If the file cannot be read or written.
pub fn approve(policy: &Path, settings: Digest) -> Result<bool, PolicyError> {
    if is_approved(policy, settings)? {
        return Ok(false);
    }
    let path = approvals_path(policy);
    let mut text = read(&path)?;
    if text.is_empty() {
        text = HEADING.to_string();
    } else if !text.ends_with('\n') {
        text.push('\n');
    }
    text += &format!("{settings}\n");
    write_whole(&path, text.as_bytes()).map_err(|error| PolicyError::Write(error.to_string()))?;
    Ok(true)
}

impl Policy {
    /// Whether a run of these settings may be joined, about `records` records; `path` is where this policy was read.
    ///
    /// # Errors
    /// If the policy asks for an approval that is not there, or approvals cannot be read.
    pub fn check_approval(
        &self,
        path: &Path,
        settings: Digest,
        records: usize,
    ) -> Result<Result<(), PolicyRefusal>, PolicyError> {
        if !self.require_approval || is_approved(path, settings)? {
            return Ok(Ok(()));
        }
        let reason = format!(
            "the run's settings (SHA-256 {}) are not approved: `party approve --config FILE` shows them and approves them",
            settings.short()
        );
        Ok(Err(PolicyRefusal::new(Rule::Approval, "true", records, reason)))
    }
}

fn read(path: &Path) -> Result<String, PolicyError> {
    match fs::read_to_string(path) {
        Ok(text) => Ok(text),
        Err(reason) if reason.kind() == ErrorKind::NotFound => Ok(String::new()),
        Err(source) => Err(PolicyError::Read { path: path.to_path_buf(), source }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_approval_holds_for_its_digest_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("policy.toml");
        let (one, other) = (Digest([1; 32]), Digest([2; 32]));
        let policy = Policy::parse("require_approval = true").unwrap();
        let refused = policy.check_approval(&path, one, 9).unwrap().unwrap_err();
        assert!(
            refused.to_string().starts_with(
                "the policy's require_approval = true refuses 9 records: the run's settings (SHA-256 01010101)"
            ) && refused.to_string().contains("`party approve --config FILE`"),
            "{refused}"
        );
        assert!(approve(&path, one).unwrap() && !approve(&path, one).unwrap());
        assert_eq!(policy.check_approval(&path, one, 9).unwrap(), Ok(()));
        assert!(policy.check_approval(&path, other, 9).unwrap().is_err());
        assert!(approve(&path, other).unwrap() && is_approved(&path, one).unwrap());
        let text = fs::read_to_string(folder.path().join("policy.approved")).unwrap();
        assert_eq!(text.lines().count(), 3, "{text}");
        assert_eq!(Policy::default().check_approval(&path, Digest([3; 32]), 9).unwrap(), Ok(()));
    }
}
