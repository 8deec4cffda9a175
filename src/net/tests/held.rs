//! The memory that clients make the listener keep: responses that they do not read, requests that they do not finish.

use std::net::{Ipv4Addr, SocketAddr};

use bytes::Bytes;
use http::header::RETRY_AFTER;
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::client::conn::http2::SendRequest;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpSocket, TcpStream};

use crate::net::limits::held::OF_NETWORK;
use crate::net::request::ORDINARY_ANSWER;
use crate::net::testing::*;
use crate::net::{Settings, Transport};

/// A connection from another address of this machine, whose system buffers few unread bytes.
async fn connect_from(source: [u8; 4], address: SocketAddr) -> TcpStream {
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(4_096).unwrap();
    socket.bind((Ipv4Addr::from(source), 0).into()).unwrap();
    socket.connect(address).await.unwrap()
}

/// An HTTP/2 client that opens a window of `window` bytes for each response.
async fn h2(
    authority: &Authority,
    source: [u8; 4],
    address: SocketAddr,
    window: u32,
) -> SendRequest<Full<Bytes>> {
    let stream = connect_from(source, address).await;
    let stream = tls_over(stream, authority.client(&["h2"]), "a.test").await.unwrap();
    let mut builder = hyper::client::conn::http2::Builder::new(TokioExecutor::new());
    builder.initial_stream_window_size(window);
    let (sender, connection) = builder.handshake(TokioIo::new(stream)).await.unwrap();
    tokio::spawn(connection);
    sender
}

fn page() -> Request<Full<Bytes>> {
    Request::get("https://a.test/page").body(Full::default()).unwrap()
}

async fn ask(sender: &mut SendRequest<Full<Bytes>>) -> Option<Response<Incoming>> {
    sender.send_request(page()).await.ok()
}

const ATTACKER: [u8; 4] = [127, 0, 0, 5];
const NEIGHBOUR: [u8; 4] = [127, 0, 0, 6];

#[tokio::test]
async fn a_connection_that_takes_none_of_its_answers_is_ended() {
    let authority = Authority::of(&[("a", &["a.test"])]);
    let settings = Settings::default();
    let sockets = settings.sockets.clone();
    let listener = TestListener::start(authority.transport(), settings).await;
    // One byte makes the handler pass on the whole response; the memory is counted all the same.
    for window in [0, 1] {
        let mut sender = h2(&authority, ATTACKER, listener.address, window).await;
        let mut unread = Vec::new();
        while let Some(answer) = ask(&mut sender).await.filter(|answer| answer.status() == StatusCode::OK) {
            unread.push(answer);
            let held = sockets.bytes_held();
            assert!(held >= unread.len() * PAGE - unread.len(), "{held} for {}", unread.len());
            assert!(unread.len() < 100, "a hundred answers wait, and the connection lives");
        }
        // The limit is 256 KiB.
        assert_eq!(unread.len(), 13);
        eventually("the connection ends", || sender.is_closed()).await;
        drop((sender, unread));
        eventually("nothing is held", || sockets.bytes_held() == 0).await;
    }
}

#[tokio::test]
async fn the_answers_that_wait_for_one_network_are_bounded_and_others_are_served() {
    let authority = Authority::of(&[("a", &["a.test"])]);
    let settings = Settings::default();
    let sockets = settings.sockets.clone();
    let listener = TestListener::start(authority.transport(), settings).await;
    let (mut senders, mut unread, mut refused) = (Vec::new(), Vec::new(), 0);
    for _ in 0..40 {
        let mut sender = h2(&authority, ATTACKER, listener.address, 0).await;
        for _ in 0..10 {
            let answer = ask(&mut sender).await.expect("an answer");
            if answer.status() == StatusCode::OK {
                unread.push(answer);
            } else {
                assert_eq!(answer.status(), StatusCode::SERVICE_UNAVAILABLE);
                assert_eq!(answer.headers()[RETRY_AFTER], "10");
                refused += 1;
            }
        }
        senders.push(sender);
    }
    assert!(
        unread.len() * PAGE > OF_NETWORK - 2 * PAGE && unread.len() * PAGE <= OF_NETWORK,
        "{}",
        unread.len()
    );
    assert_eq!(refused, 400 - unread.len());
    let held = sockets.bytes_held();
    assert!(held <= OF_NETWORK, "{held}");
    let mut neighbour = h2(&authority, NEIGHBOUR, listener.address, 65_535).await;
    let answer = ask(&mut neighbour).await.expect("an answer");
    assert_eq!(answer.status(), StatusCode::OK);
    assert_eq!(answer.into_body().collect().await.unwrap().to_bytes().len(), PAGE);
    drop((senders, unread));
    eventually("nothing is held", || sockets.bytes_held() == 0).await;
}

