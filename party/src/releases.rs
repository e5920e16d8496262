//! What leaves this party, held against its policy and counted in its ledger.

use anyhow::Context;
use hashvfl_audit::{AuditTrail, LedgerTotals};
use hashvfl_core::codes::randomised_response::{DrawName, cost_of_a_draw};
use hashvfl_core::p_value::Grid;
use hashvfl_core::records::plan::CHUNK_ROWS;
use hashvfl_core::settings::OnRefusal;
use hashvfl_core::text::counted;
use hashvfl_core::{Digest, ExcludedRecords, Gradient, PackedCodes, Part, Plan, RunId};
use hashvfl_ledger::{
    Cost, EncoderIdentity, Epsilon, Flow, FlowKind, LeakageFound, Ledger, LedgerError, LedgerOptions, Policy,
    PolicyRefusal, RedbStore, Refused, ReleaseDigest, RowBlock, Volume,
};
use hashvfl_monitor::{Budget, Spent};
use tracing::warn;

use crate::config::PartyConfig;
use crate::detectors::AnomalyScorer;
use crate::noise::{AskedRecords, Noise};
use crate::prepare::Prepared;
use crate::{answer, leakage};

/// The policy of `config`, which admits its run, its smallest answer, and that the bottom model is fitted on the cohort.
pub fn policy(config: &PartyConfig, prepared: &Prepared) -> anyhow::Result<Policy> {
    let plan = &prepared.plan;
    let policy = trained_policy(config, plan)?;
    policy.check_learning(plan.part(Part::CohortTrain).len())?;
    leakage::check_policy(&policy, config, plan.part(Part::CohortTrain).len(), Some(prepared))?;
    Ok(policy)
}

/// The same where nothing is fitted any more.
fn trained_policy(config: &PartyConfig, plan: &Plan) -> anyhow::Result<Policy> {
    let policy = serving_policy(config, plan.records())?;
    policy.check_batch(smallest_answer(plan))?;
    let run = &config.run;
    let most = (u64::from(run.epochs) + u64::from(run.refits())) * config.code_form().bits() as u64;
    if let Some(allowed) = policy.bits_per_record.filter(|allowed| *allowed < most) {
        let then = match run.on_refusal {
            OnRefusal::End => "the run will end when they are used up",
            OnRefusal::LeaveOut => "records that would exceed the limit are excluded",
        };
        warn!(
            "the run may ask for {} per record, but the policy allows {allowed} per record over all runs \
             (bits_per_record): {then}",
            counted(most, "bit")
        );
    }
    let most = run.epochs + u32::from(run.refits());
    if let Some(allowed) = policy.encodings_per_record.filter(|allowed| *allowed < most) {
        warn!(
            "the run may ask for {} per record, but the policy allows {allowed} per record over all runs \
             (encodings_per_record)",
            counted(most, "code")
        );
    }
    Ok(policy)
}

