//! The NPY format of NumPy, versions 1 to 3: a header that tells type and shape, then the values (NumPy Enhancement
//! Proposal 1). Only arrays of numbers with the last dimension running fastest are read.

use std::path::{Path, PathBuf};

use hashvfl_core::text;

use crate::cell::CellFault;
use crate::error::TableError;
use crate::source::counted::CountedRecords;

const MAGIC: [u8; 6] = *b"\x93NUMPY";
/// The longest header that is read, in bytes; that of an array of numbers has about a hundred.
const MAX_HEADER_BYTES: usize = 1 << 16;

/// The most channels that usual images have: three colours and opacity.
const MOST_CHANNELS: u64 = 4;

/// Why a NumPy file could not be loaded.
#[derive(Debug, thiserror::Error)]
pub enum NpyError {
    /// The file does not begin like a NumPy file.
    #[error(
        "{} is not a .npy file of version 1 to 3; check `paths` and `format` (an .npz file holds several: save one array \
         by numpy.save)", path.display()
    )]
    NotNpy {
        /// The file.
        path: PathBuf,
    },
    /// The header is damaged, or the array holds something other than numbers.
    #[error("the header of {}: {reason}", path.display())]
    Header {
        /// The file.
        path: PathBuf,
        /// What is wrong, and what to do.
        reason: &'static str,
    },
    /// The array has too few or too many dimensions.
    #[error(
        "{} holds an array of {}, expected [records, columns], [records, height, width] or [records, channels, height, \
         width]; reshape it", path.display(), text::counted(.found, "dimension")
    )]
    Dimensions {
        /// The file.
        path: PathBuf,
        /// Dimensions that it has.
        found: usize,
    },
    /// A later file has another number of columns.
    #[error("{} has {found} columns, but the first file has {expected}", path.display())]
    Columns {
        /// The file.
        path: PathBuf,
        /// Columns of the first file.
        expected: usize,
        /// Columns of this file.
        found: usize,
    },
    /// Images whose channels come last.
    #[error(
        "{} holds an array of shape [records, {height}, {width}, {channels}], whose channels seem to come last, expected \
         [records, channels, height, width]; save numpy.moveaxis(array, 3, 1)", path.display()
    )]
    ChannelsLast {
        /// The file.
        path: PathBuf,
        /// The second dimension.
        height: u64,
        /// The third dimension.
        width: u64,
        /// The last dimension.
        channels: u64,
    },
    /// Images of bytes beside images of other numbers.
    #[error(
        "{} holds pixels of another type than the first file: bytes (uint8) are scaled from 0 to 255 to 0 to 1, other \
         numbers are not; save all arrays with the same type", path.display()
    )]
    Pixels {
        /// The file.
        path: PathBuf,
    },
    /// `crop` is set and the records are not images.
    #[error("`crop` is for images, {} holds [records, columns]; remove it, or reshape the array", path.display())]
    NoImage {
        /// The file.
        path: PathBuf,
    },
    /// A value is not a finite number.
    #[error("{}, record {record} (from 0), {column:?}: {fault}", path.display())]
    Value {
        /// The file.
        path: PathBuf,
        /// The record.
        record: u64,
        /// The column's name.
        column: String,
        /// What is wrong with the value, and what to do.
        fault: String,
    },
}

impl From<NpyError> for TableError {
    fn from(error: NpyError) -> Self {
        Self::Format(Box::new(error))
    }
}

/// An open NumPy file, past its header.
pub(crate) struct NpyFile<'a> {
    file: CountedRecords<'a>,
    number: NumberType,
    record_shape: Vec<u64>,
}

impl<'a> NpyFile<'a> {
    pub(crate) fn open(path: &'a Path) -> Result<Self, TableError> {
        let mut file = CountedRecords::open(path)?;
        let mut start = [0; 8];
        file.fill(&mut start)?;
        let version = start[6];
        if start[..6] != MAGIC || !(1..=3).contains(&version) {
            return Err(NpyError::NotNpy { path: path.to_owned() }.into());
        }
        let mut length = [0; 4];
        file.fill(&mut length[..if version == 1 { 2 } else { 4 }])?;
        let length = u32::from_le_bytes(length) as usize;
        if length > MAX_HEADER_BYTES {
            return Err(header_error(path, "it is too long, the file may be damaged"));
        }
        let mut text = vec![0; length];
        file.fill(&mut text)?;
        let text = std::str::from_utf8(&text).ok();
        let NpyHeader { number, column_major, shape } = text.and_then(NpyHeader::parse).ok_or_else(|| {
            header_error(path, "it does not describe an array of numbers; save one by numpy.save")
        })?;
        if column_major {
            let reason = "the array is in Fortran order; save numpy.ascontiguousarray(array)";
            return Err(header_error(path, reason));
        }
        let number = NumberType::parse(&number).ok_or_else(|| {
            let reason = "its type is not one of bool, whole numbers, float32 and float64; convert by astype";
            header_error(path, reason)
        })?;
        let Some((records, record_shape)) = shape.split_first().filter(|_| (2..=4).contains(&shape.len()))
        else {
            return Err(NpyError::Dimensions { path: path.to_owned(), found: shape.len() }.into());
        };
        if let [height, width, channels] = *record_shape
            && height > MOST_CHANNELS
            && channels <= MOST_CHANNELS
        {
            return Err(NpyError::ChannelsLast { path: path.to_owned(), height, width, channels }.into());
        }
        file.declare(*records);
        Ok(Self { file, number, record_shape: record_shape.to_vec() })
    }

