//! Files that change while connections are open.

mod fixture;

use std::fs;
use std::io::ErrorKind;
use std::time::{Duration, Instant};

use fixture::{DAY_S, Federation, certificate, foreign_authority, identity, key, list_of, meet, now_s};
use hashvfl_identity::{IdentityFiles, Pin, Pins, Role, SignatureError, accept, request, verify};
use rcgen::Issuer;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::timeout;

/// The promise for a name that is taken back.
const END: Duration = Duration::from_secs(5);

#[tokio::test]
async fn a_revoked_name_loses_its_open_stream_within_seconds() {
    let federation = Federation::new();
    federation.enrol("party/bank");
    federation.enrol("party/post");
    let coordinator = federation.files("coordinator/shop");
    let (bank, party) = meet(&coordinator, &federation.files("party/bank")).await;
    let (post, other) = meet(&coordinator, &federation.files("party/post")).await;
    let (mut bank, mut post) = (bank.unwrap(), post.unwrap());
    let (_party, mut other) = (party.unwrap(), other.unwrap());
    federation.authority().revoke(&identity("party/bank"), "key lost").unwrap();
    let began = Instant::now();
    let mut bytes = [0; 16];
    let read = timeout(END, bank.read(&mut bytes)).await.expect("ended in time");
    let error = read.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::PermissionDenied);
    assert!(error.to_string().contains("of party/bank is revoked"), "{error}");
    assert_eq!(bank.refused().map(hashvfl_identity::PeerRefusal::kind), Some("revoked"));
    assert!(bank.write(b"more").await.is_err());
    println!("revoked, and ended after {:?}", began.elapsed());
    // The other party goes on.
    other.write_all(b"codes").await.unwrap();
    other.flush().await.unwrap();
    assert_eq!(timeout(END, post.read(&mut bytes)).await.unwrap().unwrap(), 5);
    assert!(
        timeout(Duration::from_millis(2500), post.read(&mut bytes)).await.is_err(),
        "it waits, undisturbed"
    );
}

#[tokio::test]
async fn a_revoked_name_that_takes_nothing_loses_its_stream_too() {
    let federation = Federation::new();
    federation.enrol("party/bank");
    let (bank, party) = meet(&federation.files("coordinator/shop"), &federation.files("party/bank")).await;
    let (mut bank, _party) = (bank.unwrap(), party.unwrap());
    // The party reads nothing, so that whoever writes to it waits.
    let bytes = vec![0_u8; 1 << 20];
    let filling = async { while bank.write_all(&bytes).await.is_ok() {} };
    assert!(timeout(Duration::from_secs(1), filling).await.is_err());
    federation.authority().revoke(&identity("party/bank"), "key lost").unwrap();
    timeout(END, bank.write_all(&bytes)).await.expect("it waits no longer").unwrap();
    timeout(END, bank.flush()).await.expect("nor for what was written before").unwrap();
    let error = bank.read_u8().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::PermissionDenied);
    assert!(bank.write_all(&bytes).await.is_err() && bank.flush().await.is_err());
}

#[tokio::test]
async fn a_replaced_certificate_is_seen_at_the_next_handshake_and_no_open_stream_ends() {
    let federation = Federation::new();
    federation.enrol("party/bank");
    let (coordinator, party) = (federation.files("coordinator/shop"), federation.files("party/bank"));
    let (first, dialled) = meet(&coordinator, &party).await;
    let (mut first, mut dialled) = (first.unwrap(), dialled.unwrap());
    // The same key with new dates, and then another key; neither side is restarted.
    let (renewed, text) = federation.authority().renew(&identity("party/bank"), 30).unwrap();
    fs::write(federation.path("answer"), text).unwrap();
    accept(&federation.places("party/bank"), &federation.path("answer"), None, None).unwrap();
    let (second, _) = meet(&coordinator, &party).await;
    let second = second.unwrap();
    assert_eq!(second.peer().serial, renewed.serial);
    assert_ne!(second.peer().serial, first.peer().serial);
    assert_eq!(second.peer().fingerprint, first.peer().fingerprint);
    let places = federation.places("coordinator/shop");
    let next = request(&places, &identity("coordinator/shop"), true).unwrap();
    federation.authority().revoke(&identity("coordinator/shop"), "new key").unwrap();
    fs::remove_file(&next.request).unwrap();
    // A folder without the request takes it as well: the key is here.
    request(&places, &identity("coordinator/shop"), true).unwrap();
    accept(&places, &federation.sign("coordinator/shop", 365), None, None).unwrap();
    let (_, third) = meet(&coordinator, &party).await;
    assert_eq!(third.unwrap().peer().fingerprint, next.fingerprint);
    // The first connection has outlived all this.
    dialled.write_all(b"codes").await.unwrap();
    dialled.flush().await.unwrap();
    let mut bytes = [0; 5];
    first.read_exact(&mut bytes).await.unwrap();
    assert_eq!(&bytes, b"codes");
}

