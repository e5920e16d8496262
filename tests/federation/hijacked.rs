//! A coordinator that trains no model but pulls a party's codes where it wants them: the party stops.

use std::time::Duration;

use hashvfl_attack::active::contrastive::{Contrastive, Memory};
use hashvfl_attack::active::fsha::{Auxiliary, CriticConfig, Fsha, FshaConfig, Objective};
use hashvfl_core::protocol::message::{Answer, FromCoordinator, FromParty, Request};
use hashvfl_core::random::{stream, uniform};
use hashvfl_core::records::SALT_BYTES;
use hashvfl_core::{
    CodeForm, ExcludedRecords, Gradient, GradientEncoding, PackedCodes, Plan, RowSelection, RunSettings,
};
use hashvfl_learning::bottom::InputShape;
use hashvfl_learning::device::Device;
use hashvfl_learning::encoder::CutLayer;
use hashvfl_learning::training::schedule::Rates;
use hashvfl_learning::{Encoder, EncoderConfig};
use hashvfl_transport::limits::Limits;
use hashvfl_transport::listen::{self, Listener, TrainingStream};

use crate::fixture::{Fixture, RECORDS};

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

/// A party under a hijacker whose gradients are `pull`'s; the line with which it ends, and how many batches it answered.
fn party_of(
    settings: impl FnOnce(&mut RunSettings),
    pull: impl FnOnce(&RunSettings) -> Box<dyn FnMut(&[u32], &[f32]) -> Vec<f32>>,
) -> (String, u32) {
    let mut fixture = Fixture::new();
    fixture.settings.epochs = 60;
    settings(&mut fixture.settings);
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let listener =
        runtime.block_on(Listener::bind("127.0.0.1:0".parse().unwrap(), Limits::default())).unwrap();
    let address = listener.address().unwrap().to_string();
    let (mut arrivals, serving) = listen::training(listener);
    runtime.spawn(serving);
    // Before the party waits for it: a hijacker has its head start first.
    let pull = pull(&fixture.settings);
    let mut party = fixture.party("bank", &address);
    let settings = fixture.settings.clone();
    let answered = runtime.block_on(async { hijack(arrivals.next().await.unwrap(), &settings, pull).await });
    (party.fails(), answered)
}

#[test]
fn a_party_stops_when_it_is_hijacked() {
    let (line, answered) = party_of(
        |settings| settings.gradient = GradientEncoding::F32,
        |settings| {
            let bits = settings.bits;
            Box::new(move |_, codes| {
                let pulled = codes.chunks_exact(bits).flat_map(|code| {
                    let next = code.iter().cycle().skip(1);
                    code.iter().zip(next).map(|(bit, other)| 0.01 * (bit + 0.5 * other))
                });
                pulled.collect()
            })
        },
    );
    assert!(
        line.contains("gradients follow from this party's own codes") && line.contains("bits had left"),
        "{line}"
    );
    assert!(answered <= 100, "{answered} batches had been answered");
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
                let auxiliary = Auxiliary { values, columns: 3 };
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
    for memory in [Memory::Last, Memory::Mean] {
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
