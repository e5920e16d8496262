//! TensorBoard's event files: protobuf messages `Event`, each in a frame of TFRecord with two checksums.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, ensure};
use hashvfl_files::write_whole;
use prost::Message;

use super::{Export, Figure};

/// What the first event says.
const FILE_VERSION: &str = "brain.Event:2";

/// `tensorflow.Event`, as far as it is written here (tensorboard/compat/proto/event.proto).
#[derive(Clone, PartialEq, Message)]
struct Event {
    /// Seconds since 1970.
    #[prost(double, tag = "1")]
    wall_time: f64,
    #[prost(int64, tag = "2")]
    step: i64,
    #[prost(string, optional, tag = "3")]
    file_version: Option<String>,
    #[prost(message, optional, tag = "5")]
    summary: Option<ScalarSummary>,
}

/// `tensorflow.Summary`.
#[derive(Clone, PartialEq, Message)]
struct ScalarSummary {
    #[prost(message, repeated, tag = "1")]
    value: Vec<Scalar>,
}

/// `tensorflow.Summary.Value`, of a number.
#[derive(Clone, PartialEq, Message)]
struct Scalar {
    #[prost(string, tag = "1")]
    tag: String,
    #[prost(float, optional, tag = "2")]
    simple_value: Option<f32>,
}

/// Writes the figures of a run into a folder of its own in the log folder `out`; the file.
///
/// # Errors
/// If the run is there already, or a file cannot be written.
pub fn write(export: &Export, out: &Path) -> anyhow::Result<PathBuf> {
    let folder = out.join(&export.run_id);
    ensure!(
        !folder.exists(),
        "{} already exists, and TensorBoard would show two runs as one: remove it, or choose another folder with \
         --out",
        folder.display()
    );
    fs::create_dir_all(&folder).with_context(|| format!("cannot create the folder {}", folder.display()))?;
    let path = folder.join(format!("events.out.tfevents.{}.hashvfl", export.began.as_secs()));
    write_whole(&path, &events(export))?;
    Ok(path)
}

fn events(export: &Export) -> Vec<u8> {
    let wall_time = export.began.as_secs_f64();
    let first = Event { wall_time, step: 0, file_version: Some(FILE_VERSION.to_string()), summary: None };
    let mut bytes = record(&first);
    for Figure { name, step, at, value } in &export.figures {
        let scalar = Scalar { tag: name.clone(), simple_value: Some(*value as f32) };
        let summary = Some(ScalarSummary { value: vec![scalar] });
        let event =
            Event { wall_time: at.as_secs_f64(), step: i64::from(*step), file_version: None, summary };
        bytes.extend(record(&event));
    }
    bytes
}

/// An event in its frame: its length, a checksum of that, the event, a checksum of it.
fn record(event: &Event) -> Vec<u8> {
    let event = event.encode_to_vec();
    let length = (event.len() as u64).to_le_bytes();
    let mut bytes = length.to_vec();
    bytes.extend(checksum(&length));
    bytes.extend(&event);
    bytes.extend(checksum(&event));
    bytes
}

/// CRC-32C, masked as TFRecord wants it: a checksum of bytes that hold checksums would be a weak one.
fn checksum(bytes: &[u8]) -> [u8; 4] {
    crc32c::crc32c(bytes).rotate_right(15).wrapping_add(0xa282_ead8).to_le_bytes()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_record_has_its_length_and_two_masked_checksums() {
        // A time of 0 takes no bytes.
        let first = Event { wall_time: 0.0, step: 0, file_version: Some(FILE_VERSION.into()), summary: None };
        let bytes = record(&first);
        assert_eq!(&bytes[..8], [15, 0, 0, 0, 0, 0, 0, 0]);
        assert_eq!(&bytes[12..14], [0x1a, 13], "field 3, a text of 13 bytes");
        assert_eq!(&bytes[14..27], FILE_VERSION.as_bytes());
        assert_eq!(bytes.len(), 8 + 4 + 15 + 4);
        // The check value of CRC-32C over "123456789" is e3069283.
        let masked = 0xe306_9283_u32.rotate_right(15).wrapping_add(0xa282_ead8);
        assert_eq!(checksum(b"123456789"), masked.to_le_bytes());
    }

    #[test]
    fn what_is_zero_is_written_and_a_run_that_is_there_is_refused() {
        let out = tempfile::tempdir().unwrap();
        let figure = Figure { name: "a".into(), step: 3, at: Duration::from_secs(9), value: 0.0 };
        let export = Export {
            run_id: "spring".into(),
            began: Duration::from_secs(7),
            ended: Duration::from_secs(9),
            settings: Vec::new(),
            figures: vec![figure],
        };
        let path = write(&export, out.path()).unwrap();
        let bytes = fs::read(&path).unwrap();
        let second = u64::from_le_bytes(bytes[..8].try_into().unwrap()) as usize + 16;
        let length = u64::from_le_bytes(bytes[second..second + 8].try_into().unwrap()) as usize;
        let event = Event::decode(&bytes[second + 12..second + 12 + length]).unwrap();
        assert_eq!((event.wall_time, event.step), (9.0, 3));
        assert_eq!(event.summary.unwrap().value[0].simple_value, Some(0.0));
        let again = write(&export, out.path()).unwrap_err().to_string();
        assert!(again.contains("already exists"), "{again}");
    }
}
