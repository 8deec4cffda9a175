//! Limits, timeouts and the client's address, over real sockets.

use std::time::Duration;

use bytes::Bytes;
use http::{Request, StatusCode};
use http_body_util::{BodyExt as _, Full};
use hyper::client::conn::http2::SendRequest;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use crate::net::testing::*;
use crate::net::{Drain, Listener, Settings, Transport, to_public_url};

const GET: &str = "GET / HTTP/1.1\r\nHost: a.test\r\nConnection: close\r\n\r\n";

pub(super) async fn h2(
    authority: &Authority,
    listener: &TestListener,
    host: &str,
) -> SendRequest<Full<Bytes>> {
    let stream = connect_tls(authority.client(&["h2"]), listener.address, host).await.unwrap();
    let mut builder = hyper::client::conn::http2::Builder::new(TokioExecutor::new());
    builder.max_header_list_size(1 << 20);
    let (sender, connection) = builder.handshake(TokioIo::new(stream)).await.unwrap();
    tokio::spawn(connection);
    sender
}

async fn send(sender: &mut SendRequest<Full<Bytes>>, request: Request<Full<Bytes>>) -> (StatusCode, String) {
    let response = sender.send_request(request).await.unwrap();
    let status = response.status();
    let body = response.into_body().collect().await.unwrap().to_bytes();
    (status, String::from_utf8(body.to_vec()).unwrap())
}

fn get(uri: &str) -> Request<Full<Bytes>> {
    Request::get(uri).body(Full::default()).unwrap()
}

#[tokio::test]
async fn too_large_a_head_is_431_too_long_a_line_414_and_nobody_is_asked() {
    let listener = TestListener::start(Transport::Plain, Settings::default()).await;
    let long = "x".repeat(16_384);
    let get = |target: &str, headers: &str| format!("GET {target} HTTP/1.1\r\nHost: a.test\r\n{headers}\r\n");
    for (status, head) in [
        (431, get("/", &format!("X-Long: {long}\r\n"))),
        (431, get("/", &"X: y\r\n".repeat(200))),
        (431, get("/", &format!("X-Long: {}\r\n", long.repeat(8)))),
        (431, get(&format!("/{}", &long[..16_000]), &format!("X-Long: {}\r\n", &long[..1_000]))),
        (414, get(&format!("/{long}"), "")),
        (414, get(&format!("/?{}", long.repeat(3)), "")),
        // hyper does not read beyond its buffer to see where the line ends.
        (431, get(&format!("/{}", long.repeat(8)), "")),
    ] {
        let answer = listener.say(&head).await;
        assert!(answer.starts_with(&format!("HTTP/1.1 {status}")), "{status}: {answer}");
        assert!(answer.contains("connection: close"), "{answer}");
    }
    assert_eq!(listener.requests(), 0);
    let fits =
        format!("GET / HTTP/1.1\r\nHost: a.test\r\nConnection: close\r\nX-Long: {}\r\n\r\n", &long[..16_000]);
    assert!(listener.say(&fits).await.ends_with("hello"));
}

#[tokio::test]
async fn too_large_a_head_is_refused_on_h2_too() {
    let authority = Authority::of(&[("a", &["a.test"])]);
    let listener = TestListener::start(authority.transport(), Settings::default()).await;
    let mut sender = h2(&authority, &listener, "a.test").await;
    let mut large = get("https://a.test/");
    large.headers_mut().insert("x-long", "x".repeat(20_000).parse().unwrap());
    let refused = sender.send_request(large).await;
    let refused =
        refused.map_or(true, |response| response.status() == StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE);
    assert!(refused);
    assert_eq!(listener.requests(), 0);
    let mut sender = h2(&authority, &listener, "a.test").await;
    assert_eq!(send(&mut sender, get("https://a.test/")).await, (StatusCode::OK, "hello".to_owned()));
}

