//! The values of a table: rows x columns of finite f32, row-major, in one allocation.

use std::fmt;

/// Values in rows and columns, row-major. Every value is finite.
#[derive(Clone, PartialEq)]
pub struct Matrix {
    rows: usize,
    cols: usize,
    values: Vec<f32>,
}

/// Why a matrix could not be made or read. Messages hold positions, never values.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MatrixError {
    /// The number of values is not rows x columns.
    #[error("{found} values for a matrix of {rows} x {cols}; pass rows x columns values")]
    Length {
        /// Rows asked for.
        rows: usize,
        /// Columns asked for.
        cols: usize,
        /// Values given.
        found: usize,
    },
    /// A value is NaN or infinite.
    #[error("row {row}, column {col}: the value is not finite; clean the values first")]
    NotFinite {
        /// Row, from 0.
        row: usize,
        /// Column, from 0.
        col: usize,
    },
    /// A row was asked for that does not exist.
    #[error("row {row} does not exist, expected one below {rows}; check the record numbers")]
    NoSuchRow {
        /// The row asked for, from 0.
        row: u32,
        /// Rows of the matrix.
        rows: usize,
    },
}

impl Matrix {
    /// A matrix of `rows` x `cols` from row-major `values`.
    ///
    /// # Errors
    /// When `values` does not hold rows x columns values, or one of them is not finite.
    pub fn new(rows: usize, cols: usize, values: Vec<f32>) -> Result<Self, MatrixError> {
        if rows.checked_mul(cols) != Some(values.len()) {
            return Err(MatrixError::Length { rows, cols, found: values.len() });
        }
        if let Some(at) = values.iter().position(|value| !value.is_finite()) {
            return Err(MatrixError::NotFinite { row: at / cols, col: at % cols });
        }
        Ok(Self { rows, cols, values })
    }

    /// For readers that have checked every value and every row's length themselves.
    pub(crate) fn from_checked(cols: usize, values: Vec<f32>) -> Self {
        Self { rows: values.len().checked_div(cols).unwrap_or(0), cols, values }
    }

    /// Number of rows (records).
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// Number of columns.
    pub fn cols(&self) -> usize {
        self.cols
    }

    /// All values, row-major: `[rows, cols]`.
    pub fn values(&self) -> &[f32] {
        &self.values
    }

    /// All values, row-major: `[rows, cols]`, without copying them.
    pub fn into_values(self) -> Vec<f32> {
        self.values
    }

    /// Copies of `rows`, one after the other: `[rows.len(), cols]`.
    ///
    /// # Panics
    /// When a row does not exist.
    pub fn gather(&self, rows: &[u32]) -> Vec<f32> {
        let mut values = Vec::with_capacity(rows.len() * self.cols);
        rows.iter().for_each(|&row| values.extend_from_slice(self.row(row as usize)));
        values
    }

    /// Row `i`: `[cols]`.
    ///
    /// # Panics
    /// When `i` is not below [`Self::rows`], as for a slice.
    pub fn row(&self, i: usize) -> &[f32] {
        assert!(i < self.rows, "row {i} of a matrix of {} rows", self.rows);
        &self.values[i * self.cols..(i + 1) * self.cols]
    }

    /// Fails when one of `rows` does not exist.
    pub(crate) fn check_rows(&self, rows: &[u32]) -> Result<(), MatrixError> {
        check_rows(rows, self.rows)
    }

    /// The rows one after the other, to change; the caller keeps every value finite.
    pub(crate) fn rows_mut(&mut self) -> impl Iterator<Item = &mut [f32]> {
        self.values.chunks_exact_mut(self.cols.max(1))
    }
}

/// Fails when one of `rows` is not among the first `count`.
pub(crate) fn check_rows(rows: &[u32], count: usize) -> Result<(), MatrixError> {
    match rows.iter().find(|&&row| row as usize >= count) {
        Some(&row) => Err(MatrixError::NoSuchRow { row, rows: count }),
        None => Ok(()),
    }
}

/// Shows the shape only: values are private data.
impl fmt::Debug for Matrix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Matrix({} x {})", self.rows, self.cols)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn three_by_two() -> Matrix {
        Matrix::new(3, 2, vec![1.0, 2.0, 3.0, 4.0, 5.0, 6.0]).unwrap()
    }

    #[test]
    fn rows_are_consecutive_values() {
        let matrix = three_by_two();
        assert_eq!((matrix.rows(), matrix.cols()), (3, 2));
        assert_eq!(matrix.row(1), [3.0, 4.0]);
        assert_eq!(matrix.values().len(), 6);
        let no_columns = Matrix::new(3, 0, Vec::new()).unwrap();
        assert!(no_columns.row(2).is_empty());
    }

    #[test]
    fn gather_keeps_the_order() {
        assert_eq!(three_by_two().gather(&[2, 0, 2]), [5.0, 6.0, 1.0, 2.0, 5.0, 6.0]);
        assert!(three_by_two().gather(&[]).is_empty());
    }

    #[test]
    fn values_must_fill_the_shape_and_be_finite() {
        for (rows, cols) in [(2, 2), (usize::MAX, 2), (0, 3)] {
            let error = Matrix::new(rows, cols, vec![0.0; 3]).unwrap_err();
            assert!(matches!(error, MatrixError::Length { found: 3, .. }));
        }
        let error = Matrix::new(2, 2, vec![0.0, 0.0, 0.0, f32::NAN]).unwrap_err();
        assert_eq!(error, MatrixError::NotFinite { row: 1, col: 1 });
    }

    #[test]
    fn debug_shows_no_value() {
        assert_eq!(format!("{:?}", three_by_two()), "Matrix(3 x 2)");
    }
}
