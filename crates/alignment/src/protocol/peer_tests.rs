//! Sessions: what a stranger puts in is dropped, and what is missing is found out.

use proptest::prelude::*;

use super::*;
use crate::route::{Load, Route};

const ID: [u8; 8] = [7; 8];

/// Two holders that do not talk yet, each with its key: the first sees the second, and the second the first.
struct Two {
    keys: [SecretKey; 2],
    b_at_a: Peer,
    a_at_b: Peer,
}

impl Two {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let names = ["a", "b"].map(|name| PartyName::new(name).unwrap());
        let keys = ["a", "b"].map(|name| SecretKey::create(&folder.path().join(name)).unwrap());
        let peer = |at: usize| {
            Peer::new(names[at].clone(), keys[at].public(), &Digest([0; 32]), [&names[0], &names[1]])
        };
        let (b_at_a, a_at_b) = (peer(1), peer(0));
        Self { keys, b_at_a, a_at_b }
    }

    /// The same with an open session.
    fn talking() -> Self {
        let mut two = Self::new();
        let hello = two.b_at_a.greet(&two.keys[0], ID).unwrap();
        let ReceivedFrame::Opened(Some(reply)) = two.a_at_b.receive(&hello, &two.keys[1]).unwrap() else {
            panic!("no reply")
        };
        assert!(matches!(two.at_a(&reply), Ok(ReceivedFrame::Opened(None))));
        two
    }

    fn at_a(&mut self, frame: &[u8]) -> Result<ReceivedFrame, PeerFault> {
        self.b_at_a.receive(frame, &self.keys[0])
    }

    /// The next frame of `b`.
    fn next_of_b(&mut self, message: &Message) -> Vec<u8> {
        self.a_at_b.seal(message).unwrap().unwrap()
    }
}

/// A frame of somebody who has seen the session and has no key.
fn forged(kind: u8, payload: &[u8]) -> Vec<u8> {
    [&[kind][..], &ID, payload].concat()
}

#[test]
fn what_is_said_while_a_session_opens_does_not_end_it() {
    let mut two = Two::new();
    let hello = two.b_at_a.greet(&two.keys[0], ID).unwrap();
    assert!(two.b_at_a.seal(&Message::Done).unwrap().is_none(), "nobody can open it yet");
    assert!(matches!(two.at_a(&forged(REPLY, &[1; 60])), Ok(ReceivedFrame::Stale)) && two.b_at_a.doubtful);
    assert!(matches!(two.at_a(&forged(SEALED, &[1; 60])), Ok(ReceivedFrame::Stale)));
    let ReceivedFrame::Opened(Some(reply)) = two.a_at_b.receive(&hello, &two.keys[1]).unwrap() else {
        panic!("no reply")
    };
    assert!(matches!(two.at_a(&reply), Ok(ReceivedFrame::Opened(None))));
    let done = two.b_at_a.seal(&Message::Done).unwrap().unwrap();
    assert!(matches!(two.a_at_b.receive(&done, &two.keys[1]), Ok(ReceivedFrame::Message(Message::Done))));
}

#[test]
fn nothing_that_a_stranger_sends_ends_a_session() {
    let mut two = Two::talking();
    let opening = two.next_of_b(&Message::Failed);
    assert!(matches!(two.at_a(&opening), Ok(ReceivedFrame::Message(Message::Failed))));
    let frames = [
        vec![],
        vec![9; 20],
        vec![HELLO; 200],
        forged(REPLY, &[1]),
        forged(SEALED, &[]),
        forged(SEALED, &[1; 60]),
        forged(SEALED, &[1; 70_000]),
        opening,
    ];
    for _ in 0..MOST_SEARCHES {
        for frame in &frames {
            assert!(matches!(two.at_a(frame), Ok(ReceivedFrame::Stale)), "{} bytes", frame.len());
        }
    }
    assert!(two.b_at_a.unopened > MOST_SEARCHES, "more than are looked into");
    let done = two.next_of_b(&Message::Done);
    assert!(matches!(two.at_a(&done), Ok(ReceivedFrame::Message(Message::Done))));
}

#[test]
fn a_frame_behind_one_that_is_missing_ends_the_alignment() {
    for lost in [1, LOOK_AHEAD] {
        let mut two = Two::talking();
        (0..lost).for_each(|_| drop(two.next_of_b(&Message::Done)));
        let next = two.next_of_b(&Message::Done);
        assert!(matches!(two.at_a(&next), Err(PeerFault::Seal)), "{lost} lost");
    }
    // One that was altered is as good as lost.
    let mut two = Two::talking();
    let mut altered = two.next_of_b(&Message::Done);
    *altered.last_mut().unwrap() ^= 1;
    assert!(matches!(two.at_a(&altered), Ok(ReceivedFrame::Stale)));
    let next = two.next_of_b(&Message::Done);
    assert!(matches!(two.at_a(&next), Err(PeerFault::Seal)));
}

/// What the network does before the next honest frame is handed over.
#[derive(Debug, Clone)]
enum Move {
    Pass,
    Lose,
    Repeat(prop::sample::Index),
    Alter(prop::sample::Index),
    Forge(u8, Vec<u8>),
}

fn any_move() -> impl Strategy<Value = Move> {
    let bytes = || prop::collection::vec(any::<u8>(), 0..80);
    prop_oneof![
        6 => Just(Move::Pass),
        1 => Just(Move::Lose),
        2 => any::<prop::sample::Index>().prop_map(Move::Repeat),
        2 => any::<prop::sample::Index>().prop_map(Move::Alter),
        2 => (0_u8..5, bytes()).prop_map(|(kind, payload)| Move::Forge(kind, payload)),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// What comes out is what the peer has said, from the first message on, each once and in order, and the one reason
    /// to stop is that something is missing.
    #[test]
    fn messages_come_as_they_were_said_or_not_at_all(moves in prop::collection::vec(any_move(), 1..60)) {
        let mut two = Two::talking();
        let route = Route { load: Load::Points, set: 1, hop: 0 };
        let (mut said, mut came, mut passed) = (0, 0, Vec::<Vec<u8>>::new());
        for what in moves {
            let frame = match what {
                Move::Repeat(_) if passed.is_empty() => continue,
                Move::Repeat(which) => passed[which.index(passed.len())].clone(),
                Move::Forge(kind, payload) => forged(kind, &payload),
                Move::Pass | Move::Lose | Move::Alter(_) => {
                    let mut frame = two.next_of_b(&Message::Have { route, chunks: said });
                    said += 1;
                    match what {
                        Move::Lose => continue,
                        Move::Alter(which) => {
                            let at = which.index(frame.len());
                            frame[at] ^= 1;
                        }
                        _ => passed.push(frame.clone()),
                    }
                    frame
                }
            };
            let before = came;
            match two.at_a(&frame) {
                Ok(ReceivedFrame::Message(message)) => {
                    prop_assert_eq!(message, Message::Have { route, chunks: came });
                    came += 1;
                }
                Ok(ReceivedFrame::Stale) => {}
                Ok(ReceivedFrame::Opened(_)) => panic!("a session without the key"),
                Err(fault) => {
                    prop_assert_eq!(fault, PeerFault::Seal);
                    prop_assert!(before + 1 < said, "nothing is missing");
                    return Ok(());
                }
            }
        }
        prop_assert!(came <= said);
    }
}
