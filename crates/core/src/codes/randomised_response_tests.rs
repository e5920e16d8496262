use super::*;
use crate::name::PartyName;
use crate::settings::Task;

const SIGNS: CodeForm = CodeForm::signs(8);
const PLAIN: [f32; 8] = [1.0, -1.0, 0.0, -0.5, 2.0, -2.0, 1e-9, -1e-9];

/// A request of `records`, the number of each of which is its id and its column.
struct Asked {
    encoder: Digest,
    run: RunId,
    rows: RowSelection,
    ids: Vec<CanonicalId>,
    columns: Vec<f32>,
}

fn asked(records: std::ops::Range<usize>) -> Asked {
    Asked {
        encoder: Digest::of(b"weights"),
        run: RunId::new("spring").unwrap(),
        rows: RowSelection::Chunk { part: Part::Test, chunk: 0 },
        ids: records.clone().map(|record| CanonicalId::of(&record.to_string(), 1)).collect(),
        columns: records.flat_map(|record| [record as f32, 0.5]).collect(),
    }
}

fn response() -> Response {
    Response::new([7; KEY_BYTES], 0.1, SIGNS)
}

fn flips(response: &Response, asked: &Asked) -> (Vec<[bool; 8]>, Vec<DrawName>) {
    let place = RequestPlace::Run { run: &asked.run, rows: asked.rows };
    flips_at(response, asked, place)
}

fn flips_at(response: &Response, asked: &Asked, place: RequestPlace) -> (Vec<[bool; 8]>, Vec<DrawName>) {
    let request = FlipRequest { encoder: asked.encoder, place, ids: &asked.ids, columns: &asked.columns };
    let mut values = PLAIN.repeat(asked.ids.len());
    let names = response.respond(&request, &mut values, 8);
    let record = |sent: &[f32]| std::array::from_fn(|bit| (sent[bit] > 0.0) != (PLAIN[bit] >= 0.0));
    (values.chunks(8).map(record).collect(), names)
}

/// Share of bits that are flipped in both or in neither: half of them where epsilon is small and draws are independent.
fn agreement(one: &[[bool; 8]], other: &[[bool; 8]]) -> f64 {
    let (one, other) = (one.as_flattened(), other.as_flattened());
    one.iter().zip(other).filter(|(one, other)| one == other).count() as f64 / one.len() as f64
}

fn independent(one: &[[bool; 8]], other: &[[bool; 8]]) -> bool {
    let share = Response::change_probability(0.1, SIGNS);
    let expected = share * share + (1.0 - share) * (1.0 - share);
    let deviation = (expected * (1.0 - expected) / (8 * one.len()) as f64).sqrt();
    (agreement(one, other) - expected).abs() < 5.0 * deviation
}

#[test]
fn flips_happen_as_often_as_defined() {
    for epsilon in [0.5, 1.0, 2.0, 4.0] {
        let response = Response::new([7; KEY_BYTES], epsilon, SIGNS);
        let (flipped, _) = flips(&response, &asked(0..20_000));
        let flipped = flipped.as_flattened();
        let count = flipped.len() as f64;
        let rate = flipped.iter().filter(|flip| **flip).count() as f64 / count;
        let expected = Response::change_probability(epsilon, SIGNS);
        let deviation = (expected * (1.0 - expected) / count).sqrt();
        assert!((rate - expected).abs() < 4.0 * deviation, "{epsilon}: {rate} {expected}");
        assert!((f64::from(response.expectation()) - (1.0 - 2.0 * expected)).abs() < 1e-6);
        // The ratio of the two probabilities is what epsilon bounds.
        assert!(((1.0 - expected) / expected).ln() <= epsilon + 1e-9);
    }
}

#[test]
fn a_byte_identical_repeat_of_a_request_repeats() {
    assert_eq!(flips(&response(), &asked(0..50)), flips(&response(), &asked(0..50)));
}

