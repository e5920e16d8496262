//! Somebody on the way to the coordinator who answers in its place: whoever was let in before waits for the coordinator itself.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener};
use std::thread;
use std::time::{Duration, Instant};

use crate::fixture::{Fixture, LIMIT, eventually};
use crate::predict::serving;
use crate::proxy::Proxy;
use crate::secured::secured;

/// What anybody can write: an alert, by which the certificate of whoever dials is revoked.
const REVOKED: [u8; 7] = [21, 3, 3, 0, 2, 2, 44];

/// Answers every connection with an alert, as long as the tests run. Where it listens.
fn anybody() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    thread::spawn(move || {
        while let Ok((mut stream, _)) = listener.accept() {
            stream.set_read_timeout(Some(Duration::from_secs(1))).unwrap();
            // Whoever has gone hears nothing. What it sent is read, so that the alert is not lost with it.
            let _ = stream.write_all(&REVOKED).and_then(|()| stream.shutdown(Shutdown::Write));
            let _ = stream.read_to_end(&mut Vec::new());
        }
    });
    address
}

/// Cuts the way through `proxy`, and lets `place` answer from then on: at least twice before this returns.
fn take_over(proxy: &Proxy, place: &str) {
    proxy.lead_to(place);
    let (before, began) = (proxy.opened(), Instant::now());
    assert!(proxy.cut() > 0);
    while proxy.opened() < before + 2 {
        assert!(began.elapsed() < LIMIT, "nobody dials again");
        thread::sleep(Duration::from_millis(5));
    }
    // The second has been answered when a third would be.
    thread::sleep(Duration::from_millis(100));
}

#[test]
fn who_answers_in_the_coordinators_place_ends_no_run() {
    let mut fixture = Fixture { reconnect_s: 60, ..secured() };
    fixture.settings.epochs = 400;
    let other = secured();
    let (mut coordinator, address) = fixture.coordinator();
    let proxy = Proxy::to(&address);
    let mut bank = fixture.party("bank", &proxy.address);
    let mut telecom = fixture.party("telecom", &address);
    coordinator.wait_for("\"epoch\":2,");
    take_over(&proxy, &anybody());
    // A coordinator of the same name, with a certificate of another authority. It starts while the run stands still.
    let (mut another, elsewhere) = other.coordinator();
    proxy.lead_to(&address);
    coordinator.wait_for("\"epoch\":60,");
    take_over(&proxy, &elsewhere);
    proxy.lead_to(&address);
    coordinator.succeeds();
    telecom.succeeds();
    let (good, log) = bank.ends();
    assert!(good && log.matches("back after").count() >= 2, "{log}");
    another.kill();
}

#[test]
fn who_answers_in_the_coordinators_place_keeps_nobody_from_greeting_again() {
    let fixture = Fixture { reconnect_s: 60, ..secured() };
    let (mut coordinator, address) = fixture.coordinator();
    let proxy = Proxy::to(&address);
    let mut bank = fixture.party("bank", &proxy.address);
    coordinator.wait_for("joined");
    // The run has not begun, so nobody lets it come back: it hears that, and greets anew. Then somebody else answers.
    let place = anybody();
    proxy.lead_next(&[&address, &place, &place]);
    assert_eq!(proxy.cut(), 1, "connections");
    // Where the coordinator has not seen the cut yet, it comes back on its seat.
    eventually(|| {
        let greeted = coordinator.line().is_some_and(|line| line.contains("joined"));
        let log = bank.logged();
        if greeted || log.contains("back after") { Ok(()) } else { Err(log) }
    });
    let mut telecom = fixture.party("telecom", &address);
    for role in [&mut coordinator, &mut bank, &mut telecom] {
        role.succeeds();
    }
}

#[test]
fn who_answers_in_the_coordinators_place_ends_no_serving() {
    let fixture = secured();
    fixture.run();
    let (mut coordinator, address) = fixture.serve();
    let proxy = Proxy::to(&address);
    let mut parties = serving(&fixture, &coordinator, &proxy.address);
    // The coordinator says that a party has joined before the party hears so: until then, it believes whoever refuses it.
    parties.iter().for_each(|party| party.wait_for_log("accepted; waiting for requests"));
    take_over(&proxy, &anybody());
    proxy.lead_to(&address);
    // Both are in again.
    for _ in &parties {
        coordinator.wait_for("\"joined\",\"party\":");
    }
    parties.iter_mut().for_each(|party| party.kill());
    coordinator.kill();
}
