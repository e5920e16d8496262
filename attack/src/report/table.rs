//! Attacks by defence, each block beginning with the baseline that its attacks are compared with.

use std::collections::BTreeSet;

use maud::{Markup, html};

use super::model::{AttackResult, Report};
use super::relate::ResultGroup;
use super::{Knowledge, Metric};

/// Columns before those of metrics.
const FIRST: usize = 4;

/// One block.
pub fn block(report: &Report, block: &ResultGroup<'_>) -> Markup {
    let rows = block.rows();
    let metrics: BTreeSet<Metric> = rows.iter().flat_map(|row| row.metrics.keys()).copied().collect();
    let Some(first) = rows.first() else { return html! {} };
    html! {
        table.reflow.attacks {
            caption { "Against " (first.victim) }
            thead { tr {
                th { "attack" } th { "cut and defence" } th { "released bits per record" } th { "records" }
                @for metric in &metrics { th.figure { (metric) (metric.unit()) } }
            } }
            tbody {
                @if !block.has_baseline() {
                    tr.warning { td colspan=(FIRST + metrics.len()) {
                        "No baseline without the code was run for these adversaries: what the code adds is unknown."
                    } }
                }
                @for row in rows { (line(report, row, &metrics)) }
            }
        }
    }
}

fn line(report: &Report, row: &AttackResult, metrics: &BTreeSet<Metric>) -> Markup {
    html! {
        tr.baseline[row.is_baseline()] {
            td { (row.attack) small { (row.knowing()) } }
            td data-name="cut and defence" { (cut(row)) }
            td data-name="released bits per record" { (seen(row)) }
            td data-name="records" { (row.target_rows) " scored" small { (row.auxiliary_rows) " learned from" } }
            @for metric in metrics {
                @if let Some(found) = row.metrics.get(metric) {
                    td.figure data-name={ (metric) (metric.unit()) } {
                        (metric.number(found.value)) small { (metric.range(*found)) }
                    }
                } @else {
                    td.figure {}
                }
            }
        }
        @for note in notes(report, row) {
            tr.note { td colspan=(FIRST + metrics.len()) { (note) } }
        }
    }
}

fn cut(row: &AttackResult) -> Markup {
    if row.is_baseline() {
        let of_others = row.knowledge.contains(&Knowledge::OtherCodes);
        return html! {
            "nothing: the baseline"
            @if of_others { small { "other parties' codes: " (row.defence) } }
        };
    }
    html! { (row.cut) small { (row.defence) } }
}

fn seen(row: &AttackResult) -> Markup {
    match row.releases {
        0 => html! { "nothing" },
        1 => html! { (row.bits) " bits" },
        releases => html! { (row.bits) " bits" small { "in " (releases) " releases" } },
    }
}

fn notes(report: &Report, row: &AttackResult) -> Vec<String> {
    let mut notes = Vec::new();
    if let Some(other) = report.beaten_by(row)
        && let Some((metric, found)) = other.headline()
    {
        let (attack, reached) = (other.attack, metric.phrase(found));
        notes.push(format!("Beaten as an estimate: {attack} reaches {reached} with the same knowledge."));
    }
    if let Some(base) = report.baseline_of(row)
        && !row.is_baseline()
        && base.known() != row.known()
    {
        let knowing = base.knowing();
        notes.push(format!(
            "The baseline knows less ({knowing}), so the difference is not due only to the code."
        ));
    }
    notes.extend(row.note.clone());
    notes
}
