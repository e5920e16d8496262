//! Files and functions stay small enough to be read at once.

use crate::sources::{configs, is_generated, sources};

/// Lines of a file at most; generated code apart.
const FILE: usize = 500;
/// Lines of a function at most, its signature included.
const FUNCTION: usize = 80;

/// Lines of an example of the API at most.
const EXAMPLE: usize = 100;
/// Lines of what `init` writes at most, beside comments and a table's own columns.
const FIRST_CONFIG: usize = 24;

/// Name and lines of each function in a file that rustfmt has formatted: it ends with the first brace that stands as far
/// in as its first line.
fn functions(text: &str) -> Vec<(String, usize)> {
    let lines: Vec<&str> = text.lines().collect();
    let mut found = Vec::new();
    for (number, line) in lines.iter().enumerate() {
        let code = line.trim_start();
        let Some(name) = function_name(code) else { continue };
        let end = format!("{}}}", &line[..line.len() - code.len()]);
        if let Some(length) = lines[number..].iter().position(|line| *line == end) {
            found.push((name.to_string(), length + 1));
        }
    }
    found
}

/// The name of the function that begins on a line and does not end on it.
fn function_name(code: &str) -> Option<&str> {
    if code.ends_with('}') || code.ends_with(';') {
        return None;
    }
    let (before, after) = code.split_once("fn ")?;
    let words = ["pub", "pub(crate)", "pub(super)", "async", "const"];
    let begins = before.split_whitespace().all(|word| words.contains(&word));
    begins.then(|| after.split(['(', '<']).next().unwrap_or_default())
}

#[test]
fn the_lengths_of_functions_are_found() {
    let text = "impl A {\n    pub(crate) async fn long<T>(\n        a: T,\n    ) {\n        if a {\n        }\n    }\n}\nfn short() {}\n// fn no\n";
    assert_eq!(functions(text), [("long".to_string(), 6)]);
}

#[test]
fn files_and_functions_are_short() {
    let mut long: Vec<String> = Vec::new();
    let mut seen = 0;
    for (path, text) in sources() {
        if is_generated(&path) {
            continue;
        }
        let lines = text.lines().count();
        let is_example = path.parent().is_some_and(|folder| folder.ends_with("examples"));
        if lines > if is_example { EXAMPLE } else { FILE } {
            long.push(format!("{}: {lines} lines", path.display()));
        }
        for (name, lines) in functions(&text) {
            seen += 1;
            if lines > FUNCTION {
                long.push(format!("{}: {name} has {lines} lines", path.display()));
            }
        }
    }
    assert!(seen > 2_000, "{seen} functions were looked at");
    assert!(long.is_empty(), "split these:\n{}", long.join("\n"));
}

#[test]
fn what_init_writes_fits_one_screen() {
    let mut seen = 0;
    for (path, text) in configs() {
        if !path.parent().is_some_and(|folder| folder.ends_with("commands/init")) {
            continue;
        }
        seen += 1;
        let lines = text.lines().filter(|line| !line.is_empty() && !line.starts_with('#')).count();
        assert!(lines <= FIRST_CONFIG, "{}: {lines} lines", path.display());
    }
    assert_eq!(seen, 2, "a party's and a coordinator's");
}
