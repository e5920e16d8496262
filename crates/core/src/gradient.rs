//! Gradients of a batch of codes, as they go back to a party.

use serde::{Deserialize, Serialize};

/// How gradients travel.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum GradientEncoding {
    /// Four bytes per value.
    F32,
    /// One byte per value and one f32 scale per row: `value = scale * byte`, `scale = max |row| / 127`.
    Int8,
    /// Only signs, one length for all of the batch; they travel as int8 does.
    Sign,
}

impl GradientEncoding {
    /// Bytes that a value takes, scales not counted.
    pub fn bytes_per_value(self) -> usize {
        match self {
            Self::F32 => 4,
            Self::Int8 | Self::Sign => 1,
        }
    }
}

/// Why a gradient is not one for a batch.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum GradientError {
    /// The number of values is wrong.
    #[error("a gradient of {rows} records x {bits} bits needs {expected} values, but {found} arrived")]
    Values {
        /// Records expected.
        rows: usize,
        /// Bits per record expected.
        bits: usize,
        /// Values expected.
        expected: usize,
        /// Values found.
        found: usize,
    },
    /// The number of scales is not the number of rows.
    #[error("an int8 gradient of {rows} records needs {rows} scales, but {found} arrived")]
    Scales {
        /// Records expected.
        rows: usize,
        /// Scales found.
        found: usize,
    },
    /// A value is NaN or infinite.
    #[error("a gradient holds a value that is NaN or infinite")]
    NotFinite,
    /// A byte that no encoder writes.
    #[error("an int8 gradient holds the value {found}: {expected:?} gradients hold -{most} to {most}")]
    Byte {
        /// The agreed encoding.
        expected: GradientEncoding,
        /// The value found.
        found: i8,
        /// The most that the encoding writes.
        most: i8,
    },
    /// A scale that no encoder writes.
    #[error("an int8 gradient holds a scale that is negative, or so large that values overflow")]
    Scale,
    /// Gradients of only signs come with lengths that differ between records.
    #[error("a gradient of signs holds lengths that differ between records: it has one for the whole batch")]
    Lengths,
    /// The encoding is not the agreed one.
    #[error("this run sends gradients as {expected:?}, but {found:?} arrived")]
    Encoding {
        /// The agreed encoding.
        expected: GradientEncoding,
        /// The encoding that came.
        found: GradientEncoding,
    },
}

/// The gradient of the loss with respect to a batch of codes, row-major [rows, bits].
#[derive(Debug, Clone, PartialEq)]
pub enum Gradient {
    /// Values as they are.
    F32(Vec<f32>),
    /// Values quantised a row at a time.
    Int8 {
        /// One scale per row.
        scales: Vec<f32>,
        /// Row-major values.
        values: Vec<i8>,
    },
}

/// The least scale of a row that is not all zeros.
const LEAST_SCALE: f32 = f32::MIN_POSITIVE;

impl Gradient {
    /// Encodes row-major `values` of `bits` columns.
    pub fn encode(values: Vec<f32>, bits: usize, encoding: GradientEncoding) -> Self {
        match encoding {
            GradientEncoding::F32 => Self::F32(values),
            GradientEncoding::Int8 => {
                let mut scales = Vec::with_capacity(values.len() / bits.max(1));
                let mut quantised = Vec::with_capacity(values.len());
                for row in values.chunks(bits) {
                    let largest = largest(row);
                    let scale = largest / 127.0;
                    // Below, one over it would be no number, and so small a gradient is none.
                    let scale = if scale >= LEAST_SCALE { scale } else { 0.0 };
                    let inverse = if scale > 0.0 { 1.0 / scale } else { 0.0 };
                    scales.push(scale);
                    // Half of one more, then cut off: rounds, and the compiler does several at once.
                    quantised.extend(row.iter().map(|v| (v * inverse + 0.5_f32.copysign(*v)) as i8));
                }
                Self::Int8 { scales, values: quantised }
            }
            GradientEncoding::Sign => {
                let power = values.iter().map(|v| f64::from(*v).powi(2)).sum::<f64>();
                let length = (power / values.len().max(1) as f64).sqrt() as f32;
                let sign = |v: &f32| i8::from(*v > 0.0) - i8::from(*v < 0.0);
                let scales = vec![length; values.len() / bits.max(1)];
                Self::Int8 { scales, values: values.iter().map(sign).collect() }
            }
        }
    }

