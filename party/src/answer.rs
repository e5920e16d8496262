//! What a frozen encoder answers about records. Without randomised response, the answer is computed each time and is always
//! the same. With it, the answer is stored in the ledger and repeated unchanged, because a second draw would reveal more.

use anyhow::{Context, ensure};
use hashvfl_core::PackedCodes;
use hashvfl_core::records::plan::CHUNK_ROWS;
use hashvfl_data::TableError;
use hashvfl_ledger::{AnswerName, EncoderIdentity, ReleaseDigest};

use crate::detectors::AnomalyScorer;
use crate::noise::AskedRecords;
use crate::prepare::Prepared;
use crate::releases::ReleaseLedger;

/// What leaves about some records.
pub struct ReleasedAnswer {
    /// Their codes.
    pub codes: PackedCodes,
    /// Their p-values, where they are sent.
    pub p_values: Option<PackedCodes>,
}

/// What a frozen encoder makes of some records.
struct EncodedRecords {
    columns: Vec<f32>,
    values: Vec<f32>,
    p_values: Option<PackedCodes>,
}

impl EncodedRecords {
    fn of(prepared: &Prepared, scorer: Option<&AnomalyScorer>, rows: &[u32]) -> anyhow::Result<Self> {
        let columns = prepared.columns.gather(rows)?;
        let embedding = prepared.encoder.values(columns.clone(), rows.len());
        // A NaN would travel as an innocent bit.
        ensure!(
            embedding.iter().all(|value| value.is_finite()),
            "the bottom model gives values that are not finite: look for extreme values in the columns"
        );
        let p_values = scorer.map(|scorer| scorer.judge(&columns, &embedding)).transpose()?;
        Ok(Self { columns, values: prepared.encoder.code(embedding), p_values })
    }
}

impl ReleaseLedger {
    /// What the frozen encoder of `prepared` answers, with p-values of `scorer`. It is charged, and kept where it is to be
    /// sent again as it is, before this returns.
    ///
    /// # Errors
    /// If the policy does not allow it: nothing may be sent then.
    pub fn answer(
        &mut self,
        prepared: &Prepared,
        asked: &AskedRecords,
        scorer: Option<&AnomalyScorer>,
    ) -> anyhow::Result<ReleasedAnswer> {
        if self.keeps_answers() {
            return self.answer_from_kept(prepared, asked, scorer);
        }
        let EncodedRecords { values, p_values, .. } = EncodedRecords::of(prepared, scorer, asked.rows)?;
        let codes = PackedCodes::pack(&values, prepared.encoder.bits())?;
        let answer = ReleasedAnswer { codes, p_values };
        let digest = |row| ReleaseDigest::of(&self.encoder, &answer.row_bytes(row));
        let digests: Vec<ReleaseDigest> = (0..asked.rows.len()).map(digest).collect();
        self.ledger.release(asked.rows, &self.encoder, &digests)?;
        Ok(answer)
    }

    fn answer_from_kept(
        &mut self,
        prepared: &Prepared,
        asked: &AskedRecords,
        scorer: Option<&AnomalyScorer>,
    ) -> anyhow::Result<ReleasedAnswer> {
        let names = names(self, prepared, asked.rows)?;
        let mut answers = self.ledger.kept(asked.rows, &names)?;
        let fresh: Vec<usize> = (0..answers.len()).filter(|at| answers[*at].is_none()).collect();
        let rows: Vec<u32> = fresh.iter().map(|at| asked.rows[*at]).collect();
        self.ledger.allow(&rows, asked.rows.len())?;
        if !rows.is_empty() {
            let EncodedRecords { columns, mut values, p_values } =
                EncodedRecords::of(prepared, scorer, &rows)?;
            let drawn = AskedRecords { rows: &rows, ..*asked };
            let draws = self.flip(prepared, &drawn, &columns, &mut values).unwrap_or_default();
            let codes = PackedCodes::pack(&values, prepared.encoder.bits())?;
            let answer = ReleasedAnswer { codes, p_values };
            let kept = fresh.iter().zip(&draws).enumerate().map(|(row, (at, draw))| {
                let bytes = answer.row_bytes(row);
                let release = ReleaseDigest::of_draw(&self.encoder, draw, &bytes);
                answers[*at] = Some(bytes.clone());
                hashvfl_ledger::KeptAnswer { name: names[*at], release, bytes }
            });
            let kept = kept.collect();
            self.ledger.keep(&rows, &self.encoder, kept)?;
        }
        let answers: Vec<Vec<u8>> = answers.into_iter().flatten().collect();
        ReleasedAnswer::of_rows(&answers, prepared.encoder.bits(), scorer.map(|scorer| scorer.grid().bits()))
            .context("answers that the ledger keeps")
    }
}

/// Which answers about `rows` are kept.
pub fn are_kept(releases: &ReleaseLedger, prepared: &Prepared, rows: &[u32]) -> anyhow::Result<Vec<bool>> {
    let mut kept = Vec::with_capacity(rows.len());
    for rows in rows.chunks(CHUNK_ROWS) {
        let names = names(releases, prepared, rows)?;
        kept.extend(releases.ledger.kept(rows, &names)?.iter().map(Option::is_some));
    }
    Ok(kept)
}

/// Names of what the frozen encoder is asked about `rows`.
fn names(releases: &ReleaseLedger, prepared: &Prepared, rows: &[u32]) -> Result<Vec<AnswerName>, TableError> {
    let (salt, EncoderIdentity { digest, .. }) = (releases.ledger.salt(), &releases.encoder);
    let columns = prepared.columns.gather(rows)?;
    let columns = columns.chunks_exact(prepared.columns.cols().max(1));
    Ok(columns.map(|columns| AnswerName::of(&salt, digest, columns)).collect())
}

impl ReleasedAnswer {
    /// What leaves about a record, in whole bytes: its code, and its p-value.
    fn row_bytes(&self, row: usize) -> Vec<u8> {
        let mut bytes = self.codes.row_bytes(row);
        bytes.extend(self.p_values.iter().flat_map(|p_values| p_values.row_bytes(row)));
        bytes
    }

    /// Reads [`Self::row_bytes`] of all records.
    fn of_rows(rows: &[Vec<u8>], bits: usize, p_value_bits: Option<usize>) -> anyhow::Result<Self> {
        let width = bits.div_ceil(8);
        let whole = width + p_value_bits.map_or(0, |bits| bits.div_ceil(8));
        ensure!(
            rows.iter().all(|row| row.len() == whole),
            "an answer of another length: the file is damaged"
        );
        let codes: Vec<&[u8]> = rows.iter().map(|row| &row[..width]).collect();
        let p_values: Vec<&[u8]> = rows.iter().map(|row| &row[width..]).collect();
        let codes = PackedCodes::from_rows(&codes, bits)?;
        let p_values = p_value_bits.map(|bits| PackedCodes::from_rows(&p_values, bits)).transpose()?;
        Ok(Self { codes, p_values })
    }
}
