//! Randomised response at work: each request's flips, drawn from all that decides what is sent.

use anyhow::Context;
use hashvfl_core::codes::randomised_response::{
    DrawName, FlipRequest, RequestPlace, Response, cost_in_words,
};
use hashvfl_core::{CanonicalId, Digest};
use tracing::info;

use crate::config::PartyConfig;
use crate::prepare::Prepared;
use crate::response_key;

/// Records that a request asks for.
#[derive(Clone, Copy)]
pub struct AskedRecords<'a> {
    /// Where the request has its place.
    pub place: RequestPlace<'a>,
    /// Its rows; none for inputs that are no records.
    pub rows: &'a [u32],
}

/// A party's flips.
pub struct Noise {
    response: Response,
    ids: Vec<CanonicalId>,
    /// Of what decides codes and stays as it is while the process lives.
    context: Digest,
    /// Of all that decides codes, once nothing of it changes any more.
    frozen: Option<Digest>,
}

impl Noise {
    /// The flips of a run with randomised response; `None` without it.
    pub fn open(config: &PartyConfig, prepared: &Prepared) -> anyhow::Result<Option<Self>> {
        let Some(response) = response_key::response(config)? else { return Ok(None) };
        if let Some(cost) = cost_in_words(&config.run, config.code_form()) {
            info!("randomised response: {cost}");
        }
        let own = serde_json::to_vec(&config.encoder).context("the encoder's settings")?;
        let threads = (config.threads as u64).to_le_bytes();
        let context = Digest::of_parts([
            config.run.to_settings().digest().0.as_slice(),
            config.name.as_str().as_bytes(),
            &own,
            &threads,
            env!("CARGO_PKG_VERSION").as_bytes(),
        ]);
        Ok(Some(Self { response, ids: prepared.table_ids().canonical().collect(), context, frozen: None }))
    }

    /// The encoder of `prepared` is frozen for good.
    pub fn freeze(&mut self, prepared: &Prepared) {
        self.frozen = Some(self.encoder(prepared));
    }

    /// Names its key.
    pub fn key_name(&self) -> Digest {
        self.response.key_name()
    }

    /// Whether the encoder is frozen: its answers are kept then.
    pub fn is_frozen(&self) -> bool {
        self.frozen.is_some()
    }

    /// What is left of a latent's expected value.
    pub fn expectation(&self) -> f32 {
        self.response.expectation()
    }

    /// Makes `values` of the records asked for, with these `columns`, the signs that are sent; names each draw.
    pub fn flip(
        &self,
        prepared: &Prepared,
        asked: &AskedRecords,
        columns: &[f32],
        values: &mut [f32],
    ) -> Vec<DrawName> {
        let encoder = self.frozen.unwrap_or_else(|| self.encoder(prepared));
        let ids: Vec<CanonicalId> = asked.rows.iter().map(|row| self.ids[*row as usize].clone()).collect();
        let request = FlipRequest { encoder, place: asked.place, ids: &ids, columns };
        self.response.respond(&request, values, prepared.encoder.bits())
    }

    fn encoder(&self, prepared: &Prepared) -> Digest {
        Digest::of_parts([self.context.0.as_slice(), &prepared.learning_digest().0])
    }
}
