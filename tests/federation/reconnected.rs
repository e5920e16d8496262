//! Connections that break in a run: it goes on over others, and nothing is learned, sent or counted otherwise.

use std::fs;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use hashvfl_core::protocol::exchange::Mark;
use hashvfl_core::protocol::message::{FromCoordinator, FromParty, Return, SessionKey};
use hashvfl_core::random::{stream, uniform};
use hashvfl_core::{Digest, PartyName, RunId};
use hashvfl_learning::Snapshot;
use hashvfl_transcript::{Recording, Step};
use hashvfl_transport::dial::Dialer;

use crate::fixture::{Fixture, PARTIES, Role, eventually};
use crate::ledger::counted;
use crate::proxy::Proxy;

/// Longest time in which connections break.
const DISTURBED: Duration = Duration::from_secs(100);

/// How connections break.
#[derive(Debug, Clone, Copy)]
enum Fault {
    /// Both sides see it.
    Cut,
    /// The party alone sees it: the coordinator has two connections of it for a while.
    Unseen,
    /// Nothing comes through for a while, and then all of it.
    Silence,
}

const FAULTS: [Fault; 4] = [Fault::Cut, Fault::Cut, Fault::Unseen, Fault::Silence];

/// A run of some seconds, with all that is compared.
fn long_run() -> Fixture {
    let mut fixture = Fixture { reconnect_s: 60, ..Fixture::new() };
    fixture.settings.epochs = 500;
    fixture.settings.calibration_fraction = 0.65;
    fixture.extra.push(("coordinator", "transcript = true".into()));
    fixture.extra.push(("coordinator", "detectors = { level = 0.1 }".into()));
    fixture
}

/// Runs a federation whose connections break at moments drawn from `seed`; how many broke, and what the coordinator and the
/// parties logged.
fn disturbed(fixture: &Fixture, seed: u64) -> (usize, [String; 3]) {
    let (mut coordinator, address) = fixture.coordinator();
    let proxies = PARTIES.map(|_| Proxy::to(&address));
    let mut parties = [0, 1].map(|index| fixture.party(PARTIES[index], &proxies[index].address));
    PARTIES.iter().for_each(|_| coordinator.wait_for("joined"));
    let ended = AtomicBool::new(false);
    thread::scope(|scope| {
        let disturbing = scope.spawn(|| {
            let mut rng = stream(seed, "faults", &[]);
            let (began, mut broken) = (Instant::now(), 0);
            while !ended.load(Ordering::SeqCst) && began.elapsed() < DISTURBED {
                thread::sleep(Duration::from_secs_f32(0.02 + 0.2 * uniform(&mut rng)));
                let proxy = &proxies[(2.0 * uniform(&mut rng)) as usize % 2];
                match FAULTS[(4.0 * uniform(&mut rng)) as usize % 4] {
                    Fault::Cut => broken += proxy.cut(),
                    Fault::Unseen => broken += proxy.cut_unseen(),
                    Fault::Silence => {
                        proxy.be_silent(Duration::from_secs_f32(0.1 * uniform(&mut rng)));
                    }
                }
            }
            broken
        });
        let [bank, telecom] = &mut parties;
        let ends = [coordinator.ends(), bank.ends(), telecom.ends()];
        ended.store(true, Ordering::SeqCst);
        assert!(ends.iter().all(|(good, _)| *good), "{ends:?}");
        (disturbing.join().unwrap(), ends.map(|(_, log)| log))
    })
}

/// What came to the coordinator, step by step.
fn transcript(fixture: &Fixture) -> Vec<Step> {
    let path = fixture.path("coordinator-state/transcript.parquet");
    Recording::read(&path, None).unwrap().steps
}

/// What a run has learned and counted, without times.
fn outcome(fixture: &Fixture) -> Vec<(String, String)> {
    let mut found = Vec::new();
    for weights in ["coordinator-state/top", "bank-state/bottom", "telecom-state/bottom"] {
        let snapshot = Snapshot::read(&fixture.path(&format!("{weights}.safetensors"))).unwrap();
        found.push((weights.to_string(), format!("{:?} {:?}", snapshot.arrays, snapshot.text)));
    }
    let summary = fixture.summary();
    for key in ["bytes", "bits_released_per_record", "test", "best_epoch", "encoders_sha256"] {
        found.push((key.to_string(), summary[key].to_string()));
    }
    for party in PARTIES {
        found.push((format!("ledger of {party}"), format!("{:?}", counted(fixture, party))));
    }
    for entry in fs::read_dir(fixture.path("coordinator-state/codes")).unwrap() {
        let path = entry.unwrap().path();
        found.push((
            path.file_name().unwrap().display().to_string(),
            Digest::of(&fs::read(&path).unwrap()).to_string(),
        ));
    }
    found.sort();
    found
}

