//! What HashVFL learns: bottom models and the hash layer at a party, the top model at the coordinator, and
//! the course of a run over any kind of parties.
//!
//! ```text
//! columns -> bottom -> BatchNorm -> threshold -> sign | codes | -> top -> loss
//!            `------------ Encoder -------------'   wire   `- Classifier -'
//! ```
//!
//! This crate names burn; it knows nothing of networks. Randomness is drawn on the host, so that a run is the
//! same on every device up to rounding.

pub mod adam;
pub mod bottom;
pub mod classifier;
pub mod course;
pub mod cut;
pub mod device;
pub mod encoder;
pub mod evaluation;
pub mod front;
pub mod gradients;
pub mod hash;
pub mod init;
pub mod local;
pub mod loss;
pub mod metrics;
pub mod network;
pub mod predictor;
pub mod range;
pub mod recall;
pub mod schedule;
pub mod snapshot;
pub mod threads;

pub use classifier::{Classifier, TopConfig};
pub use encoder::{Encoder, EncoderConfig};
pub use network::Network;
pub use predictor::Predictor;
pub use snapshot::Snapshot;
