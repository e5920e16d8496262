//! The report in a terminal: one line per attack, its baseline above it.

use std::fmt::Write;

use super::label_questions::label_questions;
use super::model::{AttackResult, Report};
use super::questions::questions;
use super::relate::ResultGroup;
use super::summary::summary;

/// A short table, then the summary.
pub fn text(report: &Report) -> String {
    let mut text = format!("{}\n", report.title);
    for group in report.blocks() {
        text.push_str(&block(&group));
    }
    for question in questions(report).iter().chain(&label_questions(report)) {
        let _ = writeln!(text, "\n{}\n{}", question.asked, question.answer);
        let more = question.beside.iter().chain(&question.verdict).chain(&question.bound);
        more.for_each(|line| text.push_str(&format!("{line}\n")));
    }
    for statement in summary(report) {
        let _ = writeln!(text, "\n{}", statement.lead);
        for detail in statement.details {
            let _ = writeln!(text, "- {detail}");
        }
    }
    text
}

fn block(group: &ResultGroup) -> String {
    let rows = group.rows();
    let headline = rows.iter().find_map(|row| row.headline());
    let (Some(first), Some((metric, _))) = (rows.first(), headline) else { return String::new() };
    let mut text = format!("\nagainst {}: {metric}{}\n", first.victim, metric.unit());
    if !group.has_baseline() {
        text.push_str("  no baseline without the code was run\n");
    }
    let names: Vec<String> = rows.iter().map(|row| format!("{}, {}", row.attack, row.knowing())).collect();
    let places: Vec<String> = rows.iter().map(|row| place(row)).collect();
    let (name_width, place_width) = (widest(&names), widest(&places));
    for ((row, name), place) in rows.iter().zip(names).zip(places) {
        let found = row.metrics.get(&metric).map_or("not scored".to_string(), |found| {
            format!("{:>6}  ({})", metric.number(found.value), metric.range(*found))
        });
        let bits = row.bits;
        let _ = writeln!(text, "  {name:<name_width$}  {place:<place_width$} {bits:>6} bits  {found}");
    }
    text
}

fn place(row: &AttackResult) -> String {
    if row.is_baseline() {
        return "nothing: the baseline".to_string();
    }
    format!("{}; {}", row.cut, row.defence)
}

fn widest(texts: &[String]) -> usize {
    texts.iter().map(|text| text.chars().count()).max().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::sample::sample;

    #[test]
    fn the_baseline_stands_above_its_attacks() {
        let text = text(&sample());
        let place = |part: &str| text.find(part).unwrap_or_else(|| panic!("no {part} in\n{text}"));
        assert!(place("no code, knowing") < place("inverse network, knowing"));
        assert!(text.contains("15.0  (13.0 to 17.0)"));
    }
}
