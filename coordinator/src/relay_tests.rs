//! What a relay passes on, whatever list of messages its holders send: frames of holders that are there, to other holders that
//! are there, in order, and none that is of no kind or opens no session.

use proptest::prelude::*;

use super::*;

const HOLDERS: [&str; 3] = ["bank", "telecom", "shop"];
/// Whom frames may name besides.
const NOBODY: &str = "nobody";

fn name(which: usize) -> PartyName {
    PartyName::new(HOLDERS.get(which).copied().unwrap_or(NOBODY)).unwrap()
}

#[derive(Debug, Clone)]
enum Move {
    Enter(usize),
    Leave(prop::sample::Index),
    GiveUp(usize),
    Refuse(usize),
    Pass { visit: prop::sample::Index, to: usize, kind: u8, bytes: usize },
}

fn any_move() -> impl Strategy<Value = Move> {
    let visit = any::<prop::sample::Index>;
    let pass = (visit(), 0..=HOLDERS.len(), 0..5_u8, 0..2 * SESSION_BYTES);
    prop_oneof![
        4 => (0..HOLDERS.len()).prop_map(Move::Enter),
        1 => visit().prop_map(Move::Leave),
        1 => (0..HOLDERS.len()).prop_map(Move::GiveUp),
        1 => (0..=HOLDERS.len()).prop_map(Move::Refuse),
        12 => pass.prop_map(|(visit, to, kind, bytes)| Move::Pass { visit, to, kind, bytes }),
    ]
}

/// A visit, and the frames that should have come to it.
struct Guest {
    visit: HolderSession,
    here: bool,
    due: Vec<(PartyName, Vec<u8>)>,
}

impl Guest {
    fn came(&mut self) -> Vec<(PartyName, Vec<u8>)> {
        let mut came = Vec::new();
        while let Ok(message) = self.visit.messages.try_recv() {
            if let FromRelay::Envelope(envelope) = message {
                came.push((envelope.holder, envelope.sealed));
            }
        }
        came
    }
}

/// Who is no longer there under `holder`.
fn end(guests: &mut [Guest], holder: &PartyName) {
    guests.iter_mut().filter(|guest| guest.visit.name == *holder).for_each(|guest| guest.here = false);
}

fn hub() -> Arc<RelayHub> {
    let text = format!("id = \"spring\"\nholders = {HOLDERS:?}\ncomparer = \"shop\"\nmost_records = 100\n");
    RelayHub::new(toml::from_str(&text).unwrap())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn frames_go_from_whoever_is_there_to_whoever_is_there_and_open_a_session(
        moves in prop::collection::vec(any_move(), 1..80),
    ) {
        let (hub, mut guests) = (hub(), Vec::<Guest>::new());
        for (number, what) in (0_u8..).zip(moves) {
            match what {
                Move::Enter(which) => {
                    end(&mut guests, &name(which));
                    guests.push(Guest { visit: hub.enter(&name(which)), here: true, due: Vec::new() });
                }
                Move::GiveUp(which) => {
                    hub.give_up(&name(which));
                    end(&mut guests, &name(which));
                }
                Move::Refuse(which) => hub.refuse(&name(which)),
                Move::Leave(_) | Move::Pass { .. } if guests.is_empty() => {}
                Move::Leave(which) => {
                    let guest = which.index(guests.len());
                    hub.leave(&guests[guest].visit.name, guests[guest].visit.number);
                    guests[guest].here = false;
                }
                Move::Pass { visit, to, kind, bytes } => {
                    let guest = &guests[visit.index(guests.len())];
                    let (from, is_there) = (guest.visit.name.clone(), guest.here);
                    let mut sealed = vec![number; bytes];
                    sealed.iter_mut().take(1).for_each(|first| *first = kind);
                    let envelope = Envelope { holder: name(to), sealed };
                    let passed = hub.pass(&from, guest.visit.number, envelope.clone());
                    prop_assert_eq!(passed.is_ok(), is_there, "a visit that is over passes nothing");
                    let mut there = guests.iter_mut().filter(|guest| guest.here);
                    if let Some(receiver) = there.find(|guest| guest.visit.name == envelope.holder)
                        && is_there
                        && bytes > SESSION_BYTES
                        && KINDS.contains(&kind)
                        && envelope.holder != from
                    {
                        receiver.due.push((from, envelope.sealed));
                    }
                }
            }
        }
        prop_assert_eq!(hub.is_empty(), !guests.iter().any(|guest| guest.here));
        for guest in &mut guests {
            let came = guest.came();
            prop_assert_eq!(&came, &guest.due);
        }
    }
}

/// What a visitor has been told of other holders.
fn told(visit: &mut HolderSession) -> Vec<String> {
    let mut told = Vec::new();
    while let Ok(message) = visit.messages.try_recv() {
        told.push(match message {
            FromRelay::Presence { holder, here } => format!("{holder} here: {here}"),
            FromRelay::Absence { holder, refused } => format!("{holder} refused: {refused}"),
            FromRelay::Envelope(_) | FromRelay::Refused { .. } => panic!("nobody sent anything"),
        });
    }
    told
}

#[test]
fn whoever_comes_after_a_refusal_hears_of_it_until_that_holder_is_let_in() {
    let (hub, [bank, telecom, shop]) = (hub(), [0, 1, 2].map(name));
    hub.refuse(&bank);
    hub.give_up(&shop);
    let mut first = hub.enter(&telecom);
    assert_eq!(told(&mut first), ["bank refused: true", "shop refused: false"]);
    hub.refuse(&bank);
    hub.refuse(&PartyName::new(NOBODY).unwrap());
    assert!(told(&mut first).is_empty(), "once is enough, and a stranger concerns nobody");
    let _bank = hub.enter(&bank);
    hub.refuse(&bank);
    assert_eq!(told(&mut first), ["bank here: true"], "one that is there is not absent");
    let mut last = hub.enter(&shop);
    assert_eq!(told(&mut last), ["bank here: true", "telecom here: true"]);
    assert!(!hub.has_told_all(), "the bank has not been told of the shop");
}

#[test]
fn a_holder_that_sends_without_end_is_dropped_and_crowds_out_no_other() {
    let (hub, [bank, telecom, shop]) = (hub(), [0, 1, 2].map(name));
    let [sender, honest, mut reader] = [&bank, &telecom, &shop].map(|name| hub.enter(name));
    let pass = |from: &HolderSession, bytes: usize| {
        let envelope = Envelope { holder: shop.clone(), sealed: vec![3; bytes] };
        hub.pass(&from.name, from.number, envelope)
    };
    let passed = (0..10_000).find(|_| pass(&sender, FRAME_BYTES - 1024).is_err());
    assert!(passed.is_some_and(|frames| frames * MAX_SEALED_BYTES < 32 << 20), "{passed:?}");
    let error = pass(&sender, FRAME_BYTES - 1024).unwrap_err().to_string();
    assert_eq!(error, "bank sends faster than shop reads, against the protocol");
    (0..200).for_each(|_| pass(&honest, MAX_SEALED_BYTES).unwrap());
    // What is taken makes room.
    while let Ok(message) = reader.messages.try_recv() {
        if let FromRelay::Envelope(Envelope { holder, sealed }) = message {
            reader.waiting.give_back(&holder, &sealed);
        }
    }
    pass(&sender, MAX_SEALED_BYTES).unwrap();
}
