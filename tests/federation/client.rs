//! The example of a prediction client, against a federation that serves.

use crate::fixture::Fixture;
use crate::predict::serving;

#[path = "../../examples/prediction_client.rs"]
#[allow(dead_code, reason = "its main is the example's")]
mod prediction_client;

#[test]
fn the_example_of_a_client_gets_predictions() {
    let fixture = Fixture::new();
    fixture.run();
    let (coordinator, address) = fixture.serve();
    let _parties = serving(&fixture, &coordinator, &address);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let ids = ["r1", "nobody", "r2"].map(String::from).to_vec();
    let lines = runtime.block_on(prediction_client::predict(&format!("http://{address}"), ids)).unwrap();
    assert!(lines[0].starts_with("r1: ") && lines[0].ends_with(')'), "{lines:?}");
    assert_eq!(lines[1], "nobody: OUTCOME_UNKNOWN_ID");
    assert!(lines[2].starts_with("r2: 0 (") || lines[2].starts_with("r2: 1 ("), "{lines:?}");
}
