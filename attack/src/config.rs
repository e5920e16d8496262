//! `attack.toml`: what is attacked, and what the adversary is granted.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::ensure;
use hashvfl_core::PartyName;
use serde::{Deserialize, Serialize};

/// What `attack.toml` holds. Unknown keys are refused; relative paths start at the file's folder.
#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct AttackConfig {
    /// The evaluation manifest (`attack manifest` writes one). Where it lies changes nothing.
    #[serde(skip_serializing)]
    pub manifest: PathBuf,
    /// The party whose columns are attacked.
    pub victim: PartyName,
    /// The party of the coordinator's own organisation, whose columns the adversary has; absent: it has none.
    #[serde(default)]
    pub own: Option<PartyName>,
    /// Fractions of the records that the adversary has as auxiliary ones, each at most 0.5, rising. The last is used where
    /// one must do.
    #[serde(default = "default_fractions")]
    pub auxiliary_fractions: Vec<f64>,
    /// Code lengths at which the run is repeated in this process; may be empty.
    #[serde(default)]
    pub bits: Vec<usize>,
    /// Epsilons per bit of randomised response at which the run is repeated in this process; may be empty. A draw of a
    /// code costs `run.bits` times as much, and draws add up.
    #[serde(default)]
    pub randomised_response: Vec<f64>,
    /// Whether the run is repeated in this process with encode-once training, to compare.
    #[serde(default)]
    pub encode_once: bool,
    /// Whether a party tries to infer labels from its gradients, on the run repeated in this process.
    #[serde(default)]
    pub label_inference: bool,
    /// With label inference, noise on gradients with which the run is repeated as well (`run.gradient_noise`).
    #[serde(default)]
    pub gradient_noise: Vec<f64>,
    /// Whether more is tried than reconstruction from codes with columns of the same records: attributes, membership,
    /// substitutes of the bottom model that need no query, auxiliary records of other classes, predictions alone.
    #[serde(default)]
    pub further_attacks: bool,
    /// How many times the run is trained, its own training included. Above 1, the report says how far figures move with
    /// first weights, and whether a record can be followed from one run to another.
    #[serde(default = "once")]
    pub trainings: u32,
    /// Whether regressions are of the kinds in closed form alone, without networks and trees: for a first look, since their
    /// figures are lower.
    #[serde(default)]
    pub quick: bool,
    /// Whether the adversary is granted the victim's weights as well, which a short demonstration leaves out. No key of a config
    /// file: a report shows what the weights add beside what is got without them.
    #[serde(skip_deserializing, default = "yes")]
    pub white_box: bool,
    /// The fraction of the columns' variance that may be told, from 0 to 1, as in a policy: the report's first answers are red
    /// above it.
    #[serde(default)]
    pub max_explained: Option<f64>,
    /// The same of single columns, by name, as in a policy.
    #[serde(default)]
    pub max_explained_of: BTreeMap<String, f64>,
    /// The fraction of records that may be re-identified, as in a policy.
    #[serde(default)]
    pub max_reidentified: Option<f64>,
    /// How well a party, or all together, may infer labels: AUC of two classes, the fraction guessed right of more.
    #[serde(default)]
    pub max_labels: Option<f64>,
    /// Whether the columns and labels are kept beside the report, as attacks take them: for who repeats its main rows
    /// (`attack/again.py`).
    #[serde(default)]
    pub keep_columns: bool,
    /// The SHA-256 at the head of the transcript's chain, from the run's `summary.json`.
    #[serde(default)]
    pub head: Option<String>,
    /// Seed of splits, networks and resampling.
    #[serde(default)]
    pub seed: u64,
}

fn default_fractions() -> Vec<f64> {
    vec![0.01, 0.1, 0.5]
}

fn once() -> u32 {
    1
}

fn yes() -> bool {
    true
}

impl AttackConfig {
    /// The defaults for a victim.
    pub fn new(manifest: PathBuf, victim: PartyName) -> Self {
        Self {
            manifest,
            victim,
            own: None,
            auxiliary_fractions: default_fractions(),
            bits: Vec::new(),
            randomised_response: Vec::new(),
            encode_once: false,
            label_inference: false,
            gradient_noise: Vec::new(),
            further_attacks: false,
            trainings: once(),
            quick: false,
            white_box: true,
            max_explained: None,
            max_explained_of: BTreeMap::new(),
            max_reidentified: None,
            max_labels: None,
            keep_columns: false,
            head: None,
            seed: 0,
        }
    }