#[tokio::test]
async fn too_large_a_body_is_413_declared_or_not() {
    let listener = TestListener::start(Transport::Plain, Settings::default()).await;
    let declared = "POST /body HTTP/1.1\r\nHost: a.test\r\nContent-Length: 65537\r\n\r\n".to_owned();
    let answer = listener.say(&declared).await;
    assert!(answer.starts_with("HTTP/1.1 413") && answer.contains("connection: close"), "{answer}");
    assert_eq!(listener.requests(), 0, "a declared length is refused before anybody is asked");

    let chunk = format!("4000\r\n{}\r\n", "x".repeat(0x4000));
    let head =
        "POST /body HTTP/1.1\r\nHost: a.test\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n";
    let answer = listener.say(format!("{head}{}0\r\n\r\n", chunk.repeat(5))).await;
    assert!(answer.starts_with("HTTP/1.1 413"), "{answer}");
    let answer = listener.say(format!("{head}{}0\r\n\r\n", chunk.repeat(4))).await;
    assert!(answer.ends_with("65536"), "{answer}");
}

#[tokio::test]
async fn too_large_a_body_is_413_on_h2_and_the_connection_stays() {
    let authority = Authority::of(&[("a", &["a.test"])]);
    let listener = TestListener::start(authority.transport(), Settings::default()).await;
    let mut sender = h2(&authority, &listener, "a.test").await;
    let post =
        |length: usize| Request::post("https://a.test/body").body(Full::from(vec![b'x'; length])).unwrap();
    assert_eq!(send(&mut sender, post(65_537)).await.0, StatusCode::PAYLOAD_TOO_LARGE);
    assert_eq!(send(&mut sender, post(65_536)).await, (StatusCode::OK, "65536".to_owned()));
}

#[tokio::test]
async fn half_sent_bodies_of_one_connection_are_few_and_the_others_wait_for_their_turn() {
    let authority = Authority::of(&[("a", &["a.test"])]);
    let mut settings = impatient();
    settings.timeouts.body = Duration::from_millis(500);
    settings.timeouts.idle = Duration::from_millis(500);
    let listener = TestListener::start(authority.transport(), settings).await;
    let mut sender = h2(&authority, &listener, "a.test").await;
    let post =
        |length: usize| Request::post("https://a.test/body").body(Full::from(vec![b'x'; length])).unwrap();
    // There are more bodies than turns, but all are complete: each is read.
    let answers: Vec<_> = (0..50).map(|_| tokio::spawn(sender.send_request(post(1_000)))).collect();
    for answer in answers {
        assert_eq!(answer.await.unwrap().unwrap().status(), StatusCode::OK);
    }
    // There are as many half-sent bodies as turns, on a connection of their own. The requests behind them wait in vain
    // while they last; the next connection does not wait.
    let mut attacker = connect_tls(authority.client(&["h2"]), listener.address, "a.test").await.unwrap();
    let mut frames = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0".to_vec();
    for stream in (1_u32..20).step_by(2) {
        // :method POST, :scheme https, :path /body, :authority a.test; then one byte of the body, and no end.
        let block = b"\x83\x87\x04\x05/body\x41\x06a.test";
        frames.extend([0, 0, 17, 1, 4]);
        frames.extend(stream.to_be_bytes());
        frames.extend(block);
        frames.extend([0, 0, 1, 0, 0]);
        frames.extend(stream.to_be_bytes());
        frames.push(b'x');
    }
    let attack = tokio::spawn(async move { say(&mut attacker, frames).await });
    let mut sender = h2(&authority, &listener, "a.test").await;
    assert_eq!(send(&mut sender, post(65_536)).await, (StatusCode::OK, "65536".to_owned()));
    // Requests that wait for a turn time out like those that have one. Then their connection is idle, and ends.
    attack.await.unwrap();
    assert_eq!(listener.requests(), 61);
}

#[tokio::test]
async fn a_slow_head_is_cut_off_and_a_slow_body_is_408() {
    let listener = TestListener::start(Transport::Plain, impatient()).await;
    assert_eq!(listener.say("GET / HTTP/1.1\r\nHost: a.te").await, "");
    assert_eq!(listener.requests(), 0);
    let answer = listener.say("POST /body HTTP/1.1\r\nHost: a.test\r\nContent-Length: 10\r\n\r\n12345").await;
    assert!(answer.starts_with("HTTP/1.1 408") && answer.contains("connection: close"), "{answer}");
}

#[tokio::test]
async fn a_head_that_trickles_wins_no_time() {
    let listener = TestListener::start(Transport::Plain, impatient()).await;
    let mut stream = connect(listener.address).await;
    // If it were not cut off, the writes would go on until the loop ends.
    let mut cut_off = false;
    for _ in 0..1_000 {
        let written = stream.write_all(b"G").await;
        let mut byte = [0];
        let read = tokio::time::timeout(Duration::from_millis(10), stream.read(&mut byte)).await;
        if written.is_err() || matches!(read, Ok(Ok(0) | Err(_))) {
            cut_off = true;
            break;
        }
    }
    assert!(cut_off);
}

