//! The coordinator's side of the protocol in training, one pure state machine per party: whether each message is the
//! answer to the request that is open. What answers what is in [`Request::rule`].

use crate::codes::packed::{CodeError, PackedCodes};
use crate::digest::Digest;
use crate::name::PartyName;
use crate::p_value::PackedPValues;
use crate::protocol::message::{Answer, CheckpointId, EncodedPValues, ExpectedAnswer, FromParty, Request};

/// A party's answer to the open request, checked.
#[derive(Debug, Clone, PartialEq)]
pub enum PeerAnswer {
    /// Codes of the records asked for.
    Codes(PackedCodes),
    /// The request was carried out.
    Done,
    /// The bottom model is frozen.
    Frozen(Digest),
    /// p-values of the records asked for; `None` from a party that sends none.
    CalibrationPValues(Option<PackedPValues>),
}

/// Why a party's message is not the answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PeerError {
    /// A message of another kind than the open request asks for.
    #[error("step {step}: {party} sent {found}, expected {expected}: install the same release on both sides")]
    Unexpected {
        /// The open request's step.
        step: u64,
        /// The party.
        party: PartyName,
        /// The message.
        found: &'static str,
        /// What would be right.
        expected: &'static str,
    },
    /// An answer to another step.
    #[error("step {expected}: {party} answered for step {found}: install the same release on both sides")]
    Step {
        /// The party.
        party: PartyName,
        /// The answer's step.
        found: u64,
        /// The open request's step.
        expected: u64,
    },
    /// Codes or p-values of a wrong length.
    #[error("step {step}: {party}: {source}")]
    Codes {
        /// The step.
        step: u64,
        /// The party.
        party: PartyName,
        /// What is wrong with them.
        source: CodeError,
    },
    /// The party gave up.
    #[error("step {step}: {party} stopped: {text}")]
    Failed {
        /// The step.
        step: u64,
        /// The party.
        party: PartyName,
        /// What it said.
        text: String,
    },
}

/// The request that waits for an answer.
#[derive(Debug, Clone, Copy)]
struct OpenRequest {
    answer: ExpectedAnswer,
    /// Codes or p-values that it asks for.
    rows: usize,
}

/// The coordinator's view of one party that has joined.
#[derive(Debug)]
pub struct PeerSession {
    party: PartyName,
    bits: usize,
    step: u64,
    open: Option<OpenRequest>,
}

impl PeerSession {
    /// A party that was accepted, with codes of `bits` bits.
    pub fn new(party: PartyName, bits: usize) -> Self {
        Self { party, bits, step: 0, open: None }
    }

    /// The party.
    pub fn party(&self) -> &PartyName {
        &self.party
    }

    /// Bits of its codes.
    pub fn bits(&self) -> usize {
        self.bits
    }

    /// Notes that `request` goes to the party as `step`; `rows` is the number of codes or p-values that it
    /// asks for.
    pub fn requested(&mut self, step: u64, request: &Request, rows: usize) {
        self.step = step;
        self.open = Some(OpenRequest { answer: request.rule().answer, rows });
    }

    /// Checks that `message` answers the open request.
    ///
    /// # Errors
    /// If it is of another kind or step, holds codes of a wrong length, or says that the party has stopped. The session
    /// must not be used again then.
    pub fn receive(&mut self, message: FromParty) -> Result<PeerAnswer, PeerError> {
        let found = message.kind();
        let (step, answer) = match message {
            FromParty::Answer(step, answer) => (step, answer),
            FromParty::Failed { text } => {
                return Err(PeerError::Failed { step: self.step, party: self.party.clone(), text });
            }
            FromParty::Hello(_)
            | FromParty::Return(_)
            | FromParty::Records { .. }
            | FromParty::Saved(_)
            | FromParty::Committed
            | FromParty::Leaving
            | FromParty::Head(_) => return Err(self.unexpected(found)),
        };
        let Some(OpenRequest { answer: expected, rows }) = self.open else {
            return Err(self.unexpected(found));
        };
        let answer = match (expected, answer) {
            (ExpectedAnswer::Codes, Answer::Codes(bytes)) => {
                self.check_step(step)?;
                PeerAnswer::Codes(self.unpack(rows, self.bits, bytes)?)
            }
            (ExpectedAnswer::Frozen, Answer::Frozen(encoder)) => PeerAnswer::Frozen(encoder),
            (ExpectedAnswer::CalibrationPValues, Answer::CalibrationPValues(None)) => {
                PeerAnswer::CalibrationPValues(None)
            }
            (ExpectedAnswer::CalibrationPValues, Answer::CalibrationPValues(Some(sent))) => {
                self.check_step(step)?;
                let EncodedPValues { grid, bytes } = sent;
                let packed = self.unpack(rows, grid.bits(), bytes)?;
                PeerAnswer::CalibrationPValues(Some(PackedPValues { grid, packed }))
            }
            (ExpectedAnswer::Confirmed(expected), Answer::Confirmed(found)) if found == expected => {
                PeerAnswer::Done
            }
            _ => return Err(self.unexpected(found)),
        };
        self.check_step(step)?;
        self.open = None;
        Ok(answer)
    }

