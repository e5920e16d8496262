//! A party that keeps to nothing: the coordinator says what was wrong and ends, the honest party hears why.

use hashvfl_core::protocol::message::{
    Answer, Confirmation, ExpectedAnswer, FromCoordinator, FromParty, Hello, PROTOCOL_VERSION, Request,
};
use hashvfl_core::records::RecordsDigest;
use hashvfl_core::records::plan::CHUNK_ROWS;
use hashvfl_core::{Digest, ExcludedRecords, PartyName, Plan, RunId};
use hashvfl_proto::v1::PartyMessage;
use hashvfl_proto::v1::federation_client::FederationClient;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::Streaming;

use crate::fixture::{Fixture, RECORDS, command};

/// Bytes of a code of the fixture's 8 bits.
const BYTES: usize = 1;

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

/// An answer of the right kind and length.
fn honest(request: Request, plan: &mut Plan) -> Answer {
    let rows = match request {
        Request::Encode(rows) => plan.rows(rows).unwrap().len(),
        _ => CHUNK_ROWS,
    };
    match request.rule().answer {
        ExpectedAnswer::Codes => Answer::Codes(vec![0; rows * BYTES]),
        ExpectedAnswer::CalibrationPValues => Answer::CalibrationPValues(None),
        ExpectedAnswer::Frozen => Answer::Frozen(Digest([7; 32])),
        ExpectedAnswer::Confirmed(confirmation) => confirmation.into(),
    }
}

/// What an honest party says to a message, with its step; nothing to some.
fn honest_reply(message: FromCoordinator, plan: &mut Plan) -> Option<(u64, FromParty)> {
    Some(match message {
        FromCoordinator::Welcome { salt } => {
            let ids: Vec<String> = (0..RECORDS).map(|record| format!("r{record}")).collect();
            let digest = RecordsDigest::of(&salt, ids.iter().map(String::as_str));
            let (excluded, checkpoints) = (ExcludedRecords::default(), Vec::new());
            (0, FromParty::Records { digest, excluded, head: None, checkpoints })
        }
        FromCoordinator::Accepted { .. }
        | FromCoordinator::Notice { .. }
        | FromCoordinator::Returned(_)
        | FromCoordinator::Begin { .. }
        | FromCoordinator::Heads { .. }
        | FromCoordinator::Gradient { .. } => return None,
        FromCoordinator::Save(id) => (0, FromParty::Saved(id)),
        FromCoordinator::Commit => (0, FromParty::Committed),
        FromCoordinator::Request(step, request) => (step, FromParty::Answer(step, honest(request, plan))),
        FromCoordinator::Refused { text, .. } => panic!("{text}"),
    })
}

/// Joins as telecom, answers as it should up to the first request of this kind, and then with what `answer` makes of its
/// step, or leaves; the coordinator's error, and how the honest party ends.
fn answers(
    fixture: &Fixture,
    at: &str,
    answer: impl Fn(u64) -> Option<FromParty>,
) -> (String, (bool, String)) {
    let (mut coordinator, address) = fixture.coordinator();
    let mut bank = fixture.party("bank", &address);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let mut rogue = Rogue::dial(&address, hello(fixture).into()).await;
        let mut plan = Plan::new(&fixture.settings, RECORDS).unwrap();
        loop {
            let message = rogue.next().await.unwrap_or_else(|| panic!("no {at} came"));
            let kind = message.kind();
            let Some((step, honest)) = honest_reply(message, &mut plan) else { continue };
            if kind != at {
                rogue.send(honest).await;
                continue;
            }
            // It leaves where there is no answer.
            let Some(answer) = answer(step) else { return };
            rogue.send(answer).await;
            while rogue.next().await.is_some() {}
            return;
        }
    });
    // Its connection goes with it.
    drop(runtime);
    (coordinator.fails(), bank.ends())
}

#[test]
fn a_party_that_has_its_model_makes_a_serving_coordinator_load_nothing() {
    let fixture = Fixture::new();
    fixture.run();
    let (mut coordinator, address) = fixture.serve();
    // Whoever would read it now could not.
    std::fs::remove_file(fixture.path("labels.csv")).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        for _ in 0..40 {
            drop(Rogue::dial(&address, hello(&fixture).into()).await);
        }
        let mut asking = Rogue::dial(&address, hello(&fixture).into()).await;
        let mut plan = Plan::new(&fixture.settings, RECORDS).unwrap();
        let welcome = asking.next().await.unwrap();
        let (_, records) = honest_reply(welcome, &mut plan).unwrap();
        asking.send(records).await;
        assert_eq!(asking.next().await, Some(FromCoordinator::Commit), "it is told once more");
        asking.send(FromParty::Committed).await;
        while asking.next().await.is_some() {}
    });
    drop(runtime);
    coordinator.terminate();
    let (good, log) = coordinator.ends();
    assert!(good, "{log}");
    let lines = log.lines().filter(|line| line.contains("refused a party: ")).count();
    assert!((1..20).contains(&lines), "a burst, and a line a second: {log}");
    let config = fixture.path("coordinator.toml").display().to_string();
    let (_, trail, errors) = command(&["coordinator", "audit", "show", "--config", &config]);
    let refused = trail.lines().filter(|line| line.contains(" refused from training")).count();
    assert!((1..10).contains(&refused), "written down, and counted: {trail}{errors}");
}

