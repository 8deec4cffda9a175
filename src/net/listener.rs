//! A listening socket, its accept loop, and the life of each connection.

use std::future::poll_fn;
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::pin::pin;
use std::sync::Arc;
use std::task::{Poll, ready};
use std::time::Duration;

use hyper::rt::Executor;
use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulConnection;
use rustls::ServerConfig;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{JoinError, JoinSet};
use tokio::time::Instant;
use tokio_rustls::TlsAcceptor;

use super::activity::{Activity, Watched};
use super::limits::sockets::Socket;
use super::request::address::is_trusted;
use super::request::body::Turns;
use super::request::{Handler, Origin, answer};
use super::{Certificates, Drain, Settings, Timeouts, tls};

/// How long to wait when the system has no more descriptors to give.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// How long a connection that was asked to end may take to do so.
const FAREWELL: Duration = Duration::from_secs(1);

/// How many bytes of a request or a response are buffered at once.
const BUFFER: usize = 65_536;

/// How many bytes of one HTTP/2 stream may be unread.
const STREAM_WINDOW: u32 = 65_535;

/// How many bytes of all streams of an HTTP/2 connection may be unread.
const CONNECTION_WINDOW: u32 = 131_072;

/// The protocol of a connection.
#[derive(Debug, Clone)]
pub enum Transport {
    /// HTTP/2 and HTTP/1.1 under TLS, with these certificates.
    Tls(Arc<Certificates>),
    /// HTTP/1.1 without encryption.
    Plain,
}

/// A bound socket that does not respond yet.
#[derive(Debug)]
pub struct Listener {
    tcp: TcpListener,
    address: SocketAddr,
}

impl Listener {
    /// Binds `address`; port 0 takes a free one. On a machine without IPv6, `[::]` means `0.0.0.0`.
    ///
    /// # Errors
    /// The address is taken, forbidden or not one of this machine.
    pub async fn bind(address: SocketAddr) -> io::Result<Self> {
        let tcp = match TcpListener::bind(address).await {
            Err(error) if is_unspecified_v6(address) && error.kind() != io::ErrorKind::AddrInUse => {
                let v4 = SocketAddr::from((Ipv4Addr::UNSPECIFIED, address.port()));
                TcpListener::bind(v4).await.map_err(|_| error)?
            }
            bound => bound?,
        };
        let address = tcp.local_addr()?;
        Ok(Self { tcp, address })
    }

    /// Where it listens.
    pub fn local_addr(&self) -> SocketAddr {
        self.address
    }

    /// Serves connections until `drain` begins. Then it accepts no new ones, lets the running requests finish, and
    /// cuts off the rest when the patience is over.
    ///
    /// # Errors
    /// The TLS settings cannot be made.
    pub async fn serve<H: Handler>(
        self,
        transport: Transport,
        handler: H,
        settings: Settings,
        drain: Drain,
    ) -> Result<(), rustls::Error> {
        let tls = match transport {
            Transport::Tls(certificates) => {
                Some(Tls { config: tls::server_config(Arc::clone(&certificates))?, certificates })
            }
            Transport::Plain => None,
        };
        let server = Server { tls, handler, settings: Arc::new(settings), drain };
        let mut connections = JoinSet::new();
        server.accept(&self.tcp, &mut connections).await;
        drop(self.tcp);
        server.finish(connections).await;
        Ok(())
    }
}

fn is_unspecified_v6(address: SocketAddr) -> bool {
    address.is_ipv6() && address.ip().is_unspecified()
}

#[derive(Clone)]
struct Tls {
    config: Arc<ServerConfig>,
    certificates: Arc<Certificates>,
}

/// The parts that each connection of a listener needs.
#[derive(Clone)]
struct Server<H> {
    tls: Option<Tls>,
    handler: H,
    settings: Arc<Settings>,
    drain: Drain,
}

