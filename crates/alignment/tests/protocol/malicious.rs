//! A relay and holders that break the rules: each a clear error that shows no id.

use std::cell::Cell;
use std::sync::Mutex;
use std::time::Duration;

use hashvfl_alignment::curve::{Secret, identity};
use proptest::prelude::*;

use crate::fixture::{Fixture, Meddle, RelayHub, ids};

/// The errors of holders when the relay meddles. Whoever has a result has the right one.
fn errors_of(fixture: &Fixture, meddle: Meddle) -> Vec<String> {
    let mut errors = Vec::new();
    let outcomes = fixture.run_all(&RelayHub::meddling(meddle));
    for (holder, outcome) in fixture.settings.holders.iter().zip(outcomes) {
        match outcome {
            Ok(_) => assert_eq!(fixture.order(holder), fixture.expected(), "{holder}"),
            Err(error) => errors.push(error.to_string()),
        }
    }
    assert!(errors.iter().all(|error| !error.contains("id-") && !error.contains('\n')), "{errors:?}");
    errors
}

/// The same of two holders of some thousand records.
fn errors(meddle: Meddle) -> Vec<String> {
    errors_of(&Fixture::new(&[ids(0, 5_000, 1), ids(100, 5_100, 2)]), meddle)
}

/// Meddles once, with the first large frame from `a`: a chunk.
fn once(change: impl Fn(Vec<u8>) -> Vec<Vec<u8>> + Send + 'static) -> Meddle {
    let done = Mutex::new(Cell::new(false));
    Box::new(move |from, _, frame| {
        if from == "a" && frame.len() > 10_000 && !done.lock().unwrap().replace(true) {
            return change(frame);
        }
        vec![frame]
    })
}

#[test]
fn a_relay_can_neither_alter_nor_drop_nor_reorder() {
    let held = Mutex::new(Vec::new());
    let swapped: Meddle = Box::new(move |from, _, frame| {
        let mut held = held.lock().unwrap();
        match (from == "a" && frame.len() > 10_000, held.len()) {
            (true, 0) => {
                held.push(frame);
                vec![]
            }
            (true, 1) => {
                held.push(vec![]);
                vec![frame, held[0].clone()]
            }
            _ => vec![frame],
        }
    });
    let cases: Vec<(&str, Meddle)> = vec![
        (
            "altered",
            once(|mut frame| {
                frame[5_000] ^= 1;
                vec![frame]
            }),
        ),
        ("dropped", once(|_| vec![])),
        ("cut", once(|frame| vec![frame[..9_000].to_vec()])),
        ("reordered", swapped),
    ];
    for (what, meddle) in cases {
        let errors = errors(meddle);
        let is_found = |error: &String| error.contains("encrypted frames from it are missing");
        assert!(errors.iter().any(is_found), "{what}: {errors:?}");
    }
}

#[test]
fn what_a_relay_repeats_or_invents_changes_nothing() {
    let invented: Meddle = Box::new(|_, _, frame| {
        let forged = [&frame[..9], &[7; 900]].concat();
        vec![forged.clone(), frame, forged]
    });
    let repeated = once(|frame| vec![frame.clone(), frame]);
    let cases: [(&str, Meddle); 2] = [("repeated", repeated), ("invented", invented)];
    for (what, meddle) in cases {
        assert_eq!(errors(meddle), Vec::<String>::new(), "{what}");
    }
}

/// What a relay does with the next frame.
#[derive(Debug, Clone)]
enum Move {
    Pass,
    Lose,
    Hold,
    Repeat,
    Alter(prop::sample::Index),
    Invent(Vec<u8>),
}

fn any_move() -> impl Strategy<Value = Move> {
    prop_oneof![
        12 => Just(Move::Pass),
        1 => Just(Move::Lose),
        1 => Just(Move::Hold),
        1 => Just(Move::Repeat),
        1 => any::<prop::sample::Index>().prop_map(Move::Alter),
        1 => prop::collection::vec(any::<u8>(), 0..40).prop_map(Move::Invent),
    ]
}

