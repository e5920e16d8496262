//! The registry: every attack, in the order in which it is run.
//!
//! To add one, write a file in one of the folders that implements [`Attack`]. Then name it here: its module, its id with
//! the name that people read, and its line of [`ALL`]. Last, add its row to the table in docs/explanation/privacy.md.
//! `tests/extensions/attack.patch` is an example.

use std::fmt;

use crate::evaluation::attack::Attack;
use crate::report::Hijack;
use inference::{label_defences, membership, reidentification, shadow_federations};
use reconstruction::inversion::Matching;
use reconstruction::white_box::Start;
use reconstruction::{
    conditional_mean, esa, fora, grna, instrument, inverse_network, other_classes, positive_control,
    posterior, predictions, pseudo_clients, query_free, ssim_decoder, unsplit, white_box,
};
use sweeps::{auxiliary_fraction, code_length, encode_once, epochs, randomised_response, trainings};

mod critic;

/// Attacks that reconstruct columns.
pub(crate) mod reconstruction {
    pub(crate) mod batches;
    pub(crate) mod column_decoder;
    pub(crate) mod conditional_mean;
    pub(crate) mod esa;
    pub(crate) mod fora;
    pub(crate) mod grna;
    pub(crate) mod instrument;
    pub(crate) mod inverse_network;
    pub(crate) mod inversion;
    pub(crate) mod likelihood;
    pub(crate) mod moment;
    pub(crate) mod other_classes;
    pub(crate) mod pcat;
    pub(crate) mod positive_control;
    pub(crate) mod posterior;
    pub(crate) mod predictions;
    pub(crate) mod pseudo_clients;
    pub(crate) mod queries;
    pub(crate) mod query_free;
    pub(crate) mod record_posterior;
    pub(crate) mod sdar;
    pub(crate) mod ssim_decoder;
    pub(crate) mod substitute;
    pub(crate) mod unsplit;
    pub(crate) mod white_box;
}

/// Attacks that infer one fact: a column's value, a label, a record's part in training, whose code it is.
pub(crate) mod inference {
    pub(crate) mod clusters;
    pub(crate) mod label_defences;
    pub(crate) mod labels;
    pub(crate) mod linkage;
    pub(crate) mod membership;
    pub(crate) mod reidentification;
    pub(crate) mod shadow_federations;
    pub(crate) mod unlabelled;
}

/// Attacks by a coordinator that does not follow the protocol.
pub mod active {
    pub(crate) mod cheated_run;
    pub mod contrastive;
    pub mod dac;
    pub mod fsha;
    pub mod hijacker;
    pub(crate) mod hijacks;
    pub(crate) mod steering;
    pub(crate) mod steering_server;
    pub mod urvfl;
}

/// The conditional mean over epochs, auxiliary fractions, code lengths and other defences. Runs under other settings than
/// the one that was recorded go through the same training loop in this process.
pub(crate) mod sweeps {
    pub(crate) mod auxiliary_fraction;
    pub(crate) mod code_length;
    pub(crate) mod encode_once;
    pub(crate) mod epochs;
    pub(crate) mod randomised_response;
    pub(crate) mod trainings;
}

/// All attacks. A baseline stands before what is compared with it, and the conditional mean of codes before what repeats it
/// on other runs.
pub static ALL: &[&dyn Attack] = &[
    &conditional_mean::ConditionalMean,
    &inverse_network::InverseNetwork,
    &white_box::WhiteBox,
    &reidentification::Reidentification,
    &reidentification::ReidentificationByCopy,
    &positive_control::PositiveControl,
    &other_classes::OtherClasses,
    &membership::Membership,
    &shadow_federations::ShadowFederations,
    &query_free::QueryFree,
    &pseudo_clients::PseudoClients,
    &fora::Fora,
    &instrument::Instrument,
    &unsplit::UnSplit,
    &predictions::PredictionMean,
    &grna::Grna,
    &esa::Esa,
    &active::steering::Steering,
    &active::hijacks::Hijacks,
    &epochs::OverEpochs,
    &posterior::Posterior,
    &ssim_decoder::SsimDecoder,
    &auxiliary_fraction::OverAuxiliaryFraction,
    &encode_once::EncodeOnce,
    &randomised_response::OverEpsilons,
    &code_length::OverCodeLengths,
    &trainings::OtherTrainings,
    &label_defences::LabelInference,
];

