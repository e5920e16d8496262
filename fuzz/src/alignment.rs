//! What another holder of an alignment sends, and a relay in its name: messages, points, frames, and whole alignments with a
//! holder that has the right key and says what it likes.

use std::collections::VecDeque;
use std::time::Duration;

use hashvfl_alignment::curve::{POINT_BYTES, Secret};
use hashvfl_alignment::identity::SecretKey;
use hashvfl_alignment::{
    AlignmentError, AlignmentFolder, AlignmentResult, AlignmentSettings, Case, Holder, HolderLimits, Load,
    Message, Peer, PinnedKey, ReceivedFrame, Relay, RelayError, RelayEvent, Route, Spool, Unicode,
};
use hashvfl_core::{PartyName, RunId};
use tempfile::TempDir;

use crate::pieces::{change, piece, pieces};

/// No alignment of this process with itself waits as long.
const WAIT: Duration = Duration::from_secs(20);
const MEMORY_BYTES: usize = 1 << 16;
/// Records of the holder at work.
const RECORDS: [&str; 3] = ["one", "two", "three"];
/// Records that either holder may bring.
const MOST_RECORDS: u64 = 10;
/// A scalar: the same in all processes, so that seeds are.
const SCALAR: [u8; 32] = [3; 32];

/// The first byte says what the others are.
pub fn target(bytes: &[u8]) {
    let Some((kind, bytes)) = bytes.split_first() else { return };
    thread_local!(static HOME: Home = Home::new());
    match kind % 5 {
        0 => message(bytes),
        1 => points(bytes),
        2 => pin(bytes),
        3 => HOME.with(|home| home.frames(bytes)),
        _ => {
            if let Ok(outcome) = HOME.with(|home| home.align(bytes)) {
                assert!(outcome.common <= outcome.records, "{outcome:?}");
            }
        }
    }
}

/// A message is read as it was written, or not at all.
fn message(bytes: &[u8]) {
    if let Ok(message) = Message::from_bytes(bytes) {
        assert_eq!(message.to_bytes(), bytes);
    }
}

/// Points that are taken are points again when they are blinded.
fn points(bytes: &[u8]) {
    let secret = scalar();
    let points = bytes.as_chunks::<POINT_BYTES>().0;
    if let Ok(blinded) = secret.blind_again(points) {
        assert_eq!(blinded.len(), points.len());
        assert!(secret.blind_again(&blinded).is_ok(), "what is blinded is of the group");
    }
}

/// A key that another holder has told, on a command line.
fn pin(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    if let Ok(pin) = text.parse::<PinnedKey>() {
        let again = format!("{}={}", pin.holder, pin.key).parse();
        assert_eq!(again, Ok(pin), "what was read is read again");
    }
}

fn scalar() -> Secret {
    Secret::from_bytes(SCALAR).expect("a scalar")
}

/// Two holders with their keys: made once a thread. The one whose name comes first is at work, and compares.
struct Home {
    settings: AlignmentSettings,
    names: [PartyName; 2],
    keys: [SecretKey; 2],
    _folder: TempDir,
}

