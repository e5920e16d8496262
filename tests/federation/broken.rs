//! Processes that die in the middle of a run: the others end soon, with a line that names who was lost.

use hashvfl_files::FolderLock;

use crate::fixture::Fixture;

#[test]
fn a_killed_party_is_named_by_all_others() {
    let fixture = Fixture::that_never_ends();
    let (mut coordinator, address) = fixture.coordinator();
    let mut bank = fixture.party("bank", &address);
    let mut telecom = fixture.party("telecom", &address);
    coordinator.wait_for("\"epoch\":2");
    telecom.kill();
    let error = coordinator.fails();
    assert!(error.contains("lost telecom"), "{error}");
    let error = bank.fails();
    assert!(error.contains("the run has ended") && error.contains("telecom"), "{error}");
    // What it was writing goes when it is started again.
    drop(FolderLock::take(&fixture.path("telecom-state")).unwrap());
    assert_eq!(fixture.unfinished(), Vec::<String>::new(), "nothing of a run that did not finish");
}

#[test]
fn a_killed_coordinator_is_noticed_by_the_parties() {
    let fixture = Fixture::that_never_ends();
    let (mut coordinator, address) = fixture.coordinator();
    let mut bank = fixture.party("bank", &address);
    let mut telecom = fixture.party("telecom", &address);
    coordinator.wait_for("\"epoch\":2");
    coordinator.kill();
    for party in [&mut bank, &mut telecom] {
        let error = party.fails();
        assert!(error.contains("is the coordinator still running?") && error.contains("step "), "{error}");
    }
    drop(FolderLock::take(&fixture.path("coordinator-state")).unwrap());
    assert_eq!(fixture.unfinished(), Vec::<String>::new(), "nothing of a run that did not finish");
}

#[test]
fn a_party_that_leaves_before_the_start_can_come_back() {
    let fixture = Fixture::new();
    let (mut coordinator, address) = fixture.coordinator();
    let mut first = fixture.party("bank", &address);
    coordinator.wait_for("joined");
    first.kill();
    let mut telecom = fixture.party("telecom", &address);
    coordinator.wait_for("telecom");
    let mut bank = fixture.party("bank", &address);
    coordinator.succeeds();
    bank.succeeds();
    telecom.succeeds();
}
