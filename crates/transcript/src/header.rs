//! What a transcript says of itself.

use std::collections::BTreeMap;
use std::time::{SystemTime, UNIX_EPOCH};

use hashvfl_core::limits::MAX_BITS_PER_LATENT;
use hashvfl_core::settings::own_code;
use hashvfl_core::{CodeForm, Digest, PartyName, RunId, RunSettings};
use serde::{Deserialize, Serialize};

/// The version of the format.
pub const VERSION: u32 = 1;

/// What left the parties.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SentValues {
    /// Hash codes, over the network.
    Codes,
    /// Hash codes of parties in one process.
    SimulatedCodes,
    /// Floats of parties in one process: no setting makes a party send them.
    SimulatedFloats,
}

/// What a transcript says of itself.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TranscriptHeader {
    /// Of this format.
    pub version: u32,
    /// The run.
    pub run_id: RunId,
    /// Who recorded: `coordinator`, or a party's name.
    pub recorder: String,
    /// The parties, in the order of their codes.
    pub parties: Vec<PartyName>,
    /// Values per party and record.
    pub bits: usize,
    /// What left the parties.
    pub cut: SentValues,
    /// The run's agreed settings.
    pub settings: BTreeMap<String, String>,
    /// Their SHA-256.
    pub settings_sha256: String,
    /// Of the record ids in the order of their rows ([`hashvfl_core::records::run_records::digest_of_run`]). Absent in
    /// transcripts of earlier versions, of which nobody can say which records their rows are.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub records_sha256: Option<String>,
    /// What the party's preprocessing was, where a party recorded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub encoding_sha256: Option<String>,
    /// Names of the classes in their order, where the coordinator recorded and there are any.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub classes: Vec<String>,
    /// When it was begun, in seconds since 1970 by the recorder's clock; absent in files of older programs. Erasing
    /// rewrites a file and leaves this as it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub written_s: Option<u64>,
    /// What was erased of it since, the last at the end.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub erasures: Vec<Erasure>,
}

/// Records that were erased at one time. It says how much, not whose.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Erasure {
    /// The chain's head before.
    pub head: String,
    /// Rows that went.
    pub rows: u64,
}

impl TranscriptHeader {
    /// The header of a run that begins now, on the records of that digest
    /// ([`hashvfl_core::records::run_records::digest_of_run`]).
    pub fn new(
        run_id: RunId,
        recorder: &str,
        settings: &RunSettings,
        cut: SentValues,
        records: Digest,
    ) -> Self {
        let pairs = settings.to_settings();
        Self {
            version: VERSION,
            run_id,
            recorder: recorder.to_string(),
            parties: settings.parties.clone(),
            bits: settings.bits,
            cut,
            settings: pairs.pairs().map(|(key, value)| (key.to_string(), value.to_string())).collect(),
            settings_sha256: pairs.digest().to_string(),
            records_sha256: Some(records.to_string()),
            encoding_sha256: None,
            classes: Vec::new(),
            written_s: SystemTime::now().duration_since(UNIX_EPOCH).ok().map(|since| since.as_secs()),
            erasures: Vec::new(),
        }
    }

    /// What a party's codes are made of, as the run's settings say it: a gradient has a value for each latent.
    pub fn form_of(&self, party: &PartyName) -> CodeForm {
        let own = self.settings.get("run.codes").map_or("", String::as_str);
        if let Some(form) = own_code(own, party) {
            return form;
        }
        let told = self.settings.get("run.bits_per_latent").and_then(|text| text.parse().ok());
        let fits = |bits: &usize| (1..=MAX_BITS_PER_LATENT).contains(bits) && self.bits.is_multiple_of(*bits);
        let bits_per_latent = told.filter(fits).unwrap_or(1);
        CodeForm::new(self.bits / bits_per_latent, bits_per_latent)
    }

    /// Whether its rows are those of the records of that digest.
    pub fn is_about(&self, records: Digest) -> bool {
        self.records_sha256.as_ref() == Some(&records.to_string())
    }

    /// SHA-256 over the header as it is written: the chain's first link.
    pub(crate) fn digest(text: &str) -> Digest {
        Digest::of_parts([b"hashvfl transcript".as_slice(), text.as_bytes()])
    }
}
