//! Whoever waits for others hears who was refused, does not come or will not take part, and why; and nobody waits longer than
//! its limits for somebody who is there and lets nobody in.

use std::net::TcpListener;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use crate::fixture::{End, Fixture, PARTIES, RECORDS, Role};
use crate::hijacked::listening;
use crate::ports::free_address;
use crate::predict::ids;

/// Changes a config that is written already.
fn edit(fixture: &Fixture, name: &str, old: &str, new: &str) {
    let text = fixture.read(name);
    assert!(text.contains(old), "{text}");
    fixture.write(name, &text.replace(old, new));
}

/// Starts a coordinator with a changed config; where it listens.
fn coordinator_with(fixture: &Fixture, old: &str, new: &str) -> (Role, String) {
    let config = fixture.coordinator_config();
    edit(fixture, "coordinator.toml", old, new);
    let mut role = Role::start(&["coordinator", "--json", "--config"], &config, fixture.log);
    let address = role.listens();
    (role, address)
}

#[test]
fn who_waits_hears_within_seconds_who_was_refused_and_at_the_limit_who_was_missing() {
    let fixture = Fixture::new();
    let (mut coordinator, address) = coordinator_with(&fixture, "join_s = 30", "join_s = 15");
    let mut bank = fixture.party("bank", &address);
    coordinator.wait_for("joined");
    let mut other = Fixture::new();
    other.settings.bits = 4;
    let error = other.party("telecom", &address).fails();
    assert!(error.contains("run.bits is 8 at the coordinator but 4 at the party"), "{error}");
    let why = "telecom (which was refused: its run.bits is not the coordinator's)";
    let limit = format!("waited 15 s (timeouts.join_s) for {why} to join");
    let error = coordinator.fails();
    assert!(error.contains(&limit), "{error}");
    let bank = bank.end();
    assert!(bank.code == Some(1) && bank.errors()[0].contains(&limit), "{}", bank.log);
    let notice = format!("the coordinator says: the run waits for {why}");
    assert!(bank.log.contains(&notice), "{}", bank.log);
    assert!(!bank.log.contains("at the party"), "values of the other side: {}", bank.log);
}

#[test]
fn nobody_waits_for_a_party_whose_own_policy_does_not_let_it_take_part() {
    let mut fixture = Fixture::new();
    fixture.extra.push(("bank", "policy = \"policy.toml\"".into()));
    fixture.write("policy.toml", "runs = [\"another-run\"]\n");
    nobody_waits_for_bank(&fixture, "another-run");
}

#[test]
fn nobody_waits_for_a_party_that_fails_before_it_has_read_its_table() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let mut fixture = Fixture::new();
    fixture.extra.push(("bank", format!("monitor = \"{address}\"")));
    nobody_waits_for_bank(&fixture, &address);
}

/// Whoever waits for bank, which ends with an error that says `why`, hears that it will not take part, and not why.
fn nobody_waits_for_bank(fixture: &Fixture, why: &str) {
    // Whoever waited for bank would wait for longer than this test may take.
    let (mut coordinator, address) = coordinator_with(fixture, "join_s = 30", "join_s = 3600");
    let mut telecom = fixture.party("telecom", &address);
    coordinator.wait_for("joined");
    let bank = fixture.party("bank", &address).end();
    assert!(bank.code == Some(1) && bank.errors()[0].contains(why), "{}", bank.log);
    assert!(bank.log.contains("told the coordinator that this party will not take part"), "{}", bank.log);
    let error = telecom.fails();
    assert!(error.contains("bank will not take part: its own log says why"), "{error}");
    let error = coordinator.fails();
    assert!(error.contains("bank will not take part") && !error.contains(why), "{error}");
}

/// A listener that takes connections and closes them at once; it ends with the test's process.
fn closes_at_once() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    thread::spawn(move || listener.incoming().for_each(drop));
    address
}

/// A coordinator's port whose streams are opened and dropped again; it ends with the test's process.
fn drops_streams() -> String {
    let (runtime, address, mut arrivals) = listening();
    thread::spawn(move || {
        runtime.block_on(async {
            while let Some(stream) = arrivals.next().await {
                drop(stream);
            }
        });
    });
    address
}

/// Starts `arguments` with a party's config that waits for 2 s for its coordinator, and for an hour for a run to start; how it
/// ends, which takes less than a minute.
fn ends_soon(fixture: &Fixture, arguments: &[&str], address: &str) -> End {
    let config = fixture.party_config("bank", address);
    edit(fixture, "bank.toml", "connect_s = 20, start_s = 60", "connect_s = 2, start_s = 3600");
    let began = Instant::now();
    let end = Role::start(arguments, &config, fixture.log).end();
    assert!(end.code == Some(1) && end.errors().len() == 1, "{arguments:?}: {}", end.log);
    assert!(began.elapsed() < Duration::from_secs(60), "{arguments:?}: {:?}: {}", began.elapsed(), end.log);
    end
}

#[test]
fn a_party_that_was_never_in_is_kept_no_longer_than_its_limit_by_handshakes_that_break() {
    let fixture = Fixture { on_interruption: "wait", ..Fixture::new() };
    let end = ends_soon(&fixture, &["party", "--config"], &drops_streams());
    // At last the same may have happened to a connection that was not a stream yet.
    assert!(end.log.contains("the handshake with the coordinator: "), "{}", end.log);
    assert!(end.log.contains("trying again for 2 s"), "{}", end.log);
}

#[test]
fn a_serving_party_bears_with_a_listener_that_closes_up_to_its_limit_and_a_client_waits_for_a_coordinator() {
    let fixture = Fixture { on_interruption: "wait", ..Fixture::new() };
    fixture.run();
    let end = ends_soon(&fixture, &["party", "serve", "--config"], &closes_at_once());
    let error = end.errors()[0];
    assert!(error.contains("has not accepted this party for 2 s") || error.contains("within 2 s"), "{error}");

    let address = free_address().to_string();
    fixture.write("ask.csv", &format!("id\n{}\n", ids(0..RECORDS).join("\n")));
    let (out, server) = (fixture.path("answer.csv").display().to_string(), format!("http://{address}"));
    let predict =
        ["coordinator", "predict", "--server", &server, "--out", &out, "--connect-s", "60", "--input"];
    let mut asks = Role::start(&predict, &fixture.path("ask.csv"), fixture.log);
    asks.wait_for_log("no coordinator at");
    let config = fixture.coordinator_config();
    edit(&fixture, "coordinator.toml", "127.0.0.1:0", &address);
    let _serving = serve(&fixture, &config, &address);
    let (good, log) = asks.ends();
    let said = asks.rest().concat();
    assert!(good && said.contains("400 of 400 records predicted"), "{said}{log}");
    assert!(log.contains("trying for 60 s"), "{log}");
}

/// A federation that serves at `address`.
fn serve(fixture: &Fixture, config: &Path, address: &str) -> Vec<Role> {
    let coordinator = Role::start(&["coordinator", "serve", "--json", "--config"], config, fixture.log);
    let parties = PARTIES.map(|name| fixture.party_serves(name, address));
    [coordinator].into_iter().chain(parties).collect()
}