/// The policy of `config` for serving `records` records: it admits the run and what is sent beside codes, and is asked
/// again at each request.
pub fn serving_policy(config: &PartyConfig, records: usize) -> anyhow::Result<Policy> {
    let policy = config.policy.as_deref().map_or_else(|| Ok(Policy::default()), Policy::read)?;
    policy.admit(config.run_id.as_str(), records)?;
    if let Some(path) = &config.policy {
        policy.check_approval(path, config.run.to_settings().digest(), records)??;
    }
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

/// The party's ledger at work, the name of the encoder that it counts for, and its flips.
pub struct ReleaseLedger {
    pub(crate) ledger: Ledger<RedbStore>,
    pub(crate) encoder: EncoderIdentity,
    pub(crate) noise: Option<Noise>,
    run: RunId,
    settings: Digest,
    context: Digest,
}

impl ReleaseLedger {
    /// Opens the ledger for a run over the records of `prepared`, or makes it. It is told, for good, which records the
    /// bottom model, its preprocessing and the party's detectors are fitted on: also those that the run goes on without,
    /// which have shaped the preprocessing, and also without randomised response, since a later run may have it.
    pub fn open(config: &PartyConfig, prepared: &Prepared) -> anyhow::Result<Self> {
        let mut releases = Self::open_under(policy(config, prepared)?, config, prepared, 0)?;
        releases.ledger.check_refused(Some(config.run_id.as_str()))?;
        releases.ledger.learn_from(prepared.plan.part(Part::CohortTrain))?;
        if config.detectors.is_some() {
            releases.ledger.learn_from(prepared.plan.part(Part::Calibration))?;
        }
        releases.learns(prepared);
        Ok(releases)
    }

    /// What the policy says.
    pub fn policy(&self) -> &Policy {
        self.ledger.policy()
    }

    /// Holds what codes tell against the policy; a refusal is counted.
    pub fn check_leakage(&mut self, found: &LeakageFound<'_>) -> anyhow::Result<()> {
        Ok(self.ledger.check_leakage(self.run.as_str(), found)?)
    }

    /// Opens the ledger to encode the records of `prepared` with its trained encoder, or makes it.
    pub fn open_to_encode(config: &PartyConfig, prepared: &Prepared) -> anyhow::Result<Self> {
        let policy = trained_policy(config, &prepared.plan)?;
        leakage::check_policy(&policy, config, prepared.ids.len(), None)?;
        let mut releases = Self::open_under(policy, config, prepared, 0)?;
        releases.ledger.check_refused(None)?;
        releases.freeze(prepared, prepared.digest());
        Ok(releases)
    }

    /// Opens the ledger to serve the records of `prepared` with its frozen encoder and the p-values of `scorer`, or
    /// makes it. A code and its p-value are one release.
    pub fn open_to_serve(
        config: &PartyConfig,
        prepared: &Prepared,
        scorer: Option<&AnomalyScorer>,
    ) -> anyhow::Result<Self> {
        let policy = serving_policy(config, prepared.ids.len())?;
        // By the table of the training: how many records are served does not matter.
        leakage::check_policy(&policy, config, usize::MAX, None)?;
        let mut releases = Self::open_under(policy, config, prepared, config.p_value_bits())?;
        releases.ledger.check_refused(None)?;
        let encoder = prepared.digest();
        let encoder = match scorer {
            Some(scorer) => Digest::of_parts([encoder.0.as_slice(), &scorer.digest().0]),
            None => encoder,
        };
        releases.freeze(prepared, encoder);
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
        let form = config.code_form();
        let epsilon = cost_of_a_draw(run, form).filter(|_| p_value_bits == 0).and_then(Epsilon::new);
        let cost = Cost { bits: (form.bits() + p_value_bits) as u32, epsilon };
        let flows = vec![(Flow::new(config.run_id.as_str(), FlowKind::Codes), cost)];
        // Before the ledger is made: without its key nothing can be sent.
        let noise = Noise::open(config, prepared)?;
        let store = RedbStore::open_or_create(&config.ledger)?;
        let terms = LedgerOptions { policy, flows };
        let ledger = Ledger::open(store, prepared.table_ids(), &prepared.contents, terms)?;
        let own = serde_json::to_vec(&config.encoder).context("the encoder's settings")?;
        let version = env!("CARGO_PKG_VERSION").as_bytes();
        let settings = run.to_settings().digest();
        let context = Digest::of_parts([settings.0.as_slice(), &own, version]);
        let encoder = EncoderIdentity { digest: context, frozen: false };
        Ok(Self { ledger, encoder, noise, run: config.run_id.clone(), settings, context })
    }

    /// What the ledger counts in all.
    pub fn counted(&self) -> LedgerTotals {
        let Volume { items, bits } = self.ledger.total();
        LedgerTotals { items, bits }
    }

    /// Opens the audit trail beside the ledger, which must not be an older one than the trail knows.
    ///
    /// # Errors
    /// If it is, or the trail cannot be read or written, or somebody changed it.
    pub fn audit_trail(&self, config: &PartyConfig) -> anyhow::Result<AuditTrail> {
        let audit = config.audit_trail()?;
        audit.check_counted(self.counted(), &config.ledger)?;
        Ok(audit)
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

    /// The encoder of `prepared` is frozen for good. With flips it never repeats itself: what it answered is kept.
    pub fn freeze(&mut self, prepared: &Prepared, digest: Digest) {
        self.encoder = match &mut self.noise {
            None => EncoderIdentity { digest, frozen: true },
            Some(noise) => {
                noise.freeze(prepared);
                // All that answers are kept by, beside a record's columns.
                let key = noise.key_name();
                let digest = Digest::of_parts([self.settings.0.as_slice(), &digest.0, &key.0]);
                EncoderIdentity { digest, frozen: false }
            }
        };
    }

    /// Whether answers are kept: [`Self::answer`] charges each with its keeping.
    pub fn keeps_answers(&self) -> bool {
        self.noise.as_ref().is_some_and(Noise::is_frozen)
    }

    /// What flips leave of a latent's expected value.
    pub fn expectation(&self) -> f32 {
        self.noise.as_ref().map_or(1.0, Noise::expectation)
    }

    /// Makes `values` of what is asked for, with these `columns`, the signs that are sent, and names each draw; values stay
    /// as they are without randomised response.
    pub fn flip(
        &self,
        prepared: &Prepared,
        asked: &AskedRecords,
        columns: &[f32],
        values: &mut [f32],
    ) -> Option<Vec<DrawName>> {
        self.noise.as_ref().map(|noise| noise.flip(prepared, asked, columns, values))
    }

    /// Records that the policy does not allow all of `plan` for.
    pub fn excluded(&self, plan: &Plan) -> ExcludedRecords {
        ExcludedRecords::of(&self.ledger.beyond(&plan.releases()), plan.records())
    }

    /// Whether the policy admits the smallest answer of `plan`.
    pub fn check_answers(&self, plan: &Plan) -> anyhow::Result<()> {
        Ok(self.ledger.policy().check_batch(smallest_answer(plan))?)
    }

    /// Which of `rows` of `prepared` the policy refuses.
    pub fn refused(&self, prepared: &Prepared, rows: &[u32]) -> anyhow::Result<Refused> {
        let kept = if self.keeps_answers() {
            answer::are_kept(self, prepared, rows)?
        } else {
            vec![false; rows.len()]
        };
        Ok(self.ledger.refused(rows, &kept, &self.encoder))
    }

    /// Before codes of `rows` are computed; `block` holds them and those that will be asked for next. Nothing is reserved
    /// where answers are kept.
    pub fn reserve(&mut self, rows: &[u32], block: RowBlock<'_>) -> anyhow::Result<()> {
        if self.keeps_answers() {
            return Ok(());
        }
        Ok(self.ledger.reserve(rows, block, &self.encoder)?)
    }

    /// Whether codes of `rows` may be sent now and counted by [`Self::release`] afterwards.
    pub fn are_reserved(&self, rows: &[u32]) -> bool {
        self.ledger.is_reserved(rows)
    }

    /// Before `codes` of `rows` are sent, or after where [`Self::are_reserved`]; `draws` names their flips, where there are
    /// any.
    pub fn release(
        &mut self,
        rows: &[u32],
        codes: &PackedCodes,
        draws: Option<&[DrawName]>,
    ) -> anyhow::Result<()> {
        let digest = |row: usize| match draws {
            Some(draws) => ReleaseDigest::of_draw(&self.encoder, &draws[row], &codes.row_bytes(row)),
            None => ReleaseDigest::of(&self.encoder, &codes.row_bytes(row)),
        };
        let digests: Vec<ReleaseDigest> = (0..codes.rows()).map(digest).collect();
        Ok(self.ledger.release(rows, &self.encoder, &digests)?)
    }

    /// Before p-values of `rows` are sent without codes, by `grid`: they are charged, without a finite epsilon, since they have
    /// no noise. Where the policy refuses them its words are returned: nothing may be sent then.
    pub fn spend_p_values(&mut self, rows: &[u32], grid: Grid) -> anyhow::Result<Option<PolicyRefusal>> {
        match self.ledger.spend_apart(rows, Cost { bits: grid.bits() as u32, epsilon: None }) {
            Ok(()) => Ok(None),
            Err(LedgerError::Refused(refusal)) => Ok(Some(refusal)),
            Err(error) => Err(error.into()),
        }
    }

    /// What the policy allows of each record in its life, and the most that any of them has used up.
    pub fn budget(&self) -> Budget {
        let (policy, most) = (self.ledger.policy(), self.ledger.most_released());
        let epsilon = |epsilon: Epsilon| epsilon.units() as f64 / 1e9;
        let spent = |used, allowed| Spent { used, allowed };
        Budget {
            bits: spent(most.bits as f64, policy.bits_per_record.map(|bits| bits as f64)),
            encodings: spent(f64::from(most.encodings), policy.encodings_per_record.map(f64::from)),
            epsilon: spent(epsilon(most.epsilon), policy.epsilon_per_record.map(epsilon)),
            without_epsilon: most.without_epsilon as u64,
        }
    }

    /// Before a run of which something has left goes on.
    pub fn resume(&mut self, run: &RunId) -> anyhow::Result<()> {
        Ok(self.ledger.resume(run.as_str())?)
    }

    /// Gives back what was reserved and not sent.
    pub fn settle(&mut self) -> anyhow::Result<()> {
        Ok(self.ledger.settle()?)
    }
}
