//! The report in a terminal: a line an attack, its baseline above it.

use std::fmt::Write;

use super::figure::{number, range};
use super::model::{AttackResult, Report};
use super::names::unit;
use super::summary::{knowing, summary};
use super::table::cut;

/// A short table, then the summary.
pub fn text(report: &Report) -> String {
    let mut text = format!("{}\n", report.title);
    for block in report.blocks() {
        let rows: Vec<&AttackResult> = block.baseline.into_iter().chain(block.attacks).collect();
        let victim = rows.first().map_or("", |row| row.victim.as_str());
        let figure = rows.iter().find_map(|row| row.headline()).map_or("", |(name, _)| name);
        let _ = writeln!(text, "\nagainst {victim}: {figure}{}", unit(figure));
        if block.baseline.is_none() {
            text.push_str("  no baseline without the code was run\n");
        }
        let name = |row: &AttackResult| format!("{}, {}", row.attack, knowing(row));
        let place = |row: &AttackResult| match row.is_baseline() {
            true => "nothing: the baseline".to_string(),
            false => format!("{}; {}", cut(row.cut), row.defence),
        };
        let widest = |of: &dyn Fn(&AttackResult) -> String| {
            rows.iter().map(|row| of(row).chars().count()).max().unwrap_or(0)
        };
        let (name_width, place_width) = (widest(&name), widest(&place));
        for row in &rows {
            let found = row.metrics.get(figure).map_or("not scored".to_string(), |found| {
                format!("{:>6}  ({})", number(figure, found.value), range(figure, *found))
            });
            let (name, place, bits) = (name(row), place(row), row.bits);
            let _ = writeln!(text, "  {name:<name_width$}  {place:<place_width$} {bits:>6} bits  {found}");
        }
    }
    for statement in summary(report) {
        let _ = writeln!(text, "\n{}", statement.lead);
        statement.details.iter().for_each(|detail| {
            let _ = writeln!(text, "- {detail}");
        });
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::sample::sample;

    #[test]
    fn the_baseline_stands_above_its_attacks() {
        let text = text(&sample());
        let place = |part: &str| text.find(part).unwrap_or_else(|| panic!("no {part} in\n{text}"));
        assert!(place("class mean, knowing") < place("inverse network, knowing"));
        assert!(text.contains("15.0  (13.0 to 17.0)"));
    }
}
