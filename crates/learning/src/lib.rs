//! What HashVFL learns: bottom models and the hash layer at a party, the top model at the coordinator, and
//! the training loop of a run over any kind of parties.
//!
//! ```text
//! columns -> bottom -> BatchNorm -> threshold -> sign or level | codes | -> top -> loss
//!            `---------------- Encoder ------------------'   wire   `- Classifier -'
//! ```
//!
//! This crate names burn; it knows nothing of networks. Randomness is drawn on the host, so that a run is the
//! same on every device up to rounding.

pub mod adam;
pub mod bottom;
pub mod device;
pub mod encoder;
pub mod gradients;
pub mod hash;
pub mod init;
pub mod metrics;
pub mod network;
pub mod range;
pub mod schedule;
pub mod snapshot;
pub mod threads;
pub mod top;
pub mod training;

pub use encoder::{Encoder, EncoderConfig};
pub use network::Network;
pub use snapshot::Snapshot;
pub use top::classifier::{Classifier, TopConfig};
pub use top::predictor::Predictor;