impl<H: Handler> Server<H> {
    /// Accepts connections until the drain begins.
    async fn accept(&self, tcp: &TcpListener, connections: &mut JoinSet<()>) {
        let sockets = &self.settings.sockets;
        loop {
            let accepted = tokio::select! {
                () = self.drain.begun() => return,
                Some(ended) = connections.join_next(), if !connections.is_empty() => {
                    report(ended);
                    continue;
                }
                accepted = tcp.accept() => accepted,
            };
            match accepted {
                Ok((stream, peer)) => {
                    let peer = peer.ip().to_canonical();
                    let shared = is_trusted(peer, &self.settings.trusted_proxies);
                    if let Some(socket) = sockets.admit(peer, shared) {
                        connections.spawn(self.clone().connection(stream, peer, socket));
                    } else {
                        tracing::debug!(%peer, "too many sockets; one is closed");
                    }
                }
                Err(error) => {
                    tracing::warn!(%error, "a connection could not be accepted");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    }

    /// Waits for the connections to end, until the patience is over.
    async fn finish(&self, mut connections: JoinSet<()>) {
        let ended = async {
            while let Some(ended) = connections.join_next().await {
                report(ended);
            }
        };
        tokio::select! {
            () = ended => {}
            () = self.drain.expired() => {
                tracing::warn!(connections = connections.len(), "the drain timeout is over; open connections are cut off");
            }
        }
        connections.shutdown().await;
    }

    async fn connection(self, stream: TcpStream, peer: IpAddr, socket: Socket) {
        // Responses are written as a whole, so waiting for more bytes would only delay them.
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!(%peer, %error, "a connection closed before it began");
            return;
        }
        let Some(tls) = self.tls.clone() else {
            return self.http(stream, peer, &socket, None, false).await;
        };
        let handshake = TlsAcceptor::from(tls.config).accept(stream);
        let handshake = tokio::select! {
            () = self.drain.begun() => return,
            handshake = tokio::time::timeout(self.settings.timeouts.handshake, handshake) => handshake,
        };
        match handshake {
            Ok(Ok(stream)) => {
                let session = stream.get_ref().1;
                let sni = session.server_name().map(|name| Arc::from(name.to_ascii_lowercase()));
                let h2 = session.alpn_protocol() == Some(tls::ALPN_H2);
                self.http(stream, peer, &socket, sni, h2).await;
            }
            Ok(Err(error)) => tracing::debug!(%peer, %error, "a TLS handshake failed"),
            Err(_) => tracing::debug!(%peer, "a TLS handshake took too long"),
        }
    }

    /// Speaks HTTP until the client, the watch or the drain ends the connection.
    async fn http<I>(self, stream: I, peer: IpAddr, socket: &Socket, sni: Option<Arc<str>>, h2: bool)
    where
        I: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let activity = Activity::new(!h2, self.settings.timeouts.clone());
        let io = TokioIo::new(Watched::new(stream, h2, Arc::clone(&activity)));
        let certificates = self.tls.map(|tls| tls.certificates);
        let settings = self.settings;
        let origin = Arc::new(Origin {
            peer,
            sni,
            certificates,
            settings: Arc::clone(&settings),
            activity: Arc::clone(&activity),
            account: socket.account(),
            turns: Turns::new(is_trusted(peer, &settings.trusted_proxies)),
        });
        let handler = self.handler;
        let service = service_fn(move |request| answer(Arc::clone(&origin), handler.clone(), request));
        let outcome = if h2 {
            let streams = Streams::new(&self.drain, &settings.timeouts);
            let connection = http2(streams, &settings).serve_connection(io, service);
            run(connection, &activity, &self.drain).await
        } else {
            run(http1(&settings).serve_connection(io, service), &activity, &self.drain).await
        };
        if let Err(error) = outcome {
            tracing::debug!(%peer, %error, "a connection failed");
        }
    }
}

/// Reports how a connection ended. A connection's own end, or that of the program, is not an error; a panic of its
/// handler is.
fn report(ended: Result<(), JoinError>) {
    if let Err(error) = ended
        && error.is_panic()
    {
        tracing::error!(%error, "a connection ended unexpectedly");
    }
}

fn http1(settings: &Settings) -> http1::Builder {
    let mut builder = http1::Builder::new();
    // The request checks the size of its head, because it can distinguish a long line from many headers. hyper itself
    // answers 431 to a head that does not fit its buffer.
    builder.timer(TokioTimer::new()).header_read_timeout(None);
    builder.max_buf_size(BUFFER.max(settings.header_bytes));
    builder
}

/// HTTP/2 with small windows: an attacker can make the broker keep as much as clients may send unread. The limit on
/// resets is against CVE-2023-44487.
fn http2(streams: Streams, settings: &Settings) -> http2::Builder<Streams> {
    let mut builder = http2::Builder::new(streams);
    builder.timer(TokioTimer::new()).max_concurrent_streams(100);
    builder.max_header_list_size(u32::try_from(settings.header_bytes).unwrap_or(u32::MAX));
    builder.max_pending_accept_reset_streams(20).max_local_error_reset_streams(100);
    builder.initial_stream_window_size(STREAM_WINDOW).initial_connection_window_size(CONNECTION_WINDOW);
    builder.max_frame_size(16_384).max_send_buf_size(BUFFER);
    builder
}

/// Runs a connection. When the drain begins or the connection has been idle too long, it is asked to end (GOAWAY, or
/// `Connection: close`). If it is still there after that, it is cut off. A connection whose client does not read its
/// responses is cut off, too.
async fn run<C: GracefulConnection>(
    connection: C,
    activity: &Activity,
    drain: &Drain,
) -> Result<(), C::Error> {
    let mut connection = pin!(connection);
    let mut begun = pin!(drain.begun());
    let mut cut = pin!(activity.is_cut());
    let mut alarm = pin!(tokio::time::sleep_until(activity.deadline()));
    let mut asked_to_end = false;
    let mut last_call = None;
    poll_fn(|cx| {
        if cut.as_mut().poll(cx).is_ready() {
            return Poll::Ready(Ok(()));
        }
        if !asked_to_end && begun.as_mut().poll(cx).is_ready() {
            asked_to_end = true;
            connection.as_mut().graceful_shutdown();
        }
        loop {
            if let Poll::Ready(outcome) = connection.as_mut().poll(cx) {
                return Poll::Ready(outcome);
            }
            let deadline = last_call.unwrap_or_else(|| activity.deadline());
            // A later deadline waits until the alarm fires: to move the alarm at each request would cost more.
            if deadline < alarm.deadline() {
                alarm.as_mut().reset(deadline);
            }
            ready!(alarm.as_mut().poll(cx));
            let deadline = last_call.unwrap_or_else(|| activity.deadline());
            let now = Instant::now();
            if now < deadline {
                alarm.as_mut().reset(deadline);
            } else if last_call.is_some() {
                return Poll::Ready(Ok(()));
            } else {
                last_call = Some(now + FAREWELL);
                alarm.as_mut().reset(now + FAREWELL);
                asked_to_end = true;
                connection.as_mut().graceful_shutdown();
            }
        }
    })
    .await
}

/// Runs the streams of an HTTP/2 connection as tasks, and ends them when the patience of the drain, or their own, is
/// over. Otherwise a client that opens no window for its response (`SETTINGS_INITIAL_WINDOW_SIZE` 0) would hold its
/// stream for ever.
#[derive(Clone)]
struct Streams {
    drain: Drain,
    lifetime: Duration,
}

impl Streams {
    fn new(drain: &Drain, timeouts: &Timeouts) -> Self {
        Self { drain: drain.clone(), lifetime: timeouts.body + timeouts.idle }
    }
}

impl<F: Future<Output: Send> + Send + 'static> Executor<F> for Streams {
    fn execute(&self, stream: F) {
        let Self { drain, lifetime } = self.clone();
        tokio::spawn(async move {
            tokio::select! {
                _ = stream => {}
                () = drain.expired() => {}
                () = tokio::time::sleep(lifetime) => tracing::debug!("a stream took too long"),
            }
        });
    }
}
