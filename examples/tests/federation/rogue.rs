//! A party that keeps to nothing: the coordinator says what was wrong and ends, the honest party hears why.

use hashvfl_core::message::{FromCoordinator, FromParty, Hello, PROTOCOL_VERSION};
use hashvfl_core::records::RecordsDigest;
use hashvfl_core::{LeftOut, PartyName, RunId};
use hashvfl_proto::v1::PartyMessage;
use hashvfl_proto::v1::federation_client::FederationClient;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::Streaming;

use crate::fixture::{Fixture, RECORDS};

struct Rogue {
    outbound: mpsc::Sender<PartyMessage>,
    inbound: Streaming<hashvfl_proto::v1::CoordinatorMessage>,
}

impl Rogue {
    async fn dial(address: &str, first: PartyMessage) -> Self {
        let (outbound, messages) = mpsc::channel(4);
        outbound.send(first).await.unwrap();
        let mut client = FederationClient::connect(format!("http://{address}")).await.unwrap();
        let inbound = client.join(ReceiverStream::new(messages)).await.unwrap().into_inner();
        Self { outbound, inbound }
    }

    async fn next(&mut self) -> Option<FromCoordinator> {
        self.inbound.message().await.ok().flatten().map(|message| message.try_into().unwrap())
    }

    async fn send(&self, message: FromParty) {
        self.outbound.send(message.into()).await.unwrap();
    }
}

fn hello(fixture: &Fixture) -> FromParty {
    let settings = fixture.settings.to_settings();
    FromParty::Hello(Hello {
        protocol: PROTOCOL_VERSION,
        run: RunId::new("test").unwrap(),
        party: PartyName::new("telecom").unwrap(),
        settings_digest: settings.digest(),
        settings,
    })
}

/// Joins as telecom and answers the first request with what `answer` makes of its step; what the coordinator
/// and the honest party say then.
fn answers(answer: impl Fn(u64) -> FromParty) -> (String, String) {
    let fixture = Fixture::new();
    let (mut coordinator, address) = fixture.coordinator();
    let mut bank = fixture.party("bank", &address);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let mut rogue = Rogue::dial(&address, hello(&fixture).into()).await;
        let Some(FromCoordinator::Welcome { salt }) = rogue.next().await else { panic!("no welcome") };
        let ids: Vec<String> = (0..RECORDS).map(|record| format!("r{record}")).collect();
        let records = RecordsDigest::of(&salt, ids.iter().map(String::as_str));
        rogue.send(FromParty::Records { digest: records, left_out: LeftOut::default() }).await;
        assert_eq!(rogue.next().await, Some(FromCoordinator::Accepted));
        assert_eq!(rogue.next().await, Some(FromCoordinator::Begin { left_out: LeftOut::default() }));
        let Some(FromCoordinator::Encode { step, .. }) = rogue.next().await else { panic!("no request") };
        rogue.send(answer(step)).await;
        while rogue.next().await.is_some() {}
    });
    (coordinator.fails(), bank.fails())
}

#[test]
fn wrong_answers_end_the_run_with_their_reason() {
    let cases: [(&str, fn(u64) -> FromParty); 5] = [
        ("bytes, but 3 came", |step| FromParty::Codes { step, bytes: vec![0; 3] }),
        ("telecom answered for step 7", |_| FromParty::Codes { step: 7, bytes: vec![0; 64] }),
        ("telecom sent Finished, expected Codes", |step| FromParty::Finished { step }),
        ("telecom stopped: no disk left", |_| FromParty::Failed { text: "no disk left".into() }),
        ("telecom sent Frozen, expected Codes", |step| FromParty::Frozen {
            step,
            encoder: hashvfl_core::Digest([0; 32]),
        }),
    ];
    for (expected, answer) in cases {
        let (coordinator, bank) = answers(answer);
        assert!(coordinator.contains(expected), "{coordinator}");
        assert!(bank.contains("the run has ended") && bank.contains("telecom"), "{bank}");
    }
}

#[test]
fn greetings_that_do_not_fit_are_refused() {
    let fixture = Fixture::new();
    let (_coordinator, address) = fixture.coordinator();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let refusal = |message: PartyMessage| {
        runtime.block_on(async {
            let mut rogue = Rogue::dial(&address, message).await;
            match rogue.next().await {
                Some(FromCoordinator::Refused { text }) => text,
                other => panic!("{other:?}"),
            }
        })
    };
    let FromParty::Hello(good) = hello(&fixture) else { panic!() };
    let version = refusal(FromParty::Hello(Hello { protocol: 99, ..good.clone() }).into());
    let expected = format!("protocol version 99 is not the coordinator's {PROTOCOL_VERSION}");
    assert!(version.contains(&expected), "{version}");
    let stranger = PartyName::new("stranger").unwrap();
    let stranger = refusal(FromParty::Hello(Hello { party: stranger, ..good.clone() }).into());
    assert!(stranger.contains("stranger is not among run.parties"), "{stranger}");
    let run = refusal(FromParty::Hello(Hello { run: RunId::new("other").unwrap(), ..good }).into());
    assert!(run.contains("run_id is test at the coordinator and other at the party"), "{run}");
    let silent = refusal(PartyMessage { message: None });
    assert!(silent.contains("lacks its content"), "{silent}");
    let early = refusal(FromParty::Codes { step: 0, bytes: vec![] }.into());
    assert!(early.contains("the first message of a party must be Hello"), "{early}");
}
