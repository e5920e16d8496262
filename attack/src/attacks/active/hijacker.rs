//! A hijacker at work on a run, whoever it is.

use hashvfl_data::Matrix;

use crate::attacks::active::fsha::Fsha;
use crate::attacks::active::urvfl::Urvfl;

/// Who hijacks.
pub enum Hijacker<'a> {
    /// FSHA, which knows only columns.
    Fsha(Box<Fsha>),
    /// URVFL, which knows labels and columns of its own organisation too.
    Urvfl(Box<Urvfl<'a>>),
}

impl Hijacker<'_> {
    /// The gradient [rows, latents] that is sent for the values [rows, latents] of codes of `rows`.
    pub fn gradient(&mut self, rows: &[u32], codes: &[f32]) -> Vec<f32> {
        match self {
            Self::Fsha(fsha) => fsha.gradient(codes),
            Self::Urvfl(urvfl) => urvfl.gradient(rows, codes),
        }
    }

    /// What its decoder makes of these: columns, row-major.
    pub fn reconstruct(&self, codes: &[f32], rows: &[u32]) -> Vec<f32> {
        match self {
            Self::Fsha(fsha) => fsha.reconstruct(codes, rows.len()),
            Self::Urvfl(urvfl) => urvfl.reconstruct(codes, rows),
        }
    }

    /// What its decoder makes of the codes that its own model gives `rows` of `columns`: all that a hijack could give.
    pub fn reconstruct_own(&self, columns: &Matrix, rows: &[u32]) -> Vec<f32> {
        match self {
            Self::Fsha(fsha) => fsha.reconstruct_own(columns.gather(rows), rows.len()),
            Self::Urvfl(urvfl) => urvfl.reconstruct_own(rows),
        }
    }
}
