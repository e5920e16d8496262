//! Holders that are killed and started again.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use hashvfl_core::PartyName;

use crate::fixture::{Fixture, Hub, ids};

/// Runs a holder to its end; the first `kills` say after how many frames its process dies.
fn stubborn(fixture: &Fixture, hub: &Hub, name: &PartyName, kills: &[u32]) {
    let mut kills = kills.iter();
    loop {
        let mut link = hub.join(name);
        link.frames_left = kills.next().copied();
        let killed = link.frames_left.is_some();
        let broke = Arc::clone(&link.broke);
        match fixture.run(name, link) {
            // One that has its result and dies while it waits for the others is started again too: they may need it.
            Ok(_) if broke.load(Ordering::Relaxed) => {}
            Ok(_) => return,
            Err(error) if killed || error.to_string().contains("it stopped") => {}
            Err(error) => panic!("{name}: {error}"),
        }
    }
}

#[test]
fn holders_that_die_at_any_moment_end_with_the_same_order() {
    for seed in 0..6_u32 {
        let fixture = Fixture::new(&[ids(0, 7_000, 1), ids(500, 8_000, 2), ids(250, 7_500, 3)]);
        let hub = Hub::default();
        std::thread::scope(|scope| {
            for (place, name) in fixture.settings.holders.iter().enumerate() {
                let kill = |n: u32| (seed * 7 + place as u32 * 5 + n * 11) % 23;
                let kills: Vec<u32> = (0..3).map(kill).collect();
                let (fixture, hub) = (&fixture, &hub);
                scope.spawn(move || stubborn(fixture, hub, name, &kills));
            }
        });
        let expected = fixture.expected();
        for name in &fixture.settings.holders {
            assert_eq!(fixture.order(name), expected, "seed {seed}, {name}");
        }
    }
}
