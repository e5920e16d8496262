//! The picture: what the task keeps against what leaks, one plot for one code and one for everything that left.

use hashvfl_attack::frontier::SkillGain;
use hashvfl_attack::report::{Plot, plot, sheet};

use crate::row::{Frontier, Row};
use crate::table;

/// A plot, and what it shows of a row.
const PLOTS: [(Plot, fn(&Row) -> &SkillGain); 4] = [
    (plot_of("One code of a test record", STRANGER), |row| &row.one_code),
    (plot_of("Everything that left of a training record", STRANGER), |row| &row.everything),
    (plot_of("One code, labels and own columns", KNOWING), |row| &row.one_code_strongest),
    (plot_of("Everything that left, labels and own columns", KNOWING), |row| &row.everything_strongest),
];
const STRANGER: &str = "The adversary has columns of other people with what left of them, and nothing else. Dashes: the same \
                        adversary without codes. The dotted line joins what no other form beats.";
const KNOWING: &str = "The adversary also has the labels and the columns of its own organisation, of everybody. Dashes: the same \
                       adversary without codes. The dotted line joins what no other form beats.";

const fn plot_of(title: &'static str, note: &'static str) -> Plot {
    Plot {
        title,
        y: "variance explained, % (low is better)",
        figure: "variance explained, %",
        without: "without codes",
        note,
        frontier: true,
    }
}

/// The whole page.
pub fn html(frontier: &Frontier) -> String {
    let metric = format!("test {}", frontier.metric);
    let plots = PLOTS.iter().map(|(about, reached)| {
        let points: Vec<_> = frontier.rows.iter().map(|row| row.point(*reached)).collect();
        plot(&points, &metric, about)
    });
    let plots = format!("<div class=\"charts\">{}</div>", plots.collect::<String>());
    let [forms, records, others, scores] = table::html(frontier);
    let title = format!("{}: what the task keeps and what leaks", frontier.data);
    let about = table::about(frontier);
    let mut sections = vec![
        ("Picture", plots),
        ("Table", forms),
        ("What a mean over records hides", records),
        ("Other records of these runs", others),
    ];
    if !scores.is_empty() {
        sections.push(("Codes as scores of the label", scores));
    }
    sheet(&title, ["Forms of codes, one adversary", &title, &about], &sections)
}
