//! A coordinator that takes the stream of a party that comes to serve, and says nothing on it.

use std::task::{Context, Poll};

use super::*;

#[test]
fn a_coordinator_that_says_nothing_in_the_handshake_is_dialled_again() {
    let runtime = NetworkRuntime::on_a_thread().unwrap();
    let (queue, _handed) = tokio::sync::mpsc::channel(1);
    let stream = ServingStream::simulated(queue, Box::new(|_: &mut Context<'_>| Poll::Pending));
    let mut connection = ServingConnection { runtime: &runtime, stream, limit_s: 1, stop: Stop::listen() };
    let Ok(Received::Ended(Ended::Lost(reason))) = connection.receive(false) else {
        panic!("it is a coordinator that is lost");
    };
    assert!(reason.contains("waited 1 s for the coordinator's handshake"), "{reason}");
}
