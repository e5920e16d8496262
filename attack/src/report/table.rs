//! Attacks by defence, each block beginning with the baseline that its attacks are compared with.

use std::collections::BTreeSet;
use std::fmt::Write;

use super::escape::escape;
use super::figure::{number, phrase, range};
use super::model::{AttackResult, CutKind, Report};
use super::names::{ORDER, unit};
use super::relate::ResultGroup;
use super::summary::knowing;

/// All blocks.
pub fn blocks(report: &Report) -> String {
    report.blocks().iter().map(|block| table(report, block)).collect()
}

fn table(report: &Report, block: &ResultGroup<'_>) -> String {
    let rows: Vec<&AttackResult> = block.baseline.into_iter().chain(block.attacks.iter().copied()).collect();
    let metrics = metrics(&rows);
    let mut html = String::from("<table class=\"attacks\">");
    let victim = rows.first().map_or("", |row| row.victim.as_str());
    let _ = write!(html, "<caption>Against {}</caption><thead><tr>", escape(victim));
    html.push_str("<th>attack</th><th>cut and defence</th><th>saw of a record</th><th>records</th>");
    for name in &metrics {
        let _ = write!(html, "<th class=\"figure\">{}{}</th>", escape(name), unit(name));
    }
    html.push_str("</tr></thead><tbody>");
    if block.baseline.is_none() {
        let _ = write!(
            html,
            "<tr class=\"warning\"><td colspan=\"{}\">No baseline without the code was run for these adversaries: \
             what the code adds is unknown.</td></tr>",
            4 + metrics.len()
        );
    }
    rows.iter().for_each(|row| html.push_str(&line(report, row, &metrics)));
    html + "</tbody></table>\n"
}

fn line(report: &Report, row: &AttackResult, metrics: &[&str]) -> String {
    let (class, cut, defence, seen) = if row.is_baseline() {
        ("baseline", "nothing: the baseline", "", "nothing".to_string())
    } else {
        let seen = match row.releases {
            1 => format!("{} bits", row.bits),
            releases => format!("{} bits<small>in {releases} releases</small>", row.bits),
        };
        ("", cut(row.cut), row.defence.as_str(), seen)
    };
    let mut html = format!(
        "<tr class=\"{class}\"><td>{}<small>{}</small></td><td>{cut}<small>{}</small></td><td>{seen}</td>\
         <td class=\"records\">{} scored<small>{} learned from</small></td>",
        escape(&row.attack),
        escape(&knowing(row)),
        escape(defence),
        row.target_rows,
        row.auxiliary_rows
    );
    for name in metrics {
        html.push_str("<td class=\"figure\">");
        if let Some(found) = row.metrics.get(*name) {
            let _ = write!(html, "{}<small>{}</small>", number(name, found.value), range(name, *found));
        }
        html.push_str("</td>");
    }
    html.push_str("</tr>");
    for note in notes(report, row) {
        let _ = write!(
            html,
            "<tr class=\"note\"><td colspan=\"{}\">{}</td></tr>",
            4 + metrics.len(),
            escape(&note)
        );
    }
    html
}

fn notes(report: &Report, row: &AttackResult) -> Vec<String> {
    let beaten = report.beaten_by(row).and_then(|other| Some((other, other.headline()?)));
    let beaten = beaten.map(|(other, (name, found))| {
        format!(
            "Beaten as an estimate: {} reaches {} with the same knowledge.",
            other.attack,
            phrase(name, found)
        )
    });
    let less = report.baseline_of(row).filter(|base| !row.is_baseline() && base.known() != row.known());
    let less = less.map(|base| {
        format!("The baseline knows less ({}): not all of the difference is the code's.", knowing(base))
    });
    [beaten, less, row.note.clone()].into_iter().flatten().collect()
}

/// A cut in a few words.
pub(super) fn cut(kind: CutKind) -> &'static str {
    match kind {
        CutKind::Codes => "hash codes",
        CutKind::Gradients => "gradients, at a party",
        CutKind::Predictions => "predictions, at their recipient",
        CutKind::SimulatedFloats => "floats (simulated)",
        CutKind::SimulatedQuantised => "floats at one bit each (simulated)",
        CutKind::BeforeSign => "value before the sign, which nobody sees",
    }
}

/// Names of the figures that `rows` have, in the usual order.
fn metrics<'a>(rows: &[&'a AttackResult]) -> Vec<&'a str> {
    let names: BTreeSet<&str> = rows.iter().flat_map(|row| row.metrics.keys()).map(String::as_str).collect();
    let mut names: Vec<&str> = names.into_iter().collect();
    names.sort_by_key(|name| ORDER.iter().position(|other| other == name).unwrap_or(ORDER.len()));
    names
}