impl Home {
    fn new() -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let names = ["bank", "shop"].map(|name| PartyName::new(name).expect("a name"));
        let keys = ["bank", "shop"].map(|name| SecretKey::create(&folder.path().join(name)).expect("a key"));
        let settings = AlignmentSettings {
            id: RunId::new("spring").expect("an id"),
            holders: names.to_vec(),
            comparer: names[0].clone(),
            case: Case::Keep,
            unicode: Unicode::Nfc,
            key_columns: 1,
            most_records: MOST_RECORDS,
        };
        Self { settings, names, keys, _folder: folder }
    }

    /// The holder of this place as the other one sees it.
    fn peer(&self, place: usize) -> Peer {
        let [bank, shop] = &self.names;
        Peer::new(self.names[place].clone(), self.keys[place].public(), &self.settings.digest(), [bank, shop])
    }

    /// Pieces say what comes to either holder: frames of a stranger, or frames of the other one that were changed.
    fn frames(&self, bytes: &[u8]) {
        let [bank_key, shop_key] = &self.keys;
        let (mut shop_at_bank, mut bank_at_shop) = (self.peer(1), self.peer(0));
        for piece in pieces(bytes) {
            let Some((kind, piece)) = piece.split_first() else { continue };
            match kind % 4 {
                0 => stranger(&mut shop_at_bank, bank_key, piece),
                1 => stranger(&mut bank_at_shop, shop_key, piece),
                2 => {
                    let mut hello = shop_at_bank.greet(bank_key, [7; 8]).expect("a first frame");
                    change(&mut hello, 0, piece);
                    let received = bank_at_shop.receive(&hello, shop_key);
                    assert!(received.is_ok(), "a first frame ends nothing");
                    if let Ok(ReceivedFrame::Opened(Some(reply))) = received {
                        assert!(shop_at_bank.receive(&reply, bank_key).is_ok(), "nor does the answer");
                    }
                }
                _ => {
                    let Ok(Some(mut sealed)) = shop_at_bank.seal(&Message::Done) else { continue };
                    let before = sealed.clone();
                    change(&mut sealed, 0, piece);
                    if let Ok(ReceivedFrame::Message(message)) = bank_at_shop.receive(&sealed, shop_key) {
                        assert_eq!(
                            (message, sealed),
                            (Message::Done, before),
                            "what was changed does not open"
                        );
                    }
                }
            }
        }
    }

    /// An alignment of the bank with a shop that sends what `script` says, piece by piece.
    fn align(&self, script: &[u8]) -> Result<AlignmentResult, AlignmentError> {
        let place = tempfile::tempdir().expect("a temporary folder");
        let folder = AlignmentFolder::open(place.path(), &self.settings)?;
        let mut spool = Spool::new(&folder, &self.settings, MEMORY_BYTES)?;
        for id in RECORDS {
            spool.push(id)?;
        }
        spool.finish(None)?;
        folder.begin()?;
        let [bank, shop] = &self.names;
        let [bank_key, shop_key] = &self.keys;
        let relay = Script {
            peer: self.peer(0),
            key: shop_key,
            name: shop,
            pieces: pieces(script).into(),
            events: VecDeque::from([RelayEvent::Arrived(shop.clone())]),
        };
        let pinned = |holder: &PartyName| (holder == shop).then(|| shop_key.public());
        let limits = HolderLimits { wait: WAIT, memory_bytes: MEMORY_BYTES };
        Holder::new(&self.settings, bank, &folder, bank_key, &pinned, relay, limits)?.run(&mut |_| {})
    }
}

/// Takes a frame that no key has sealed.
fn stranger(peer: &mut Peer, key: &SecretKey, frame: &[u8]) {
    let was_open = peer.is_open();
    assert!(
        matches!(peer.receive(frame, key), Ok(ReceivedFrame::Stale)),
        "a stranger's frame is passed over"
    );
    assert_eq!(peer.is_open(), was_open, "and the session goes on");
}

/// First bytes of pieces of a script that are no message.
const ARRIVED: u8 = 0xf0;
const LEFT: u8 = 0xf1;
const GAVE_UP: u8 = 0xf2;
const FRAME: u8 = 0xf3;

/// A relay with another holder behind it, that says what a script says.
struct Script<'a> {
    /// The holder at work, as the other one sees it.
    peer: Peer,
    key: &'a SecretKey,
    name: &'a PartyName,
    pieces: VecDeque<&'a [u8]>,
    events: VecDeque<RelayEvent>,
}

impl Script<'_> {
    /// What becomes of a piece; nothing where no session is open to say it in.
    fn event(&mut self, piece: &[u8]) -> Option<RelayEvent> {
        let name = self.name.clone();
        match piece.split_first() {
            Some((&ARRIVED, _)) => Some(RelayEvent::Arrived(name)),
            Some((&LEFT, _)) => Some(RelayEvent::Left(name)),
            Some((&GAVE_UP, _)) => Some(RelayEvent::GaveUp(name)),
            Some((&FRAME, frame)) => Some(RelayEvent::Frame(name, frame.to_vec())),
            _ => {
                let message = Message::from_bytes(piece).ok()?;
                let sealed = self.peer.seal(&message).ok()??;
                Some(RelayEvent::Frame(name, sealed))
            }
        }
    }
}

impl Relay for Script<'_> {
    fn receive(&mut self, wait: Duration) -> Result<Option<RelayEvent>, RelayError> {
        if let Some(event) = self.events.pop_front() {
            return Ok(Some(event));
        }
        // The holder does all that it can before it hears the next message.
        if wait.is_zero() {
            return Ok(None);
        }
        while let Some(piece) = self.pieces.pop_front() {
            if let Some(event) = self.event(piece) {
                return Ok(Some(event));
            }
        }
        Err(RelayError("the script is at its end".to_string()))
    }

    fn send(&mut self, _: &PartyName, frame: Vec<u8>) -> Result<(), RelayError> {
        if let Ok(ReceivedFrame::Opened(Some(reply))) = self.peer.receive(&frame, self.key) {
            self.events.push_back(RelayEvent::Frame(self.name.clone(), reply));
        }
        Ok(())
    }
}

