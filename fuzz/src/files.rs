//! Files that another organisation hands over.

use std::fs;
use std::path::Path;

use hashvfl_audit::{Chain, KeptHead};
use hashvfl_core::PartyName;
use hashvfl_core::codes::stored::StoredCodes;
use hashvfl_core::records::run_records::RunRecords;
use hashvfl_identity::{Authority, Identity, Pins, Places, Role, SigningOptions, accept, request, verify};
use tempfile::TempDir;

/// The first byte says which file the others are.
pub fn target(bytes: &[u8]) {
    let Some((kind, bytes)) = bytes.split_first() else { return };
    match kind % 7 {
        0 => drop(Pins::parse(bytes, Path::new("pins.toml"))),
        1 => in_folder(|home| sign(home, bytes)),
        2 => in_folder(|home| take_certificate(home, bytes)),
        3 => in_folder(|home| drop(Chain::read(&written(home, bytes)))),
        4 => head(bytes),
        5 => drop(StoredCodes::from_bytes(bytes)),
        _ => drop(RunRecords::from_bytes(bytes)),
    }
}

/// A folder with an authority and a party whose request is open: made once a thread.
struct Home {
    folder: TempDir,
    authority: Authority,
    places: Places,
}

impl Home {
    fn new() -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let name = PartyName::new("shop").expect("a name");
        let authority = Authority::create(&folder.path().join("authority"), &name).expect("an authority");
        let places = Places::in_folder(&folder.path().join("bank"));
        let bank = Identity::new(Role::Party, PartyName::new("bank").expect("a name"));
        request(&places, &bank, false).expect("a request");
        Self { folder, authority, places }
    }
}

fn in_folder(work: impl FnOnce(&mut Home)) {
    thread_local!(static HOME: std::cell::RefCell<Home> = std::cell::RefCell::new(Home::new()));
    HOME.with_borrow_mut(work);
}

/// The bytes as a file.
fn written(home: &Home, bytes: &[u8]) -> std::path::PathBuf {
    let path = home.folder.path().join("file");
    fs::write(&path, bytes).expect("a file");
    path
}

fn sign(home: &mut Home, bytes: &[u8]) {
    let path = written(home, bytes);
    drop(home.authority.sign(&path, &SigningOptions { days: 30, fingerprint: None, role: None }));
}

fn take_certificate(home: &mut Home, bytes: &[u8]) {
    let path = written(home, bytes);
    drop(accept(&home.places, &path, Some(home.authority.fingerprint()), None));
}

/// A head with its signature: as JSON, and the signature alone.
fn head(bytes: &[u8]) {
    let _ = verify(b"hashvfl.v1 a text\n", bytes);
    if let Ok(head) = serde_json::from_slice::<KeptHead>(bytes) {
        let _ = head.verify();
    }
}
