//! The examples run to a good end. `cargo test` builds them beside the tests.

use std::process::Command;

fn run(name: &str) -> String {
    let test = std::env::current_exe().unwrap();
    let program = test.parent().unwrap().parent().unwrap().join("examples").join(name);
    let output =
        Command::new(&program).output().unwrap_or_else(|error| panic!("{}: {error}", program.display()));
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    assert!(output.status.success(), "{}", text(&output.stderr));
    text(&output.stdout)
}

#[test]
fn a_federation_in_one_process() {
    let said = run("one_process");
    assert!(said.contains("hash codes at the cut: ") && said.contains("floats at the cut: "), "{said}");
}

#[test]
fn a_party_in_a_program_of_ones_own() {
    let said = run("embedded_party");
    assert_eq!(said.matches("trained: ").count(), 3, "{said}");
}

#[test]
fn a_source_of_ones_own() {
    assert_eq!(run("own_source"), "5 records of [\"square\"]\n");
}

#[test]
fn a_detector_of_ones_own() {
    let said = run("own_detector");
    let flagged = |line: &str| -> u32 {
        let (what, count) = line.split_once(": ").unwrap();
        assert!(what.ends_with("digits"), "{said}");
        count.split(' ').next().unwrap().parse().unwrap()
    };
    let counts: Vec<u32> = said.lines().map(flagged).collect();
    assert!(counts.len() == 2 && counts[0] < 20 && counts[1] > 180, "{said}");
}

#[test]
fn examples_are_short() {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut seen = 0;
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|extension| extension == "rs") {
            let lines = std::fs::read_to_string(&path).unwrap().lines().count();
            assert!(lines <= 100, "{} has {lines} lines", path.display());
            seen += 1;
        }
    }
    assert!(seen >= 4, "{seen} examples");
}