    /// How it travels: f32 or int8.
    pub fn encoding(&self) -> GradientEncoding {
        match self {
            Self::F32(_) => GradientEncoding::F32,
            Self::Int8 { .. } => GradientEncoding::Int8,
        }
    }

    /// Checks a peer's gradient against the batch that it answers.
    pub fn check(&self, rows: usize, bits: usize, encoding: GradientEncoding) -> Result<(), GradientError> {
        let travels = if encoding == GradientEncoding::Sign { GradientEncoding::Int8 } else { encoding };
        if self.encoding() != travels {
            return Err(GradientError::Encoding { expected: encoding, found: self.encoding() });
        }
        let expected = rows * bits;
        let (found, finite) = match self {
            Self::F32(values) => (values.len(), values.iter().all(|v| v.is_finite())),
            Self::Int8 { scales, values } => {
                if scales.len() != rows {
                    return Err(GradientError::Scales { rows, found: scales.len() });
                }
                check_bytes(scales, values, encoding)?;
                (values.len(), scales.iter().all(|v| v.is_finite()))
            }
        };
        if found != expected {
            return Err(GradientError::Values { rows, bits, expected, found });
        }
        if finite { Ok(()) } else { Err(GradientError::NotFinite) }
    }

    /// The values as f32, row-major.
    pub fn decode(&self) -> Vec<f32> {
        match self {
            Self::F32(values) => values.clone(),
            Self::Int8 { scales, values } => {
                let bits = values.len() / scales.len().max(1);
                let mut decoded = Vec::with_capacity(values.len());
                for (row, scale) in values.chunks(bits.max(1)).zip(scales) {
                    decoded.extend(row.iter().map(|value| f32::from(*value) * scale));
                }
                decoded
            }
        }
    }

    /// What names it in a digest: little-endian values, or scales and then values of a byte.
    pub fn to_bytes(&self) -> Vec<u8> {
        let (floats, bytes) = match self {
            Self::F32(values) => (values, &[][..]),
            Self::Int8 { scales, values } => (scales, values.as_slice()),
        };
        let mut named = Vec::with_capacity(4 * floats.len() + bytes.len());
        floats.iter().for_each(|value| named.extend_from_slice(&value.to_le_bytes()));
        named.extend(bytes.iter().map(|value| value.cast_unsigned()));
        named
    }
}

/// Whether an encoder can have written these scales and bytes; what is not finite is for the caller.
fn check_bytes(scales: &[f32], values: &[i8], expected: GradientEncoding) -> Result<(), GradientError> {
    let most = if expected == GradientEncoding::Sign { 1 } else { i8::MAX };
    if let Some(found) = values.iter().copied().find(|value| !(-most..=most).contains(value)) {
        return Err(GradientError::Byte { expected, found, most });
    }
    for scale in scales.iter().filter(|scale| scale.is_finite()) {
        if scale.is_sign_negative() || !(scale * f32::from(most)).is_finite() {
            return Err(GradientError::Scale);
        }
    }
    if expected == GradientEncoding::Sign && scales.windows(2).any(|pair| pair[0] != pair[1]) {
        return Err(GradientError::Lengths);
    }
    Ok(())
}

