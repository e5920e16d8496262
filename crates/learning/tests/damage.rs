//! Each bit of a small model's file flipped in turn: it is refused, or read as what was written.

use std::fs::OpenOptions;
use std::io::{Seek, SeekFrom, Write};

use hashvfl_core::{PartyName, Plan, RunSettings, Task};
use hashvfl_learning::bottom::{BottomConfig, InputShape, MlpConfig};
use hashvfl_learning::device::Device;
use hashvfl_learning::encoder::{CutLayer, Encoder, EncoderConfig};
use hashvfl_learning::schedule::Rates;
use hashvfl_learning::snapshot::{Snapshot, SnapshotError};
use hashvfl_learning::top::classifier::{Classifier, TopConfig};
use hashvfl_learning::top::loss::Labels;

const ROWS: usize = 20;

fn settings() -> RunSettings {
    RunSettings::new(vec![PartyName::new("a").unwrap()], Task::Binary, 2, 1)
}

/// Fails if a bit of the file that `snapshot` becomes can flip with another result than an error that names the file.
fn each_bit_is_found(snapshot: &Snapshot) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.safetensors");
    snapshot.write(&path).unwrap();
    let whole = std::fs::read(&path).unwrap();
    // Tells 0.0 from -0.0, which are equal.
    let written = format!("{snapshot:?}");
    // In place: file systems take long over files that are emptied and written again.
    let mut file = OpenOptions::new().write(true).open(&path).unwrap();
    let mut put = |at: usize, byte: u8| {
        file.seek(SeekFrom::Start(at as u64)).unwrap();
        file.write_all(&[byte]).unwrap();
    };
    for (at, byte) in whole.iter().enumerate() {
        for bit in 0..8 {
            put(at, byte ^ 1 << bit);
            match Snapshot::read(&path) {
                Ok(read) => assert_eq!(format!("{read:?}"), written, "bit {bit} of byte {at}"),
                Err(error) => {
                    assert!(!matches!(error, SnapshotError::Read { .. }), "{error}");
                    assert!(error.to_string().contains("model.safetensors"), "{error}");
                }
            }
        }
        put(at, *byte);
    }
    assert_eq!(std::fs::read(&path).unwrap(), whole);
}

#[test]
fn each_bit_of_a_top_model_flipped_in_turn_is_found_or_harmless() {
    let labels = Labels::Classes { count: 2, index: (0..ROWS as u32).map(|row| row % 2).collect() };
    let plan = Plan::new(&settings(), ROWS).unwrap();
    let config = TopConfig { hidden: vec![2], ..TopConfig::default() };
    let mut top = Classifier::of_run(&config, labels, &settings(), &plan, 1, &Device::flex()).unwrap();
    top.step(&[vec![1.0, -1.0, -1.0, 1.0]], &[0, 1]);
    let mut snapshot = top.snapshot();
    top.meaning().put(&mut snapshot);
    snapshot.text.insert("classes".into(), r#"["no","yes"]"#.into());
    each_bit_is_found(&snapshot);
}

#[test]
fn each_bit_of_a_bottom_model_flipped_in_turn_is_found_or_harmless() {
    each_bit_of_a_bottom_model_is_found(&settings());
}

#[test]
fn each_bit_of_a_bottom_model_of_levels_flipped_in_turn_is_found_or_harmless() {
    each_bit_of_a_bottom_model_is_found(&RunSettings { bits: 4, bits_per_latent: 2, ..settings() });
}

fn each_bit_of_a_bottom_model_is_found(settings: &RunSettings) {
    let config =
        EncoderConfig { model: BottomConfig::Mlp(MlpConfig { hidden: vec![2] }), ..EncoderConfig::default() };
    let input = InputShape { columns: 2, ..InputShape::default() };
    let (form, rates) = (settings.code_of(&settings.parties[0]), Rates::of_run(settings, ROWS as u64));
    let mut encoder = Encoder::new(config, CutLayer::Hash, input, form, rates, 1, &Device::flex()).unwrap();
    encoder.encode_batch(vec![0.5, -0.25, 0.0, 1.0], 2);
    encoder.learn(vec![0.01, -0.01, 0.01, -0.01]);
    each_bit_is_found(&encoder.snapshot());
}
