//! Class names to class indices, in an order that does not depend on the order of the records. Numbers are classes by
//! their value: `1`, `1.0` and `+1` are one.

use std::collections::HashMap;

use crate::limits::MAX_CLASSES;
use crate::source::number::{WHOLE, parse_number};

/// Collects each record's class; indices are by first appearance until [`Self::finish`].
#[derive(Default)]
pub(crate) struct ClassColumn {
    /// The class of each way of writing.
    written: HashMap<String, u32>,
    numbers: HashMap<u64, u32>,
    /// Of each class, the shortest way of writing, and of several the first by letters.
    names: Vec<String>,
    index: Vec<u32>,
}

impl ClassColumn {
    /// Adds one record's class; false, and nothing is added, when it is one class too many.
    pub(crate) fn push(&mut self, name: &str) -> bool {
        let class = match self.written.get(name) {
            Some(&class) => class,
            None => {
                let number = value(name).map(f64::to_bits);
                let known = number.and_then(|number| self.numbers.get(&number).copied());
                if known.is_none() && self.names.len() == MAX_CLASSES {
                    return false;
                }
                let class = known.unwrap_or_else(|| {
                    self.names.push(name.to_owned());
                    self.names.len() as u32 - 1 // below MAX_CLASSES
                });
                let shown = &mut self.names[class as usize];
                if (name.len(), name) < (shown.len(), shown.as_str()) {
                    *shown = name.to_owned();
                }
                number.map(|number| self.numbers.insert(number, class));
                self.written.insert(name.to_owned(), class);
                class
            }
        };
        self.index.push(class);
        true
    }

    /// Classes so far.
    pub(crate) fn distinct(&self) -> usize {
        self.names.len()
    }

    /// Ways of writing, of all classes.
    pub(crate) fn written(&self) -> usize {
        self.written.len()
    }

    /// The sorted names, and each record's position among them.
    pub(crate) fn finish(mut self) -> (Vec<String>, Vec<u32>) {
        let mut classes: Vec<(String, u32)> = self.names.into_iter().zip(0..).collect();
        classes.sort_unstable();
        // Only when all are numbers: "10" after "9".
        if let Some(values) = classes.iter().map(|(name, _)| value(name)).collect::<Option<Vec<f64>>>() {
            let mut valued: Vec<(f64, (String, u32))> = values.into_iter().zip(classes).collect();
            valued.sort_by(|(a, _), (b, _)| a.total_cmp(b));
            classes = valued.into_iter().map(|(_, class)| class).collect();
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

/// The number that a name writes; none where 64 bits do not hold it for certain.
fn value(name: &str) -> Option<f64> {
    let number = parse_number(name.as_bytes()).ok()?;
    // Zero is one class, with whatever sign.
    (number.abs() < WHOLE).then_some(number + 0.0)
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
        check(&["1.5", "-0.5", "10"], &["-0.5", "1.5", "10"], &[1, 0, 2]);
        check(
            &["90071992547409930", "90071992547409931"],
            &["90071992547409930", "90071992547409931"],
            &[0, 1],
        );
    }

    #[test]
    fn a_number_is_one_class_however_it_is_written() {
        check(&["1.0", "2", "1", "+1", "01", "2.00", "1e0"], &["1", "2"], &[0, 1, 0, 0, 0, 1, 0]);
        check(&["0", "-0.0", "1"], &["0", "1"], &[0, 0, 1]);
        check(&["1.0", "x", "1"], &["1", "x"], &[0, 1, 0]);
        let mut column = ClassColumn::default();
        assert!(["1", "1.0", "2"].into_iter().all(|name| column.push(name)));
        assert_eq!(column.written(), 3);
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
