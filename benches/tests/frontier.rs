//! The frontier on the digits that come with the program, in its short form: every form has the same adversary, the metric is that
//! of the run that was attacked, and floats leak more than few signs.

use std::path::Path;
use std::process::Command;

use serde_json::Value;

fn frontier(more: &[&str], out: &Path) -> Value {
    let output = Command::new(env!("CARGO_BIN_EXE_frontier"))
        .args(["digits", "--quick", "--epochs", "8", "--out"])
        .arg(out)
        .args(more)
        .output()
        .unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{text}\n{}", String::from_utf8_lossy(&output.stderr));
    // The table can be pasted, and says what the JSON says.
    let found: Value = serde_json::from_slice(&std::fs::read(out.join("frontier.json")).unwrap()).unwrap();
    for row in found["rows"].as_array().unwrap() {
        let line = format!("| {} | ", row["form"].as_str().unwrap());
        let line = text.lines().find(|text| text.starts_with(&line)).expect("a line of the table");
        assert!(line.contains(&format!("| {:.4}", row["metric"].as_f64().unwrap())), "{line}\n{row}");
    }
    assert!(!text.contains("did not hold"), "{text}");
    found
}

fn row<'a>(found: &'a Value, form: &str) -> &'a Value {
    let rows = found["rows"].as_array().unwrap();
    rows.iter().find(|row| row["form"] == form).unwrap_or_else(|| panic!("no row {form}"))
}

fn skill(row: &Value, which: &str, end: &str) -> f64 {
    row[which]["with"][end].as_f64().unwrap()
}

#[test]
fn one_adversary_attacks_every_form_and_floats_leak_most() {
    let folder = tempfile::tempdir().unwrap();
    let found = frontier(&[], folder.path());
    let rows = found["rows"].as_array().unwrap();
    assert_eq!(rows.len(), 7);
    for row in rows {
        let (first, exposures) = (&rows[0]["runs"][0]["exposures"], &row["runs"][0]["exposures"]);
        for key in ["of", "owned_rows", "target_rows"] {
            assert_eq!(exposures[0][key], first[0][key], "{key} of {}", row["form"]);
        }
        if exposures[1]["of"] == first[1]["of"] {
            assert_eq!(exposures[1]["target_rows"], first[1]["target_rows"], "{}", row["form"]);
        }
        let without = |row: &Value, which: &str| row[which]["without"]["value"].as_f64().unwrap();
        assert!(without(row, "one_code").abs() < 1e-6, "nobody knows anything without a code");
        // The other half and the digit are the same; the other party's codes, which say less, are the form's.
        let apart = without(row, "one_code_strongest") - without(&rows[0], "one_code_strongest");
        assert!(apart.abs() < 0.03, "{apart} at {}", row["form"]);
    }
    let (signs, four) = (row(&found, "16 signs"), row(&found, "4 signs"));
    let (floats, one_bit) = (row(&found, "16 floats"), row(&found, "16 floats at one bit each"));
    for which in ["one_code", "everything"] {
        assert!(skill(floats, which, "low") > skill(signs, which, "high"), "{which}: {floats}\n{signs}");
        assert!(skill(signs, which, "low") > skill(four, which, "high"), "{which}: {signs}\n{four}");
        assert!(skill(floats, which, "low") > skill(one_bit, which, "high"), "{which}");
    }
    // What left: one code an epoch; encode-once sends one code of a record outside the cohort.
    let releases = |row: &Value| row["runs"][0]["exposures"][1]["releases"].as_u64().unwrap();
    assert_eq!([releases(signs), releases(one_bit)], [8, 9]);
    let once = row(&found, "16 signs, encode-once, 40 % cohort");
    assert_eq!(
        (releases(once), once["runs"][0]["exposures"][1]["of"].as_str()),
        (1, Some("training records outside the cohort"))
    );
    assert_eq!(floats["runs"][0]["bits"], 512);
    // Digits are learned, and noise costs.
    assert!(signs["metric"].as_f64().unwrap() > 0.9, "{signs}");
    let flipped = row(&found, "16 signs, epsilon 2, 32 per draw");
    assert!(skill(flipped, "one_code", "high") < skill(signs, "one_code", "low"), "{flipped}");

    let page = std::fs::read_to_string(folder.path().join("frontier.html")).unwrap();
    for part in [
        "class=\"frontier\"",
        "test accuracy (right is better)",
        "variance explained,\u{a0}% (low is better)",
        "16 floats",
    ] {
        assert!(page.contains(part), "{part}");
    }
    for part in ["<script", "http://", "https://"] {
        assert!(!page.contains(part), "{part}");
    }
}

#[test]
fn seeds_are_runs_of_their_own_and_asked_forms_replace_the_usual_ones() {
    let folder = tempfile::tempdir().unwrap();
    let found = frontier(&["--seeds", "2", "--form", "4x1", "--form", "8x1,victim=1x2"], folder.path());
    assert_eq!(found["seeds"], serde_json::json!([0, 1]));
    let rows = found["rows"].as_array().unwrap();
    assert_eq!(rows.len(), 2);
    for row in rows {
        let metrics: Vec<f64> =
            row["runs"].as_array().unwrap().iter().map(|run| run["metric"].as_f64().unwrap()).collect();
        assert_eq!(metrics.len(), 2);
        let mean = (metrics[0] + metrics[1]) / 2.0;
        assert!((row["metric"].as_f64().unwrap() - mean).abs() < 1e-12, "{row}");
        assert!(row["metric_half_width"].as_f64().is_some());
    }
    assert_eq!(rows[1]["form"], "1 x 2 beside 8 signs");
    assert_eq!(rows[1]["runs"][0]["bits"], 2, "bits of the party that is attacked");
}

#[test]
fn a_form_that_is_none_and_data_that_is_not_there_are_errors() {
    let refused = |arguments: &[&str]| {
        let output = Command::new(env!("CARGO_BIN_EXE_frontier")).args(arguments).output().unwrap();
        assert!(!output.status.success());
        String::from_utf8_lossy(&output.stderr).into_owned()
    };
    assert!(refused(&["digits", "--form", "16x1,colour=2"]).contains("expected victim="));
    assert!(refused(&["adult"]).contains("name their folder with --data"));
}
