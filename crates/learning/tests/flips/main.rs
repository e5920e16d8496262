//! What randomised response promises, held against what is sent: on neighbouring data sets that differ in one record's
//! columns, no event is so much likelier on one of them that epsilon would have to be larger than stated, at 95 %.
//!
//! The records differ from their neighbours' by being somebody's twin or not, since what two codes tell together is
//! what flips that are drawn from content cannot hide. Each check is also made on flips that are drawn from content,
//! which must fail it.

mod evidence;

use evidence::{Count, lower_epsilon};
use hashvfl_core::codes::randomised_response::{FlipRequest, RequestPlace, Response};
use hashvfl_core::random::{stream, uniform};
use hashvfl_core::{
    CanonicalId, CodeForm, Digest, PackedCodes, Part, PartyName, Plan, RunId, RunSettings, Task,
};
use hashvfl_learning::bottom::{BottomConfig, InputShape, MlpConfig};
use hashvfl_learning::device::{self, Device, DeviceChoice};
use hashvfl_learning::encoder::{CutLayer, Encoder, EncoderConfig};
use hashvfl_learning::hash::HashConfig;
use hashvfl_learning::schedule::Rates;
use hashvfl_learning::top::loss::Labels;
use hashvfl_learning::training::TrainingOptions;
use hashvfl_learning::training::in_process::{InProcessParties, InProcessParty, LocalResponse};
use hashvfl_learning::{Classifier, TopConfig, training};
use rand::rngs::ChaCha20Rng;
use rand::{Rng, SeedableRng};

const BITS: usize = 4;
const EPSILON: f64 = 0.5;
/// What one draw of a record costs.
const DRAW: f64 = EPSILON * BITS as f64;
const COLUMNS: usize = 6;
const RECORDS: usize = 5_000;
const KEY: [u8; 32] = [7; 32];

fn settings() -> RunSettings {
    RunSettings {
        cohort_fraction: 0.2,
        batch_rows: 128.into(),
        learning_rate: 0.01,
        randomised_response: Some(EPSILON),
        ..RunSettings::new(vec![PartyName::new("a").unwrap()], Task::Binary, BITS, 2)
    }
}

fn encoder(plan: &Plan) -> Encoder {
    encoder_on(plan, &Device::flex())
}

fn encoder_on(plan: &Plan, device: &Device) -> Encoder {
    let config = EncoderConfig {
        model: BottomConfig::Mlp(MlpConfig { hidden: vec![8] }),
        // The values before the sign are then the same wherever the encoder is.
        hash: HashConfig { noise: 0.0, ..HashConfig::default() },
        ..EncoderConfig::default()
    };
    let input = InputShape { columns: COLUMNS, ..InputShape::default() };
    let (form, rates) = (CodeForm::signs(settings().bits), Rates::of_run(&settings(), plan.updates()));
    Encoder::new(config, CutLayer::Hash, input, form, rates, 5, device).unwrap()
}

fn drawn(records: usize, purpose: &str) -> Vec<f32> {
    let mut rng = stream(3, purpose, &[]);
    (0..records * COLUMNS).map(|_| uniform(&mut rng) - 0.5).collect()
}

fn id(record: usize) -> CanonicalId {
    CanonicalId::of(&format!("r{record}"), 1)
}

/// A draw from content: flips from key, encoder and the record's columns and id.
fn flip_by_content(values: &mut [f32], content: &[f32], encoder: &Digest) {
    let content: Vec<u8> = content.iter().flat_map(|value| value.to_le_bytes()).collect();
    let parts = [b"hashvfl randomised response".as_slice(), &KEY, &encoder.0, &content];
    let mut draws = ChaCha20Rng::from_seed(Digest::of_parts(parts).0);
    let below = (Response::change_probability(EPSILON, CodeForm::signs(BITS)) * 2_f64.powi(32)).ceil() as u64;
    for value in values {
        let flipped = u64::from(draws.next_u32()) < below;
        *value = if (*value >= 0.0) == flipped { -1.0 } else { 1.0 };
    }
}

/// Signs of two codes that one party has sent.
type Pair = [Vec<f32>; 2];

/// Checks codes of pairs on a data set and its neighbour against `stated`: whether they are equal, and each bit of their
/// XOR. The largest lower epsilon of these events.
fn largest(on_one: &[Pair], on_other: &[Pair]) -> f64 {
    let equal = |pairs: &[Pair]| Count::of(pairs.iter().map(|[one, other]| one == other));
    let bit = |pairs: &[Pair], bit: usize| Count::of(pairs.iter().map(|[one, other]| one[bit] == other[bit]));
    let bits = (0..BITS).map(|at| lower_epsilon(bit(on_one, at), bit(on_other, at)));
    bits.fold(lower_epsilon(equal(on_one), equal(on_other)), f64::max)
}

