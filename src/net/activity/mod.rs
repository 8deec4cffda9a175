//! The activity of a connection, and until when it may last, so that no client can hold a connection by doing nothing.
//!
//! hyper's own header timeout also runs while an HTTP/1.1 connection is idle, and HTTP/2 has none. So hyper's timeout
//! is off, and this watch distinguishes a slow request head, an idle connection, and a client that stopped reading.

mod frames;
mod heads;

use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::Notify;
use tokio::time::Instant;

use super::Timeouts;
use super::limits::held::Charge;
use frames::Frames;
use heads::Heads;

/// The activity of one connection, shared by its stream, its requests and its watch.
#[derive(Debug)]
pub(super) struct Activity {
    state: Mutex<State>,
    cut: Notify,
}

#[derive(Debug)]
struct State {
    /// Whether bytes that arrive between requests begin a request (HTTP/1.1), or may be frames of any kind (HTTP/2).
    bytes_begin_requests: bool,
    timeouts: Timeouts,
    requests: usize,
    /// How many requests have begun so far.
    begun: u64,
    /// The number of the request after which the connection ends.
    last: Option<u64>,
    /// The memory of responses that hyper has taken but not yet written (HTTP/1).
    unsent: Vec<Charge>,
    idle_since: Instant,
    head_since: Option<Instant>,
    stalled_since: Option<Instant>,
}

impl State {
    fn new(bytes_begin_requests: bool, timeouts: Timeouts, now: Instant) -> Self {
        Self {
            bytes_begin_requests,
            timeouts,
            requests: 0,
            begun: 0,
            last: None,
            unsent: Vec::new(),
            idle_since: now,
            head_since: None,
            stalled_since: None,
        }
    }

    /// Counts a request. Returns its number, from one.
    fn begin_request(&mut self) -> u64 {
        self.requests += 1;
        self.begun += 1;
        self.head_since = None;
        self.begun
    }

    fn end_request(&mut self, now: Instant) {
        self.requests = self.requests.saturating_sub(1);
        self.idle_since = now;
    }

    fn read(&mut self, now: Instant) {
        if self.bytes_begin_requests && self.requests == 0 {
            self.head_since.get_or_insert(now);
        }
    }

    fn stalled(&mut self, now: Instant) {
        self.stalled_since.get_or_insert(now);
    }

    fn deadline(&self, now: Instant) -> Instant {
        // A request decides for itself how long it takes. While one runs, the watch checks again later.
        let idle_since = if self.requests == 0 { self.idle_since } else { now };
        let idle = idle_since + self.timeouts.idle;
        let head = self.head_since.map(|since| since + self.timeouts.header);
        let stalled = self.stalled_since.map(|since| since + self.timeouts.idle);
        [head, stalled].into_iter().flatten().fold(idle, Instant::min)
    }
}

impl Activity {
    pub(super) fn new(bytes_begin_requests: bool, timeouts: Timeouts) -> Arc<Self> {
        let state = Mutex::new(State::new(bytes_begin_requests, timeouts, Instant::now()));
        Arc::new(Self { state, cut: Notify::new() })
    }

    /// Notes that a request has arrived. It ends when the guard is dropped.
    pub(super) fn request(self: &Arc<Self>) -> Running {
        let number = self.state().begin_request();
        Running { activity: Arc::clone(self), number }
    }

    /// Keeps the charge for a response until everything that hyper has taken is written.
    pub(super) fn hold_until_written(&self, charge: Charge) {
        self.state().unsent.push(charge);
    }

    /// Ends the connection at once.
    pub(super) fn cut(&self) {
        self.cut.notify_one();
    }

    /// Waits until the connection must end at once.
    pub(super) async fn is_cut(&self) {
        self.cut.notified().await;
    }

    /// Until when the connection may continue in its present state.
    pub(super) fn deadline(&self) -> Instant {
        self.state().deadline(Instant::now())
    }

