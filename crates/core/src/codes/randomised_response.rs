//! Randomised response on the latents of a code. Where they are signs, each bit is sent flipped with probability
//! `1 / (1 + e^epsilon)` (Warner 1965). Where they have k levels, each is sent as another level with probability
//! `(k - 1) / (e^epsilon + k - 1)`, all others alike (k-ary randomised response, Kairouz, Bonawitz and Ramage 2016): bits of
//! a level, flipped one by one, would tell neighbouring levels apart no better than distant ones, and cost epsilon each.
//!
//! The unit is one id's columns at one version. Where the encoder is fixed independently of them, one draw of d latents
//! costs at most `d * epsilon` of differential privacy, and draws add up, adaptively asked or not. Where a bottom model or its
//! preprocessing is fitted on the record, no finite epsilon holds: other records' bits move with it.
//!
//! Flips come from a pseudo-random function of the party's secret key over a whole [`FlipRequest`]: the encoder as it was, the
//! place, and ids and columns of all its records, in their order. So only a byte-identical repeat of a request gives the
//! same flips again. Equal columns under two ids, or one record in two requests, are flipped independently, and
//! comparing two codes cancels no flip.

use rand::rngs::ChaCha20Rng;
use rand::{Rng, SeedableRng};

use crate::codes::form::CodeForm;
use crate::digest::Digest;
use crate::name::RunId;
use crate::records::canonical::CanonicalId;
use crate::records::plan::{Part, RowSelection};
use crate::settings::RunSettings;

/// Bytes of a party's key.
pub const KEY_BYTES: usize = 32;

/// A party's randomised response, which flips bits or changes levels. Its `Debug` shows no key.
#[derive(Clone)]
pub struct Response {
    key: [u8; KEY_BYTES],
    form: CodeForm,
    /// A latent is changed where a draw is below this: at least the probability times 2^32.
    below: u64,
}

/// Where a request has its place: two requests at one place are the same one.
#[derive(Debug, Clone, Copy)]
pub enum RequestPlace<'a> {
    /// Records that a run asks for.
    Run {
        /// The run.
        run: &'a RunId,
        /// The records.
        rows: RowSelection,
    },
    /// Inputs that are drawn at the end of a run.
    Drawn {
        /// The run.
        run: &'a RunId,
        /// The chunk of them.
        chunk: u32,
    },
    /// Records that are encoded into a file.
    File {
        /// The run whose model encodes them.
        run: &'a RunId,
        /// Their part.
        part: Part,
        /// The chunk of it.
        chunk: u32,
    },
    /// Records that are asked for while predictions are served.
    Serving {
        /// Drawn anew by each process.
        process: &'a [u8; 32],
        /// Number of this draw in it.
        draw: u64,
    },
}

impl RequestPlace<'_> {
    fn digest(&self) -> Digest {
        let (what, owner, numbers): (&str, &[u8], [u64; 2]) = match *self {
            Self::Run { run, rows: RowSelection::Batch { epoch, batch } } => {
                ("batch", run.as_str().as_bytes(), [epoch.into(), batch.into()])
            }
            Self::Run { run, rows: RowSelection::Chunk { part, chunk } } => {
                ("chunk", run.as_str().as_bytes(), [number(part), chunk.into()])
            }
            Self::Drawn { run, chunk } => ("drawn", run.as_str().as_bytes(), [chunk.into(), 0]),
            Self::File { run, part, chunk } => {
                ("file", run.as_str().as_bytes(), [number(part), chunk.into()])
            }
            Self::Serving { process, draw } => ("serving", process.as_slice(), [draw, 0]),
        };
        let [one, other] = numbers.map(u64::to_le_bytes);
        Digest::of_parts([what.as_bytes(), owner, &one, &other])
    }
}

fn number(part: Part) -> u64 {
    Part::ALL.iter().position(|other| *other == part).unwrap_or_default() as u64
}

/// All that decides which bits of a request are flipped, beside the key.
pub struct FlipRequest<'a> {
    /// Digest of everything that turns columns into codes: weights, statistics, thresholds, preprocessing, and while it
    /// learns what it learns by; settings, version and device.
    pub encoder: Digest,
    /// Its place.
    pub place: RequestPlace<'a>,
    /// Ids of its records, in order; none for inputs that are no records.
    pub ids: &'a [CanonicalId],
    /// Their encoded columns, one record after the other.
    pub columns: &'a [f32],
}

impl FlipRequest<'_> {
    fn digest(&self) -> Digest {
        let ids = Digest::of_parts(self.ids.iter().map(|id| id.as_str().as_bytes()));
        let columns: Vec<u8> = self.columns.iter().flat_map(|value| value.to_le_bytes()).collect();
        Digest::of_parts([self.encoder.0.as_slice(), &self.place.digest().0, &ids.0, &columns])
    }
}

/// Names one record's draw of flips, and tells nothing of them: equal names, equal flips.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct DrawName(Digest);

impl DrawName {
    /// Its bytes.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0.0
    }
}

impl std::fmt::Debug for DrawName {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("DrawName(..)")
    }
}

