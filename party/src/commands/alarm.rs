//! `party alarm`: the gradient alarm that has stopped this party is shown, and dismissed by whoever answers for that.

use hashvfl_audit::AuditEvent;
use hashvfl_files::say;

use crate::alarm::{self, KeptAlarm};
use crate::commands::approve::without_controls;
use crate::config::PartyConfig;

/// Shows the alarm that is kept in the state folder of `config`, and dismisses it where that is asked for. `by` is who says so.
///
/// # Errors
/// If it cannot be read, or its dismissal not be written down.
pub fn run(config: &PartyConfig, dismiss: bool, by: Option<&str>) -> anyhow::Result<()> {
    let Some(kept) = alarm::read(&config.state)? else {
        say!("no gradient alarm is kept in {}", config.state.display());
        return Ok(());
    };
    say!("run {}, step {}: {}", kept.run_id, kept.step, kept.what);
    if kept.dismissed {
        say!("it was dismissed: the run may go on. A new alarm stops this party again");
        return Ok(());
    }
    if !dismiss {
        say!(
            "this party sends nothing. Talk to the coordinator's people. To let the run go on, pass --dismiss, and --by NAME \
             for the audit trail. A new alarm stops this party again"
        );
        return Ok(());
    }
    // First, so that nothing is dismissed that cannot be written down.
    let by = by.map(without_controls);
    config.audit_trail()?.note(AuditEvent::AlarmDismissed { step: kept.step, by })?;
    KeptAlarm { dismissed: true, ..kept }.keep(&config.state)?;
    say!(
        "dismissed: a process that is halted goes on now; if it has ended, start it again. A new alarm stops this party again"
    );
    Ok(())
}
