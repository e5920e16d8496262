//! What stood between the columns and the adversary: the run that was attacked, and what it sent.

use std::fmt;

/// What a run sent, with the setting of its defence.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Sent {
    /// Hash codes, as the run itself sent them.
    Codes {
        /// Bits of a code.
        bits: usize,
        /// What randomised response costs, in words, where the run has it.
        response: Option<String>,
    },
    /// Floats.
    Floats {
        /// Their number.
        count: usize,
    },
    /// Floats at one bit each.
    OneBitFloats {
        /// Their number.
        count: usize,
    },
    /// Features after one of the first blocks of a cnn.
    Features {
        /// The block, from 1.
        block: usize,
    },
    /// Codes of encode-once training.
    EncodeOnce {
        /// Bits of a code.
        bits: usize,
    },
    /// Codes under randomised response.
    RandomisedResponse {
        /// Bits of a code.
        bits: usize,
        /// What it costs, in words.
        cost: String,
    },
    /// Codes of another length than the run's.
    OtherLength {
        /// Bits of a code.
        bits: usize,
    },
    /// Gradients under a label-side defence.
    Gradients {
        /// The defence, for instance "int8 gradients".
        defence: String,
        /// Its setting.
        setting: String,
        /// Bits of a code.
        bits: usize,
    },
}

/// Whose gradients a hijacked party gets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Hijack {
    /// Those of a classifier that tells the party's codes from a surrogate's of the same class; the surrogate has learned before.
    Urvfl,
    /// The same with a surrogate that learns along with the run.
    UrvflSync,
    /// Those of a discriminator, without labels.
    Fsha,
}

impl fmt::Display for Hijack {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Urvfl => "URVFL",
            Self::UrvflSync => "URVFL-sync",
            Self::Fsha => "FSHA",
        })
    }
}

/// How a repetition of a run differs from it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Change {
    /// Its top model is linear.
    LinearTop,
    /// Its first weights and noise are those of another draw, from 2: the run's own is the first.
    Replicate(u64),
    /// It is the run once more, with other first weights and noise: of the recorded one, the steps cannot be made again, and its
    /// parties did not name their seeds.
    Repeated,
    /// Its coordinator steers towards codes from which columns can be decoded, with this weight.
    Steered(u32),
    /// Its coordinator, which knows no columns, steers towards codes that lie apart, with this weight.
    SteeredApart(u32),
    /// Its coordinator, which knows no columns, steers each record's code towards its own earlier codes and away from those of
    /// others, with this weight.
    SteeredContrastive(u32),
    /// A hijacker's gradients take the place of honest ones, of which this many per cent are kept; both parts have the honest
    /// ones' power.
    Hijacked {
        /// The hijacker.
        by: Hijack,
        /// The honest part.
        honest_percent: u32,
    },
}

/// What stood between the columns and the adversary.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Defence {
    /// What the run sent.
    pub sent: Sent,
    /// How the run differs from the one that was recorded, if it does.
    pub change: Option<Change>,
    /// Whether the adversary sees predictions made from it, and nothing else.
    pub predictions: bool,
}

impl Defence {
    /// Of the run, as it is.
    pub fn new(sent: Sent) -> Self {
        Self { sent, change: None, predictions: false }
    }

    /// Of a repetition with this change.
    pub fn changed(&self, change: Change) -> Self {
        Self { change: Some(change), ..self.clone() }
    }

    /// Whether its coordinator cheats.
    pub fn is_steered(&self) -> bool {
        matches!(
            self.change,
            Some(
                Change::Steered(_)
                    | Change::SteeredApart(_)
                    | Change::SteeredContrastive(_)
                    | Change::Hijacked { .. }
            )
        )
    }

    /// Whether other parties sent the same under both: the same values, in the same run.
    pub fn is_of_the_run_of(&self, other: &Self) -> bool {
        self.sent == other.sent && self.change == other.change
    }

    /// Of predictions from what was sent.
    pub fn predictions(&self) -> Self {
        Self { predictions: true, ..self.clone() }
    }
}

impl fmt::Display for Defence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.predictions {
            f.write_str("predictions from: ")?;
        }
        match &self.sent {
            Sent::Codes { bits, response: None } => write!(f, "hash codes, d = {bits}"),
            Sent::Codes { bits, response: Some(cost) } => {
                write!(f, "hash codes, d = {bits}, randomised response: {cost}")
            }
            Sent::Floats { count } => write!(f, "none, {count} floats"),
            Sent::OneBitFloats { count } => write!(f, "{count} floats at 1 bit each"),
            Sent::Features { block } => write!(f, "none, features after block {block}"),
            Sent::EncodeOnce { bits } => write!(f, "encode-once, d = {bits}"),
            Sent::RandomisedResponse { bits, cost } => write!(f, "randomised response, {cost}, d = {bits}"),
            Sent::OtherLength { bits } => write!(f, "simulated codes, d = {bits}"),
            Sent::Gradients { defence, setting, bits } => write!(f, "{defence}, {setting}, d = {bits}"),
        }?;
        match self.change {
            None => Ok(()),
            Some(Change::LinearTop) => f.write_str(", linear top model"),
            Some(Change::Replicate(draw)) => write!(f, ", draw {draw} of first weights"),
            Some(Change::Repeated) => f.write_str(", repeated with other first weights"),
            Some(Change::SteeredApart(weight)) => write!(f, ", steered apart, weight {weight}"),
            Some(Change::SteeredContrastive(weight)) => {
                write!(f, ", steered towards own earlier codes, weight {weight}")
            }
            Some(Change::Steered(weight)) => write!(f, ", steered, weight {weight}"),
            Some(Change::Hijacked { by, honest_percent: 0 }) => write!(f, ", hijacked by {by}"),
            Some(Change::Hijacked { by, honest_percent }) => {
                write!(f, ", hijacked by {by}, {honest_percent} % honest")
            }
        }
    }
}
