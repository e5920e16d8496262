//! The subcommand `doctor`: everything that someone who gives support needs to know about a side, in one JSON file. It holds
//! no value, code, label, id or key, no path, and of the config no text but words that this program knows.
//!
//! ```text
//!  config file ---> config (texts withheld) ---.
//!  places --------> places (kind, size, room) --+--> Bundle --> a file, and a line for a person about each
//!  clock, network, ledger, audit trail: each side's own `commands::doctor`
//! ```

mod audit;
mod clock;
mod config;
mod places;
mod process;
mod program;

use std::fmt::Display;
use std::path::{Path, PathBuf};

use anyhow::ensure;
use clap::Args;
use hashvfl_files::{say, write_whole};
use serde_json::{Map, Value, json};

pub use clock::Clock;
pub use places::{ExaminedPath, Forecast};
pub use process::{certificate, process};
pub use program::Program;

/// What to look at, and where to write what was found.
#[derive(Debug, Args)]
pub struct DoctorArguments {
    /// The config file.
    #[arg(long, value_name = "FILE")]
    pub config: PathBuf,
    /// The file to write; it must not exist.
    #[arg(long, value_name = "FILE", default_value = "doctor.json")]
    pub out: PathBuf,
}

/// What was found so far.
#[derive(Debug)]
pub struct Bundle {
    sections: Map<String, Value>,
}

impl Bundle {
    /// Begins with what `program` is, and with its config at `path` as far as that can be shown.
    pub fn begin(program: &Program, path: &Path) -> Self {
        let mut bundle = Self { sections: Map::new() };
        bundle.add("program", program.to_json(), program);
        match config::without_secrets(path) {
            Ok(shown) => bundle.add("config", shown, "without its texts"),
            Err(reason) => bundle.add("config", json!({ "read": false }), reason),
        }
        bundle
    }

    /// Adds a section, of which a person is told `line`. The line stays out of the file: it may name paths.
    pub fn add(&mut self, name: &str, found: Value, line: impl Display) {
        say!("{name}: {line}");
        self.sections.insert(name.to_string(), found);
    }

    /// Adds what places are and how much room there is, and whether `forecast` fits.
    pub fn add_places(&mut self, places: &[ExaminedPath], forecast: &Forecast) {
        let found: Vec<Value> = places.iter().map(ExaminedPath::to_json).collect();
        places.iter().for_each(|place| say!("{place}"));
        self.sections.insert("places".to_string(), found.into());
        let room = places.iter().filter_map(ExaminedPath::free_bytes).min();
        self.add("disk", forecast.to_json(room), forecast.in_words(room));
    }

    /// Adds what the audit trail of `config` holds: kinds of entries and when they were written.
    pub fn add_audit(&mut self, config: &hashvfl_audit::AuditConfig) {
        let (found, line) = audit::summary(config);
        self.add("audit", found, line);
    }

    /// Writes the file.
    ///
    /// # Errors
    /// If it is there already, or cannot be written.
    pub fn write(self, out: &Path) -> anyhow::Result<()> {
        ensure!(!out.exists(), "{} already exists: choose another file with --out", out.display());
        // Unwrap safety: texts, numbers and lists are JSON.
        let mut bytes = serde_json::to_vec_pretty(&self.sections).expect("a bundle");
        bytes.push(b'\n');
        write_whole(out, &bytes)?;
        say!("wrote {}: read it before you send it to anyone", out.display());
        Ok(())
    }
}
