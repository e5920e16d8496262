//! `party approve`: a party's officer sees the settings of a run, and approves them once, by their digest.

use anyhow::{Context, ensure};
use hashvfl_audit::AuditEvent;
use hashvfl_core::Digest;
use hashvfl_files::say;
use hashvfl_ledger::{approvals_path, approve as keep, is_approved};

use crate::commands::chosen;
use crate::config::PartyConfig;

/// Shows the settings of the config's run with their digest, and approves them where `digest` is that digest. `by` is who
/// says so.
///
/// # Errors
/// If the config names no policy, `digest` is another one, or the approval cannot be kept.
pub fn approve(config: &PartyConfig, digest: Option<&str>, by: Option<&str>) -> anyhow::Result<()> {
    let policy = config.policy.as_deref().context(
        "the config has no `policy`: approvals are stored beside a policy file (policy = \"policy.toml\", with \
         require_approval = true in it)",
    )?;
    let settings = config.run.to_settings();
    let wanted = settings.digest();
    say!("run {} of {}, as {}:", config.run_id, config.coordinator, config.name);
    say!("  coordinator: {}", chosen::described(config)?);
    for (key, value) in settings.config_pairs() {
        say!("  {key} = {value}");
    }
    say!("SHA-256 of these settings: {wanted}");
    let Some(digest) = digest else {
        match is_approved(policy, wanted)? {
            true => say!("they are approved, in {}", approvals_path(policy).display()),
            false => say!("to approve them, run the same command again with --digest {wanted}"),
        }
        return Ok(());
    };
    ensure!(
        Digest::from_hex(digest) == Some(wanted),
        "--digest is not that of these settings: look at them again, they may have changed since"
    );
    // First, so that nothing is approved that cannot be written down.
    let audit = config.audit_trail()?;
    if !keep(policy, wanted)? {
        say!("they were approved before, in {}", approvals_path(policy).display());
        return Ok(());
    }
    let by = by.map(without_controls);
    audit.note(AuditEvent::Approved { settings_sha256: wanted.to_string(), by })?;
    say!("approved, in {}", approvals_path(policy).display());
    Ok(())
}

/// `text` without control characters.
pub fn without_controls(text: &str) -> String {
    text.chars().filter(|character| !character.is_control()).collect()
}