#[test]
fn a_run_whose_connections_break_learns_and_counts_what_an_undisturbed_one_does() {
    let quiet = long_run();
    quiet.run();
    let expected = outcome(&quiet);
    let fixture = long_run();
    let (broken, [coordinator, bank, telecom]) = disturbed(&fixture, 1);
    assert!(transcript(&fixture) == transcript(&quiet), "other codes came");
    let found = outcome(&fixture);
    assert_eq!(found.len(), expected.len());
    for (found, expected) in found.iter().zip(&expected) {
        assert!(found == expected, "{} and {} differ", found.0, expected.0);
    }
    let returns = [&bank, &telecom].map(|log| log.matches("back after").count());
    println!("{broken} connections broke, parties came back {returns:?} times");
    assert!(broken >= 10 && returns.iter().all(|count| *count > 0), "{broken} broke: {returns:?}\n{bank}");
    assert!(coordinator.contains("waiting up to 60 s for it to reconnect"), "{coordinator}");
    let log = fixture.read("bank-ledger.audit/log.jsonl");
    assert!(log.contains("\"returned\""), "{log}");
}

#[test]
fn a_run_goes_on_after_a_cut_of_seconds_at_both_parties() {
    let mut fixture = Fixture { reconnect_s: 60, ..Fixture::new() };
    fixture.settings.epochs = 300;
    let (mut coordinator, address) = fixture.coordinator();
    let proxy = Proxy::to(&address);
    let mut parties = PARTIES.map(|name| fixture.party(name, &proxy.address));
    coordinator.wait_for("\"epoch\":2");
    proxy.block(true);
    assert_eq!(proxy.cut(), 2, "connections");
    thread::sleep(Duration::from_secs(5));
    proxy.block(false);
    coordinator.succeeds();
    for party in &mut parties {
        let (good, log) = party.ends();
        assert!(good && log.contains("trying to reconnect for 60 s") && log.contains("back after"), "{log}");
        assert_eq!(log.matches("trying to reconnect").count(), 1, "it is said once: {log}");
    }
}

#[test]
fn the_others_hear_whom_a_run_waits_for_and_when_that_is_back() {
    let mut fixture = Fixture { reconnect_s: 60, ..Fixture::new() };
    fixture.settings.epochs = 300;
    let (mut coordinator, address) = fixture.coordinator();
    let proxy = Proxy::to(&address);
    let mut bank = fixture.party("bank", &proxy.address);
    let mut telecom = fixture.party("telecom", &address);
    coordinator.wait_for("\"epoch\":2");
    proxy.block(true);
    assert_eq!(proxy.cut(), 1, "connections");
    telecom.wait_for_log("the coordinator says: the run waits for bank, whose connection was lost");
    proxy.block(false);
    coordinator.succeeds();
    bank.succeeds();
    let (good, log) = telecom.ends();
    assert!(good && log.contains("the coordinator says: bank has reconnected"), "{log}");
    assert!(!log.contains("trying to reconnect"), "its own connection was there: {log}");
}

#[test]
fn a_connection_that_dies_without_a_word_is_found_out_by_its_silence() {
    let mut fixture = Fixture { reconnect_s: 60, keep_alive_s: 1, ..Fixture::new() };
    fixture.settings.epochs = 300;
    let (mut coordinator, address) = fixture.coordinator();
    let proxy = Proxy::to(&address);
    let mut parties = PARTIES.map(|name| fixture.party(name, &proxy.address));
    coordinator.wait_for("\"epoch\":2");
    proxy.fall_silent();
    coordinator.succeeds();
    for party in &mut parties {
        let (good, log) = party.ends();
        assert!(good && log.contains("back after"), "{log}");
    }
    assert_eq!(proxy.opened(), 4, "connections");
}

#[test]
fn a_cut_before_the_run_begins_costs_nothing() {
    let fixture = Fixture { reconnect_s: 60, ..Fixture::new() };
    let (mut coordinator, address) = fixture.coordinator();
    let proxy = Proxy::to(&address);
    let mut bank = fixture.party("bank", &proxy.address);
    coordinator.wait_for("joined");
    assert_eq!(proxy.cut(), 1, "connections");
    // It comes back by itself, by a greeting or on its seat.
    eventually(|| {
        let greeted = coordinator.line().is_some_and(|line| line.contains("joined"));
        let log = bank.logged();
        if greeted || log.contains("back after") { Ok(()) } else { Err(log) }
    });
    assert!(proxy.cut_unseen() > 0, "connections");
    let mut telecom = fixture.party("telecom", &proxy.address);
    coordinator.succeeds();
    bank.succeeds();
    telecom.succeeds();
}

