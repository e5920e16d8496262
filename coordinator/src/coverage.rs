//! Which parts of a run's records lack a class, so that a metric on them is undefined, and which classes may be one.

use hashvfl_core::text::counted;
use hashvfl_core::{Part, Plan, RunSettings};
use hashvfl_learning::top::loss::Labels;

/// Seeds that are tried where a part lacks a class. Which of them, or none, is chosen has 65 possible outcomes, and so
/// tells parties at most 6.03 bits about all labels together.
const SEEDS: u64 = 64;

/// One line for each part, of training, validation and test records, on which a metric is undefined or a class is never
/// learned, and one that names a seed under which no part lacks anything, if one of the next seeds does so. Empty where
/// every part has every class, or values that differ.
pub fn gaps(labels: &Labels, plan: &Plan, settings: &RunSettings) -> Vec<String> {
    let mut gaps = gaps_of_parts(labels, plan);
    if gaps.is_empty() {
        return gaps;
    }
    if let Some(seed) = complete_seed(labels, settings) {
        gaps.push(format!(
            "with run.seed = {seed} at all sides, no part lacks a class; choosing the seed this way tells parties at \
             most 6 bits about all labels together (docs/explanation/threat-model.md)"
        ));
    }
    gaps
}

/// A line about classes that are another one in another spelling; it tells no label.
pub fn respelt(classes: &[String]) -> Option<String> {
    let respelt = hashvfl_core::text::respelt(classes);
    (respelt > 0).then(|| {
        format!(
            "{respelt} of {} classes differ from another class only in spelling (case, white space, composed letters \
             or invisible characters). Each is learned as a separate class; to find them, list the column's \
             distinct labels in alphabetical order",
            classes.len()
        )
    })
}

/// The first seed after the run's under which no part lacks anything; `None` where none of [`SEEDS`] is.
fn complete_seed(labels: &Labels, settings: &RunSettings) -> Option<u64> {
    for offset in 1..=SEEDS {
        // A whole number in TOML is signed.
        let seed = settings.seed.checked_add(offset).filter(|seed| *seed <= i64::MAX as u64)?;
        let plan = Plan::new(&RunSettings { seed, ..settings.clone() }, labels.len()).ok()?;
        if gaps_of_parts(labels, &plan).is_empty() {
            return Some(seed);
        }
    }
    None
}

fn gaps_of_parts(labels: &Labels, plan: &Plan) -> Vec<String> {
    let mut gaps = Vec::new();
    for (part, name) in [(Part::Train, "training"), (Part::Validation, "validation"), (Part::Test, "test")] {
        let rows = plan.part(part);
        if !rows.is_empty() {
            let records = counted(rows.len(), &format!("{name} record"));
            gaps.extend(gap(labels, rows).map(|gap| format!("the run has {records}, {gap}")));
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
                (_, 2) => Some(format!("all of one class: AUC is undefined on them; {remedy}")),
                (lacking, count) => Some(format!(
                    "and none of {lacking} of the {count} classes: macro AUC is undefined on them; {remedy}"
                )),
            }
        }
        Labels::Real(values) => {
            let first = values[rows[0] as usize];
            let same = rows.iter().all(|row| values[*row as usize] == first);
            same.then(|| "all with one value: R2 is undefined on them".to_string())
        }
    }
}

#[cfg(test)]
mod tests {
    use hashvfl_core::{PartyName, RunSettings, Task};

    use super::*;

    #[test]
    fn classes_in_several_spellings_are_counted_and_not_shown() {
        let of =
            |classes: &[&str]| respelt(&classes.iter().map(|class| (*class).to_owned()).collect::<Vec<_>>());
        for classes in
            [&["Yes", "no", "yes"][..], &["no", "yes", "yes\u{a0}"], &["caf\u{e9}", "cafe\u{301}", "tea"]]
        {
            let line = of(classes).unwrap();
            assert!(
                line.starts_with("1 of 3 classes differ") && !line.contains("yes") && !line.contains("caf"),
                "{line}"
            );
        }
        assert_eq!((of(&["0", "1"]), of(&["a", "b", "ab"]), of(&[])), (None, None, None));
    }

    #[test]
    fn parts_without_a_class_or_with_one_value_are_named() {
        let settings = RunSettings::new(vec![PartyName::new("bank").unwrap()], Task::Binary, 8, 1);
        let plan = Plan::new(&settings, 100).unwrap();
        let classes = |index: Vec<u32>, count| Labels::Classes { count, index };
        assert!(gaps(&classes((0..100).map(|row| row % 2).collect(), 2), &plan, &settings).is_empty());
        let mut rare = vec![0; 100];
        rare[plan.part(Part::Train)[0] as usize] = 1;
        let found = gaps(&classes(rare, 2), &plan, &settings);
        assert_eq!(found.len(), 2, "one record cannot be in every part, whatever the seed: {found:?}");
        assert!(found[0].starts_with("the run has 8 validation records, all of one class"), "{found:?}");
        assert!(found[1].starts_with("the run has 20 test records, all of one class"), "{found:?}");
        let found = gaps(&classes((0..100).map(|row| row % 2).collect(), 3), &plan, &settings);
        assert!(found.iter().all(|gap| gap.contains("records, and none of 1 of the 3 classes")), "{found:?}");
        assert!(found.iter().all(|gap| gap.contains("macro AUC is undefined on them")), "{found:?}");
        assert_eq!(gaps(&Labels::Real(vec![2.0; 100]), &plan, &settings).len(), 3);
        let few = Plan::new(&settings, 10).unwrap();
        let found = gaps(&classes(vec![0; 10], 2), &few, &settings);
        assert!(found[1].starts_with("the run has 1 validation record, all of one class"), "{found:?}");
        assert!(gaps(&Labels::Real((0..100).map(|row| row as f32).collect()), &plan, &settings).is_empty());
    }

    #[test]
    fn with_the_seed_that_is_named_few_positives_are_in_every_part() {
        let parties = vec![PartyName::new("bank").unwrap()];
        for positives in [4, 6, 10] {
            let labels =
                Labels::Classes { count: 2, index: (0..500).map(|row| u32::from(row < positives)).collect() };
            let mut named = 0;
            for seed in 0..20 {
                let settings = RunSettings { seed, ..RunSettings::new(parties.clone(), Task::Binary, 8, 1) };
                let plan = Plan::new(&settings, 500).unwrap();
                let found = gaps(&labels, &plan, &settings);
                if found.is_empty() {
                    continue;
                }
                let seed = complete_seed(&labels, &settings).expect("one of 64");
                assert!(
                    found.last().unwrap().starts_with(&format!("with run.seed = {seed} at all")),
                    "{found:?}"
                );
                let plan = Plan::new(&RunSettings { seed, ..settings }, 500).unwrap();
                for part in [Part::Train, Part::Validation, Part::Test] {
                    let rare = plan.part(part).iter().filter(|row| **row < positives).count();
                    assert!(rare > 0 && rare < plan.part(part).len(), "{part:?}");
                }
                named += 1;
            }
            assert!(named > 0, "no seed of 20 leaves a part without one of {positives} positives");
        }
    }
}
