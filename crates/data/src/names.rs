//! Names of columns: finding them, suggesting close ones, and telling a header from a record.

use std::path::Path;

use crate::error::TableError;

const MAX_SHOWN: usize = 8;
const MAX_SHOWN_CHARS: usize = 40;

/// The position of the column that `setting` names.
pub(crate) fn find(
    path: &Path,
    names: &[String],
    setting: &'static str,
    wanted: &str,
) -> Result<usize, TableError> {
    if let Some(position) = names.iter().position(|name| name == wanted) {
        return Ok(position);
    }
    // Without a header the "names" are cells, and an error must not show those.
    if looks_like_data(names) {
        return Err(TableError::HeaderLooksLikeData { path: path.to_owned() });
    }
    Err(TableError::UnknownColumn {
        path: path.to_owned(),
        setting,
        name: wanted.to_owned(),
        help: help(names, wanted),
    })
}

/// Whether a first line is a record rather than names: it holds numbers, and not as a run of
/// whole numbers (`0,1,2,...` are common names of pixels).
pub(crate) fn looks_like_data(names: &[String]) -> bool {
    let mut previous: Option<i64> = None;
    for name in names.iter().filter(|name| name.parse::<f64>().is_ok()) {
        let Ok(whole) = name.parse::<i64>() else {
            return true;
        };
        if previous.is_some_and(|previous| previous.checked_add(1) != Some(whole)) {
            return true;
        }
        previous = Some(whole);
    }
    false
}

fn help(names: &[String], wanted: &str) -> String {
    let close: Vec<&String> = names.iter().filter(|name| is_close(name, wanted)).collect();
    if !close.is_empty() {
        return format!("did you mean {}?", list(&close));
    }
    let all: Vec<&String> = names.iter().collect();
    format!("its {} columns are {}", names.len(), list(&all))
}

fn list(names: &[&String]) -> String {
    let mut shown: Vec<String> = names
        .iter()
        .take(MAX_SHOWN)
        .map(|name| format!("{:?}", name.chars().take(MAX_SHOWN_CHARS).collect::<String>()))
        .collect();
    if names.len() > MAX_SHOWN {
        shown.push("...".to_owned());
    }
    shown.join(", ")
}

fn is_close(name: &str, wanted: &str) -> bool {
    let (name, wanted) = (name.to_lowercase(), wanted.to_lowercase());
    let allowed = if wanted.chars().count() < 4 { 1 } else { 2 };
    name == wanted || edits(&name, &wanted) <= allowed
}

/// Letters to insert, delete or replace to get from `from` to `to` (Levenshtein distance).
fn edits(from: &str, to: &str) -> usize {
    let to: Vec<char> = to.chars().collect();
    let mut costs: Vec<usize> = (0..=to.len()).collect();
    for (row, letter) in from.chars().enumerate() {
        let mut diagonal = costs[0];
        costs[0] = row + 1;
        for (column, other) in to.iter().enumerate() {
            let replaced = diagonal + usize::from(letter != *other);
            diagonal = costs[column + 1];
            costs[column + 1] = replaced.min(costs[column] + 1).min(diagonal + 1);
        }
    }
    costs[to.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(line: &str) -> Vec<String> {
        line.split(',').map(str::to_owned).collect()
    }

    #[test]
    fn edits_count_letters() {
        for (from, to, expected) in [
            ("", "", 0),
            ("income", "income", 0),
            ("incme", "income", 1),
            ("kitten", "sitting", 3),
            ("", "abc", 3),
        ] {
            assert_eq!(edits(from, to), expected, "{from} {to}");
        }
    }

    #[test]
    fn numbers_in_the_first_line_are_a_record_unless_they_count_up() {
        for (line, expected) in [
            ("id,age,income", false),
            ("label,0,1,2,3", false),
            ("1,2,3", false),
            ("39,State-gov,77516", true),
            ("a,0.5", true),
            ("a,-1,b,7", true),
        ] {
            assert_eq!(looks_like_data(&names(line)), expected, "{line}");
        }
    }

    #[test]
    fn an_unknown_name_gets_help() {
        let path = Path::new("a.csv");
        for (header, wanted, expected) in [
            ("id,income,age", "incme", "did you mean \"income\"?"),
            ("ID,income", "id", "did you mean \"ID\"?"),
            ("key,income", "id", "its 2 columns are \"key\", \"income\""),
            ("a,b,c,d,e,f,g,h,i,j", "income", "its 10 columns are \"a\""),
            ("39,State-gov,77516", "id", "looks like a record"),
        ] {
            let message = find(path, &names(header), "id", wanted).unwrap_err().to_string();
            assert!(message.contains(expected), "{message}");
            assert!(!message.contains("77516"), "{message}");
        }
    }
}
