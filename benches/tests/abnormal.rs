//! The bench of detectors on the digits that come with the program: it runs, finds what it must, and says how often it
//! errs.

use std::process::Command;

#[test]
fn it_runs_on_data_that_comes_with_the_program() {
    let folder = tempfile::tempdir().unwrap();
    let output = Command::new(env!("CARGO_BIN_EXE_abnormal"))
        .args(["digits", "--rows", "300", "--out"])
        .arg(folder.path())
        .output()
        .unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{text}\n{}", String::from_utf8_lossy(&output.stderr));
    let area = |kind: &str, detector: &str| -> f64 {
        let section = text.split(&format!("\n{kind}\n")).nth(1).unwrap();
        let line = section.lines().find(|line| line.trim_start().starts_with(detector)).unwrap();
        line[30..].split_whitespace().next().unwrap().parse().unwrap()
    };
    assert!(area("another record, other class", "default, codes only") > 0.9, "{text}");
    assert!(area("uniform noise", "default, at the parties") > 0.95, "{text}");
    let same = area("another record, same class", "default, codes only");
    assert!((0.3..0.7).contains(&same), "{text}");
    let page = std::fs::read_to_string(folder.path().join("abnormal.html")).unwrap();
    for part in ["<h2>uniform noise</h2>", "<polyline", "False alarms on normal rows", "<h2>Backdoor</h2>"] {
        assert!(page.contains(part), "{part}");
    }
    for part in ["<script", "http://", "https://"] {
        assert!(!page.contains(part), "{part}");
    }
}

#[test]
fn data_that_is_not_there_is_an_error() {
    let output = Command::new(env!("CARGO_BIN_EXE_abnormal")).args(["mnist"]).output().unwrap();
    assert!(!output.status.success());
    assert!(String::from_utf8_lossy(&output.stderr).contains("name their folder with --data"));
}
