use std::fs;

use hashvfl_core::Task;
use hashvfl_data::{LabelsSource, Target, load_labels};
use proptest::prelude::*;

use crate::cases;
use crate::expected::{ascii_trimmed, numbers, texts};

/// Words that stand for a missing label.
pub const MISSING: [&str; 20] = [
    "", "na", "n/a", "nan", "-nan", "+nan", "nan(ind)", "1.#qnan", "-1.#ind", "null", "none", "?", "-", "..",
    "\u{2014}", "#n/a", "#n/a n/a", "#nv", "#div/0!", "\u{a0}",
];

/// Whether a label is such a word, whatever white space is around it.
pub fn is_missing(label: &str) -> bool {
    MISSING.iter().any(|word| word.trim() == label.trim().to_lowercase())
}

/// What makes two labels one class: their number, where they have one that 64 bits hold for certain, otherwise their text.
pub fn class(label: &str) -> String {
    let label = ascii_trimmed(label);
    match label.parse::<f64>() {
        Ok(number) if number.abs() < 9_007_199_254_740_992.0 => {
            format!("number {}", (number + 0.0).to_bits())
        }
        _ => format!("text {label}"),
    }
}

fn load(labels: &[String], task: Task) -> Result<Target, String> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("y.csv");
    let mut writer = csv::Writer::from_path(&path).unwrap();
    writer.write_record(["id", "y"]).unwrap();
    labels
        .iter()
        .zip(0..)
        .for_each(|(label, row): (_, i32)| writer.write_record([&format!("k{row}"), label]).unwrap());
    drop(writer);
    assert!(fs::exists(&path).unwrap());
    let config = format!("format = \"csv\"\npaths = [{path:?}]\nid = \"id\"\ncolumn = \"y\"");
    let source: LabelsSource = toml::from_str(&config).unwrap();
    let loaded = load_labels(&source, task).map_err(|error| error.to_string())?;
    assert_eq!(loaded.ids.len(), labels.len());
    Ok(loaded.target)
}

proptest! {
    #![proptest_config(cases(400))]

    /// Two records are of one class where their labels are one, and of no class where a label is missing.
    #[test]
    fn classes_are_those_of_the_file(labels in prop::collection::vec(prop_oneof![texts(), numbers()], 2..12)) {
        let Ok(Target::Classes { names, index }) = load(&labels, Task::Multiclass) else { return Ok(()) };
        prop_assert!(!labels.iter().any(|label| is_missing(label)));
        for (one, label) in labels.iter().enumerate() {
            prop_assert_eq!(class(&names[index[one] as usize]), class(label));
            for (other, second) in labels.iter().enumerate() {
                prop_assert_eq!(index[one] == index[other], class(label) == class(second));
            }
        }
    }

    /// The targets of a regression are the numbers of the file in 32 bits, each as near to its own as can be.
    #[test]
    fn numbers_to_predict_are_those_of_the_file(labels in prop::collection::vec(numbers(), 1..12)) {
        match load(&labels, Task::Regression) {
            Ok(target) => {
                let expected: Vec<f32> = labels.iter().map(|label| ascii_trimmed(label).parse::<f64>().unwrap() as f32).collect();
                prop_assert_eq!(target, Target::Real(expected));
            }
            Err(message) => {
                let plain = labels.iter().all(|label| ascii_trimmed(label).parse::<i16>().is_ok());
                prop_assert!(!plain, "{message}");
            }
        }
    }
}
