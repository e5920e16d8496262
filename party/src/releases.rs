//! What leaves this party, held against its policy and counted in its ledger.

use anyhow::Context;
use hashvfl_core::records::plan::CHUNK_ROWS;
use hashvfl_core::settings::OnRefusal;
use hashvfl_core::{Digest, ExcludedRecords, Gradient, PackedCodes, Part, Plan};
use hashvfl_ledger::{
    Cost, EncoderIdentity, Epsilon, Flow, FlowKind, Ledger, Policy, RedbStore, Refused, ReleaseDigest, Terms,
};
use tracing::warn;

use crate::config::PartyConfig;
use crate::detectors::AnomalyScorer;
use crate::prepare::Prepared;

/// The policy of `config`, which admits its run and its smallest answer.
pub fn policy(config: &PartyConfig, plan: &Plan) -> anyhow::Result<Policy> {
    let policy = serving_policy(config, plan.records())?;
    policy.check_batch(smallest_answer(plan))?;
    let run = &config.run;
    let most = (u64::from(run.epochs) + u64::from(run.refits())) * run.bits as u64;
    if let Some(allowed) = policy.bits_per_record.filter(|allowed| *allowed < most) {
        let then = match run.on_refusal {
            OnRefusal::End => "the run ends when they are used up",
            OnRefusal::LeaveOut => "records that it could ask for more of are left out",
        };
        warn!("the run may ask for {most} bits of a record, the policy allows {allowed} in its life: {then}");
    }
    Ok(policy)
}

/// The policy of `config` for serving `records` records: it admits the run and what is sent beside codes, and is asked
/// again at each request.
pub fn serving_policy(config: &PartyConfig, records: usize) -> anyhow::Result<Policy> {
    let policy = config.policy.as_deref().map_or_else(|| Ok(Policy::default()), Policy::read)?;
    policy.admit(config.run_id.as_str(), records)?;
    policy.check_p_values(config.p_value_bits(), records)?;
    Ok(policy)
}

/// Records of the smallest request that every run of this plan holds.
fn smallest_answer(plan: &Plan) -> usize {
    let batch = plan.part(Part::CohortTrain).len() / plan.batches() as usize;
    let last_chunk = |part| match plan.part(part).len() {
        0 => None,
        records => Some((records - 1) % CHUNK_ROWS + 1),
    };
    [Part::CohortValidation, Part::Calibration, Part::Test]
        .into_iter()
        .filter_map(last_chunk)
        .fold(batch, usize::min)
}

/// The party's ledger at work, and the name of the encoder that it counts for.
pub struct Releases {
    ledger: Ledger<RedbStore>,
    encoder: EncoderIdentity,
    context: Digest,
}

impl Releases {
    /// Opens the ledger for the records of `prepared`, or makes it.
    pub fn open(config: &PartyConfig, prepared: &Prepared) -> anyhow::Result<Self> {
        Self::open_under(policy(config, &prepared.plan)?, config, prepared, 0)
    }

    /// Opens the ledger to serve the records of `prepared` with its frozen encoder and the p-values of `scorer`, or
    /// makes it. A code and its p-value are one release.
    pub fn open_to_serve(
        config: &PartyConfig,
        prepared: &Prepared,
        scorer: Option<&AnomalyScorer>,
    ) -> anyhow::Result<Self> {
        let policy = serving_policy(config, prepared.ids.len())?;
        let mut releases = Self::open_under(policy, config, prepared, config.p_value_bits())?;
        let encoder = prepared.digest();
        releases.freeze(match scorer {
            Some(scorer) => Digest::of_parts([encoder.0.as_slice(), &scorer.digest().0]),
            None => encoder,
        });
        Ok(releases)
    }

