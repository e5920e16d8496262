//! The page: answers first, then who could be hurt and what was not tried, tables last.

use std::collections::BTreeMap;

use maud::{Markup, PreEscaped, html};

use super::exposed::ExposedNumber;
use super::label_questions::label_questions;
use super::model::{AttackResult, Report};
use super::pictures::scatter::Plot;
use super::pictures::{bars, chart, grid, scatter};
use super::questions::{Question, questions};
use super::records::Distribution;
use super::sheet::{list, sheet};
use super::summary::{doubtful, summary};
use super::{Metric, Victim, table};

/// The whole report as one HTML file.
pub fn html(report: &Report) -> String {
    let sections = [
        ("What the coordinator can learn about a person", three_questions(report)),
        ("Labels", labels(report)),
        ("Columns and records most exposed", hurt(report)),
        ("What was not tried", not_tried(report)),
        ("Summary", answers(report)),
        ("Details of the summary", details(report)),
        ("Privacy against utility", utility(report)),
        ("What changes the leakage", charts(report)),
        ("Checks on the evaluation", checks(report)),
        ("What no attack can exceed", bounds(report)),
        ("All attacks", attacks(report)),
        ("All defences", defences(report)),
        ("Repeated trainings", spreads(report)),
        ("How to reproduce these figures", reproduce(report)),
    ];
    let sections = sections.map(|(name, body)| (name, body.into_string()));
    let caveat = format!("{} Defence of the run: {}.", report.data, report.defence);
    let kicker = "Reconstruction and inference attacks on a vertical federated run";
    sheet(&format!("{}: what leaks", report.title), [kicker, &report.title, &caveat], &sections)
}

fn three_questions(report: &Report) -> Markup {
    html! {
        @if doubtful(report) {
            div.summary { p.warning { (super::summary::checks(report)) } }
        }
        @for question in questions(report) { (asked(&question)) }
        p { (colours(report)) }
    }
}

fn asked(question: &Question) -> Markup {
    let within = question.within;
    html! {
        h3 { (question.asked) }
        p.held[within == Some(true)].failed[within == Some(false)] {
            (question.answer)
            @if let Some(verdict) = &question.verdict { " " strong { (verdict) } }
        }
        @for sentence in &question.beside { p { (sentence) } }
        @if let Some(bound) = &question.bound { p.caveat { (bound) } }
    }
}

/// What colours mean.
fn colours(report: &Report) -> String {
    if !report.is_limited_for_columns() {
        return "No limit was set (max_explained in attack.toml), so the answers are neither green nor red."
            .to_string();
    }
    let mut named = Vec::new();
    if let Some(limit) = report.limit {
        named.push(format!(
            "{} % of the variance of all columns together (a few columns could still be revealed completely)",
            Metric::Skill.number(limit)
        ));
    }
    let of_columns = report.limits.explained_of.iter();
    named.extend(
        of_columns.map(|(name, limit)| format!("{} % of column {name}", Metric::Skill.number(*limit))),
    );
    if let Some(limit) = report.limits.reidentified {
        named.push(format!("{} % of the records re-identified", Metric::Top1.number(limit)));
    }
    format!(
        "Green: every attack that was tried stayed within the limits with its whole interval; its adversary owned {} of {}. Red: \
         one did not. Limits: {}.",
        report.owned.len(),
        hashvfl_core::text::counted(report.sorted.len(), "record"),
        named.join("; ")
    )
}

fn labels(report: &Report) -> Markup {
    let limit = match report.limits.labels {
        Some(limit) => {
            format!("Limit: {limit} (AUC with two classes, fraction of labels guessed right with more).")
        }
        None => "No limit was set (max_labels in attack.toml), so the answers are neither green nor red."
            .to_string(),
    };
    let questions = label_questions(report);
    let tried = report.results.iter().any(|result| result.victim == Victim::Labels);
    html! {
        @for question in &questions { (asked(question)) }
        @if tried {
            p { "During training, each party receives the gradients of its records' codes and may infer labels from them. \"One \
                 party\" is the party whose columns this report is about. " (limit) }
        }
    }
}

/// Columns of each kind that are shown.
const EXPOSED: usize = 5;

/// Columns, records and pictures.
fn hurt(report: &Report) -> Markup {
    let distribution = Distribution::new(report);
    let (few, numbers) = (report.most_exposed(), report.exposed_numbers());
    html! {
        @if !few.is_empty() {
            h3 { "Columns with few distinct values that codes reveal most" }
            ul.plain {
                @for column in few.into_iter().take(EXPOSED) { (exposed_values(report, column)) }
            }
        }
        @if !numbers.is_empty() {
            h3 { "Other columns whose variance codes reveal most" }
            ul.plain {
                @for column in numbers.into_iter().take(EXPOSED) { (exposed_number(report, &column)) }
            }
        }
        @if let Some(distribution) = &distribution {
            h3 { "How well each record is guessed" }
            (list(&distribution.sentences()))
            (PreEscaped(chart::figure(&distribution.chart())))
        }
        @for grid in &report.grids { (grid::table(grid)) }
    }
}