    /// The number of records in the header.
    pub(crate) fn records(&self) -> u64 {
        self.file.declared()
    }

    /// The sizes of one record: `[columns]`, `[height, width]` or `[channels, height, width]`.
    pub(crate) fn record_shape(&self) -> &[u64] {
        &self.record_shape
    }

    /// Whether values are bytes, as pixels often are.
    pub(crate) fn is_bytes(&self) -> bool {
        (self.number.kind, self.number.size) == (b'u', 1)
    }

    /// Fills `values` with the next record, or says why it cannot be used; `None` after the last, when the file must end. `buffer`
    /// is for its bytes.
    pub(crate) fn next_record(
        &mut self,
        values: &mut [f64],
        buffer: &mut Vec<u8>,
    ) -> Result<Option<Result<(), TableError>>, TableError> {
        buffer.resize(values.len() * self.number.size, 0);
        if !self.file.next_record(buffer)? {
            return Ok(None);
        }
        let cells = buffer.chunks_exact(self.number.size).enumerate();
        for (value, (column, cell)) in values.iter_mut().zip(cells) {
            match self.number.value(cell) {
                Some(number) => *value = number,
                None => return Ok(Some(Err(self.too_many_digits(column)))),
            }
        }
        Ok(Some(Ok(())))
    }

    fn too_many_digits(&self, column: usize) -> TableError {
        NpyError::Value {
            path: self.file.path().to_owned(),
            record: self.file.read() - 1,
            column: format!("column_{column}"),
            fault: format!(
                "{}; subtract a constant from the array, or convert by astype",
                CellFault::TooManyDigits
            ),
        }
        .into()
    }
}

fn header_error(path: &Path, reason: &'static str) -> TableError {
    NpyError::Header { path: path.to_owned(), reason }.into()
}

/// How a number is stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct NumberType {
    kind: u8,
    size: usize,
    big_endian: bool,
}

impl NumberType {
    /// From a text such as `<f4`; `None` if the type is not supported.
    fn parse(text: &str) -> Option<Self> {
        let &[order, kind, size] = text.as_bytes() else { return None };
        let known = matches!(
            (kind, size),
            (b'f', b'4' | b'8') | (b'i' | b'u', b'1' | b'2' | b'4' | b'8') | (b'b', b'1')
        );
        let ordered = matches!(order, b'<' | b'>') || order == b'|' && size == b'1';
        if !known || !ordered {
            return None;
        }
        Some(Self { kind, size: usize::from(size - b'0'), big_endian: order == b'>' })
    }

    /// The number that these bytes hold; `None` if 64 bits of a float do not hold it.
    fn value(self, cell: &[u8]) -> Option<f64> {
        let mut bytes = [0; 8];
        bytes[..self.size].copy_from_slice(cell);
        if self.big_endian {
            bytes[..self.size].reverse();
        }
        let word = u64::from_le_bytes(bytes);
        match (self.kind, self.size) {
            (b'f', 4) => Some(f64::from(f32::from_bits(word as u32))),
            (b'f', _) => Some(f64::from_bits(word)),
            (b'i', size) => {
                let unused = 64 - 8 * size as u32;
                let whole = (word << unused) as i64 >> unused; // carries the sign on
                (whole as f64 as i128 == i128::from(whole)).then_some(whole as f64)
            }
            (b'b', _) => Some(f64::from(u8::from(word != 0))),
            _ => (word as f64 as i128 == i128::from(word)).then_some(word as f64),
        }
    }
}

/// The contents of a header, which is a Python dictionary of three keys.
struct NpyHeader {
    number: String,
    column_major: bool,
    shape: Vec<u64>,
}

