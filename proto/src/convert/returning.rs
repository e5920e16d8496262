//! How a party returns to its run on another connection.

use hashvfl_core::protocol::exchange::Mark;
use hashvfl_core::protocol::message::{Return, SessionKey};
use hashvfl_core::{PartyName, RunId};

use crate::convert::{Result, WireError, digest};
use crate::v1;

/// The key of a session; `None` from a coordinator to which nobody can return.
impl TryFrom<v1::Accepted> for Option<SessionKey> {
    type Error = WireError;

    fn try_from(accepted: v1::Accepted) -> Result<Self> {
        if accepted.session.is_empty() { Ok(None) } else { session(&accepted.session).map(Some) }
    }
}

impl From<Option<SessionKey>> for v1::Accepted {
    fn from(session: Option<SessionKey>) -> Self {
        Self { session: session.map(|key| key.0.to_vec()).unwrap_or_default() }
    }
}

fn session(bytes: &[u8]) -> Result<SessionKey> {
    Ok(SessionKey(digest("session", bytes)?.0))
}

impl TryFrom<v1::Return> for Return {
    type Error = WireError;

    fn try_from(back: v1::Return) -> Result<Self> {
        Ok(Self {
            run: RunId::new(back.run_id)?,
            party: PartyName::new(back.party)?,
            session: session(&back.session)?,
            mark: Mark { received: back.received, chain: digest("chain_sha256", &back.chain_sha256)? },
        })
    }
}

impl From<Return> for v1::Return {
    fn from(back: Return) -> Self {
        let Return { run, party, session, mark } = back;
        Self {
            run_id: run.into(),
            party: party.into(),
            session: session.0.to_vec(),
            received: mark.received,
            chain_sha256: mark.chain.0.to_vec(),
        }
    }
}

impl TryFrom<v1::Returned> for Mark {
    type Error = WireError;

    fn try_from(back: v1::Returned) -> Result<Self> {
        Ok(Self { received: back.received, chain: digest("chain_sha256", &back.chain_sha256)? })
    }
}

impl From<Mark> for v1::Returned {
    fn from(Mark { received, chain }: Mark) -> Self {
        Self { received, chain_sha256: chain.0.to_vec() }
    }
}

#[cfg(test)]
mod tests {
    use hashvfl_core::Digest;
    use hashvfl_core::protocol::message::{FromCoordinator, FromParty};
    use prost::Message as _;

    use super::*;

    const MARK: Mark = Mark { received: 3, chain: Digest([6; 32]) };

    fn back() -> Return {
        let (run, party) = (RunId::new("r").unwrap(), PartyName::new("bank").unwrap());
        Return { run, party, session: SessionKey([5; 32]), mark: MARK }
    }

    #[test]
    fn what_a_return_takes_round_trips() {
        let said = FromParty::Return(back());
        let bytes = v1::PartyMessage::from(said.clone()).encode_to_vec();
        assert_eq!(FromParty::try_from(v1::PartyMessage::decode(bytes.as_slice()).unwrap()), Ok(said));
        for answer in [
            FromCoordinator::Accepted { session: Some(SessionKey([5; 32])) },
            FromCoordinator::Returned(MARK),
        ] {
            let bytes = v1::CoordinatorMessage::from(answer.clone()).encode_to_vec();
            let message = v1::CoordinatorMessage::decode(bytes.as_slice()).unwrap();
            assert_eq!(FromCoordinator::try_from(message), Ok(answer));
        }
    }

    #[test]
    fn keys_and_chains_of_other_lengths_are_errors() {
        let short = v1::Return { session: vec![5; 31], ..back().into() };
        assert_eq!(Return::try_from(short), Err(WireError::Digest("session")));
        let absent = v1::Return { session: Vec::new(), ..back().into() };
        assert_eq!(Return::try_from(absent), Err(WireError::Digest("session")));
        let long = v1::Return { chain_sha256: vec![6; 33], ..back().into() };
        assert_eq!(Return::try_from(long), Err(WireError::Digest("chain_sha256")));
        let accepted = v1::Accepted { session: vec![5; 33] };
        assert_eq!(Option::<SessionKey>::try_from(accepted), Err(WireError::Digest("session")));
    }
}
