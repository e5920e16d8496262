//! Every bottom model learns, and a snapshot in a new encoder encodes and goes on exactly like the old one.

use hashvfl_core::random::stream;
use hashvfl_core::{CodeForm, Part, PartyName, RowSelection, RunSettings, Task};
use hashvfl_learning::bottom::{BottomConfig, Categories, CnnConfig, InputShape, MlpConfig, ResNet18Config};
use hashvfl_learning::device::Device;
use hashvfl_learning::encoder::{CutLayer, Encoder, EncoderConfig};
use hashvfl_learning::schedule::Rates;
use rand::Rng;

const ROWS: usize = 32;
const BITS: usize = 8;

fn encoder(model: &BottomConfig, seed: u64) -> Encoder {
    let config = EncoderConfig { model: model.clone(), ..EncoderConfig::default() };
    let input = InputShape { columns: 64, image: Some([1, 8, 8]), ..InputShape::default() };
    encoder_of(config, input, seed)
}

fn encoder_of(config: EncoderConfig, input: InputShape, seed: u64) -> Encoder {
    encoder_under(&settings(), config, input, seed)
}

fn settings() -> RunSettings {
    RunSettings::new(vec![PartyName::new("a").unwrap()], Task::Binary, BITS, 1)
}

fn encoder_under(settings: &RunSettings, config: EncoderConfig, input: InputShape, seed: u64) -> Encoder {
    let (form, rates) = (settings.code_of(&settings.parties[0]), Rates::of_run(settings, 20));
    Encoder::new(config, CutLayer::Hash, input, form, rates, seed, &Device::flex()).unwrap()
}

fn columns(batch: u64) -> Vec<f32> {
    let mut rng = stream(batch, "columns", &[]);
    (0..ROWS * 64).map(|_| rng.next_u32() as f32 / u32::MAX as f32 - 0.5).collect()
}

/// One step whose gradient pulls every bit to +1.
fn step(encoder: &mut Encoder, batch: u64) -> Vec<f32> {
    let values = encoder.encode_batch(columns(batch), ROWS);
    encoder.learn((0..ROWS * BITS).map(|at| if at % 3 == 0 { 0.01 } else { -0.01 }).collect());
    values
}

#[test]
fn a_snapshot_is_the_whole_encoder() {
    let models = [
        BottomConfig::Mlp(MlpConfig { hidden: vec![16] }),
        BottomConfig::Cnn(CnnConfig { channels: vec![4, 4], hidden: 8, ..CnnConfig::default() }),
        BottomConfig::ResNet18(ResNet18Config { width: 2 }),
    ];
    for model in &models {
        let mut old = encoder(model, 1);
        let before = old.digest();
        (0..3).for_each(|batch| drop(step(&mut old, batch)));
        assert_ne!(old.digest(), before, "{model:?} learns");
        let rows: Vec<u32> = (0..ROWS as u32).collect();
        old.calibrate(&rows, &|_| columns(0));
        // The same seed, since noise and dropout of later steps are drawn from it; other weights until loaded.
        let mut new = encoder(model, 1);
        new.load(&old.snapshot()).unwrap();
        assert_eq!(new.digest(), old.digest(), "{model:?}");
        assert_eq!(new.encode(columns(9), ROWS), old.encode(columns(9), ROWS), "{model:?}");
        for batch in 4..6 {
            assert_eq!(step(&mut new, batch), step(&mut old, batch), "{model:?} goes on to the bit");
        }
        assert_eq!(new.digest(), old.digest(), "{model:?}");
    }
}

