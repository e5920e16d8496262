//! A serving party that keeps to nothing: it is sent away, and the coordinator serves on.

use std::collections::BTreeMap;
use std::thread;

use hashvfl_core::p_value::Grid;
use hashvfl_core::protocol::message::{Hello, PROTOCOL_VERSION};
use hashvfl_core::protocol::serving_party::{FromServingParty, Serving, ToServingParty};
use hashvfl_core::records::RecordsDigest;
use hashvfl_core::{Digest, PartyName, RunId};
use hashvfl_proto::v1::inference_client::InferenceClient;
use hashvfl_proto::v1::{ServingCoordinatorMessage, ServingPartyMessage};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::Streaming;

use crate::fixture::{Fixture, RECORDS};
use crate::predict::{ids, outcomes, predict};

struct Rogue {
    outbound: mpsc::Sender<ServingPartyMessage>,
    inbound: Streaming<ServingCoordinatorMessage>,
}

impl Rogue {
    async fn dial(address: &str, first: FromServingParty) -> Self {
        let (outbound, messages) = mpsc::channel(4);
        outbound.send(first.into()).await.unwrap();
        let mut client = InferenceClient::connect(format!("http://{address}")).await.unwrap();
        let inbound = client.serve(ReceiverStream::new(messages)).await.unwrap().into_inner();
        Self { outbound, inbound }
    }

    async fn next(&mut self) -> ToServingParty {
        self.inbound.message().await.unwrap().unwrap().try_into().unwrap()
    }

    async fn send(&self, message: FromServingParty) {
        self.outbound.send(message.into()).await.unwrap();
    }
}

#[test]
fn a_party_that_keeps_to_nothing_is_sent_away_and_the_coordinator_serves_on() {
    let mut fixture = Fixture::new();
    fixture.extra.push(("coordinator", "serve = { absent = \"refuse\" }".into()));
    fixture.run();
    let (coordinator, address) = fixture.serve();
    let settings = fixture.settings.to_settings();
    let hello = FromServingParty::Hello(Hello {
        protocol: PROTOCOL_VERSION,
        run: RunId::new("test").unwrap(),
        party: PartyName::new("telecom").unwrap(),
        settings_digest: settings.digest(),
        settings,
    });
    let summary = fixture.summary();
    let encoder = Digest::from_hex(summary["encoders_sha256"]["telecom"].as_str().unwrap()).unwrap();
    let _bank = fixture.party_serves("bank", &address);
    coordinator.wait_for("\"joined\",\"party\":\"bank\"");
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let join = |encoder: Digest, p_values: Option<Grid>| {
        runtime.block_on(async {
            let mut rogue = Rogue::dial(&address, hello.clone()).await;
            let ToServingParty::Welcome { salt } = rogue.next().await else { panic!("no welcome") };
            let all = ids(0..RECORDS);
            let records = RecordsDigest::of(&salt, all.iter().map(String::as_str));
            let revision = Digest([1; 32]);
            rogue
                .send(FromServingParty::Serving(Serving { records, encoder, revision, p_values, head: None }))
                .await;
            let answer = rogue.next().await;
            (rogue, answer)
        })
    };
    let (_, refused) = join(Digest([7; 32]), None);
    let ToServingParty::Refused { text, .. } = refused else { panic!("{refused:?}") };
    assert!(text.contains("serves codes of another bottom model"), "{text}");
    let granted =
        |refused: Vec<u32>| FromServingParty::Granted { request: 1, refused, reason: String::new() };
    let codes = |bytes| FromServingParty::Codes { request: 1, bytes, p_values: vec![] };
    let p_values = |p_values| FromServingParty::Codes { request: 1, bytes: vec![0; 3], p_values };
    let wrong: [(&str, Vec<FromServingParty>); 7] = [
        ("sent Codes, expected Granted", vec![codes(vec![0; 3])]),
        ("bytes, but 2 arrived", vec![granted(vec![]), codes(vec![0; 2])]),
        ("refuses records that it was not asked for", vec![granted(vec![3])]),
        ("which it did not announce in Serving", vec![granted(vec![]), p_values(vec![0, 0])]),
        (
            "p-values of 4 bits each, packed as codes are: codes of 3",
            vec![granted(vec![]), p_values(vec![0])],
        ),
        ("unused bits after the last code", vec![granted(vec![]), p_values(vec![0, 0xf0])]),
        ("no disk left", vec![FromServingParty::Failed { text: "no disk left".into() }]),
    ];
    for (expected, messages) in wrong {
        let announced = expected.contains("4 bits") || expected.contains("unused");
        let (mut rogue, accepted) = join(encoder, announced.then_some(Grid::FINE));
        assert_eq!(accepted, ToServingParty::Accepted);
        let text = thread::scope(|scope| {
            let asking = scope.spawn(|| predict(&fixture, &address, &ids(0..3)));
            let text = runtime.block_on(async {
                let ToServingParty::Encode { rows, .. } = rogue.next().await else { panic!("no request") };
                assert_eq!(rows, [0, 1, 2]);
                for message in messages {
                    rogue.send(message).await;
                }
                match rogue.next().await {
                    ToServingParty::Refused { text, .. } => text,
                    other => panic!("{other:?}"),
                }
            });
            let (rows, _) = asking.join().unwrap();
            assert_eq!(outcomes(&rows), BTreeMap::from([("party away", 3)]));
            text
        });
        assert!(text.contains(expected), "{text}");
    }
}