impl NpyHeader {
    fn parse(text: &str) -> Option<Self> {
        let mut rest = text.trim().strip_prefix('{')?.strip_suffix('}')?.trim();
        let (mut number, mut column_major, mut shape) = (None, None, None);
        while !rest.is_empty() {
            let key;
            (key, rest) = quoted(rest)?;
            rest = rest.trim_start().strip_prefix(':')?.trim_start();
            match key {
                "descr" if number.is_none() => {
                    let text;
                    (text, rest) = quoted(rest)?;
                    number = Some(text.to_owned());
                }
                "fortran_order" if column_major.is_none() => {
                    let word;
                    (word, rest) = rest.split_at(rest.find([',', ' ']).unwrap_or(rest.len()));
                    column_major = Some(match word {
                        "True" => true,
                        "False" => false,
                        _ => return None,
                    });
                }
                "shape" if shape.is_none() => {
                    let sizes;
                    (sizes, rest) = rest.strip_prefix('(')?.split_once(')')?;
                    let sizes = sizes.trim().trim_end_matches(',');
                    let sizes = sizes.split(',').map(|size| size.trim().parse().ok());
                    shape = Some(sizes.collect::<Option<Vec<u64>>>()?);
                }
                _ => return None,
            }
            rest = rest.trim_start();
            rest = match rest.strip_prefix(',') {
                Some(after) => after.trim_start(),
                None if rest.is_empty() => rest,
                None => return None,
            };
        }
        Some(Self { number: number?, column_major: column_major?, shape: shape? })
    }
}

/// The text in quotes, and the rest behind it.
fn quoted(text: &str) -> Option<(&str, &str)> {
    let quote = text.chars().next().filter(|first| matches!(first, '\'' | '"'))?;
    text[1..].split_once(quote)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_are_those_of_numpy_and_nothing_else() {
        let parse = |text: &str| {
            NpyHeader::parse(text).map(|header| (header.number, header.column_major, header.shape))
        };
        let expected = Some(("<f4".to_owned(), false, vec![3, 4]));
        assert_eq!(parse("{'descr': '<f4', 'fortran_order': False, 'shape': (3, 4), }   \n"), expected);
        assert_eq!(parse("{\"shape\":(3,4),\"descr\":\"<f4\",\"fortran_order\":False}"), expected);
        for text in [
            "",
            "{}",
            "{'descr': '<f4', 'fortran_order': False}",
            "{'descr': '<f4', 'fortran_order': 0, 'shape': (3, 4), }",
            "{'descr': '<f4', 'fortran_order': False, 'shape': (3, -4), }",
            "{'descr': '<f4', 'fortran_order': False, 'shape': (), }",
            "{'descr': [('a', '<f4')], 'fortran_order': False, 'shape': (3, 4), }",
            "{'descr': '<f4', 'descr': '<f4', 'fortran_order': False, 'shape': (3, 4), }",
            "{'descr': '<f4', 'fortran_order': False, 'shape': (3, 4), 'more': 1}",
            "{'descr': '<f4' 'fortran_order': False, 'shape': (3, 4), }",
            "{'descr': '<f4', 'fortran_order': False, 'shape': (3, 4), ",
            "\u{e9}",
        ] {
            assert_eq!(parse(text), None, "{text}");
        }
    }

    #[test]
    fn numbers_of_every_type_are_read_in_either_order_of_bytes() {
        let read =
            |number: &str, cell: &[u8]| NumberType::parse(number).and_then(|number| number.value(cell));
        assert_eq!(read("<f4", &1.5_f32.to_le_bytes()), Some(1.5));
        assert_eq!(read(">f8", &(-2.5_f64).to_be_bytes()), Some(-2.5));
        assert_eq!(read("<i2", &(-3_i16).to_le_bytes()), Some(-3.0));
        assert_eq!(read(">i4", &(-70_000_i32).to_be_bytes()), Some(-70_000.0));
        assert_eq!(read("<i8", &i64::MIN.to_le_bytes()), Some(i64::MIN as f64));
        assert_eq!(read("|i1", &[0xff]), Some(-1.0));
        assert_eq!(read("|u1", &[0xff]), Some(255.0));
        assert_eq!(read("<u8", &(1_u64 << 63).to_le_bytes()), Some((1_u64 << 63) as f64));
        assert_eq!(read("<u8", &u64::MAX.to_le_bytes()), None);
        assert_eq!(read("<i8", &(1_i64 - (1 << 53) - 2).to_le_bytes()), None);
        assert_eq!(read("|b1", &[1]), Some(1.0));
        for unknown in ["<f2", "<c8", "|S3", "<U4", "|O", "|f4", "=f4", "f4", "<f44", "", "<f$"] {
            assert_eq!(read(unknown, &[0; 4]), None, "{unknown}");
        }
    }
}