/// Balanced accuracy counts each value alike: a rare one that is found shows.
fn exposed_values(report: &Report, result: &AttackResult) -> Markup {
    let figure =
        |metric: Metric| result.metrics.get(&metric).map_or("not scored".to_string(), |f| metric.phrase(*f));
    let Victim::Column { column, of, .. } = &result.victim else { return html! {} };
    let above = report.is_above_its_limit(column);
    let mut text = format!("{column} ({of}, {} seen, {})", seen(result), result.knowing());
    if let Some((with, bare)) = report.balanced(result) {
        text += &format!(": each value found in {} on average", Metric::Balanced.phrase(with));
        if let Some(bare) = bare {
            text += &format!(", without codes in {}", Metric::Balanced.phrase(bare));
        }
    }
    text += &format!(
        ". Of all records {} guessed right; the most common value would be right in {}.",
        figure(Metric::Accuracy),
        figure(Metric::Majority)
    );
    html! { li.failed[above] { (text) } }
}

fn exposed_number(report: &Report, number: &ExposedNumber) -> Markup {
    let ExposedNumber { column, best, reached, bare } = number;
    let mut text = format!(
        "{column} ({}, {} seen, {}): {} of its variance",
        best.victim,
        seen(best),
        best.knowing(),
        Metric::BestColumn.phrase(*reached)
    );
    if let Some(bare) = bare {
        text += &format!(", without codes {}", Metric::BestColumn.phrase(*bare));
    }
    text.push('.');
    html! { li.failed[report.is_above_its_limit(column)] { (text) } }
}

/// What an attack on codes saw of a record.
fn seen(result: &AttackResult) -> String {
    match result.releases {
        1 => "one code".to_string(),
        releases => format!("{releases} codes"),
    }
}

fn answers(report: &Report) -> Markup {
    html! {
        div.summary {
            @for (place, statement) in summary(report).iter().enumerate() {
                p.warning[place == 0 && doubtful(report)] { (statement.lead) }
            }
        }
        (bars::figure(report))
    }
}

fn details(report: &Report) -> Markup {
    html! {
        @for statement in summary(report).iter().filter(|statement| !statement.details.is_empty()) {
            h3 { (statement.about) }
            (list(&statement.details))
        }
    }
}

fn charts(report: &Report) -> Markup {
    let charts: String = report.charts.iter().map(chart::figure).collect();
    html! { @if !charts.is_empty() { div.charts { (PreEscaped(charts)) } } }
}

/// What the plot of defences against columns says.
const COLUMNS: Plot = Plot {
    title: "What a defence costs and what it saves",
    y: "variance explained, % (low is better)",
    figure: "variance explained, %",
    without: "without the code",
    note: "Dots show what the adversary that knows most learns (the same one for every defence), with its 95 % interval; \
           dashes show the same adversary without the code.",
    frontier: false,
};

/// The same against labels.
const LABELS: Plot = Plot {
    title: "What a label-side defence costs and what it saves",
    y: "labels inferred from gradients: AUC or accuracy, % (low is better)",
    figure: "AUC or accuracy, %",
    without: "from codes alone",
    note: "Dots show how well one party infers the labels of training records from the gradients of all epochs; dashes \
           show the same party with only its codes.",
    frontier: false,
};

fn utility(report: &Report) -> Markup {
    let metric = &report.utility_metric;
    let columns = scatter::plot(&report.utility, metric, &COLUMNS);
    let labels = scatter::plot(&report.label_utility, metric, &LABELS);
    html! { @if !columns.is_empty() || !labels.is_empty() { div.charts { (PreEscaped(columns + &labels)) } } }
}

fn defences(report: &Report) -> Markup {
    let metric = &report.utility_metric;
    html! {
        @if !report.utility.is_empty() {
            p { "DCS is VFLAIR's defence capability score against this adversary: 1 means that the attack learns \
                 nothing and the task loses nothing." }
        }
        (scatter::table(&report.utility, metric, &COLUMNS))
        (scatter::table(&report.label_utility, metric, &LABELS))
    }
}

