//! The commands of both sides, from two empty folders to a connection, and what they refuse.

mod fixture;

use std::fs;
use std::path::Path;

use clap::Parser;
use fixture::{DAY_S, Federation, identity, meet};
use hashvfl_identity::{
    Authority, AuthorityCommand, HolderCommand, IdentityConfig, IdentityFiles, IdentityPaths, IssuedFile,
    Role,
};
use rcgen::{CertificateParams, KeyPair, SanType};

#[derive(Debug, Parser)]
enum Command {
    #[command(flatten)]
    Holder(HolderCommand),
    #[command(flatten)]
    Authority(AuthorityCommand),
}

/// Runs a command of `usual` in `folder`.
fn run(folder: &Path, usual: Role, words: &str) -> Result<(), String> {
    let folder = folder.to_str().unwrap();
    let words = ["identity"].into_iter().chain(words.split_whitespace()).chain(["--folder", folder]);
    match Command::try_parse_from(words).map_err(|error| error.to_string())? {
        Command::Holder(command) => command.run("party", usual).map_err(|error| error.to_string()),
        Command::Authority(command) => command.run().map_err(|error| error.to_string()),
    }
}

fn party(folder: &Path, words: &str) -> Result<(), String> {
    run(folder, Role::Party, words)
}

fn coordinator(folder: &Path, words: &str) -> Result<(), String> {
    run(folder, Role::Coordinator, words)
}

fn sign(folder: &Path, words: &str) -> Result<(), String> {
    coordinator(folder, &format!("sign {words}"))
}

fn accept(places: &IdentityPaths, file: &Path, more: &str) -> Result<(), String> {
    party(&places.folder, &format!("accept {}{more}", file.display()))
}

fn issued(folder: &Path) -> IssuedFile {
    IssuedFile::read(&folder.join("issued.json")).unwrap()
}

/// Fails unless the command is refused with these words.
fn refused(result: Result<(), String>, words: &[&str]) {
    let error = result.expect_err("it is done");
    assert!(words.iter().all(|word| error.contains(word)), "{error}");
    assert!(!error.contains('\n'), "{error}");
}

#[tokio::test]
async fn from_two_empty_folders_to_a_connection() {
    let folder = tempfile::tempdir().unwrap();
    let (shop, bank) = (folder.path().join("shop"), folder.path().join("bank"));
    coordinator(&shop, "init --name shop").unwrap();
    party(&bank, "request --name bank").unwrap();
    let request = bank.join("party-bank.request.pem");
    coordinator(&shop, &format!("sign {}", request.display())).unwrap();
    let answer = bank.join("party-bank.certificate.pem");
    let authority = Authority::open(&shop).unwrap().fingerprint();
    let command = format!("`identity accept {} --folder {} --authority", answer.display(), bank.display());
    refused(
        party(&bank, &format!("accept {}", answer.display())),
        &[&command, "identity show --config FILE"],
    );
    party(&bank, &format!("accept {} --authority {authority}", answer.display())).unwrap();
    for command in ["show", "list"] {
        run(&shop, Role::Coordinator, command).unwrap();
    }
    party(&bank, "show").unwrap();
    party(&bank, &format!("show {}", answer.display())).unwrap();
    let mut config = IdentityConfig::in_folder(&shop);
    config.revoked = Some(shop.join("revoked.pem"));
    let files = IdentityFiles::load(&config).unwrap();
    let own = files.current().own_fingerprint();
    party(&bank, &format!("pin coordinator/shop={own}")).unwrap();
    let (accepted, dialled) =
        meet(&files, &IdentityFiles::load(&IdentityConfig::in_folder(&bank)).unwrap()).await;
    assert_eq!(accepted.unwrap().peer().identity, identity("party/bank"));
    assert_eq!(dialled.unwrap().peer().fingerprint, own);
    #[cfg(unix)]
    for key in [shop.join("authority-key.pem"), shop.join("key.pem"), bank.join("key.pem")] {
        use std::os::unix::fs::PermissionsExt;
        assert_eq!(fs::metadata(&key).unwrap().permissions().mode() & 0o777, 0o600, "{}", key.display());
    }
    // What is sent holds no key.
    for sent in [&request, &answer] {
        assert!(!fs::read_to_string(sent).unwrap().contains("PRIVATE KEY"));
    }
    refused(coordinator(&shop, "init --name shop"), &["authority-key.pem already exists", "--folder"]);
}