/// Codes of all records outside the cohort, as a whole run in this process sent them of `columns`.
fn run(columns: &[f32], by_content: bool) -> (Plan, Digest, Vec<Vec<f32>>) {
    let settings = settings();
    let mut plan = Plan::new(&settings, RECORDS).unwrap();
    let gather = |rows: &[u32]| -> Vec<f32> {
        rows.iter().flat_map(|row| columns[*row as usize * COLUMNS..][..COLUMNS].iter().copied()).collect()
    };
    let response = LocalResponse {
        response: Response::new(KEY, EPSILON, CodeForm::signs(BITS)),
        run: RunId::new("spring").unwrap(),
        ids: (0..RECORDS).map(id).collect(),
    };
    let party = InProcessParty {
        encoder: encoder(&plan),
        gather: Box::new(gather),
        response: (!by_content).then_some(response),
    };
    let mut parties = InProcessParties::hashed(vec![party], plan.clone());
    let labels = Labels::Classes { count: 2, index: (0..RECORDS as u32).map(|row| row % 2).collect() };
    let top = TopConfig::default();
    let mut top = Classifier::of_run(&top, labels, &settings, &plan, 1, &Device::flex()).unwrap();
    let outcome = training::train(
        &mut parties,
        &settings,
        &mut plan,
        &mut top,
        TrainingOptions::default(),
        &mut |_| {},
    )
    .unwrap();
    let encoder = outcome.encoders[0];
    let code = |row: u32| {
        let mut signs = outcome.tables[0].signs(&[row]).unwrap();
        if by_content {
            flip_by_content(&mut signs, &gather(&[row]), &encoder);
        }
        signs
    };
    (plan, encoder, (0..RECORDS as u32).map(code).collect())
}

/// Codes of pairs outside the cohort, the second of which is the first one's twin or far from it.
fn pairs(twins: bool, by_content: bool) -> (Digest, Vec<Pair>) {
    let plan = Plan::new(&settings(), RECORDS).unwrap();
    let outside = &plan.part(Part::Train)[plan.part(Part::CohortTrain).len()..];
    let mut columns = drawn(RECORDS, "columns");
    for pair in outside.chunks_exact(2) {
        for column in 0..COLUMNS {
            let value = columns[pair[0] as usize * COLUMNS + column];
            columns[pair[1] as usize * COLUMNS + column] = if twins { value } else { -3.0 * value };
        }
    }
    let (_, encoder, codes) = run(&columns, by_content);
    let code = |row: u32| codes[row as usize].clone();
    (encoder, outside.chunks_exact(2).map(|pair| [code(pair[0]), code(pair[1])]).collect())
}

#[test]
fn a_twin_is_not_told_from_another_record_by_a_run_s_codes() {
    let of = |by_content| {
        let ((encoder, twins), (also, others)) = (pairs(true, by_content), pairs(false, by_content));
        assert_eq!(encoder, also, "an encoder that the records have not shaped");
        assert!(twins.len() > 1_400);
        largest(&twins, &others)
    };
    let (now, before) = (of(false), of(true));
    assert!(now <= DRAW, "{now}");
    assert!(before > DRAW, "the check must tell a draw from content: {before}");
}

/// Codes of records of `columns` by a frozen `encoder` on a device of that name, at a place.
fn respond(
    encoder: &Encoder,
    device: &str,
    place: RequestPlace,
    columns: &[f32],
    by_content: bool,
) -> Vec<Vec<f32>> {
    let records = columns.len() / COLUMNS;
    let mut values = encoder.encode(columns.to_vec(), records);
    if by_content {
        let digest = encoder.digest();
        for (values, content) in values.chunks_exact_mut(BITS).zip(columns.chunks_exact(COLUMNS)) {
            flip_by_content(values, content, &digest);
        }
    } else {
        let ids: Vec<CanonicalId> = (0..records).map(id).collect();
        let encoder = Digest::of_parts([encoder.state_digest().0.as_slice(), device.as_bytes()]);
        let request = FlipRequest { encoder, place, ids: &ids, columns };
        Response::new(KEY, EPSILON, CodeForm::signs(BITS)).respond(&request, &mut values, BITS);
    }
    let codes = PackedCodes::pack(&values, BITS).unwrap().to_signs();
    codes.chunks_exact(BITS).map(<[f32]>::to_vec).collect()
}