#[tokio::test]
async fn files_that_do_not_fit_together_change_nothing() {
    let federation = Federation::new();
    federation.enrol("party/bank");
    let (coordinator, party) = (federation.files("coordinator/shop"), federation.files("party/bank"));
    let places = federation.places("party/bank");
    let before = fs::read(&places.certificate).unwrap();
    for damaged in [b"no certificate".to_vec(), before[..before.len() / 2].to_vec(), Vec::new()] {
        fs::write(&places.certificate, damaged).unwrap();
        let (accepted, _) = meet(&coordinator, &party).await;
        assert_eq!(accepted.unwrap().peer().identity, identity("party/bank"));
    }
    fs::write(&places.certificate, &before).unwrap();
    let key = fs::read(&places.key).unwrap();
    fs::copy(federation.places("coordinator/shop").key, &places.key).unwrap();
    let (accepted, _) = meet(&coordinator, &party).await;
    assert!(accepted.is_ok());
    let error = IdentityFiles::load(&federation.config("party/bank")).unwrap_err().to_string();
    assert!(error.contains("does not belong to the key") && error.contains("identity accept"), "{error}");
    fs::write(&places.key, key).unwrap();
    // The list is gone: the one that was read counts on.
    federation.authority().revoke(&identity("party/bank"), "left").unwrap();
    assert!(meet(&coordinator, &party).await.0.is_err());
    fs::remove_file(federation.authority_folder().join("revoked.pem")).unwrap();
    assert_eq!(meet(&coordinator, &party).await.0.unwrap_err().kind(), "revoked");
    let error = IdentityFiles::load(&federation.config("coordinator/shop")).unwrap_err().to_string();
    assert!(error.contains("cannot read the revocation list") && error.contains("renew --list"), "{error}");
}

#[tokio::test]
async fn an_old_list_lets_nobody_in_again_and_an_ended_one_nobody_at_all() {
    let federation = Federation::new();
    federation.enrol("party/bank");
    let list = federation.authority_folder().join("revoked.pem");
    let before = fs::read(&list).unwrap();
    federation.authority().revoke(&identity("party/bank"), "left").unwrap();
    let (coordinator, party) = (federation.files("coordinator/shop"), federation.files("party/bank"));
    assert_eq!(meet(&coordinator, &party).await.0.unwrap_err().kind(), "revoked");
    fs::write(&list, before).unwrap();
    assert_eq!(meet(&coordinator, &party).await.0.unwrap_err().kind(), "revoked");
    // A higher number, of yesterday.
    federation.write_list(1000, -1);
    let error = meet(&coordinator, &party).await.0.unwrap_err();
    assert_eq!(error.kind(), "list-expired");
    assert!(error.to_string().contains("`coordinator identity renew --list --config FILE`"), "{error}");
    // It ends in six days: its owner hears of it, and metrics show it.
    federation.write_list(1001, 6);
    let ends = federation.config("coordinator/shop").ends();
    assert!((5 * DAY_S..=6 * DAY_S).contains(&(ends.list_s.unwrap() - now_s())), "{ends:?}");
    assert_eq!(ends.certificate_s, Some(coordinator.current().own_not_after_s()));
    assert!(ends.authority_s.unwrap() > now_s() + 3640 * DAY_S, "{ends:?}");
    assert_eq!(federation.config("party/bank").ends().list_s, None);
    let warnings = coordinator.current().warnings(now_s());
    assert!(warnings.len() == 1 && warnings[0].contains("revocation list"), "{warnings:?}");
}

