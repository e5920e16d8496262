//! What the coordinator hears of why this party leaves: what concerns it. Files, their paths and what is in them stay here.

use hashvfl_core::protocol::party::PartyError;
use hashvfl_core::protocol::serving_party::ServingPartyError;
use hashvfl_core::text::PublicReason;
use hashvfl_ledger::{AnswerLogError, LedgerError};
use hashvfl_proto::WireError;
use hashvfl_transport::StreamError;
use hashvfl_transport::stop::Stopped;

/// The reason in words for the coordinator.
pub fn for_coordinator(error: &anyhow::Error) -> String {
    error.chain().find_map(told).unwrap_or_else(|| "it stopped; its own log says why".to_string())
}

fn told(cause: &(dyn std::error::Error + 'static)) -> Option<String> {
    if let Some(LedgerError::Refused(refusal)) = cause.downcast_ref()
        && !refusal.rule.may_be_told()
    {
        return Some("its policy does not allow more of this run".to_string());
    }
    let is_told = cause.is::<PublicReason>()
        || cause.is::<PartyError>()
        || cause.is::<ServingPartyError>()
        || cause.is::<StreamError>()
        || cause.is::<WireError>()
        || cause.is::<Stopped>()
        || matches!(cause.downcast_ref(), Some(LedgerError::Refused(_)))
        || matches!(cause.downcast_ref(), Some(AnswerLogError::Differs { .. }));
    is_told.then(|| cause.to_string())
}

#[cfg(test)]
mod tests {
    use anyhow::{Context, anyhow};

    use super::*;

    #[test]
    fn paths_and_cells_stay_here() {
        let file = std::fs::read("/no/such/table.csv").context("cannot read /no/such/table.csv");
        assert_eq!(for_coordinator(&file.unwrap_err()), "it stopped; its own log says why");
        assert_eq!(for_coordinator(&anyhow!("line 3: \"x\"")), "it stopped; its own log says why");
        let told =
            anyhow::Error::from(PublicReason("gradients point everywhere alike".into())).context("step 3");
        assert_eq!(for_coordinator(&told), "gradients point everywhere alike");
        let broken = anyhow::Error::from(PartyError::Refused("no".into()));
        assert_eq!(for_coordinator(&broken), broken.to_string());
    }
}
