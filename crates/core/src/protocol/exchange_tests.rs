use std::collections::VecDeque;

use proptest::prelude::*;

use super::*;

/// One side of a line that breaks: what it said, and what came to it.
struct Side {
    exchange: Exchange<u32>,
    said: Vec<u32>,
    heard: Vec<u32>,
}

impl Side {
    fn new() -> Self {
        Self { exchange: Exchange::new(), said: Vec::new(), heard: Vec::new() }
    }

    fn say(&mut self, message: u32) {
        self.said.push(message);
        self.exchange.sent(message, &message.to_le_bytes());
    }

    fn hear(&mut self, message: u32) {
        self.heard.push(message);
        self.exchange.received(&message.to_le_bytes());
    }
}

/// What is on its way: on a new connection a mark comes first.
#[derive(Debug, Clone, Copy)]
enum OnTheWay {
    Mark(Mark),
    Message(u32),
}

/// Two sides and what is on its way between them. Side 0 is the party: it dials.
struct Line {
    sides: [Side; 2],
    /// To each side.
    on_the_way: [VecDeque<OnTheWay>; 2],
    /// Whether each side sends what it says, since it knows where the other is.
    resumed: [bool; 2],
    next: u32,
}

impl Line {
    fn new() -> Self {
        let on_the_way = [VecDeque::new(), VecDeque::new()];
        Self { sides: [Side::new(), Side::new()], on_the_way, resumed: [true; 2], next: 0 }
    }

    /// Whether a side may say more: the protocol has few messages open at a time.
    fn may_say(&self, side: usize) -> bool {
        self.sides[side].said.len() - self.sides[1 - side].heard.len() < KEPT
    }

    fn say(&mut self, side: usize) {
        if !self.may_say(side) {
            return;
        }
        self.next += 1;
        self.sides[side].say(self.next);
        if self.resumed[side] {
            self.on_the_way[1 - side].push_back(OnTheWay::Message(self.next));
        }
    }

    /// The next thing on its way to a side arrives.
    fn arrive(&mut self, side: usize) {
        match self.on_the_way[side].pop_front() {
            None => {}
            Some(OnTheWay::Message(message)) => self.sides[side].hear(message),
            Some(OnTheWay::Mark(mark)) => {
                let missing = self.sides[side].exchange.resume(&mark).unwrap();
                let other = &mut self.on_the_way[1 - side];
                if side == 1 {
                    other.push_back(OnTheWay::Mark(self.sides[1].exchange.mark()));
                }
                other.extend(missing.into_iter().map(OnTheWay::Message));
                self.resumed[side] = true;
            }
        }
    }

    /// The connection breaks, with all that is on its way, and the party says on a new one where it is.
    fn cut(&mut self) {
        let mark = self.sides[0].exchange.mark();
        self.on_the_way = [VecDeque::new(), VecDeque::from([OnTheWay::Mark(mark)])];
        self.resumed = [false; 2];
    }

    fn all_arrives(&mut self) {
        while self.on_the_way.iter().any(|queue| !queue.is_empty()) {
            self.arrive(1);
            self.arrive(0);
        }
    }
}

#[derive(Debug, Clone, Copy)]
enum Move {
    Say(usize),
    Arrive(usize),
    Cut,
}

fn any_move() -> impl Strategy<Value = Move> {
    prop_oneof![
        4 => (0_usize..2).prop_map(Move::Say),
        5 => (0_usize..2).prop_map(Move::Arrive),
        2 => Just(Move::Cut),
    ]
}

proptest! {
    #[test]
    fn whatever_is_cut_all_arrives_once_and_in_order(moves in prop::collection::vec(any_move(), 0..190)) {
        let mut line = Line::new();
        for one in moves {
            match one {
                Move::Say(side) => line.say(side),
                Move::Arrive(side) => line.arrive(side),
                Move::Cut => line.cut(),
            }
            for side in 0..2 {
                let heard = &line.sides[side].heard;
                prop_assert_eq!(heard.as_slice(), &line.sides[1 - side].said[..heard.len()]);
            }
        }
        line.cut();
        line.all_arrives();
        prop_assert_eq!(&line.sides[0].heard, &line.sides[1].said);
        prop_assert_eq!(&line.sides[1].heard, &line.sides[0].said);
    }

    #[test]
    fn one_other_message_ends_it(said in 1_usize..40, heard in 0_usize..40, other in 0_usize..40) {
        let (heard, other) = (heard % (said + 1), other % said);
        let (mut speaker, mut listener) = (Side::new(), Side::new());
        for message in 0..said as u32 {
            speaker.say(message);
        }
        for message in 0..heard {
            listener.hear(if message == other { 1_000 } else { message as u32 });
        }
        let resumed = speaker.exchange.resume(&listener.exchange.mark());
        let expected = if said - heard > KEPT {
            Err(ResumeError::Behind { received: heard as u64, sent: said as u64 })
        } else if other < heard {
            Err(ResumeError::OtherMessages { received: heard as u64 })
        } else {
            Ok((heard as u32..said as u32).collect())
        };
        prop_assert_eq!(resumed, expected);
    }
}

#[test]
fn whoever_has_more_than_was_sent_is_of_another_past() {
    let (mut speaker, mut listener) = (Side::new(), Side::new());
    speaker.say(1);
    listener.hear(1);
    listener.hear(2);
    let ahead = speaker.exchange.resume(&listener.exchange.mark());
    assert_eq!(ahead, Err(ResumeError::Ahead { received: 2, sent: 1 }));
}

#[test]
fn a_message_that_breaks_every_connection_is_not_repeated_for_ever() {
    let (mut speaker, listener) = (Side::new(), Side::new());
    speaker.say(1);
    let mark = listener.exchange.mark();
    for _ in 0..MOST_RETURNS {
        assert_eq!(speaker.exchange.resume(&mark), Ok(vec![1]));
    }
    assert_eq!(speaker.exchange.resume(&mark), Err(ResumeError::InVain));
    speaker.hear(9);
    assert_eq!(speaker.exchange.resume(&mark), Ok(vec![1]));
}
