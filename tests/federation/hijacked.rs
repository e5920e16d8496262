//! A coordinator that trains no model but pulls a party's codes where it wants them: the party stops, if it notices.

use std::time::Duration;

use hashvfl_attack::active::contrastive::{Contrastive, Memory};
use hashvfl_attack::active::fsha::{Auxiliary, CriticConfig, Fsha, FshaConfig, Objective};
use hashvfl_attack::active::urvfl::{Urvfl, UrvflConfig, UrvflKnowledge};
use hashvfl_core::protocol::message::{Answer, FromCoordinator, FromParty, Request};
use hashvfl_core::random::{stream, uniform};
use hashvfl_core::records::SALT_BYTES;
use hashvfl_core::{
    CodeForm, ExcludedRecords, Gradient, GradientEncoding, PackedCodes, Plan, RowSelection, RunSettings,
};
use hashvfl_data::Matrix;
use hashvfl_learning::bottom::InputShape;
use hashvfl_learning::device::Device;
use hashvfl_learning::encoder::CutLayer;
use hashvfl_learning::schedule::Rates;
use hashvfl_learning::top::loss::Labels;
use hashvfl_learning::{Encoder, EncoderConfig};
use hashvfl_transport::limits::ListenLimits;
use hashvfl_transport::listen::{self, Arrivals, Listener, TrainingStream};
use tokio::runtime::Runtime;

use crate::fixture::{Fixture, RECORDS, Role, command, eventually};

/// Longest wait until the network takes a message.
const SENDING: Duration = Duration::from_secs(60);

/// Goes through the handshake and asks for batch after batch; `pull` makes the gradient that answers the codes of a batch of
/// records.
/// Returns how many batches were answered.
async fn hijack(
    mut stream: TrainingStream,
    settings: &RunSettings,
    mut pull: impl FnMut(&[u32], &[f32]) -> Vec<f32>,
) -> u32 {
    let mut plan = Plan::new(settings, RECORDS).unwrap();
    let mut step = 0;
    stream.send(FromCoordinator::Welcome { salt: [0; SALT_BYTES] }, SENDING).await.unwrap();
    while let Ok(received) = stream.next().await {
        match received.message {
            FromParty::Hello(_) => continue,
            FromParty::Records { .. } => {
                let accepted = FromCoordinator::Accepted { session: None };
                stream.send(accepted, SENDING).await.unwrap();
                let (excluded, heads) = (ExcludedRecords::default(), Vec::new());
                let begin = FromCoordinator::Begin { excluded, heads, resume: None };
                stream.send(begin, SENDING).await.unwrap();
            }
            FromParty::Answer(_, Answer::Codes(bytes)) => {
                let (epoch, batch) = ((step - 1) / plan.batches(), (step - 1) % plan.batches());
                let rows = plan.rows(RowSelection::Batch { epoch, batch }).unwrap();
                let codes = PackedCodes::from_bytes(rows.len(), settings.bits, bytes).unwrap().to_signs();
                let gradient = Gradient::encode(pull(&rows, &codes), settings.bits, settings.gradient);
                let gradient = FromCoordinator::Gradient { step: u64::from(step), gradient };
                let _ = stream.send(gradient, SENDING).await;
            }
            _ => break,
        }
        let (epoch, batch) = (step / plan.batches(), step % plan.batches());
        step += 1;
        let encode = Request::Encode(RowSelection::Batch { epoch, batch });
        if stream.send(FromCoordinator::Request(u64::from(step), encode), SENDING).await.is_err() {
            break;
        }
    }
    step - 1
}

/// A coordinator's port: who drives it, where it is, and the streams of parties that come.
pub fn listening() -> (Runtime, String, Arrivals<TrainingStream>) {
    let runtime = Runtime::new().unwrap();
    let listener = Listener::bind("127.0.0.1:0".parse().unwrap(), ListenLimits::default());
    let listener = runtime.block_on(listener).unwrap();
    let address = listener.address().unwrap().to_string();
    let (arrivals, serving) = listen::training(listener);
    runtime.spawn(serving);
    (runtime, address, arrivals)
}