    fn open_under(
        policy: Policy,
        config: &PartyConfig,
        prepared: &Prepared,
        p_value_bits: usize,
    ) -> anyhow::Result<Self> {
        let run = &config.run;
        // Without randomised response no finite epsilon holds, and p-values are sent without.
        let epsilon = run.randomised_response.filter(|_| p_value_bits == 0);
        let epsilon = epsilon.map(|epsilon| epsilon * run.bits as f64).and_then(Epsilon::new);
        let cost = Cost { bits: (run.bits + p_value_bits) as u32, epsilon };
        let flows = vec![Flow::new(config.run_id.as_str(), FlowKind::Codes)];
        let store = RedbStore::open_or_create(&config.ledger)?;
        let ids = prepared.ids.iter().map(String::as_str);
        let ledger = Ledger::open(store, ids, Terms { policy, cost, flows })?;
        let own = serde_json::to_vec(&config.encoder).context("the encoder's settings")?;
        let version = env!("CARGO_PKG_VERSION").as_bytes();
        let context = Digest::of_parts([run.to_settings().digest().0.as_slice(), &own, version]);
        let encoder = EncoderIdentity { digest: context, frozen: false };
        let mut releases = Self { ledger, encoder, context };
        releases.learns(prepared);
        Ok(releases)
    }

    /// The encoder of `prepared` learns from here on: named by all that it is.
    pub fn learns(&mut self, prepared: &Prepared) {
        let digest = Digest::of_parts([self.context.0.as_slice(), &prepared.learning_digest().0]);
        self.encoder = EncoderIdentity { digest, frozen: false };
    }

    /// The encoder has learned from `gradient`. What it is now follows from what it was and the gradient, so that
    /// its weights need not be hashed at every step.
    pub fn learned(&mut self, gradient: &Gradient) {
        self.encoder.digest = Digest::of_parts([self.encoder.digest.0.as_slice(), &gradient.to_bytes()]);
    }

    /// The encoder is frozen for good.
    pub fn freeze(&mut self, digest: Digest) {
        self.encoder = EncoderIdentity { digest, frozen: true };
    }

    /// Records that the policy does not allow all of `plan` for.
    pub fn excluded(&self, plan: &Plan) -> ExcludedRecords {
        let beyond = plan.releases().into_iter().flat_map(|(rows, times)| self.ledger.beyond(rows, times));
        ExcludedRecords::of(&beyond.collect::<Vec<_>>(), plan.records())
    }

    /// Whether the policy admits the smallest answer of `plan`.
    pub fn check_answers(&self, plan: &Plan) -> anyhow::Result<()> {
        Ok(self.ledger.policy().check_batch(smallest_answer(plan))?)
    }

    /// Which of `rows` the policy refuses.
    pub fn refused(&self, rows: &[u32]) -> Refused {
        self.ledger.refused(rows, &self.encoder)
    }

    /// Before codes of `rows` are computed; `block` holds them and those that will be asked for next.
    pub fn reserve(&mut self, rows: &[u32], block: (&[u32], u32)) -> anyhow::Result<()> {
        Ok(self.ledger.reserve(rows, block, &self.encoder)?)
    }

    /// Whether codes of `rows` may be sent now and counted by [`Self::release`] afterwards.
    pub fn are_reserved(&self, rows: &[u32]) -> bool {
        self.ledger.is_reserved(rows)
    }

    /// Before `codes` of `rows` are sent, or after where [`Self::are_reserved`].
    pub fn release(&mut self, rows: &[u32], codes: &PackedCodes) -> anyhow::Result<()> {
        self.release_with(rows, codes, None)
    }

    /// The same for `codes` that have p-values with them.
    pub fn release_with(
        &mut self,
        rows: &[u32],
        codes: &PackedCodes,
        p_values: Option<&PackedCodes>,
    ) -> anyhow::Result<()> {
        let digest = |row| {
            let mut bytes = codes.row_bytes(row);
            bytes.extend(p_values.into_iter().flat_map(|p_values| p_values.row_bytes(row)));
            ReleaseDigest::of(&self.encoder, &bytes)
        };
        let digests: Vec<ReleaseDigest> = (0..codes.rows()).map(digest).collect();
        Ok(self.ledger.release(rows, &self.encoder, &digests)?)
    }

    /// Gives back what was reserved and not sent.
    pub fn settle(&mut self) -> anyhow::Result<()> {
        Ok(self.ledger.settle()?)
    }
}