#[tokio::test]
async fn an_idle_connection_is_closed_and_a_used_one_is_kept() {
    let mut settings = impatient();
    settings.timeouts.idle = Duration::from_millis(100);
    let authority = Authority::of(&[("a", &["a.test"])]);
    for transport in [Transport::Plain, authority.transport()] {
        let is_tls = matches!(transport, Transport::Tls(_));
        let listener = TestListener::start(transport, settings.clone()).await;
        let keep = GET.replace("Connection: close\r\n", "");
        let answer = if is_tls {
            let mut stream =
                connect_tls(authority.client(&["http/1.1"]), listener.address, "a.test").await.unwrap();
            say(&mut stream, keep.repeat(2)).await
        } else {
            listener.say(keep.repeat(2)).await
        };
        assert_eq!(answer.matches("HTTP/1.1 200").count(), 2, "{answer}");
        if is_tls {
            let sender = h2(&authority, &listener, "a.test").await;
            while !sender.is_closed() {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        }
    }
}

#[tokio::test]
async fn sockets_beyond_the_limit_of_an_address_are_closed_unless_it_is_a_proxy() {
    let mut settings = Settings { sockets: crate::net::Sockets::new(100, 2), ..impatient() };
    let listener = TestListener::start(Transport::Plain, settings.clone()).await;
    let mut held = Vec::new();
    for _ in 0..2 {
        let mut stream = connect(listener.address).await;
        stream.write_all(b"GET /wait HTTP/1.1\r\nHost: a.test\r\n\r\n").await.unwrap();
        listener.entered.notified().await;
        held.push(stream);
    }
    assert_eq!(listener.say(GET).await, "");
    settings.trusted_proxies = vec!["127.0.0.0/8".parse().unwrap()];
    let behind_proxy = TestListener::start(Transport::Plain, settings).await;
    let mut waiting = Vec::new();
    for _ in 0..5 {
        waiting.push(connect(behind_proxy.address).await);
    }
    assert!(behind_proxy.say(GET).await.ends_with("hello"));
}

#[tokio::test]
async fn the_peer_is_named_and_believed_only_when_trusted() {
    let ask = "GET /peer HTTP/1.1\r\nHost: a.test\r\nX-Forwarded-For: 1.1.1.1, 203.0.113.9\r\nConnection: close\r\n\r\n";
    let listener = TestListener::start(Transport::Plain, Settings::default()).await;
    let answer = listener.say(ask).await;
    assert!(answer.ends_with("Some(Peer { address: 127.0.0.1, tls: false, sni: None })"), "{answer}");
    let settings = Settings { trusted_proxies: vec!["127.0.0.1/32".parse().unwrap()], ..Settings::default() };
    let listener = TestListener::start(Transport::Plain, settings).await;
    let answer = listener.say(ask).await;
    assert!(answer.ends_with("Some(Peer { address: 203.0.113.9, tls: false, sni: None })"), "{answer}");

    let authority = Authority::of(&[("a", &["a.test"])]);
    let listener = TestListener::start(authority.transport(), Settings::default()).await;
    let mut sender = h2(&authority, &listener, "A.test").await;
    let (_, peer) = send(&mut sender, get("https://a.test/peer")).await;
    assert_eq!(peer, "Some(Peer { address: 127.0.0.1, tls: true, sni: Some(\"a.test\") })");
}

#[tokio::test]
async fn a_stream_for_another_host_is_misdirected_on_h2() {
    let authority = Authority::of(&[("a", &["a.test", "*.a.test"]), ("b", &["b.test"])]);
    let listener = TestListener::start(authority.transport(), Settings::default()).await;
    let mut sender = h2(&authority, &listener, "a.test").await;
    assert_eq!(send(&mut sender, get("https://b.test/")).await.0, StatusCode::MISDIRECTED_REQUEST);
    assert_eq!(send(&mut sender, get("https://mail.a.test/")).await.0, StatusCode::OK);
}

#[tokio::test]
async fn a_storm_of_resets_ends_its_connection_and_no_other() {
    let authority = Authority::of(&[("a", &["a.test"])]);
    let listener = TestListener::start(authority.transport(), Settings::default()).await;
    let mut attacker = connect_tls(authority.client(&["h2"]), listener.address, "a.test").await.unwrap();
    let mut storm = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0".to_vec();
    // :method GET, :scheme https, :path /, :authority a.test (RFC 7541, appendix A).
    let block = b"\x82\x87\x84\x41\x06a.test";
    for stream in (1_u32..4_000).step_by(2) {
        storm.extend([0, 0, 11, 1, 5]);
        storm.extend(stream.to_be_bytes());
        storm.extend(block);
        storm.extend([0, 0, 4, 3, 0]);
        storm.extend(stream.to_be_bytes());
        storm.extend([0, 0, 0, 8]);
    }
    // Reads until the listener ends the connection. A listener that tolerated the storm would keep it open.
    say(&mut attacker, storm).await;
    assert!(listener.requests() < 1_000, "{} of 2000 were served", listener.requests());
    let mut sender = h2(&authority, &listener, "a.test").await;
    assert_eq!(send(&mut sender, get("https://a.test/")).await.0, StatusCode::OK);
}

#[tokio::test]
async fn work_goes_on_when_its_client_resets_the_stream_or_closes_the_connection() {
    let authority = Authority::of(&[("a", &["a.test"])]);
    let listener = TestListener::start(authority.transport(), Settings::default()).await;
    let mut sender = h2(&authority, &listener, "a.test").await;
    let answer = sender.send_request(get("https://a.test/work"));
    listener.entered.notified().await;
    drop(answer);
    // The next answer comes after the reset has arrived.
    assert_eq!(send(&mut sender, get("https://a.test/")).await.0, StatusCode::OK);
    listener.go_on.notify_one();
    eventually("the work of a reset stream is finished", || listener.requests() == 1_002).await;

    let listener = TestListener::start(Transport::Plain, Settings::default()).await;
    let mut stream = connect(listener.address).await;
    stream.write_all(b"GET /work HTTP/1.1\r\nHost: a.test\r\n\r\n").await.unwrap();
    listener.entered.notified().await;
    drop(stream);
    tokio::time::sleep(Duration::from_millis(100)).await;
    listener.go_on.notify_one();
    eventually("the work of a closed connection is finished", || listener.requests() == 1_001).await;
}

#[tokio::test]
async fn a_client_that_opens_no_window_for_its_answer_is_cut_off() {
    let authority = Authority::of(&[("a", &["a.test"])]);
    let mut settings = impatient();
    settings.timeouts.idle = Duration::from_millis(100);
    let listener = TestListener::start(authority.transport(), settings).await;
    let mut attacker = connect_tls(authority.client(&["h2"]), listener.address, "a.test").await.unwrap();
    // SETTINGS_INITIAL_WINDOW_SIZE (4) is 0; then one request (RFC 9113, section 6.9.2).
    let mut frames = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\x06\x04\0\0\0\0\0\0\x04\0\0\0\0".to_vec();
    frames.extend(b"\0\0\x0b\x01\x05\0\0\0\x01\x82\x87\x84\x41\x06a.test");
    // Reads until the listener ends the connection. A listener that waited for a window would keep it open for ever.
    let ended = tokio::time::timeout(Duration::from_secs(30), say(&mut attacker, frames)).await;
    assert!(ended.is_ok_and(|said| !said.contains("hello")));
    assert_eq!(listener.requests(), 1);
}

#[tokio::test]
async fn a_flood_of_frames_of_any_kind_ends_its_connection() {
    let authority = Authority::of(&[("a", &["a.test"])]);
    let listener = TestListener::start(authority.transport(), Settings::default()).await;
    let frame = |kind: u8, flags: u8, stream: u8, payload: &[u8]| {
        let head = [0, 0, u8::try_from(payload.len()).unwrap(), kind, flags, 0, 0, 0, stream];
        [&head[..], payload].concat()
    };
    // :method GET and POST, :scheme https, :path /, :authority a.test (RFC 7541, appendix A).
    let get = |stream| frame(1, 5, stream, b"\x82\x87\x84\x41\x06a.test");
    let post = |stream| frame(1, 4, stream, b"\x83\x87\x84\x41\x06a.test");
    for (name, first, flood, served) in [
        ("PING", Vec::new(), frame(6, 0, 0, b"12345678"), 0),
        ("an answered PING", Vec::new(), frame(6, 1, 0, b"12345678"), 0),
        ("SETTINGS", Vec::new(), frame(4, 0, 0, b""), 0),
        ("a table of another size", Vec::new(), frame(4, 0, 0, b"\0\x01\0\0\x10\0"), 0),
        ("PRIORITY", Vec::new(), frame(2, 0, 5, b"\0\0\0\x03\x10"), 0),
        ("WINDOW_UPDATE", Vec::new(), frame(8, 0, 0, b"\0\0\0\x01"), 0),
        ("an unknown kind", Vec::new(), frame(99, 0, 0, b"x"), 0),
        ("RST_STREAM", get(1), frame(3, 0, 1, b"\0\0\0\x08"), 1),
        ("empty DATA", post(1), frame(0, 0, 1, b""), 1),
        ("tiny DATA", post(1), frame(0, 0, 1, b"x"), 1),
    ] {
        let before = listener.requests();
        let mut attacker = connect_tls(authority.client(&["h2"]), listener.address, "a.test").await.unwrap();
        let preface = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0".to_vec();
        let attack = [preface, first, flood.repeat(5_000), get(3)].concat();
        // Reads until the listener ends the connection.
        say(&mut attacker, attack).await;
        assert!(listener.requests() <= before + served, "{name}: what comes after the flood is served");
    }
    let mut sender = h2(&authority, &listener, "a.test").await;
    for _ in 0..200 {
        assert_eq!(send(&mut sender, self::get("https://a.test/")).await.0, StatusCode::OK);
    }
}

#[tokio::test]
async fn a_flood_of_continuations_ends_its_connection() {
    let authority = Authority::of(&[("a", &["a.test"])]);
    let listener = TestListener::start(authority.transport(), Settings::default()).await;
    let mut attacker = connect_tls(authority.client(&["h2"]), listener.address, "a.test").await.unwrap();
    let mut flood = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0".to_vec();
    flood.extend(b"\0\0\x01\x01\0\0\0\0\x01\x82");
    for _ in 0..20_000 {
        flood.extend(b"\0\0\x04\x09\0\0\0\0\x01\0\x01a\0");
    }
    say(&mut attacker, flood).await;
    assert_eq!(listener.requests(), 0);
}

#[tokio::test]
async fn plain_http_redirects_to_the_public_url_whatever_host_is_named() {
    let listener = Listener::bind(([127, 0, 0, 1], 0).into()).await.unwrap();
    let address = listener.local_addr();
    let drain = Drain::default();
    let serving = listener.serve(
        Transport::Plain,
        to_public_url("https://login.acme.test"),
        Settings::default(),
        drain,
    );
    tokio::spawn(serving);
    let ask = "GET /signin?a=b HTTP/1.1\r\nHost: evil.test\r\nX-Forwarded-Host: evil.test\r\nConnection: close\r\n\r\n";
    let answer = say(&mut connect(address).await, ask).await;
    assert!(answer.starts_with("HTTP/1.1 308"), "{answer}");
    assert!(answer.contains("location: https://login.acme.test/signin?a=b\r\n"), "{answer}");
    assert!(!answer.contains("evil"), "{answer}");
}

#[tokio::test]
async fn an_axum_router_answers_within_the_limits() {
    let echo = axum::routing::post(|body: Bytes| async move { body.len().to_string() });
    let router = axum::Router::new().route("/echo", echo);
    let listener = Listener::bind(([127, 0, 0, 1], 0).into()).await.unwrap();
    let address = listener.local_addr();
    tokio::spawn(listener.serve(Transport::Plain, router, Settings::default(), Drain::default()));
    let head =
        "POST /echo HTTP/1.1\r\nHost: a.test\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n";
    let answer = say(&mut connect(address).await, format!("{head}5\r\n12345\r\n0\r\n\r\n")).await;
    assert!(answer.starts_with("HTTP/1.1 200") && answer.ends_with('5'), "{answer}");
    let chunk = format!("4000\r\n{}\r\n", "x".repeat(0x4000));
    let answer = say(&mut connect(address).await, format!("{head}{}0\r\n\r\n", chunk.repeat(5))).await;
    assert!(answer.starts_with("HTTP/1.1 413"), "{answer}");
}
