//! A record's id of several columns as one text. This is the one place for it.

use std::borrow::Cow;

/// One text of an id's parts: the part itself where there is one; else each part behind its length in bytes and a
/// colon, so that no two lists of parts make the same text.
pub fn join<'a>(parts: &[&'a str]) -> Cow<'a, str> {
    match parts {
        [part] => Cow::Borrowed(part),
        parts => parts.iter().map(|part| format!("{}:{part}", part.len())).collect::<String>().into(),
    }
}

/// The `count` parts of which [`join`] made `text`; `None` where it made no such text.
pub fn split(text: &str, count: usize) -> Option<Vec<&str>> {
    if count == 1 {
        return Some(vec![text]);
    }
    let (mut parts, mut rest) = (Vec::with_capacity(count), text);
    for _ in 0..count {
        let (length, after) = rest.split_once(':')?;
        let length: usize = length.parse().ok()?;
        parts.push(after.get(..length)?);
        rest = after.get(length..)?;
    }
    rest.is_empty().then_some(parts)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn one_part_is_itself_and_several_stand_behind_their_lengths() {
        assert_eq!(join(&["7:a"]), "7:a");
        assert_eq!(join(&["north", "é1"]), "5:north3:é1");
        assert_eq!(split("5:north3:é1", 2), Some(vec!["north", "é1"]));
        assert_eq!(split("5:north3:é1", 3), None);
        assert_eq!(split("9:north", 1), Some(vec!["9:north"]));
    }

    proptest! {
        #[test]
        fn parts_are_told_apart(parts in prop::collection::vec(".{0,6}", 1..5)) {
            let borrowed: Vec<&str> = parts.iter().map(String::as_str).collect();
            let joined = join(&borrowed);
            prop_assert_eq!(split(&joined, parts.len()), Some(borrowed));
        }

        #[test]
        fn no_text_breaks_the_splitting(text in ".{0,12}", count in 1_usize..4) {
            let _ = split(&text, count);
        }
    }
}
