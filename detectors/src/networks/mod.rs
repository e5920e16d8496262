//! Detectors that are small networks and learn normal rows: those of a party, which sees its columns and its embedding,
//! two of the coordinator, on codes, and one on codes with labels, for training records.

mod adapter;
mod adaptive;
mod autoencoder;
mod by_bits;
mod doubt;
mod labelled;
mod mismatch;
mod student;
mod train;

pub use adapter::Adapter;
pub use adaptive::adaptive_scores;
pub use autoencoder::Autoencoder;
pub use doubt::Doubt;
pub use labelled::{Labelled, Told, label_p_values};
pub use mismatch::Mismatch;
pub use student::Student;
