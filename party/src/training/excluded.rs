//! The records that this party leaves out of a run, kept while that is unfinished. The run goes on without the same ones: what
//! it has released and reserved since it began counts in the ledger, and would let the policy refuse it all the others.
//!
//! The file is `HVFLEXC1 | name of the run, 32 bytes | bytes of the list, as 8 | the list`, with a digest.

use anyhow::{Context, anyhow};
use hashvfl_core::{Digest, ExcludedRecords};
use hashvfl_files::{read_checked, write_checked};

use crate::state::{StateFolder, way_out};

const MAGIC: [u8; 8] = *b"HVFLEXC1";
const RUN_BYTES: usize = 32;

/// The records that the run of that name, over so many records, was begun without; `None` where none has begun.
///
/// # Errors
/// If the file cannot be read, or is damaged.
pub fn kept(state: &StateFolder, run: &Digest, records: usize) -> anyhow::Result<Option<ExcludedRecords>> {
    let path = state.excluded();
    if !path.exists() {
        return Ok(None);
    }
    let bytes = read_checked(&path).with_context(|| way_out(&path))?;
    let parsed = parse(&bytes).ok_or_else(|| anyhow!("it is damaged"));
    let (found, excluded) = parsed.with_context(|| way_out(&path))?;
    if found != *run {
        return Ok(None);
    }
    excluded.check(records).with_context(|| way_out(&path))?;
    Ok(Some(excluded))
}

/// Keeps that the run of that name begins without these records.
///
/// # Errors
/// If the disk is full or fails.
pub fn keep(state: &StateFolder, run: &Digest, excluded: &ExcludedRecords) -> anyhow::Result<()> {
    let list = excluded.as_bytes();
    let bytes = [MAGIC.as_slice(), &run.0, &(list.len() as u64).to_le_bytes(), list].concat();
    Ok(write_checked(&state.excluded(), &bytes)?)
}

/// The name of the run, and the records.
fn parse(bytes: &[u8]) -> Option<(Digest, ExcludedRecords)> {
    let (run, rest) = bytes.strip_prefix(MAGIC.as_slice())?.split_at_checked(RUN_BYTES)?;
    let (length, list) = rest.split_first_chunk()?;
    if u64::from_le_bytes(*length) != list.len() as u64 {
        return None;
    }
    Some((Digest::from_slice(run)?, ExcludedRecords::from_bytes(list.to_vec())))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::config::PartyConfig;

    #[test]
    fn the_records_of_an_unfinished_run_are_kept_and_no_changed_bit_gives_others() {
        let folder = tempfile::tempdir().unwrap();
        let text = "name = \"a\"\nrun_id = \"r\"\ncoordinator = \"http://h:1\"\nstate = \"s\"\n\
                    run = { parties = [\"a\"], task = \"binary\", bits = 2, epochs = 1 }\n\
                    columns = { format = \"csv\", paths = [], id = \"id\" }";
        let config = PartyConfig::parse(text, folder.path()).unwrap();
        let state = StateFolder::open(&config).unwrap();
        let run = Digest([3; 32]);
        let read = |run: &Digest| kept(&state, run, 20);
        assert_eq!(read(&run).unwrap(), None);
        for rows in [&[][..], &[3, 17]] {
            let excluded = ExcludedRecords::of(rows, 20);
            keep(&state, &run, &excluded).unwrap();
            assert_eq!(read(&run).unwrap(), Some(excluded));
            assert_eq!(read(&Digest([4; 32])).unwrap(), None, "of another run");
        }
        let whole = fs::read(state.excluded()).unwrap();
        for bit in 0..whole.len() * 8 {
            let mut changed = whole.clone();
            changed[bit / 8] ^= 1 << (bit % 8);
            fs::write(state.excluded(), &changed).unwrap();
            let error = format!("{:#}", read(&run).unwrap_err());
            assert!(error.contains("excluded.hashvfl") && error.contains("--fresh"), "bit {bit}: {error}");
        }
        assert_eq!(state.throw_away().unwrap(), ["excluded.hashvfl"]);
        assert!(!state.excluded().exists());
    }
}
