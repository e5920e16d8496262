//! What a relay passes on, whatever list of messages its holders send: frames of holders that are there, to holders that are
//! there, in order, and none that opens no session.

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
    Pass { visit: prop::sample::Index, to: usize, bytes: usize },
}

fn any_move() -> impl Strategy<Value = Move> {
    let visit = any::<prop::sample::Index>;
    let pass = (visit(), 0..=HOLDERS.len(), 0..2 * SESSION_BYTES);
    prop_oneof![
        4 => (0..HOLDERS.len()).prop_map(Move::Enter),
        1 => visit().prop_map(Move::Leave),
        1 => (0..HOLDERS.len()).prop_map(Move::GiveUp),
        1 => (0..=HOLDERS.len()).prop_map(Move::Refuse),
        12 => pass.prop_map(|(visit, to, bytes)| Move::Pass { visit, to, bytes }),
    ]
}

/// A visit, and the frames that should have come to it.
struct Guest {
    visit: Visit,
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
                Move::Pass { visit, to, bytes } => {
                    let guest = &guests[visit.index(guests.len())];
                    let (from, is_there) = (guest.visit.name.clone(), guest.here);
                    let envelope = Envelope { holder: name(to), sealed: vec![number; bytes] };
                    let passed = hub.pass(&from, guest.visit.number, envelope.clone());
                    prop_assert_eq!(passed.is_ok(), is_there, "a visit that is over passes nothing");
                    let mut there = guests.iter_mut().filter(|guest| guest.here);
                    if let Some(receiver) = there.find(|guest| guest.visit.name == envelope.holder)
                        && is_there
                        && bytes > SESSION_BYTES
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
