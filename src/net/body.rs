//! Bodies as handlers see them: a request's, which cannot be larger or slower than allowed, and a response's, which
//! tells the watch when it is done.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::StatusCode;
use http_body_util::Full;
use hyper::body::{Body, Frame, Incoming, SizeHint};
use tokio::sync::{AcquireError, OwnedSemaphorePermit, Semaphore};
use tokio::time::Sleep;

use super::activity::Running;

/// An error of any kind that a body can give.
pub type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// Why a request body ended early.
#[derive(Debug, thiserror::Error)]
pub enum BodyError {
    /// It is longer than allowed.
    #[error("the request body is too large")]
    TooLarge,
    /// It took longer than allowed.
    #[error("the request body took too long")]
    TooSlow,
    /// The connection failed, or the framing was wrong.
    #[error("the request body could not be read: {0}")]
    Broken(#[from] hyper::Error),
}

/// What the listener learns about a body while the handler reads it.
#[derive(Debug, Default, Clone)]
pub(super) struct Verdict(Arc<AtomicU8>);

impl Verdict {
    const TOO_LARGE: u8 = 1;
    const TOO_SLOW: u8 = 2;

    /// The answer that the body demands whatever the handler says.
    pub(super) fn status(&self) -> Option<StatusCode> {
        match self.0.load(Ordering::Acquire) {
            Self::TOO_LARGE => Some(StatusCode::PAYLOAD_TOO_LARGE),
            Self::TOO_SLOW => Some(StatusCode::REQUEST_TIMEOUT),
            _ => None,
        }
    }

    fn say(&self, what: u8) {
        self.0.store(what, Ordering::Release);
    }
}

/// How many bodies of one connection are read at once. The streams of HTTP/2 beyond that wait, unread, behind the
/// connection's window: so a client cannot make us keep as many half-sent bodies as it has streams.
const BODIES: usize = 8;

/// The turns of one connection's bodies.
#[derive(Debug, Clone)]
pub(super) struct Turns(Arc<Semaphore>);

/// The same for a connection of a trusted proxy, which stands for many clients.
const BODIES_OF_PROXY: usize = 256;

impl Turns {
    /// Those of a new connection; `shared` is one of a trusted proxy.
    pub(super) fn new(shared: bool) -> Self {
        Self(Arc::new(Semaphore::new(if shared { BODIES_OF_PROXY } else { BODIES })))
    }
}

type Turn = Result<OwnedSemaphorePermit, AcquireError>;

/// Whether a body may be read yet.
enum Place {
    Waiting(Pin<Box<dyn Future<Output = Turn> + Send>>),
    Taken(#[expect(dead_code, reason = "held until the body is dropped")] Turn),
}

/// A request body within its limits.
pub struct RequestBody {
    incoming: Incoming,
    place: Place,
    left: usize,
    patience: Duration,
    deadline: Option<Pin<Box<Sleep>>>,
    verdict: Verdict,
}

impl std::fmt::Debug for RequestBody {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RequestBody").field("left", &self.left).finish_non_exhaustive()
    }
}

impl RequestBody {
    pub(super) fn new(
        incoming: Incoming,
        turns: &Turns,
        limit: usize,
        patience: Duration,
        verdict: Verdict,
    ) -> Self {
        let place = Place::Waiting(Box::pin(Arc::clone(&turns.0).acquire_owned()));
        Self { incoming, place, left: limit, patience, deadline: None, verdict }
    }

    /// The next frame, once it is this body's turn.
    fn poll_incoming(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        if let Place::Waiting(turn) = &mut self.place {
            self.place = Place::Taken(std::task::ready!(turn.as_mut().poll(cx)));
        }
        Pin::new(&mut self.incoming).poll_frame(cx)
    }
}

impl Body for RequestBody {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        match self.poll_incoming(cx) {
            Poll::Ready(Some(Ok(frame))) => {
                let length = frame.data_ref().map_or(0, Bytes::len);
                let Some(left) = self.left.checked_sub(length) else {
                    self.verdict.say(Verdict::TOO_LARGE);
                    return Poll::Ready(Some(Err(BodyError::TooLarge)));
                };
                self.left = left;
                Poll::Ready(Some(Ok(frame)))
            }
            Poll::Ready(other) => Poll::Ready(other.map(|frame| frame.map_err(BodyError::Broken))),
            Poll::Pending => {
                let patience = self.patience;
                let deadline = self.deadline.get_or_insert_with(|| Box::pin(tokio::time::sleep(patience)));
                if deadline.as_mut().poll(cx).is_ready() {
                    self.verdict.say(Verdict::TOO_SLOW);
                    return Poll::Ready(Some(Err(BodyError::TooSlow)));
                }
                Poll::Pending
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.incoming.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.incoming.size_hint()
    }
}

/// A response body: the handler's or the listener's own.
#[derive(Debug)]
pub(super) struct ResponseBody<B> {
    kind: Kind<B>,
    _running: Running,
}

#[derive(Debug)]
enum Kind<B> {
    Handler(B),
    Own(Full<Bytes>),
}

impl<B> ResponseBody<B> {
    pub(super) fn handler(body: B, running: Running) -> Self {
        Self { kind: Kind::Handler(body), _running: running }
    }

    pub(super) fn own(text: &'static str, running: Running) -> Self {
        Self { kind: Kind::Own(Full::from(text)), _running: running }
    }
}

impl<B: Body<Data = Bytes, Error: Into<BoxError>> + Unpin> Body for ResponseBody<B> {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        match &mut self.kind {
            Kind::Handler(body) => Pin::new(body).poll_frame(cx).map_err(Into::into),
            Kind::Own(body) => Pin::new(body).poll_frame(cx).map_err(|never| match never {}),
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.kind {
            Kind::Handler(body) => body.is_end_stream(),
            Kind::Own(body) => body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.kind {
            Kind::Handler(body) => body.size_hint(),
            Kind::Own(body) => body.size_hint(),
        }
    }
}
