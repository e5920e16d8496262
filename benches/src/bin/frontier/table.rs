//! The table: cells once, as Markdown and as HTML.

use hashvfl_attack::frontier::{Exposure, MeasuredForm};
use hashvfl_attack::report::{Estimate, Metric, escape};

use crate::row::{Frontier, Row};
use crate::{records, scores};

/// A line about one run, as soon as it has ended.
pub fn line(run: &MeasuredForm) -> String {
    let exposures: Vec<String> = run.exposures.iter().map(figure).collect();
    format!("{}: metric {:.4}; explained, %: {}", run.form, run.metric, exposures.join("; "))
}

fn figure(exposure: &Exposure) -> String {
    format!(
        "{} {} and {}",
        exposure.of,
        Metric::Skill.number(exposure.stranger.with.value),
        Metric::Skill.number(exposure.strongest.with.value)
    )
}

/// Heads and cells.
pub struct Cells {
    /// Heads of the columns.
    pub heads: Vec<String>,
    /// Cells of each row.
    pub rows: Vec<Vec<String>>,
}

impl Cells {
    fn markdown(&self) -> String {
        let rule = vec!["---".to_string(); self.heads.len()];
        let rows: String = self.rows.iter().map(|row| markdown_line(row)).collect();
        format!("{}| {} |\n{rows}", markdown_line(&self.heads), rule.join("|"))
    }

    fn html(&self) -> String {
        let heads: String = self.heads.iter().map(|head| format!("<th>{}</th>", escape(head))).collect();
        let mut rows = String::new();
        for row in &self.rows {
            rows += "<tr>";
            for (head, cell) in self.heads.iter().zip(row) {
                rows += &format!("<td data-name=\"{}\">{}</td>", escape(head), escape(cell));
            }
            rows += "</tr>";
        }
        format!("<table class=\"reflow\"><thead><tr>{heads}</tr></thead><tbody>{rows}</tbody></table>")
    }
}

fn markdown_line(cells: &[String]) -> String {
    format!("| {} |\n", cells.join(" | "))
}

/// The tables as Markdown, with what was measured in front.
pub fn markdown(frontier: &Frontier) -> String {
    let mut text = format!("{}\n\n{}", about(frontier), forms(frontier).markdown());
    for more in [records::cells(frontier), others(frontier), scores::cells(frontier)] {
        if !more.rows.is_empty() {
            text += "\n";
            text += &more.markdown();
        }
    }
    text
}

/// The tables as HTML.
pub fn html(frontier: &Frontier) -> [String; 4] {
    [forms(frontier), records::cells(frontier), others(frontier), scores::cells(frontier)]
        .map(|cells| if cells.rows.is_empty() { String::new() } else { cells.html() })
}

/// What was measured, in a sentence or two.
pub fn about(frontier: &Frontier) -> String {
    let [test, training] = [0, 1].map(|place| &frontier.rows[0].runs[0].exposures[place]);
    let seeds = match frontier.seeds.len() {
        1 => "one seed; intervals are over records".to_string(),
        count => format!(
            "means over {count} seeds; intervals are Student's over seeds, of the metric in pairs with the first row"
        ),
    };
    let quick = if frontier.quick { " Quick: only regressions in closed form." } else { "" };
    format!(
        "{}: columns of party {}, {} epochs, {seeds}. Fraction of variance explained, %, with its 95 % interval; \
         the adversary owns {} records, and {} test and {} training records are scored.{quick}",
        frontier.data,
        frontier.victim,
        frontier.epochs,
        test.owned_rows,
        test.target_rows,
        training.target_rows
    )
}

fn forms(frontier: &Frontier) -> Cells {
    let metric = format!("test {}", frontier.metric);
    let heads = [
        "sent by a party",
        "bits a release",
        metric.as_str(),
        "one code",
        "one code, labels and own columns",
        "releases of a training record",
        "everything that left of it",
        "everything, labels and own columns",
        "most exposed column, everything",
        "re-identified",
        "on the frontier",
    ];
    let of_one = frontier.best(|row| &row.one_code);
    let of_all = frontier.best(|row| &row.everything);
    let mut rows = Vec::new();
    for ((row, one), all) in frontier.rows.iter().zip(of_one).zip(of_all) {
        rows.push(cells(row, one, all));
    }
    rows.push(baseline(&frontier.rows[0]));
    Cells { heads: heads.map(String::from).to_vec(), rows }
}

/// A row, and whether it is on the frontier of `one` code and of `all` that leaves.
fn cells(row: &Row, one: bool, all: bool) -> Vec<String> {
    let (run, training) = (&row.runs[0], row.runs[0].of_training());
    let half = row.metric_half_width.map(|half| format!(" +- {half:.4}")).unwrap_or_default();
    let exposed = training.most_exposed.as_ref().zip(row.most_exposed);
    let best = match (one, all) {
        (true, true) => "one code; everything",
        (true, false) => "one code",
        (false, true) => "everything",
        (false, false) => "",
    };
    vec![
        row.form.clone(),
        run.bits.to_string(),
        format!("{:.4}{half}", row.metric),
        percent(row.one_code.with),
        percent(row.one_code_strongest.with),
        training.releases.to_string(),
        percent(row.everything.with),
        percent(row.everything_strongest.with),
        exposed.map_or(String::new(), |(column, found)| format!("{} ({})", percent(found), column.name)),
        percent(row.reidentified),
        best.to_string(),
    ]
}

/// The adversaries of the first row without codes.
fn baseline(row: &Row) -> Vec<String> {
    let chance = 100.0 / row.runs[0].candidates as f64;
    vec![
        "without codes".into(),
        String::new(),
        String::new(),
        percent(row.one_code.without),
        percent(row.one_code_strongest.without),
        "0".into(),
        percent(row.everything.without),
        percent(row.everything_strongest.without),
        String::new(),
        format!("{chance:.1}"),
        String::new(),
    ]
}

/// Other records of the first seed's runs.
fn others(frontier: &Frontier) -> Cells {
    let heads =
        ["sent by a party", "records", "releases", "everything that left", "and labels and own columns"];
    let mut rows = Vec::new();
    for row in &frontier.rows {
        for exposure in row.other_exposures() {
            let of = if frontier.seeds.len() > 1 { ", first seed" } else { "" };
            rows.push(vec![
                row.form.clone(),
                format!("{}{of}", exposure.of),
                exposure.releases.to_string(),
                percent(exposure.stranger.with),
                percent(exposure.strongest.with),
            ]);
        }
    }
    Cells { heads: heads.map(String::from).to_vec(), rows }
}

/// A fraction in per cent with its interval.
pub fn percent(figure: Estimate) -> String {
    format!("{} ({})", Metric::Skill.number(figure.value), Metric::Skill.range(figure))
}
