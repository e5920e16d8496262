//! A page in one file, with its own style and nothing from elsewhere.

use maud::{DOCTYPE, Markup, PreEscaped, html};

const STYLE: &str = include_str!("style.css");
const POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'; img-src data:";

/// `text` with the characters replaced that mean something in HTML, within double quotes and without.
pub fn escape(text: &str) -> String {
    html! { (text) }.into_string()
}

/// A page of `sections`, each a heading and its HTML; empty ones are left out. `head` is a kicker, a title and a
/// caveat, as plain text.
pub fn sheet(tab: &str, head: [&str; 3], sections: &[(&str, String)]) -> String {
    let [kicker, title, caveat] = head;
    let page = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta http-equiv="Content-Security-Policy" content=(POLICY);
                meta name="viewport" content="width=device-width, initial-scale=1";
                title { (tab) }
                style { (PreEscaped(STYLE)) }
            }
            body {
                header { p.kicker { (kicker) } h1 { (title) } p.caveat { (caveat) } }
                @for (name, body) in sections.iter().filter(|(_, body)| !body.is_empty()) {
                    section { h2 { (name) } (PreEscaped(body)) }
                }
            }
        }
    };
    // A figure and its unit stay on one line.
    page.into_string().replace(" %", "\u{a0}%")
}

/// A list of plain text.
pub fn list(items: &[String]) -> Markup {
    html! { ul.plain { @for item in items { li { (item) } } } }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn markup_becomes_text() {
        assert_eq!(escape("<a href=\"x\">&é"), "&lt;a href=&quot;x&quot;&gt;&amp;é");
    }

    #[test]
    fn no_line_begins_with_a_unit() {
        let page = sheet("a", ["a", "a", "12 % of all"], &[("a", "<p>5.0 %</p>".to_string())]);
        assert!(
            page.contains("12\u{a0}% of all") && page.contains("5.0\u{a0}%") && !page.contains(" %"),
            "{page}"
        );
    }
}