#[tokio::test]
async fn all_sides_of_a_host_are_provisioned_once() {
    let folder = tempfile::tempdir().unwrap();
    let place = |name: &str| folder.path().join(name);
    let (shop, bank, app) = (place("shop"), place("bank"), place("app"));
    let sides = format!("party/bank={} client/app={}", bank.display(), app.display());
    coordinator(&shop, &format!("provision --name shop {sides}")).unwrap();
    let mut config = IdentityConfig::in_folder(&shop);
    config.revoked = Some(shop.join("revoked.pem"));
    let files = IdentityFiles::load(&config).unwrap();
    let load = |folder: &Path| IdentityFiles::load(&IdentityConfig::in_folder(folder)).unwrap();
    let (accepted, dialled) = meet(&files, &load(&bank)).await;
    assert_eq!(accepted.unwrap().peer().identity, identity("party/bank"));
    assert_eq!(dialled.unwrap().peer().identity, identity("coordinator/shop"));
    assert_eq!(*load(&app).current().own_identity(), identity("client/app"));

    // A second time makes what is missing, and nothing else.
    let read = |folder: &Path| fs::read(folder.join("certificate.pem")).unwrap();
    let before = (read(&shop), read(&bank));
    let telecom = place("telecom");
    coordinator(&shop, &format!("provision --name shop {sides} party/telecom={}", telecom.display()))
        .unwrap();
    assert_eq!((read(&shop), read(&bank)), before);
    assert_eq!(*load(&telecom).current().own_identity(), identity("party/telecom"));
    assert_eq!(issued(&shop).certificates.len(), 4);
    // A folder that is another's is not given away.
    let before = read(&bank);
    let into = format!("issue party/late --into {}", bank.display());
    let error = coordinator(&shop, &into).unwrap_err();
    assert!(error.contains("holds the certificate of party/bank: choose another folder"), "{error}");
    assert_eq!(read(&bank), before);
    let error = coordinator(&shop, "provision --name shop bank").unwrap_err();
    assert!(error.contains("expected ROLE/NAME=FOLDER"), "{error}");
}

#[tokio::test]
async fn what_ends_soon_is_renewed_where_all_sides_are_provisioned() {
    let folder = tempfile::tempdir().unwrap();
    let place = |name: &str| folder.path().join(name);
    let (shop, bank, app) = (place("shop"), place("bank"), place("app"));
    let sides = format!("party/bank={} client/app={}", bank.display(), app.display());
    coordinator(&shop, &format!("provision --name shop {sides} --days 20")).unwrap();
    coordinator(&shop, "revoke client/app --reason lost").unwrap();
    let read = |folder: &Path| fs::read(folder.join("certificate.pem")).unwrap();
    let (before, revoked) = (issued(&shop), read(&app));

    // The same keys with new dates, and nothing for whom was taken back.
    coordinator(&shop, &format!("provision --name shop {sides}")).unwrap();
    let after = issued(&shop);
    assert_eq!(after.certificates.len(), before.certificates.len() + 2);
    let renewed = &after.certificates[before.certificates.len()..];
    for new in renewed {
        let old = before.certificates.iter().find(|old| old.identity == new.identity).unwrap();
        assert_eq!(old.fingerprint, new.fingerprint);
        assert!(new.not_after_s - old.not_after_s > 300 * DAY_S, "{new:?}");
    }
    assert_eq!(read(&app), revoked);
    assert!(after.list_number > before.list_number);
    let mut config = IdentityConfig::in_folder(&shop);
    config.revoked = Some(shop.join("revoked.pem"));
    let files = IdentityFiles::load(&config).unwrap();
    let of_bank = IdentityFiles::load(&IdentityConfig::in_folder(&bank)).unwrap();
    let (accepted, dialled) = meet(&files, &of_bank).await;
    assert_eq!(accepted.unwrap().peer().identity, identity("party/bank"));
    assert_eq!(dialled.unwrap().peer().identity, identity("coordinator/shop"));

    // What counts for long stays, and the list is a new one all the same.
    let certificates = (read(&shop), read(&bank));
    coordinator(&shop, &format!("provision --name shop {sides}")).unwrap();
    assert_eq!((read(&shop), read(&bank)), certificates);
    let last = issued(&shop);
    assert_eq!(last.certificates, after.certificates);
    assert!(last.list_number > after.list_number);
}

