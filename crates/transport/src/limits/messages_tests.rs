use std::collections::VecDeque;
use std::future::poll_fn;

use tonic::Code;

use super::super::clients::{AnswerSize, ClientBudgets};
use super::*;

/// Brings parts, and nothing more.
struct Parts(VecDeque<Bytes>);

impl HttpBody for Parts {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        match self.0.pop_front() {
            Some(part) => Poll::Ready(Some(Ok(Frame::data(part)))),
            None => Poll::Pending,
        }
    }
}

const LIMIT: Duration = Duration::from_millis(100);

fn header(bytes: u32) -> Vec<u8> {
    [&[0][..], &bytes.to_be_bytes()].concat()
}

fn guarded(parts: Vec<Vec<u8>>, allowed: usize, budget: &Arc<Semaphore>) -> GuardedBody {
    let parts = parts.into_iter().map(Bytes::from).collect();
    GuardedBody::new(Body::new(Parts(parts)), Allowance::new(allowed), Arc::clone(budget), LIMIT, None)
}

async fn next(body: &mut GuardedBody) -> Result<Bytes, Status> {
    let frame = poll_fn(|cx| Pin::new(&mut *body).poll_frame(cx)).await.unwrap()?;
    Ok(frame.into_data().unwrap())
}

/// All that passes, and how it ends.
async fn all(mut body: GuardedBody) -> (usize, Status) {
    let mut passed = 0;
    loop {
        match next(&mut body).await {
            Ok(data) => passed += data.len(),
            Err(status) => return (passed, status),
        }
    }
}

#[tokio::test]
async fn a_length_that_is_announced_costs_nothing() {
    let budget = Arc::new(Semaphore::new(1 << 20));
    let (passed, status) = all(guarded(vec![header(40 << 20)], 64 << 10, &budget)).await;
    assert_eq!((passed, status.code()), (0, Code::OutOfRange), "the length stays");
    assert!(
        status.message().contains("a message of 41943040 bytes, but at most 65536 are allowed"),
        "{status}"
    );
    assert_eq!(budget.available_permits(), 1 << 20);
}

#[tokio::test]
async fn bytes_in_flight_are_bounded_over_all_streams() {
    let budget = Arc::new(Semaphore::new(100 << 10));
    let slow = || guarded(vec![header(60 << 10), vec![7; 100]], 64 << 10, &budget);
    let mut first = slow();
    let mut passed = 0;
    while passed < 105 {
        passed += next(&mut first).await.unwrap().len();
    }
    assert_eq!(budget.available_permits(), 40 << 10);
    // The next one waits, and not for ever.
    let (passed, status) = all(slow()).await;
    assert_eq!((passed, status.code()), (4, Code::DeadlineExceeded));
    drop(first);
    assert_eq!(budget.available_permits(), 100 << 10);
    let (passed, status) = all(slow()).await;
    assert_eq!((passed, status.code()), (105, Code::DeadlineExceeded), "one that is never complete");
}

#[tokio::test]
async fn an_accepted_peer_does_not_wait_for_strangers() {
    let budget = Arc::new(Semaphore::new(0));
    let body = guarded(vec![header(60 << 10), vec![7; 60 << 10]], 0, &budget);
    body.allowance.accept(60 << 10);
    let began = Instant::now();
    let mut body = body;
    let mut passed = 0;
    while passed < 5 + (60 << 10) {
        passed += next(&mut body).await.unwrap().len();
    }
    assert!(began.elapsed() < LIMIT);
    // Between messages nothing is late.
    assert!(tokio::time::timeout(2 * LIMIT, next(&mut body)).await.is_err());
}

#[tokio::test]
async fn a_request_that_waits_for_its_client_is_not_late() {
    let budget = Arc::new(Semaphore::new(1 << 20));
    let client = ClientBudgets::new(100).stream(None, AnswerSize { records: 0, record_bytes: 0 });
    client.clone().begin(90).await.unwrap();
    let mut body = guarded(vec![header(20), vec![7; 20]], 0, &budget);
    body.allowance.allow_requests(20, client.clone());
    assert_eq!(next(&mut body).await.unwrap().len(), 4, "the length stays");
    assert!(tokio::time::timeout(3 * LIMIT, next(&mut body)).await.is_err());
    drop(client.take());
    let mut passed = 4;
    while passed < 25 {
        passed += next(&mut body).await.unwrap().len();
    }
    assert!(client.take().is_some(), "the part of this one");
}

#[tokio::test]
async fn a_request_of_a_client_waits_for_no_other_peer() {
    // Others have announced as much as all together may.
    let budget = Arc::new(Semaphore::new(0));
    let budgets = ClientBudgets::new(100 << 10);
    let client = budgets.stream(None, AnswerSize { records: 0, record_bytes: 0 });
    let mut body = guarded(vec![header(60 << 10), vec![7; 60 << 10]], 0, &budget);
    body.allowance.allow_requests(60 << 10, client.clone());
    let mut passed = 0;
    while passed < 5 + (60 << 10) {
        passed += next(&mut body).await.unwrap().len();
    }
    assert!(client.take().is_some(), "its own budget holds it");
}

#[tokio::test]
async fn whole_messages_pass_however_they_are_cut() {
    let budget = Arc::new(Semaphore::new(1 << 20));
    let message = [header(3), vec![1, 2, 3], header(0), header(20 << 10), vec![5; 20 << 10]].concat();
    for size in [1, 2, 3, 4, 5, 6, 7, 1000, message.len()] {
        let parts = message.chunks(size).map(<[u8]>::to_vec).collect();
        let mut body = guarded(parts, 64 << 10, &budget);
        let mut passed = Vec::new();
        while passed.len() < message.len() {
            passed.extend_from_slice(&next(&mut body).await.unwrap());
        }
        assert!(passed == message, "cut into {size}");
        assert_eq!((budget.available_permits(), body.deadline), (1 << 20, None));
    }
}

#[tokio::test]
async fn a_message_one_byte_short_and_a_stream_without_one_end() {
    let budget = Arc::new(Semaphore::new(1 << 20));
    let short = guarded(vec![header(40 << 10), vec![0; (40 << 10) - 1]], 64 << 10, &budget);
    for body in [short, guarded(vec![], 1, &budget), guarded(vec![vec![0, 0]], 1, &budget)] {
        let (_, status) = all(body).await;
        assert_eq!(status.code(), Code::DeadlineExceeded);
        assert_eq!(budget.available_permits(), 1 << 20);
    }
}
