//! What a fuzzer has found, and what it began with: each file of a corpus is one input. None may panic, and none may take more
//! memory than its bound.

use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::{fs, panic};

use hashvfl_core::limits::MAX_MESSAGE_BYTES;
use hashvfl_fuzz::{TARGETS, Target, corpus, frames, seed_name};
use peak_alloc::PeakAlloc;

#[global_allocator]
static ALLOCATED: PeakAlloc = PeakAlloc;

/// Panics so far: one in a task of a runtime ends that task alone, and would be seen by nobody.
static PANICS: AtomicUsize = AtomicUsize::new(0);

/// Bytes that one input may take beside what it takes for each of its own.
const MOST_BYTES: usize = 16 << 20;
/// Bytes that one input may take for each of its own: an empty text of a list takes two on the wire, and 24 in memory. A list
/// that grows holds three halves of that for a while, and what was read is written again.
const BYTES_PER_BYTE: usize = 64;

/// Names and contents of a target's corpus, in the order of the names.
fn inputs(target: &Target) -> Vec<(PathBuf, Vec<u8>)> {
    let folder = corpus(target.name);
    let entries = fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let mut paths: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    paths.into_iter().map(|path| (path.clone(), fs::read(path).unwrap())).collect()
}

/// What the target takes at most for this input, beside what was taken before.
fn taken(target: &Target, input: &[u8]) -> usize {
    ALLOCATED.reset_peak_usage();
    let before = ALLOCATED.current_usage();
    (target.run)(input);
    ALLOCATED.peak_usage().saturating_sub(before)
}

/// What an input may make the target take: whoever has dialled a coordinator makes room for one message as soon as that is
/// announced.
fn allowed(target: &Target, input: &[u8]) -> usize {
    let is_for_a_dialler =
        target.name == "frames" && input.first().is_some_and(|kind| frames::is_for_a_dialler(*kind));
    let announced = if is_for_a_dialler { MAX_MESSAGE_BYTES } else { 0 };
    MOST_BYTES + announced + BYTES_PER_BYTE * input.len()
}

/// One test alone, so that nothing else allocates while an input is fed.
#[test]
fn the_corpus_is_read_without_a_panic_and_within_its_memory() {
    panic::set_hook(Box::new(|panic| {
        PANICS.fetch_add(1, Ordering::Relaxed);
        eprintln!("{panic}");
    }));
    for target in &TARGETS {
        let inputs = inputs(target);
        for seed in (target.seeds)() {
            let path = corpus(target.name).join(seed_name(&seed));
            let is_there = inputs.iter().any(|(other, _)| *other == path);
            assert!(is_there, "{} is missing: cargo run -p hashvfl-fuzz --bin seeds", path.display());
        }
        assert!(inputs.len() > 20, "{}: {} inputs", target.name, inputs.len());
        let mut most = 0;
        for (path, input) in &inputs {
            // What a target makes once, as keys and threads, is not the input's.
            if most == 0 {
                (target.run)(input);
            }
            let found = taken(target, input);
            let bound = allowed(target, input);
            assert_eq!(PANICS.load(Ordering::Relaxed), 0, "{}: a panic", path.display());
            assert!(found <= bound, "{}: {found} bytes for {}", path.display(), input.len());
            most = most.max(found);
        }
        assert!(most > 0, "{}: no input allocates anything", target.name);
        println!("{}: {} inputs, {most} bytes at most", target.name, inputs.len());
    }
}
