//! Pieces of work that need nothing of each other, spread over this machine's cores.

use std::num::NonZero;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

/// Does `work` on each of `items`, as many at a time as there are cores, and keeps their order. Those that take longest belong in
/// front. No result may depend on what is done at the same time.
pub fn on_all_cores<I: Sync, T: Send>(items: &[I], work: impl Fn(&I) -> T + Sync) -> Vec<T> {
    let threads = if items.len() < 2 { 1 } else { cores().min(items.len()) };
    let next = AtomicUsize::new(0);
    let mut done = thread::scope(|scope| {
        let mut others = Vec::new();
        for _ in 1..threads {
            others.push(scope.spawn(|| do_some(items, &next, &work)));
        }
        let mut done = do_some(items, &next, &work);
        for other in others {
            // Unwrap safety: a panic of the other thread is passed on.
            done.extend(other.join().expect("work on another core"));
        }
        done
    });
    done.sort_unstable_by_key(|(number, _)| *number);
    done.into_iter().map(|(_, result)| result).collect()
}

fn cores() -> usize {
    thread::available_parallelism().map_or(1, NonZero::get)
}

/// Does `work` on the `next` item that nobody has taken, until there is none; results with the numbers of their items.
fn do_some<I, T>(items: &[I], next: &AtomicUsize, work: &impl Fn(&I) -> T) -> Vec<(usize, T)> {
    let mut done = Vec::new();
    loop {
        let number = next.fetch_add(1, Ordering::Relaxed);
        let Some(item) = items.get(number) else { return done };
        done.push((number, work(item)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_item_is_worked_on_once_and_results_keep_their_order() {
        for count in [0, 1, 2, 300] {
            let items: Vec<u64> = (0..count).collect();
            let seen = AtomicUsize::new(0);
            let squares = on_all_cores(&items, |item| {
                seen.fetch_add(1, Ordering::Relaxed);
                item * item
            });
            assert_eq!(squares, items.iter().map(|item| item * item).collect::<Vec<u64>>());
            assert_eq!(seen.into_inner() as u64, count);
        }
    }
}
