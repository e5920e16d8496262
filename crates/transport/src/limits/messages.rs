//! Messages as they come in, within limits: looked at in gRPC's frames, before anything is allocated for one.
//!
//! A frame is five bytes, a flag and the message's length, and the message. The fifth byte is kept back until the length
//! is allowed and the budget has as many bytes. So a length that is believed costs nothing.

use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use http_body::{Body as HttpBody, Frame, SizeHint};
use tokio::sync::{AcquireError, OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, Sleep, sleep_until};
use tonic::Status;
use tonic::body::Body;
use tonic::codegen::{Bytes, Service, http};

use super::ListenLimits;
use super::clients::ClientStream;
use super::connections::{ConnectionInfo, OpenStream};

const HEADER_BYTES: usize = 5;
/// Messages up to this length need no part of the budget: connections and their streams are bounded.
const FREE_BYTES: usize = 16 << 10;

/// How long a peer's messages may be on one stream.
#[derive(Debug, Clone)]
pub struct Allowance(Arc<Allowed>);

#[derive(Debug)]
struct Allowed {
    bytes: AtomicUsize,
    accepted: AtomicBool,
    client: OnceLock<ClientStream>,
}

impl Allowance {
    fn new(bytes: usize) -> Self {
        let (bytes, accepted) = (AtomicUsize::new(bytes), AtomicBool::new(false));
        Self(Arc::new(Allowed { bytes, accepted, client: OnceLock::new() }))
    }

    /// Lets the peer send messages of so many bytes.
    pub fn allow(&self, bytes: usize) {
        self.0.bytes.store(bytes, Ordering::Release);
    }

    /// As [`Self::allow`], for requests of a client: each waits for its part of the client's budget.
    pub(crate) fn allow_requests(&self, bytes: usize, client: ClientStream) {
        self.allow(bytes);
        // A stream is one client's from its first request on.
        let _ = self.0.client.set(client);
    }

    /// As [`Self::allow`], for a peer that was accepted: its messages do not compete with strangers' for the budget.
    pub fn accept(&self, bytes: usize) {
        self.allow(bytes);
        self.0.accepted.store(true, Ordering::Release);
    }
}

/// Bounds what streams of `service` bring.
#[derive(Clone)]
pub(crate) struct Guarded<S> {
    service: S,
    limits: ListenLimits,
    budget: Arc<Semaphore>,
}

impl<S> Guarded<S> {
    pub(crate) fn new(service: S, limits: ListenLimits) -> Self {
        Self { service, limits, budget: Arc::new(Semaphore::new(limits.bytes_in_flight)) }
    }
}

impl<S: Service<http::Request<Body>>> Service<http::Request<Body>> for Guarded<S> {
    type Response = S::Response;
    type Error = S::Error;
    type Future = S::Future;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.service.poll_ready(cx)
    }

    fn call(&mut self, mut request: http::Request<Body>) -> S::Future {
        let allowance = Allowance::new(self.limits.first_bytes);
        let stream = request.extensions().get::<ConnectionInfo>().map(ConnectionInfo::open_stream);
        request.extensions_mut().insert(allowance.clone());
        let (limit, budget) = (self.limits.message, Arc::clone(&self.budget));
        let guarded = request.map(|body| Body::new(GuardedBody::new(body, allowance, budget, limit, stream)));
        self.service.call(guarded)
    }
}

type Acquiring<T> = Pin<Box<dyn Future<Output = Result<T, AcquireError>> + Send>>;

/// What a message waits for before its bytes are passed on.
enum Awaited {
    /// For its part of the budget of its client, which nobody else can fill: it is not late then.
    Client(Acquiring<()>),
    /// For its part of the budget of all others.
    Budget(Acquiring<OwnedSemaphorePermit>),
}

/// A stream's bytes.
struct GuardedBody {
    body: Body,
    allowance: Allowance,
    budget: Arc<Semaphore>,
    limit: Duration,
    /// When the message that has begun, or the first, must be complete; none between messages.
    deadline: Option<Instant>,
    timer: Option<Pin<Box<Sleep>>>,
    header: [u8; HEADER_BYTES],
    header_bytes: usize,
    /// Bytes of the message that have not come yet.
    missing: usize,
    awaited: Option<Awaited>,
    /// Whether the message that begins has its part of its client's budget.
    is_held: bool,
    permit: Option<OwnedSemaphorePermit>,
    /// Came, and not passed on yet.
    kept: Bytes,
    /// The stream counts as open while this lives.
    _stream: Option<OpenStream>,
}

impl GuardedBody {
    fn new(
        body: Body,
        allowance: Allowance,
        budget: Arc<Semaphore>,
        limit: Duration,
        stream: Option<OpenStream>,
    ) -> Self {
        Self {
            body,
            allowance,
            budget,
            limit,
            deadline: Some(Instant::now() + limit),
            timer: None,
            header: [0; HEADER_BYTES],
            header_bytes: 0,
            missing: 0,
            awaited: None,
            is_held: false,
            permit: None,
            kept: Bytes::new(),
            _stream: stream,
        }
    }

