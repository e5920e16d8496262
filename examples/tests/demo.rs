//! The demo: what it says and what it writes.

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};

#[path = "../../tests/federation/documented.rs"]
mod documented;

/// The demo's command.
fn command(out: &Path) -> Command {
    let mut demo = Command::new(env!("CARGO_BIN_EXE_demo"));
    demo.arg("--out").arg(out).args(["--bits", "16"]);
    demo
}

/// Runs the demo; whether it ended well, its output and its errors.
fn demo(out: &Path) -> (bool, String, String) {
    let output = command(out).output().unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (output.status.success(), text(&output.stdout), text(&output.stderr))
}

/// Starts the demo, and ends it once it has said its first line, which it returns: nothing is trained then.
fn first_line(out: &Path) -> String {
    let mut demo = command(out).stdout(Stdio::piped()).spawn().unwrap();
    let mut line = String::new();
    BufReader::new(demo.stdout.take().unwrap()).read_line(&mut line).unwrap();
    demo.kill().unwrap();
    demo.wait().unwrap();
    line
}

#[test]
fn the_demo_writes_what_it_says() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("demo");
    let (good, said, errors) = demo(&out);
    assert!(good, "{said}{errors}");
    for line in [
        "federation, hash codes only",
        "left half alone",
        "macro AUC: federation",
        "from one code",
        "from one float embedding",
    ] {
        assert!(said.contains(line), "{line}: {said}");
    }
    let summary: serde_json::Value =
        serde_json::from_str(&fs::read_to_string(out.join("summary.json")).unwrap()).unwrap();
    documented::check_documented(&summary, &["left", "right"]);
    let accuracy = |test: &serde_json::Value| test["accuracy"].as_f64().unwrap();
    let alone = accuracy(&summary["baselines"]["left_alone"]);
    assert!(accuracy(&summary["federation"]["test"]) > alone, "two halves tell more than one: {said}");
    assert!(fs::read_to_string(out.join("curve.svg")).unwrap().contains("<svg"));
    // Another's folder is not replaced, its own is.
    let mark = out.join(".hashvfl-demo");
    fs::remove_file(&mark).unwrap();
    let (good, _, errors) = demo(&out);
    assert!(!good && errors.contains("was not written by the demo"), "{errors}");
    assert!(out.join("summary.json").exists());
    fs::write(&mark, "").unwrap();
    let line = first_line(&out);
    assert!(line.contains("handwritten digits") && !out.join("summary.json").exists(), "{line}");
}
