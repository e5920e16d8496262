//! What two runs of one process cannot have in common, and what they must where they share a port.

use std::path::{Path, PathBuf};

use anyhow::ensure;
use hashvfl_monitor::MonitorAddress;

use super::ConfigFile;

/// Whether one process can hold the runs of both.
///
/// # Errors
/// If not: what both have, or where they differ.
pub fn check(one: &ConfigFile, other: &ConfigFile) -> anyhow::Result<()> {
    let both = format!("{} and {}", one.path.display(), other.path.display());
    let [a, b] = [&one.config, &other.config];
    ensure!(
        a.run_id != b.run_id,
        "{both} have the same run_id = \"{}\": one process cannot hold the same run twice",
        a.run_id
    );
    let audited = a.audit.enabled && b.audit.enabled;
    let places = [
        ("state", Some([a.state.as_path(), b.state.as_path()])),
        ("ledger", Some([a.ledger.as_path(), b.ledger.as_path()])),
        ("audit.folder", audited.then_some([a.audit.folder(), b.audit.folder()])),
        ("monitor", sockets([a.monitor.as_ref(), b.monitor.as_ref()])),
    ];
    for (key, places) in places {
        let Some([x, y]) = places else { continue };
        ensure!(
            whole(x) != whole(y),
            "{both} have the same {key} = {}: runs of one process need one each, or run one after the other",
            x.display()
        );
    }
    if let (Some(MonitorAddress::Tcp(x)), Some(MonitorAddress::Tcp(y))) = (&a.monitor, &b.monitor) {
        ensure!(x != y || x.port() == 0, "{both} have the same monitor = {x}: give each run's page its own");
    }
    ensure!(
        a.listen != b.listen || a.identity == b.identity,
        "{both} listen on {} but differ in [identity] or insecure_plaintext: one port has one identity, so make them \
         equal, or give one of them another `listen`",
        a.listen
    );
    Ok(())
}

fn sockets(monitors: [Option<&MonitorAddress>; 2]) -> Option<[&Path; 2]> {
    match monitors {
        [Some(MonitorAddress::Unix(x)), Some(MonitorAddress::Unix(y))] => Some([x, y]),
        _ => None,
    }
}

/// A path by which a place is known, however it is named: without links as far as it is there.
fn whole(path: &Path) -> PathBuf {
    let path = std::path::absolute(path).unwrap_or_else(|_| path.to_path_buf());
    for there in path.ancestors() {
        let (Ok(whole), Ok(rest)) = (there.canonicalize(), path.strip_prefix(there)) else { continue };
        // Joined with nothing, it would end with a slash.
        return if rest.as_os_str().is_empty() { whole } else { whole.join(rest) };
    }
    path
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::CoordinatorConfig;

    fn file(folder: &Path, name: &str, text: &str) -> ConfigFile {
        let text = format!(
            "run_id = \"{name}\"\n{text}\nrun = {{ parties = [\"bank\"], task = \"binary\", bits = 16, epochs = 3 }}\n\
             labels = {{ format = \"csv\", paths = [\"a.csv\"], id = \"id\", column = \"y\" }}\n"
        );
        let config = CoordinatorConfig::parse(&text, folder).unwrap();
        ConfigFile { path: folder.join(format!("{name}.toml")), config }
    }

    #[test]
    fn what_two_runs_may_not_share_is_named() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("b")).unwrap();
        let text = |name: &str, more: &str| {
            format!(
                "listen = \"127.0.0.1:7433\"\nstate = \"{name}-state\"\nledger = \"{name}.redb\"\ninsecure_plaintext = true\n{more}"
            )
        };
        let first = file(folder.path(), "a", &text("a", "monitor = \"127.0.0.1:9464\""));
        let clash =
            |name: &str, text: &str| check(&first, &file(folder.path(), name, text)).unwrap_err().to_string();
        assert!(check(&first, &file(folder.path(), "b", &text("b", ""))).is_ok());
        assert!(clash("a", &text("b", "")).contains("the same run_id = \"a\""));
        let own = text("b", "");
        for (key, changed) in [
            ("state", own.replace("b-state", "b/../a-state")),
            ("ledger", own.replace("b.redb", "a.redb\"\naudit.folder = \"b.audit")),
            ("audit.folder", own.replace("b.redb", "a.ledger")),
            ("monitor", text("b", "monitor = \"127.0.0.1:9464\"")),
        ] {
            let error = clash("b", &changed);
            assert!(error.contains(&format!("the same {key} = ")) && error.contains("a.toml and"), "{error}");
        }
        let tls = clash("b", &own.replace("insecure_plaintext = true", "identity = {}"));
        assert!(tls.contains("differ in [identity]"), "{tls}");
        let elsewhere = own.replace("insecure_plaintext = true", "identity = {}").replace("7433", "7434");
        assert!(check(&first, &file(folder.path(), "b", &elsewhere)).is_ok());
    }
}
