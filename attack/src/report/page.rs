//! The page: sections of HTML in one file, with its own style and nothing from elsewhere.

use std::collections::BTreeMap;
use std::fmt::Write;

use super::escape::escape;
use super::figure::number;
use super::model::Report;
use super::names::unit;
use super::pictures::scatter::Plot;
use super::pictures::{chart, grid, scatter};
use super::{summary, table};

const HEAD: &str = "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
    <meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'; img-src data:\">\n\
    <meta name=\"viewport\" content=\"width=device-width\">\n";

/// A page of `sections`, each a heading and its HTML; empty ones are left out. `head` is a kicker, a title and a
/// caveat, as plain text.
pub fn sheet(tab: &str, [kicker, title, caveat]: [&str; 3], sections: &[(&str, String)]) -> String {
    let mut page = format!(
        "{HEAD}<title>{}</title>\n<style>\n{STYLE}</style>\n</head>\n<body>\n\
         <header><p class=\"kicker\">{}</p><h1>{}</h1><p class=\"caveat\">{}</p></header>\n",
        escape(tab),
        escape(kicker),
        escape(title),
        escape(caveat)
    );
    for (name, body) in sections.iter().filter(|(_, body)| !body.is_empty()) {
        let _ = write!(page, "<section>\n<h2>{}</h2>\n{body}\n</section>\n", escape(name));
    }
    page + "</body>\n</html>\n"
}

/// The whole report as one HTML file.
pub fn html(report: &Report) -> String {
    let charts: String = report.charts.iter().map(chart::figure).collect();
    let sections = [
        ("Summary", summary_section(report)),
        ("Attacks and defences", attacks(report)),
        ("Pictures", report.grids.iter().map(grid::table).collect()),
        ("What changes the leakage", wrapped("charts", charts)),
        ("Privacy against utility", wrapped("utility", utility(report))),
        ("Trained again", spreads(report)),
        ("Checks on the harness", checks(report)),
        ("What was not tried", not_tried(report)),
        ("How to get these figures again", reproduce(report)),
    ];
    let caveat = format!("{} Defence of the run: {}.", report.data, report.defence);
    let kicker = "Reconstruction and inference attacks on a vertical federated run";
    sheet(&format!("{}: what leaks", report.title), [kicker, &report.title, &caveat], &sections)
}

const STYLE: &str = include_str!("style.css");

fn wrapped(class: &str, body: String) -> String {
    if body.is_empty() { body } else { format!("<div class=\"{class}\">{body}</div>") }
}

fn summary_section(report: &Report) -> String {
    let failed = report.checks.is_empty() || report.checks.iter().any(|check| !check.held);
    let mut html = String::from("<div class=\"summary\">");
    for (place, statement) in summary::summary(report).iter().enumerate() {
        let class = if place == 0 && failed { " class=\"warning\"" } else { "" };
        let _ = write!(html, "<p{class}>{}</p>", escape(&statement.lead));
        if !statement.details.is_empty() {
            html.push_str(&list(&statement.details));
        }
    }
    html + "</div>"
}

fn attacks(report: &Report) -> String {
    format!(
        "<p class=\"caveat\">Small figures are 95 % intervals over the scored records. Skill over mean is the share of \
         the columns' variance that an attack explains: 0 for guessing the mean, 100 for a perfect guess. The error \
         left on the worst 1 % is 100 where a record fares as well as an average one under the mean guess, and 0 where \
         it is given away.</p>{}",
        table::blocks(report)
    )
}

fn utility(report: &Report) -> String {
    let columns = Plot {
        title: "What a defence costs and what it saves",
        y: "variance explained, % (low is better)",
        figure: "variance explained, %",
        without: "without the code",
        note: "Dots: the strongest attack that was run, with its 95 % interval. Dashes at the same place: the same \
               adversary without the code. DCS is VFLAIR's defence capability score against that attack, 1 where it gets \
               nothing and the task loses nothing.",
    };
    let labels = Plot {
        title: "What a label-side defence costs and what it saves",
        y: "labels told from gradients: AUC or accuracy, % (low is better)",
        figure: "AUC or accuracy, %",
        without: "from codes alone",
        note: "Labels of training records as one party infers them from the gradients of all epochs. Dashes at the same \
               place: the same party from its codes alone.",
    };
    let metric = &report.utility_metric;
    scatter::section(&report.utility, metric, &columns)
        + &scatter::section(&report.label_utility, metric, &labels)
}

