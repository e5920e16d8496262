//! What a query computes with whole numbers is exact, or it is refused.

use std::fs;
use std::path::Path;

use proptest::prelude::*;

use crate::expected::categories;
use crate::{cases, read};

/// The text of the column `c` of each record, by the query over the file as `t`.
fn run(path: &Path, query: &str) -> Result<Vec<Option<String>>, String> {
    let settings =
        format!("format = \"sql\"\nid = \"id\"\nquery = {query:?}\n[tables]\nt = {{ location = {path:?} }}");
    read(&settings, "c = \"category\"").map(|table| categories(&table, 0))
}

/// What is expected of numbers that 128 bits certainly hold: their texts where each fits into 64.
fn texts(numbers: &[i128]) -> Option<Vec<Option<String>>> {
    numbers.iter().map(|number| i64::try_from(*number).ok().map(|number| Some(number.to_string()))).collect()
}

fn whole() -> impl Strategy<Value = i64> {
    prop_oneof![3 => -1000_i64..1000, 2 => -(1_i64 << 40)..1 << 40, 1 => -i64::MAX..i64::MAX]
}

proptest! {
    #![proptest_config(cases(40))]

    #[test]
    fn sums_and_products_are_exact_or_refused(
        pairs in prop::collection::vec((whole(), whole()), 1..6),
        operator in prop::sample::select(vec!["+", "-", "*"]),
    ) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.csv");
        let lines: String = pairs.iter().zip(0..).map(|((a, b), row): (_, i32)| format!("k{row},{a},{b}\n")).collect();
        fs::write(&path, format!("id,a,b\n{lines}")).unwrap();
        let apply = |(a, b): &(i64, i64)| {
            let (a, b) = (i128::from(*a), i128::from(*b));
            match operator {
                "+" => a + b,
                "-" => a - b,
                _ => a * b,
            }
        };
        let each: Vec<i128> = pairs.iter().map(apply).collect();
        let all = [pairs.iter().map(|(a, _)| i128::from(*a)).sum::<i128>()];
        for (query, numbers) in [
            (format!("SELECT id, a {operator} b AS c FROM t"), &each[..]),
            ("SELECT 'k' AS id, SUM(a) AS c FROM t".to_owned(), &all[..]),
            ("SELECT CAST(a IS NULL AS VARCHAR) AS id, SUM(a) AS c FROM t GROUP BY a IS NULL".to_owned(), &all[..]),
        ] {
            match (run(&path, &query), texts(numbers)) {
                (Ok(found), wanted) => prop_assert_eq!(Some(found), wanted),
                (Err(message), wanted) => {
                    prop_assert!(wanted.is_none() && message.contains("too large for its type"), "{}", message);
                }
            }
        }
    }
}
