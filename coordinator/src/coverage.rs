//! Which parts of a run's records lack a class, so that a metric on them is undefined.

use hashvfl_core::{Part, Plan};
use hashvfl_learning::top::loss::Labels;

/// One line for each part, of training, validation and test records, on which a metric is undefined or a class is never
/// learned; empty where every part has every class, or values that differ.
pub fn gaps(labels: &Labels, plan: &Plan) -> Vec<String> {
    let mut gaps = Vec::new();
    for (part, name) in [(Part::Train, "training"), (Part::Validation, "validation"), (Part::Test, "test")] {
        let rows = plan.part(part);
        if !rows.is_empty() {
            gaps.extend(gap(labels, rows).map(|gap| format!("the {} {name} records {gap}", rows.len())));
        }
    }
    gaps
}

/// What these rows lack; no label is told.
fn gap(labels: &Labels, rows: &[u32]) -> Option<String> {
    match labels {
        Labels::Classes { count, index } => {
            let mut has = vec![false; *count];
            for row in rows {
                has[index[*row as usize] as usize] = true;
            }
            let lacking = has.iter().filter(|has| !**has).count();
            let remedy = "give that part more records, or change run.seed at all sides";
            match (lacking, count) {
                (0, _) => None,
                (_, 2) => Some(format!("are all of one class: AUC is undefined on them; {remedy}")),
                (lacking, count) => Some(format!("have none of {lacking} of the {count} classes; {remedy}")),
            }
        }
        Labels::Real(values) => {
            let first = values[rows[0] as usize];
            let same = rows.iter().all(|row| values[*row as usize] == first);
            same.then(|| "all have one value: R2 is undefined on them".to_string())
        }
    }
}

#[cfg(test)]
mod tests {
    use hashvfl_core::{PartyName, RunSettings, Task};

    use super::*;

    #[test]
    fn parts_without_a_class_or_with_one_value_are_named() {
        let settings = RunSettings::new(vec![PartyName::new("bank").unwrap()], Task::Binary, 8, 1);
        let plan = Plan::new(&settings, 100).unwrap();
        let classes = |index: Vec<u32>, count| Labels::Classes { count, index };
        assert!(gaps(&classes((0..100).map(|row| row % 2).collect(), 2), &plan).is_empty());
        let mut rare = vec![0; 100];
        rare[plan.part(Part::Train)[0] as usize] = 1;
        let found = gaps(&classes(rare, 2), &plan);
        assert_eq!(found.len(), 2, "{found:?}");
        assert!(found[0].starts_with("the 8 validation records are all of one class"), "{found:?}");
        assert!(found[1].starts_with("the 20 test records are all of one class"), "{found:?}");
        let found = gaps(&classes((0..100).map(|row| row % 2).collect(), 3), &plan);
        assert!(found.iter().all(|gap| gap.contains("have none of 1 of the 3 classes")), "{found:?}");
        assert_eq!(gaps(&Labels::Real(vec![2.0; 100]), &plan).len(), 3);
        assert!(gaps(&Labels::Real((0..100).map(|row| row as f32).collect()), &plan).is_empty());
    }
}