/// Checks codes of two versions of records, the second of which is the first again or another one: the neighbours differ
/// in the second version alone, of which there is one draw.
fn check_versions(
    first: &dyn Fn(&[f32], bool) -> Vec<Vec<f32>>,
    second: &dyn Fn(&[f32], bool) -> Vec<Vec<f32>>,
) {
    let version = drawn(2_000, "first version");
    let other: Vec<f32> = version.iter().map(|value| -3.0 * value).collect();
    let of = |by_content| {
        let pairs = |columns: &[f32]| -> Vec<Pair> {
            let versions = first(&version, by_content).into_iter().zip(second(columns, by_content));
            versions.map(|(one, other)| [one, other]).collect()
        };
        largest(&pairs(&version), &pairs(&other))
    };
    let (now, before) = (of(false), of(true));
    assert!(now <= DRAW, "{now}");
    assert!(before > DRAW, "the check must tell a draw from content: {before}");
}

#[test]
fn two_versions_of_a_record_are_not_told_from_one_by_fresh_draws() {
    let encoder = encoder(&Plan::new(&settings(), RECORDS).unwrap());
    let serve = |process: [u8; 32]| {
        let encoder = &encoder;
        move |columns: &[f32], by_content| {
            respond(encoder, "CPU", RequestPlace::Serving { process: &process, draw: 1 }, columns, by_content)
        }
    };
    check_versions(&serve([1; 32]), &serve([2; 32]));
}

#[test]
fn nor_by_draws_on_two_devices_at_one_place() {
    let opened = match device::open(DeviceChoice::Wgpu) {
        Ok(opened) => opened,
        Err(error) => {
            assert!(std::env::var_os("HASHVFL_NEED_WGPU").is_none(), "{error}");
            return eprintln!("skipped: {error}");
        }
    };
    let plan = Plan::new(&settings(), RECORDS).unwrap();
    let (on_cpu, on_wgpu) = (encoder(&plan), encoder_on(&plan, &opened.device));
    let run = RunId::new("spring").unwrap();
    let place = RequestPlace::File { run: &run, part: Part::Test, chunk: 0 };
    check_versions(
        &|columns, by_content| respond(&on_cpu, "CPU", place, columns, by_content),
        &|columns, by_content| respond(&on_wgpu, &opened.name, place, columns, by_content),
    );
}

/// Codes of a record in two batches of an encoder that a coordinator holds: it goes back to a checkpoint in between, where
/// it is let, or sends gradients of nothing.
fn held(near: bool, by_content: bool) -> Vec<Pair> {
    const NEIGHBOURS: usize = 15;
    let run = RunId::new("spring").unwrap();
    let mut encoder = encoder(&Plan::new(&settings(), RECORDS).unwrap());
    let checkpoint = encoder.snapshot();
    let mut of = |trial: usize, epoch: u32| {
        let mut columns = drawn(NEIGHBOURS, &format!("{trial} {epoch}"));
        // On the threshold of all bits its neighbours decide; far from it nobody does.
        columns.extend([if near { 0.0 } else { 40.0 }; COLUMNS]);
        encoder.load(&checkpoint).unwrap();
        let mut values = encoder.encode_batch(columns.clone(), NEIGHBOURS + 1);
        let target = &columns[NEIGHBOURS * COLUMNS..];
        if by_content {
            flip_by_content(&mut values[NEIGHBOURS * BITS..], target, &encoder.digest());
        } else {
            let ids: Vec<CanonicalId> = (0..=NEIGHBOURS).map(|row| id(trial * 100 + row)).collect();
            let place =
                RequestPlace::Run { run: &run, rows: hashvfl_core::RowSelection::Batch { epoch, batch: 0 } };
            let request =
                FlipRequest { encoder: encoder.state_digest(), place, ids: &ids, columns: &columns };
            Response::new(KEY, EPSILON, CodeForm::signs(BITS)).respond(&request, &mut values, BITS);
        }
        PackedCodes::pack(&values[NEIGHBOURS * BITS..], BITS).unwrap().to_signs()
    };
    (0..2_000).map(|trial| [of(trial, 0), of(trial, 1)]).collect()
}

#[test]
fn flips_are_not_cancelled_between_batches_epochs_or_restores() {
    let of = |by_content| largest(&held(true, by_content), &held(false, by_content));
    let (now, before) = (of(false), of(true));
    // The record is drawn of twice.
    assert!(now <= 2.0 * DRAW, "{now}");
    assert!(before > 2.0 * DRAW, "the check must tell a draw from content: {before}");
}
