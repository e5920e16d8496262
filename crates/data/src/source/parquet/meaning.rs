//! What the values of a column mean. Unsigned numbers, decimals, dates and time stamps are all stored as whole numbers; the
//! column's logical type says which they are. A type that is not known here is refused.

use parquet::basic::{ConvertedType, LogicalType, Type};
use parquet::schema::types::ColumnDescriptor;

use crate::encoding::treatment::ColumnType;

/// The most bytes of a decimal, enough for 38 digits.
const MAX_DECIMAL_BYTES: i32 = 16;

/// What values of a column mean.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Meaning {
    /// True or false: 1 and 0 as numbers.
    Truth,
    /// Whole numbers.
    Signed,
    /// Whole numbers from 0, stored as the signed number of the same bits.
    Unsigned,
    /// Whole numbers of this many digits behind the decimal point.
    Decimal(u32),
    /// Floating-point numbers.
    Real,
    /// UTF-8 text.
    Text,
    /// Nulls only.
    Nothing,
}

impl Meaning {
    /// The meaning of a column's values; `None` if they cannot be loaded.
    pub(crate) fn of(column: &ColumnDescriptor) -> Option<Self> {
        let Some(logical) = column.logical_type_ref() else {
            // Older writers set the converted type only.
            return Self::of_converted(column);
        };
        match (logical, column.physical_type()) {
            (LogicalType::String | LogicalType::Enum, Type::BYTE_ARRAY) => Some(Self::Text),
            (LogicalType::Integer(kind), Type::INT32 | Type::INT64) => {
                Some(if kind.is_signed { Self::Signed } else { Self::Unsigned })
            }
            (LogicalType::Decimal(kind), _) => Self::decimal(column, kind.scale),
            (LogicalType::Unknown, _) => Some(Self::Nothing),
            _ => None,
        }
    }

    fn of_converted(column: &ColumnDescriptor) -> Option<Self> {
        match (column.converted_type(), column.physical_type()) {
            (ConvertedType::NONE, Type::BOOLEAN) => Some(Self::Truth),
            (ConvertedType::NONE, Type::FLOAT | Type::DOUBLE) => Some(Self::Real),
            (ConvertedType::NONE | ConvertedType::UTF8 | ConvertedType::ENUM, Type::BYTE_ARRAY) => {
                Some(Self::Text)
            }
            (
                ConvertedType::NONE
                | ConvertedType::INT_8
                | ConvertedType::INT_16
                | ConvertedType::INT_32
                | ConvertedType::INT_64,
                Type::INT32 | Type::INT64,
            ) => Some(Self::Signed),
            (
                ConvertedType::UINT_8
                | ConvertedType::UINT_16
                | ConvertedType::UINT_32
                | ConvertedType::UINT_64,
                Type::INT32 | Type::INT64,
            ) => Some(Self::Unsigned),
            (ConvertedType::DECIMAL, _) => Self::decimal(column, column.type_scale()),
            _ => None,
        }
    }

    fn decimal(column: &ColumnDescriptor, scale: i32) -> Option<Self> {
        let is_stored_so = match column.physical_type() {
            Type::INT32 | Type::INT64 => true,
            Type::FIXED_LEN_BYTE_ARRAY => (1..=MAX_DECIMAL_BYTES).contains(&column.type_length()),
            _ => false,
        };
        if is_stored_so { u32::try_from(scale).ok().map(Self::Decimal) } else { None }
    }

    /// What a column of such values holds, where nothing else is declared.
    pub(crate) fn kind(self) -> ColumnType {
        if self == Self::Text { ColumnType::Category } else { ColumnType::Number }
    }

    /// Whether such values can be ids.
    pub(crate) fn is_id(self) -> bool {
        matches!(self, Self::Text | Self::Signed | Self::Unsigned | Self::Decimal(0))
    }
}

/// The type of a column in words, for an error.
pub(crate) fn describe(column: &ColumnDescriptor) -> String {
    let stored = column.physical_type();
    let name = match column.logical_type_ref() {
        None if column.converted_type() == ConvertedType::NONE => return stored.to_string(),
        None => column.converted_type().to_string(),
        Some(LogicalType::Decimal(kind)) => format!("DECIMAL({}, {})", kind.precision, kind.scale),
        Some(LogicalType::Integer(_)) => "INTEGER".to_owned(),
        Some(LogicalType::String) => "STRING".to_owned(),
        Some(LogicalType::Enum) => "ENUM".to_owned(),
        Some(LogicalType::Date) => "DATE".to_owned(),
        Some(LogicalType::Time(_)) => "TIME".to_owned(),
        Some(LogicalType::Timestamp(_)) => "TIMESTAMP".to_owned(),
        Some(LogicalType::Uuid) => "UUID".to_owned(),
        Some(LogicalType::Float16) => "FLOAT16".to_owned(),
        Some(LogicalType::Json) => "JSON".to_owned(),
        Some(LogicalType::Bson) => "BSON".to_owned(),
        Some(LogicalType::Unknown) => "UNKNOWN".to_owned(),
        Some(_) => "another logical type".to_owned(),
    };
    format!("{name} (stored as {stored})")
}
