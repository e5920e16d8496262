//! What an attack is after: whose columns, which labels, whose record.

use std::fmt;

use hashvfl_core::PartyName;

use super::Defence;
use super::model::CutKind;

/// Which of a run's records are attacked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Population {
    /// Records that the frozen encoder encoded once.
    Test,
    /// Records that were encoded in every epoch.
    Training,
    /// Validation records, which were encoded after epochs: each, or each of the last cycle.
    Validation,
    /// Training records that encode-once training encoded once.
    OutsideCohort,
}

impl fmt::Display for Population {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Test => "test records",
            Self::Training => "training records",
            Self::Validation => "validation records",
            Self::OutsideCohort => "training records outside the cohort",
        })
    }
}

/// Which records are scored: those of a population, or others of it that a defence has.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct TargetRecords {
    /// The population.
    pub of: Population,
    /// The defence, where its records are others than those of the run.
    pub under: Option<Defence>,
}

impl fmt::Display for TargetRecords {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.under {
            None => write!(f, "{}", self.of),
            Some(defence) => write!(f, "{} ({defence})", self.of),
        }
    }
}

/// What an attack is after. Only results about the same victim are compared.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Victim {
    /// The columns of a party.
    Columns {
        /// The party.
        party: PartyName,
        /// The records.
        of: Population,
    },
    /// The same from another place of the model than the run's cut.
    ColumnsCutEarlier {
        /// The party.
        party: PartyName,
        /// The records.
        of: Population,
    },
    /// One column of a party.
    Column {
        /// The party.
        party: PartyName,
        /// The column's name.
        column: String,
        /// The records.
        of: Population,
    },
    /// The labels.
    Labels,
    /// Which record a code is of.
    Identity {
        /// The party.
        party: PartyName,
        /// The records.
        of: Population,
    },
    /// Which record of another run this one is.
    OtherRun {
        /// The party.
        party: PartyName,
        /// The records.
        of: Population,
        /// What the runs sent: each cut is compared with its own baseline.
        cut: CutKind,
    },
    /// Whether the models learned from a record.
    Membership {
        /// The party.
        party: PartyName,
    },
}

impl Victim {
    /// Which records it is about, where it is about those of one population; labels are those of training records.
    pub fn population(&self) -> Option<Population> {
        match self {
            Self::Columns { of, .. }
            | Self::ColumnsCutEarlier { of, .. }
            | Self::Column { of, .. }
            | Self::Identity { of, .. }
            | Self::OtherRun { of, .. } => Some(*of),
            Self::Labels => Some(Population::Training),
            Self::Membership { .. } => None,
        }
    }
}

impl fmt::Display for Victim {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Columns { party, of } => write!(f, "{party}'s columns ({of})"),
            Self::ColumnsCutEarlier { party, of } => write!(f, "{party}'s columns ({of}, cut earlier)"),
            Self::Column { party, column, of } => write!(f, "{party}'s column {column} ({of})"),
            Self::Labels => f.write_str("the labels"),
            Self::Identity { party, of } => write!(f, "whose code it is, of {party}'s columns ({of})"),
            Self::OtherRun { party, of, cut } => {
                let what = if *cut == CutKind::SimulatedFloats { "floats" } else { "codes" };
                write!(f, "the same record in another run with {what}, of {party}'s columns ({of})")
            }
            Self::Membership { party } => write!(f, "training records of {party} from others"),
        }
    }
}
