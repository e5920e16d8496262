//! What to know of ids before they are compared with those of other holders: which are likely to meet a stranger's, or nobody's.

use std::borrow::Cow;
use std::collections::HashSet;

use hashvfl_core::records::composite_id::{join, split};
use hashvfl_core::text::counted;

use crate::cell::is_hidden;
use crate::missing::stands_for_missing;

/// What to know of `ids`, each of so many columns, only in numbers: how many usually stand for a missing one, hold characters
/// that do not show, or are another one of them as a number.
pub fn remarks_on_ids(ids: &[String], key_columns: usize) -> Vec<String> {
    [
        (
            ids.iter().filter(|id| is_missing(id, key_columns)).count(),
            "like NA or NULL, which usually stand for a missing value: such a record is matched with any other holder's \
             record without an id; give it an id, or remove it",
        ),
        (
            ids.iter().filter(|id| has_hidden(id)).count(),
            "with characters that do not show, such as a no-break or a zero-width space: other holders' ids without them \
             are different ids",
        ),
        (
            count_alike(ids, key_columns),
            "equal to another id as a number, such as 7.0 and 007: they count as different records",
        ),
    ]
    .into_iter()
    .filter(|(count, _)| *count > 0)
    .map(|(count, what)| format!("{} {what}", counted(count, "id")))
    .collect()
}

/// Whether an id, or one of its parts where it has several, usually stands for a missing one.
fn is_missing(id: &str, key_columns: usize) -> bool {
    match key_columns {
        1 => stands_for_missing(id),
        _ => split(id, key_columns).is_some_and(|parts| parts.into_iter().any(stands_for_missing)),
    }
}

fn has_hidden(id: &str) -> bool {
    // Nearly all ids are of such bytes, which are looked at sooner than letters.
    !id.bytes().all(|byte| byte.is_ascii_graphic() || byte == b' ') && id.contains(is_hidden)
}

/// How many ids are another one of them as numbers.
fn count_alike(ids: &[String], key_columns: usize) -> usize {
    // Whole numbers of as many digits are one text, if they are one number.
    if key_columns == 1 && ids.iter().all(|id| id.len() == ids[0].len() && !id.as_bytes().contains(&b'.')) {
        return 0;
    }
    let (mut rewritten, mut alike) = (HashSet::new(), 0);
    for id in ids {
        let number = as_number(id, key_columns);
        if *number != **id && !rewritten.insert(number.into_owned()) {
            alike += 1;
        }
    }
    if rewritten.is_empty() {
        return 0;
    }
    alike + ids.iter().filter(|id| rewritten.contains(id.as_str())).count()
}

/// The id with each of its parts in the one way that stands for its number.
fn as_number(id: &str, key_columns: usize) -> Cow<'_, str> {
    match key_columns {
        1 => Cow::Borrowed(whole_number(id)),
        _ => match split(id, key_columns) {
            Some(parts) => join(&parts.into_iter().map(whole_number).collect::<Vec<_>>()),
            None => Cow::Borrowed(id),
        },
    }
}

/// A whole number without zeros before it or a fraction of such; every other text as it is.
fn whole_number(text: &str) -> &str {
    let bytes = text.as_bytes();
    if bytes.first() != Some(&b'0') && !bytes.contains(&b'.') {
        return text;
    }
    let (whole, fraction) = text.split_once('.').unwrap_or((text, "0"));
    let is_whole = !whole.is_empty() && whole.bytes().all(|digit| digit.is_ascii_digit());
    if !is_whole || fraction.is_empty() || fraction.bytes().any(|digit| digit != b'0') {
        return text;
    }
    match whole.trim_start_matches('0') {
        "" => "0",
        number => number,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn remarks(ids: &[&str], key_columns: usize) -> Vec<String> {
        remarks_on_ids(&ids.iter().map(|id| (*id).to_owned()).collect::<Vec<_>>(), key_columns)
    }

    #[test]
    fn ids_that_meet_a_stranger_s_or_nobody_s_are_counted_and_not_shown() {
        for (ids, key_columns, expected) in [
            (&["k1", "#N/A", "null", "Nathan"][..], 1, "2 ids like NA"),
            (&["1:a2:NA", "1:a2:NB", "2:NA1:7"], 2, "2 ids like NA"),
            (&["k1", "k\u{200b}2", "\u{a0}k3", "k 4"], 1, "2 ids with characters that do not show"),
            (&["7", "8", "007", "7.00", "9.0", "7.5"], 1, "2 ids equal to another id as a number"),
            (&["1:a1:7", "1:a2:07", "1:b2:07"], 2, "1 id equal to another id as a number"),
            (&["7.0", "007"], 1, "1 id equal to another id as a number"),
        ] {
            let found = remarks(ids, key_columns);
            assert_eq!(found.len(), 1, "{found:?}");
            assert!(found[0].starts_with(expected), "{found:?}");
        }
    }

    #[test]
    fn usual_ids_are_not_remarked_on() {
        for (ids, key_columns) in [
            (&["k1", "0", "7", "none of it", "7.5", "K1", "a b", "00x"][..], 1),
            (&["001", "002", "010"], 1),
            (&["5:north2:17", "no parts"], 2),
            (&[], 1),
        ] {
            assert!(remarks(ids, key_columns).is_empty(), "{ids:?}");
        }
    }
}
