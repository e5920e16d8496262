//! Totals by recipient: who got how much of what.

use std::collections::BTreeMap;
use std::fmt;

/// What kind of message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum FlowKind {
    /// Hash codes of records.
    Codes,
    /// Gradients of codes, which depend on labels.
    Gradients,
    /// Losses and metrics, which depend on labels.
    Losses,
    /// Predictions for records.
    Predictions,
    /// Private alignments of all records with other holders.
    Alignments,
    /// Times that a run of which something had left went on, from a checkpoint or from its beginning.
    Resumes,
    /// Times that a run was refused for what its codes tell.
    Refusals,
}

impl FlowKind {
    /// All kinds.
    pub const ALL: [Self; 7] = [
        Self::Codes,
        Self::Gradients,
        Self::Losses,
        Self::Predictions,
        Self::Alignments,
        Self::Resumes,
        Self::Refusals,
    ];

    /// The kind's name.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Codes => "codes",
            Self::Gradients => "gradients",
            Self::Losses => "losses",
            Self::Predictions => "predictions",
            Self::Alignments => "alignments",
            Self::Resumes => "resumes",
            Self::Refusals => "refusals",
        }
    }

    /// The kind of that name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == name)
    }
}

/// One kind of message to one recipient: a run at a party, a party at the coordinator.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Flow {
    /// Who gets it.
    pub recipient: String,
    /// What.
    pub kind: FlowKind,
}

impl Flow {
    /// A flow of `kind` to `recipient`.
    pub fn new(recipient: impl Into<String>, kind: FlowKind) -> Self {
        Self { recipient: recipient.into(), kind }
    }
}

impl fmt::Display for Flow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} to {}", self.kind.as_str(), self.recipient)
    }
}

/// How much.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Volume {
    /// Items: a record's code or gradient, one loss, or one alignment, each time it was sent; or a resume or a refusal.
    pub items: u64,
    /// Their bits.
    pub bits: u64,
}

impl Volume {
    /// `items` of `bits` each.
    pub fn of(items: usize, bits: u32) -> Self {
        let items = items as u64;
        Self { items, bits: items * u64::from(bits) }
    }

    /// The sum.
    pub fn plus(self, other: Self) -> Self {
        Self { items: self.items.saturating_add(other.items), bits: self.bits.saturating_add(other.bits) }
    }

    /// What is left after `other` was taken back.
    pub fn minus(self, other: Self) -> Self {
        Self { items: self.items.saturating_sub(other.items), bits: self.bits.saturating_sub(other.bits) }
    }
}

/// How often `run` was refused for what its codes tell, and how often all runs were.
pub(crate) fn refusals(flows: &BTreeMap<Flow, Volume>, run: Option<&str>) -> (u64, u64) {
    let (mut of_run, mut of_all) = (0, 0);
    for (flow, volume) in flows.iter().filter(|(flow, _)| flow.kind == FlowKind::Refusals) {
        of_all += volume.items;
        of_run += if run == Some(&*flow.recipient) { volume.items } else { 0 };
    }
    (of_run, of_all)
}
