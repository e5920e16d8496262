//! The adversaries that every row of every table is attacked by, and what left of the records that they look at.

use std::fmt;

use hashvfl_core::text::counted;

use crate::evaluation::victim::VictimContext;
use crate::evidence::knowledge::{EpochRange, Fact};

/// Who attacks, by what it knows of every record beside what left the victim. Each knows all that the one before knows; its
/// auxiliary records are the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Adversary {
    /// Nothing else.
    Stranger,
    /// The labels, and what the other parties sent: their last codes, and of records that were encoded in every epoch all of
    /// them.
    Coordinator,
    /// The columns of a party of its own organisation as well.
    Organisation,
}

impl fmt::Display for Adversary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Stranger => "who knows nothing else",
            Self::Coordinator => "the coordinator",
            Self::Organisation => "the coordinator with its own organisation's columns",
        })
    }
}

impl Adversary {
    /// Those that can be: the last one knows most.
    pub fn all(victim: &VictimContext) -> Vec<Self> {
        let mut all = vec![Self::Stranger, Self::Coordinator];
        all.extend(victim.own.map(|_| Self::Organisation));
        all
    }

    /// The one that knows most.
    pub fn strongest(victim: &VictimContext) -> Self {
        if victim.own.is_some() { Self::Organisation } else { Self::Coordinator }
    }

    /// What it knows of every record. Codes of its own organisation's party say nothing that the columns do not.
    pub fn facts(self, parties: usize) -> Vec<Fact> {
        match self {
            Self::Stranger => Vec::new(),
            Self::Coordinator => vec![Fact::Label, Fact::OtherCodes],
            Self::Organisation if parties == 2 => vec![Fact::Label, Fact::OwnColumns],
            Self::Organisation => vec![Fact::Label, Fact::OtherCodes, Fact::OwnColumns],
        }
    }

    /// The one that knows less.
    pub fn weaker(self) -> Option<Self> {
        match self {
            Self::Stranger => None,
            Self::Coordinator => Some(Self::Stranger),
            Self::Organisation => Some(Self::Coordinator),
        }
    }
}

/// What left the victim of a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum ObservedRelease {
    /// Nothing: the baseline.
    Nothing,
    /// One code, the last.
    OneCode,
    /// The codes of these epochs.
    Epochs(EpochRange),
    /// The codes of all these epochs, and the one after the freeze.
    EpochsAndLast(EpochRange),
}

impl fmt::Display for ObservedRelease {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Nothing => f.write_str("nothing"),
            Self::OneCode => f.write_str("one code"),
            Self::Epochs(epochs) => write!(f, "the codes of {}", counted(epochs.count, "epoch")),
            Self::EpochsAndLast(epochs) => {
                write!(f, "the codes of {} and the last one", counted(epochs.count, "epoch"))
            }
        }
    }
}

impl ObservedRelease {
    /// Epochs whose codes it holds, where there are any.
    pub fn epochs(self) -> Option<EpochRange> {
        match self {
            Self::Nothing | Self::OneCode => None,
            Self::Epochs(epochs) | Self::EpochsAndLast(epochs) => Some(epochs).filter(|all| all.count > 0),
        }
    }

    /// As facts.
    pub fn facts(self) -> Vec<Fact> {
        match self {
            Self::Nothing => Vec::new(),
            Self::OneCode => vec![Fact::Code],
            Self::Epochs(epochs) => vec![Fact::EpochCodes(epochs)],
            Self::EpochsAndLast(epochs) => vec![Fact::EpochCodes(epochs), Fact::Code],
        }
    }
}