    /// Checks that `message` says that all that the party needs to go on is on disk under `id`.
    ///
    /// # Errors
    /// If it says anything else.
    pub fn receive_saved(&self, id: CheckpointId, message: FromParty) -> Result<(), PeerError> {
        let (step, party) = (self.step, self.party.clone());
        match message {
            FromParty::Saved(found) if found == id => Ok(()),
            FromParty::Failed { text } => Err(PeerError::Failed { step, party, text }),
            other => Err(PeerError::Unexpected { step, party, found: other.kind(), expected: "Saved" }),
        }
    }

    fn check_step(&self, found: u64) -> Result<(), PeerError> {
        if found == self.step {
            return Ok(());
        }
        Err(PeerError::Step { party: self.party.clone(), found, expected: self.step })
    }

    fn unpack(&self, rows: usize, bits: usize, bytes: Vec<u8>) -> Result<PackedCodes, PeerError> {
        PackedCodes::from_bytes(rows, bits, bytes).map_err(|source| PeerError::Codes {
            step: self.step,
            party: self.party.clone(),
            source,
        })
    }

    fn unexpected(&self, found: &'static str) -> PeerError {
        let expected = self.open.map_or("nothing", |open| open.answer.kind());
        PeerError::Unexpected { step: self.step, party: self.party.clone(), found, expected }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::p_value::Grid;
    use crate::protocol::message::{CheckpointLabel, Command, Confirmation};
    use crate::records::plan::RowSelection;

    fn asked(request: impl Into<Request>) -> PeerSession {
        let mut peer = PeerSession::new(PartyName::new("a").unwrap(), 4);
        peer.requested(3, &request.into(), 6);
        peer
    }

    fn codes(step: u64, len: usize) -> FromParty {
        FromParty::Answer(step, Answer::Codes(vec![0; len]))
    }

    fn confirmed(step: u64, confirmation: Confirmation) -> FromParty {
        FromParty::Answer(step, confirmation.into())
    }

    #[test]
    fn only_the_open_request_is_answered() {
        let encode = Request::Encode(RowSelection::Batch { epoch: 0, batch: 2 });
        let asked_for_codes = || asked(encode);
        assert!(matches!(asked_for_codes().receive(codes(3, 3)), Ok(PeerAnswer::Codes(_))));
        assert!(matches!(asked_for_codes().receive(codes(3, 4)), Err(PeerError::Codes { .. })));
        assert!(matches!(
            asked_for_codes().receive(codes(2, 3)),
            Err(PeerError::Step { found: 2, expected: 3, .. })
        ));
        assert!(matches!(
            asked_for_codes().receive(confirmed(3, Confirmation::Finished)),
            Err(PeerError::Unexpected { found: "Finished", expected: "Codes", .. })
        ));
        assert!(matches!(
            asked_for_codes().receive(FromParty::Failed { text: "x".into() }),
            Err(PeerError::Failed { .. })
        ));
        let mut drawing = asked(Request::EncodeSynthetic { chunk: 0 });
        assert!(matches!(drawing.receive(codes(3, 4)), Err(PeerError::Codes { .. })));
        let mut peer = asked_for_codes();
        peer.receive(codes(3, 3)).unwrap();
        assert!(matches!(peer.receive(codes(3, 3)), Err(PeerError::Unexpected { .. })), "an answer twice");
    }

    fn any_answer() -> impl Strategy<Value = Answer> {
        prop_oneof![
            4 => (0_usize..6).prop_map(|bytes| Answer::Codes(vec![0; bytes])),
            1 => Just(Answer::Frozen(Digest([1; 32]))),
            1 => Just(Confirmation::Checkpointed.into()),
            1 => Just(Confirmation::Restored.into()),
            1 => Just(Confirmation::Finished.into()),
        ]
    }

    proptest! {
        #[test]
        fn no_list_of_messages_gives_more_than_one_answer_to_a_request(
            messages in prop::collection::vec((0_u64..4, any_answer(), any::<bool>()), 1..60),
        ) {
            let mut peer = PeerSession::new(PartyName::new("a").unwrap(), 4);
            let requests = [
                Request::Encode(RowSelection::Batch { epoch: 0, batch: 0 }),
                Command::Checkpoint(CheckpointLabel::Best).into(),
                Request::Freeze,
                Request::Finish,
            ];
            let (mut step, mut open) = (0, None);
            for (answered, answer, ask) in messages {
                if ask {
                    step += 1;
                    let request = requests[step as usize % requests.len()];
                    peer.requested(step, &request, 6);
                    open = Some(request.rule().answer);
                }
                // Near the open step, so that right answers are among them.
                let found = (step + 2).saturating_sub(answered.max(1));
                let fits = match (open, &answer) {
                    (Some(ExpectedAnswer::Codes), Answer::Codes(bytes)) => bytes.len() == 3,
                    (Some(ExpectedAnswer::Frozen), Answer::Frozen(_)) => true,
                    (Some(ExpectedAnswer::Confirmed(wanted)), Answer::Confirmed(given)) => wanted == *given,
                    _ => false,
                };
                let taken = peer.receive(FromParty::Answer(found, answer)).is_ok();
                prop_assert_eq!(taken, fits && found == step);
                if taken {
                    open = None;
                }
            }
        }
    }

    #[test]
    fn p_values_are_as_many_as_the_records_that_calibrate() {
        let answered = |step, sent| {
            asked(Request::Calibrate).receive(FromParty::Answer(step, Answer::CalibrationPValues(sent)))
        };
        let sent = |len: usize| Some(EncodedPValues { grid: Grid::FINE, bytes: vec![0; len] });
        assert_eq!(answered(3, None), Ok(PeerAnswer::CalibrationPValues(None)));
        assert!(matches!(answered(3, sent(3)), Ok(PeerAnswer::CalibrationPValues(Some(_)))));
        assert!(matches!(answered(3, sent(4)), Err(PeerError::Codes { .. })));
        assert!(matches!(answered(2, None), Err(PeerError::Step { .. })));
    }

    #[test]
    fn a_checkpoint_is_confirmed_by_its_own_name() {
        let (id, other) = (CheckpointId([1; 16]), CheckpointId([2; 16]));
        let peer = PeerSession::new(PartyName::new("a").unwrap(), 4);
        assert_eq!(peer.receive_saved(id, FromParty::Saved(id)), Ok(()));
        let refused = |message| peer.receive_saved(id, message).unwrap_err();
        assert!(matches!(refused(FromParty::Saved(other)), PeerError::Unexpected { expected: "Saved", .. }));
        assert!(matches!(refused(confirmed(0, Confirmation::Finished)), PeerError::Unexpected { .. }));
        assert!(matches!(refused(FromParty::Failed { text: "x".into() }), PeerError::Failed { .. }));
        let unasked = asked(Request::Freeze).receive(FromParty::Saved(id));
        assert!(matches!(unasked, Err(PeerError::Unexpected { found: "Saved", .. })));
    }

    #[test]
    fn a_command_is_answered_by_its_own_confirmation() {
        let checkpoint = Command::Checkpoint(CheckpointLabel::Best);
        let done = asked(checkpoint).receive(confirmed(3, Confirmation::Checkpointed));
        assert_eq!(done, Ok(PeerAnswer::Done));
        let other = asked(checkpoint).receive(confirmed(3, Confirmation::Restored));
        assert!(matches!(other, Err(PeerError::Unexpected { expected: "Checkpointed", .. })), "{other:?}");
        let late = asked(checkpoint).receive(confirmed(2, Confirmation::Checkpointed));
        assert!(matches!(late, Err(PeerError::Step { found: 2, expected: 3, .. })), "{late:?}");
        let frozen = asked(Request::Freeze).receive(FromParty::Answer(3, Answer::Frozen(Digest([1; 32]))));
        assert_eq!(frozen, Ok(PeerAnswer::Frozen(Digest([1; 32]))));
    }
}
