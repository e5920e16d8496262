//! What every attack is.

use hashvfl_learning::top::loss::Labels;

use crate::evaluation::PrivacyEvaluation;
use crate::evaluation::victim::VictimContext;
use crate::metrics::image;
use crate::report::Knowledge;

/// What an attack says of itself.
#[derive(Debug, Clone, Copy)]
pub struct About {
    /// What is tried, in a few words: for progress, and for what was not tried.
    pub title: &'static str,
    /// All that its adversary may know beside auxiliary records and what crossed the cut. A result says what it knew of
    /// this; a result that knew more ends the evaluation with an error.
    pub knows: &'static [Knowledge],
    /// What the evaluation must have. Without it the attack is not run, and the report says why.
    pub needs: &'static [Need],
}

/// An attack, or a series of one over some setting. [`ALL`](crate::attacks::ALL) lists them.
pub trait Attack: Sync {
    /// What it is, knows and needs.
    fn about(&self) -> About;

    /// Tries it at every cut where it can be tried, and keeps what it found in `evaluation.findings`.
    ///
    /// # Errors
    /// If the transcript lacks what the attack looks at, or a repetition of the run fails. The report tells of it then, and a check
    /// on the evaluation does not hold.
    fn run(&self, evaluation: &mut PrivacyEvaluation) -> anyhow::Result<()>;
}

/// Something that an evaluation may lack.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Need {
    /// The config grants the victim's weights and queries of its encoder.
    Weights,
    /// The config names a party of the adversary's own organisation.
    OwnColumns,
    /// The labels are classes.
    Classes,
    /// Codes are signs: the attack turns on what a sign is.
    Signs,
    /// The victim's columns are an image.
    Image,
    /// They are a table's.
    Table,
    /// They are a grey image that is large enough for structural similarity.
    ImageWithSsim,
    /// The config asks for more than a first look.
    Thorough,
    /// The config asks for more than reconstruction with codes and columns of the same records.
    FurtherAttacks,
    /// The config asks for that too, or limits how many records are found.
    Identities,
    /// The config asks for inference of labels from gradients.
    LabelInference,
    /// The config asks for encode-once training.
    EncodeOnce,
    /// The config names epsilons of randomised response.
    RandomisedResponse,
    /// The config names code lengths.
    CodeLengths,
    /// The config asks for several trainings.
    Trainings,
}

impl Need {
    /// Why it is not met; `None` if it is.
    pub fn missing(self, victim: &VictimContext) -> Option<&'static str> {
        let config = victim.config;
        let (met, reason) = match self {
            Self::Weights => (config.white_box, "the adversary is not granted the victim's weights"),
            Self::OwnColumns => (
                config.own.is_some(),
                "no party belongs to the adversary's organisation (own in attack.toml)",
            ),
            Self::Classes => {
                (matches!(victim.evidence.labels, Labels::Classes { .. }), "the labels are not classes")
            }
            Self::Signs => (
                victim.evidence.coordinator.run.codes.is_empty() && victim.code_form().is_signs(),
                "it works only on codes of signs with the same length at all parties",
            ),
            Self::Image => (victim.owner.image.is_some(), "the columns are not an image"),
            Self::Table => (victim.owner.image.is_none(), "the columns are an image"),
            Self::ImageWithSsim => (
                matches!(victim.owner.image, Some([1, height, width]) if image::has_ssim(height, width)),
                "the columns are no grey image of 11 x 11 pixels or more",
            ),
            Self::Thorough => (!config.quick, "quick asks only for a first look"),
            Self::FurtherAttacks => (config.further_attacks, "further_attacks is off"),
            Self::Identities => (
                config.further_attacks || config.max_reidentified.is_some(),
                "further_attacks is off and max_reidentified names no limit",
            ),
            Self::LabelInference => (config.label_inference, "label_inference is off"),
            Self::EncodeOnce => (config.encode_once, "encode_once is off"),
            Self::RandomisedResponse => {
                (!config.randomised_response.is_empty(), "randomised_response lists no epsilon")
            }
            Self::CodeLengths => (!config.bits.is_empty(), "bits lists no code length"),
            Self::Trainings => (config.trainings > 1, "trainings is 1"),
        };
        (!met).then_some(reason)
    }
}

/// Why an attack cannot be tried, as the report says it; `None` if it can.
pub fn not_tried(about: &About, victim: &VictimContext) -> Option<String> {
    let reason = about.needs.iter().find_map(|need| need.missing(victim))?;
    Some(format!("{}, since {reason}", about.title))
}
