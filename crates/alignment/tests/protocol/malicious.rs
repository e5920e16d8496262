//! A relay and holders that break the rules: each a clear error that shows no id.

use std::cell::Cell;
use std::sync::Mutex;

use hashvfl_alignment::curve::{Secret, identity};

use crate::fixture::{Fixture, Meddle, RelayHub, ids};

/// The errors of both holders when the relay meddles.
fn errors(meddle: Meddle) -> Vec<String> {
    let fixture = Fixture::new(&[ids(0, 5_000, 1), ids(100, 5_100, 2)]);
    let outcomes = fixture.run_all(&RelayHub::meddling(meddle));
    let errors: Vec<String> =
        outcomes.into_iter().filter_map(|outcome| outcome.err().map(|error| error.to_string())).collect();
    assert!(errors.iter().all(|error| !error.contains("id-") && !error.contains('\n')), "{errors:?}");
    errors
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
fn a_relay_can_neither_alter_nor_repeat_nor_drop_nor_reorder_nor_invent() {
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
        ("repeated", once(|frame| vec![frame.clone(), frame])),
        ("dropped", once(|_| vec![])),
        ("cut", once(|frame| vec![frame[..9_000].to_vec()])),
        (
            "invented",
            once(|frame| {
                let mut forged = frame[..9].to_vec();
                forged.extend([7; 900]);
                vec![forged, frame]
            }),
        ),
        ("reordered", swapped),
    ];
    for (what, meddle) in cases {
        let errors = errors(meddle);
        assert!(errors.iter().any(|error| error.contains("does not authenticate")), "{what}: {errors:?}");
    }
}

/// It needs a pinned key to speak as a holder, so it cannot slip in a guess under a holder's name.
#[test]
fn who_has_not_the_pinned_key_is_no_holder() {
    let honest = Fixture::new(&[ids(0, 50, 1), ids(0, 50, 2)]);
    let mut fixture = Fixture::new(&[ids(0, 50, 1), ids(0, 50, 2)]);
    let b = honest.settings.holders[1].clone();
    fixture.keys.insert(b.clone(), honest.keys[&b]);
    fixture.wait = std::time::Duration::from_secs(2);
    let outcomes = fixture.run_all(&RelayHub::default());
    let errors: Vec<String> = outcomes.into_iter().map(|outcome| outcome.unwrap_err().to_string()).collect();
    assert!(errors.iter().any(|error| error.contains("does not fit the pinned keys")), "{errors:?}");
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
    assert!(refused(&vec![good[0]; 100_001]).contains("its set of 100001 is larger than the 100000"));
}
