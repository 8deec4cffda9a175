//! Bodies as handlers see them: a request body, limited in size and time, and a response body, which tells the watch
//! when it is complete.

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

use crate::net::activity::{Activity, Running};
use crate::net::limits::held::{Charge, SharedCharge};

/// Any error that a body can have.
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
    /// Its connection or its network already holds too much memory.
    #[error("there is no room for the request body now")]
    NoRoom,
    /// The connection failed, or the framing was invalid.
    #[error("the request body could not be read: {0}")]
    Broken(#[from] hyper::Error),
}

/// The listener's findings about a body while the handler reads it.
#[derive(Debug, Default, Clone)]
pub(in crate::net) struct Verdict(Arc<AtomicU8>);

impl Verdict {
    const TOO_LARGE: u8 = 1;
    const TOO_SLOW: u8 = 2;
    const NO_ROOM: u8 = 3;

    /// The status with which the listener must respond, whatever the handler says.
    pub(in crate::net) fn status(&self) -> Option<StatusCode> {
        match self.0.load(Ordering::Acquire) {
            Self::TOO_LARGE => Some(StatusCode::PAYLOAD_TOO_LARGE),
            Self::TOO_SLOW => Some(StatusCode::REQUEST_TIMEOUT),
            Self::NO_ROOM => Some(StatusCode::SERVICE_UNAVAILABLE),
            _ => None,
        }
    }

    fn say(&self, what: u8) {
        self.0.store(what, Ordering::Release);
    }
}

/// How many bodies of one connection are read at once. Further streams of HTTP/2 wait, unread, behind the connection's
/// window, so that a client cannot make the broker keep as many half-sent bodies as it has streams.
const BODIES: usize = 8;

/// The turns of one connection's bodies.
#[derive(Debug, Clone)]
pub(in crate::net) struct Turns(Arc<Semaphore>);

/// The same limit for a connection of a trusted proxy, which stands for many clients.
const BODIES_OF_PROXY: usize = 256;

impl Turns {
    /// The turns of a new connection. `shared` says whether it is from a trusted proxy.
    pub(in crate::net) fn new(shared: bool) -> Self {
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
    held: SharedCharge,
}

impl std::fmt::Debug for RequestBody {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RequestBody").field("left", &self.left).finish_non_exhaustive()
    }
}

impl RequestBody {
    pub(in crate::net) fn new(
        incoming: Incoming,
        turns: &Turns,
        (limit, patience): (usize, Duration),
        verdict: Verdict,
        held: SharedCharge,
    ) -> Self {
        let place = Place::Waiting(Box::pin(Arc::clone(&turns.0).acquire_owned()));
        Self { incoming, place, left: limit, patience, deadline: None, verdict, held }
    }

    /// The next frame, once this body has its turn.
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
                if self.held.grow(length).is_err() {
                    self.verdict.say(Verdict::NO_ROOM);
                    return Poll::Ready(Some(Err(BodyError::NoRoom)));
                }
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

/// The owner of a response's bytes from when hyper takes them until they are written.
#[derive(Debug)]
pub(in crate::net) enum Keeper {
    /// The connection: HTTP/1 writes one response after another.
    Connection(Arc<Activity>),
    /// The bytes themselves: HTTP/2 keeps those of each stream until the client opens a window.
    Bytes,
}

/// Bytes, with the charge for them.
struct Charged {
    bytes: Bytes,
    _charge: Charge,
}

impl AsRef<[u8]> for Charged {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

/// The charge for a response, and its next owner.
#[derive(Debug)]
pub(in crate::net) struct Holding {
    /// The charge for the bytes that hyper has not taken yet.
    pub(in crate::net) charge: Charge,
    /// The owner to which the charge passes.
    pub(in crate::net) keeper: Keeper,
}

impl Holding {
    fn hand_over(&mut self, bytes: Bytes) -> Bytes {
        let charge = self.charge.split(bytes.len());
        match &self.keeper {
            Keeper::Connection(activity) => {
                activity.hold_until_written(charge);
                bytes
            }
            Keeper::Bytes => Bytes::from_owner(Charged { bytes, _charge: charge }),
        }
    }
}

/// A response body: the handler's, or the listener's own.
#[derive(Debug)]
pub(in crate::net) struct ResponseBody<B> {
    kind: Kind<B>,
    _running: Running,
}

#[derive(Debug)]
enum Kind<B> {
    Handler(B, Holding),
    Own(Full<Bytes>),
}

impl<B> ResponseBody<B> {
    pub(in crate::net) fn handler(body: B, holding: Holding, running: Running) -> Self {
        Self { kind: Kind::Handler(body, holding), _running: running }
    }

    pub(in crate::net) fn own(text: &'static str, running: Running) -> Self {
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
            Kind::Handler(body, holding) => {
                let frame = std::task::ready!(Pin::new(body).poll_frame(cx));
                let held = |frame: Frame<Bytes>| frame.map_data(|bytes| holding.hand_over(bytes));
                Poll::Ready(frame.map(|frame| frame.map(held).map_err(Into::into)))
            }
            Kind::Own(body) => Pin::new(body).poll_frame(cx).map_err(|never| match never {}),
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.kind {
            Kind::Handler(body, _) => body.is_end_stream(),
            Kind::Own(body) => body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.kind {
            Kind::Handler(body, _) => body.size_hint(),
            Kind::Own(body) => body.size_hint(),
        }
    }
}