#[tokio::test]
async fn a_trusted_proxy_stands_for_many_clients() {
    let authority = Authority::of(&[("a", &["a.test"])]);
    let settings = Settings { trusted_proxies: vec!["127.0.0.0/8".parse().unwrap()], ..Settings::default() };
    let listener = TestListener::start(authority.transport(), settings).await;
    let (mut senders, mut unread) = (Vec::new(), Vec::new());
    for _ in 0..4 {
        let mut sender = h2(&authority, ATTACKER, listener.address, 0).await;
        for _ in 0..90 {
            let answer = ask(&mut sender).await.expect("an answer");
            assert_eq!(answer.status(), StatusCode::OK);
            unread.push(answer);
        }
        senders.push(sender);
    }
    assert!(unread.len() * PAGE > OF_NETWORK);
}

#[tokio::test]
async fn an_http_1_client_that_stops_reading_is_counted_until_it_reads_or_goes() {
    let settings = Settings::default();
    let sockets = settings.sockets.clone();
    let listener = TestListener::start(Transport::Plain, settings).await;
    let ask = b"GET /large HTTP/1.1\r\nHost: a.test\r\nConnection: close\r\n\r\n";
    let mut stuck = connect_from(ATTACKER, listener.address).await;
    stuck.write_all(ask).await.unwrap();
    let mut first = [0; 12];
    stuck.read_exact(&mut first).await.unwrap();
    assert_eq!(&first, b"HTTP/1.1 200");
    assert!(sockets.bytes_held() >= LARGE, "{}", sockets.bytes_held());
    let refused = say(&mut connect_from(ATTACKER, listener.address).await, ask).await;
    assert!(refused.starts_with("HTTP/1.1 503") && refused.contains("retry-after: 10"), "{refused:.200}");
    let served = say(&mut connect_from(NEIGHBOUR, listener.address).await, ask).await;
    assert!(served.starts_with("HTTP/1.1 200") && served.len() > LARGE);
    assert!(sockets.bytes_held() >= LARGE, "the first still waits");
    // It reads on, and its network has room again.
    let rest = say(&mut stuck, "").await;
    assert!(rest.len() > LARGE);
    eventually("nothing is held", || sockets.bytes_held() == 0).await;
    // A client that goes away leaves no charge either.
    let mut stuck = connect_from(ATTACKER, listener.address).await;
    stuck.write_all(ask).await.unwrap();
    stuck.read_exact(&mut first).await.unwrap();
    assert!(sockets.bytes_held() >= LARGE);
    drop(stuck);
    eventually("nothing is held", || sockets.bytes_held() == 0).await;
}

#[tokio::test]
async fn half_sent_bodies_of_one_network_are_bounded() {
    let settings = Settings::default();
    let sockets = settings.sockets.clone();
    let listener = TestListener::start(Transport::Plain, settings).await;
    let half =
        format!("POST /body HTTP/1.1\r\nHost: a.test\r\nContent-Length: 65536\r\n\r\n{}", "x".repeat(65_000));
    let mut halves = Vec::new();
    for number in 1..=OF_NETWORK / (65_000 + 100 + ORDINARY_ANSWER) {
        let mut stream = connect_from(ATTACKER, listener.address).await;
        stream.write_all(half.as_bytes()).await.unwrap();
        halves.push(stream);
        eventually("the half is held", || sockets.bytes_held() >= number * 65_000).await;
    }
    let refused = say(&mut connect_from(ATTACKER, listener.address).await, &half).await;
    assert!(refused.starts_with("HTTP/1.1 503"), "{refused}");
    let whole = half.replace("65536", "65000").replace("\r\n\r\n", "\r\nConnection: close\r\n\r\n");
    let served = say(&mut connect_from(NEIGHBOUR, listener.address).await, whole).await;
    assert!(served.starts_with("HTTP/1.1 200") && served.ends_with("65000"), "{served}");
    drop(halves);
    eventually("nothing is held", || sockets.bytes_held() == 0).await;
}