    /// Takes what may be passed on out of `kept`. Nothing is where the budget must be waited for.
    fn advance(&mut self) -> Result<Bytes, Status> {
        let mut at = 0;
        while at < self.kept.len() {
            if self.missing > 0 {
                let came = self.missing.min(self.kept.len() - at);
                (at, self.missing) = (at + came, self.missing - came);
                if self.missing == 0 {
                    self.complete();
                }
                continue;
            }
            if self.deadline.is_none() {
                self.deadline = Some(Instant::now() + self.limit);
            }
            self.header[self.header_bytes] = self.kept[at];
            if self.header_bytes + 1 < HEADER_BYTES {
                (at, self.header_bytes) = (at + 1, self.header_bytes + 1);
                continue;
            }
            let [_, a, b, c, d] = self.header;
            let bytes = u32::from_be_bytes([a, b, c, d]) as usize;
            self.check(bytes)?;
            if self.must_wait(bytes)? {
                break;
            }
            (at, self.header_bytes, self.missing) = (at + 1, 0, bytes);
            if bytes == 0 {
                self.complete();
            }
        }
        Ok(self.kept.split_to(at))
    }

    fn check(&self, bytes: usize) -> Result<(), Status> {
        let most = self.allowance.0.bytes.load(Ordering::Acquire);
        if bytes <= most {
            return Ok(());
        }
        Err(Status::out_of_range(format!("a message of {bytes} bytes, but at most {most} are allowed")))
    }

    /// Whether a message of so many bytes has to wait, and begins to.
    fn must_wait(&mut self, bytes: usize) -> Result<bool, Status> {
        if let Some(client) = self.allowance.0.client.get().filter(|_| !self.is_held) {
            self.awaited = Some(Awaited::Client(Box::pin(client.clone().begin(bytes))));
            return Ok(true);
        }
        let accepted = self.allowance.0.accepted.load(Ordering::Acquire);
        // What a client's own budget bounds does not compete with others for that of all.
        if bytes <= FREE_BYTES || accepted || self.is_held || self.permit.is_some() {
            return Ok(false);
        }
        let permits =
            u32::try_from(bytes).map_err(|_| Status::out_of_range("a message of more than 4 GiB"))?;
        let acquiring = Arc::clone(&self.budget).acquire_many_owned(permits);
        self.awaited = Some(Awaited::Budget(Box::pin(acquiring)));
        Ok(true)
    }

    /// Whether what the message waits for has come.
    fn poll_awaited(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Status>> {
        match &mut self.awaited {
            None => return Poll::Ready(Ok(())),
            Some(Awaited::Client(acquiring)) => {
                ready!(acquiring.as_mut().poll(cx)).map_err(|_| ends())?;
                self.is_held = true;
                (self.deadline, self.timer) = (Some(Instant::now() + self.limit), None);
            }
            Some(Awaited::Budget(acquiring)) => {
                self.permit = Some(ready!(acquiring.as_mut().poll(cx)).map_err(|_| ends())?);
            }
        }
        self.awaited = None;
        Poll::Ready(Ok(()))
    }

    fn complete(&mut self) {
        (self.deadline, self.timer, self.permit, self.is_held) = (None, None, None, false);
    }

    /// What it means that nothing comes now: to wait, or that it has taken too long.
    fn wait(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        if let Some(Awaited::Client(_)) = self.awaited {
            return Poll::Pending;
        }
        let Some(deadline) = self.deadline else { return Poll::Pending };
        let timer = self.timer.get_or_insert_with(|| Box::pin(sleep_until(deadline)));
        match timer.as_mut().poll(cx) {
            Poll::Pending => Poll::Pending,
            Poll::Ready(()) => {
                let limit_s = self.limit.as_secs();
                let late = format!("no complete message arrived within {limit_s} s (limits.message_s)");
                Poll::Ready(Some(Err(Status::deadline_exceeded(late))))
            }
        }
    }
}

/// Budgets are closed by nobody.
fn ends() -> Status {
    Status::unavailable("the server ends")
}

impl HttpBody for GuardedBody {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        let this = self.get_mut();
        loop {
            match this.poll_awaited(cx) {
                Poll::Pending => return this.wait(cx),
                Poll::Ready(waited) => waited?,
            }
            if !this.kept.is_empty() {
                let passed = this.advance()?;
                if !passed.is_empty() {
                    return Poll::Ready(Some(Ok(Frame::data(passed))));
                }
                continue;
            }
            match Pin::new(&mut this.body).poll_frame(cx) {
                Poll::Pending => return this.wait(cx),
                Poll::Ready(Some(Ok(frame))) => match frame.into_data() {
                    Ok(data) => this.kept = data,
                    Err(trailers) => return Poll::Ready(Some(Ok(trailers))),
                },
                ended => return ended,
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.kept.is_empty() && self.awaited.is_none() && self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::default()
    }
}

#[cfg(test)]
#[path = "messages_tests.rs"]
mod tests;
