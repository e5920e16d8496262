//! A run that is cancelled and started again: it goes on to the same bits, and nothing is over-counted.

use crate::cancelled::cancel;
use crate::restarted::points::{Point, held_at};
use crate::restarted::supervisor::{Restart, SIDES};
use crate::restarted::{Shape, assert_same};

#[test]
fn a_run_that_was_cancelled_goes_on_to_the_same_bits() {
    for point in [Point::Batch(3, 1), Point::Gradient(1, 2)] {
        let fixture = Shape::Plain.fixture();
        let mut run = held_at(&fixture, point);
        let (good, line) = cancel(&fixture, "coordinator.toml", &[]);
        assert!(good, "{line}");
        run.relays[0].open();
        run.all_end();
        for side in 0..SIDES.len() {
            assert_eq!(run.last_end(side).code, Some(1), "{}", run.told());
        }
        run.finish(Restart::WhenAllHaveEnded);
        assert_eq!(run.starts(), 2 * SIDES.len(), "{}", run.told());
        assert_same(&fixture, &run, Shape::Plain.undisturbed(), &format!("{point:?}, cancelled"));
    }
}