#[test]
fn whatever_differs_in_a_request_gives_all_its_records_independent_flips() {
    let records = 2_000;
    let (base, names) = flips(&response(), &asked(0..records));
    let mut others = vec![("key", flips(&Response::new([8; KEY_BYTES], 0.1, SIGNS), &asked(0..records)))];
    let mut changed = |what, change: &dyn Fn(&mut Asked)| {
        let mut asked = asked(0..records);
        change(&mut asked);
        others.push((what, flips(&response(), &asked)));
    };
    changed("encoder", &|asked| asked.encoder = Digest::of(b"other weights"));
    changed("run", &|asked| asked.run = RunId::new("autumn").unwrap());
    changed("chunk", &|asked| asked.rows = RowSelection::Chunk { part: Part::Test, chunk: 1 });
    changed("part", &|asked| asked.rows = RowSelection::Chunk { part: Part::Train, chunk: 0 });
    changed("batch", &|asked| asked.rows = RowSelection::Batch { epoch: 2, batch: 0 });
    changed("a neighbour's columns", &|asked| asked.columns[1] = 0.25);
    changed("a neighbour's id", &|asked| asked.ids[0] = CanonicalId::of("new", 1));
    let asked = asked(0..records);
    let (run, chunk) = (&asked.run, 0);
    for (what, place) in [
        ("drawn", RequestPlace::Drawn { run, chunk }),
        ("file", RequestPlace::File { run, part: Part::Test, chunk }),
        ("serving", RequestPlace::Serving { process: &[1; 32], draw: 0 }),
        ("serving again", RequestPlace::Serving { process: &[1; 32], draw: 1 }),
        ("another process", RequestPlace::Serving { process: &[2; 32], draw: 0 }),
    ] {
        others.push((what, flips_at(&response(), &asked, place)));
    }
    for (index, (what, (flipped, other_names))) in others.iter().enumerate() {
        assert!(independent(&base, flipped), "{what}: {}", agreement(&base, flipped));
        assert!(names.iter().zip(other_names).all(|(one, other)| one != other), "{what}");
        for (other, (also, _)) in &others[..index] {
            assert!(independent(also, flipped), "{what} and {other}");
        }
    }
}

#[test]
fn equal_columns_under_two_ids_are_flipped_independently() {
    let mut twins = asked(0..4_000);
    twins.columns.fill(0.5);
    let (flipped, names) = flips(&response(), &twins);
    let (even, odd): (Vec<_>, Vec<_>) = flipped.chunks(2).map(|pair| (pair[0], pair[1])).unzip();
    assert!(independent(&even, &odd), "{}", agreement(&even, &odd));
    assert_ne!(names[0], names[1]);
}

#[test]
fn what_is_no_number_is_not_made_a_bit() {
    let run = RunId::new("spring").unwrap();
    let request = FlipRequest {
        encoder: Digest::of(b"a"),
        place: RequestPlace::Drawn { run: &run, chunk: 0 },
        ids: &[],
        columns: &[0.0],
    };
    let mut values = [f32::NAN, 1.0];
    response().respond(&request, &mut values, 2);
    assert!(values[0].is_nan() && values[1].abs() == 1.0);
}

/// How often each level is sent for each level that a latent has.
fn sent_levels(epsilon: f64, form: CodeForm) -> Vec<Vec<f64>> {
    let run = RunId::new("spring").unwrap();
    let response = Response::new([7; KEY_BYTES], epsilon, form);
    let (levels, draws) = (form.levels(), 40_000);
    let mut shares = vec![vec![0.0; levels]; levels];
    for (level, shares) in shares.iter_mut().enumerate() {
        let mut code = vec![0.0; form.bits()];
        code.chunks_mut(form.bits_per_latent()).for_each(|bits| form.put_level(level, bits));
        let mut values = code.repeat(draws / form.latents());
        let place = RequestPlace::Drawn { run: &run, chunk: level as u32 };
        let request = FlipRequest { encoder: Digest::of(b"a"), place, ids: &[], columns: &[] };
        response.respond(&request, &mut values, form.bits());
        for bits in values.chunks(form.bits_per_latent()) {
            shares[CodeForm::level(bits)] += 1.0 / draws as f64;
        }
    }
    shares
}

