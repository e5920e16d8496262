//! The figures as HTML, one table a kind with its curves, and as lines of text.

use std::fmt::Write;

use hashvfl_attack::report::{Chart, Curve, Estimate, chart, escape};

use crate::measure::Figures;
use crate::scores::DEFAULTS;
use hashvfl_files::say;

/// What one detector did on one kind.
pub struct Row {
    /// The detector.
    pub name: String,
    /// Where it runs.
    pub side: &'static str,
    /// What it did.
    pub figures: Figures,
    /// Microseconds a row.
    pub micros: f64,
}

/// One kind's table and curves, as HTML.
pub fn section(about: &str, rows: &[Row]) -> String {
    let mut html = format!(
        "<p class=\"caveat\">{}.</p><table><thead><tr><th>detector</th><th>where</th><th class=\"figure\">AUROC</th>\
         <th class=\"figure\">found at 1 % false alarms, %</th><th class=\"figure\">found at 5 %, %</th>\
         <th class=\"figure\">µs per row</th></tr></thead><tbody>",
        escape(about)
    );
    for row in rows {
        let class = if DEFAULTS.contains(&row.name.as_str()) { " class=\"baseline\"" } else { "" };
        let _ = write!(html, "<tr{class}><td>{}</td><td>{}</td>", escape(&row.name), row.side);
        html.push_str(&cell(row.figures.auroc, 1.0, 3));
        html.push_str(&cell(row.figures.at_1, 100.0, 1));
        html.push_str(&cell(row.figures.at_5, 100.0, 1));
        let _ = write!(html, "<td class=\"figure\">{:.2}</td></tr>", row.micros);
    }
    html.push_str("</tbody></table>");
    let shown = |row: &&Row| {
        DEFAULTS.contains(&row.name.as_str())
            || row.name == "hamming-distance"
            || row.name == "default and adaptive"
    };
    let curves = rows.iter().filter(shown).map(|row| Curve {
        name: row.name.clone(),
        points: row
            .figures
            .roc
            .iter()
            .map(|(x, y)| (*x, Estimate { value: *y, low: *y, high: *y }))
            .collect(),
    });
    html + &chart(&Chart {
        title: "Found, by fraction of false alarms".into(),
        x: "false alarms".into(),
        log_x: false,
        y: "found".into(),
        curves: curves.collect(),
    })
}

fn cell(figure: Estimate, scale: f64, digits: usize) -> String {
    format!(
        "<td class=\"figure\">{:.digits$}<small>{:.digits$} to {:.digits$}</small></td>",
        scale * figure.value,
        scale * figure.low,
        scale * figure.high
    )
}

/// The same as text.
pub fn print(name: &str, rows: &[Row]) {
    say!(
        "\n{name}\n  {:<28} {:>22} {:>8} {:>8} {:>10}",
        "detector",
        "AUROC",
        "at 1 %",
        "at 5 %",
        "us per row"
    );
    for row in rows {
        let f = &row.figures;
        let interval = format!("{:.3} ({:.3}, {:.3})", f.auroc.value, f.auroc.low, f.auroc.high);
        say!(
            "  {:<28} {interval:>22} {:>8.1} {:>8.1} {:>10.2}",
            row.name,
            100.0 * f.at_1.value,
            100.0 * f.at_5.value,
            row.micros
        );
    }
}
