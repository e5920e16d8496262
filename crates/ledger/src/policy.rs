//! The policy file: what its holder releases at most, and to which runs.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use hashvfl_core::text;
use hashvfl_files::one_line;
use serde::Deserialize;

use crate::account::{Account, Cost};
use crate::epsilon::Epsilon;

/// Bounds that hold over a record's life, whatever run or coordinator asks.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Policy {
    /// Most bits of a record; absent: no bound.
    pub bits_per_record: Option<u64>,
    /// Largest sum of epsilons of a record; absent: no bound. With it, nothing is sent of a record that has no finite one.
    pub epsilon_per_record: Option<Epsilon>,
    /// Most releases of a record; absent: no bound.
    pub encodings_per_record: Option<u32>,
    /// Run ids that may ask; `*` at the end of one stands for any rest.
    pub runs: Vec<String>,
    /// Least number of records in an answer.
    pub min_batch: usize,
    /// Most bits of a flag or p-value of the party's detectors beside a code; absent: no bound, 0: none may leave.
    pub p_value_bits: Option<usize>,
    /// Whether a run's settings must have been approved before it is joined (`party approve`).
    pub require_approval: bool,
    /// How often a run of which something has left may go on; absent: no bound.
    pub resumes_per_run: Option<u64>,
    /// Largest fraction of the variance of all columns that codes may explain, above 0 and at most 1; absent: no bound.
    pub max_explained: Option<f64>,
    /// The same of single columns, by name.
    pub max_explained_of: BTreeMap<String, f64>,
    /// Largest fraction of records that codes may re-identify, likewise.
    pub max_reidentified: Option<f64>,
    /// Runs that may be refused by these limits: each refusal tells the coordinator something.
    pub max_refused_runs: u64,
    /// With whom records may be aligned, and how often.
    pub alignment: AlignmentPolicy,
}

/// Bounds of private alignments.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct AlignmentPolicy {
    /// Most alignments that this ledger may ever count; absent: no bound.
    pub most: Option<u64>,
    /// Fewest common records of which an order is kept.
    pub least_common: u64,
    /// The public key of each other holder, 64 hex digits, by name.
    pub keys: BTreeMap<String, String>,
}

impl Default for Policy {
    /// Counts all and refuses nothing.
    fn default() -> Self {
        Self {
            bits_per_record: None,
            epsilon_per_record: None,
            encodings_per_record: None,
            runs: vec!["*".to_string()],
            min_batch: 1,
            p_value_bits: None,
            require_approval: false,
            resumes_per_run: None,
            max_explained: None,
            max_explained_of: BTreeMap::new(),
            max_reidentified: None,
            max_refused_runs: 10,
            alignment: AlignmentPolicy::default(),
        }
    }
}

/// Why a policy file cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum PolicyError {
    /// It cannot be read.
    #[error("cannot read the policy {path}: {source}")]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// It is no policy.
    #[error("policy {path}: {reason} (docs/reference/ledger.md explains every key)")]
    Format {
        /// The file.
        path: PathBuf,
        /// Where and why.
        reason: String,
    },
    /// What belongs to it cannot be written.
    #[error("{0}")]
    Write(String),
}

/// A key of the policy file that refuses something.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rule {
    /// `bits_per_record`.
    Bits,
    /// `epsilon_per_record`.
    Epsilon,
    /// `encodings_per_record`.
    Encodings,
    /// `runs`.
    Runs,
    /// `min_batch`.
    MinBatch,
    /// `p_value_bits`.
    PValues,
    /// `alignment.most`.
    Alignments,
    /// `require_approval`.
    Approval,
    /// `resumes_per_run`.
    Resumes,
    /// `max_explained`.
    Explained,
    /// `max_explained_of`.
    ExplainedOf,
    /// `max_reidentified`.
    Reidentified,
    /// `max_refused_runs`.
    RefusedRuns,
}

