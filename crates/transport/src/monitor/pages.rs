//! Pages, one of them as a stream, and the health check at one address.

use std::convert::Infallible;
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use http_body::{Body as HttpBody, Frame, SizeHint};
use tokio::time::{Interval, interval};
use tonic::Status;
use tonic::body::Body;
use tonic::codegen::http::{HeaderValue, Method, Request, Response, StatusCode, header};
use tonic::codegen::{Bytes, Service};

use super::readers::{AddressRange, names_this_machine};
use crate::limits::connections::{ConnectionInfo, OpenStream};
use crate::limits::quiet::QuietLog;

/// How often a stream tells how the process is.
const EVENTS: Duration = Duration::from_secs(1);
/// What a browser may do with a page: load the page's own parts, and nothing from elsewhere.
const OWN_PARTS_ALONE: &str = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";
/// The same of a page that is a whole in itself: no script, styles and pictures that stand in it.
const WHOLE_IN_ITSELF: &str = "default-src 'none'; style-src 'unsafe-inline'; img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// A page.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page {
    /// Its type, such as `text/plain; charset=utf-8`.
    pub media_type: &'static str,
    /// Its text.
    pub text: String,
    /// Whether its styles and pictures stand in it; otherwise they are other pages here.
    pub is_whole: bool,
}

/// What is to be seen at an address.
pub trait Pages: Send + Sync + 'static {
    /// The page of a path such as `/metrics`; none where there is none. `/status` is one line.
    fn page(&self, path: &str) -> Option<Page>;
}

/// Pages, and `health` for paths of gRPC's health check.
pub struct PagesAndHealth<P, H> {
    pages: Arc<P>,
    readers: Arc<Vec<AddressRange>>,
    strangers: Arc<QuietLog>,
    health: H,
}

impl<P, H> PagesAndHealth<P, H> {
    pub fn new(pages: Arc<P>, readers: Vec<AddressRange>, health: H) -> Self {
        Self { pages, readers: Arc::new(readers), strangers: Arc::default(), health }
    }

    /// Why whoever asks from `address` at `own` under the name `host` may not read the page of `path`; `None`: it may.
    fn refusal(&self, address: IpAddr, own: Option<IpAddr>, path: &str, host: &str) -> Option<&'static str> {
        let (address, own) = (address.to_canonical(), own.map(|own| own.to_canonical()));
        // Who comes from the address at which it is answered is a process of this machine.
        let is_here = address.is_loopback() || Some(address) == own;
        match self.readers.iter().any(|network| network.holds(address)) {
            false if !is_here => Some(STRANGER),
            // Prometheus asks by names. On this machine it need not, and a browser may.
            true if path == METRICS => None,
            _ => other_name(host),
        }
    }

    /// Why whoever has sent `request` may read no page; and the stream that is open while whoever may is answered.
    fn admit(&self, request: &Request<Body>) -> (Option<&'static str>, Option<OpenStream>) {
        // HTTP/2 has it elsewhere, and no browser speaks that without TLS.
        let host =
            request.headers().get(header::HOST).and_then(|host| host.to_str().ok()).unwrap_or_default();
        // On a Unix socket the file's mode decides who may connect. A browser gets there through a tunnel.
        let Some(connection) = request.extensions().get::<ConnectionInfo>() else {
            return (other_name(host), None);
        };
        let (address, own) = (connection.peer.address.ip(), connection.own.map(|own| own.ip()));
        match self.refusal(address, own, request.uri().path(), host) {
            // Whoever is not let in keeps no seat.
            Some(why) => (Some(why), None),
            None => (None, Some(connection.open_stream())),
        }
    }

    /// A page was asked for that `why` keeps back.
    fn refuse(&self, request: &Request<Body>, why: &'static str) -> Response<Body> {
        if why == STRANGER
            && let Some(connection) = request.extensions().get::<ConnectionInfo>()
        {
            let who = connection.peer.address.ip().to_canonical();
            self.strangers
                .warn(&format!("refused {who} a page of this process: `monitor_readers` does not name it"));
        }
        plain(StatusCode::FORBIDDEN, why)
    }
}

impl<P, H: Clone> Clone for PagesAndHealth<P, H> {
    fn clone(&self) -> Self {
        let (readers, strangers) = (Arc::clone(&self.readers), Arc::clone(&self.strangers));
        Self { pages: Arc::clone(&self.pages), readers, strangers, health: self.health.clone() }
    }
}

/// Why nobody may read a page under the name `host`; `None`: it names this machine.
fn other_name(host: &str) -> Option<&'static str> {
    (!names_this_machine(host)).then_some(OTHER_NAME)
}

/// The page for programs, for which those whom a config names may ask under any name.
const METRICS: &str = "/metrics";
/// What a stranger hears.
const STRANGER: &str = "pages of this process are for its own machine: `monitor_readers` in its config names who else may read them\n";
/// What a browser hears that was sent here by a page from elsewhere.
const OTHER_NAME: &str = "ask for this page by its address in numbers, or as localhost; only those whom `monitor_readers` names may ask for /metrics by another name\n";

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
        let (refusal, stream) = self.admit(&request);
        if request.uri().path().starts_with("/grpc.health.v1.Health/") {
            let answering = self.health.call(request);
            return Box::pin(async move { answering.await.map(|response| held(response, stream)) });
        }
        let response = match refusal {
            Some(why) => self.refuse(&request, why),
            None => respond(&self.pages, request.method(), request.uri().path()),
        };
        Box::pin(std::future::ready(Ok(held(response, stream))))
    }
}

