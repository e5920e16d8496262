//! An audit trail hears which revocation list counts, from a list that changes under a running process too.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use hashvfl_audit::{AuditConfig, AuditEvent, AuditTrail, LogChain, Side};
use hashvfl_core::RunId;
use hashvfl_identity::{Authority, Identity, IdentityConfig, IdentityFiles, IdentityPaths, Role, issue};

/// A trail in `folder`, signed by the coordinator there.
fn trail(folder: &Path, files: &Arc<IdentityFiles>) -> AuditTrail {
    let mut config = AuditConfig::default();
    config.resolve(folder, &folder.join("ledger.redb"), &folder.join("state")).unwrap();
    let trail = AuditTrail::open(&config, Side::Coordinator, &RunId::new("spring").unwrap(), None).unwrap();
    trail.signed_by(Some(Arc::clone(files)))
}

/// What the entries about revocation lists say: lists, certificates, and whose are new.
fn told(folder: &Path) -> Vec<(String, u64, Vec<String>)> {
    let mut told = Vec::new();
    for entry in LogChain::read(&folder.join("ledger.audit/log.jsonl")).unwrap().entries {
        if let Some(AuditEvent::RevocationsChanged { lists, revoked, new }) = entry.event() {
            told.push((lists, revoked, new));
        }
    }
    told
}

#[test]
fn a_list_that_takes_back_more_is_written_down_once_and_by_name_where_that_is_known() {
    let place = tempfile::tempdir().unwrap();
    let (folder, keep) = (place.path(), place.path().join("authority"));
    let [shop, bank, post]: [Identity; 3] =
        ["coordinator/shop", "party/bank", "party/post"].map(|who| who.parse().unwrap());
    let mut authority = Authority::create(&keep, &shop.name).unwrap();
    for who in [&shop, &bank, &post] {
        issue(&mut authority, &IdentityPaths::in_folder(&folder.join(who.name.as_str())), who, 30).unwrap();
    }
    let list = folder.join("revoked.pem");
    // In one step, as an authority's commands write it.
    let copy = || {
        fs::copy(keep.join("revoked.pem"), folder.join("copied.pem")).unwrap();
        hashvfl_files::rename_durably(&folder.join("copied.pem"), &list).unwrap();
    };
    copy();
    let mut config = IdentityConfig::in_folder(&folder.join("shop"));
    config.revoked = Some(list.clone());
    let files = IdentityFiles::load(&config).unwrap();
    let first = trail(folder, &files);
    first.note_revocations();
    assert_eq!(told(folder), [("4".to_string(), 0, Vec::new())]);
    // On another machine than the authority's nobody knows whose the serial number is.
    authority.revoke(&bank, "lost").unwrap();
    copy();
    (0..2).for_each(|_| first.note_revocations());
    let serial = |who: &Identity| {
        let issued = &authority.issued().certificates;
        issued.iter().find(|one| one.identity == *who).unwrap().serial.clone()
    };
    let by_number = ("5".to_string(), 1, vec![format!("certificate {}", serial(&bank))]);
    assert_eq!(told(folder)[1..], [by_number]);
    authority.revoke(&post, "left").unwrap();
    fs::copy(keep.join("issued.json"), folder.join("issued.json")).unwrap();
    copy();
    first.note_revocations();
    assert_eq!(told(folder)[2..], [("6".to_string(), 2, vec!["party/post".to_string()])]);
    drop(first);
    // Another process finds the list that the trail knows, and later one that it does not.
    let files = IdentityFiles::load(&config).unwrap();
    assert_eq!(files.current().own_identity().role, Role::Coordinator);
    drop(trail(folder, &files));
    assert_eq!(told(folder).len(), 3);
    authority.write_list().unwrap();
    copy();
    drop(trail(folder, &files));
    assert_eq!(told(folder)[3..], [("7".to_string(), 2, Vec::new())]);
}