#[test]
fn a_snapshot_is_the_whole_encoder_of_levels() {
    let of_levels = RunSettings { bits_per_latent: 4, ..settings() };
    let input = InputShape { columns: 64, ..InputShape::default() };
    let make = || encoder_under(&of_levels, EncoderConfig::default(), input.clone(), 1);
    let learn = |encoder: &mut Encoder, batch: u64| {
        let codes = encoder.encode_batch(columns(batch), ROWS);
        encoder.learn((0..ROWS * 2).map(|at| if at % 3 == 0 { 0.01 } else { -0.01 }).collect());
        codes
    };
    let mut old = make();
    let before = old.digest();
    assert_eq!(learn(&mut old, 0).len(), ROWS * BITS);
    assert_ne!(old.digest(), before);
    let rows: Vec<u32> = (0..ROWS as u32).collect();
    old.freeze(&rows, &|rows| columns(0)[..rows.len() * 64].to_vec());
    let mut new = make();
    new.load(&old.snapshot()).unwrap();
    assert_eq!((new.digest(), new.encode(columns(9), ROWS)), (old.digest(), old.encode(columns(9), ROWS)));
    assert_eq!(learn(&mut new, 4), learn(&mut old, 4), "it goes on to the bit");
    // Thresholds are part of what a digest names.
    let mut moved = old.snapshot();
    moved.arrays.get_mut("hash.threshold").unwrap().values[0] -= 0.5;
    let mut other = make();
    other.load(&moved).unwrap();
    assert_ne!(other.digest(), old.digest());
    // Levels cut otherwise are another model's, and so are signs.
    for bits_per_latent in [1, 2] {
        let other = RunSettings { bits_per_latent, ..settings() };
        let mut other = encoder_under(&other, EncoderConfig::default(), input.clone(), 1);
        assert!(other.load(&old.snapshot()).is_err());
    }
}

#[test]
fn an_embedding_learns_and_is_part_of_the_snapshot() {
    let input = || {
        let categories = vec![Categories { column: 3, count: 5, width: 4 }];
        InputShape { columns: 64, image: None, categories }
    };
    let columns = |batch: u64| {
        let mut columns = columns(batch);
        columns.iter_mut().skip(3).step_by(64).enumerate().for_each(|(row, value)| *value = (row % 5) as f32);
        columns
    };
    let mut old = encoder_of(EncoderConfig::default(), input(), 1);
    let table = |encoder: &Encoder| {
        encoder
            .snapshot()
            .arrays
            .iter()
            .find(|(name, _)| name.ends_with("tables.0"))
            .unwrap()
            .1
            .values
            .clone()
    };
    let before = table(&old);
    assert_eq!(before[..4], [0.0; 4], "what has no name is nothing at first");
    for batch in 0..3 {
        old.encode_batch(columns(batch), ROWS);
        old.learn((0..ROWS * BITS).map(|at| if at % 3 == 0 { 0.01 } else { -0.01 }).collect());
    }
    assert!(before.iter().zip(table(&old)).all(|(before, after)| *before != after), "every row is learned");
    let mut new = encoder_of(EncoderConfig::default(), input(), 2);
    new.load(&old.snapshot()).unwrap();
    assert_eq!((new.digest(), new.encode(columns(9), ROWS)), (old.digest(), old.encode(columns(9), ROWS)));
    let cnn = EncoderConfig { model: BottomConfig::Cnn(CnnConfig::default()), ..EncoderConfig::default() };
    let (form, rates) = (CodeForm::signs(BITS), Rates::of_run(&settings(), 20));
    let refused = Encoder::new(cnn, CutLayer::Hash, input(), form, rates, 1, &Device::flex());
    assert!(refused.err().unwrap().to_string().contains("does not support embedded categories"));
}

#[test]
fn a_code_is_the_same_alone_and_in_any_batch() {
    let mut encoder = encoder(&BottomConfig::Mlp(MlpConfig { hidden: vec![16] }), 1);
    let values = columns(0);
    let gather = |rows: &[u32]| -> Vec<f32> {
        rows.iter().flat_map(|row| values[*row as usize * 64..][..64].iter().copied()).collect()
    };
    let rows: Vec<u32> = (0..ROWS as u32).collect();
    encoder.freeze(&rows, &gather);
    let together = encoder.encode(gather(&rows), ROWS);
    for row in &rows {
        let alone = encoder.encode(gather(&[*row]), 1);
        assert_eq!(alone, together[*row as usize * BITS..][..BITS]);
        let other = encoder.encode(gather(&[ROWS as u32 - 1 - row, *row]), 2);
        assert_eq!(alone, other[BITS..]);
    }
}