#[tokio::test]
async fn an_old_list_is_not_taken_after_a_restart_either() {
    let federation = Federation::new();
    federation.enrol("party/bank");
    let list = federation.authority_folder().join("revoked.pem");
    let before = fs::read(&list).unwrap();
    federation.authority().revoke(&identity("party/bank"), "left").unwrap();
    let load = || IdentityFiles::load(&federation.config("coordinator/shop"));
    // Whoever only looks keeps nothing.
    let kept = list.with_extension("seen.json");
    load().unwrap();
    assert!(!kept.exists());
    let (accepted, _) = meet(&load().unwrap(), &federation.files("party/bank")).await;
    assert_eq!(accepted.unwrap_err().kind(), "revoked");
    fs::write(&list, &before).unwrap();
    let error = load().unwrap_err().to_string();
    for expected in [
        format!("the revocation list {} has the number 3, and one with 4 was seen", list.display()),
        "`coordinator identity renew --list --config FILE`".to_string(),
        format!("remove {}", kept.display()),
    ] {
        assert!(error.contains(&expected), "{expected}: {error}");
    }
    // A list that a process has seen while it ran counts, too.
    federation.write_list(1000, 30);
    let coordinator = load().unwrap();
    // Of another length, since clocks of files are coarse.
    federation.write_list(1 << 56, 30);
    coordinator.current();
    drop(coordinator);
    federation.write_list(1000, 30);
    let error = load().unwrap_err().to_string();
    assert!(error.contains("has the number 1000, and one with 72057594037927936 was seen"), "{error}");
    // As the error says.
    fs::remove_file(&kept).unwrap();
    load().unwrap();
}

#[tokio::test]
async fn a_list_that_becomes_readable_later_counts() {
    let federation = Federation::new();
    federation.enrol("party/bank");
    let (coordinator, party) = (federation.files("coordinator/shop"), federation.files("party/bank"));
    federation.authority().revoke(&identity("party/bank"), "left").unwrap();
    let list = federation.authority_folder().join("revoked.pem");
    let new = fs::read(&list).unwrap();
    fs::write(&list, vec![b'x'; new.len()]).unwrap();
    let modified = fs::metadata(&list).unwrap().modified().unwrap();
    assert!(meet(&coordinator, &party).await.0.is_ok(), "the list before counts");
    // It has the same length, time and place as the one that could not be used. Clocks of files are coarse.
    tokio::time::sleep(Duration::from_millis(50)).await;
    fs::write(&list, new).unwrap();
    fs::File::options().write(true).open(&list).unwrap().set_modified(modified).unwrap();
    assert_eq!(meet(&coordinator, &party).await.0.unwrap_err().kind(), "revoked");
}

#[tokio::test]
async fn a_damaged_file_of_pins_keeps_no_revocation_out() {
    let federation = Federation::new();
    federation.enrol("party/bank");
    federation.enrol("party/post");
    let coordinator = federation.files("coordinator/shop");
    let (bank, post) = (federation.files("party/bank"), federation.files("party/post"));
    let places = federation.places("coordinator/shop");
    fs::write(&places.pins, "[").unwrap();
    assert!(meet(&coordinator, &bank).await.0.is_ok());
    federation.authority().revoke(&identity("party/bank"), "left").unwrap();
    assert_eq!(meet(&coordinator, &bank).await.0.unwrap_err().kind(), "revoked");
    // Nor does a damaged key keep a pin out.
    fs::write(&places.key, "no key").unwrap();
    let mut pins = Pins::default();
    let fingerprint = bank.current().own_fingerprint();
    pins.add(&Pin { identity: identity("party/post"), fingerprint });
    pins.write(&places.pins).unwrap();
    assert_eq!(meet(&coordinator, &post).await.0.unwrap_err().kind(), "other-key");
    assert_eq!(meet(&coordinator, &bank).await.0.unwrap_err().kind(), "revoked");
}

#[tokio::test]
async fn a_list_that_its_authority_has_not_signed_changes_nothing() {
    // Both authorities have the same name.
    let (federation, other) = (Federation::new(), Federation::new());
    federation.enrol("party/bank");
    let (coordinator, party) = (federation.files("coordinator/shop"), federation.files("party/bank"));
    let list = federation.authority_folder().join("revoked.pem");
    other.write_list(1 << 60, 30);
    fs::copy(other.authority_folder().join("revoked.pem"), &list).unwrap();
    assert!(meet(&coordinator, &party).await.0.is_ok(), "the list before counts");
    let load = || IdentityFiles::load(&federation.config("coordinator/shop"));
    let error = load().unwrap_err().to_string();
    assert!(error.contains("was not signed by the authority that it names"), "{error}");
    // The next one of the authority's own has a lower number, and counts, here and after a restart.
    federation.authority().revoke(&identity("party/bank"), "left").unwrap();
    assert_eq!(meet(&coordinator, &party).await.0.unwrap_err().kind(), "revoked");
    load().unwrap();
}

