//! The tables of renamed words, old to new, and of keys that are gone.

/// A key that was renamed. The path starts at the file's root.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Key {
    /// Its table: "" for the file's root.
    pub table: &'static str,
    /// Its name before.
    pub old: &'static str,
    /// Its name now.
    pub new: &'static str,
}

const fn key(table: &'static str, old: &'static str, new: &'static str) -> Key {
    Key { table, old, new }
}

/// Every renamed key.
pub const KEYS: [Key; 12] = [
    key("run", "test_share", "test_fraction"),
    key("run", "validation_share", "validation_fraction"),
    key("run", "cohort_share", "cohort_fraction"),
    key("run", "calibration_share", "calibration_fraction"),
    key("", "wait", "timeouts"),
    key("", "nulls", "null_values"),
    key("columns", "wait_s", "timeout_s"),
    key("serve.columns", "wait_s", "timeout_s"),
    key("serve", "absent_s", "absent_timeout_s"),
    key("serve", "silent_s", "absent_timeout_s"),
    key("", "auxiliary_shares", "auxiliary_fractions"),
    key("", "limit", "max_explained"),
];

/// A key that is gone, since one value of it is right for everybody, or another key says it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Gone {
    /// Its table: "" for the file's root; `*` at the end stands for any name.
    pub table: &'static str,
    /// Its name.
    pub name: &'static str,
    /// The value that it has everywhere now, as TOML; `None` if there is not one.
    pub value: Option<&'static str>,
    /// What else to know; may be empty.
    pub hint: &'static str,
}

const fn gone(table: &'static str, name: &'static str, value: &'static str) -> Gone {
    Gone { table, name, value: Some(value), hint: "" }
}

/// Every key that is gone.
pub const GONE: [Gone; 27] = [
    gone("encoder.model", "stride", "1"),
    gone("encoder.hash", "decorrelation", "0.0"),
    gone("encoder.hash", "medians", "true"),
    gone("encoder.adam", "beta1", "0.9"),
    gone("encoder.adam", "beta2", "0.999"),
    gone("encoder.adam", "epsilon", "1e-8"),
    gone("top.loss", "label_smoothing", "0.0"),
    gone("top.adam", "beta1", "0.9"),
    gone("top.adam", "beta2", "0.999"),
    gone("top.adam", "epsilon", "1e-8"),
    gone("top", "refit_learning_rate", "0.001"),
    Gone {
        table: "timeouts",
        name: "attempt_s",
        value: Some("10"),
        hint: "or half of timeouts.keep_alive_s, if that is more",
    },
    gone("timeouts", "parting_s", "10"),
    Gone {
        table: "limits",
        name: "silence_s",
        value: Some("10"),
        hint: "or half of timeouts.keep_alive_s, if that is more, but no more than limits.message_s",
    },
    gone("limits", "in_flight_mb", "32"),
    gone("limits", "client_mb", "64"),
    gone("alignment", "memory_mib", "64"),
    gone("alignment.settings", "trim", "true"),
    holder_wait("timeout_s"),
    holder_wait("wait_s"),
    gone("screening", "folds", "5"),
    Gone {
        table: "detectors",
        name: "combination",
        value: None,
        hint: "a party's detectors always combine by the geometric mean, a coordinator's by Bonferroni",
    },
    gone("detectors", "parties", "\"bonferroni\""),
    gone("", "white_box", "true"),
    rate("joins_per_hour"),
    rate("serves_per_hour"),
    rate("aligns_per_hour"),
];

/// How long holders of an alignment waited for each other.
const fn holder_wait(name: &'static str) -> Gone {
    let hint =
        "holders wait as before a run: timeouts.start_s at a party, timeouts.join_s at the coordinator";
    Gone { table: "alignment", name, value: None, hint }
}

/// A key of a permissions file.
const fn rate(name: &'static str) -> Gone {
    let hint = "per_hour limits joining, serving and aligning, each by itself";
    Gone { table: "parties.*", name, value: None, hint }
}

/// A list of words, some of which were renamed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Values {
    /// The path of the list.
    pub list: &'static str,
    /// Old and new words.
    pub words: &'static [(&'static str, &'static str)],
}

/// Every list with renamed words.
pub const VALUES: [Values; 1] = [Values {
    list: "detectors.kinds",
    words: &[
        ("distance", "hamming-distance"),
        ("rarity", "chow-liu"),
        ("neighbours", "knn"),
        ("gaussians", "mahalanobis"),
        ("components", "pca"),
        ("mismatch", "density-ratio"),
    ],
}];

/// The key `name` of the table at `path`, if it is gone.
pub(crate) fn gone_key(path: &str, name: &str) -> Option<Gone> {
    GONE.into_iter().find(|key| key.name == name && is_at(key.table, path))
}

/// Whether the table `table` of a key that is gone is the one at `path`.
fn is_at(table: &str, path: &str) -> bool {
    match table.strip_suffix('*') {
        Some(start) => path.starts_with(start),
        None => path == table,
    }
}

/// The new word for an old one in the list at `path`.
pub(crate) fn new_value(path: &str, word: &str) -> Option<&'static str> {
    let values = VALUES.iter().find(|values| values.list == path)?;
    values.words.iter().find(|(old, _)| *old == word).map(|(_, new)| *new)
}

/// The new name for an old key in the table at `path`.
pub(crate) fn new_key(path: &str, name: &str) -> Option<&'static str> {
    KEYS.iter().find(|key| key.table == path && key.old == name).map(|key| key.new)
}
