//! A bit that changes on disk in the state folder of a run that has not finished is found, or does no harm. `HASHVFL_FLIPS`
//! says at how many places of each file.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Instant;

use hashvfl_core::random::{below, stream};

use crate::restarted::outcome::{Outcome, files_below};
use crate::restarted::supervisor::{BANK, COORDINATOR, SIDES, Supervisor};
use crate::restarted::unfinished::killed;
use crate::restarted::{Shape, from_environment};

/// The shape whose sides keep the most.
const SHAPE: Shape = Shape::Rich;

/// What came of a flipped bit.
#[derive(Debug, PartialEq, Eq)]
enum Found {
    /// The side has ended with a line that names the file, its damage or the way out.
    Told,
    /// The run has ended with the same bits.
    Harmless,
}

/// All files of a folder, to be put back.
struct Kept {
    folder: PathBuf,
    files: Vec<(PathBuf, Vec<u8>)>,
}

impl Kept {
    fn of(folder: &Path) -> Self {
        let files =
            files_below(folder).into_iter().map(|path| (path.clone(), fs::read(path).unwrap())).collect();
        Self { folder: folder.to_path_buf(), files }
    }

    /// The folder as it was.
    fn put_back(&self) {
        for path in files_below(&self.folder) {
            if !self.files.iter().any(|(file, _)| *file == path) {
                fs::remove_file(path).unwrap();
            }
        }
        for (path, bytes) in &self.files {
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, bytes).unwrap();
        }
    }
}

/// Bits of a file of so many bytes: the first, and some others.
fn places(bytes: usize, count: usize, file: u64) -> Vec<(usize, u8)> {
    let mut rng = stream(1, "flips", &[file]);
    let first = std::iter::once((0, 0));
    let others = (1..count).map(|_| (below(&mut rng, bytes), below(&mut rng, 8) as u8));
    first.chain(others).collect()
}

/// Starts a killed run again, of which a file of `side` was changed.
fn go_on(fixture: &crate::fixture::Fixture, side: usize, file: &Path) -> Result<Found, String> {
    let mut run = Supervisor::plain(fixture);
    run.start_all();
    run.wait_until("an end", |run| {
        run.all_finished() || (0..SIDES.len()).any(|side| !run.runs(side) && !run.finished(side))
    });
    if run.all_finished() {
        let differences = Outcome::of(fixture).differences(SHAPE.undisturbed(), [1; 3]);
        return match differences.is_empty() {
            true => Ok(Found::Harmless),
            false => Err(format!("{differences:#?}")),
        };
    }
    // Whoever holds the file says so; others may hear of it.
    run.wait_until("its own end", |run| !run.runs(side));
    let name = file.file_name().unwrap().to_str().unwrap();
    if run.finished(side) {
        return Err(format!("{} ended well: {}", SIDES[side], run.told()));
    }
    let error = run.last_end(side).errors()[0];
    // What was answered is on this side's disk: nobody else is to blame.
    let words: &[&str] = if name == "answers.hashvfl" { &[name] } else { &[name, "damaged", "--fresh"] };
    match words.iter().any(|words| error.contains(words)) {
        true => Ok(Found::Told),
        false => Err(format!("a line that does not help: {error}")),
    }
}

#[test]
fn a_flipped_bit_in_the_state_of_a_killed_run_is_found_or_harmless() {
    let count = from_environment("HASHVFL_FLIPS", 2);
    let fixture = SHAPE.fixture();
    drop(killed(&fixture));
    let kept = Kept::of(fixture.folder.path());
    let (began, mut told, mut harmless, mut silent) = (Instant::now(), 0, 0, Vec::new());
    for side in [COORDINATOR, BANK] {
        let state = fixture.path(&format!("{}-state", SIDES[side]));
        let files = kept.files.iter().filter(|(path, bytes)| path.starts_with(&state) && !bytes.is_empty());
        for (number, (path, bytes)) in files.enumerate() {
            for (place, bit) in places(bytes.len(), count, number as u64) {
                kept.put_back();
                let mut changed = bytes.clone();
                changed[place] ^= 1 << bit;
                fs::write(path, &changed).unwrap();
                let name = path.strip_prefix(fixture.folder.path()).unwrap().display();
                let found = go_on(&fixture, side, path);
                println!("{name}, bit {bit} of byte {place} of {}: {found:?}", bytes.len());
                match found {
                    Ok(Found::Told) => told += 1,
                    Ok(Found::Harmless) => harmless += 1,
                    Err(why) => silent.push(format!("{name}, bit {bit} of byte {place}: {why}")),
                }
            }
        }
    }
    let seconds = began.elapsed().as_secs_f64();
    println!("{told} flipped bits were found, {harmless} harmless, {} silent, {seconds:.0} s", silent.len());
    assert!(silent.is_empty(), "{silent:#?}");
    assert!(told > 0, "files with digests are among them");
}