impl Response {
    /// Changes each latent of codes of `form` with the probability that `epsilon` a latent asks for, above 0.
    pub fn new(key: [u8; KEY_BYTES], epsilon: f64, form: CodeForm) -> Self {
        let probability = (Self::change_probability(epsilon, form) * 2_f64.powi(32)).ceil() as u64;
        // Which other level it is comes from a draw of 32 bits, too, which leaves some levels a little less likely: so much
        // more often a level is changed at all.
        let rounding = if form.is_signs() { 0 } else { form.levels() as u64 };
        Self { key, form, below: probability + rounding }
    }

    /// The probability with which a latent is sent as another level than it has: `1 / (1 + e^epsilon)` of a sign.
    pub fn change_probability(epsilon: f64, form: CodeForm) -> f64 {
        let others = form.thresholds() as f64;
        others / (others + epsilon.exp())
    }

    /// What is left of a latent's expected value once changes are drawn: of a sign, twice the share that is not flipped,
    /// less 1.
    pub fn expectation(&self) -> f32 {
        let levels = self.form.levels() as f64;
        (1.0 - levels / (levels - 1.0) * self.below as f64 / 2_f64.powi(32)) as f32
    }

    /// Names the key, and tells nothing of it.
    pub fn key_name(&self) -> Digest {
        Digest::of_parts([b"hashvfl randomised response key".as_slice(), &self.key])
    }

    /// Makes `values` [rows, bits] of the records of `request`, whose signs are codes, the signs that are sent, +1 for 0 or
    /// more and -1 for less or those of another level, and names each record's draw. `bits` is the length of a code.
    ///
    /// # Panics
    /// If `values` are no whole rows, or the request has ids and not one for each.
    pub fn respond(&self, request: &FlipRequest, values: &mut [f32], bits: usize) -> Vec<DrawName> {
        let rows = values.len() / bits;
        assert!(values.len().is_multiple_of(bits), "whole rows of {bits} values");
        assert!(request.ids.is_empty() || request.ids.len() == rows, "an id for each record");
        let request = request.digest();
        let mut names = Vec::with_capacity(rows);
        for (position, values) in (0_u64..).zip(values.chunks_exact_mut(bits)) {
            let position = position.to_le_bytes();
            let parts = [b"hashvfl randomised response 2".as_slice(), &self.key, &request.0, &position];
            let draw = Digest::of_parts(parts);
            self.flip(draw, values);
            // The draw itself is the seed of the flips, so its name is another digest.
            names.push(DrawName(Digest::of_parts([b"name".as_slice(), &draw.0])));
        }
        names
    }

    fn flip(&self, draw: Digest, values: &mut [f32]) {
        let mut draws = ChaCha20Rng::from_seed(draw.0);
        if !self.form.is_signs() {
            for bits in values.chunks_exact_mut(self.form.bits_per_latent()) {
                self.change(&mut draws, bits);
            }
            return;
        }
        for value in values {
            let flipped = u64::from(draws.next_u32()) < self.below;
            // What is no number stays none, so that nobody takes it for a bit.
            if value.is_nan() {
                continue;
            }
            *value = if (*value >= 0.0) == flipped { -1.0 } else { 1.0 };
        }
    }
}

impl Response {
    /// Sends a latent's `bits` as they are, or as those of any other level.
    fn change(&self, draws: &mut ChaCha20Rng, bits: &mut [f32]) {
        let (changes, other) = (u64::from(draws.next_u32()) < self.below, u64::from(draws.next_u32()));
        // What is no number stays none, so that nobody takes it for a level.
        if bits.iter().any(|bit| bit.is_nan()) {
            return;
        }
        let level = CodeForm::level(bits);
        let step = 1 + ((other * self.form.thresholds() as u64) >> 32) as usize;
        let sent = if changes { (level + step) % self.form.levels() } else { level };
        self.form.put_level(sent, bits);
    }
}

impl std::fmt::Debug for Response {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Response").finish_non_exhaustive()
    }
}

/// What a draw of a code of `form` costs in a run under `settings`: epsilon. `None` without randomised response.
pub fn cost_of_a_draw(settings: &RunSettings, form: CodeForm) -> Option<f64> {
    settings.randomised_response.map(|latent| latent * form.latents() as f64)
}

/// What randomised response costs a record with codes of `form` in a run under `settings`, in words: per bit or latent,
/// per draw, and over the run's life. `None` without it.
pub fn cost_in_words(settings: &RunSettings, form: CodeForm) -> Option<String> {
    let (latent, draw) = settings.randomised_response.zip(cost_of_a_draw(settings, form))?;
    let each = if form.is_signs() { "bit" } else { "latent" };
    let trained = draw * f64::from(settings.epochs + u32::from(settings.refits()));
    Some(format!(
        "epsilon {latent} per {each}, {draw} per draw; over this run, {draw} for a record that is encoded once, and \
         no finite epsilon (formal sum {trained}) for a record that the bottom models are fitted on"
    ))
}

#[cfg(test)]
#[path = "randomised_response_tests.rs"]
mod tests;