impl Rule {
    /// The key in the file.
    pub fn key(self) -> &'static str {
        match self {
            Self::Bits => "bits_per_record",
            Self::Epsilon => "epsilon_per_record",
            Self::Encodings => "encodings_per_record",
            Self::Runs => "runs",
            Self::MinBatch => "min_batch",
            Self::PValues => "p_value_bits",
            Self::Alignments => "alignment.most",
            Self::Approval => "require_approval",
            Self::Resumes => "resumes_per_run",
            Self::Explained => "max_explained",
            Self::ExplainedOf => "max_explained_of",
            Self::Reidentified => "max_reidentified",
            Self::RefusedRuns => "max_refused_runs",
        }
    }

    /// Whether others may hear which rule it was, and why: not where that depends on what columns hold.
    pub fn may_be_told(self) -> bool {
        !matches!(self, Self::Explained | Self::ExplainedOf | Self::Reidentified | Self::RefusedRuns)
    }
}

/// What was refused, by which rule, and how many records it is about.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the policy's {} = {limit} refuses {}: {reason}", .rule.key(), text::counted(.records, "record"))]
pub struct PolicyRefusal {
    /// The rule.
    pub rule: Rule,
    /// Its value.
    pub limit: String,
    /// Records that it protects here.
    pub records: usize,
    reason: String,
}

impl PolicyRefusal {
    pub(crate) fn new(rule: Rule, limit: &str, records: usize, reason: String) -> Self {
        Self { rule, limit: limit.to_string(), records, reason }
    }
}

/// What accounts without a finite epsilon have been through.
const NO_EPSILON: &str = "they have no finite epsilon, because they were released without noise or with an earlier version's \
                          flips, or because bottom models are fitted on them";

impl Policy {
    /// Reads a policy file.
    pub fn read(path: &Path) -> Result<Self, PolicyError> {
        let text = fs::read_to_string(path)
            .map_err(|source| PolicyError::Read { path: path.to_path_buf(), source })?;
        Self::parse(&text).map_err(|reason| PolicyError::Format { path: path.to_path_buf(), reason })
    }

    /// Parses a policy; the error is one line that names the place.
    pub fn parse(text: &str) -> Result<Self, String> {
        let policy: Self = toml::from_str(text).map_err(|error| {
            let gone = error.message().contains("`batch_statistics`");
            let remedy = if gone {
                ": this key no longer exists, because batch statistics never leave a party; remove the line"
            } else {
                ""
            };
            one_line(&error.to_string(), error.message()) + remedy
        })?;
        if !policy.runs.iter().all(|run| is_run_pattern(run)) {
            return Err(
                "runs: each entry must be a run id, or the beginning of one followed by `*`".to_string()
            );
        }
        if let Some((name, _)) = policy.alignment.keys.iter().find(|(_, key)| !is_public_key(key)) {
            return Err(format!(
                "alignment.keys.{name}: a public key is 64 hex digits, as `keygen` prints it"
            ));
        }
        if policy.min_batch == 0 {
            return Err("min_batch must be 1 or more".to_string());
        }
        policy.check_fractions()?;
        Ok(policy)
    }

    /// Whether `run` may ask about the `records` that are there.
    pub fn admit(&self, run: &str, records: usize) -> Result<(), PolicyRefusal> {
        let fits = |pattern: &String| match pattern.strip_suffix('*') {
            Some(start) => run.starts_with(start),
            None => pattern == run,
        };
        if self.runs.iter().any(fits) {
            return Ok(());
        }
        let (limit, reason) = (format!("{:?}", self.runs), format!("the run {run} matches none of these"));
        Err(PolicyRefusal { rule: Rule::Runs, limit, records, reason })
    }

    /// Whether another alignment of so many records may begin, after so many.
    pub fn check_alignment(&self, counted: u64, records: usize) -> Result<(), PolicyRefusal> {
        match self.alignment.most.filter(|most| counted >= *most) {
            None => Ok(()),
            Some(most) => {
                let reason = format!("the ledger already counts {}", text::counted(counted, "alignment"));
                Err(PolicyRefusal { rule: Rule::Alignments, limit: most.to_string(), records, reason })
            }
        }
    }

