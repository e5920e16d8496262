//! Whoever has no certificate that counts is refused at each service: with one line in the log, and one word to whoever keeps
//! account.

use std::fmt::Debug;
use std::fs;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use hashvfl_core::protocol::message::{FromParty, Hello, PROTOCOL_VERSION};
use hashvfl_core::protocol::serving_party::FromServingParty;
use hashvfl_core::{Address, PartyName, RunId, RunSettings, Task};
use hashvfl_identity::{
    Acceptor, Authority, Connector, Identity, IdentityConfig, IdentityFiles, IdentityPaths, Permitted, Role,
    issue,
};
use hashvfl_proto::alignment::FromHolder;
use hashvfl_proto::v1;
use hashvfl_transport::dial::Dialer;
use hashvfl_transport::limits::ListenLimits;
use hashvfl_transport::limits::clients::AnswerSize;
use hashvfl_transport::limits::gate::PortAccount;
use hashvfl_transport::listen::{self, Listener, Predictions, Rejection};
use rcgen::{
    CertificateParams, IsCa, Issuer, KeyPair, KeyUsagePurpose, SanType, SerialNumber, date_time_ymd,
};
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Level, Metadata, Subscriber};

/// Longer than anything here takes.
const LONG: Duration = Duration::from_secs(20);

/// Warnings of a port.
#[derive(Clone, Default)]
struct Warnings(Arc<Mutex<Vec<String>>>);

struct Line<'a>(&'a mut String);

impl Visit for Line<'_> {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        if field.name() == "message" {
            *self.0 = format!("{value:?}");
        }
    }
}

impl Subscriber for Warnings {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        *metadata.level() <= Level::WARN && metadata.target().starts_with("hashvfl_transport::limits")
    }

    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn event(&self, event: &Event<'_>) {
        let mut line = String::new();
        event.record(&mut Line(&mut line));
        self.0.lock().unwrap().push(line);
    }

    fn enter(&self, _: &Id) {}

    fn exit(&self, _: &Id) {}
}

