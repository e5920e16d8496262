//! Heads and receipts under keys: by whose they are, and what is noted of one that somebody else has made.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use hashvfl_audit::{
    AuditConfig, AuditEvent, AuditTrail, HeadMoment, LogChain, LogEntry, Receipt, ReceiptError, Side,
    read_heads,
};
use hashvfl_core::protocol::message::AuditHead;
use hashvfl_core::{Digest, PartyName, RunId};
use hashvfl_identity::{
    Fingerprint, Identity, IdentityConfig, IdentityPaths, Pin, Pins, Role, begin_authority, issue,
};

fn name(name: &str) -> PartyName {
    PartyName::new(name).unwrap()
}

/// Identities of the coordinator `shop` and of the parties `bank` and `telecom`, in folders of these names; their keys.
fn identities(place: &Path) -> BTreeMap<&'static str, Fingerprint> {
    let (mut authority, shop) = begin_authority(&place.join("shop"), &name("shop"), 30).unwrap();
    let mut keys = BTreeMap::from([("shop", shop.fingerprint)]);
    for party in ["bank", "telecom"] {
        let identity = Identity::new(Role::Party, name(party));
        let issued =
            issue(&mut authority, &IdentityPaths::in_folder(&place.join(party)), &identity, 30).unwrap();
        keys.insert(party, issued.fingerprint);
    }
    keys
}

/// The trail of `side`, whose identity lies in the folder `who`, and where it is.
fn trail(place: &Path, who: &str, side: Side) -> (AuditTrail, PathBuf) {
    let mut config = AuditConfig::default();
    config.resolve(place, &place.join(format!("{who}-ledger.redb")), &place.join("state")).unwrap();
    let trail = AuditTrail::open(&config, side, &RunId::new("spring").unwrap(), None).unwrap();
    let signer = IdentityConfig::in_folder(&place.join(who)).signer();
    assert!(signer.is_some());
    (trail.signed_by(signer), config.folder().to_path_buf())
}

/// Heads that the log in `folder` calls badly signed: whose, and with how many entries.
fn badly_signed(folder: &Path) -> Vec<(String, u64)> {
    let mut found = Vec::new();
    for entry in LogChain::read(&folder.join("log.jsonl")).unwrap().entries {
        if let Some(AuditEvent::BadSignature { side, sequence, .. }) = entry.event() {
            found.push((side, sequence));
        }
    }
    found
}

#[test]
fn a_head_is_kept_with_the_key_that_signed_it_and_a_forged_one_is_written_down() {
    let place = tempfile::tempdir().unwrap();
    let keys = identities(place.path());
    let (bank, _) = trail(place.path(), "bank", Side::Party(name("bank")));
    let (shop, folder) = trail(place.path(), "shop", Side::Coordinator);
    let told = bank.head().unwrap();
    let parties = [name("bank"), name("telecom")];
    let keep =
        |head: &AuditHead| shop.keep_heads(std::slice::from_ref(head), &parties, HeadMoment::Begin).unwrap();
    let kept = |side: &str| read_heads(&folder.join(format!("heads/{side}.jsonl"))).unwrap();
    keep(&told);
    let first = kept("party-bank").remove(0);
    assert_eq!((first.key, first.verify()), (Some(keys["bank"]), Ok(Some(keys["bank"]))));
    assert!(badly_signed(&folder).is_empty());

    // Another number, another entry, another signature, and the head of one as that of another.
    let more = AuditHead { sequence: told.sequence + 1, ..told.clone() };
    let other = AuditHead { entry: Digest([9; 32]), ..told.clone() };
    let unreadable = AuditHead { signature: vec![3; 9], ..told.clone() };
    let of_other = AuditHead { party: Some(name("telecom")), ..told.clone() };
    let mut noted = Vec::new();
    for forged in [more, other, unreadable, of_other] {
        keep(&forged);
        let side = Side::from(forged.party.clone()).file_stem();
        let last = kept(&side).pop().unwrap();
        assert!(last.key.is_none() && last.signature.is_some() && last.verify().is_err(), "{last:?}");
        noted.push((side, forged.sequence));
        assert_eq!(badly_signed(&folder), noted);
    }
    // One that is not signed at all is none of a side that has an identity.
    let unsigned = AuditHead { sequence: told.sequence + 2, signature: Vec::new(), ..told };
    keep(&unsigned);
    let last = kept("party-bank").pop().unwrap();
    assert_eq!((last.sequence, last.key, last.signature), (unsigned.sequence, None, None));
    noted.push(("party-bank".to_string(), unsigned.sequence));
    assert_eq!(badly_signed(&folder), noted);
}

#[test]
fn what_a_party_signed_stays_when_it_comes_to_serve_with_a_head_that_is_not_signed() {
    let place = tempfile::tempdir().unwrap();
    let keys = identities(place.path());
    let (bank, _) = trail(place.path(), "bank", Side::Party(name("bank")));
    let (shop, folder) = trail(place.path(), "shop", Side::Coordinator);
    let signed = bank.head().unwrap();
    let unsigned = AuditHead { sequence: signed.sequence + 1, signature: Vec::new(), ..signed.clone() };
    for head in [&signed, &unsigned] {
        shop.keep_heads(std::slice::from_ref(head), &[name("bank")], HeadMoment::Serve).unwrap();
    }
    let kept = read_heads(&folder.join("heads/party-bank.jsonl")).unwrap();
    let kept: Vec<_> = kept.iter().map(|head| (head.sequence, head.key)).collect();
    assert_eq!(kept, [(signed.sequence, Some(keys["bank"])), (unsigned.sequence, None)]);
    assert_eq!(badly_signed(&folder), [("party-bank".to_string(), unsigned.sequence)]);
}