fn attacks(report: &Report) -> Markup {
    html! {
        p { "Small figures are 95 % intervals over the scored records." }
        ul.plain {
            li { "Skill over mean: the fraction of the columns' variance that an attack explains. Guessing the mean gives 0, a \
                  perfect guess 100." }
            li { "Error left, worst 1 % and 5 %: the attack's error on the 1 % and 5 % of records that it reconstructs best, as a \
                  percentage of the average error of guessing the mean. A fully revealed record has 0." }
        }
        @for block in report.blocks() { (table::block(report, &block)) }
    }
}

fn spreads(report: &Report) -> Markup {
    if report.spreads.is_empty() {
        return html! {};
    }
    html! {
        p { "The run trained again with other first weights, on the same records. Intervals elsewhere do not cover this." }
        table.reflow {
            thead { tr {
                th { "figure" }
                th.figure { "trainings" }
                @for name in MOMENTS { th.figure { (name) } }
            } }
            tbody {
                @for spread in &report.spreads {
                    tr {
                        td { (spread.what) ": " (spread.figure) (spread.figure.unit()) }
                        td.figure data-name="trainings" { (spread.values.len()) }
                        @for (name, figure) in MOMENTS.iter().zip(spread.moments()) {
                            td.figure data-name=(name) { (spread.figure.number(figure)) }
                        }
                    }
                }
            }
        }
    }
}

const MOMENTS: [&str; 4] = ["mean", "standard deviation", "least", "greatest"];

fn checks(report: &Report) -> Markup {
    if report.checks.is_empty() {
        return html! { p.failed { "No checks were run." } };
    }
    html! {
        ul.checks {
            @for check in &report.checks {
                li {
                    @if check.held { b.held { "held" } } @else { b.failed { "did not hold" } }
                    " " (check.name) small { (check.detail) }
                }
            }
        }
    }
}

fn bounds(report: &Report) -> Markup {
    html! {
        @if !report.bounds.is_empty() {
            ul.plain {
                @for bound in &report.bounds {
                    li { strong { (bound.about) } ": " (bound.says) ". " small { (bound.assumes) } }
                }
            }
        }
    }
}

fn not_tried(report: &Report) -> Markup {
    match report.not_tried.as_slice() {
        [] => html! { p { "Every known attack was tried, or the report does not list the others." } },
        items => list(items),
    }
}

fn reproduce(report: &Report) -> Markup {
    html! {
        pre { (report.reproduce.join("\n")) }
        (definitions("The run", &report.run))
        (definitions("Its settings", &report.settings))
        h3 { "Time of each attack" }
        dl {
            @for result in &report.results {
                dt { (result.attack) ", " (result.defence) }
                dd { (format!("{:.1} s", result.seconds)) }
            }
        }
    }
}

fn definitions(name: &str, facts: &BTreeMap<String, String>) -> Markup {
    html! {
        h3 { (name) }
        dl { @for (key, value) in facts { dt { (key) } dd { (value) } } }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::sample::{poisoned, sample};

    #[test]
    fn all_sections_and_no_way_out() {
        let page = html(&sample());
        for part in [
            "<h2>What the coordinator can learn about a person</h2>",
            "<h2>Labels</h2>",
            "<h2>Columns and records most exposed</h2>",
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
    fn answers_come_first_and_tables_last() {
        let page = html(&sample());
        let place = |part: &str| page.find(part).unwrap_or_else(|| panic!("no {part}"));
        let order = [
            "What can the coordinator learn about a person from one code?",
            "What can one party learn about the labels",
            "How well each record is guessed",
            "What was not tried",
            "From one code",
            "class=\"bars\"",
            "<table class=\"reflow attacks\"",
        ];
        assert!(order.map(place).is_sorted(), "{:?}", order.map(place));
    }

    #[test]
    fn the_first_screen_says_what_its_colours_do_not_show() {
        let mut report = sample();
        report.limit = Some(0.3);
        let first = |report: &Report| {
            let page = html(report);
            page[..page.find("<h2>Labels</h2>").unwrap()].to_string()
        };
        let page = first(&report);
        assert!(page.contains("class=\"held\"") && page.contains("Within the limits."), "{page}");
        assert!(page.contains("(a few columns could still be revealed completely)"), "{page}");
        assert!(page.contains("its adversary owned 2 of 6 records"), "{page}");
        report.checks[0].held = false;
        let page = first(&report);
        assert!(!page.contains("class=\"held\"") && page.contains("Not decided"), "{page}");
        assert!(page.contains("do not rely on"), "{page}");
    }

    #[test]
    fn all_text_from_data_is_escaped() {
        let page = html(&poisoned("<b>\""));
        assert!(!page.contains("<b>"), "{}", &page[page.find("<b>").unwrap() - 100..][..200]);
        assert!(page.matches("&lt;b&gt;&quot;").count() > 60);
    }
}
