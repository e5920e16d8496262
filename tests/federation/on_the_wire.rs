//! What travels between parties and their coordinator, message by message: it names no record.

use crate::fixture::{Fixture, PARTIES, RECORDS, Role};
use crate::predict::predict;
use crate::recorder::Recorder;

/// What all ids begin with: no bytes of codes or digests look like it.
const ID: &str = "customer-number-";

fn ids(count: usize) -> Vec<String> {
    (0..count).map(|record| format!("{ID}{record}")).collect()
}

fn holds(bytes: &[u8], text: &str) -> bool {
    bytes.windows(text.len()).any(|window| window == text.as_bytes())
}

/// Checks what passed `recorders`.
fn check(recorders: &[Recorder]) {
    for (recorder, party) in recorders.iter().zip(PARTIES) {
        let [sent, received] = recorder.bytes();
        assert!(holds(&sent, party) && received.len() > 100, "{party} has talked");
        for bytes in [sent, received] {
            assert!(!holds(&bytes, ID), "an id among {} bytes of {party}'s", bytes.len());
        }
    }
}

#[test]
fn no_id_travels_to_or_from_a_party_that_trains_or_serves() {
    let fixture = Fixture::new();
    for table in ["bank.csv", "telecom.csv", "labels.csv"] {
        fixture.write(table, &fixture.read(table).replace("\nr", &format!("\n{ID}")));
    }
    let (mut coordinator, address) = fixture.coordinator();
    let recorders = PARTIES.map(|_| Recorder::training(&address));
    let dial = |place: usize| fixture.party(PARTIES[place], &recorders[place].address);
    let mut parties = [dial(0), dial(1)];
    coordinator.succeeds();
    parties.iter_mut().for_each(Role::succeeds);
    check(&recorders);

    let (coordinator, address) = fixture.serve();
    let recorders = PARTIES.map(|_| Recorder::serving(&address));
    let mut parties = Vec::new();
    for (name, recorder) in PARTIES.iter().zip(&recorders) {
        parties.push(fixture.party_serves(name, &recorder.address));
        coordinator.wait_for(&format!("\"joined\",\"party\":\"{name}\""));
    }
    let (rows, errors) = predict(&fixture, &address, &ids(RECORDS));
    assert!(errors.is_empty() && rows.iter().all(|row| row.outcome == "predicted"), "{errors}");
    check(&recorders);
}
