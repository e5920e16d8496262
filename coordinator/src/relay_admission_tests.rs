//! Whom the relay lets in over TLS, and what is written down of them and of those whom it does not.

use std::collections::BTreeMap;
use std::path::Path;

use hashvfl_audit::{AuditConfig, AuditTrail, LogChain, Service, Side};
use hashvfl_core::protocol::message::PROTOCOL_VERSION;
use hashvfl_core::{Address, RunId};
use hashvfl_identity::{
    Acceptor, Authority, Connector, Identity, IdentityConfig, IdentityFiles, IdentityPaths, issue,
};
use hashvfl_monitor::{Board, BoardConfig, Status};
use hashvfl_transport::dial::{AlignmentStream as HolderStream, Dialer};
use hashvfl_transport::limits::ListenLimits;
use hashvfl_transport::listen::{Listener, alignment};

use super::*;
use crate::identity;

/// Longer than anything here takes.
const LONG: Duration = Duration::from_secs(20);

fn name(text: &str) -> PartyName {
    PartyName::new(text).unwrap()
}

fn settings(most_records: u64) -> AlignmentSettings {
    let text = format!(
        "id = \"spring\"\nholders = [\"bank\", \"telecom\", \"shop\"]\ncomparer = \"shop\"\nmost_records = {most_records}\n"
    );
    toml::from_str(&text).unwrap()
}

/// What is written down in `folder` of those who are refused.
fn admission_log(folder: &Path, board: &Arc<Board>) -> Arc<AdmissionLog> {
    let mut config = AuditConfig::default();
    config.resolve(folder, &folder.join("ledger.redb"), &folder.join("state")).unwrap();
    let run = RunId::new("spring").unwrap();
    let audit = Arc::new(AuditTrail::open(&config, Side::Coordinator, &run, None).unwrap());
    let holders = settings(100).holders;
    Arc::new(AdmissionLog::new(audit, Service::Alignment, holders, Arc::clone(board)))
}

/// The relay `shop` and others with certificates in `folder`.
fn enrol_all(folder: &Path) {
    let mut authority = Authority::create(&folder.join("authority"), &name("shop")).unwrap();
    for who in ["coordinator/shop", "party/bank", "party/telecom", "client/desk"] {
        let who: Identity = who.parse().unwrap();
        issue(&mut authority, &IdentityPaths::in_folder(&folder.join(who.name.as_str())), &who, 30).unwrap();
    }
}

fn files(folder: &Path, who: &str) -> Arc<IdentityFiles> {
    let mut config = IdentityConfig::in_folder(&folder.join(who));
    if who == "shop" {
        config.revoked = Some(folder.join("authority/revoked.pem"));
    }
    IdentityFiles::load(&config).unwrap()
}

/// The stream that `who` opens by its certificate, to enrol as `holder` with these settings.
async fn enrol(
    folder: &Path,
    address: &Address,
    who: &str,
    holder: &str,
    most_records: u64,
) -> Result<HolderStream, String> {
    let settings = settings(most_records).to_settings();
    let enrol = FromHolder::Enrol {
        protocol: PROTOCOL_VERSION,
        holder: name(holder),
        settings_digest: settings.digest(),
        settings,
    };
    let connector = Connector::new(files(folder, who), None);
    let dialer = Dialer::new(address.clone(), LONG.as_secs()).secured(connector);
    dialer.alignment(enrol).await.map_err(|error| error.to_string())
}

/// What the relay says to a holder that it refuses.
async fn refusal(mut stream: HolderStream) -> String {
    match stream.next_within(LONG).await.unwrap().message {
        FromRelay::Refused { text } => text,
        _ => panic!("it is not refused"),
    }
}

#[tokio::test]
async fn a_holder_enrols_under_the_name_of_its_certificate_alone_and_others_are_written_down() {
    let place = tempfile::tempdir().unwrap();
    let folder = place.path();
    enrol_all(folder);
    let status = Status::new("coordinator", RunId::new("spring").unwrap());
    let board = Arc::new(Board::open(BoardConfig::default(), status).unwrap());
    let (hub, admissions) = (RelayHub::new(settings(100)), admission_log(folder, &board));
    let listener = Listener::bind("127.0.0.1:0".parse().unwrap(), ListenLimits::default()).await.unwrap();
    let acceptor = Acceptor::new(files(folder, "shop"), identity::parties(&settings(100).holders));
    let account = Arc::new(HolderAccount { hub: Arc::clone(&hub), admissions: Arc::clone(&admissions) });
    let listener = listener.secured(acceptor).accounted(account);
    let address: Address = format!("http://{}", listener.address().unwrap()).parse().unwrap();
    let (arrivals, serving) = alignment(listener);
    tokio::spawn(serving);
    tokio::spawn(attend(Arc::clone(&hub), arrivals, admissions, LONG));

    let text = refusal(enrol(folder, &address, "bank", "telecom", 100).await.unwrap()).await;
    assert!(text.contains("the certificate names party/bank"), "{text}");
    let text = refusal(enrol(folder, &address, "telecom", "telecom", 99).await.unwrap()).await;
    assert!(text.contains("most_records is 100 at the relay and 99 at telecom"), "{text}");
    let error = enrol(folder, &address, "desk", "bank", 100).await.err().unwrap();
    assert!(error.contains("does not let client/desk in here"), "{error}");
    assert!(hub.is_empty());
    // The right ones are let in, and hear of those who were refused by their certificate's name, and of each other.
    let mut telecom = enrol(folder, &address, "telecom", "telecom", 100).await.unwrap();
    let heard = telecom.next_within(LONG).await.unwrap().message;
    let is_bank = |holder: &PartyName| *holder == name("bank");
    assert!(matches!(heard, FromRelay::Absence { holder, refused: true } if is_bank(&holder)));
    let _bank = enrol(folder, &address, "bank", "bank", 100).await.unwrap();
    let heard = telecom.next_within(LONG).await.unwrap().message;
    assert!(matches!(heard, FromRelay::Presence { holder, here: true } if is_bank(&holder)));

    let expected = ["not-expected", "other-name", "other-settings"].map(|why| (why.to_string(), 1));
    assert_eq!(board.status().refusals, BTreeMap::from(expected));
    let log = LogChain::read(&folder.join("ledger.audit/log.jsonl")).unwrap();
    let told: Vec<String> = log.entries.iter().skip(1).map(hashvfl_audit::LogEntry::describe).collect();
    assert_eq!(
        told,
        [
            "bank refused from alignment: other-name",
            "telecom refused from alignment: other-settings",
            "client/desk refused from alignment: not-expected",
            "telecom joined alignment",
            "bank joined alignment",
        ]
    );
}
