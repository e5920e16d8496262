//! What an adversary knows beside auxiliary records and what crossed the cut.

use std::fmt;

use crate::attacks::inference::labels::SHOTS;
use crate::attacks::reconstruction::esa::ROUNDED;

/// One thing that an adversary knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Knowledge {
    /// The label of every record.
    Labels,
    /// The last codes of all other parties.
    OtherCodes,
    /// The columns of the party of its own organisation; of parties that infer labels, their own ones.
    OwnColumns,
    /// It has no code of any record whose columns it knows.
    NoAuxiliaryCodes,
    /// The victim's encoder encodes what the adversary asks for.
    QueryAccess,
    /// The weights of the victim's bottom model.
    Weights,
    /// The architecture of the victim's bottom model.
    Architecture,
    /// The top model.
    TopModel,
    /// The top model as it was at every step of the run, and what other parties sent of auxiliary records meanwhile.
    TopModels,
    /// Columns of the records among which one is looked for.
    CandidateColumns,
    /// Codes of auxiliary records in both of two runs.
    CodesInBothRuns,
    /// Which auxiliary records the models learned from.
    Members,
    /// Its auxiliary records are of the first half of the classes alone.
    HalfOfClasses,
    /// Predictions, as the model gives them.
    ExactPredictions,
    /// Predictions, rounded to two digits.
    RoundedPredictions,
    /// Columns of records that the bottom model learns from.
    TrainingColumns,
    /// Labels of a few records of each class.
    FewLabels,
    /// How common each class is, and no label.
    ClassFractions,
    /// Codes that one party sent.
    OwnCodes,
    /// Codes that all parties sent.
    AllCodes,
    /// Gradients that one party was sent.
    OwnGradients,
    /// Gradients that all parties were sent.
    AllGradients,
}

impl Knowledge {
    /// Whether it is gradients, which a party is sent.
    pub fn is_gradients(self) -> bool {
        matches!(self, Self::OwnGradients | Self::AllGradients)
    }
}

impl fmt::Display for Knowledge {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Labels => f.write_str("labels"),
            Self::OtherCodes => f.write_str("other parties' codes"),
            Self::OwnColumns => f.write_str("own columns"),
            Self::NoAuxiliaryCodes => f.write_str("no codes of auxiliary records"),
            Self::QueryAccess => f.write_str("query access"),
            Self::Weights => f.write_str("weights"),
            Self::Architecture => f.write_str("architecture"),
            Self::TopModel => f.write_str("top model"),
            Self::TopModels => f.write_str("top model at every step"),
            Self::CandidateColumns => f.write_str("candidates' columns"),
            Self::CodesInBothRuns => f.write_str("auxiliary records' codes in both runs"),
            Self::Members => f.write_str("which auxiliary records were learned from"),
            Self::HalfOfClasses => f.write_str("auxiliary records of half of the classes alone"),
            Self::ExactPredictions => f.write_str("predictions exact"),
            Self::RoundedPredictions => write!(f, "predictions rounded to {ROUNDED}"),
            Self::TrainingColumns => f.write_str("columns of training records"),
            Self::FewLabels => write!(f, "{SHOTS} labels per class"),
            Self::ClassFractions => f.write_str("no label, how common classes are"),
            Self::OwnCodes => f.write_str("codes of one party"),
            Self::AllCodes => f.write_str("codes of all parties"),
            Self::OwnGradients => f.write_str("gradients of one party"),
            Self::AllGradients => f.write_str("gradients of all parties"),
        }
    }
}
