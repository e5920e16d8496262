//! Writes the seeds of all targets into their corpora: `cargo run -p hashvfl-fuzz --bin seeds`.

use std::path::Path;
use std::{fs, io};

use hashvfl_fuzz::{TARGETS, corpus, seed_name};

fn main() -> io::Result<()> {
    for target in TARGETS {
        let folder = corpus(target.name);
        fs::create_dir_all(&folder)?;
        for seed in (target.seeds)() {
            write(&folder.join(seed_name(&seed)), &seed)?;
        }
    }
    Ok(())
}

/// A file that is there already has this content: its name says so.
fn write(path: &Path, seed: &[u8]) -> io::Result<()> {
    if path.exists() { Ok(()) } else { fs::write(path, seed) }
}
