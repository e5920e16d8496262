//! The table of what a mean over records hides: what is told beyond a record's class, and the records that are given away most.

use hashvfl_attack::frontier::{MeasuredForm, PairedEstimate};
use hashvfl_attack::report::Estimate;

use crate::row::{Frontier, Row, over_seeds};
use crate::table::{Cells, percent};

/// A column: its head, and the figure of one run. Without classes there is none over their means.
struct Column {
    head: &'static str,
    of: fn(&MeasuredForm) -> Option<PairedEstimate>,
}

const COLUMNS: [Column; 6] = [
    Column { head: "one code, over the class mean", of: |run| run.exposures[0].over_class },
    Column { head: "everything, over the class mean", of: |run| run.of_training().over_class },
    Column { head: "one code, error left, worst 1 %", of: |run| Some(run.exposures[0].worst_hundredth) },
    Column { head: "one code, error left, worst 5 %", of: |run| Some(run.exposures[0].worst_twentieth) },
    Column { head: "everything, error left, worst 1 %", of: |run| Some(run.of_training().worst_hundredth) },
    Column { head: "everything, error left, worst 5 %", of: |run| Some(run.of_training().worst_twentieth) },
];

impl Column {
    fn cell(&self, row: &Row, figure: fn(&PairedEstimate) -> Estimate) -> Option<String> {
        let found: Option<Vec<PairedEstimate>> = row.runs.iter().map(self.of).collect();
        Some(percent(over_seeds(found?.iter().map(figure).collect())))
    }
}

/// Cells of all forms, and of the adversaries of the first one without codes.
pub fn cells(frontier: &Frontier) -> Cells {
    let (mut heads, mut columns) = (vec!["sent by a party".to_string()], Vec::new());
    for column in &COLUMNS {
        let with: Option<Vec<String>> =
            frontier.rows.iter().map(|row| column.cell(row, |figure| figure.with)).collect();
        let without = column.cell(&frontier.rows[0], |figure| figure.without);
        if let (Some(with), Some(without)) = (with, without) {
            heads.push(column.head.to_string());
            columns.push([with, vec![without]].concat());
        }
    }
    let names = frontier.rows.iter().map(|row| row.form.clone()).chain(["without codes".to_string()]);
    let rows = names.enumerate().map(|(place, name)| -> Vec<String> {
        let cells = columns.iter().map(|column| column[place].clone());
        std::iter::once(name).chain(cells).collect()
    });
    Cells { heads, rows: rows.collect() }
}

#[cfg(test)]
mod tests {
    use hashvfl_attack::frontier::{Exposure, SkillGain};
    use hashvfl_attack::report::{Check, CheckId, Population};

    use super::*;

    fn beside(with: f64, without: f64) -> PairedEstimate {
        let [with, without] = [with, without].map(|value| Estimate { value, low: value, high: value });
        PairedEstimate { with, without }
    }

    fn exposure(of: Population, over_class: Option<PairedEstimate>) -> Exposure {
        let PairedEstimate { with, without } = beside(0.3, 0.0);
        let reached = SkillGain { with, without, added: with };
        Exposure {
            of,
            releases: 1,
            bits: 16,
            owned_rows: 100,
            target_rows: 100,
            stranger: reached,
            strongest: reached,
            over_class,
            worst_hundredth: beside(0.1, 0.4),
            worst_twentieth: beside(0.2, 0.5),
            most_exposed: None,
        }
    }

    fn frontier(over_class: Option<PairedEstimate>) -> Frontier {
        let name = CheckId::NeverFalls;
        let run = MeasuredForm {
            form: "16 signs".into(),
            metric: 0.9,
            bits: 16,
            exposures: vec![
                exposure(Population::Test, over_class),
                exposure(Population::Training, over_class),
            ],
            reidentified: beside(0.0, 0.0).with,
            candidates: 100,
            as_score: None,
            check: Check { name, held: true, detail: String::new() },
        };
        let rows = vec![Row::of(&"16x1".parse().unwrap(), vec![run], &[0.9])];
        let (data, metric, victim) = ("digits".into(), "accuracy".into(), "right".into());
        Frontier { data, metric, victim, seeds: vec![0], epochs: 3, quick: true, rows }
    }

    #[test]
    fn figures_over_class_means_stand_where_there_are_classes() {
        let found = cells(&frontier(Some(beside(0.113, -0.027))));
        assert_eq!(found.heads.len(), 7);
        assert!(found.rows.iter().all(|row| row.len() == 7));
        let [with, without] = &found.rows[..] else { panic!("{:?}", found.rows) };
        assert!(with[0] == "16 signs" && with[1].starts_with("11.3 ("), "{with:?}");
        assert!(with[3].starts_with("10.0 (") && with[6].starts_with("20.0 ("), "{with:?}");
        assert!(without[0] == "without codes" && without[4].starts_with("50.0 ("), "{without:?}");
        let found = cells(&frontier(None));
        assert_eq!(found.heads.len(), 5);
        assert!(found.rows.iter().all(|row| row.len() == 5 && row[1].contains("0.0 (")), "{:?}", found.rows);
    }
}