#[test]
fn each_other_level_is_sent_as_often_as_any_and_epsilon_bounds_the_ratio() {
    let form = CodeForm::new(2, 3);
    for epsilon in [0.5, 1.0, 3.0] {
        let changed = Response::change_probability(epsilon, form);
        let mut mean = vec![0.0; form.levels()];
        for (level, shares) in sent_levels(epsilon, form).into_iter().enumerate() {
            for (sent, share) in shares.into_iter().enumerate() {
                let expected = if sent == level { 1.0 - changed } else { changed / form.thresholds() as f64 };
                let deviation = (expected * (1.0 - expected) / 40_000.0).sqrt();
                assert!((share - expected).abs() < 5.0 * deviation, "{level} as {sent}: {share} {expected}");
                mean[level] += share * f64::from(form.value(sent));
            }
        }
        // The ratio of the two probabilities is what epsilon bounds.
        let ratio = (1.0 - changed) / (changed / form.thresholds() as f64);
        assert!(ratio.ln() <= epsilon + 1e-9, "{ratio}");
        let left = f64::from(Response::new([7; KEY_BYTES], epsilon, form).expectation());
        for (level, mean) in mean.iter().enumerate() {
            let expected = left * f64::from(form.value(level));
            assert!((mean - expected).abs() < 0.03, "{level}: {mean} {expected}");
        }
    }
}

#[test]
fn the_probability_that_is_drawn_by_is_never_below_what_epsilon_asks_for() {
    for bits_per_latent in 1..=8 {
        let form = CodeForm::new(1, bits_per_latent);
        for epsilon in [1e-6, 0.1, 1.0, 7.0, 20.0] {
            let response = Response::new([7; KEY_BYTES], epsilon, form);
            // Of 2^32 draws of which other level it is, the rarest level gets so many at least.
            let others = form.thresholds() as u64;
            let rarest = ((1_u64 << 32) / others) as f64 / 2_f64.powi(32);
            let changed = response.below as f64 / 2_f64.powi(32);
            assert!((1.0 - changed) <= epsilon.exp() * changed * rarest, "{form:?}, {epsilon}");
        }
    }
}

#[test]
fn what_is_no_number_is_not_made_a_level() {
    let run = RunId::new("spring").unwrap();
    let (form, place) = (CodeForm::new(2, 2), RequestPlace::Drawn { run: &run, chunk: 0 });
    let request = FlipRequest { encoder: Digest::of(b"a"), place, ids: &[], columns: &[0.0] };
    let mut values = [f32::NAN, f32::NAN, 1.0, -1.0];
    Response::new([7; KEY_BYTES], 0.1, form).respond(&request, &mut values, 4);
    assert!(values[..2].iter().all(|bit| bit.is_nan()) && values[2..].iter().all(|bit| bit.abs() == 1.0));
}

#[test]
fn the_cost_is_told_a_bit_a_draw_and_over_a_run() {
    let new = RunSettings::new(vec![PartyName::new("a").unwrap()], Task::Binary, 16, 16);
    assert_eq!(cost_in_words(&new, CodeForm::signs(16)), None);
    let levels = RunSettings { randomised_response: Some(2.0), ..new.clone() };
    assert!(
        cost_in_words(&levels, CodeForm::new(4, 4)).unwrap().contains("epsilon 2 per latent, 8 per draw")
    );
    let said = cost_in_words(&levels, CodeForm::signs(16)).unwrap();
    assert!(
        said.contains("epsilon 2 per bit, 32 per draw")
            && said.contains("no finite epsilon (formal sum 512)"),
        "{said}"
    );
}