    /// Whether a run about so many records may go on once more, after so many times.
    pub fn check_resume(&self, counted: u64, records: usize) -> Result<(), PolicyRefusal> {
        match self.resumes_per_run.filter(|most| counted >= *most) {
            None => Ok(()),
            Some(most) => {
                let reason = format!("the run was already continued {}", text::times(counted));
                Err(PolicyRefusal { rule: Rule::Resumes, limit: most.to_string(), records, reason })
            }
        }
    }

    /// Whether an answer about so many records may be given.
    pub fn check_batch(&self, records: usize) -> Result<(), PolicyRefusal> {
        if records >= self.min_batch {
            return Ok(());
        }
        let (limit, reason) = (self.min_batch.to_string(), "the request is for fewer records".to_string());
        Err(PolicyRefusal { rule: Rule::MinBatch, limit, records, reason })
    }

    /// Whether a run may fit bottom models on `records` records, with randomised response or without: no finite epsilon
    /// holds for them then.
    pub fn check_learning(&self, records: usize) -> Result<(), PolicyRefusal> {
        match self.epsilon_per_record {
            None => Ok(()),
            Some(most) => {
                let reason = "the run fits bottom models on them, so they have no finite epsilon".to_string();
                Err(PolicyRefusal { rule: Rule::Epsilon, limit: most.to_string(), records, reason })
            }
        }
    }

    /// Whether so many bits of detectors may leave beside the code of each of `records` records.
    pub fn check_p_values(&self, bits: usize, records: usize) -> Result<(), PolicyRefusal> {
        match self.p_value_bits.filter(|most| bits > *most) {
            None => Ok(()),
            Some(most) => {
                let reason =
                    format!("each code would be sent with {} from detectors", text::counted(bits, "bit"));
                Err(PolicyRefusal { rule: Rule::PValues, limit: most.to_string(), records, reason })
            }
        }
    }

    /// Whether each of `accounts` may be charged `cost` so many times.
    pub fn check(
        &self,
        accounts: impl Iterator<Item = Account>,
        cost: Cost,
        times: u32,
    ) -> Result<(), PolicyRefusal> {
        let (mut bits, mut epsilon, mut encodings) = (0, 0, 0);
        for mut after in accounts {
            after.charge(cost, times);
            bits += usize::from(self.bits_per_record.is_some_and(|most| after.bits > most));
            let spent = after.total_epsilon();
            let most = self.epsilon_per_record;
            epsilon += usize::from(most.is_some_and(|most| spent.is_none_or(|spent| spent > most)));
            encodings += usize::from(self.encodings_per_record.is_some_and(|most| after.encodings > most));
        }
        if bits > 0 {
            let reason = format!("{} more per record would exceed it", text::counted(cost.bits, "bit"));
            return Err(PolicyRefusal::new(Rule::Bits, &in_words(self.bits_per_record), bits, reason));
        }
        if epsilon > 0 {
            let reason = match cost.epsilon {
                Some(more) => format!("{more} more per record would exceed it, or {NO_EPSILON}"),
                None => "a code without noise has no finite epsilon".to_string(),
            };
            return Err(PolicyRefusal::new(
                Rule::Epsilon,
                &in_words(self.epsilon_per_record),
                epsilon,
                reason,
            ));
        }
        if encodings > 0 {
            let (limit, reason) =
                (in_words(self.encodings_per_record), "one more per record would exceed it");
            return Err(PolicyRefusal::new(Rule::Encodings, &limit, encodings, reason.to_string()));
        }
        Ok(())
    }
}

/// Whether it is a run id, or the beginning of one followed by `*`.
fn is_run_pattern(text: &str) -> bool {
    !text.is_empty() && !text.trim_end_matches('*').contains('*')
}