/// What answers the codes of a batch of records.
type Pull<'a> = Box<dyn FnMut(&[u32], &[f32]) -> Vec<f32> + 'a>;

/// A party of 60 epochs under a hijacker whose gradients are `pull`'s; the line with which it ends, and how many batches it
/// answered.
fn party_of(
    settings: impl FnOnce(&mut RunSettings),
    pull: impl FnOnce(&RunSettings) -> Pull<'static>,
) -> (String, u32) {
    let mut fixture = Fixture::new();
    fixture.settings.epochs = 60;
    settings(&mut fixture.settings);
    party_in(&fixture, pull)
}

/// The same in a fixture.
fn party_in<'a>(fixture: &Fixture, pull: impl FnOnce(&RunSettings) -> Pull<'a>) -> (String, u32) {
    let (runtime, address, mut arrivals) = listening();
    // Before the party waits for it: a hijacker has its head start first.
    let pull = pull(&fixture.settings);
    let mut party = fixture.party("bank", &address);
    let settings = &fixture.settings;
    let answered = runtime.block_on(async { hijack(arrivals.next().await.unwrap(), settings, pull).await });
    (party.fails(), answered)
}

/// Gradients that follow from a party's own codes, as plainly as can be.
fn plain_pull(settings: &RunSettings) -> Pull<'static> {
    let bits = settings.bits;
    Box::new(move |_, codes| {
        let pulled = codes.chunks_exact(bits).flat_map(|code| {
            let next = code.iter().cycle().skip(1);
            code.iter().zip(next).map(|(bit, other)| 0.01 * (bit + 0.5 * other))
        });
        pulled.collect()
    })
}

#[test]
fn a_party_stops_when_it_is_hijacked() {
    let (line, answered) = party_of(|settings| settings.gradient = GradientEncoding::F32, plain_pull);
    assert!(
        line.contains("gradients follow from this party's own codes") && line.contains("having released "),
        "{line}"
    );
    assert!(answered <= 100, "{answered} batches had been answered");
}

/// Returns once the running party of a config says that of itself, and that an alarm was raised.
fn alarmed(config: &str, line: &str) {
    eventually(|| {
        let (_, metrics, errors) = command(&["party", "status", "--metrics", "--config", config]);
        let says = |line: &str| metrics.contains(&format!("\n{line}\n"));
        match says(line) && says("hashvfl_gradient_alarm 1") {
            true => Ok(()),
            false => Err(format!("no alarm: {metrics}{errors}")),
        }
    });
}

/// What a party says that an alarm has stopped and that is up.
const HALTED: &str = "hashvfl_phase{phase=\"halted\"} 1";
/// What the party of `plain_pull` says of its alarm.
const NOTICED: [&str; 4] =
    ["a gradient alarm", "party alarm --config", "from this party's own codes", "having released "];