/// A relay that does this with the frames that it gets, and passes all later ones.
fn doing(moves: Vec<Move>) -> Meddle {
    let state = Mutex::new((moves.into_iter(), None));
    Box::new(move |_, _, mut frame| {
        let (moves, held) = &mut *state.lock().unwrap();
        match moves.next().unwrap_or(Move::Pass) {
            Move::Pass => [Some(frame), held.take()].into_iter().flatten().collect(),
            Move::Lose => vec![],
            Move::Hold => held.replace(frame).into_iter().collect(),
            Move::Repeat => vec![frame.clone(), frame],
            Move::Alter(which) => {
                let at = which.index(frame.len());
                frame[at] ^= 1;
                vec![frame]
            }
            Move::Invent(bytes) => vec![[&frame[..9], &bytes].concat(), frame],
        }
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]

    /// A holder that ends has the right order, or says in one line why it has none: no list of frames makes it panic.
    #[test]
    fn whatever_a_relay_does_no_holder_has_a_wrong_order(moves in prop::collection::vec(any_move(), 1..40)) {
        let mut fixture = Fixture::new(&[ids(0, 300, 1), ids(30, 330, 2), ids(10, 310, 3)]);
        fixture.wait = Duration::from_secs(1);
        errors_of(&fixture, doing(moves));
    }
}

/// It needs a pinned key to speak as a holder, so it cannot slip in a guess under a holder's name.
#[test]
fn who_has_not_the_pinned_key_is_no_holder() {
    let honest = Fixture::new(&[ids(0, 50, 1), ids(0, 50, 2)]);
    let mut fixture = Fixture::new(&[ids(0, 50, 1), ids(0, 50, 2)]);
    let b = honest.settings.holders[1].clone();
    fixture.keys.insert(b.clone(), honest.keys[&b]);
    fixture.wait = Duration::from_secs(2);
    let outcomes = fixture.run_all(&RelayHub::default());
    let errors: Vec<String> = outcomes.into_iter().map(|outcome| outcome.unwrap_err().to_string()).collect();
    assert!(errors.iter().any(|error| error.contains("does not match the pinned keys")), "{errors:?}");
}

#[test]
fn a_holder_whose_key_is_not_pinned_is_named() {
    let mut fixture = Fixture::new(&[ids(0, 50, 1), ids(0, 50, 2)]);
    let b = fixture.settings.holders[1].clone();
    fixture.keys.remove(&b);
    let link = RelayHub::default().join(&fixture.settings.holders[0]);
    let error = fixture.run(&fixture.settings.holders[0], link).unwrap_err().to_string();
    assert!(error.contains("pins no key of b"), "{error}");
}

/// What `a` says when `b`, with the right key, sends these points as its blinded set.
fn refused(points: &[[u8; 32]]) -> String {
    let fixture = Fixture::new(&[ids(0, 50, 1), ids(0, 50, 2)]);
    fixture.rogue(&fixture.settings.holders[1], 1, points);
    let error = fixture.run_all(&RelayHub::default()).remove(0).unwrap_err().to_string();
    assert!(error.starts_with("b: "), "{error}");
    error
}

#[test]
fn bad_points_and_sets_beyond_the_agreed_size_are_refused() {
    let good = Secret::draw().unwrap().blind(&[[1; 32], [2; 32], [3; 32]]);
    assert!(refused(&[good[0], identity()]).contains("the identity"));
    assert!(refused(&[good[0], [0xff; 32]]).contains("not canonical"));
    let off = (1..)
        .map(|byte: u8| [2 * byte; 32])
        .find(|point| Secret::draw().unwrap().blind_again(&[*point]).is_err());
    assert!(refused(&[good[0], off.unwrap()]).contains("not canonical or not of the group"));
    assert!(refused(&[good[0], good[1], good[0]]).contains("a point twice"));
    assert!(
        refused(&vec![good[0]; 100_001]).contains("its set of 100001 records exceeds most_records = 100000")
    );
}
