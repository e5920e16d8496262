//! Who is turned away at a port by a certificate: a line in the log, at a bounded rate, and a word to whoever keeps account.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Instant;

use hashvfl_identity::{AcceptError, Identity, Role};

use super::connections::ConnectionInfo;
use super::quiet::{QuietLog, QuietLogs};

/// Keeps account of what happens at a port before anybody reads a message.
pub trait PortAccount: Send + Sync {
    /// Somebody was turned away for the reason `why`, a word: `who`, by a certificate that an authority has signed, or a
    /// stranger.
    fn turned_away(&self, who: Option<&Identity>, why: &'static str);

    /// The port is open: about once a second, for what has to be looked at now and then.
    fn look(&self);
}

/// What a port does with those whom it turns away.
#[derive(Default)]
pub(crate) struct Gate {
    account: Option<Arc<dyn PortAccount>>,
    strangers: QuietLog,
    /// Lines about those who have a certificate, which strangers do not crowd out.
    members: QuietLog,
    /// Lines about those who have greeted, by who they are.
    greeted: QuietLogs,
}

impl Gate {
    /// One of which `account` is kept.
    pub fn accounted(account: Arc<dyn PortAccount>) -> Self {
        Self { account: Some(account), ..Self::default() }
    }

    /// `who` has connected from `address` and greeted.
    pub fn greeted(&self, who: &Identity, address: IpAddr) {
        if let Some(more) = self.greeted.may_write(&who.to_string(), Instant::now()) {
            tracing::info!("{who} is connected, from {address}{more}");
        }
    }

    /// Whoever has connected from `address` was not greeted. A port that is scanned decides nothing: only the log tells of that.
    pub fn not_greeted(&self, address: IpAddr, error: &AcceptError) {
        let AcceptError::Refused(refusal) = error else {
            self.strangers.warn(&format!("no connection from {address}: {error}"));
            return;
        };
        let lines = if refusal.who().is_some() { &self.members } else { &self.strangers };
        lines.warn(&format!("no connection from {address}: {error}"));
        self.count(refusal.who(), refusal.kind());
    }

    /// Whether a stream on a connection is opened by somebody of `role`, as it must be; without TLS everybody is.
    ///
    /// # Errors
    /// If not: a line for it.
    pub fn check_role(&self, connection: Option<&ConnectionInfo>, role: Role) -> Result<(), String> {
        let Some(ConnectionInfo { peer, .. }) = connection else { return Ok(()) };
        let Some(found) = peer.identity.as_ref().filter(|found| found.identity.role != role) else {
            return Ok(());
        };
        let who = &found.identity;
        self.members.warn(&format!(
            "refused a stream of {who} from {}: this service is for the role {role}, and its certificate has another \
             role; `coordinator identity issue {role}/NAME --into FOLDER --config FILE` creates one \
             (docs/how-to/identities.md)",
            peer.address.ip()
        ));
        self.count(Some(who), "other-role");
        Err(format!("this service is for the role {role}, and the certificate of {who} has another role"))
    }

    /// About once a second.
    pub fn look(&self) {
        if let Some(account) = &self.account {
            account.look();
        }
    }

    fn count(&self, who: Option<&Identity>, why: &'static str) {
        if let Some(account) = &self.account {
            account.turned_away(who, why);
        }
    }
}