#[test]
fn an_alarm_lasts_over_restarts_until_somebody_has_dismissed_it() {
    let mut fixture = Fixture::new();
    fixture.settings.epochs = 60;
    fixture.settings.gradient = GradientEncoding::F32;
    fixture.extra.push(("bank", "monitor = \"unix:bank.sock\"".into()));
    let (runtime, address, mut arrivals) = listening();
    let path = fixture.party_config("bank", &address);
    let config = path.to_str().unwrap();
    let start =
        |command: &[&str]| Role::start(&[&["party"][..], command, &["--config"]].concat(), &path, "info");

    // A service stays up, so that whoever asks it hears of the alarm.
    let (mut service, settings) = (start(&["train-and-serve"]), fixture.settings.clone());
    let pull = plain_pull(&settings);
    let answered = runtime.block_on(async { hijack(arrivals.next().await.unwrap(), &settings, pull).await });
    alarmed(config, HALTED);
    // Whoever stops it knows why it ends: no service manager is to call that a failure.
    service.terminate();
    let stopped = service.end();
    assert_eq!((stopped.code, stopped.errors().len()), (Some(130), 0), "{}", stopped.log);
    let last = stopped.log.trim_end().lines().next_back().unwrap();
    assert!(last.starts_with("asked to end while an alarm stands: "), "{last}");
    assert!(NOTICED.iter().all(|part| last.contains(part)), "{last}");
    for end in [start(&[]).end(), start(&["--fresh"]).end()] {
        assert_eq!(end.code, Some(77), "{}", end.log);
        let [line] = end.errors()[..] else { panic!("one clear line expected: {}", end.log) };
        assert!(NOTICED.iter().all(|part| line.contains(part)), "{line}");
    }

    // So it does when it is started again, and nobody hears from it.
    let mut service = start(&["train-and-serve"]);
    alarmed(config, HALTED);
    let mut dialled = |limit| {
        let stream = runtime.block_on(async { tokio::time::timeout(limit, arrivals.next()).await });
        stream.ok().flatten()
    };
    assert!(dialled(Duration::from_millis(500)).is_none());
    let (good, said, errors) = command(&["party", "alarm", "--config", config]);
    assert!(
        good && said.contains("from this party's own codes") && said.contains("--dismiss"),
        "{said}{errors}"
    );
    assert!(dialled(Duration::from_millis(500)).is_none(), "showing it says nothing about it");

    let dismiss = ["party", "alarm", "--dismiss", "--by", "A. Officer", "--config", config];
    let (good, said, errors) = command(&dismiss);
    assert!(good && said.contains("dismissed"), "{said}{errors}");
    let mut stream = dialled(SENDING).expect("the service goes on");
    let first = runtime.block_on(async { stream.next().await.unwrap().message });
    assert!(matches!(first, FromParty::Hello(_)), "{first:?}");
    // What was dismissed stops it no more, and what comes after does: it is halted again.
    let later = runtime.block_on(hijack(stream, &settings, plain_pull(&settings)));
    assert!(later >= answered + 20, "{later} batches after {answered}");
    alarmed(config, HALTED);
    let (good, said, errors) = command(&["party", "alarm", "--config", config]);
    assert!(good && said.contains("this party sends nothing"), "{said}{errors}");
    let (good, trail, errors) = command(&["party", "audit", "show", "--config", config]);
    assert!(
        good && trail.contains(": gradient-alarm") && trail.contains("dismissed by A. Officer"),
        "{trail}{errors}"
    );
    service.kill();
}

/// Feature-space hijacking over the network: pilot, decoder and discriminator learn from the party's codes as they come.
#[test]
fn a_party_stops_under_feature_space_hijacking() {
    for objective in [Objective::Wasserstein(500.0), Objective::JensenShannon] {
        let (line, answered) = party_of(
            |_| (),
            |settings| {
                let mut rng = stream(9, "hijacker's rows", &[]);
                // Columns as the party's, uniform, in standard deviations.
                let values = (0..300 * 3).map(|_| (uniform(&mut rng) - 0.5) * 12.0_f32.sqrt()).collect();
                let auxiliary = Auxiliary { values, columns: 3, scales: Vec::new() };
                let input = InputShape { columns: 3, ..InputShape::default() };
                let (config, device) = (EncoderConfig::default(), Device::flex());
                let (form, rates) = (CodeForm::signs(settings.bits), Rates::of_run(settings, 1000));
                let pilot = Encoder::new(config, CutLayer::Hash, input, form, rates, 5, &device).unwrap();
                let critic = CriticConfig { objective, ..CriticConfig::default() };
                let mut hijacker =
                    Fsha::new(FshaConfig { critic, ..FshaConfig::default() }, pilot, auxiliary);
                Box::new(move |_, codes| hijacker.gradient(codes))
            },
        );
        assert!(line.contains("gradients follow from this party's own codes"), "{objective:?}: {line}");
        assert!(answered <= 100, "{objective:?}: {answered} batches had been answered");
    }
}

