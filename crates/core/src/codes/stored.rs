//! Stored codes of records: one party's codes under one encoder, found by record, a whole byte at a time.
//!
//! With these, the top model is trained again and known records are predicted again without asking anybody.

use crate::codes::packed::PackedCodes;
use crate::digest::Digest;
use crate::records::rows::RunRow;

/// Codes of some of `records` records.
#[derive(Clone, PartialEq, Eq)]
pub struct CodeTable {
    records: usize,
    bits: usize,
    known: Vec<bool>,
    bytes: Vec<u8>,
}

/// Why bytes are no code table.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("stored codes are cut off or damaged")]
pub struct CodeTableError;

impl CodeTable {
    /// A table that knows no code yet.
    pub fn new(records: usize, bits: usize) -> Self {
        Self { records, bits, known: vec![false; records], bytes: vec![0; records * bits.div_ceil(8)] }
    }

    /// Bits per record.
    pub fn bits(&self) -> usize {
        self.bits
    }

    /// Records that have a place, known or not.
    pub fn records(&self) -> usize {
        self.records
    }

    /// Whether the code of `row` is known.
    pub fn knows(&self, row: u32) -> bool {
        self.known.get(row as usize).copied().unwrap_or(false)
    }

    /// Keeps the codes of `rows`.
    ///
    /// # Panics
    /// If the codes are of other length or number, or a row is beyond the table.
    pub fn put(&mut self, rows: &[u32], codes: &PackedCodes) {
        assert_eq!((codes.bits(), codes.rows()), (self.bits, rows.len()), "codes of these rows");
        let width = self.bits.div_ceil(8);
        for (index, row) in rows.iter().enumerate() {
            let row = *row as usize;
            self.known[row] = true;
            let place = &mut self.bytes[row * width..(row + 1) * width];
            if self.bits.is_multiple_of(8) {
                place.copy_from_slice(&codes.as_bytes()[index * width..(index + 1) * width]);
            } else {
                place.copy_from_slice(&codes.row_bytes(index));
            }
        }
    }

    /// Erases the codes of `rows`; returns how many were known.
    pub fn forget(&mut self, rows: &[u32]) -> usize {
        let width = self.bits.div_ceil(8);
        let known = rows.iter().filter(|row| self.knows(**row)).map(|row| *row as usize).collect::<Vec<_>>();
        for row in &known {
            self.known[*row] = false;
            self.bytes[row * width..(row + 1) * width].fill(0);
        }
        known.len()
    }

    /// Codes of `rows` as row-major +1.0 and -1.0, or the first row that is not known.
    pub fn signs(&self, rows: &[u32]) -> Result<Vec<f32>, u32> {
        match rows.iter().find(|row| !self.knows(**row)) {
            Some(unknown) => Err(*unknown),
            None => Ok(self.signs_or_zeros(rows)),
        }
    }

    /// The same for rows that need not be known: zeros, no sign, stand for the bits of one that is not.
    ///
    /// # Panics
    /// If a row is beyond the table.
    pub fn signs_or_zeros(&self, rows: &[u32]) -> Vec<f32> {
        let width = self.bits.div_ceil(8);
        let mut signs = vec![0.0; rows.len() * self.bits];
        for (signs, row) in signs.chunks_exact_mut(self.bits.max(1)).zip(rows) {
            let row = *row as usize;
            if !self.known[row] {
                continue;
            }
            let place = &self.bytes[row * width..(row + 1) * width];
            for (signs, byte) in signs.chunks_mut(8).zip(place) {
                for (bit, sign) in signs.iter_mut().enumerate() {
                    *sign = f32::from((byte >> bit) & 1) * 2.0 - 1.0;
                }
            }
        }
        signs
    }

    /// The table as bytes: records, bits, one byte per record for known or not, then the codes.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(16 + self.records + self.bytes.len());
        bytes.extend((self.records as u64).to_le_bytes());
        bytes.extend((self.bits as u64).to_le_bytes());
        bytes.extend(self.known.iter().map(|known| u8::from(*known)));
        bytes.extend(&self.bytes);
        bytes
    }

    /// Reads [`Self::to_bytes`].
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, CodeTableError> {
        let number = |at: usize| {
            let bytes = bytes.get(at..at + 8)?.try_into().ok()?;
            usize::try_from(u64::from_le_bytes(bytes)).ok()
        };
        let (records, bits) = number(0).zip(number(8)).ok_or(CodeTableError)?;
        let width = bits.div_ceil(8);
        let expected =
            records.checked_mul(width + 1).and_then(|n| n.checked_add(16)).ok_or(CodeTableError)?;
        if bytes.len() != expected {
            return Err(CodeTableError);
        }
        let (known, codes) = bytes[16..].split_at(records);
        Ok(Self {
            records,
            bits,
            known: known.iter().map(|byte| *byte == 1).collect(),
            bytes: codes.to_vec(),
        })
    }
}