/// The largest absolute value of a row, several columns at once.
fn largest(row: &[f32]) -> f32 {
    let mut most = [0.0_f32; 8];
    for values in row.chunks(most.len()) {
        for (most, value) in most.iter_mut().zip(values) {
            let value = value.abs();
            *most = if value > *most { value } else { *most };
        }
    }
    most.into_iter().fold(0.0, f32::max)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn int8_is_within_half_a_scale(bits in 1_usize..9, seed in prop::collection::vec(-3.0_f32..3.0, 8..64)) {
            let rows = seed.len() / bits;
            prop_assume!(rows > 0);
            let values = seed[..rows * bits].to_vec();
            let gradient = Gradient::encode(values.clone(), bits, GradientEncoding::Int8);
            prop_assert!(gradient.check(rows, bits, GradientEncoding::Int8).is_ok());
            for (row, back) in values.chunks(bits).zip(gradient.decode().chunks(bits)) {
                let scale = row.iter().fold(0.0_f32, |m, v| m.max(v.abs())) / 127.0;
                for (v, b) in row.iter().zip(back) {
                    prop_assert!((v - b).abs() <= scale * 0.5001 + 1e-12);
                }
            }
        }
    }

    #[test]
    fn gradients_that_have_nearly_vanished_are_zeros_or_small_and_never_what_no_encoder_writes() {
        for largest in [1e-45_f32, 1e-42, 1e-38, 1.4e-36, 1.5e-36, 2e-36, 1e-30, 1e30] {
            let values = vec![largest, -largest, -largest / 3.0, 0.0];
            let gradient = Gradient::encode(values.clone(), 4, GradientEncoding::Int8);
            gradient.check(1, 4, GradientEncoding::Int8).unwrap();
            for (value, back) in values.iter().zip(gradient.decode()) {
                assert!((value - back).abs() <= (largest / 127.0).max(2e-36), "{largest}: {value} {back}");
            }
        }
    }

    #[test]
    fn signs_alone_have_one_length() {
        let gradient = Gradient::encode(vec![3.0, -1.0, 0.0, -2.0, 0.5, 0.1], 3, GradientEncoding::Sign);
        assert!(gradient.check(2, 3, GradientEncoding::Sign).is_ok());
        let length = (14.26_f32 / 6.0).sqrt();
        let expected = [length, -length, 0.0, -length, length, length];
        for (found, wanted) in gradient.decode().into_iter().zip(expected) {
            assert!((found - wanted).abs() < 1e-6);
        }
    }

    #[test]
    fn what_no_encoder_writes_is_refused() {
        let int8 = |scales: &[f32], values: &[i8], encoding| {
            let gradient = Gradient::Int8 { scales: scales.to_vec(), values: values.to_vec() };
            gradient.check(2, 2, encoding)
        };
        let (whole, sign) = (GradientEncoding::Int8, GradientEncoding::Sign);
        assert_eq!(int8(&[1.0, 0.0], &[127, -127, 0, 1], whole), Ok(()));
        let lowest = int8(&[1.0, 1.0], &[0, -128, 0, 0], whole);
        assert!(matches!(lowest, Err(GradientError::Byte { found: -128, most: 127, .. })));
        for scale in [-1.0, -0.0, f32::MAX] {
            assert_eq!(int8(&[1.0, scale], &[0; 4], whole), Err(GradientError::Scale), "{scale}");
        }
        assert_eq!(int8(&[1.0, f32::NAN], &[0; 4], whole), Err(GradientError::NotFinite));
        assert_eq!(int8(&[0.5, 0.5], &[1, -1, 0, 1], sign), Ok(()));
        assert!(matches!(int8(&[0.5, 0.5], &[2, 0, 0, 0], sign), Err(GradientError::Byte { most: 1, .. })));
        assert_eq!(int8(&[0.5, 0.6], &[1; 4], sign), Err(GradientError::Lengths));
    }

    #[test]
    fn wrong_shapes_and_values_are_refused() {
        let encoding = GradientEncoding::F32;
        assert!(Gradient::F32(vec![0.0; 5]).check(2, 3, encoding).is_err());
        assert_eq!(Gradient::F32(vec![f32::NAN; 6]).check(2, 3, encoding), Err(GradientError::NotFinite));
        let int8 = Gradient::Int8 { scales: vec![1.0], values: vec![0; 6] };
        assert!(matches!(int8.check(2, 3, encoding), Err(GradientError::Encoding { .. })));
        assert!(matches!(int8.check(2, 3, GradientEncoding::Int8), Err(GradientError::Scales { .. })));
        assert_eq!(Gradient::encode(vec![0.0; 4], 2, GradientEncoding::Int8).decode(), [0.0; 4]);
    }
}
