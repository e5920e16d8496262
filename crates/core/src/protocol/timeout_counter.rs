//! When a run ends in which one side waits in vain at the same step again and again.
//!
//! A wait for longer than a limit interrupts a run, and it goes on from a checkpoint. Whoever was too slow does the same work
//! again then, and may take as long again: without a bound, all sides would begin again for ever.

/// Waits in a row that are in vain, none behind a later step than those before, after which a run ends.
pub const MOST_VAIN_WAITS: u32 = 3;

/// Waits for another side that took longer than their limit, over all attempts of a process at one run.
#[derive(Debug, Default, Clone, Copy)]
pub struct TimeoutCounter {
    furthest: u64,
    in_a_row: u32,
}

impl TimeoutCounter {
    /// Notes that a wait at `step` was in vain; whether it was the last. A later step says that the run gets on, however slowly.
    pub fn note(&mut self, step: u64) -> bool {
        if step > self.furthest {
            *self = Self { furthest: step, in_a_row: 0 };
        }
        self.in_a_row += 1;
        self.in_a_row >= MOST_VAIN_WAITS
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_third_wait_at_one_step_is_the_last_and_a_run_that_gets_on_is_borne() {
        let ended = |steps: &[u64]| {
            let mut waits = TimeoutCounter::default();
            steps.iter().map(|step| waits.note(*step)).collect::<Vec<_>>()
        };
        assert_eq!(ended(&[7, 7, 7]), [false, false, true]);
        assert_eq!(ended(&[0, 0, 0]), [false, false, true], "before the first step");
        assert_eq!(ended(&[7, 3, 6]), [false, false, true], "never beyond step 7");
        assert_eq!(ended(&[7, 7, 8, 8, 9, 10]), [false; 6]);
        assert_eq!(ended(&[7, 7, 8, 8, 8]), [false, false, false, false, true]);
    }
}
