//! What both sides need to write a first configuration: the preset of a task, texts that TOML reads back as they were, and
//! templates.

use std::fmt::Write;

use hashvfl_core::Task;
use hashvfl_core::text::is_plain;

/// The preset of a first run on a table, by what is predicted.
pub fn preset_of(task: Task) -> &'static str {
    match task {
        Task::Binary => "tabular",
        Task::Multiclass => "tabular-multiclass",
        Task::Regression => "tabular-regression",
    }
}

/// A text as a basic string of TOML, for a key or a value, which may be shown: as JSON, with an escape for all that does not
/// show as itself, or turns around what stands beside it.
pub fn quoted(text: &str) -> String {
    let mut quoted = String::new();
    for letter in serde_json::Value::from(text).to_string().chars() {
        if is_plain(letter) {
            quoted.push(letter);
        } else {
            // Writing to a text cannot fail; all such characters have four digits.
            let _ = write!(quoted, "\\u{:04x}", u32::from(letter));
        }
    }
    quoted
}

/// A list of texts in TOML.
pub fn quoted_list(texts: &[String]) -> String {
    let quoted: Vec<String> = texts.iter().map(|text| quoted(text)).collect();
    format!("[{}]", quoted.join(", "))
}

/// The template with the value of each name that stands in braces. What a value holds is never looked at.
///
/// # Panics
/// When the template holds a name that has no value.
pub fn fill(template: &str, values: &[(&str, &str)]) -> String {
    let mut text = String::with_capacity(template.len());
    let mut rest = template;
    while let Some((before, after)) = rest.split_once("{{") {
        text.push_str(before);
        let (name, after) = after.split_once("}}").expect("every {{ of a template has its }}");
        let value = values.iter().find(|(known, _)| *known == name);
        text.push_str(value.unwrap_or_else(|| panic!("the template's {name} has no value")).1);
        rest = after;
    }
    text.push_str(rest);
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_put_in_once_whatever_they_hold() {
        let values = [("a", "{{b}}"), ("b", "x")];
        assert_eq!(fill("1 {{a}} 2 {{b}} { c }", &values), "1 {{b}} 2 x { c }");
    }

    #[test]
    fn what_turns_text_around_is_escaped() {
        assert_eq!(quoted("a\u{202e}b\n\u{9b}\u{7f}\u{feff}é"), r#""a\u202eb\n\u009b\u007f\ufeffé""#);
    }

    proptest::proptest! {
        #[test]
        fn toml_reads_every_text_back(text: String, control in "[\\x00-\\x20\\x7f\"'\\\\\u{301}\u{200b}\u{feff}]*") {
            for text in [text, control] {
                let toml = format!("{} = {}", quoted(&text), quoted_list(std::slice::from_ref(&text)));
                let table: toml::Table = toml.parse().unwrap();
                proptest::prop_assert_eq!(&table[&text][0], &toml::Value::from(text.as_str()));
            }
        }
    }
}