#[test]
fn a_head_that_another_key_than_the_pinned_one_signed_counts_as_unsigned() {
    let place = tempfile::tempdir().unwrap();
    let keys = identities(place.path());
    let mut pins = Pins::default();
    pins.add(&Pin { identity: Identity::new(Role::Party, name("bank")), fingerprint: keys["telecom"] });
    pins.write(&IdentityConfig::in_folder(&place.path().join("shop")).pins).unwrap();
    let (bank, _) = trail(place.path(), "bank", Side::Party(name("bank")));
    let (shop, folder) = trail(place.path(), "shop", Side::Coordinator);
    let told = bank.head().unwrap();
    shop.keep_heads(std::slice::from_ref(&told), &[name("bank")], HeadMoment::Finish).unwrap();
    let kept = read_heads(&folder.join("heads/party-bank.jsonl")).unwrap().remove(0);
    assert_eq!((kept.key, kept.verify()), (None, Ok(Some(keys["bank"]))));
    assert_eq!(badly_signed(&folder), [("party-bank".to_string(), told.sequence)]);
}

#[test]
fn the_head_of_the_coordinator_is_that_of_the_one_that_the_config_names() {
    let place = tempfile::tempdir().unwrap();
    let keys = identities(place.path());
    let mut pins = Pins::default();
    for (who, key) in [("shop", "shop"), ("mill", "telecom")] {
        pins.add(&Pin { identity: Identity::new(Role::Coordinator, name(who)), fingerprint: keys[key] });
    }
    pins.write(&IdentityConfig::in_folder(&place.path().join("bank")).pins).unwrap();
    let (mill, _) = trail(place.path(), "telecom", Side::Coordinator);
    let told = mill.head().unwrap();
    let (bank, folder) = trail(place.path(), "bank", Side::Party(name("bank")));
    let keep =
        |bank: &AuditTrail| bank.keep_heads(std::slice::from_ref(&told), &[], HeadMoment::Begin).unwrap();
    keep(&bank);
    assert!(badly_signed(&folder).is_empty(), "any that is pinned counts where none is named");
    keep(&bank.coordinated_by(Some(name("shop"))));
    assert_eq!(badly_signed(&folder), [("coordinator".to_string(), told.sequence)]);
}

#[test]
fn a_receipt_is_of_the_side_whose_key_signed_it_and_of_no_other_request() {
    let place = tempfile::tempdir().unwrap();
    let keys = identities(place.path());
    let (bank, _) = trail(place.path(), "bank", Side::Party(name("bank")));
    let request = b"patient-4711\n";
    let path = bank.erased(request, [("codes".to_string(), 3)].into()).unwrap().unwrap();
    let receipt = Receipt::read(&path).unwrap();
    let own = [keys["bank"]];
    assert_eq!(receipt.side().unwrap(), Side::Party(name("bank")));
    assert_eq!(receipt.verify(request, &own).unwrap(), keys["bank"]);
    let refused = receipt.verify(b"patient-4712\n", &own).unwrap_err();
    assert!(matches!(refused, ReceiptError::OtherRequest(_)), "{refused}");
    let refused = receipt.verify(request, &[keys["telecom"], keys["shop"]]).unwrap_err();
    assert!(matches!(refused, ReceiptError::OtherKey { found, .. } if found == keys["bank"]), "{refused}");
    let refused = receipt.verify(request, &[]).unwrap_err();
    assert!(matches!(refused, ReceiptError::UnknownKey { .. }), "{refused}");

    let (mut more, mut of_other) = (receipt.clone(), receipt);
    more.receipt.counts.insert("codes".to_string(), 4);
    of_other.receipt.side = "party-telecom".to_string();
    for forged in [more, of_other] {
        let refused = forged.verify(request, &own).unwrap_err();
        assert!(matches!(refused, ReceiptError::Signature { .. }), "{refused}");
    }
}

#[test]
fn other_pins_are_written_down_once_and_so_is_that_there_are_none() {
    let place = tempfile::tempdir().unwrap();
    let keys = identities(place.path());
    let path = IdentityConfig::in_folder(&place.path().join("bank")).pins;
    let (bank, folder) = trail(place.path(), "bank", Side::Party(name("bank")));
    let told = || {
        let entries = LogChain::read(&folder.join("log.jsonl")).unwrap().entries;
        entries.iter().skip(1).map(LogEntry::describe).collect::<Vec<_>>()
    };
    assert!(told().is_empty(), "nobody is pinned");
    let mut pins = Pins::default();
    let mut expected = Vec::new();
    for (who, key) in [("shop", "shop"), ("mill", "telecom")] {
        pins.add(&Pin { identity: Identity::new(Role::Coordinator, name(who)), fingerprint: keys[key] });
        pins.write(&path).unwrap();
        let names = pins.len();
        expected.push(format!(
            "pins in force: {}, of {names} name{}",
            pins.sha256().unwrap(),
            if names == 1 { "" } else { "s" }
        ));
        (0..2).for_each(|_| bank.note_pins());
        assert_eq!(told(), expected);
    }
    // Another process finds those that the trail knows.
    drop(bank);
    let (bank, _) = trail(place.path(), "bank", Side::Party(name("bank")));
    assert_eq!(told(), expected);
    std::fs::remove_file(&path).unwrap();
    (0..2).for_each(|_| bank.note_pins());
    assert_eq!(told()[2..], ["pins removed"]);
}
