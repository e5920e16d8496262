//! Names of columns: finding them, pointing at similar ones, and telling a header from a record. Errors show only names from
//! the configuration, never names from a file, since in a file without a header these are cells.

use std::path::Path;

use strsim::levenshtein;

use crate::cell::is_number;
use crate::error::TableError;

const MAX_SHOWN: usize = 8;

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

/// Whether a first line is a record rather than a header: it holds numbers other than consecutive whole numbers (`0,1,2,...`
/// are common names of pixels, years are common, and 0 or 1 may stand alone).
pub(crate) fn looks_like_data(names: &[String]) -> bool {
    let numbers: Vec<&String> = names.iter().filter(|name| is_number(name)).collect();
    let mut whole = Vec::new();
    for number in &numbers {
        match number.parse::<i64>() {
            Ok(number) => whole.push(number),
            Err(_) => return true,
        }
    }
    match whole[..] {
        [alone] => !(0..=1).contains(&alone),
        _ => !whole.windows(2).all(|pair| pair[0].checked_add(1) == Some(pair[1])),
    }
}

/// Says which columns have names similar to the wanted one.
fn help(names: &[String], wanted: &str) -> String {
    let close = names.iter().zip(1..).filter(|(name, _)| is_close(name, wanted));
    let close: Vec<String> = close.take(MAX_SHOWN).map(|(_, at): (_, usize)| at.to_string()).collect();
    if close.is_empty() && names.len() == 1 {
        return "its only column has another name; correct the setting, add a header as the first line, or write commas \
                between the cells"
            .to_owned();
    }
    if close.is_empty() {
        return format!(
            "none of its {} columns has a similar name; correct the setting, or add a header as the first line",
            names.len()
        );
    }
    format!(
        "a name that differs in letter case or a letter or two is that of column {}",
        close.join(" and of column ")
    )
}

fn is_close(name: &str, wanted: &str) -> bool {
    let (name, wanted) = (name.to_lowercase(), wanted.to_lowercase());
    let allowed = if wanted.chars().count() < 4 { 1 } else { 2 };
    levenshtein(&name, &wanted) <= allowed
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(line: &str) -> Vec<String> {
        line.split(',').map(str::to_owned).collect()
    }

    #[test]
    fn numbers_in_the_first_line_are_a_record_unless_they_count_up() {
        for (line, expected) in [
            ("id,age,income", false),
            ("label,0,1,2,3", false),
            ("1,2,3", false),
            ("39,State-gov,77516", true),
            ("a,0.5", true),
            ("a,\u{2212}5", true),
            ("a,-1,b,7", true),
            ("133,x0:0.45", true),
            ("label,0", false),
            ("country,2019,2020,2021", false),
        ] {
            assert_eq!(looks_like_data(&names(line)), expected, "{line}");
        }
    }

    #[test]
    fn an_unknown_name_gets_help_that_shows_no_cell() {
        let path = Path::new("a.csv");
        for (header, wanted, expected) in [
            ("id,incomes,age", "incme", "that of column 2"),
            ("ID,incomes", "id", "that of column 1"),
            ("key,id1,ie", "id", "that of column 2 and of column 3"),
            ("key,incomes", "id", "none of its 2 columns has a similar name"),
            ("incomes age", "id", "its only column has another name"),
            ("39,State-gov,77516", "id", "looks like a record"),
        ] {
            let message = find(path, &names(header), "id", wanted).unwrap_err().to_string();
            assert!(message.contains(expected), "{message}");
            assert!(!message.contains("77516") && !message.contains("incomes"), "{message}");
        }
    }
}