    fn wrote<T>(&self, outcome: &Poll<T>) {
        let mut state = self.state();
        match outcome {
            Poll::Ready(_) => state.stalled_since = None,
            Poll::Pending => state.stalled(Instant::now()),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A request that has begun and not yet ended.
#[derive(Debug)]
pub(super) struct Running {
    activity: Arc<Activity>,
    number: u64,
}

impl Running {
    /// Whether the connection must end after the response to this request.
    pub(super) fn is_last(&self) -> bool {
        self.activity.state().last.is_some_and(|last| self.number >= last)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.activity.state().end_request(Instant::now());
    }
}

/// The follower that examines the bytes that arrive.
#[derive(Debug)]
enum Follower {
    Heads(Heads),
    Frames(Frames),
}

/// A stream whose reads and writes are reported to the watch.
#[derive(Debug)]
pub(super) struct Watched<I> {
    stream: I,
    follower: Follower,
    activity: Arc<Activity>,
}

impl<I> Watched<I> {
    /// A stream that speaks HTTP/2 (`h2`) or HTTP/1.
    pub(super) fn new(stream: I, h2: bool, activity: Arc<Activity>) -> Self {
        let follower = if h2 {
            Follower::Frames(Frames::new(Instant::now()))
        } else {
            Follower::Heads(Heads::default())
        };
        Self { stream, follower, activity }
    }

    /// Examines bytes that have arrived.
    fn follow(&mut self, bytes: &mut [u8]) -> io::Result<()> {
        let now = Instant::now();
        let mut state = self.activity.state();
        state.read(now);
        match &mut self.follower {
            Follower::Frames(frames) => frames.follow(bytes, now, state.begun),
            Follower::Heads(heads) => {
                heads.follow(bytes);
                state.last = heads.last();
                Ok(())
            }
        }
    }

    fn seen<T>(&self, outcome: Poll<T>) -> Poll<T> {
        self.activity.wrote(&outcome);
        outcome
    }
}

impl<I: AsyncRead + Unpin> AsyncRead for Watched<I> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        ready!(Pin::new(&mut self.stream).poll_read(cx, buffer))?;
        match buffer.filled_mut().get_mut(before..) {
            Some(fresh) if !fresh.is_empty() => Poll::Ready(self.follow(fresh)),
            _ => Poll::Ready(Ok(())),
        }
    }
}

impl<I: AsyncWrite + Unpin> AsyncWrite for Watched<I> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let outcome = Pin::new(&mut self.stream).poll_write(cx, bytes);
        self.seen(outcome)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let outcome = Pin::new(&mut self.stream).poll_write_vectored(cx, slices);
        self.seen(outcome)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let outcome = Pin::new(&mut self.stream).poll_flush(cx);
        if outcome.is_ready() {
            self.activity.state().unsent.clear();
        }
        self.seen(outcome)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let outcome = Pin::new(&mut self.stream).poll_shutdown(cx);
        self.seen(outcome)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn seconds(count: u64) -> Duration {
        Duration::from_secs(count)
    }

    #[test]
    fn a_request_head_has_less_time_than_an_idle_connection() {
        let start = Instant::now();
        let at = |count| start + seconds(count);
        let mut state = State::new(true, Timeouts::default(), start);
        assert_eq!(state.deadline(start), at(60));
        state.read(at(20));
        state.read(at(29));
        assert_eq!(state.deadline(at(29)), at(30), "further bytes of the same head win no time");
        state.begin_request();
        state.read(at(29));
        assert_eq!(state.deadline(at(300)), at(360), "a request that runs is not idle");
        state.end_request(at(300));
        assert_eq!(state.deadline(at(359)), at(360));
    }

    #[test]
    fn frames_between_requests_do_not_begin_one() {
        let start = Instant::now();
        let mut state = State::new(false, Timeouts::default(), start);
        state.read(start);
        assert_eq!(state.deadline(start), start + seconds(60));
    }

    #[test]
    fn a_client_that_stops_reading_runs_out_of_time() {
        let start = Instant::now();
        let activity = Activity::new(true, Timeouts::default());
        let _running = activity.request();
        activity.state().stalled(start);
        activity.state().stalled(start + seconds(59));
        assert_eq!(activity.state().deadline(start + seconds(59)), start + seconds(60));
        activity.wrote(&Poll::Ready(()));
        assert_eq!(activity.state().deadline(start + seconds(59)), start + seconds(119));
    }
}
