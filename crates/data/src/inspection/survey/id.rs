//! Which column of a table is likely to hold the records' ids, where nobody says so.

use super::Surveyed;
use crate::encoding::treatment::ColumnType;

/// Words that tell an id's column wherever they stand in its name.
const ID_WORDS: [&str; 4] = ["id", "ids", "uuid", "guid"];
/// Words that do so alone, or behind an underscore: cells of text hold them too.
const LAST_ID_WORDS: [&str; 6] = ["key", "index", "nr", "number", "code", "name"];

/// Whether a name says by itself that it is one: of an id. `David` and `Key West` do not.
pub(super) fn names_an_id(name: &str) -> bool {
    has_id_word(name) || ends_like_an_id(name)
}

fn has_id_word(name: &str) -> bool {
    let lower = name.to_lowercase();
    let mut words = lower.split(|letter: char| !letter.is_alphanumeric());
    let before_id = name.strip_suffix("Id").or_else(|| name.strip_suffix("ID"));
    words.any(|word| ID_WORDS.contains(&word))
        || before_id.is_some_and(|before| before.ends_with(|letter: char| letter.is_ascii_lowercase()))
}

fn ends_like_an_id(name: &str) -> bool {
    let lower = name.to_lowercase();
    LAST_ID_WORDS.contains(&lower.rsplit('_').next().unwrap_or_default())
}

/// The column of a table of so many `records` that is likely to be the id; none of those in `not`. By its name: `id`, else the
/// first that ends in `_id`, else the first with a word for an id in it, else the first of all if its last word is one. Without
/// such a name: the first column of texts, if each record has one of its own. Numbers without such a name may be measured.
pub(super) fn guess(columns: &[Surveyed], records: u64, not: &[String]) -> Option<String> {
    let columns: Vec<&Surveyed> =
        columns.iter().filter(|column| !column.name.is_empty() && !not.contains(&column.name)).collect();
    if let Some(id) = columns.iter().find(|column| column.name.eq_ignore_ascii_case("id")) {
        return Some(id.name.clone());
    }
    let by_end = columns.iter().filter(|column| column.name.to_lowercase().ends_with("_id"));
    let by_word = columns.iter().filter(|column| has_id_word(&column.name));
    let first = columns.first().filter(|column| ends_like_an_id(&column.name));
    let named: Vec<&Surveyed> = by_end.chain(by_word).chain(first).copied().collect();
    let is_one = |column: &Surveyed| is_distinct(column, records);
    // Where each repeats or lacks some, whoever reads the table says so of the first.
    if let Some(id) = named.iter().find(|column| is_one(column)).or(named.first()) {
        return Some(id.name.clone());
    }
    let first = columns.first().filter(|column| column.kind == ColumnType::Category && is_one(column));
    first.map(|column| column.name.clone())
}

/// Whether each record may have a value of its own that could be an id.
fn is_distinct(column: &Surveyed, records: u64) -> bool {
    let could_be = column.kind == ColumnType::Category || column.whole;
    could_be && column.missing == 0 && column.distinct.is_none_or(|distinct| distinct as u64 == records)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A column of ten records, so many of whose values differ.
    fn column(name: &str, kind: ColumnType, distinct: usize, whole: bool) -> Surveyed {
        Surveyed {
            name: name.to_owned(),
            kind,
            missing: 0,
            distinct: Some(distinct),
            whole,
            collapses: false,
            leading_zeros: 0,
            ranges: 0,
            thousands: 0,
            nines: 0,
            respelt: 0,
            oddity: None,
        }
    }

    #[test]
    fn the_id_is_guessed_by_its_name() {
        for (names, expected) in [
            (&["a", "ID", "b"][..], Some("ID")),
            (&["a", "customer_id", "id"], Some("id")),
            (&["a", "Customer_ID", "b"], Some("Customer_ID")),
            (&["age", "customerId", "income"], Some("customerId")),
            (&["age", "Customer-ID", "income"], Some("Customer-ID")),
            (&["age", "uuid"], Some("uuid")),
            (&["key", "a"], Some("key")),
            (&["a", "key"], None),
            (&["paid", "a", "valid"], None),
            (&["", "a", "b"], None),
            (&["price", "area", "rooms"], None),
        ] {
            let columns: Vec<Surveyed> =
                names.iter().map(|name| column(name, ColumnType::Number, 10, true)).collect();
            assert_eq!(guess(&columns, 10, &[]).as_deref(), expected, "{names:?}");
        }
    }

    #[test]
    fn values_decide_where_names_do_not() {
        let text = |name: &str, distinct: usize| column(name, ColumnType::Category, distinct, false);
        let columns = [text("y", 2), text("customer", 10), text("town", 9)];
        assert_eq!(guess(&columns, 10, &[]), None);
        assert_eq!(guess(&columns, 10, &["y".to_owned()]).as_deref(), Some("customer"));
        let columns = [text("store_id", 3), text("visit_id", 10)];
        assert_eq!(guess(&columns, 10, &[]).as_deref(), Some("visit_id"), "the other repeats");
        assert_eq!(
            guess(&columns[..1], 10, &[]).as_deref(),
            Some("store_id"),
            "its reader says that it repeats"
        );
        let columns = [text("id", 3), text("visit_id", 10)];
        assert_eq!(guess(&columns, 10, &[]).as_deref(), Some("id"));
        let columns = [column("half_id", ColumnType::Number, 10, false), text("visit_id", 10)];
        assert_eq!(guess(&columns, 10, &[]).as_deref(), Some("visit_id"), "an id has no fraction");
    }
}
