//! Parties that wait, are refused, leave and come again before a run begins, over loopback.

use std::path::Path;
use std::time::Instant;

use hashvfl_audit::Service;
use hashvfl_core::protocol::message::{FromCoordinator, FromParty, Hello, PROTOCOL_VERSION};
use hashvfl_core::records::RecordsDigest;
use hashvfl_core::{Address, RunId, RunSettings};
use hashvfl_monitor::{BoardConfig, Status};
use hashvfl_transport::dial::{Dialer, TrainingStream as PartyStream};
use hashvfl_transport::limits::ListenLimits;
use hashvfl_transport::listen::{self, Listener};

use super::*;

/// Longer than anything here takes.
const LONG: Duration = Duration::from_secs(20);

fn name(text: &str) -> PartyName {
    PartyName::new(text).unwrap()
}

/// Admission to a run about the records 1 and 2, and how parties reach it.
struct Port {
    service: AdmissionService,
    run: RunSettings,
    dialer: Dialer,
}

impl Port {
    async fn open(folder: &Path) -> Self {
        Self::open_with(folder, "").await
    }

    /// With these lines of a config beside.
    async fn open_with(folder: &Path, more: &str) -> Self {
        let text = r#"
            run_id = "r"
            listen = "127.0.0.1:0"
            insecure_plaintext = true
            state = "state"
            run = { parties = ["bank", "telecom"], task = "binary", bits = 16, epochs = 3 }
            labels = { format = "csv", paths = ["a.csv"], id = "id", column = "y" }
        "#;
        let config = CoordinatorConfig::parse(&format!("{more}{text}"), folder).unwrap();
        let audit = Arc::new(config.audit_trail().unwrap());
        let status = Status::new("coordinator", config.run_id.clone());
        let board = Arc::new(Board::open(BoardConfig::default(), status).unwrap());
        let run = config.run.clone();
        let log = AdmissionLog::new(audit, Service::Training, run.parties.clone(), Arc::clone(&board));
        let listener = Listener::bind("127.0.0.1:0".parse().unwrap(), ListenLimits::default()).await.unwrap();
        let address: Address = format!("http://{}", listener.address().unwrap()).parse().unwrap();
        let (arrivals, serving) = listen::training(listener);
        tokio::spawn(serving);
        let (ids, streams) = (["1", "2"].map(String::from).to_vec(), PartyStreams::Own(arrivals));
        let service = AdmissionService::open(&config, ids, streams, Arc::new(log), &board).unwrap();
        Self { service, run, dialer: Dialer::new(address, 20) }
    }
}

/// Who is in a run of these settings, and how it comes there.
struct Comer<'a> {
    dialer: &'a Dialer,
    run: &'a RunSettings,
}

impl Comer<'_> {
    /// Opens a stream and greets.
    async fn greet(&self, party: &str) -> PartyStream {
        let settings = self.run.to_settings();
        let hello = Hello {
            protocol: PROTOCOL_VERSION,
            run: RunId::new("r").unwrap(),
            party: name(party),
            settings_digest: settings.digest(),
            settings,
        };
        self.dialer.training(FromParty::Hello(hello)).await.unwrap()
    }

    /// Greets, and answers the welcome with `answer`; what comes then.
    async fn answer(&self, party: &str, answer: Option<FromParty>) -> (PartyStream, FromCoordinator) {
        let mut stream = self.greet(party).await;
        let welcome = heard(&mut stream).await;
        let FromCoordinator::Welcome { salt } = welcome else { panic!("{welcome:?}") };
        let answer = answer.unwrap_or_else(|| FromParty::Records {
            digest: RecordsDigest::of(&salt, ["1", "2"]),
            excluded: ExcludedRecords::default(),
            head: None,
            checkpoints: Vec::new(),
        });
        stream.send(answer, LONG).await.unwrap();
        let told = heard(&mut stream).await;
        (stream, told)
    }

    async fn join(&self, party: &str) -> PartyStream {
        let (stream, told) = self.answer(party, None).await;
        assert!(matches!(told, FromCoordinator::Accepted { .. }), "{told:?}");
        stream
    }

    /// Says that `party` will not take part; what it is told.
    async fn give_up(&self, party: &str) -> FromCoordinator {
        let failed = FromParty::Failed { text: "no such table".into() };
        self.answer(party, Some(failed)).await.1
    }
}

async fn heard(stream: &mut PartyStream) -> FromCoordinator {
    stream.next_within(LONG).await.unwrap().message
}

