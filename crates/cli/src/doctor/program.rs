//! What runs, and on what.

use std::fmt;
use std::fs;
use std::thread;

use serde_json::{Value, json};

/// The program that looks, and the machine under it.
#[derive(Debug)]
pub struct Program {
    /// `party` or `coordinator`.
    pub name: &'static str,
    /// Its version.
    pub version: &'static str,
    /// Features that it was built with.
    pub features: Vec<&'static str>,
}

impl Program {
    pub(super) fn to_json(&self) -> Value {
        let Self { name, version, features } = self;
        json!({
            "name": name,
            "version": version,
            "features": features,
            "optimised": !cfg!(debug_assertions),
            "system": std::env::consts::OS,
            "processor": std::env::consts::ARCH,
            "processors": processors(),
            "kernel": line_of("/proc/sys/kernel/osrelease"),
            "memory_kib": memory_kib("MemTotal:"),
            "memory_available_kib": memory_kib("MemAvailable:"),
            "logs_filtered": std::env::var_os("HASHVFL_LOG").is_some(),
        })
    }
}

impl fmt::Display for Program {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { name, version, features } = self;
        let features = if features.is_empty() { "no features".to_string() } else { features.join(", ") };
        write!(f, "{name} {version} ({features}), {} processors", processors())?;
        memory_kib("MemAvailable:").map_or(Ok(()), |kib| write!(f, ", {} MiB of memory free", kib / 1024))
    }
}

fn processors() -> usize {
    thread::available_parallelism().map_or(1, Into::into)
}

/// The text of a file of one line, where there is one.
fn line_of(path: &str) -> Option<String> {
    Some(fs::read_to_string(path).ok()?.trim().to_string())
}

/// A line of the kernel's figures about memory.
fn memory_kib(name: &str) -> Option<u64> {
    let text = fs::read_to_string("/proc/meminfo").ok()?;
    let line = text.lines().find(|line| line.starts_with(name))?;
    line.split_whitespace().nth(1)?.parse().ok()
}