impl std::fmt::Debug for CodeTable {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "CodeTable({} records x {} bits)", self.records, self.bits)
    }
}

/// Stored codes of one party with the digests of the encoder that made them and of the records that the rows are: the
/// content of a codes file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredCodes {
    /// Digest of the encoder, its preprocessing included.
    pub encoder: Digest,
    /// Digest of the run's records in their order ([`digest_of_run`](crate::records::run_records::digest_of_run)).
    pub records: Digest,
    /// The codes, by rows of the run.
    pub table: CodeTable,
}

const MAGIC: &[u8] = b"hashvfl codes 2\n";

impl StoredCodes {
    /// Erases the codes of `rows`; returns how many were known.
    pub fn erase(&mut self, rows: &[RunRow]) -> usize {
        let rows: Vec<u32> = rows.iter().map(|row| row.number()).collect();
        self.table.forget(&rows)
    }

    /// The file's bytes: a first line, the digests of encoder and records, the table, and a digest of all before it.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = [MAGIC, &self.encoder.0, &self.records.0, &self.table.to_bytes()].concat();
        let digest = Digest::of(&bytes);
        bytes.extend(digest.0);
        bytes
    }

    /// Reads [`Self::to_bytes`].
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, CodeTableError> {
        let (content, digest) = bytes.split_last_chunk::<32>().ok_or(CodeTableError)?;
        if Digest::of(content).0 != *digest {
            return Err(CodeTableError);
        }
        let content = content.strip_prefix(MAGIC).ok_or(CodeTableError)?;
        let (encoder, content) = content.split_first_chunk::<32>().ok_or(CodeTableError)?;
        let (records, table) = content.split_first_chunk::<32>().ok_or(CodeTableError)?;
        let (encoder, records) = (Digest(*encoder), Digest(*records));
        Ok(Self { encoder, records, table: CodeTable::from_bytes(table)? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_found_by_record() {
        let mut table = CodeTable::new(5, 3);
        let codes = PackedCodes::pack(&[1.0, -1.0, 1.0, -1.0, -1.0, 1.0], 3).unwrap();
        table.put(&[4, 1], &codes);
        assert_eq!(table.signs(&[1, 4]), Ok(vec![-1.0, -1.0, 1.0, 1.0, -1.0, 1.0]));
        assert_eq!(table.signs(&[1, 0]), Err(0));
        assert_eq!(table.signs_or_zeros(&[0, 4]), [0.0, 0.0, 0.0, 1.0, -1.0, 1.0]);
        assert!(table.knows(4) && !table.knows(3) && !table.knows(9));
        let bytes = table.to_bytes();
        assert_eq!(CodeTable::from_bytes(&bytes), Ok(table.clone()));
        assert_eq!((table.forget(&[4, 3]), table.signs(&[4])), (1, Err(4)));
        assert_eq!(table.to_bytes()[21..], [0, 0b100, 0, 0, 0][..], "no bit of it is left");
        assert!(CodeTable::from_bytes(&bytes[..bytes.len() - 1]).is_err());
        assert!(CodeTable::from_bytes(&[0xff; 40]).is_err());
    }

    #[test]
    fn a_changed_byte_of_a_codes_file_is_seen() {
        let stored =
            StoredCodes { encoder: Digest([7; 32]), records: Digest([8; 32]), table: CodeTable::new(3, 9) };
        let mut bytes = stored.to_bytes();
        assert_eq!(StoredCodes::from_bytes(&bytes), Ok(stored));
        for at in [0, 20, 60, bytes.len() - 1] {
            bytes[at] ^= 1;
            assert!(StoredCodes::from_bytes(&bytes).is_err(), "byte {at}");
            bytes[at] ^= 1;
        }
    }
}