#[test]
fn a_key_that_was_taken_back_keeps_no_other_side_of_its_host_from_new_dates() {
    let folder = tempfile::tempdir().unwrap();
    let (shop, bank) = (folder.path().join("shop"), folder.path().join("bank"));
    let command = format!("provision --name shop party/bank={} --days 20", bank.display());
    coordinator(&shop, &command).unwrap();
    coordinator(&shop, "revoke party/bank --reason lost").unwrap();
    // Yet there is another certificate of that key which nobody has revoked.
    let mut file = issued(&shop);
    let revoked = file.certificates.iter().find(|one| one.identity == identity("party/bank")).unwrap();
    let mut again = revoked.clone();
    again.revoked = None;
    file.certificates.push(again);
    file.write(&shop.join("issued.json")).unwrap();

    let read = |folder: &Path| fs::read(folder.join("certificate.pem")).unwrap();
    let (of_shop, of_bank) = (read(&shop), read(&bank));
    coordinator(&shop, &command).unwrap();
    assert!(read(&shop) != of_shop && read(&bank) == of_bank);
    assert!(issued(&shop).list_number > file.list_number);
}

#[test]
fn a_request_is_signed_as_its_sender_has_told() {
    let federation = Federation::new();
    let (shop, bank) = (federation.authority_folder(), federation.places("party/bank").folder);
    party(&bank, "request --name bank").unwrap();
    let request = federation.places("party/bank").request(&identity("party/bank"));
    let file = request.display();
    let other = federation.authority().fingerprint();
    refused(
        sign(&shop, &format!("{file} --fingerprint {other}")),
        &["is for the key", &format!("but you passed {other}")],
    );
    refused(sign(&shop, &format!("{file} --role client")), &["requests the name party/bank", "--role party"]);
    refused(sign(&shop, &format!("{file} --days 0")), &["--days must be 1 to 3650"]);
    refused(sign(&shop, &format!("{file} --out {file}")), &["already exists", "--out"]);
    refused(
        sign(&shop, "none.pem"),
        &["cannot read the signing request none.pem", "identity request --config FILE"],
    );
    refused(
        sign(&shop, "x --fingerprint ABCD").map_err(|error| error.lines().next().unwrap().to_string()),
        &["ABCD"],
    );
    // A bit of the request's key is another, so that its signature does not fit.
    let text = fs::read_to_string(&request).unwrap();
    let middle = text.len() / 2;
    let letter = if &text[middle..=middle] == "A" { "B" } else { "A" };
    let path = federation.path("changed.pem");
    fs::write(&path, format!("{}{letter}{}", &text[..middle], &text[middle + 1..])).unwrap();
    let changed = sign(&shop, &path.display().to_string()).unwrap_err();
    assert!(changed.contains("not a signing request signed by its own key"), "{changed}");
    sign(&shop, &file.to_string()).unwrap();
    // Another key in that name, while this one counts; and no file of the coordinator's own role without a word.
    party(&bank, "request --name bank --new-key").unwrap();
    let command =
        format!("`coordinator identity revoke party/bank --reason TEXT --folder {}`", shop.display());
    refused(sign(&shop, &file.to_string()), &["party/bank has a valid certificate of another key", &command]);
    assert!(coordinator(&shop, "revoke party/bank").unwrap_err().contains("--reason <TEXT>"));
    coordinator(&shop, "revoke party/bank --reason lost").unwrap();
    sign(&shop, &file.to_string()).unwrap();
    party(&bank, "request --name shop2 --role coordinator").unwrap();
    let request = federation.places("party/bank").request(&identity("coordinator/shop2"));
    refused(
        sign(&shop, &request.display().to_string()),
        &["requests the name coordinator/shop2", "`--role coordinator`"],
    );
}

