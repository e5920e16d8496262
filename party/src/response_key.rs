//! The key of a party's randomised response. It outlives runs, so that a request that is repeated to the byte is answered
//! as it was. Under another key every answer is a fresh draw, and charged as one.

use std::path::Path;

use anyhow::{Context, ensure};
use hashvfl_core::codes::randomised_response::{KEY_BYTES, Response};
use hashvfl_files::{read_checked, write_checked};
use rand::TryRng;

use crate::config::PartyConfig;

/// Keeps a key for the runs of `config`, if they need one and there is none yet.
pub fn keep(config: &PartyConfig) -> anyhow::Result<()> {
    if config.run.randomised_response.is_some() && !config.response_key.exists() {
        write_checked(&config.response_key, &draw()?)?;
    }
    Ok(())
}

/// The response of a run, by the key that is kept; `None` where the run has none.
pub fn response(config: &PartyConfig) -> anyhow::Result<Option<Response>> {
    let Some(epsilon) = config.run.randomised_response else { return Ok(None) };
    Ok(Some(Response::new(load(&config.response_key)?, epsilon, config.code_form())))
}

fn load(path: &Path) -> anyhow::Result<[u8; KEY_BYTES]> {
    #[cfg(unix)]
    if let Ok(found) = std::fs::metadata(path) {
        use std::os::unix::fs::PermissionsExt;
        ensure!(
            found.permissions().mode() & 0o077 == 0,
            "the key of randomised response {} can be read by others on this machine: `chmod 600` it",
            path.display()
        );
    }
    let bytes = read_checked(path).with_context(|| {
        format!(
            "cannot read the key of randomised response {}: restore it from a backup; with a new key, every answer \
             is drawn and charged again",
            path.display()
        )
    })?;
    ensure!(
        bytes.len() == KEY_BYTES,
        "{} does not hold a key of {KEY_BYTES} bytes: restore it from a backup",
        path.display()
    );
    let mut key = [0; KEY_BYTES];
    key.copy_from_slice(&bytes);
    Ok(key)
}

fn draw() -> anyhow::Result<[u8; KEY_BYTES]> {
    let mut key = [0; KEY_BYTES];
    rand::rngs::SysRng.try_fill_bytes(&mut key).context("cannot draw a key from the operating system")?;
    Ok(key)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn a_key_is_drawn_once_where_it_is_needed_and_a_damaged_one_is_an_error() {
        let folder = tempfile::tempdir().unwrap();
        let config = |more: &str| {
            let text = format!(
                "name = \"a\"\nrun_id = \"r\"\ncoordinator = \"http://h:1\"\nstate = \"s\"\n\
                 run = {{ parties = [\"a\"], task = \"binary\", bits = 2, epochs = 1 {more} }}\n\
                 columns = {{ format = \"csv\", paths = [], id = \"id\" }}"
            );
            PartyConfig::parse(&text, folder.path()).unwrap()
        };
        keep(&config("")).unwrap();
        assert!(!folder.path().join("response.key").exists());
        let config = config(", randomised_response = 2.0");
        assert!(response(&config).is_err());
        keep(&config).unwrap();
        let key = load(&config.response_key).unwrap();
        keep(&config).unwrap();
        assert_eq!(load(&config.response_key).unwrap(), key);
        let whole = fs::read(&config.response_key).unwrap();
        for bit in 0..whole.len() * 8 {
            let mut changed = whole.clone();
            changed[bit / 8] ^= 1 << (bit % 8);
            fs::write(&config.response_key, &changed).unwrap();
            let error = response(&config).err().unwrap_or_else(|| panic!("bit {bit}")).to_string();
            assert!(error.contains("response.key") && error.contains("restore it"), "bit {bit}: {error}");
        }
        // Of an earlier version.
        fs::write(&config.response_key, key).unwrap();
        assert_eq!(load(&config.response_key).unwrap(), key);
        fs::write(&config.response_key, [1, 2, 3]).unwrap();
        assert!(response(&config).unwrap_err().to_string().contains("does not hold a key of 32 bytes"));
    }
}
