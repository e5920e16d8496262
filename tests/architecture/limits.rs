//! Every longer wait that is no setting is in the table of docs/reference/config.md, with what it is for: so nobody has to read
//! the sources to learn why something took so long, and a wait that operators need becomes a setting.

use std::fs;

use crate::sources::{is_production, root, sources, without_visibility};

/// Where processes wait for each other.
const PLACES: [&str; 3] = ["coordinator/src", "party/src", "crates/transport/src"];
/// Shorter ones are of no account to anybody who waits.
const LEAST_S: u64 = 5;

/// Name and seconds of the wait that a line defines: of several, the longest.
fn wait(line: &str) -> Option<(&str, u64)> {
    let (name, rest) = without_visibility(line).strip_prefix("const ")?.split_once(": ")?;
    let (kind, value) = rest.split_once(" = ")?;
    if !kind.contains("Duration") {
        return None;
    }
    let longest = value.split("Duration::from_").skip(1).filter_map(whole_seconds).max()?;
    Some((name, longest))
}

/// Seconds of what follows `Duration::from_`, such as `millis(9500)`, rounded up.
fn whole_seconds(duration: &str) -> Option<u64> {
    let (unit, rest) = duration.split_once('(')?;
    let (number, _) = rest.split_once(')')?;
    let number: u64 = number.replace('_', "").parse().ok()?;
    match unit {
        "millis" => Some(number.div_ceil(1000)),
        "secs" => Some(number),
        "mins" => Some(60 * number),
        _ => None,
    }
}

#[test]
fn waits_are_found() {
    assert_eq!(wait("pub const GRACE: Duration = Duration::from_secs(6);"), Some(("GRACE", 6)));
    assert_eq!(wait("const DAY: Duration = Duration::from_secs(86_400);"), Some(("DAY", 86_400)));
    assert_eq!(wait("const MOST: Duration = Duration::from_millis(9500);"), Some(("MOST", 10)));
    let pauses =
        "pub(super) const PAUSE: [Duration; 2] = [Duration::from_millis(500), Duration::from_secs(10)];";
    assert_eq!(wait(pauses), Some(("PAUSE", 10)));
    assert_eq!(wait("    const INNER: Duration = Duration::from_secs(6);"), None, "of a test or a function");
    assert_eq!(wait("const COUNT: usize = 6;"), None);
}

#[test]
fn longer_waits_that_are_no_settings_are_in_the_config_reference() {
    let page = fs::read_to_string(root().join("docs/reference/config.md")).unwrap();
    let (_, table) = page.split_once("\n## Waits that are no settings\n").expect("a section on waits");
    let mut rows: Vec<&str> = table.lines().filter(|line| line.starts_with("| `")).collect();
    let (mut seen, mut missing) = (0, Vec::new());
    for (path, text) in sources().into_iter().filter(|(path, _)| is_production(path)) {
        let path = path.strip_prefix(root()).unwrap().display().to_string();
        if !PLACES.iter().any(|place| path.starts_with(place)) {
            continue;
        }
        for (name, seconds) in text.lines().filter_map(wait).filter(|(_, seconds)| *seconds >= LEAST_S) {
            seen += 1;
            let row = format!("| `{path}`: `{name}` | {seconds} s |");
            match rows.iter().position(|found| found.starts_with(&row)) {
                Some(at) => {
                    rows.remove(at);
                }
                None => missing.push(row),
            }
        }
    }
    assert!(missing.is_empty(), "docs/reference/config.md has no row for {missing:#?}");
    assert!(rows.is_empty(), "docs/reference/config.md has rows of waits that are gone: {rows:#?}");
    assert!(seen > 10, "{seen} waits were looked at");
}
