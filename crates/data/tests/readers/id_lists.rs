use std::fs;

use hashvfl_data::{Order, read_found};
use proptest::prelude::*;

use crate::cases;
use crate::expected::{ascii_trimmed, is_id, texts};

proptest! {
    #![proptest_config(cases(300))]

    /// Each line of a list is found as the record of that very id, or the list is refused.
    #[test]
    fn lists_of_ids_find_each_record_or_none(
        known in prop::collection::hash_set("[a-c \u{a0}é\u{301}\"]{0,3}[0-9a-z]", 1..10),
        more in prop::collection::vec(texts(), 0..2),
        returns: bool,
    ) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("ids.txt");
        let known: Vec<String> = known.into_iter().filter(|id| ascii_trimmed(id) == id).collect();
        let unknown: Vec<String> =
            more.into_iter().filter(|id| is_id(id) && !known.iter().any(|other| other == ascii_trimmed(id))).collect();
        let lines: Vec<&str> = known.iter().chain(&unknown).map(String::as_str).collect();
        fs::write(&path, lines.join(if returns { "\r\n" } else { "\n" })).unwrap();
        let found = read_found(&path, |id| known.iter().position(|other| other == id));
        match found {
            Ok(rows) => {
                prop_assert!(unknown.is_empty() && !known.is_empty());
                prop_assert_eq!(rows, (0..known.len()).collect::<Vec<_>>());
            }
            Err(error) => prop_assert!(!unknown.is_empty() || known.is_empty(), "{error}"),
        }
    }

    /// An order file holds each id as it is; one that was cut off, or changed by a bit or a quote, is refused.
    #[test]
    fn orders_come_back_and_damaged_ones_are_refused(
        pairs in prop::collection::vec((texts(), texts()), 1..10),
        at in any::<prop::sample::Index>(),
        bit in 0_u8..8,
    ) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("order.csv");
        let (ids, own) = pairs.into_iter().unzip();
        let order = Order { ids, own, fingerprint: None };
        let whole = order.to_bytes();
        fs::write(&path, &whole).unwrap();
        prop_assert_eq!(Order::read(&path).unwrap(), order);
        let at = at.index(whole.len());
        let (mut flipped, mut inserted) = (whole.clone(), whole.clone());
        flipped[at] ^= 1 << bit;
        inserted.insert(at, b'"');
        for damaged in [whole[..at].to_vec(), flipped, inserted] {
            fs::write(&path, damaged).unwrap();
            prop_assert!(Order::read(&path).is_err());
        }
    }
}
