//! Holders that are killed and started again.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use hashvfl_alignment::AlignmentError;
use hashvfl_core::PartyName;

use crate::fixture::{Fixture, RelayHub, ids};

/// How long the others may take until a holder that is through is started again.
const PATIENCE: Duration = Duration::from_secs(3);

/// Runs a holder until all are `through`; the first `kills` say after how many frames its process dies. One that has its
/// result is started again where others still lack theirs, as their operators are told to ask for.
fn stubborn(fixture: &Fixture, hub: &RelayHub, name: &PartyName, kills: &[u32], through: &AtomicUsize) {
    let mut kills = kills.iter();
    let mut had_result = false;
    loop {
        let mut link = hub.join(name);
        link.frames_left = kills.next().copied();
        let killed = link.frames_left.is_some();
        match fixture.run(name, link) {
            Ok(_) => {
                let first = !std::mem::replace(&mut had_result, true);
                through.fetch_add(usize::from(first), Ordering::Relaxed);
            }
            Err(error) if killed || error.to_string().contains("has stopped") => continue,
            Err(error) => panic!("{name}: {error}"),
        }
        let since = Instant::now();
        while since.elapsed() < PATIENCE {
            if through.load(Ordering::Relaxed) == fixture.settings.holders.len() {
                return;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

#[test]
fn holders_that_die_at_any_moment_end_with_the_same_order() {
    for seed in 0..6_u32 {
        let fixture = Fixture::new(&[ids(0, 7_000, 1), ids(500, 8_000, 2), ids(250, 7_500, 3)]);
        let (hub, through) = (RelayHub::default(), AtomicUsize::new(0));
        std::thread::scope(|scope| {
            for (place, name) in fixture.settings.holders.iter().enumerate() {
                let kill = |n: u32| (seed * 7 + place as u32 * 5 + n * 11) % 23;
                let kills: Vec<u32> = (0..3).map(kill).collect();
                let (fixture, hub, through) = (&fixture, &hub, &through);
                scope.spawn(move || stubborn(fixture, hub, name, &kills, through));
            }
        });
        let expected = fixture.expected();
        for name in &fixture.settings.holders {
            assert_eq!(fixture.order(name), expected, "seed {seed}, {name}");
        }
    }
}

#[test]
fn a_holder_that_was_asked_to_end_ends_nobody_elses_alignment_and_goes_on_later() {
    let fixture = Fixture::new(&[ids(0, 300, 1), ids(100, 400, 2), ids(50, 350, 3)]);
    let [a, b, c] = fixture.settings.holders.as_slice() else { panic!("three holders") };
    let hub = RelayHub::default();
    std::thread::scope(|scope| {
        let (fixture, hub) = (&fixture, &hub);
        let waiting = scope.spawn(move || fixture.run(b, hub.join(b)));
        let link = hub.join(a);
        // c has not come: a waits for it by then.
        let asks = scope.spawn(move || {
            std::thread::sleep(Duration::from_millis(300));
            hub.ask_to_end(a);
        });
        assert!(matches!(fixture.run(a, link), Err(AlignmentError::AskedToEnd)));
        asks.join().unwrap();
        let others = [a, c].map(|name| scope.spawn(move || fixture.run(name, hub.join(name))));
        for ended in [waiting].into_iter().chain(others) {
            assert!(ended.join().unwrap().is_ok());
        }
    });
    let expected = fixture.expected();
    for name in &fixture.settings.holders {
        assert_eq!(fixture.order(name), expected, "{name}");
    }
}