#[tokio::test]
async fn who_waits_hears_of_a_refusal_at_once_and_one_that_gives_up_ends_the_wait() {
    let folder = tempfile::tempdir().unwrap();
    let Port { mut service, run, dialer } = Port::open(folder.path()).await;
    let right = Comer { dialer: &dialer, run: &run };
    let mut bank = right.join("bank").await;
    let other = RunSettings { bits: 8, ..run.clone() };
    let acting = async {
        let refused = heard(&mut Comer { dialer: &dialer, run: &other }.greet("telecom").await).await;
        let FromCoordinator::Refused { text, .. } = refused else { panic!("{refused:?}") };
        let began = Instant::now();
        assert!(text.contains("run.bits is 16 at the coordinator but 8 at the party"), "{text}");
        let told = "the run waits for telecom (which was refused: its run.bits is not the coordinator's)";
        assert_eq!(heard(&mut bank).await, FromCoordinator::Notice { text: told.into() });
        assert!(began.elapsed() < Duration::from_secs(4), "{:?}", began.elapsed());
        // Another process of a party that is in holds nothing up.
        for party in ["bank", "telecom"] {
            let told = right.give_up(party).await;
            assert!(matches!(told, FromCoordinator::Refused { .. }), "{told:?}");
        }
    };
    let mut tell = |_: &PartyName| {};
    let (ended, ()) = tokio::join!(service.everybody(&mut tell), acting);
    let gave_up = StartError::GaveUp { party: name("telecom"), text: "no such table".into() };
    assert_eq!(ended.unwrap_err().downcast_ref(), Some(&gave_up));
}

#[tokio::test]
async fn a_party_that_fails_on_its_way_back_ends_the_wait_for_nobody() {
    let folder = tempfile::tempdir().unwrap();
    let Port { service, run, dialer } = Port::open(folder.path()).await;
    let mut service = service.outlasting_failures(true);
    let comer = Comer { dialer: &dialer, run: &run };
    let mut bank = comer.join("bank").await;
    let acting = async {
        let told = comer.give_up("telecom").await;
        assert!(matches!(told, FromCoordinator::Refused { .. }), "{told:?}");
        let told = "the run waits for telecom (which will not take part: its own log says why)";
        assert_eq!(heard(&mut bank).await, FromCoordinator::Notice { text: told.into() });
        comer.join("telecom").await
    };
    let mut tell = |_: &PartyName| {};
    let (count, _telecom) = tokio::join!(service.everybody(&mut tell), acting);
    assert_eq!(count.unwrap(), 2);
}

#[tokio::test]
async fn a_party_that_left_and_is_there_again_in_time_keeps_the_run_from_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let Port { mut service, run, dialer } = Port::open(folder.path()).await;
    let comer = Comer { dialer: &dialer, run: &run };
    let first = comer.join("bank").await;
    let _telecom = comer.join("telecom").await;
    drop(first);
    while !service.context.admission().missing().contains(&name("bank")) {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let _bank = comer.join("bank").await;
    // All of that is looked at only now: both are there, and behind that bank's first process leaves.
    let mut tell = |_: &PartyName| {};
    tokio::time::timeout(LONG, service.hand_over(&mut tell)).await.unwrap().unwrap();
    assert_eq!(service.handed.len(), 2);
}

#[tokio::test]
async fn nobody_waits_without_end_for_a_stream_that_is_not_handed_over() {
    let folder = tempfile::tempdir().unwrap();
    let Port { mut service, run, dialer } =
        Port::open_with(folder.path(), "timeouts = { step_s = 1 }\n").await;
    let _telecom = Comer { dialer: &dialer, run: &run }.join("telecom").await;
    // As of a party that was let in again and is lost in that moment.
    service.context.admission().accept(&name("bank")).unwrap();
    assert!(service.context.events.send(Event::Ready(name("bank"))).await.is_ok());
    let mut tell = |_: &PartyName| {};
    let ended = tokio::time::timeout(LONG, service.hand_over(&mut tell)).await.unwrap().unwrap_err();
    let Some(NetworkError::Lost { step: 0, party, .. }) = ended.downcast_ref() else { panic!("{ended}") };
    assert_eq!(*party, name("bank"));
}

#[tokio::test]
async fn parties_whose_streams_were_handed_over_already_hear_that_the_run_does_not_begin() {
    let folder = tempfile::tempdir().unwrap();
    let Port { mut service, run, dialer } = Port::open(folder.path()).await;
    let comer = Comer { dialer: &dialer, run: &run };
    let parties = [comer.join("bank").await, comer.join("telecom").await];
    let mut tell = |_: &PartyName| {};
    // It is asked to end right after it has said that the run begins.
    tokio::select! {
        biased;
        _ = service.hand_over(&mut tell) => panic!("both were handed over within one look"),
        () = std::future::ready(()) => {}
    }
    tokio::time::sleep(Duration::from_millis(50)).await;
    let parting = StartNotice { text: "not today".into(), is_interruption: true };
    let hearing = async {
        for mut party in parties {
            let told = FromCoordinator::Refused { text: "not today".into(), try_again: true };
            assert_eq!(heard(&mut party).await, told);
        }
    };
    tokio::join!(service.send_away(parting), hearing);
}
