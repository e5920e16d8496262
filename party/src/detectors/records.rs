//! Records as a party's detectors see them.

use hashvfl_core::records::plan::CHUNK_ROWS;
use hashvfl_data::TableError;
use hashvfl_detectors::{DetectorError, MatrixView, PartyRows};

use crate::prepare::Prepared;

/// How many values a record has.
#[derive(Debug, Clone, Copy)]
pub struct Widths {
    /// Columns.
    pub columns: usize,
    /// Latents of its code, which are values of its embedding.
    pub latents: usize,
}

impl Widths {
    /// The widths of the records of `prepared`.
    pub fn of(prepared: &Prepared) -> Self {
        Self { columns: prepared.columns.cols(), latents: prepared.encoder.form().latents() }
    }

    /// What detectors take: records with these `columns` [rows, columns] and this `embedding` [rows, latents].
    ///
    /// # Errors
    /// If the values are no whole records, are not finite, or belong to different numbers of records.
    pub fn view<'a>(self, columns: &'a [f32], embedding: &'a [f32]) -> Result<PartyRows<'a>, DetectorError> {
        PartyRows::new(
            MatrixView::new("columns", columns, self.columns)?,
            MatrixView::new("the embedding", embedding, self.latents)?,
        )
    }
}

/// Records with their columns and embeddings.
pub struct OwnedRows {
    columns: Vec<f32>,
    embedding: Vec<f32>,
    widths: Widths,
}

impl OwnedRows {
    /// The records `rows` of `prepared`.
    ///
    /// # Errors
    /// If the table cannot be read.
    pub fn of(prepared: &Prepared, rows: &[u32]) -> Result<Self, TableError> {
        let (mut columns, mut embedding) = (Vec::new(), Vec::new());
        for rows in rows.chunks(CHUNK_ROWS) {
            let chunk = prepared.columns.gather(rows)?;
            columns.extend_from_slice(&chunk);
            embedding.extend(prepared.encoder.values(chunk, rows.len()));
        }
        Ok(Self { columns, embedding, widths: Widths::of(prepared) })
    }

    /// What detectors take.
    ///
    /// # Errors
    /// If a value is not finite.
    pub fn view(&self) -> Result<PartyRows<'_>, DetectorError> {
        self.widths.view(&self.columns, &self.embedding)
    }
}