/// Who was turned away, and why.
#[derive(Default)]
struct Account(Mutex<Vec<(Option<String>, &'static str)>>);

impl PortAccount for Account {
    fn turned_away(&self, who: Option<&Identity>, why: &'static str) {
        self.0.lock().unwrap().push((who.map(ToString::to_string), why));
    }

    fn look(&self) {}
}

/// Nobody is let in to ask.
struct Nothing;

impl Predictions for Nothing {
    fn model(&self, _: Option<&PartyName>) -> v1::Model {
        v1::Model::default()
    }

    fn answer_size(&self) -> AnswerSize {
        AnswerSize { records: 1, record_bytes: 1 }
    }

    async fn predict(
        self: Arc<Self>,
        _: Option<PartyName>,
        _: usize,
        _: Vec<String>,
    ) -> Result<v1::Predictions, Rejection> {
        Ok(v1::Predictions::default())
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Port {
    Training,
    Serving,
    Alignment,
}

impl Port {
    /// Listens for the parties bank, post and farm, where predictions are served for any client too.
    async fn open(self, coordinator: &Arc<IdentityFiles>, account: &Arc<Account>) -> Address {
        let names = ["bank", "post", "farm"].map(|name| PartyName::new(name).unwrap());
        let mut permitted = Permitted::nobody().and_named(Role::Party, names);
        if self == Self::Serving {
            permitted = permitted.and_every(Role::Client);
        }
        let listener = Listener::bind("127.0.0.1:0".parse().unwrap(), ListenLimits::default()).await.unwrap();
        let address = format!("http://{}", listener.address().unwrap()).parse().unwrap();
        let account = Arc::clone(account);
        let acceptor = Acceptor::new(Arc::clone(coordinator), permitted);
        let listener = listener.secured(acceptor).accounted(account);
        match self {
            Self::Training => {
                let (arrivals, serving) = listen::training(listener);
                serve(arrivals, serving);
            }
            Self::Serving => {
                let (arrivals, serving) = listen::serving(listener, Arc::new(Nothing));
                serve(arrivals, serving);
            }
            Self::Alignment => {
                let (arrivals, serving) = listen::alignment(listener);
                serve(arrivals, serving);
            }
        }
        address
    }

    /// Why a party that dials gets no stream.
    async fn refuses(self, dialer: &Dialer) -> String {
        let party = PartyName::new("bank").unwrap();
        let settings = RunSettings::new(vec![party.clone()], Task::Binary, 16, 3).to_settings();
        let (settings_digest, run) = (settings.digest(), RunId::new("r").unwrap());
        let hello = Hello { protocol: PROTOCOL_VERSION, run, party, settings, settings_digest };
        let error = match self {
            Self::Training => dialer.training(FromParty::Hello(hello)).await.err(),
            Self::Serving => dialer.serving(FromServingParty::Hello(hello)).await.err(),
            Self::Alignment => {
                let Hello { protocol, party: holder, settings, settings_digest, .. } = hello;
                let enrol = FromHolder::Enrol { protocol, holder, settings, settings_digest };
                dialer.alignment(enrol).await.err()
            }
        };
        error.expect("nobody is let in").to_string()
    }
}

/// Drives a server, whose streams are kept for nobody.
fn serve<Arrivals, Ended>(arrivals: Arrivals, serving: impl Future<Output = Ended> + Send + 'static)
where
    Arrivals: Send + 'static,
    Ended: Send + 'static,
{
    tokio::spawn(async move {
        let ended = serving.await;
        drop(arrivals);
        ended
    });
}

/// An authority in `folder`, and whom it has signed.
fn enrol(folder: &Path, all: &[&str]) {
    let shop = PartyName::new("shop").unwrap();
    let mut authority = Authority::create(&folder.join("authority"), &shop).unwrap();
    for who in all {
        let who: Identity = who.parse().unwrap();
        issue(&mut authority, &IdentityPaths::in_folder(&folder.join(who.name.as_str())), &who, 90).unwrap();
    }
}

fn files(folder: &Path, who: &str) -> Arc<IdentityFiles> {
    let mut config = IdentityConfig::in_folder(&folder.join(who));
    if who == "shop" {
        config.revoked = Some(folder.join("authority/revoked.pem"));
    }
    IdentityFiles::load(&config).unwrap()
}

fn key(path: &Path) -> KeyPair {
    KeyPair::from_pem(&fs::read_to_string(path).unwrap()).unwrap()
}

/// Puts a certificate of the year 2020 in place of that of the party `name`, behind the authority's back.
fn expire(folder: &Path, name: &str) {
    let keep = folder.join("authority");
    let authority = fs::read_to_string(keep.join("authority.pem")).unwrap();
    let issuer = Issuer::from_ca_cert_pem(&authority, key(&keep.join("authority-key.pem"))).unwrap();
    let mut params = CertificateParams::default();
    params.subject_alt_names = vec![SanType::URI(format!("hashvfl://party/{name}").try_into().unwrap())];
    params.is_ca = IsCa::ExplicitNoCa;
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.serial_number = Some(SerialNumber::from_slice(&[0x41, 2, 3]));
    (params.not_before, params.not_after) = (date_time_ymd(2020, 1, 1), date_time_ymd(2020, 12, 31));
    let own = folder.join(name);
    let certificate = params.signed_by(&key(&own.join("key.pem")), &issuer).unwrap();
    fs::write(own.join("certificate.pem"), certificate.pem()).unwrap();
}

/// What one who was turned away has left: a line, and a word.
async fn left(warnings: &Warnings, account: &Account) -> (Vec<String>, Vec<(Option<String>, &'static str)>) {
    let told = async {
        while account.0.lock().unwrap().is_empty() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(LONG, told).await.expect("somebody is told");
    let lines = std::mem::take(&mut *warnings.0.lock().unwrap());
    (lines, std::mem::take(&mut *account.0.lock().unwrap()))
}

#[tokio::test]
async fn each_certificate_that_does_not_count_is_refused_at_each_service_with_one_line() {
    let (place, elsewhere) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let folder = place.path();
    enrol(
        folder,
        &["coordinator/shop", "party/bank", "party/post", "party/farm", "party/mill", "client/app"],
    );
    // Of an authority of the same name, with the same name in its certificate, and it trusts this one.
    enrol(elsewhere.path(), &["party/bank"]);
    fs::copy(folder.join("bank/authority.pem"), elsewhere.path().join("bank/authority.pem")).unwrap();
    let stranger = files(elsewhere.path(), "bank");
    let (bank, mill, app) = (files(folder, "bank"), files(folder, "mill"), files(folder, "app"));
    // It would not start with an expired certificate: that is put under it.
    let post = files(folder, "post");
    expire(folder, "post");
    let revoked: Identity = "party/bank".parse().unwrap();
    Authority::open(&folder.join("authority")).unwrap().revoke(&revoked, "lost").unwrap();
    let shop = files(folder, "shop");

    let (warnings, account) = (Warnings::default(), Arc::new(Account::default()));
    let _captured = tracing::subscriber::set_default(warnings.clone());
    for port in [Port::Training, Port::Serving, Port::Alignment] {
        let address = port.open(&shop, &account).await;
        // Clients come to the port where predictions are served, and open no stream of a party there.
        let other_role = if port == Port::Serving { "other-role" } else { "not-expected" };
        for (files, who, why) in [
            (&stranger, None, "stranger"),
            (&bank, Some("party/bank"), "revoked"),
            (&post, Some("party/post"), "expired"),
            (&mill, Some("party/mill"), "not-expected"),
            (&app, Some("client/app"), other_role),
        ] {
            let dialer = Dialer::new(address.clone(), LONG.as_secs());
            let dialer = dialer.secured(Connector::new(Arc::clone(files), None));
            let heard = port.refuses(&dialer).await;
            let (lines, told) = left(&warnings, &account).await;
            assert_eq!(told, [(who.map(str::to_string), why)], "{port:?}: {heard}");
            assert_eq!(lines.len(), 1, "{port:?}, {why}: {lines:?}");
            let expected = who.unwrap_or("was not signed by an authority");
            assert!(lines[0].contains(expected) && lines[0].contains("127.0.0.1"), "{lines:?}");
            // Whoever is refused hears of nothing here.
            assert!(!heard.contains(&folder.display().to_string()), "{heard}");
        }
    }
    // A party asks for no predictions.
    let address = Port::Serving.open(&shop, &account).await;
    let connector = Connector::new(files(folder, "farm"), None);
    let asked = Dialer::new(address, LONG.as_secs()).secured(connector).predictions().await;
    assert!(asked.err().unwrap().to_string().contains("this service is for the role client"));
    let (lines, told) = left(&warnings, &account).await;
    assert_eq!(told, [(Some("party/farm".to_string()), "other-role")]);
    let command = "`coordinator identity issue client/NAME --into FOLDER --config FILE`";
    assert!(lines.len() == 1 && lines[0].contains(command), "{lines:?}");
}