/// The codes of the same records as a part of a run that learns, in chunk `chunk`.
fn of_part(encoder: &mut Encoder, part: Part, chunk: u32) -> Vec<bool> {
    let values = encoder.encode_selected(RowSelection::Chunk { part, chunk }, columns(0), ROWS);
    values.into_iter().map(|value| value >= 0.0).collect()
}

#[test]
fn levels_of_validation_records_are_drawn_as_those_of_training_records() {
    let input = InputShape { columns: 64, ..InputShape::default() };
    let of_levels = RunSettings { bits_per_latent: 4, ..settings() };
    for settings in [settings(), of_levels] {
        for (noise, dropout) in [(0.0, 0.0), (0.5, 0.0), (0.0, 0.5)] {
            let mut config = EncoderConfig { dropout, ..EncoderConfig::default() };
            config.hash.noise = noise;
            let make = || {
                let mut encoder = encoder_under(&settings, config.clone(), input.clone(), 1);
                let rows: Vec<u32> = (0..ROWS as u32).collect();
                encoder.calibrate(&rows, &|_| columns(0));
                encoder
            };
            let mut encoder = make();
            let plain = of_part(&mut encoder, Part::Test, 0);
            let first = of_part(&mut encoder, Part::CohortValidation, 0);
            // Levels vary without noise and dropout, too: as by the statistics of batches.
            let is_plain = settings.bits_per_latent == 1;
            assert_eq!(plain == first, is_plain, "noise {noise}, dropout {dropout}");
            let other = of_part(&mut encoder, Part::CohortValidation, 1);
            assert_eq!(first == other, plain == first, "each chunk has draws of its own");
            // Asked again, also after a restart, it answers the same: nothing can be averaged.
            assert_eq!(of_part(&mut encoder, Part::CohortValidation, 0), first);
            assert_eq!(of_part(&mut make(), Part::CohortValidation, 0), first);
            // What is kept after the freeze is the code itself.
            assert_eq!(of_part(&mut encoder, Part::Validation, 0), plain);
        }
    }
}

#[test]
fn noise_that_falls_is_wide_at_first_and_the_usual_one_later() {
    let input = InputShape { columns: 64, ..InputShape::default() };
    // Of 20 updates, noise falls over the first 4.
    let run = |initial_noise: Option<f32>| {
        let mut config = EncoderConfig::default();
        config.hash.noise = 0.0;
        (config.hash.initial_noise, config.hash.noise_decay_fraction) = (initial_noise, Some(0.2));
        config.check().unwrap();
        encoder_of(config, input.clone(), 1)
    };
    let (mut plain, mut falling) = (run(None), run(Some(3.0)));
    let signs = |values: Vec<f32>| values.into_iter().map(|value| value >= 0.0).collect::<Vec<_>>();
    assert_ne!(signs(step(&mut plain, 0)), signs(step(&mut falling, 0)));
    (1..4).for_each(|batch| drop(step(&mut falling, batch)));
    // From here on it is the encoder that has no noise, at the same weights.
    plain.load(&falling.snapshot()).unwrap();
    assert_eq!(step(&mut plain, 4), step(&mut falling, 4));
    let mut wrong = EncoderConfig::default();
    wrong.hash.noise_decay_fraction = Some(0.0);
    let said = wrong.check().unwrap_err().to_string();
    assert_eq!(said, "hash.noise_decay_fraction must be above 0 and at most 1, not 0");
    let mut rises = EncoderConfig::default();
    (rises.hash.noise, rises.hash.initial_noise) = (0.5, Some(0.3));
    let said = rises.check().unwrap_err().to_string();
    assert_eq!(said, "hash.initial_noise must be finite and at least hash.noise, to which it falls, not 0.3");
    rises.hash.initial_noise = Some(0.5);
    rises.check().unwrap();
}