/// What a reader must not take for covered: attacks that are known and not among [`ALL`].
pub const BEYOND: &[&str] = &[
    "malicious gradients mixed with honest ones, or sent for some records only, to stay below the gradient monitor's alarm, other \
     than hijacks that are half honest",
    "posterior sampling by a learned generator (a diffusion or a flow) in place of known people, of images above all, and such priors \
     as penalties",
    "label inference by a single party other than the attacked one, or by some but not all parties",
    "collusion of parties with the coordinator beyond its own organisation's columns, about columns or about labels",
    "shadow federations that learned from the very record in question, or that teach attacks on columns or labels",
    "linkage without any record known in both runs",
    "adversaries with other side information than listed in this report",
];

/// Which attack a result is of. What people read is derived from it here and nowhere else.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum AttackId {
    /// The same adversary without any code.
    NoCode,
    /// The conditional mean of what is known.
    ConditionalMean,
    /// The same with the encoder's codes of all owned records.
    QueriedMean,
    /// Own columns as an instrument.
    Instrument,
    /// The posterior of whole records.
    Posterior,
    /// The inverse network.
    InverseNetwork,
    /// A decoder that is trained for structural similarity.
    SsimDecoder,
    /// White-box inversion, by what is made to agree and where the search starts.
    WhiteBox(Matching, Start),
    /// The same of the value before the sign.
    WhiteBoxBeforeSign(Start),
    /// Re-identification.
    Reidentification,
    /// The same by a copy of the encoder.
    ReidentificationByCopy,
    /// The positive control after a block of the cnn, from 1: an inverse network.
    BlockDecoder(usize),
    /// The same by FORA.
    BlockFora(usize),
    /// The same by a white-box search.
    BlockWhiteBox(usize),
    /// Membership inference by a regression on code and label.
    MembershipByRegression,
    /// Membership inference by the top model's loss.
    MembershipByLoss,
    /// The same beside the losses of the attacker's own federations.
    MembershipByShadows,
    /// A substitute that learns through the top model.
    QueryFree,
    /// A substitute that learns through the top model of every step.
    Pcat,
    /// The same with discriminators that regularise it and its decoder.
    Sdar,
    /// That substitute read by regressions in place of its decoder.
    SdarByRegressions,
    /// A substitute that learns the distribution of codes.
    Fora,
    /// Columns and a clone of the model in turns.
    UnSplit,
    /// The conditional mean given predictions.
    PredictionMean,
    /// A generator through both models.
    Grna,
    /// Equations of a linear top model.
    Esa,
    /// The conditional mean after gradients that steered the bottom model.
    Steering,
    /// A hijacker's own decoder.
    Hijack(Hijack),
    /// The conditional mean after such a hijack.
    AfterHijack,
    /// Linkage of records across runs.
    Linkage,
    /// The most common class.
    MajorityClass,
    /// Labels by the length of the gradient.
    GradientNorm,
    /// Labels by the direction of the gradient.
    GradientDirection,
    /// Labels by clusters of directions.
    GradientClusters,
    /// Labels by a model of code and gradient.
    ModelCompletion,
    /// The same with the party's own columns.
    CompletionWithColumns,
    /// Labels by a model of the code alone.
    CodesAlone,
    /// Labels by a model of the code and the party's own columns.
    CodesAndColumns,
    /// Labels by the length of the gradient, without a known one.
    UnlabelledNorm,
    /// Labels by clusters of directions, without a known one.
    UnlabelledClusters,
    /// Labels by clusters of codes, without a known one.
    UnlabelledCodes,
}

