//! What the permissions file says of parties, as it is now.

use hashvfl_core::{PartyName, RunId};

use super::file::PartyAction;
use super::followed::FollowedFile;

/// Whether a party is let in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PartyRule {
    /// It is not.
    Never,
    /// At most so often an hour.
    AtMost(u32),
    /// As often as it comes.
    Always,
}

/// What parties may do in a run, and how often.
pub struct PartyRules {
    file: FollowedFile,
    run: RunId,
    action: PartyAction,
}

impl PartyRules {
    /// What `file` says of `action` in `run`.
    pub fn new(file: FollowedFile, run: RunId, action: PartyAction) -> Self {
        Self { file, run, action }
    }

    /// What the parties do.
    pub fn action(&self) -> PartyAction {
        self.action
    }

    /// Whether any party has a limit now.
    pub fn has_limits(&mut self) -> bool {
        !self.file.current().per_hour().is_empty()
    }

    /// What counts for `party` now.
    pub fn of(&mut self, party: &PartyName) -> PartyRule {
        let file = self.file.current();
        if !file.party_may(party, self.action, &self.run) {
            return PartyRule::Never;
        }
        let limits = file.per_hour();
        limits.get(party).map_or(PartyRule::Always, |limit| PartyRule::AtMost(*limit))
    }
}
