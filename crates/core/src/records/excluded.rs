//! Records that a run goes on without, because a party's policy allows no more releases of them.

/// A set of rows of a table: one bit per row, the first row in the lowest bit of the first byte; no bytes where it is
/// empty.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct ExcludedRecords(Vec<u8>);

/// Why bytes are no such set for a table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the list of excluded records has {found} bytes, and {records} records need {} or none", .records.div_ceil(8))]
pub struct ExcludedRecordsError {
    found: usize,
    records: usize,
}

impl ExcludedRecords {
    /// `rows` of a table of `records` rows.
    ///
    /// # Panics
    /// If one is beyond the table.
    pub fn of(rows: &[u32], records: usize) -> Self {
        let mut bytes = vec![0; if rows.is_empty() { 0 } else { records.div_ceil(8) }];
        for row in rows {
            assert!((*row as usize) < records, "a row of the table");
            bytes[*row as usize / 8] |= 1 << (row % 8);
        }
        Self(bytes)
    }

    /// What a peer sent; [`Self::check`] says whether it fits a table.
    pub fn from_bytes(bytes: Vec<u8>) -> Self {
        Self(bytes)
    }

    /// Reads as [`Self::from_bytes`].
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// Whether it is a set of rows of a table of `records` rows: of its length, no bit beyond it, and no bytes for
    /// nothing.
    pub fn check(&self, records: usize) -> Result<(), ExcludedRecordsError> {
        let beyond = |last: &u8| !records.is_multiple_of(8) && last >> (records % 8) != 0;
        let fits =
            self.0.len() == records.div_ceil(8) && self.count() > 0 && !self.0.last().is_some_and(beyond);
        if self.0.is_empty() || fits {
            Ok(())
        } else {
            Err(ExcludedRecordsError { found: self.0.len(), records })
        }
    }

    /// Whether it has no row.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Number of rows.
    pub fn count(&self) -> usize {
        self.0.iter().map(|byte| byte.count_ones() as usize).sum()
    }

    /// Whether `row` is in it.
    pub fn contains(&self, row: u32) -> bool {
        self.0.get(row as usize / 8).is_some_and(|byte| byte >> (row % 8) & 1 == 1)
    }

    /// Adds all rows of `other`, a set of the same table.
    pub fn add(&mut self, other: &Self) {
        self.0.resize(self.0.len().max(other.0.len()), 0);
        self.0.iter_mut().zip(&other.0).for_each(|(byte, more)| *byte |= more);
    }

    /// Whether all rows of `other` are in it.
    pub fn holds(&self, other: &Self) -> bool {
        let byte = |at: usize| self.0.get(at).copied().unwrap_or(0);
        other.0.iter().enumerate().all(|(at, wanted)| wanted & !byte(at) == 0)
    }
}

impl std::fmt::Debug for ExcludedRecords {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "ExcludedRecords({} records)", self.count())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_set_holds_its_rows_and_no_others() {
        let (one, other) = (ExcludedRecords::of(&[0, 9], 10), ExcludedRecords::of(&[3], 10));
        assert_eq!(one.as_bytes(), [1, 2]);
        assert!(one.contains(9) && !one.contains(8) && !one.contains(4_000_000_000));
        let mut both = ExcludedRecords::default();
        both.add(&other);
        assert_eq!(both, other);
        both.add(&one);
        assert_eq!((both.count(), format!("{both:?}")), (3, "ExcludedRecords(3 records)".to_string()));
        assert!(both.holds(&one) && both.holds(&ExcludedRecords::default()) && !one.holds(&both));
        assert!(ExcludedRecords::of(&[], 10).is_empty() && !ExcludedRecords::default().holds(&one));
    }

    #[test]
    fn bytes_of_another_table_are_refused() {
        let check = |bytes: &[u8], records| ExcludedRecords::from_bytes(bytes.to_vec()).check(records);
        assert_eq!((check(&[], 10), check(&[1, 2], 10), check(&[128], 8)), (Ok(()), Ok(()), Ok(())));
        for (bytes, records) in [(&[1, 4][..], 10), (&[1], 10), (&[1, 2, 0], 10), (&[0, 0], 10), (&[1], 0)] {
            assert!(check(bytes, records).is_err(), "{bytes:?} of {records}");
        }
        let text = check(&[1], 10).unwrap_err().to_string();
        assert_eq!(text, "the list of excluded records has 1 bytes, and 10 records need 2 or none");
    }
}