impl fmt::Display for AttackId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = match self {
            Self::NoCode => "no code",
            Self::ConditionalMean => "conditional mean",
            Self::QueriedMean => "conditional mean, codes of all owned records",
            Self::Instrument => "own columns as an instrument",
            Self::Posterior => "posterior of whole records",
            Self::InverseNetwork => "inverse network",
            Self::SsimDecoder => "decoder trained for SSIM",
            Self::WhiteBox(matching, start) => return write!(f, "white-box, {matching}, from the {start}"),
            Self::WhiteBoxBeforeSign(start) => {
                return write!(f, "white-box, before the sign, from the {start}");
            }
            Self::Reidentification => "re-identification",
            Self::ReidentificationByCopy => "re-identification by a copy of the encoder",
            Self::BlockDecoder(block) => return write!(f, "inverse network after block {block} of the cnn"),
            Self::BlockFora(block) => return write!(f, "FORA after block {block} of the cnn"),
            Self::BlockWhiteBox(block) => {
                return write!(f, "white-box after block {block} of the cnn, from the mean");
            }
            Self::MembershipByRegression => "membership by regression",
            Self::MembershipByLoss => "membership by the top model's loss",
            Self::MembershipByShadows => "membership by shadow federations (LiRA)",
            Self::QueryFree => "query-free",
            Self::Pcat => "PCAT",
            Self::Sdar => "SDAR",
            Self::SdarByRegressions => "SDAR, read by regressions",
            Self::Fora => "FORA",
            Self::UnSplit => "UnSplit",
            Self::PredictionMean => "conditional mean given predictions",
            Self::Grna => "GRNA",
            Self::Esa => "ESA",
            Self::Steering => "conditional mean after gradients that steered",
            Self::Hijack(by) => return write!(f, "{by}"),
            Self::AfterHijack => "conditional mean after a hijack",
            Self::Linkage => "linkage across runs",
            Self::MajorityClass => "majority class",
            Self::GradientNorm => "gradient norm",
            Self::GradientDirection => "gradient direction",
            Self::GradientClusters => "gradient clusters",
            Self::ModelCompletion => "model completion",
            Self::CompletionWithColumns => "model completion with own columns",
            Self::CodesAlone => "model completion, codes alone",
            Self::CodesAndColumns => "model completion, codes and own columns",
            Self::UnlabelledNorm => "gradient norm, without labels",
            Self::UnlabelledClusters => "gradient clusters, without labels",
            Self::UnlabelledCodes => "code clusters, without labels",
        };
        f.write_str(name)
    }
}

impl fmt::Display for Matching {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Hinge => "hinge",
            Self::AnnealedTanh => "annealed tanh",
            Self::StraightThrough => "straight-through",
            Self::Value => "value",
        })
    }
}

impl fmt::Display for Start {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Mean => "mean",
            Self::ConditionalMean => "conditional mean",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::evaluation::attack::Need;

    /// What an attack cannot work without it declares: an error at the end of an evaluation would come after hours.
    #[test]
    fn inference_of_classes_needs_classes() {
        for attack in [
            &label_defences::LabelInference as &dyn Attack,
            &other_classes::OtherClasses,
            &shadow_federations::ShadowFederations,
        ] {
            let about = attack.about();
            assert!(about.needs.contains(&Need::Classes), "{}", about.title);
        }
    }

    /// Attacks of the literature and of reviewers that are not among [`ALL`]: one that is added is taken out of the list.
    #[test]
    fn what_is_beyond_is_told_in_full() {
        let beyond = BEYOND.join("\n");
        for attack in [
            "below the gradient monitor's alarm",
            "posterior sampling",
            "by a single party other than",
            "collusion of parties with the coordinator",
            "shadow federations",
            "linkage without any record",
            "other side information",
        ] {
            assert!(beyond.contains(attack), "{attack}");
        }
    }
}
