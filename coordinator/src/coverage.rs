//! What the labels of each part of the records can tell, looked at before a run: a part without some class trains,
//! chooses or measures something else than one believes.

use anyhow::ensure;
use hashvfl_core::{Part, Plan, Task};
use hashvfl_learning::evaluation::Evaluation;
use hashvfl_learning::loss::Labels;
use tracing::warn;

/// Records of a class below which figures of a part are mostly chance: the AUC of ten positive records has a standard
/// error of about 0.1.
const FEW: usize = 10;

/// Parts that are looked at.
const PARTS: [(Part, &str); 3] =
    [(Part::CohortTrain, "training"), (Part::CohortValidation, "validation"), (Part::Test, "test")];

/// Warns of parts that lack a class or have few records of one, or whose values are all equal.
///
/// # Errors
/// If the training labels are all equal: there is nothing to learn.
pub fn check(task: Task, labels: &Labels, plan: &Plan) -> anyhow::Result<()> {
    let train = plan.part(Part::CohortTrain);
    let one = match labels {
        Labels::Classes { count, index } => {
            counts(*count, index, train).iter().filter(|records| **records > 0).count() < 2
        }
        Labels::Real(values) => all_equal(values, train),
    };
    ensure!(
        !one,
        "all {} training records have the same label, so there is nothing to learn: look at the labels' column, or \
         take more records or another run.seed",
        train.len()
    );
    warnings(task, labels, plan).iter().for_each(|warning| warn!("{warning}"));
    Ok(())
}

/// One line for each part that has something to be said about.
fn warnings(task: Task, labels: &Labels, plan: &Plan) -> Vec<String> {
    let metric = Evaluation::metric_name(task);
    let mut lines = Vec::new();
    for (part, name) in PARTS {
        let rows = plan.part(part);
        let Some((found, undefined)) = look(labels, rows) else { continue };
        let consequence = match (part, undefined) {
            (Part::CohortTrain, _) => "the model can hardly learn them".to_string(),
            (Part::CohortValidation, true) => {
                format!("{metric} is undefined there, and models are chosen by the loss")
            }
            (Part::CohortValidation, false) => "models are chosen by figures that are mostly chance".into(),
            (_, true) => format!("{metric} is undefined there"),
            (_, false) => "figures of them are mostly chance".into(),
        };
        let records = rows.len();
        lines.push(format!(
            "of {records} {name} records {found}: {consequence}; another run.seed splits otherwise"
        ));
    }
    lines
}

/// What is to be said of the labels of `rows`, if anything, and whether the metric is undefined there.
fn look(labels: &Labels, rows: &[u32]) -> Option<(String, bool)> {
    if rows.is_empty() {
        return None;
    }
    let (count, index) = match labels {
        Labels::Classes { count, index } => (*count, index),
        Labels::Real(values) => return all_equal(values, rows).then(|| ("all have one value".into(), true)),
    };
    let counts = counts(count, index, rows);
    let absent = counts.iter().filter(|records| **records == 0).count();
    let few = counts.iter().filter(|records| (1..FEW).contains(*records)).count();
    let found = match (absent, few) {
        (0, 0) => return None,
        (0, few) => format!("fewer than {FEW} are of {few} of {count} classes each"),
        (absent, 0) => format!("none is of {absent} of {count} classes"),
        (absent, few) => {
            format!("none is of {absent} of {count} classes, and fewer than {FEW} of {few} others each")
        }
    };
    // Accuracy is defined without some class, the AUC of two classes is not.
    Some((found, count == 2 && absent > 0))
}

fn counts(classes: usize, index: &[u32], rows: &[u32]) -> Vec<usize> {
    let mut counts = vec![0; classes];
    rows.iter().for_each(|row| counts[index[*row as usize] as usize] += 1);
    counts
}

fn all_equal(values: &[f32], rows: &[u32]) -> bool {
    rows.windows(2).all(|pair| values[pair[0] as usize] == values[pair[1] as usize])
}

#[cfg(test)]
mod tests {
    use hashvfl_core::{PartyName, RunSettings};

    use super::*;

    fn plan(task: Task) -> Plan {
        let settings = RunSettings::new(vec![PartyName::new("a").unwrap()], task, 4, 3);
        Plan::new(&settings, 400).unwrap()
    }

    /// Classes of 400 records: 1 for so many records of each part, from its first.
    fn classes(plan: &Plan, ones: [usize; 3]) -> Labels {
        let mut index = vec![0; 400];
        for ((part, _), ones) in PARTS.iter().zip(ones) {
            plan.part(*part)[..ones].iter().for_each(|row| index[*row as usize] = 1);
        }
        Labels::Classes { count: 2, index }
    }

    #[test]
    fn a_part_that_lacks_a_class_or_has_few_is_told_of_before_the_run() {
        let plan = plan(Task::Binary);
        let told = |ones| warnings(Task::Binary, &classes(&plan, ones), &plan);
        assert!(told([40, 12, 20]).is_empty());
        let lacking = told([40, 0, 20]);
        assert_eq!(
            lacking,
            [
                "of 32 validation records none is of 1 of 2 classes: AUC is undefined there, and models are chosen by the \
              loss; another run.seed splits otherwise"
            ]
        );
        let few = told([5, 3, 1]);
        assert_eq!(few.len(), 3);
        assert!(
            few[1].contains("fewer than 10 are of 1 of 2 classes each: models are chosen by figures"),
            "{few:?}"
        );
        assert!(few[2].starts_with("of 80 test records fewer than 10"), "{few:?}");
    }

    #[test]
    fn a_part_whose_values_are_all_equal_has_no_r2() {
        let plan = plan(Task::Regression);
        let mut values: Vec<f32> = (0..400).map(|row| row as f32).collect();
        plan.part(Part::Test).iter().for_each(|row| values[*row as usize] = 7.0);
        let told = warnings(Task::Regression, &Labels::Real(values), &plan);
        assert!(told.len() == 1 && told[0].contains("all have one value: R2 is undefined there"), "{told:?}");
    }

    #[test]
    fn labels_that_are_all_equal_teach_nothing_and_are_refused() {
        let plan = plan(Task::Binary);
        assert!(check(Task::Binary, &classes(&plan, [1, 0, 0]), &plan).is_ok());
        let error = check(Task::Binary, &classes(&plan, [0, 9, 9]), &plan).unwrap_err().to_string();
        assert!(error.contains("all 288 training records have the same label"), "{error}");
        assert!(check(Task::Regression, &Labels::Real(vec![2.5; 400]), &plan).is_err());
    }
}
