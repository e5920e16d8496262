//! The mathematics that several detectors share.

pub mod dependence_tree;
pub mod eigen;
pub mod vectors;