/// A response during which `stream` counts as open.
fn held(response: Response<Body>, stream: Option<OpenStream>) -> Response<Body> {
    match stream {
        None => response,
        Some(stream) => response.map(|body| Body::new(HeldBody { body, _stream: stream })),
    }
}

/// A body during which a stream counts as open.
struct HeldBody {
    body: Body,
    _stream: OpenStream,
}

impl HttpBody for HeldBody {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        Pin::new(&mut self.body).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

fn respond<P: Pages>(pages: &Arc<P>, method: &Method, path: &str) -> Response<Body> {
    if method != Method::GET {
        return plain(StatusCode::METHOD_NOT_ALLOWED, "this address can only be read: use GET\n");
    }
    if path == "/events" {
        let events = Events { pages: Arc::clone(pages), ticks: interval(EVENTS) };
        return typed(Body::new(events), "text/event-stream", OWN_PARTS_ALONE);
    }
    match pages.page(path) {
        Some(Page { media_type, text, is_whole }) => {
            let policy = if is_whole { WHOLE_IN_ITSELF } else { OWN_PARTS_ALONE };
            typed(Body::new(text), media_type, policy)
        }
        None => plain(StatusCode::NOT_FOUND, "no such page: there are /, /status and /metrics\n"),
    }
}

fn typed(body: Body, media_type: &'static str, policy: &'static str) -> Response<Body> {
    let mut response = Response::new(body);
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(media_type));
    headers.insert(header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(policy));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

/// The page `/status` again and again, as server-sent events, until the reader goes.
struct Events<P> {
    pages: Arc<P>,
    ticks: Interval,
}

impl<P: Pages> HttpBody for Events<P> {
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

#[cfg(test)]
mod tests {
    use super::*;

    struct NoPages;

    impl Pages for NoPages {
        fn page(&self, _: &str) -> Option<Page> {
            None
        }
    }

    /// Pages that 192.0.2.0/24 may read.
    fn pages() -> PagesAndHealth<NoPages, ()> {
        PagesAndHealth::new(Arc::new(NoPages), vec!["192.0.2.0/24".parse().unwrap()], ())
    }

    /// Why whoever asks from `peer` at `own` under the name `host` may not read the page of `path`.
    fn refused(peer: &str, own: &str, path: &str, host: &str) -> Option<&'static str> {
        let address = |text: &str| text.parse::<IpAddr>().unwrap();
        pages().refusal(address(peer), Some(address(own)), path, host)
    }

    #[test]
    fn pages_are_for_this_machine_and_for_those_whom_the_config_names() {
        for path in ["/status", METRICS] {
            for (peer, own) in [
                ("127.0.0.1", "127.0.0.1"),
                ("::1", "::1"),
                ("198.51.100.1", "198.51.100.1"),
                ("192.0.2.9", "198.51.100.1"),
            ] {
                assert_eq!(refused(peer, own, path, "localhost"), None, "{peer}{path}");
            }
            for (peer, own) in [
                ("198.51.100.2", "198.51.100.1"),
                ("2001:db8::1", "2001:db8::2"),
                ("::ffff:198.51.100.2", "::"),
            ] {
                assert_eq!(refused(peer, own, path, "localhost"), Some(STRANGER), "{peer}{path}");
            }
        }
        assert!(STRANGER.ends_with('\n') && STRANGER.lines().count() == 1);
    }

    #[test]
    fn no_browser_of_this_machine_reads_a_page_under_another_name() {
        // A request without a connection is one on a Unix socket.
        let at_socket = |path: &str, host: &str| {
            let request = Request::builder().uri(path).header(header::HOST, host);
            pages().admit(&request.body(Body::empty()).unwrap()).0
        };
        let here = |path: &str, host: &str| refused("127.0.0.1", "127.0.0.1", path, host);
        for host in ["127.0.0.1:9464", "localhost:9464", "[::1]:9464", "198.51.100.1:9464", "localhost"] {
            assert_eq!((at_socket("/status", host), here("/status", host)), (None, None), "{host}");
        }
        for host in ["example.org", "example.org:9464", "127.0.0.1.example.org", "coordinator:9464"] {
            for path in ["/", "/status", "/history", "/events", "/privacy-report", "/metrics/", METRICS] {
                let expected = (Some(OTHER_NAME), Some(OTHER_NAME));
                assert_eq!((at_socket(path, host), here(path, host)), expected, "{host}{path}");
            }
        }
        assert!(OTHER_NAME.ends_with('\n') && OTHER_NAME.lines().count() == 1);
    }

    #[test]
    fn those_whom_the_config_names_ask_for_metrics_by_any_name() {
        for (path, expected) in [(METRICS, None), ("/status", Some(OTHER_NAME)), ("/", Some(OTHER_NAME))] {
            let found = refused("192.0.2.9", "198.51.100.1", path, "hashvfl-party-metrics:9464");
            assert_eq!(found, expected, "{path}");
            assert_eq!(refused("198.51.100.2", "198.51.100.1", path, "any"), Some(STRANGER), "{path}");
        }
    }
}