#[test]
fn only_the_certificate_that_was_asked_for_is_accepted() {
    let (federation, other) = (Federation::new(), Federation::new());
    for who in ["party/bank", "party/post"] {
        federation.enrol(who);
    }
    let places = federation.places("party/bank");
    let before = fs::read(&places.certificate).unwrap();
    // Of another key; the coordinator's own.
    let post = federation.sign("party/post", 365);
    refused(accept(&places, &post, ""), &["is for the key", "party-bank.request.pem", "to be signed"]);
    // Of this key, in another name than was asked for.
    let text = certificate_of(&federation, "party/bank", "party/bunk", |_| {});
    let path = federation.path("bunk.pem");
    fs::write(&path, text).unwrap();
    refused(accept(&places, &path, ""), &["names party/bunk, but party/bank was requested"]);
    // Of yesterday.
    let text = certificate_of(&federation, "party/bank", "party/bank", |params| {
        params.not_after = fixture::date_time(fixture::now_s() - 60);
    });
    fs::write(&path, text).unwrap();
    refused(accept(&places, &path, ""), &["is valid from", "identity renew"]);
    // Of another authority, which has signed the same request.
    other.enrol("party/bank");
    let options = hashvfl_identity::SigningOptions { days: 365, fingerprint: None, role: None };
    other.authority().revoke(&identity("party/bank"), "test").unwrap();
    let (_, text) = other.authority().sign(&places.request(&identity("party/bank")), &options).unwrap();
    fs::write(&path, text).unwrap();
    refused(accept(&places, &path, ""), &["was not signed by the authority in", "--authority FINGERPRINT"]);
    let told = federation.authority().fingerprint();
    refused(
        accept(&places, &path, &format!(" --authority {told}")),
        &["signed by the authority", &format!("but you passed {told}")],
    );
    refused(accept(&places, &federation.path("none"), ""), &["cannot read the certificate", "identity sign"]);
    fs::write(&path, "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n").unwrap();
    refused(accept(&places, &path, ""), &["holds no certificate", "damaged"]);
    assert_eq!(fs::read(&places.certificate).unwrap(), before, "nothing has changed");
    // An authority that was told is the one from now on.
    let (_, text) = other.authority().renew(&identity("party/bank"), 10).unwrap();
    fs::write(&path, text).unwrap();
    accept(&places, &path, &format!(" --authority {}", other.authority().fingerprint())).unwrap();
}

/// A certificate that the authority has signed of the key of `holder`, in the name of `who`.
fn certificate_of(
    federation: &Federation,
    holder: &str,
    who: &str,
    change: fn(&mut CertificateParams),
) -> String {
    let key = fixture::key(&federation.places(holder).key);
    let params = fixture::certificate(&identity(who), change);
    params.signed_by(&key, &federation.issuer()).unwrap().pem()
}

#[test]
fn the_issuance_file_and_the_list_keep_account() {
    let federation = Federation::new();
    let shop = federation.authority_folder();
    federation.enrol("party/bank");
    let before = issued(&shop);
    assert_eq!(before.certificates.len(), 2);
    coordinator(&shop, "renew --list").unwrap();
    assert_eq!(issued(&shop).list_number, before.list_number + 1);
    coordinator(&shop, "renew party/bank --days 30").unwrap();
    assert!(shop.join("party-bank.certificate.pem").exists());
    assert_eq!(issued(&shop).certificates.len(), 3);
    refused(coordinator(&shop, "renew"), &["nothing to renew", "--list"]);
    let command = format!("`coordinator identity list --folder {}`", shop.display());
    refused(coordinator(&shop, "renew party/mill"), &["party/mill has no valid certificate here", &command]);
    // Both of the bank's are taken back, and the serial numbers are in the list.
    coordinator(&shop, "revoke party/bank --reason lost").unwrap();
    let after = issued(&shop);
    let revoked: Vec<&str> = after
        .certificates
        .iter()
        .filter(|one| one.revoked.is_some())
        .map(|one| one.serial.as_str())
        .collect();
    assert_eq!((revoked.len(), after.list_number), (2, before.list_number + 3));
    refused(coordinator(&shop, "revoke party/bank --reason lost"), &["party/bank has no valid certificate"]);
    refused(coordinator(&shop, "renew party/bank"), &["party/bank has no valid certificate"]);
    // One command at a time, and an issuance file that is one.
    let open = federation.authority();
    refused(coordinator(&shop, "list"), &["another command works with the authority"]);
    drop(open);
    fs::write(shop.join("issued.json"), "{}").unwrap();
    refused(
        coordinator(&shop, "list"),
        &["issued.json holds no list of issued certificates", "missing field"],
    );
}