/// As much of the gradient's power as the pull has is that of a loss with labels drawn by chance.
#[test]
fn a_party_stops_when_records_are_drawn_to_their_own_earlier_codes() {
    for memory in [Memory::Last, Memory::Lag(2), Memory::Mean, Memory::MeanBut(1)] {
        let (line, answered) = party_of(
            |settings| settings.gradient = GradientEncoding::F32,
            |settings| {
                let (bits, mut rng) = (settings.bits, stream(9, "labels", &[]));
                let mut contrastive = Contrastive::new(memory, 0.2);
                Box::new(move |rows, codes| {
                    let residual: Vec<f32> = rows.iter().map(|_| uniform(&mut rng) - 0.5).collect();
                    let direction = |bit: usize| if bit.is_multiple_of(3) { 0.02 } else { -0.01 };
                    let honest = residual.iter().flat_map(|of| (0..bits).map(move |bit| of * direction(bit)));
                    let mut gradient: Vec<f32> = honest.collect();
                    let (places, pull) = contrastive.pull(rows, codes, bits);
                    for (place, pull) in places.iter().zip(pull.chunks_exact(bits)) {
                        let row = &mut gradient[place * bits..][..bits];
                        row.iter_mut().zip(pull).for_each(|(value, pull)| *value += 0.01 * pull);
                    }
                    gradient
                })
            },
        );
        assert!(line.contains("each record's own codes of earlier epochs"), "{memory:?}: {line}");
        assert!(answered <= 300, "{memory:?}: {answered} batches had been answered");
    }
}

/// A table of the fixture, whose columns are uniform from -0.5 to 0.5, in standard deviations.
fn table(fixture: &Fixture, name: &str) -> Matrix {
    let text = fixture.read(&format!("{name}.csv"));
    let cells = text.lines().skip(1).flat_map(|line| line.split(',').skip(1));
    let values = cells.map(|cell| cell.parse::<f32>().unwrap() * 12.0_f32.sqrt()).collect();
    Matrix::new(RECORDS, 3, values).unwrap()
}

/// Gradients that follow from the code and the label together look like a loss's: the gradient monitor sees nothing, and the run
/// goes on to its end. What codes tell is found by the party's own check.
#[test]
fn a_party_does_not_notice_urvfl_and_its_own_check_ends_the_run() {
    for limit in [None, Some("max_explained = 0.6")] {
        let mut fixture = Fixture::new();
        fixture.settings.epochs = 30;
        if let Some(limit) = limit {
            fixture.extra.push(("bank", "policy = \"policy.toml\"".into()));
            fixture.write("policy.toml", &format!("{limit}\n"));
        }
        let (columns, own) = (table(&fixture, "bank"), table(&fixture, "telecom"));
        let classes = fixture.read("labels.csv");
        let classes = classes.lines().skip(1).map(|line| u32::from(line.ends_with(",1")));
        let labels = Labels::Classes { count: 2, index: classes.collect() };
        let auxiliary: Vec<u32> = (0..RECORDS as u32).step_by(2).collect();
        let (own, pixels) = (Some(&own), false);
        let known = UrvflKnowledge { columns: &columns, auxiliary: &auxiliary, labels: &labels, own, pixels };
        let steps = Plan::new(&fixture.settings, RECORDS).unwrap().updates();
        let (line, answered) = party_in(&fixture, |settings| {
            let (urvfl, config, device) = (UrvflConfig::default(), EncoderConfig::default(), Device::flex());
            let input = InputShape { columns: 3, ..InputShape::default() };
            let rates = Rates::of_run(settings, urvfl.updates(steps));
            let form = CodeForm::signs(settings.bits);
            let surrogate = Encoder::new(config, CutLayer::Hash, input, form, rates, 5, &device).unwrap();
            let mut hijacker = Urvfl::new(&urvfl, surrogate, known, steps);
            Box::new(move |rows, codes| hijacker.gradient(rows, codes))
        });
        assert!(!line.contains("gradients follow from"), "{line}");
        match limit {
            None => assert_eq!(u64::from(answered), steps, "{line}"),
            Some(limit) => assert!(line.contains(limit) && u64::from(answered) < steps, "{answered}: {line}"),
        }
    }
}
