//! What a run's coordinator and parties agree on, typed and as canonical key/value pairs.

mod batch_rows;
mod canonical;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::json;

pub use batch_rows::BatchRows;
pub use canonical::{Difference, OtherSettings, PairsError, Settings, own_code, parse_own_code};

use crate::codes::form::CodeForm;
use crate::gradient::GradientEncoding;
use crate::limits::{
    MAX_BATCH_ROWS, MAX_BITS, MAX_BITS_PER_LATENT, MAX_MESSAGE_BYTES, MAX_PARTIES, MAX_VALUE_BYTES,
};
use crate::name::PartyName;

/// What the model predicts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Task {
    /// One of two classes; the metric is AUC.
    Binary,
    /// One of several classes; the metric is accuracy.
    Multiclass,
    /// A real value; the metric is R2.
    Regression,
}

/// How rows are put into training, validation and test parts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum RowOrder {
    /// The rows are shuffled by the seed first.
    Shuffled,
    /// The last rows are the test part, for data sets with a published split; the validation part is drawn by
    /// the seed from the others.
    Given,
}

/// What becomes of a run when a party's policy does not allow it for some records.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum OnRefusal {
    /// It ends at the first request that is refused.
    #[default]
    End,
    /// Parties say before it begins which records they do not allow the whole run for, and it goes on without them.
    LeaveOut,
}

/// How the learning rate moves over the updates of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Schedule {
    /// One value throughout.
    Constant,
    /// A rise over the first 30 % of the updates and a cosine fall to almost nothing (Smith 2018).
    OneCycle,
}

macro_rules! text_form {
    ($type:ident, $($variant:ident => $text:literal),+) => {
        impl std::fmt::Display for $type {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(match self { $(Self::$variant => $text),+ })
            }
        }

        impl std::str::FromStr for $type {
            type Err = String;

            fn from_str(text: &str) -> Result<Self, String> {
                match text {
                    $($text => Ok(Self::$variant),)+
                    _ => Err(format!("expected one of {}", [$($text),+].join(", "))),
                }
            }
        }
    };
}
text_form!(Task, Binary => "binary", Multiclass => "multiclass", Regression => "regression");
text_form!(RowOrder, Shuffled => "shuffled", Given => "given");
text_form!(OnRefusal, End => "end", LeaveOut => "leave-out");
text_form!(Schedule, Constant => "constant", OneCycle => "one-cycle");
text_form!(GradientEncoding, F32 => "f32", Int8 => "int8", Sign => "sign");

/// The agreed settings of a run: the `[run]` table of every config file, equal at all of them.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RunSettings {
    /// The parties, in the order in which their codes are joined.
    pub parties: Vec<PartyName>,
    /// What is predicted.
    pub task: Task,
    /// Bits of the code (d) of each party that `codes` does not name, 1 to 1024.
    pub bits: usize,
    /// Bits of each latent of such a code, a divisor of `bits`. 1: each bit is a sign; more: each latent's rank is cut into
    /// levels, two to that power.
    #[serde(default = "defaults::bits_per_latent", skip_serializing_if = "defaults::is_of_signs")]
    pub bits_per_latent: usize,
    /// Codes of parties that are made of something else.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub codes: BTreeMap<PartyName, CodeForm>,
    /// Passes over the training records of the joint phase.
    pub epochs: u32,
    /// Most records of a training batch; batches of an epoch differ in size by at most one.
    #[serde(default = "defaults::batch_rows")]
    pub batch_rows: BatchRows,
    /// Peak learning rate of Adam, at the parties and the coordinator.
    #[serde(default = "defaults::learning_rate")]
    pub learning_rate: f64,
    /// How the learning rate moves.
    #[serde(default = "defaults::schedule")]
    pub schedule: Schedule,
    /// Times that it does so over the joint phase; a divisor of `epochs`. With more than one the kept epoch is of the
    /// last cycle.
    #[serde(default = "defaults::cycles")]
    pub cycles: u32,
    /// How gradients travel to the parties.
    #[serde(default = "defaults::gradient")]
    pub gradient: GradientEncoding,
    /// Normal noise on gradients before they travel, above 0 and at most 100: the noise of a record's gradient is so
    /// many times as long as the longest gradient of its batch. Absent: none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gradient_noise: Option<f64>,
    /// Seed of splits and batches. It draws no weights: each side has a seed of its own for those.
    #[serde(default)]
    pub seed: u64,
    /// How rows are split.
    #[serde(default = "defaults::row_order")]
    pub row_order: RowOrder,
    /// Fraction of all records kept for the test.
    #[serde(default = "defaults::test_fraction")]
    pub test_fraction: f64,
    /// Fraction of the records left after the test part that is kept for early stopping.
    #[serde(default = "defaults::validation_fraction")]
    pub validation_fraction: f64,
    /// Fraction of the training and validation records on which bottom models learn, 1.0: `joint` training;
    /// less: `encode-once`, where every other record is encoded once by frozen bottom models.
    #[serde(default = "defaults::cohort_fraction")]
    pub cohort_fraction: f64,
    /// Whether the top model is fitted again on stored codes of the frozen bottom models. Always so with
    /// a cohort below 1.0; with 1.0 it releases each training record's final code once more.
    #[serde(default)]
    pub refit: bool,
    /// Epsilon a latent of randomised response, which is a bit where codes are signs, above 0 and at most 20; absent: codes
    /// are sent as they are.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub randomised_response: Option<f64>,
    /// Fraction of the records left after the test part on which detectors of abnormal inputs are fitted and calibrated; 0
    /// for no detectors.
    #[serde(default)]
    pub calibration_fraction: f64,
    /// Probability with which a party's bits are left out of a training record, from 0 to below 0.9: the top model
    /// then learns to predict while a party is away.
    #[serde(default)]
    pub party_dropout: f64,
    /// What becomes of the run when a party's policy does not allow it for some records.
    #[serde(default)]
    pub on_refusal: OnRefusal,
}