#[test]
fn a_cut_that_lasts_too_long_ends_both_sides_with_one_line() {
    let mut fixture = Fixture { reconnect_s: 2, ..Fixture::new() };
    fixture.settings.epochs = 100_000;
    let (mut coordinator, address) = fixture.coordinator();
    let proxy = Proxy::to(&address);
    let mut bank = fixture.party("bank", &address);
    let mut telecom = fixture.party("telecom", &proxy.address);
    coordinator.wait_for("\"epoch\":2");
    proxy.block(true);
    proxy.cut();
    let began = Instant::now();
    let error = coordinator.fails();
    assert!(error.contains("lost telecom") && error.contains("within 2 s (timeouts.reconnect_s"), "{error}");
    let error = telecom.fails();
    assert!(error.contains("could not reconnect within 2 s (timeouts.reconnect_s"), "{error}");
    let error = bank.fails();
    assert!(error.contains("the run has ended") && error.contains("telecom"), "{error}");
    assert!(began.elapsed() < Duration::from_secs(30), "{:?}", began.elapsed());
    assert_eq!(fixture.unfinished(), Vec::<String>::new(), "nothing of a run that did not finish");
}

#[test]
fn a_coordinator_that_was_started_anew_sends_parties_away() {
    let mut fixture = Fixture { reconnect_s: 60, ..Fixture::new() };
    fixture.settings.epochs = 100_000;
    let (mut coordinator, address) = fixture.coordinator();
    let proxy = Proxy::to(&address);
    let mut parties = PARTIES.map(|name| fixture.party(name, &proxy.address));
    coordinator.wait_for("\"epoch\":2");
    coordinator.kill();
    let (_coordinator, address) = fixture.coordinator();
    proxy.lead_to(&address);
    for party in &mut parties {
        let error = party.fails();
        assert!(error.contains("no run here waits for this party's return"), "{error}");
    }
}

#[test]
fn a_party_without_its_session_is_not_let_back_in() {
    let mut fixture = Fixture::new();
    fixture.settings.epochs = 100_000;
    let (mut coordinator, address) = fixture.coordinator();
    let mut parties = PARTIES.map(|name| fixture.party(name, &address));
    coordinator.wait_for("\"epoch\":2");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let answer = |run: &str, party: &str| {
        let back = Return {
            run: RunId::new(run).unwrap(),
            party: PartyName::new(party).unwrap(),
            session: SessionKey([7; 32]),
            mark: Mark { received: 0, chain: Digest([0; 32]) },
        };
        let dialer = Dialer::new(format!("http://{address}").parse().unwrap(), 10);
        runtime.block_on(async {
            let limit = Duration::from_secs(10);
            let mut stream = dialer.training_once(FromParty::Return(back), limit).await.unwrap();
            match stream.next_within(limit).await.unwrap().message {
                FromCoordinator::Refused { text, try_again: false } => text,
                other => panic!("{other:?}"),
            }
        })
    };
    // Whether run, party or session is another: a stranger learns nothing of them.
    let refused = answer("test", "bank");
    assert!(refused.contains("no run here waits for this party's return"), "{refused}");
    for (run, party) in [("other", "bank"), ("test", "stranger")] {
        assert_eq!(answer(run, party), refused);
    }
    // The run goes on undisturbed.
    coordinator.wait_for("\"epoch\"");
    coordinator.kill();
    parties.iter_mut().for_each(|party| drop(Role::fails(party)));
}

#[test]
fn parties_come_back_between_the_end_of_a_run_and_its_heads() {
    // Models are kept within milliseconds, so many runs are cut around their ends.
    for seed in 0..6 {
        let fixture = Fixture { reconnect_s: 5, ..Fixture::new() };
        let (mut coordinator, address) = fixture.coordinator();
        let proxies = PARTIES.map(|_| Proxy::to(&address));
        let mut parties = [0, 1].map(|index| fixture.party(PARTIES[index], &proxies[index].address));
        coordinator.wait_for("\"epoch\":4");
        let mut rng = stream(seed, "cuts at the end", &[]);
        for proxy in &proxies {
            thread::sleep(Duration::from_secs_f32(0.03 * uniform(&mut rng)));
            proxy.cut();
        }
        coordinator.succeeds();
        for party in &mut parties {
            let (good, log) = party.ends();
            assert!(good, "{log}");
            assert!(log.contains("finished; the model is final"), "{log}");
        }
    }
}
