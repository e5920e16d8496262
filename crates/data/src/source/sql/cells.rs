//! Cells of a query's CSV tables that are not read as they are written: the engine reads digits with a 0 before them as numbers
//! without that 0, where all of a column are such, and in a column of fractions rounds numbers of many digits.

use datafusion::arrow::datatypes::Schema;
use hashvfl_core::text;

use crate::cell::{CellFault, has_leading_zero, parse_number};

/// Bytes of a cell that are looked at: no number that counts has more.
const MOST_BYTES: usize = 256;
/// The fewest digits of a number that 64 bits of a float may not hold.
const MANY_DIGITS: usize = 16;

/// Such cells of one column.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(super) struct Counts {
    pub(super) leading_zeros: u64,
    /// Numbers of more digits than 64 bits of a float hold.
    pub(super) long: u64,
}

impl Counts {
    /// Adds the counts of another file's columns to those of all so far.
    pub(super) fn add_all(all: &mut Vec<Self>, more: &[Self]) {
        all.resize(all.len().max(more.len()), Self::default());
        for (sum, count) in all.iter_mut().zip(more) {
            sum.leading_zeros += count.leading_zeros;
            sum.long += count.long;
        }
    }
}

/// Counts such cells by column, of text that passes in pieces and is checked beside.
pub(super) struct CellCounts {
    delimiter: u8,
    quoted: bool,
    /// Whether the header has ended.
    past_header: bool,
    column: usize,
    /// Bytes of this cell, and the first of them.
    length: usize,
    cell: Vec<u8>,
    counts: Vec<Counts>,
}

impl CellCounts {
    pub(super) fn new(delimiter: u8) -> Self {
        let (cell, counts) = (Vec::new(), Vec::new());
        Self { delimiter, quoted: false, past_header: false, column: 0, length: 0, cell, counts }
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
                    if self.length < MOST_BYTES {
                        self.cell.push(byte);
                    }
                    self.length += 1;
                }
            }
        }
    }

    fn end_cell(&mut self) {
        if self.past_header && self.length <= MOST_BYTES {
            let leading_zeros = u64::from(has_leading_zero(&self.cell));
            let long = u64::from(is_long_number(&self.cell));
            if leading_zeros + long > 0 {
                if self.counts.len() <= self.column {
                    self.counts.resize(self.column + 1, Counts::default());
                }
                self.counts[self.column].leading_zeros += leading_zeros;
                self.counts[self.column].long += long;
            }
        }
        self.cell.clear();
        self.length = 0;
    }

    /// The counts, of the columns up to the last that has one.
    pub(super) fn finish(mut self) -> Vec<Counts> {
        self.end_cell();
        self.counts
    }
}

/// Whether a text is a number of more digits than 64 bits of a float hold.
pub(super) fn is_long_number(text: &[u8]) -> bool {
    text.len() >= MANY_DIGITS && parse_number(text) == Err(CellFault::TooManyDigits)
}

/// Warnings about columns of table `name` that are read as numbers, of which so many cells begin with 0.
pub(super) fn warnings(name: &str, schema: &Schema, counts: &[Counts]) -> Vec<String> {
    let mut warnings = Vec::new();
    for (field, Counts { leading_zeros, .. }) in schema.fields().iter().zip(counts) {
        if *leading_zeros > 0 && field.data_type().is_numeric() {
            warnings.push(format!(
                "tables.{name}: column {:?} is read as numbers, so {} of it lost a leading 0: if it holds ids or \
                 codes, list it in `text`",
                field.name(),
                text::counted(leading_zeros, "cell")
            ));
        }
    }
    warnings
}

/// The columns that are read as fractions and hold numbers which these round.
pub(super) fn rounded(schema: &Schema, counts: &[Counts]) -> Vec<String> {
    let columns = schema.fields().iter().zip(counts);
    let rounded = columns.filter(|(field, counts)| counts.long > 0 && field.data_type().is_floating());
    rounded.map(|(field, _)| field.name().clone()).collect()
}

#[cfg(test)]
mod tests {
    use datafusion::arrow::datatypes::{DataType, Field};

    use super::*;

    fn counted(text: &[u8], piece: usize) -> Vec<Counts> {
        let mut counts = CellCounts::new(b',');
        text.chunks(piece).for_each(|bytes| counts.take(bytes));
        counts.finish()
    }

    #[test]
    fn cells_of_digits_that_begin_with_0_are_counted_by_column_however_the_text_is_cut() {
        let text = b"\n01,02,03\r\n007,0.5,\"08\"\r\n7,0,\"0\n9\"\n00,0x1,x\n1,2,\"a,03\"\n5,01,042";
        for piece in [1, 3, 1000] {
            let zeros: Vec<u64> = counted(text, piece).iter().map(|counts| counts.leading_zeros).collect();
            assert_eq!(zeros, [2, 1, 2], "pieces of {piece}");
        }
    }

    #[test]
    fn numbers_of_many_digits_are_counted_by_column_however_the_text_is_cut() {
        let text = b"a,b,c\n1,18446744073709551615,0.5\n9007199254740993,10000000000000000000.50,x\n\
                     9007199254740992,1e300,12345678901234567890123\n";
        for piece in [1, 7, 1000] {
            let long: Vec<u64> = counted(text, piece).iter().map(|counts| counts.long).collect();
            assert_eq!(long, [1, 2, 1], "pieces of {piece}");
        }
        assert!(counted(format!("a\n{}\n", "9".repeat(MOST_BYTES + 1)).as_bytes(), 50).is_empty());
    }

    #[test]
    fn columns_that_are_read_as_numbers_are_told() {
        let field = |name: &str, kind: DataType| Field::new(name, kind, true);
        let schema = Schema::new(vec![
            field("id", DataType::Int64),
            field("zip", DataType::Utf8),
            field("age", DataType::Float64),
        ]);
        let mut counts = vec![Counts { leading_zeros: 1, long: 1 }; 2];
        Counts::add_all(&mut counts, &[Counts { leading_zeros: 2, long: 0 }; 2]);
        let told = warnings("t", &schema, &counts);
        assert_eq!(told.len(), 1);
        assert!(
            told[0]
                .starts_with("tables.t: column \"id\" is read as numbers, so 3 cells of it lost a leading 0"),
            "{told:?}"
        );
        assert!(rounded(&schema, &counts).is_empty(), "whole numbers and texts are exact");
        counts.push(Counts { leading_zeros: 0, long: 1 });
        assert_eq!(rounded(&schema, &counts), ["age"]);
    }
}
