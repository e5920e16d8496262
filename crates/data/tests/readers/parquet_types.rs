//! Columns of Parquet files of each type of numbers: what is read back is what was written, or it is refused.

use std::path::Path;

use parquet::data_type::{FixedLenByteArray, FixedLenByteArrayType, FloatType, Int32Type, Int64Type};
use proptest::prelude::*;

use crate::expected::{bits, bits_of};
use crate::parquet_labels::write;
use crate::{cases, read, settings};

/// The bits of the values of the column `y`.
fn load(path: &Path) -> Result<Vec<u32>, String> {
    read(&settings("parquet", path), "y = \"number\"").map(|table| bits(&table, 0))
}

/// The bits of these numbers in 32 bits, with nulls among them.
fn expected(numbers: impl Iterator<Item = Option<f64>>) -> Vec<u32> {
    numbers.map(|number| number.map_or(u32::MAX, |number| bits_of(number as f32))).collect()
}

proptest! {
    #![proptest_config(cases(100))]

    #[test]
    fn floats_of_32_bits_come_back(cells in prop::collection::vec(prop::option::weighted(0.9, any::<f32>()), 1..12)) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.parquet");
        write::<FloatType>(&path, "FLOAT y", &cells);
        let finite = cells.iter().flatten().all(|number| number.is_finite());
        match load(&path) {
            Ok(found) => {
                prop_assert!(finite);
                prop_assert_eq!(found, expected(cells.iter().map(|cell| cell.map(f64::from))));
            }
            Err(message) => prop_assert!(!finite, "{}", message),
        }
    }

    #[test]
    fn decimals_come_back(units in prop::collection::vec(prop::option::weighted(0.9, -99_999_i32..99_999), 1..12)) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.parquet");
        write::<Int32Type>(&path, "INT32 y (DECIMAL(9, 2))", &units);
        let wanted = expected(units.iter().map(|units| units.map(|units| f64::from(units) / 100.0)));
        prop_assert_eq!(load(&path).unwrap(), wanted);
    }

    #[test]
    fn decimals_of_fixed_bytes_come_back_or_are_refused(
        units in prop::collection::vec(-100_000_000_000_i64..100_000_000_000, 1..12),
    ) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.parquet");
        let stored = |units: &i64| Some(FixedLenByteArray::from(units.to_be_bytes()[2..].to_vec()));
        let cells: Vec<Option<FixedLenByteArray>> = units.iter().map(stored).collect();
        write::<FixedLenByteArrayType>(&path, "FIXED_LEN_BYTE_ARRAY (6) y (DECIMAL(12, 3))", &cells);
        match load(&path) {
            Ok(found) => prop_assert_eq!(found, expected(units.iter().map(|units| Some(*units as f64 / 1000.0)))),
            Err(message) => prop_assert!(message.contains("distinct numbers become"), "{}", message),
        }
    }

    #[test]
    fn unsigned_numbers_come_back_or_are_refused(
        narrow in prop::collection::vec(any::<u32>(), 1..12),
        wide in prop::collection::vec(prop_oneof![3 => 0_u64..1000, 1 => any::<u64>()], 1..12),
    ) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.parquet");
        let cells: Vec<Option<i32>> = narrow.iter().map(|number| Some(number.cast_signed())).collect();
        write::<Int32Type>(&path, "INT32 y (INTEGER(32, false))", &cells);
        match load(&path) {
            Ok(found) => prop_assert_eq!(found, expected(narrow.iter().map(|number| Some(f64::from(*number))))),
            Err(message) => prop_assert!(message.contains("distinct numbers become"), "{}", message),
        }
        let cells: Vec<Option<i64>> = wide.iter().map(|number| Some(number.cast_signed())).collect();
        write::<Int64Type>(&path, "INT64 y (INTEGER(64, false))", &cells);
        let small = wide.iter().all(|number| *number < 1 << 24);
        match load(&path) {
            Ok(found) => {
                prop_assert!(wide.iter().all(|number| *number as f64 as u128 == u128::from(*number)));
                prop_assert_eq!(found, expected(wide.iter().map(|number| Some(*number as f64))));
            }
            Err(message) => prop_assert!(!small, "{}", message),
        }
    }
}
