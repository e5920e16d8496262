//! Tables as attacks take them, for who repeats the main rows of a report by other code (`attack/again.py`): NumPy files, one row
//! for each record of the run.

use std::path::Path;

use hashvfl_data::Matrix;
use hashvfl_files::{WriteError, write_whole};

use crate::evaluation::victim::VictimContext;
use crate::evidence::knowledge::label_values;

/// Bytes of which a header and what stands before it are a multiple, so that numbers begin where a processor likes it.
const ALIGNED: usize = 64;

/// Writes the victim's columns, those of the adversary's own organisation if it has any, and the labels into `out`.
///
/// # Errors
/// If a file cannot be written.
pub fn keep(victim: &VictimContext, out: &Path) -> Result<(), WriteError> {
    let records = victim.owner.columns.rows();
    let all: Vec<u32> = (0..records as u32).collect();
    let labels = label_values(&victim.evidence.labels, &all);
    let write = |name: &str, values: &[f32]| write_whole(&out.join(name), &npy(records, values));
    write("victim.npy", victim.owner.columns.values())?;
    if let Some(own) = victim.own.map(Matrix::values) {
        write("own.npy", own)?;
    }
    write("labels.npy", &labels)
}

/// `values` [rows, ..] as NumPy reads them (format 1.0).
fn npy(rows: usize, values: &[f32]) -> Vec<u8> {
    let columns = values.len() / rows.max(1);
    let mut header = format!("{{'descr': '<f4', 'fortran_order': False, 'shape': ({rows}, {columns}), }}");
    // Magic, version and length are ten bytes; the header ends with a line break.
    let bare = 10 + header.len() + 1;
    header.push_str(&" ".repeat(bare.next_multiple_of(ALIGNED) - bare));
    header.push('\n');
    let mut bytes = b"\x93NUMPY\x01\x00".to_vec();
    bytes.extend((header.len() as u16).to_le_bytes());
    bytes.extend(header.into_bytes());
    bytes.extend(values.iter().flat_map(|value| value.to_le_bytes()));
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_is_a_file_of_numpy() {
        let bytes = npy(2, &[1.0, 2.0, 3.0, 4.0, 5.0, -6.0]);
        assert_eq!(&bytes[..8], b"\x93NUMPY\x01\x00");
        let length = usize::from(u16::from_le_bytes([bytes[8], bytes[9]]));
        assert_eq!((10 + length) % ALIGNED, 0);
        let header = std::str::from_utf8(&bytes[10..10 + length]).unwrap();
        assert!(
            header.starts_with("{'descr': '<f4', 'fortran_order': False, 'shape': (2, 3), }"),
            "{header}"
        );
        assert!(header.ends_with(" \n"));
        assert_eq!(bytes.len(), 10 + length + 6 * 4);
        assert_eq!(bytes[bytes.len() - 4..], (-6.0_f32).to_le_bytes());
    }
}
