//! The example of a prediction client, against a federation that serves over TLS.

use std::path::Path;

use crate::fixture::done;
use crate::predict::serving;
use crate::secured::secured;

#[path = "../../examples/prediction_client.rs"]
#[allow(dead_code, reason = "its main is the example's")]
mod prediction_client;

#[test]
fn the_example_of_a_client_gets_predictions() {
    let fixture = secured();
    let path = |name: &str| fixture.path(name).display().to_string();
    let (shop, app) = (path("shop"), path("app"));
    done(&["coordinator", "identity", "issue", "client/app", "--folder", &shop, "--into", &app]);
    fixture.run();
    let (coordinator, address) = fixture.serve();
    let _parties = serving(&fixture, &coordinator, &address);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let server = format!("http://{address}");
    let asked = |identity: Option<&str>| {
        let ids = ["r1", "nobody", "r2"].map(String::from).to_vec();
        runtime.block_on(prediction_client::predict(&server, identity.map(Path::new), ids))
    };
    let lines = asked(Some(&app)).unwrap();
    assert!(lines[0].starts_with("r1: ") && lines[0].ends_with(')'), "{lines:?}");
    assert_eq!(lines[1], "nobody: OUTCOME_UNKNOWN_ID");
    assert!(lines[2].starts_with("r2: 0 (") || lines[2].starts_with("r2: 1 ("), "{lines:?}");
    assert!(asked(None).is_err(), "nobody is answered without an identity");
}