/// All that the other holder says in an honest alignment without a common record.
fn honest() -> Vec<Message> {
    let points = scalar().blind(&[[1; 32], [2; 32], [3; 32]]).into_flattened();
    let tags: Vec<u8> = [[1; 16], [2; 16], [3; 16]].concat();
    let route = |load, set, hop| Route { load, set, hop };
    let chunk = |route, total, bytes| Message::Chunk { route, index: 0, total, bytes };
    let have = |route, chunks| Message::Have { route, chunks };
    let (own, theirs) = (route(Load::Points, 0, 0), route(Load::Points, 1, 0));
    let (verdict, passed_on) = (route(Load::Verdict, 0, 1), route(Load::Verdict, 1, 0));
    vec![
        have(own, 0),
        chunk(theirs, 3, points),
        have(own, 1),
        chunk(route(Load::Tags, 0, 0), 3, tags),
        have(verdict, 0),
        have(verdict, 1),
        have(passed_on, 0),
        have(passed_on, 1),
        chunk(route(Load::Verdict, 0, 0), 1, vec![0]),
        Message::Done,
    ]
}

/// An input of kind 4 in which the other holder says these.
fn script(messages: &[Message]) -> Vec<u8> {
    let pieces: Vec<u8> = messages.iter().flat_map(|message| piece(&message.to_bytes())).collect();
    [&[4][..], &pieces].concat()
}

/// Inputs with which a fuzzer begins: valid ones, and some that nearly are.
pub fn seeds() -> Vec<Vec<u8>> {
    let honest = honest();
    let mut seeds: Vec<Vec<u8>> =
        honest.iter().map(|message| [&[0][..], &message.to_bytes()].concat()).collect();
    seeds.push([&[0][..], &Message::Failed.to_bytes()].concat());
    for count in [1, 2, 65] {
        let blinded = scalar().blind(&vec![[7; 32]; count]).into_flattened();
        seeds.push([&[1][..], &blinded].concat());
    }
    seeds.push([&[2][..], format!("bank={}", "5a".repeat(32)).as_bytes()].concat());
    let stranger: [&[u8]; 3] = [
        &[0, 1, 7, 7, 7, 7, 7, 7, 7, 7, 1],
        &[0, 2, 7, 7, 7, 7, 7, 7, 7, 7, 1],
        &[0, 3, 7, 7, 7, 7, 7, 7, 7, 7, 1],
    ];
    let talks: [&[&[u8]]; 5] = [
        // The session opens, and messages come; once more.
        &[&[2], &[3], &[3]],
        &[&[2], &[3], &[2], &[3]],
        // A bit of the first frame's key is changed, and then one of a sealed message.
        &[&[2, 9, 0, 1], &[2], &[3, 9, 0, 1], &[3]],
        // A stranger sends a frame of each kind, before a session and in it.
        &[stranger[0], stranger[1], stranger[2], &[2], stranger[0], stranger[1], stranger[2], &[3]],
        &[&[2], &[1, 1, 7, 7, 7, 7, 7, 7, 7, 7, 1], &[1, 3, 7, 7, 7, 7, 7, 7, 7, 7, 1], &[3]],
    ];
    for talk in talks {
        let pieces: Vec<u8> = talk.iter().flat_map(|bytes| piece(bytes)).collect();
        seeds.push([&[3][..], &pieces].concat());
    }
    seeds.push(script(&honest));
    // Each time one message is left out, or comes twice.
    for at in 0..honest.len() {
        let (before, from) = honest.split_at(at);
        seeds.push(script(&[before, &from[1..]].concat()));
        seeds.push(script(&[before, &from[..1], from].concat()));
    }
    for first in [ARRIVED, LEFT, GAVE_UP, FRAME] {
        let begun = script(&honest[..2]);
        seeds.push([begun, piece(&[first]), piece(&[ARRIVED]), script(&honest[2..])[1..].to_vec()].concat());
    }
    seeds
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_honest_script_ends_with_an_outcome_and_a_shorter_one_does_not() {
        let (home, honest) = (Home::new(), honest());
        let outcome = home.align(&script(&honest)[1..]).unwrap();
        assert_eq!((outcome.records, outcome.common), (3, 0));
        for at in 0..honest.len() - 1 {
            assert!(home.align(&script(&honest[..at])[1..]).is_err(), "{at} messages");
        }
    }

    #[test]
    fn the_frames_of_the_seeds_open_a_session() {
        let home = Home::new();
        let (mut shop_at_bank, mut bank_at_shop) = (home.peer(1), home.peer(0));
        let hello = shop_at_bank.greet(&home.keys[0], [7; 8]).unwrap();
        let Ok(ReceivedFrame::Opened(Some(reply))) = bank_at_shop.receive(&hello, &home.keys[1]) else {
            panic!("no answer")
        };
        assert!(matches!(shop_at_bank.receive(&reply, &home.keys[0]), Ok(ReceivedFrame::Opened(None))));
        let sealed = shop_at_bank.seal(&Message::Done).unwrap().unwrap();
        assert!(matches!(
            bank_at_shop.receive(&sealed, &home.keys[1]),
            Ok(ReceivedFrame::Message(Message::Done))
        ));
    }
}