mod defaults {
    use super::{BatchRows, GradientEncoding, RowOrder, Schedule};

    pub fn bits_per_latent() -> usize {
        1
    }
    // What serde asks for is a function of a reference.
    #[allow(clippy::trivially_copy_pass_by_ref)]
    pub fn is_of_signs(bits_per_latent: &usize) -> bool {
        *bits_per_latent == 1
    }
    pub fn batch_rows() -> BatchRows {
        BatchRows::Rows(256)
    }
    pub fn learning_rate() -> f64 {
        1e-3
    }
    pub fn schedule() -> Schedule {
        Schedule::OneCycle
    }
    pub fn cycles() -> u32 {
        1
    }
    pub fn gradient() -> GradientEncoding {
        GradientEncoding::Int8
    }
    pub fn row_order() -> RowOrder {
        RowOrder::Shuffled
    }
    pub fn test_fraction() -> f64 {
        0.2
    }
    pub fn validation_fraction() -> f64 {
        0.1
    }
    pub fn cohort_fraction() -> f64 {
        1.0
    }
}

/// A setting outside its range.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("run.{key} must be {expected}, not {found}")]
pub struct SettingError {
    key: &'static str,
    expected: String,
    found: String,
}

impl RunSettings {
    /// The required settings with defaults for the rest.
    pub fn new(parties: Vec<PartyName>, task: Task, bits: usize, epochs: u32) -> Self {
        let required = json!({ "parties": [], "task": task, "bits": bits, "epochs": epochs });
        // Unwrap safety: these are all settings without a default, as tests show.
        let settings: Self = serde_json::from_value(required).expect("the required settings");
        Self { parties, ..settings }
    }