/// Whether it is a public key as `keygen` prints it.
fn is_public_key(text: &str) -> bool {
    text.len() == 64 && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

fn in_words(limit: Option<impl ToString>) -> String {
    limit.map(|limit| limit.to_string()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use proptest::test_runner::{Config, RngSeed};

    use super::*;

    const WHOLE: &str = "bits_per_record = 40\nepsilon_per_record = 2.5\nencodings_per_record = 3\nmin_batch = 4\n\
                         runs = [\"a\", \"b-*\"]\np_value_bits = 1\n[alignment]\nmost = 2\nleast_common = 30\n";

    proptest! {
        #![proptest_config(Config {
            cases: 400, rng_seed: RngSeed::Fixed(22), failure_persistence: None, ..Config::default()
        })]

        /// Every bound of a policy is read as it was written.
        #[test]
        fn a_policy_is_read_as_it_was_written(
            bits in prop::option::of(0_u64..1 << 63),
            encodings: Option<u32>,
            epsilon in prop::option::of(0.0_f64..1e9),
            runs in prop::collection::vec("[^*]{1,6}[*]?", 1..4),
            min_batch in 1_usize..1 << 40,
            most in prop::option::of(0_u64..1 << 63),
            name in "[a-zé\"]{1,5}",
            key in "[0-9a-f]{64}",
        ) {
            let mut text = format!("min_batch = {min_batch}\nruns = {}\n", toml::Value::from(runs.clone()));
            text += &bits.map_or(String::new(), |bits| format!("bits_per_record = {bits}\n"));
            text += &encodings.map_or(String::new(), |most| format!("encodings_per_record = {most}\n"));
            text += &epsilon.map_or(String::new(), |most| format!("epsilon_per_record = {most:?}\n"));
            text += "[alignment]\n";
            text += &most.map_or(String::new(), |most| format!("most = {most}\n"));
            text += &format!("[alignment.keys]\n{} = {key:?}\n", toml::Value::from(name.as_str()));
            let policy = Policy::parse(&text).unwrap();
            prop_assert_eq!((policy.bits_per_record, policy.encodings_per_record), (bits, encodings));
            prop_assert_eq!(policy.epsilon_per_record, epsilon.and_then(Epsilon::new));
            prop_assert_eq!((policy.runs, policy.min_batch, policy.alignment.most), (runs, min_batch, most));
            prop_assert_eq!(&policy.alignment.keys[&name], &key);
        }

        /// A policy that was cut off within a line, or holds a letter too much, is refused or bounds all that it did: a key that is
        /// half there is no key that is absent.
        #[test]
        fn a_damaged_policy_loses_no_bound_in_silence(
            at in any::<prop::sample::Index>(),
            insert: bool,
            letter in prop::sample::select(vec!['"', '#', '=', 'x', '\n', '[', '0', '.']),
        ) {
            let at = at.index(WHOLE.len());
            let mut text = WHOLE.to_owned();
            if insert { text.insert(at, letter) } else { text.truncate(at) }
            let parsed = Policy::parse(&text);
            let Ok(policy) = parsed else {
                prop_assert!(!parsed.unwrap_err().contains('\n'));
                return Ok(());
            };
            // A comment takes the rest of its line away, whoever wrote it.
            let line = WHOLE[..at].matches('\n').count();
            let kept = if insert { 9 } else { line };
            let gone = if insert && letter == '#' { Some(line) } else { None };
            let bounds = [
                policy.bits_per_record.is_some(),
                policy.epsilon_per_record.is_some(),
                policy.encodings_per_record.is_some(),
                policy.min_batch > 1,
                policy.runs != Policy::default().runs,
                policy.p_value_bits.is_some(),
                true,
                policy.alignment.most.is_some(),
                policy.alignment.least_common > 0,
            ];
            for (number, bound) in bounds.iter().enumerate().take(kept) {
                prop_assert!(*bound || gone.is_some_and(|gone| gone <= number), "line {}", number + 1);
            }
        }
    }

    #[test]
    fn the_sample_in_the_docs_is_a_policy() {
        let docs = include_str!("../../../docs/reference/ledger.md");
        let start = docs.find("```toml\n# policy.toml").expect("a sample in docs/reference/ledger.md") + 8;
        let sample = &docs[start..start + docs[start..].find("```").unwrap()];
        let policy = Policy::parse(sample).unwrap();
        assert!(policy.bits_per_record.is_some() && policy.min_batch > 1);
    }

    #[test]
    fn what_no_policy_may_say() {
        for (bad, expected) in [
            ("bits = 3", "unknown field `bits`"),
            ("batch_statistics = \"never\"", "batch statistics never leave a party; remove the line"),
            ("epsilon_per_record = -1.0", "epsilon must be"),
            ("min_batch = 0", "min_batch must be"),
            ("runs = [\"a*b\"]", "runs: each entry must be"),
            ("bits_per_record = -1", "line 1"),
            ("alignment = { keys = { bank = \"00\" } }", "alignment.keys.bank: a public key"),
            ("alignment = { many = 1 }", "unknown field `many`"),
        ] {
            let error = Policy::parse(bad).unwrap_err();
            assert!(error.contains(expected) && !error.contains('\n'), "{bad}: {error}");
        }
        assert_eq!(Policy::parse(""), Ok(Policy::default()));
    }

    #[test]
    fn each_rule_names_itself_and_counts_records() {
        let policy = Policy::parse(
            "bits_per_record = 40\nepsilon_per_record = 2.0\nencodings_per_record = 3\nmin_batch = 4\nruns = [\"a\", \"b-*\"]",
        )
        .unwrap();
        let cost = |bits, epsilon| Cost { bits, epsilon: Epsilon::new(epsilon) };
        let mut spent = Account::default();
        spent.charge(cost(32, 1.5), 1);
        let accounts = [Account::default(), spent, spent];
        let refused = |cost| policy.check(accounts.into_iter(), cost, 1).unwrap_err();
        let bits = refused(cost(16, 0.1));
        assert_eq!((bits.rule, bits.records), (Rule::Bits, 2));
        assert!(
            bits.to_string().starts_with("the policy's bits_per_record = 40 refuses 2 records"),
            "{bits}"
        );
        assert_eq!(refused(cost(8, 0.6)).rule, Rule::Epsilon);
        let clear = refused(Cost { bits: 8, epsilon: None });
        assert_eq!((clear.rule, clear.records), (Rule::Epsilon, 3));
        assert_eq!(policy.check(accounts.into_iter(), cost(8, 0.5), 1), Ok(()));
        let mut learned = Account::default();
        learned.learned_from = true;
        let refused = policy.check([learned].into_iter(), cost(1, 0.1), 1).unwrap_err();
        assert!(refused.to_string().contains("bottom models are fitted on them"), "{refused}");
        assert_eq!(policy.check_learning(288).unwrap_err().records, 288);
        assert_eq!(Policy::default().check_learning(288), Ok(()));
        spent.charge(cost(1, 0.0), 2);
        assert_eq!(policy.check([spent].into_iter(), cost(1, 0.0), 1).unwrap_err().rule, Rule::Encodings);
        assert_eq!(
            policy.check_batch(3).unwrap_err().to_string(),
            "the policy's min_batch = 4 refuses 3 records: the request is for fewer records"
        );
        assert_eq!((policy.admit("a", 9), policy.admit("b-7", 9)), (Ok(()), Ok(())));
        assert_eq!(policy.admit("ab", 9).unwrap_err().records, 9);
        assert_eq!(policy.check_p_values(4, 9), Ok(()));
        let policy = Policy::parse("p_value_bits = 1").unwrap();
        assert_eq!(policy.check_p_values(1, 9), Ok(()));
        assert_eq!(
            policy.check_p_values(4, 9).unwrap_err().to_string(),
            "the policy's p_value_bits = 1 refuses 9 records: each code would be sent with 4 bits from detectors"
        );
    }
}