#[tokio::test]
async fn the_number_of_a_list_of_an_authority_below_counts_once_somebody_came_under_it() {
    let federation = Federation::new();
    federation.enrol("party/bank");
    // A root, an authority below it, and one that has its name alone.
    let (root, root_key) = foreign_authority("Root");
    let root_certificate = root.self_signed(&root_key).unwrap();
    let root = Issuer::new(root, root_key);
    let (below, below_key) = foreign_authority("Below");
    let below_certificate = below.signed_by(&below_key, &root).unwrap();
    let below = Issuer::new(below, below_key);
    let (forger, forger_key) = foreign_authority("Below");
    let forger = Issuer::new(forger, forger_key);
    let places = federation.places("party/bank");
    let own = certificate(&identity("party/bank"), |_| {}).signed_by(&key(&places.key), &below).unwrap();
    fs::write(&places.certificate, format!("{}{}", own.pem(), below_certificate.pem())).unwrap();
    let mut config = federation.config("coordinator/shop");
    let trusted = fs::read_to_string(&config.authority).unwrap();
    fs::write(&config.authority, format!("{trusted}{}", root_certificate.pem())).unwrap();
    let path = federation.path("revoked.pem");
    config.revoked = Some(path.clone());
    let write = |last: String| fs::write(&path, format!("{}{last}", list_of(&root, 1, 30))).unwrap();
    write(list_of(&forger, 1 << 60, 30));
    let (coordinator, party) = (IdentityFiles::load(&config).unwrap(), federation.files("party/bank"));
    assert_eq!(meet(&coordinator, &party).await.0.unwrap_err().kind(), "list-of-other");
    write(list_of(&below, 9, 30));
    assert!(meet(&coordinator, &party).await.0.is_ok());
    // What it has seen is written when it looks again.
    coordinator.current();
    write(list_of(&below, 8, 30));
    let error = IdentityFiles::load(&config).unwrap_err().to_string();
    assert!(error.contains("has the number 8, and one with 9 was seen"), "{error}");
}

#[test]
fn the_end_of_a_certificate_is_told_thirty_days_ahead() {
    let federation = Federation::new();
    federation.enrol("party/bank");
    let trust = federation.files("party/bank").current();
    let end = trust.own_not_after_s();
    assert!(trust.warnings(end - 31 * DAY_S).is_empty());
    let warnings = trust.warnings(end - 29 * DAY_S);
    assert!(
        warnings.len() == 1 && warnings[0].contains("`coordinator identity renew party/bank --config FILE`"),
        "{warnings:?}"
    );
    // That of the authority, ten years later, is told as well.
    let warnings = trust.warnings(now_s() + 3640 * DAY_S);
    let of_authority = warnings.iter().find(|warning| warning.contains("authority.pem is valid only until"));
    assert!(
        of_authority.is_some_and(|warning| warning.contains("`coordinator identity init")),
        "{warnings:?}"
    );
    federation.forge("party/bank", |params| params.not_after = fixture::date_time(now_s() - 60));
    let error = IdentityFiles::load(&federation.config("party/bank")).unwrap_err().to_string();
    assert!(error.contains("of party/bank expired on") && error.contains("identity accept"), "{error}");
}

#[test]
fn a_text_is_signed_by_a_key_that_everybody_can_tell() {
    let federation = Federation::new();
    federation.enrol("party/bank");
    federation.enrol("party/post");
    let (bank, post) = (federation.files("party/bank"), federation.files("party/post"));
    let text = b"hashvfl.v1 a test\n7 entries\n";
    let signature = bank.sign(text).unwrap();
    let key = verify(text, &signature).unwrap();
    assert_eq!(key, bank.current().own_fingerprint());
    assert_eq!(verify(b"hashvfl.v1 a test\n8 entries\n", &signature), Err(SignatureError::DoesNotFit));
    for cut in [0, 3, 20, signature.len() - 1] {
        assert!(verify(text, &signature[..cut]).is_err(), "{cut}");
    }
    let mut other_scheme = signature.clone();
    other_scheme[1] ^= 1;
    assert!(verify(text, &other_scheme).is_err());
    // Whoever has pinned the bank's key takes no other in its name.
    let name = identity("party/bank").name;
    let by_post = post.sign(text).unwrap();
    assert!(post.verify_of(Role::Party, Some(&name), text, &by_post).is_ok(), "nobody is pinned");
    let path = federation.places("party/post").pins;
    let mut pins = Pins::read(&path).unwrap();
    pins.add(&format!("party/bank={key}").parse().unwrap());
    pins.write(&path).unwrap();
    assert_eq!(post.verify_of(Role::Party, Some(&name), text, &signature), Ok(key));
    let found = post.current().own_fingerprint();
    let other = SignatureError::OtherKey { found };
    assert_eq!(post.verify_of(Role::Party, Some(&name), text, &by_post), Err(other));
}
