//! Configs in the same folder as a config: whether one of another side names the same state folder.

use std::fs;
use std::path::Path;

use anyhow::bail;
use hashvfl_audit::Side;
use hashvfl_files::{OWN_FOLDER, is_same_path};

/// Bytes of a config, at most: larger files are none.
const MOST_BYTES: u64 = 1 << 20;

/// Whether `state`, which the config at `path` names for `side`, is not also what another side's config beside it names.
/// What cannot be read there is passed over.
///
/// # Errors
/// If it is: names the other config.
pub fn check_state_folder(path: &Path, state: &Path, side: &Side) -> anyhow::Result<()> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let other = entry.path();
        let is_config = other.extension().is_some_and(|ending| ending == "toml")
            && other.metadata().is_ok_and(|file| file.is_file() && file.len() <= MOST_BYTES);
        if !is_config || is_same_path(&other, path) {
            continue;
        }
        let text = fs::read_to_string(&other).unwrap_or_default();
        let Ok(config) = toml::from_str::<toml::Table>(&text) else { continue };
        let (Some(owner), Some(named)) = (side_of(&config), text_of(&config, "state")) else { continue };
        if owner != *side && is_same_path(&folder.join(named), state) {
            bail!(
                "state = {state:?} is also the state folder in {}, the config of {owner}: {OWN_FOLDER}",
                other.display()
            );
        }
    }
    Ok(())
}

/// Whose config it is, as far as that can be told.
fn side_of(config: &toml::Table) -> Option<Side> {
    match text_of(config, "name") {
        Some(name) if config.contains_key("columns") => format!("party/{name}").parse().ok(),
        None if config.contains_key("labels") => Some(Side::Coordinator),
        _ => None,
    }
}

fn text_of<'a>(config: &'a toml::Table, key: &str) -> Option<&'a str> {
    config.get(key).and_then(toml::Value::as_str)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_state_folder_that_two_sides_name_is_refused_by_the_other_config() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        let party = |name: &str, state: &str| format!("name = {name:?}\nstate = {state:?}\n[columns]\n");
        fs::write(at("bank.toml"), party("bank", "state")).unwrap();
        fs::write(at("serve.toml"), party("bank", "state")).unwrap();
        fs::write(at("broken.toml"), "name = ").unwrap();
        fs::write(at("attack.toml"), "state = \"state\"").unwrap();
        let bank: Side = "party/bank".parse().unwrap();
        let check = |side: &Side| check_state_folder(&at("bank.toml"), &at("state"), side);
        assert!(check(&bank).is_ok(), "its other configs, and what is none");
        fs::write(at("telecom.toml"), party("telecom", "./other/../state")).unwrap();
        let error = check(&bank).unwrap_err().to_string();
        assert!(error.contains("telecom.toml") && error.ends_with(OWN_FOLDER), "{error}");
        fs::write(at("telecom.toml"), party("telecom", "telecom-state")).unwrap();
        assert!(check(&bank).is_ok());
        fs::write(at("coordinator.toml"), "state = \"state\"\n[labels]\n").unwrap();
        assert!(check(&bank).unwrap_err().to_string().contains("coordinator.toml"));
        let coordinator = check_state_folder(&at("coordinator.toml"), &at("state"), &Side::Coordinator);
        assert!(coordinator.unwrap_err().to_string().contains("the config of"), "and the other way round");
    }
}
