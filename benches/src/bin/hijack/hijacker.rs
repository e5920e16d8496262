//! A hijacker at work on one run, with labels or without.

use hashvfl_attack::active::fsha::{Auxiliary, Fsha};
use hashvfl_attack::active::urvfl::{Known, Urvfl};
use hashvfl_data::Matrix;
use hashvfl_learning::Encoder;
use hashvfl_learning::bottom::BottomError;

use crate::sender::Sender;

/// Who hijacks.
pub enum Hijacker<'a> {
    /// FSHA, which knows columns alone.
    Fsha(Box<Fsha>),
    /// URVFL, which knows labels and columns of its own organisation too.
    Urvfl(Box<Urvfl<'a>>),
}

impl<'a> Hijacker<'a> {
    /// The hijacker that `sender` is, if it is one, in a run of so many `updates` of which `steps` are made. `model` gives a bottom
    /// model of the victim's architecture that learns for so many updates.
    pub fn new(
        sender: &Sender,
        known: Known<'a>,
        updates: u64,
        steps: u64,
        model: impl FnOnce(u64) -> Result<Encoder, BottomError>,
    ) -> anyhow::Result<Option<Self>> {
        Ok(match sender {
            Sender::Hijacker { config, .. } => {
                let values = known.columns.gather(known.auxiliary);
                let auxiliary = Auxiliary { values, columns: known.columns.cols(), scales: Vec::new() };
                Some(Self::Fsha(Box::new(Fsha::new(config.clone(), model(updates)?, auxiliary))))
            }
            Sender::Labelled { config, .. } => {
                let surrogate = model(config.updates(steps))?;
                Some(Self::Urvfl(Box::new(Urvfl::new(config, surrogate, known, steps))))
            }
            _ => None,
        })
    }

    /// The gradient [rows, latents] that is sent for the values [rows, latents] of codes of `rows`.
    pub fn gradient(&mut self, rows: &[u32], codes: &[f32]) -> Vec<f32> {
        match self {
            Self::Fsha(fsha) => fsha.gradient(codes),
            Self::Urvfl(urvfl) => urvfl.gradient(rows, codes),
        }
    }

    /// What its decoder makes of these.
    pub fn reconstruct(&self, codes: &[f32], rows: &[u32]) -> Vec<f32> {
        match self {
            Self::Fsha(fsha) => fsha.reconstruct(codes, rows.len()),
            Self::Urvfl(urvfl) => urvfl.reconstruct(codes, rows),
        }
    }

    /// What its decoder makes of the codes that its own model gives `rows` of `columns`.
    pub fn reconstruct_own(&self, columns: &Matrix, rows: &[u32]) -> Vec<f32> {
        match self {
            Self::Fsha(fsha) => fsha.reconstruct_own(columns.gather(rows), rows.len()),
            Self::Urvfl(urvfl) => urvfl.reconstruct_own(rows),
        }
    }
}
