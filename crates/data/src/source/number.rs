//! One cell of text to one finite f32.

use std::fmt;

/// What is wrong with a cell. It says the kind of fault, never the text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CellFault {
    /// A missing value: no text, only spaces, or what stands for it.
    Empty,
    /// Text that is no number; a marker of a missing value such as `NA` is one.
    NotANumber,
    /// NaN, infinite, or too large for 32 bits.
    NotFinite,
    /// Bytes that are no UTF-8 text.
    NotUtf8,
    /// One category more than a column may have.
    TooManyCategories,
    /// A value of a type that is neither number nor text.
    OtherType,
}

impl CellFault {
    /// What to do about a cell of a column.
    pub(crate) fn remedy(self) -> &'static str {
        match self {
            Self::Empty => "fill it, list the column in `ignore`, or set missing = \"fill\"",
            Self::NotANumber => {
                "clean the file, list the column in `ignore`, declare it a category in [types], or list what stands for a missing value in `null_values`"
            }
            Self::TooManyCategories => "list the column in `ignore`: it is an id or free text",
            Self::NotFinite | Self::NotUtf8 | Self::OtherType => {
                "clean the file, or list the column in `ignore`"
            }
        }
    }
}

impl fmt::Display for CellFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Empty => "an empty cell",
            Self::NotANumber => "text that is no number",
            Self::NotFinite => "a value that is not finite in 32 bits",
            Self::NotUtf8 => "bytes that are not UTF-8",
            Self::TooManyCategories => "more categories than a column may have",
            Self::OtherType => "a value that is neither number nor text",
        })
    }
}

/// The cell's text without the spaces around it; never empty.
pub(crate) fn parse_text(cell: &[u8]) -> Result<&str, CellFault> {
    let text = std::str::from_utf8(cell.trim_ascii()).map_err(|_| CellFault::NotUtf8)?;
    if text.is_empty() {
        return Err(CellFault::Empty);
    }
    Ok(text)
}

/// The cell as a finite number.
pub(crate) fn parse_number(cell: &[u8]) -> Result<f32, CellFault> {
    let number: f32 = parse_text(cell)?.parse().map_err(|_| CellFault::NotANumber)?;
    if !number.is_finite() {
        return Err(CellFault::NotFinite);
    }
    Ok(number)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cells_become_numbers_or_faults() {
        for (cell, expected) in [
            (&b"1.5"[..], Ok(1.5)),
            (b" -2 \r", Ok(-2.0)),
            (b"1e3", Ok(1000.0)),
            (b"", Err(CellFault::Empty)),
            (b"  ", Err(CellFault::Empty)),
            (b"?", Err(CellFault::NotANumber)),
            (b"NA", Err(CellFault::NotANumber)),
            (b"1,5", Err(CellFault::NotANumber)),
            (b"NaN", Err(CellFault::NotFinite)),
            (b"-inf", Err(CellFault::NotFinite)),
            (b"1e39", Err(CellFault::NotFinite)),
            (b"\xff", Err(CellFault::NotUtf8)),
        ] {
            assert_eq!(parse_number(cell), expected, "{}", cell.escape_ascii());
        }
    }
}
