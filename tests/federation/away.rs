//! Parties that are there and say nothing while predictions are served: they hold no client, and come back by themselves.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use crate::fixture::{Fixture, Role};
use crate::predict::{Row, all_by, ids, outcomes, predict, serving};

/// Predictions for `ids`, and how long they took.
fn timed(fixture: &Fixture, address: &str, ids: &[String]) -> (Vec<Row>, Duration) {
    let began = Instant::now();
    (predict(fixture, address, ids).0, began.elapsed())
}

#[test]
fn a_party_that_says_nothing_holds_no_client_and_comes_back_by_itself() {
    let mut fixture = Fixture::new();
    fixture.extra.push(("coordinator", "serve = { absent = \"refuse\", absent_timeout_s = 4 }".into()));
    fixture.run();
    let (coordinator, address) = fixture.serve();
    let mut parties = serving(&fixture, &coordinator, &address);
    let (known, _) = predict(&fixture, &address, &ids(0..20));
    assert!(all_by(&known, "bank+telecom"), "{known:?}");
    parties[0].stand_still(true);
    let (first, took) = timed(&fixture, &address, &ids(10..30));
    assert_eq!(outcomes(&first), BTreeMap::from([("predicted", 10), ("party away", 10)]), "known codes stay");
    // timeouts.step_s is 30.
    assert!(took < Duration::from_secs(15), "{took:?}");
    let most = timed(&fixture, &address, &ids(0..5)).1;
    let (second, took) = timed(&fixture, &address, &ids(30..40));
    assert_eq!(outcomes(&second), BTreeMap::from([("party away", 10)]));
    assert!(took < most + Duration::from_secs(2), "at once: {took:?}, with known codes {most:?}");
    parties[0].stand_still(false);
    // What it was asked for meanwhile is answered, and nobody asks for it again.
    let began = Instant::now();
    loop {
        let (rows, _) = predict(&fixture, &address, &ids(10..40));
        if all_by(&rows, "bank+telecom") {
            break;
        }
        assert!(began.elapsed() < Duration::from_secs(30), "{:?}", outcomes(&rows));
    }
    parties.iter_mut().for_each(Role::terminate);
    parties.iter_mut().for_each(Role::succeeds);
}

#[test]
fn a_party_that_is_pushed_aside_comes_back_by_itself() {
    let mut fixture = Fixture::new();
    fixture.extra.push(("coordinator", "serve = { absent = \"refuse\", absent_timeout_s = 1 }".into()));
    fixture.run();
    let config = fixture.coordinator_config();
    let text = fixture.read("coordinator.toml").replace("step_s = 30", "step_s = 2");
    fixture.write("coordinator.toml", &text);
    let coordinator = Role::start(&["coordinator", "serve", "--json", "--config"], &config, fixture.log);
    let line = coordinator.next_line().unwrap();
    let event: serde_json::Value = serde_json::from_str(&line).unwrap();
    let address = event["address"].as_str().unwrap().to_string();
    let mut parties = serving(&fixture, &coordinator, &address);
    parties[0].stand_still(true);
    let (away, _) = predict(&fixture, &address, &ids(0..10));
    assert_eq!(outcomes(&away), BTreeMap::from([("party away", 10)]));
    coordinator.wait_for("\"left\",\"party\":\"bank\"");
    parties[0].stand_still(false);
    coordinator.wait_for("\"joined\",\"party\":\"bank\"");
    let (back, errors) = predict(&fixture, &address, &ids(0..10));
    assert!(all_by(&back, "bank+telecom"), "{errors}");
    // A second process under the same name takes the first one's place, which comes back when the second has gone.
    let mut second = fixture.party_serves("bank", &address);
    let error = second.fails();
    assert!(error.contains("ledger"), "one process has the ledger: {error}");
    parties.iter_mut().for_each(Role::terminate);
    parties.iter_mut().for_each(Role::succeeds);
}