    /// Checks every range.
    pub fn check(&self) -> Result<(), SettingError> {
        let require = |holds: bool, key, expected: String, found: String| {
            if holds { Ok(()) } else { Err(SettingError { key, expected, found }) }
        };
        let unique =
            self.parties.iter().collect::<std::collections::BTreeSet<_>>().len() == self.parties.len();
        require(
            (1..=MAX_PARTIES).contains(&self.parties.len()) && unique,
            "parties",
            format!("1 to {MAX_PARTIES} different names"),
            format!("{:?}", self.parties),
        )?;
        let range = |key, value: usize, least: usize, most: usize| {
            require((least..=most).contains(&value), key, format!("{least} to {most}"), value.to_string())
        };
        let names = self.parties.iter().map(|name| name.as_str().len() + 1).sum::<usize>();
        require(
            names <= MAX_VALUE_BYTES,
            "parties",
            "shorter names".into(),
            format!("{names} bytes of them"),
        )?;
        range("bits", self.bits, 1, MAX_BITS)?;
        range("bits_per_latent", self.bits_per_latent, 1, MAX_BITS_PER_LATENT)?;
        require(
            self.bits.is_multiple_of(self.bits_per_latent),
            "bits_per_latent",
            format!("a divisor of run.bits, {}", self.bits),
            self.bits_per_latent.to_string(),
        )?;
        self.check_codes()?;
        range("epochs", self.epochs as usize, 1, 100_000)?;
        let divides = self.cycles > 0 && self.epochs.is_multiple_of(self.cycles);
        require(
            divides,
            "cycles",
            format!("a divisor of run.epochs, {}", self.epochs),
            self.cycles.to_string(),
        )?;
        // Three records would go into batches of 2 and 1, and one record has no batch statistics.
        let batch_rows = self.batch_rows.most();
        range("batch_rows", batch_rows, 4, MAX_BATCH_ROWS)?;
        // A gradient is the largest message: leave room for its frame.
        let latents = self.code_forms().map(CodeForm::latents).max().unwrap_or(1);
        let fitting = (MAX_MESSAGE_BYTES - 1024) / (latents * self.gradient.bytes_per_value()) - 4;
        range("batch_rows", batch_rows, 4, fitting.min(MAX_BATCH_ROWS))?;
        let rate_fits = self.learning_rate > 0.0 && self.learning_rate <= 10.0;
        require(rate_fits, "learning_rate", "above 0 and at most 10".into(), self.learning_rate.to_string())?;
        for (key, share) in [
            ("test_fraction", self.test_fraction),
            ("validation_fraction", self.validation_fraction),
            ("calibration_fraction", self.calibration_fraction),
            ("party_dropout", self.party_dropout),
        ] {
            require((0.0..0.9).contains(&share), key, "from 0 to below 0.9".into(), share.to_string())?;
        }
        let cohort_fits = self.cohort_fraction > 0.0 && self.cohort_fraction <= 1.0;
        require(
            cohort_fits,
            "cohort_fraction",
            "above 0 and at most 1".into(),
            self.cohort_fraction.to_string(),
        )?;
        let noise = self.gradient_noise.unwrap_or(1.0);
        let noise_fits = noise > 0.0 && noise <= 100.0;
        require(noise_fits, "gradient_noise", "above 0 and at most 100".into(), noise.to_string())?;
        let epsilon = self.randomised_response.unwrap_or(1.0);
        let epsilon_fits = epsilon > 0.0 && epsilon <= 20.0;
        require(epsilon_fits, "randomised_response", "above 0 and at most 20".into(), epsilon.to_string())
    }

    fn check_codes(&self) -> Result<(), SettingError> {
        let refuse = |expected: &str, found: String| {
            Err(SettingError { key: "codes", expected: expected.to_string(), found })
        };
        if let Some(name) = self.codes.keys().find(|name| !self.parties.contains(name)) {
            return refuse("tables named after run.parties", format!("one of {name}"));
        }
        let fits = |form: &CodeForm| {
            (1..=MAX_BITS_PER_LATENT).contains(&form.bits_per_latent())
                && (1..=MAX_BITS / form.bits_per_latent()).contains(&form.latents())
        };
        if let Some((name, form)) = self.codes.iter().find(|(_, form)| !fits(form)) {
            let expected = format!(
                "latents of 1 to {MAX_BITS_PER_LATENT} bits (bits_per_latent), with at most {MAX_BITS} bits in all"
            );
            return refuse(&expected, format!("{form} for {name}"));
        }
        let bytes = canonical::codes_text(&self.codes).len();
        if bytes > MAX_VALUE_BYTES {
            return refuse("fewer tables or shorter names", format!("{bytes} bytes of them"));
        }
        Ok(())
    }

    /// What the code of `party` is made of.
    pub fn code_of(&self, party: &PartyName) -> CodeForm {
        self.codes.get(party).copied().unwrap_or_else(|| self.code_of_others())
    }

    /// What the codes of parties without one of their own are made of.
    fn code_of_others(&self) -> CodeForm {
        CodeForm::new(self.bits / self.bits_per_latent.max(1), self.bits_per_latent)
    }

