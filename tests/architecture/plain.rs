//! Arguments have names of their own, and named closures stay few: a function, or a loop, can be read by itself.

use crate::sources::{is_production, production, sources};

/// Named closures in 1,000 lines, at most.
const CLOSURES: f64 = 4.5;

/// Names of the closures that are bound to one, as `let name = |..|` binds them.
fn named_closures(text: &str) -> Vec<&str> {
    let mut found = Vec::new();
    let mut lines = text.lines().map(str::trim_start).peekable();
    while let Some(line) = lines.next() {
        let Some(bound) = line.strip_prefix("let ") else { continue };
        let bound = bound.strip_prefix("mut ").unwrap_or(bound);
        let name = bound.split([' ', ':']).next().unwrap_or_default();
        let value = match bound.strip_suffix(" =") {
            Some(_) => lines.peek().copied(),
            None => bound.split_once(" = ").map(|(_, value)| value),
        };
        if value.is_some_and(|value| value.strip_prefix("move ").unwrap_or(value).starts_with('|')) {
            found.push(name);
        }
    }
    found
}

/// Whether a parameter is taken apart where it is declared, as in `fn of((rows, width): (usize, usize))`: then two things are handed
/// over as one.
fn has_tuple_parameter(line: &str) -> bool {
    line.match_indices("): (").any(|(end, _)| {
        let Some(start) = line[..end].rfind('(') else { return false };
        let names = &line[start + 1..end];
        let before = line[..start].trim_end();
        names.contains(", ")
            && names.chars().all(|letter| letter.is_alphanumeric() || "_, ".contains(letter))
            && (before.is_empty() || before.ends_with([',', '(']))
    })
}

#[test]
fn named_closures_are_found() {
    let text = "let plain = |a| a + 1;\n    let mut counted =\n        move || 2;\nlet typed: Box<dyn Fn()> = Box::new(|| ());\n\
                let both = 1 | 2;\nlet (a, b) = (1, 2);\n// let said = |a| a\nlet one: u8 =\n    3;\n";
    assert_eq!(named_closures(text), ["plain", "counted"]);
}

#[test]
fn tuple_parameters_are_found() {
    for bad in [
        "fn of((rows, width): (usize, usize), more: u8) {",
        "    (audit, board): (&AuditTrail, &Board),",
        "fn of(&self, (mut a, b_2): (u8, u8)) -> u8 {",
    ] {
        assert!(has_tuple_parameter(bad), "{bad}");
    }
    for good in [
        "let (a, b): (u8, u8) = pair;",
        "let row = |(a, b): (u8, u8)| a + b;",
        "fn of(range: (f32, f32)) -> (f32, f32) {",
        "let (known, solved): (Vec<_>, Vec<_>) = all.into_iter().partition(|(a, b)| a > b);",
    ] {
        assert!(!has_tuple_parameter(good), "{good}");
    }
}

#[test]
fn functions_are_handed_things_one_by_one_and_closures_with_names_are_few() {
    let (mut lines, mut closures, mut tuples) = (0, 0, Vec::new());
    for (path, text) in sources().into_iter().filter(|(path, _)| is_production(path)) {
        let text = production(&text);
        lines += text.lines().count();
        closures += named_closures(text).len();
        for (number, line) in text.lines().enumerate().filter(|(_, line)| has_tuple_parameter(line)) {
            tuples.push(format!("{}:{}: {}", path.display(), number + 1, line.trim()));
        }
    }
    assert!(lines > 50_000, "{lines} lines were looked at");
    assert!(tuples.is_empty(), "give each its own parameter, or both a struct:\n{}", tuples.join("\n"));
    let found = 1e3 * closures as f64 / lines as f64;
    assert!(
        found <= CLOSURES,
        "{found:.2} named closures in 1,000 lines: make functions or plain loops of some"
    );
}