fn spreads(report: &Report) -> String {
    if report.spreads.is_empty() {
        return String::new();
    }
    let mut html = String::from(
        "<p>The run trained again with other first weights, on the same records. Intervals elsewhere do not cover this.</p>         <table><thead><tr><th>figure</th><th>trainings</th><th class=\"figure\">mean</th>         <th class=\"figure\">standard deviation</th><th class=\"figure\">least</th><th class=\"figure\">greatest</th></tr>         </thead><tbody>",
    );
    for spread in &report.spreads {
        let name = format!("{}: {}{}", spread.what, spread.figure, unit(&spread.figure));
        let _ = write!(html, "<tr><td>{}</td><td>{}</td>", escape(&name), spread.values.len());
        for figure in spread.moments() {
            let _ = write!(html, "<td class=\"figure\">{}</td>", number(&spread.figure, figure));
        }
        html.push_str("</tr>");
    }
    html + "</tbody></table>"
}

fn checks(report: &Report) -> String {
    if report.checks.is_empty() {
        return "<p class=\"failed\">None was run.</p>".to_string();
    }
    let mut html =
        String::from("<table><thead><tr><th>check</th><th></th><th>figures</th></tr></thead><tbody>");
    for check in &report.checks {
        let (class, word) = if check.held { ("held", "held") } else { ("failed", "did not hold") };
        let _ = write!(
            html,
            "<tr><td>{}</td><td class=\"{class}\">{word}</td><td>{}</td></tr>",
            escape(&check.name),
            escape(&check.detail)
        );
    }
    html + "</tbody></table>"
}

fn not_tried(report: &Report) -> String {
    match report.not_tried.as_slice() {
        [] => "<p>The report does not say.</p>".to_string(),
        items => list(items),
    }
}

fn list(items: &[String]) -> String {
    let items: String = items.iter().map(|item| format!("<li>{}</li>", escape(item))).collect();
    format!("<ul class=\"plain\">{items}</ul>")
}

fn reproduce(report: &Report) -> String {
    let mut html = format!("<pre>{}</pre>", escape(&report.reproduce.join("\n")));
    for (name, facts) in [("The run", &report.run), ("Its settings", &report.settings)] {
        html.push_str(&definitions(name, facts));
    }
    let mut seconds = String::new();
    for result in &report.results {
        let _ = write!(
            seconds,
            "<dt>{}</dt><dd>{:.1} s</dd>",
            escape(&format!("{}, {}", result.attack, result.defence)),
            result.seconds
        );
    }
    let _ = write!(html, "<h3>Time of each attack</h3><dl>{seconds}</dl>");
    html
}

fn definitions(name: &str, facts: &BTreeMap<String, String>) -> String {
    let rows: String = facts
        .iter()
        .map(|(key, value)| format!("<dt>{}</dt><dd>{}</dd>", escape(key), escape(value)))
        .collect();
    format!("<h3>{name}</h3><dl>{rows}</dl>")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::sample::sample;

    #[test]
    fn all_sections_and_no_way_out() {
        let page = html(&sample());
        for part in [
            "<h2>Summary</h2>",
            "From one code of 16 bits",
            "nothing: the baseline",
            "Beaten as an estimate: inverse network",
            "data:image/png;base64,iVBOR",
            "<polygon",
            "<polyline",
            "class=\"bare\"",
            "<h2>What was not tried</h2>",
            "attack --seed 1 &amp;&amp; report",
        ] {
            assert!(page.contains(part), "{part}");
        }
        for part in ["<script", "http://", "https://", "url(", "@import"] {
            assert!(!page.contains(part), "{part}");
        }
    }

    #[test]
    fn all_text_from_data_is_escaped() {
        let mut json = serde_json::to_value(sample()).unwrap();
        poison(&mut json);
        let page = html(&serde_json::from_value(json).unwrap());
        assert!(!page.contains("<b>"), "{}", &page[page.find("<b>").unwrap() - 100..][..200]);
        assert!(page.matches("&lt;b&gt;").count() > 60);
    }

    /// Puts markup into every text but the kinds of cut.
    fn poison(json: &mut serde_json::Value) {
        match json {
            serde_json::Value::String(text)
                if !["codes", "gradients", "before-sign"].contains(&text.as_str())
                    && !text.starts_with("simulated") =>
            {
                text.push_str("<b>\"'");
            }
            serde_json::Value::Array(items) => items.iter_mut().for_each(poison),
            serde_json::Value::Object(fields) => {
                fields.values_mut().for_each(poison);
                for table in ["run", "settings", "metrics"] {
                    if let Some(serde_json::Value::Object(table)) = fields.get_mut(table) {
                        let old = std::mem::take(table);
                        table.extend(old.into_iter().map(|(key, value)| (format!("{key}<b>\"'"), value)));
                    }
                }
            }
            _ => {}
        }
    }
}