#[test]
fn a_party_of_the_version_before_takes_part_in_a_run() {
    let fixture = Fixture::new();
    let (mut coordinator, address) = fixture.coordinator();
    let mut bank = fixture.party("bank", &address);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let FromParty::Hello(hello) = hello(&fixture) else { panic!() };
        let hello = FromParty::Hello(Hello { protocol: PROTOCOL_VERSION - 1, ..hello });
        let mut party = Rogue::dial(&address, hello.into()).await;
        let mut plan = Plan::new(&fixture.settings, RECORDS).unwrap();
        let mut finished = false;
        while let Some(message) = party.next().await {
            finished |= message == FromCoordinator::Commit;
            if let Some((_, reply)) = honest_reply(message, &mut plan) {
                party.send(reply).await;
            }
        }
        assert!(finished, "the run ended before its end");
    });
    drop(runtime);
    coordinator.succeeds();
    bank.succeeds();
}

#[test]
fn wrong_answers_end_the_run_with_their_reason() {
    let cases: [(&str, fn(u64) -> FromParty); 5] = [
        ("bytes, but 3 arrived", |step| FromParty::Answer(step, Answer::Codes(vec![0; 3]))),
        ("telecom answered for step 7", |_| FromParty::Answer(7, Answer::Codes(vec![0; 64]))),
        ("telecom sent Finished, expected Codes", |step| {
            FromParty::Answer(step, Confirmation::Finished.into())
        }),
        ("telecom stopped: no disk left", |_| FromParty::Failed { text: "no disk left".into() }),
        ("telecom sent Frozen, expected Codes", |step| {
            FromParty::Answer(step, Answer::Frozen(Digest([0; 32])))
        }),
    ];
    for (expected, answer) in cases {
        let fixture = Fixture::new();
        let (coordinator, (good, bank)) = answers(&fixture, "Encode", |step| Some(answer(step)));
        assert!(coordinator.contains(expected), "{coordinator}");
        assert!(!good && bank.contains("the run has ended") && bank.contains("telecom"), "{bank}");
        assert_eq!(fixture.unfinished(), Vec::<String>::new());
    }
}

#[test]
fn a_party_that_is_lost_at_any_request_leaves_no_finished_run() {
    for at in ["Encode", "Checkpoint", "Freeze", "EncodeSynthetic", "Calibrate", "Finish"] {
        let mut fixture = Fixture::new();
        fixture.settings.calibration_fraction = 0.65;
        fixture.extra.push(("coordinator", "transcript = true".into()));
        fixture.extra.push(("coordinator", "detectors = { level = 0.1 }".into()));
        let (coordinator, (good, bank)) = answers(&fixture, at, |_| None);
        assert!(coordinator.contains("lost telecom"), "{at}: {coordinator}");
        // Asked to write its model, the honest party has written it, and has not been told that it counts.
        assert_eq!(fixture.unfinished(), Vec::<String>::new(), "{at}");
        assert!(!good && bank.contains("the run has ended") && bank.contains("telecom"), "{at}: {bank}");
    }
}

#[test]
fn synthetic_inputs_of_a_wrong_number_end_the_run() {
    let mut fixture = Fixture::new();
    fixture.settings.calibration_fraction = 0.65;
    fixture.extra.push(("coordinator", "detectors = { level = 0.1 }".into()));
    let (coordinator, _) =
        answers(&fixture, "EncodeSynthetic", |step| Some(FromParty::Answer(step, Answer::Codes(vec![0; 3]))));
    assert!(coordinator.contains("bytes, but 3 arrived"), "{coordinator}");
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
                Some(FromCoordinator::Refused { text, .. }) => text,
                other => panic!("{other:?}"),
            }
        })
    };
    let FromParty::Hello(good) = hello(&fixture) else { panic!() };
    let version = refusal(FromParty::Hello(Hello { protocol: 99, ..good.clone() }).into());
    let expected = format!(
        "speaks protocol version 99, but the coordinator accepts only {} to {PROTOCOL_VERSION}",
        PROTOCOL_VERSION - 1
    );
    assert!(version.contains(&expected) && version.contains("install"), "{version}");
    let stranger = PartyName::new("stranger").unwrap();
    let stranger = refusal(FromParty::Hello(Hello { party: stranger, ..good.clone() }).into());
    assert!(stranger.contains("stranger is not among run.parties"), "{stranger}");
    let run = refusal(FromParty::Hello(Hello { run: RunId::new("other").unwrap(), ..good }).into());
    assert!(run.contains("run_id is test at the coordinator but other at the party"), "{run}");
    let silent = refusal(PartyMessage { message: None });
    assert!(silent.contains("lacks its content"), "{silent}");
    let early = refusal(FromParty::Answer(0, Answer::Codes(vec![])).into());
    assert!(early.contains("the first message of a party must be Hello"), "{early}");
}
