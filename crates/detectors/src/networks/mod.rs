//! Detectors that are small networks and learn normal rows: those of a party, which sees its columns and its embedding,
//! two of the coordinator, on codes, and one on codes with labels, for training records.

mod adapter;
mod adaptive;
mod autoencoder;
mod by_bits;
mod density_ratio;
mod label_noise;
mod labelled;
mod student;
mod train;

pub use adapter::Adapter;
pub use adaptive::adaptive_scores;
pub use autoencoder::Autoencoder;
pub use density_ratio::DensityRatio;
pub use label_noise::LabelNoise;
pub use labelled::{GivenLabels, Labelled, label_p_values};
pub use student::Student;
