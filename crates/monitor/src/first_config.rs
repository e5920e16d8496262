//! What a first config says of where its process is asked how it is.

use std::fs;
use std::os::unix::net::UnixListener;
use std::path::Path;

/// The line of a first config in `folder` that names a socket there, of the side `name`. Where no socket can be made there, since
/// its path is too long or the file system has none, the line is a comment: nothing is written that a check would refuse.
pub fn first_monitor(folder: &Path, name: &str) -> String {
    let line = format!("monitor = \"unix:{name}.sock\"");
    // Relative paths may be short enough here, and not where the process is started.
    let here = std::env::current_dir().unwrap_or_default();
    match can_be_made(&here.join(folder).join(format!("{name}.sock"))) {
        true => line,
        false => format!(
            "# No socket can be made in this folder: name one in another folder, with a short path.\n# {line}"
        ),
    }
}

fn can_be_made(socket: &Path) -> bool {
    // That of a process that runs, or was killed.
    if fs::symlink_metadata(socket).is_ok() {
        return true;
    }
    let is_made = UnixListener::bind(socket).is_ok();
    if is_made {
        // What is left of it is taken away by whoever listens there.
        let _ = fs::remove_file(socket);
    }
    is_made
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_socket_is_named_where_one_can_be_made() {
        let folder = tempfile::tempdir().unwrap();
        let line = "monitor = \"unix:bank.sock\"";
        assert_eq!(first_monitor(folder.path(), "bank"), line);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0, "nothing is left");
        let _running = UnixListener::bind(folder.path().join("bank.sock")).unwrap();
        assert_eq!(first_monitor(folder.path(), "bank"), line);
        assert!(folder.path().join("bank.sock").exists());
        let long = folder.path().join("f".repeat(120));
        fs::create_dir(&long).unwrap();
        let comment = first_monitor(&long, "bank");
        assert!(comment.lines().all(|line| line.starts_with("# ")) && comment.ends_with(line), "{comment}");
        assert!(first_monitor(&folder.path().join("none"), "bank").starts_with("# "));
    }
}