    /// Reads and checks a config file.
    pub fn read(path: &Path) -> anyhow::Result<Self> {
        hashvfl_cli::config::read(path, Self::parse)
    }

    /// Parses a config whose relative paths start at `folder`.
    pub fn parse(text: &str, folder: &Path) -> anyhow::Result<Self> {
        let mut config: Self = hashvfl_cli::config::parse(text, &[])?;
        config.manifest = folder.join(&config.manifest);
        let fits = |fraction: &f64| *fraction > 0.0 && *fraction <= 0.5;
        ensure!(
            !config.auxiliary_fractions.is_empty() && config.auxiliary_fractions.iter().all(fits),
            "auxiliary_fractions must be one or more fractions above 0 and at most 0.5"
        );
        ensure!(
            config.auxiliary_fractions.is_sorted_by(|a, b| a < b),
            "auxiliary_fractions must rise, the largest last"
        );
        let of_columns = config
            .max_explained_of
            .iter()
            .map(|(column, limit)| (format!("max_explained_of.{column}"), Some(*limit)));
        let limits = [
            ("max_explained", config.max_explained),
            ("max_reidentified", config.max_reidentified),
            ("max_labels", config.max_labels),
        ];
        for (key, limit) in limits.map(|(key, limit)| (key.to_string(), limit)).into_iter().chain(of_columns)
        {
            let fits = limit.is_none_or(|limit| (0.0..=1.0).contains(&limit));
            ensure!(fits, "{key} must be a fraction from 0 to 1");
        }
        ensure!((1..=100).contains(&config.trainings), "trainings must be 1 to 100");
        ensure!(config.own.as_ref() != Some(&config.victim), "own and victim must be two parties");
        Ok(config)
    }

    /// The largest fraction of auxiliary records.
    pub fn auxiliary_fraction(&self) -> f64 {
        self.auxiliary_fractions.last().copied().unwrap_or(0.5)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sample_in_the_docs_is_a_config_and_mistakes_are_named() {
        let docs = include_str!("../../docs/how-to/measure-privacy.md");
        let start =
            docs.find("```toml\n# attack.toml").expect("a sample in docs/how-to/measure-privacy.md") + 8;
        let sample = &docs[start..start + docs[start..].find("```").unwrap()];
        let config = AttackConfig::parse(sample, Path::new("/audit")).unwrap();
        assert_eq!(config.manifest, Path::new("/audit/manifest.toml"));
        let refused = |text: &str| format!("{:#}", AttackConfig::parse(text, Path::new(".")).unwrap_err());
        let small = "manifest = \"m\"\nvictim = \"bank\"\n";
        assert!(refused(&format!("{small}nonsense = 1")).contains("unknown field `nonsense`"));
        assert!(refused(&format!("{small}own = \"bank\"")).contains("two parties"));
        assert!(refused(&format!("{small}max_explained = 30")).contains("max_explained must be a fraction"));
        assert!(refused(&format!("{small}limit = 0.3")).contains("limit is now max_explained"));
        assert!(refused(&format!("{small}max_labels = 1.5")).contains("max_labels must be a fraction"));
        let of = refused(&format!("{small}max_explained_of = {{ income = 2 }}"));
        assert!(of.contains("max_explained_of.income must be a fraction"), "{of}");
        // A policy's lines are taken as they are.
        let policy = "max_explained = 0.3\nmax_reidentified = 0.1\n[max_explained_of]\nincome = 0.2\n";
        let config = AttackConfig::parse(&format!("{small}{policy}"), Path::new(".")).unwrap();
        assert_eq!((config.max_explained, config.max_reidentified), (Some(0.3), Some(0.1)));
        assert_eq!(config.max_explained_of["income"], 0.2);
        assert!(refused(&format!("{small}auxiliary_fractions = [0.6]")).contains("at most 0.5"));
        assert!(refused(&format!("{small}auxiliary_fractions = [0.5, 0.1]")).contains("must rise"));
    }
}
