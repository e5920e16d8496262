//! Traits have no method that an implementor can forget.

use crate::sources::{is_generated, sources, without_visibility};

/// The methods with a body of the traits in a file that rustfmt has formatted: such a trait ends with the first brace that
/// stands as far in as its first line.
fn default_methods(text: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut end = None;
    for line in text.lines() {
        let code = line.trim_start();
        let indent = &line[..line.len() - code.len()];
        if end.as_deref() == Some(line) {
            end = None;
        } else if end.is_none() && is_trait(code) {
            end = (!code.ends_with('}')).then(|| format!("{indent}}}"));
        } else if end.is_some() && has_body(code) {
            found.push(code.to_string());
        }
    }
    found
}

/// Whether a body begins on a line of a trait: an empty one ends there as well.
fn has_body(code: &str) -> bool {
    code.ends_with('{') || code.contains("fn ") && code.ends_with('}')
}

/// Whether a trait begins on a line.
fn is_trait(code: &str) -> bool {
    without_visibility(code).starts_with("trait ")
}

#[test]
fn methods_with_a_body_are_found() {
    let text = "pub trait Source: Debug {\n    fn must(&self) -> usize;\n\n    fn may(&self) -> usize {\n        1\n    }\n\n    \
                fn long(\n        &self,\n    ) -> usize {\n        2\n    }\n\n    fn nothing(&self) {}\n}\n\nfn free() {\n}\ntrait Empty {}\n\
                fn other() {\n}\npub(super) trait Near {\n    fn near(&self) {}\n}\n";
    let found = ["fn may(&self) -> usize {", ") -> usize {", "fn nothing(&self) {}", "fn near(&self) {}"];
    assert_eq!(default_methods(text), found);
}

#[test]
fn traits_have_no_default_methods() {
    let (mut seen, mut found) = (0, Vec::new());
    for (path, text) in sources() {
        if is_generated(&path) {
            continue;
        }
        seen += text.lines().filter(|line| is_trait(line)).count();
        found
            .extend(default_methods(&text).into_iter().map(|method| format!("{}: {method}", path.display())));
    }
    assert!(seen >= 15, "{seen} traits were looked at");
    assert!(found.is_empty(), "an implementor can forget these:\n{}", found.join("\n"));
}
