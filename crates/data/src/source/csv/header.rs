//! Which column of a CSV file is likely to be the id.

/// A guess of the id column by its name: `id`, else the first that ends in `_id`, else the first that has a name.
pub(crate) fn guess_id(columns: &[String]) -> String {
    let find = |fits: &dyn Fn(&str) -> bool| columns.iter().find(|name| fits(&name.to_lowercase()));
    let found = find(&|name| name == "id").or_else(|| find(&|name| name.ends_with("_id")));
    found.or_else(|| find(&|name| !name.is_empty())).cloned().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_id_is_guessed_by_its_name() {
        for (names, expected) in [
            (&["a", "ID", "b"][..], "ID"),
            (&["a", "customer_id", "id"], "id"),
            (&["a", "Customer_ID", "b"], "Customer_ID"),
            (&["key", "a"], "key"),
            (&["paid", "a", "valid"], "paid"),
            (&["", "a", "b"], "a"),
        ] {
            assert_eq!(guess_id(&names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>()), expected);
        }
    }
}
