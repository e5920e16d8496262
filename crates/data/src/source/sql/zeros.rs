//! Cells of a query's CSV tables that are digits with a 0 before them, as ids and codes have: the engine reads them as numbers
//! where all of a column are such, and the 0 is gone.

use datafusion::arrow::datatypes::Schema;

/// Counts such cells by column, of text that passes in pieces and is checked beside.
pub(super) struct LeadingZeros {
    delimiter: u8,
    quoted: bool,
    /// Whether the header has ended.
    past_header: bool,
    column: usize,
    /// Bytes of this cell.
    length: usize,
    /// Whether it is digits so far, the first of them 0.
    is_code: bool,
    counts: Vec<u64>,
}

impl LeadingZeros {
    pub(super) fn new(delimiter: u8) -> Self {
        Self {
            delimiter,
            quoted: false,
            past_header: false,
            column: 0,
            length: 0,
            is_code: false,
            counts: Vec::new(),
        }
    }

    /// Sees the next bytes.
    pub(super) fn take(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            match byte {
                b'"' => self.quoted = !self.quoted,
                b'\n' if !self.quoted => {
                    // Blank lines before the header are passed over.
                    let is_blank = self.column == 0 && self.length == 0;
                    self.end_cell();
                    self.past_header |= !is_blank;
                    self.column = 0;
                }
                _ if byte == self.delimiter && !self.quoted => {
                    self.end_cell();
                    self.column += 1;
                }
                b'\r' => {}
                _ => {
                    self.is_code = if self.length == 0 { byte == b'0' } else { self.is_code };
                    self.is_code &= byte.is_ascii_digit();
                    self.length += 1;
                }
            }
        }
    }

    fn end_cell(&mut self) {
        if self.past_header && self.is_code && self.length > 1 {
            if self.counts.len() <= self.column {
                self.counts.resize(self.column + 1, 0);
            }
            self.counts[self.column] += 1;
        }
        (self.length, self.is_code) = (0, false);
    }

    /// The counts, of the columns up to the last that has one.
    pub(super) fn finish(mut self) -> Vec<u64> {
        self.end_cell();
        self.counts
    }
}

/// Warnings about columns of table `name` that are read as numbers, of which so many cells begin with 0.
pub(super) fn warnings(name: &str, schema: &Schema, counts: &[u64]) -> Vec<String> {
    let mut warnings = Vec::new();
    for (field, count) in schema.fields().iter().zip(counts) {
        if *count > 0 && field.data_type().is_numeric() {
            warnings.push(format!(
                "tables.{name}: {count} cells of column {:?} begin with 0 and are read as numbers, without that 0: if they are ids or \
                 codes, list the column in `text`",
                field.name()
            ));
        }
    }
    warnings
}

#[cfg(test)]
mod tests {
    use datafusion::arrow::datatypes::{DataType, Field};

    use super::*;

    #[test]
    fn cells_of_digits_that_begin_with_0_are_counted_by_column_however_the_text_is_cut() {
        let text = b"\n01,02,03\r\n007,0.5,\"08\"\r\n7,0,\"0\n9\"\n00,0x1,x\n1,2,\"a,03\"\n5,01,042";
        for piece in [1, 3, 1000] {
            let mut zeros = LeadingZeros::new(b',');
            text.chunks(piece).for_each(|bytes| zeros.take(bytes));
            assert_eq!(zeros.finish(), [2, 1, 2], "pieces of {piece}");
        }
    }

    #[test]
    fn columns_that_are_read_as_numbers_are_told() {
        let field = |name: &str, kind: DataType| Field::new(name, kind, true);
        let schema = Schema::new(vec![
            field("id", DataType::Int64),
            field("zip", DataType::Utf8),
            field("age", DataType::Int64),
        ]);
        let told = warnings("t", &schema, &[3, 4]);
        assert_eq!(told.len(), 1);
        assert!(told[0].starts_with("tables.t: 3 cells of column \"id\" begin with 0"), "{told:?}");
    }
}
