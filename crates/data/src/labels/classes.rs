//! Class names to class indices, in an order that does not depend on the order of the records.

use std::collections::HashMap;

use crate::limits::MAX_CLASSES;

/// Collects each record's class; indices are by first appearance until [`Self::finish`].
#[derive(Default)]
pub(crate) struct ClassColumn {
    seen: HashMap<String, u32>,
    index: Vec<u32>,
}

impl ClassColumn {
    /// Adds one record's class; false, and nothing is added, when it is one class too many.
    pub(crate) fn push(&mut self, name: &str) -> bool {
        let class = match self.seen.get(name) {
            Some(&class) => class,
            None if self.seen.len() == MAX_CLASSES => return false,
            None => {
                let class = self.seen.len() as u32; // below MAX_CLASSES
                self.seen.insert(name.to_owned(), class);
                class
            }
        };
        self.index.push(class);
        true
    }

    /// The sorted names, and each record's position among them.
    pub(crate) fn finish(mut self) -> (Vec<String>, Vec<u32>) {
        let mut classes: Vec<(String, u32)> = self.seen.into_iter().collect();
        classes.sort_unstable();
        // Only when all are whole numbers: "10" after "9". Stable, so that "01" comes before "1".
        if classes.iter().all(|(name, _)| name.parse::<i64>().is_ok()) {
            classes.sort_by_key(|(name, _)| name.parse::<i64>().unwrap_or(0));
        }
        let mut sorted = vec![0; classes.len()];
        for (position, (_, class)) in classes.iter().enumerate() {
            sorted[*class as usize] = position as u32; // below MAX_CLASSES
        }
        for class in &mut self.index {
            *class = sorted[*class as usize];
        }
        let names = classes.into_iter().map(|(name, _)| name).collect();
        (names, self.index)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(records: &[&str], names: &[&str], index: &[u32]) {
        let mut column = ClassColumn::default();
        assert!(records.iter().all(|record| column.push(record)));
        let (found_names, found_index) = column.finish();
        assert_eq!(found_names, names);
        assert_eq!(found_index, index);
    }

    #[test]
    fn whole_numbers_sort_by_value_and_other_names_by_letters() {
        check(&["10", "9", "-1", "9"], &["-1", "9", "10"], &[2, 1, 0, 1]);
        check(&["yes", "no", "yes"], &["no", "yes"], &[1, 0, 1]);
        check(&["10", "9", "x"], &["10", "9", "x"], &[0, 1, 2]);
        check(&["1", "01", "0"], &["0", "01", "1"], &[2, 1, 0]);
    }

    #[test]
    fn classes_are_limited() {
        let mut column = ClassColumn::default();
        for class in 0..MAX_CLASSES {
            assert!(column.push(&class.to_string()));
        }
        assert!(!column.push("one more"));
        assert!(column.push("7"));
    }
}