#[test]
fn a_key_that_was_taken_back_gets_no_certificate_again() {
    let federation = Federation::new();
    let (shop, places) = (federation.authority_folder(), federation.places("party/bank"));
    federation.enrol("party/bank");
    coordinator(&shop, "renew party/bank").unwrap();
    // The first certificate of the key has expired, and is taken back like the second.
    let mut file = issued(&shop);
    let first = file.certificates.iter_mut().find(|one| one.identity == identity("party/bank")).unwrap();
    first.not_after_s = fixture::now_s() - 1;
    file.write(&shop.join("issued.json")).unwrap();
    coordinator(&shop, "revoke party/bank --reason stolen").unwrap();
    refused(coordinator(&shop, "renew party/bank"), &["party/bank has no valid certificate here"]);
    // Whoever has the key asks in the same name, and in another.
    let before = issued(&shop);
    for (words, who) in [("--name bank", "party/bank"), ("--name app --role client", "client/app")] {
        party(&places.folder, &format!("request {words}")).unwrap();
        let request = places.request(&identity(who)).display().to_string();
        let words = ["of party/bank, was revoked on 20", "identity request --new-key --config FILE`"];
        let error = sign(&shop, &request).unwrap_err();
        assert!(error.starts_with(&format!("{who} gets no certificate of the key ")), "{error}");
        refused(Err(error), &words);
    }
    let into = format!("issue party/bank --into {}", places.folder.display());
    refused(coordinator(&shop, &into), &["party/bank gets no certificate of the key"]);
    assert_eq!(issued(&shop), before);
    // Its owner comes back with a new one.
    party(&places.folder, "request --name bank --new-key").unwrap();
    sign(&shop, &places.request(&identity("party/bank")).display().to_string()).unwrap();
}

#[test]
fn who_has_a_key_that_was_taken_back_under_another_name_is_found() {
    let federation = Federation::new();
    let (shop, places) = (federation.authority_folder(), federation.places("party/bank"));
    federation.enrol("party/bank");
    federation.enrol("party/post");
    for name in ["app", "desk"] {
        party(&places.folder, &format!("request --name {name} --role client")).unwrap();
        let request = places.request(&identity(&format!("client/{name}")));
        sign(&shop, &request.display().to_string()).unwrap();
    }
    coordinator(&shop, "renew client/app").unwrap();
    let sharing = |who: &str| {
        let (file, who) = (issued(&shop), identity(who));
        let others = file.sharing_keys_with(&who, fixture::now_s());
        others.into_iter().map(ToString::to_string).collect::<Vec<_>>()
    };
    coordinator(&shop, "revoke party/bank --reason stolen").unwrap();
    assert_eq!(sharing("party/bank"), ["client/app", "client/desk"]);
    coordinator(&shop, "revoke client/desk --reason stolen").unwrap();
    for who in ["party/bank", "client/desk"] {
        assert_eq!(sharing(who), ["client/app"], "{who}");
    }
    assert!(sharing("party/post").is_empty());
    coordinator(&shop, "list").unwrap();
}

#[test]
fn a_request_with_names_of_two_is_none() {
    let federation = Federation::new();
    let mut params = CertificateParams::default();
    for name in ["hashvfl://party/bank", "hashvfl://party/post"] {
        params.subject_alt_names.push(SanType::URI(name.try_into().unwrap()));
    }
    let request = federation.path("two.pem");
    fs::write(&request, params.serialize_request(&KeyPair::generate().unwrap()).unwrap().pem().unwrap())
        .unwrap();
    let signed = coordinator(&federation.authority_folder(), &format!("sign {}", request.display()));
    refused(signed, &["does not request a name ROLE/NAME"]);
    // A name that would leave its folder.
    let places = IdentityPaths::in_folder(&federation.path("new"));
    let named = run(&places.folder, Role::Party, "request --name ../bank").unwrap_err();
    assert!(named.contains("invalid value"), "{named}");
}
