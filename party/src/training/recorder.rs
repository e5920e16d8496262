//! A transcript of what this party saw, where the config asks for one: its own codes and their gradients.

use hashvfl_core::records::run_records::digest_of_run;
use hashvfl_core::{PackedCodes, PartyName, RowSelection};
use hashvfl_transcript::{
    RecordedBatches, RecordedKind, RecordedStep, SentValues, TranscriptError, TranscriptHeader,
    TranscriptMark, TranscriptSpool,
};

use crate::config::PartyConfig;
use crate::prepare::Prepared;
use crate::state::StateFolder;

/// A party's transcript in the making.
pub struct Recorder {
    transcript: TranscriptSpool,
    party: [PartyName; 1],
    /// The last training batch: its epoch and records.
    batch: Option<(u32, Vec<u32>)>,
}

impl Recorder {
    /// Begins a transcript, where the config asks for one, or goes on with it from a checkpoint's mark.
    pub fn open(
        config: &PartyConfig,
        prepared: &Prepared,
        state: &StateFolder,
        from: Option<&TranscriptMark>,
    ) -> Result<Option<Self>, TranscriptError> {
        if !config.transcript {
            return Ok(None);
        }
        let (party, batch) = ([config.name.clone()], None);
        if let Some(mark) = from {
            let transcript = TranscriptSpool::resume(state.transcript(), mark)?;
            return Ok(Some(Self { transcript, party, batch }));
        }
        let records = digest_of_run(&config.run_id, prepared.ids.iter().map(String::as_str));
        let header = TranscriptHeader::new(
            config.run_id.clone(),
            config.name.as_str(),
            &config.run,
            SentValues::Codes,
            records,
        );
        let header =
            TranscriptHeader { encoding_sha256: Some(prepared.encoding_digest().to_string()), ..header };
        let transcript = TranscriptSpool::create(state.transcript(), &header)?;
        Ok(Some(Self { transcript, party, batch }))
    }

    /// Keeps codes of `records`, which a request for `rows` asked for.
    pub fn codes(
        &mut self,
        step: u64,
        rows: RowSelection,
        records: &[u32],
        codes: &PackedCodes,
    ) -> Result<(), TranscriptError> {
        if let RowSelection::Batch { epoch, .. } = rows {
            self.batch = Some((epoch, records.to_vec()));
        }
        let step = RecordedStep { number: step, kind: RecordedKind::of(rows) };
        let codes = RecordedBatches::Codes(std::slice::from_ref(codes));
        self.transcript.record(step, records, &self.party, &codes)
    }

    /// Keeps the gradient of the last batch's codes.
    pub fn gradient(&mut self, step: u64, gradient: &[f32]) -> Result<(), TranscriptError> {
        let Some((epoch, records)) = self.batch.take() else { return Ok(()) };
        let step = RecordedStep { number: step, kind: RecordedKind::Gradient { epoch } };
        self.transcript.record(step, &records, &self.party, &RecordedBatches::Floats(vec![gradient]))
    }

    /// How much there is, durably.
    pub fn mark(&mut self) -> Result<TranscriptMark, TranscriptError> {
        self.transcript.mark()
    }

    /// Gives the file its name.
    pub fn finish(self) -> Result<(), TranscriptError> {
        self.transcript.finish()
    }
}