    /// What each party's code is made of, in the order of the parties.
    pub fn code_forms(&self) -> impl ExactSizeIterator<Item = CodeForm> + '_ {
        self.parties.iter().map(|party| self.code_of(party))
    }

    /// Bits of the longest code of a party.
    pub fn most_bits(&self) -> usize {
        self.code_forms().map(CodeForm::bits).max().unwrap_or(self.bits)
    }

    /// The same run with a float in place of each latent, for baselines in one process.
    pub fn of_floats(&self) -> Self {
        let floats =
            |(party, form): (&PartyName, &CodeForm)| (party.clone(), CodeForm::signs(form.latents()));
        let bits_per_latent = defaults::bits_per_latent();
        Self {
            bits: self.code_of_others().latents(),
            bits_per_latent,
            codes: self.codes.iter().map(floats).collect(),
            ..self.clone()
        }
    }

    /// Epochs of each cycle of the learning rate.
    pub fn cycle_epochs(&self) -> u32 {
        self.epochs / self.cycles
    }

    /// Whether only a cohort of the records takes part in joint training.
    pub fn encodes_once(&self) -> bool {
        self.cohort_fraction < 1.0
    }

    /// Whether the top model is fitted on stored codes at the end.
    pub fn refits(&self) -> bool {
        self.refit || self.encodes_once()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    pub(super) fn settings() -> RunSettings {
        let parties = ["bank", "telecom"].map(|name| PartyName::new(name).unwrap());
        RunSettings::new(parties.to_vec(), Task::Binary, 16, 30)
    }

    /// A code of one party's own.
    pub(super) fn own(party: &str, latents: usize, bits: usize) -> BTreeMap<PartyName, CodeForm> {
        BTreeMap::from([(PartyName::new(party).unwrap(), CodeForm::new(latents, bits))])
    }

    #[test]
    fn a_party_has_its_own_code_or_that_of_all() {
        let settings = RunSettings { codes: own("telecom", 1, 4), ..settings() };
        assert_eq!(settings.code_forms().collect::<Vec<_>>(), [CodeForm::signs(16), CodeForm::new(1, 4)]);
        assert_eq!(settings.code_of(&settings.parties[1]).bits(), 4);
        assert_eq!(settings.most_bits(), 16);
        let floats = settings.of_floats();
        assert_eq!(floats.code_forms().collect::<Vec<_>>(), [CodeForm::signs(16), CodeForm::signs(1)]);
    }

    #[test]
    fn ranges_are_checked() {
        assert!(settings().check().is_ok());
        assert!(RunSettings { bits_per_latent: 4, ..settings() }.check().is_ok());
        assert!(RunSettings { codes: own("telecom", 1, 4), ..settings() }.check().is_ok());
        let bad = [
            RunSettings { bits: 0, ..settings() },
            RunSettings { bits_per_latent: 0, ..settings() },
            RunSettings { bits_per_latent: 9, bits: 18, ..settings() },
            RunSettings { bits_per_latent: 3, ..settings() },
            RunSettings { codes: own("stranger", 1, 4), ..settings() },
            RunSettings { codes: own("telecom", 0, 4), ..settings() },
            RunSettings { codes: own("telecom", 1, 0), ..settings() },
            RunSettings { codes: own("telecom", 1, 9), ..settings() },
            RunSettings { codes: own("telecom", 129, 8), ..settings() },
            RunSettings { codes: own("telecom", usize::MAX, 8), ..settings() },
            RunSettings { epochs: 0, ..settings() },
            RunSettings { cycles: 0, ..settings() },
            RunSettings { epochs: 10, cycles: 3, ..settings() },
            RunSettings { batch_rows: 3.into(), ..settings() },
            RunSettings { batch_rows: 65_536.into(), bits: 1024, ..settings() },
            RunSettings {
                parties: (0..64).map(|i| PartyName::new(format!("party-{i:010}")).unwrap()).collect(),
                ..settings()
            },
            RunSettings { learning_rate: f64::NAN, ..settings() },
            RunSettings { test_fraction: 0.95, ..settings() },
            RunSettings { cohort_fraction: 0.0, ..settings() },
            RunSettings { party_dropout: 1.0, ..settings() },
            RunSettings { gradient_noise: Some(0.0), ..settings() },
            RunSettings { gradient_noise: Some(f64::INFINITY), ..settings() },
            RunSettings { randomised_response: Some(0.0), ..settings() },
            RunSettings { randomised_response: Some(f64::NAN), ..settings() },
            RunSettings { parties: vec![], ..settings() },
            RunSettings { parties: vec![PartyName::new("a").unwrap(); 2], ..settings() },
        ];
        for settings in bad {
            assert!(settings.check().is_err(), "{settings:?}");
        }
    }
}
