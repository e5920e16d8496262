//! The last entries of a log, for a page about a process that runs: read without a lock, and verified by nobody.

use std::path::Path;

use hashvfl_files::last_bytes;

use crate::chain::LogEntry;

/// Bytes from the end that are read at most.
const BYTES: u64 = 64 << 10;

/// The last `most` entries of `log`, or fewer where they are long; none where there is no log. What is no whole entry is
/// passed over.
pub fn tail(log: &Path, most: usize) -> Vec<LogEntry> {
    let bytes = last_bytes(log, BYTES).unwrap_or_default();
    let lines = bytes.split(|byte| *byte == b'\n');
    let mut entries: Vec<LogEntry> = lines.filter_map(|line| serde_json::from_slice(line).ok()).collect();
    entries.drain(..entries.len().saturating_sub(most));
    entries
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::io::Write;
    use std::time::UNIX_EPOCH;

    use hashvfl_core::RunId;

    use super::*;
    use crate::event::AuditEvent;
    use crate::head::Side;
    use crate::log::AuditLog;

    #[test]
    fn the_last_whole_entries_are_read() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log.jsonl");
        assert!(tail(&path, 3).is_empty());
        let mut log = AuditLog::open(&path, &Side::Coordinator).unwrap();
        let run = RunId::new("spring").unwrap();
        for step in 1..=1_000 {
            log.append(Some(&run), &AuditEvent::Resumed { step }, UNIX_EPOCH).unwrap();
        }
        let steps = |entries: Vec<LogEntry>| -> Vec<u64> {
            entries.iter().map(|entry| entry.event["step"].as_u64().unwrap()).collect()
        };
        assert_eq!(steps(tail(&path, 3)), [998, 999, 1_000]);
        // An entry that is being written has no end yet.
        let mut file = File::options().append(true).open(&path).unwrap();
        file.write_all(b"{\"sequence\":1002,").unwrap();
        assert_eq!(steps(tail(&path, 2)), [999, 1_000]);
        let many = steps(tail(&path, 5_000));
        assert!(many.len() > 100 && many.len() < 1_000, "{} entries of the last bytes", many.len());
        assert_eq!(many.last(), Some(&1_000));
    }
}
