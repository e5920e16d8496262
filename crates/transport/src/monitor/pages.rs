//! Pages, one of them as a stream, and the health check at one address.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use http_body::Frame;
use tokio::time::{Interval, interval};
use tonic::body::Body;
use tonic::codegen::http::{HeaderValue, Method, Request, Response, StatusCode, header};
use tonic::codegen::{Bytes, Service};

/// How often a stream tells how the process is.
const EVENTS: Duration = Duration::from_secs(1);
/// What a browser may do with a page: load the page's own parts, and nothing from elsewhere.
const OWN_PARTS_ALONE: &str =
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; frame-ancestors 'none'";

/// A page.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page {
    /// Its type, such as `text/plain; charset=utf-8`.
    pub media_type: &'static str,
    /// Its text.
    pub text: String,
}

/// What is to be seen at an address.
pub trait Pages: Send + Sync + 'static {
    /// The page of a path such as `/metrics`; none where there is none. `/status` is one line.
    fn page(&self, path: &str) -> Option<Page>;
}

/// Pages, and `health` for paths of gRPC's health check.
pub struct PagesAndHealth<P, H> {
    pages: Arc<P>,
    health: H,
}

impl<P, H> PagesAndHealth<P, H> {
    pub fn new(pages: Arc<P>, health: H) -> Self {
        Self { pages, health }
    }
}

impl<P, H: Clone> Clone for PagesAndHealth<P, H> {
    fn clone(&self) -> Self {
        Self { pages: Arc::clone(&self.pages), health: self.health.clone() }
    }
}

impl<P, H> Service<Request<Body>> for PagesAndHealth<P, H>
where
    P: Pages,
    H: Service<Request<Body>, Response = Response<Body>, Error = Infallible, Future: Send + 'static>,
{
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Body>, Infallible>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.health.poll_ready(context)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        if request.uri().path().starts_with("/grpc.health.v1.Health/") {
            return Box::pin(self.health.call(request));
        }
        let response = respond(&self.pages, request.method(), request.uri().path());
        Box::pin(std::future::ready(Ok(response)))
    }
}

fn respond<P: Pages>(pages: &Arc<P>, method: &Method, path: &str) -> Response<Body> {
    if method != Method::GET {
        return plain(StatusCode::METHOD_NOT_ALLOWED, "this address can only be read: use GET\n");
    }
    if path == "/events" {
        let events = Events { pages: Arc::clone(pages), ticks: interval(EVENTS) };
        return typed(Body::new(events), "text/event-stream");
    }
    match pages.page(path) {
        Some(page) => typed(Body::new(page.text), page.media_type),
        None => plain(StatusCode::NOT_FOUND, "no such page: there are /, /status and /metrics\n"),
    }
}

fn typed(body: Body, media_type: &'static str) -> Response<Body> {
    let mut response = Response::new(body);
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(media_type));
    headers.insert(header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(OWN_PARTS_ALONE));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

/// The page `/status` again and again, as server-sent events, until the reader goes.
struct Events<P> {
    pages: Arc<P>,
    ticks: Interval,
}

impl<P: Pages> http_body::Body for Events<P> {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        ready!(self.ticks.poll_tick(context));
        let Some(page) = self.pages.page("/status") else { return Poll::Ready(None) };
        Poll::Ready(Some(Ok(Frame::data(format!("data: {}\n\n", page.text).into()))))
    }
}

fn plain(status: StatusCode, text: &'static str) -> Response<Body> {
    let mut response = Response::new(Body::new(text.to_string()));
    *response.status_mut() = status;
    response
}
