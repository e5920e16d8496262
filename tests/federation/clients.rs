//! Clients of predictions and the coordinator that they ask: nothing goes to another machine in plain text, and a coordinator
//! that is named or pinned is the only one.

use std::net::TcpListener;

use crate::fixture::{Fixture, command, done};
use crate::secured::{enrol, key_of, last_word, secured};

/// `coordinator predict` of one record at `server`, with more arguments; the error with which it ends.
fn refused(fixture: &Fixture, server: &str, more: &[&str]) -> String {
    fixture.write("ask.csv", "id\nr1\n");
    let [input, out] = ["ask.csv", "answer.csv"].map(|name| fixture.path(name).display().to_string());
    let ask =
        ["coordinator", "predict", "--server", server, "--input", &input, "--out", &out, "--connect-s", "1"];
    let (good, _, errors) = command(&[&ask[..], more].concat());
    assert!(!good && !errors.contains("panicked"), "{errors}");
    errors
}

#[test]
fn a_client_without_an_identity_asks_this_machine_alone() {
    let fixture = Fixture::new();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.set_nonblocking(true).unwrap();
    // No address of loopback, and it leads there.
    let server = format!("http://0.0.0.0:{}", listener.local_addr().unwrap().port());
    let error = refused(&fixture, &server, &[]);
    assert!(error.contains("would be sent in plain text, which is allowed only to this machine"), "{error}");
    assert!(error.contains("pass --identity FOLDER"), "{error}");
    assert!(listener.accept().is_err(), "somebody has connected");
}

#[test]
fn a_client_takes_the_coordinator_alone_that_it_has_named_or_pinned() {
    let fixture = secured();
    let [shop, app] = ["shop", "app"].map(|name| fixture.path(name).display().to_string());
    let authority = last_word(&done(&["coordinator", "identity", "show", "--folder", &shop]), "authority  ");
    enrol(&fixture, "client", "app", &authority);
    let (mut coordinator, address) = fixture.coordinator();
    let server = format!("http://{address}");
    let as_app =
        |more: &[&str]| refused(&fixture, &server, &[&["--identity", app.as_str()][..], more].concat());
    let is_another =
        |error: &str| error.contains("who answers there is refused") && error.contains("coordinator/mill");
    let error = as_app(&["--coordinator", "mill"]);
    assert!(is_another(&error), "{error}");
    let pin = format!("coordinator/mill={}", key_of(&fixture, "shop"));
    done(&["coordinator", "identity", "pin", &pin, "--folder", &app]);
    let error = as_app(&[]);
    assert!(is_another(&error), "the only one that is pinned: {error}");
    // The right one is asked, and serves no predictions.
    let error = as_app(&["--coordinator", "shop"]);
    assert!(
        !error.contains("who answers there is refused") && !error.contains("coordinator/mill"),
        "{error}"
    );
    coordinator.kill();
}
