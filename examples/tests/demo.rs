//! The demo: what it says and what it writes.

use std::fs;
use std::path::Path;
use std::process::Command;

#[path = "../../tests/federation/documented.rs"]
mod documented;

/// Runs the demo; whether it ended well, its output and its errors.
fn demo(out: &Path) -> (bool, String, String) {
    let mut demo = Command::new(env!("CARGO_BIN_EXE_demo"));
    let output = demo.arg("--out").arg(out).args(["--bits", "16"]).output().unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (output.status.success(), text(&output.stdout), text(&output.stderr))
}

#[test]
fn the_demo_writes_what_it_says() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("demo");
    let (good, said, errors) = demo(&out);
    assert!(good, "{said}{errors}");
    for line in
        ["federation, hash codes only", "left half alone", "from one code", "from one float embedding"]
    {
        assert!(said.contains(line), "{line}: {said}");
    }
    let summary: serde_json::Value =
        serde_json::from_str(&fs::read_to_string(out.join("summary.json")).unwrap()).unwrap();
    documented::check_documented(&summary, &["left", "right"]);
    let accuracy = |test: &serde_json::Value| test["accuracy"].as_f64().unwrap();
    let alone = accuracy(&summary["baselines"]["left_alone"]);
    assert!(accuracy(&summary["federation"]["test"]) > alone, "two halves tell more than one: {said}");
    assert!(fs::read_to_string(out.join("curve.svg")).unwrap().contains("<svg"));
    // Its own folder is replaced, another's is not.
    assert!(demo(&out).0);
    fs::remove_file(out.join(".hashvfl-demo")).unwrap();
    let (good, _, errors) = demo(&out);
    assert!(!good && errors.contains("was not written by the demo"), "{errors}");
}
