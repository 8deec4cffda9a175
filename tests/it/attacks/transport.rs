//! Transport: rows 104 to 107, over raw sockets against the real listener.

use std::sync::Arc;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::{Request, StatusCode};
use http_body_util::Full;
use rustls::ClientConnection;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::task::JoinSet;

use crate::harness::browser::Network;
use crate::harness::database::Kind;
use crate::harness::evidence::Evidence;
use crate::harness::world::World;

const METADATA: &str = "/.well-known/openid-configuration";

/// How long a peer that must be closed may live: its own limit is 10 s.
const PATIENCE: Duration = Duration::from_mins(1);

/// Sends `bytes` and reads until the other side closes; fails when it never does.
async fn say(stream: &mut (impl AsyncRead + AsyncWrite + Unpin), bytes: impl AsRef<[u8]>) -> Vec<u8> {
    // The broker may close before it has read all.
    let _ = stream.write_all(bytes.as_ref()).await;
    let _ = stream.flush().await;
    let mut answer = Vec::new();
    let mut chunk = [0; 4096];
    let reading = async {
        while let Ok(length @ 1..) = stream.read(&mut chunk).await {
            answer.extend_from_slice(&chunk[..length]);
        }
    };
    tokio::time::timeout(PATIENCE, reading).await.expect("the broker closes the connection");
    answer
}

async fn say_http1(network: &Network, bytes: impl AsRef<[u8]>) -> String {
    let mut stream = network.connect("id.test", &["http/1.1"]).await.unwrap();
    String::from_utf8_lossy(&say(&mut stream, bytes).await).into_owned()
}

/// A client that behaves correctly is served.
async fn assert_served(network: &Network) {
    let request = Request::get(format!("https://id.test{METADATA}")).body(Full::default()).unwrap();
    assert_eq!(network.send(request).await.status(), StatusCode::OK);
}

/// Suites with CBC, in ECDHE and RSA.
const CBC: &[u16] = &[0xc009, 0xc013, 0x002f, 0xc023, 0xc027];

/// A `ClientHello` of an old client: `suites` and no extensions.
fn old_hello(version: u16, suites: &[u16]) -> Vec<u8> {
    let mut body = version.to_be_bytes().to_vec();
    body.extend([7; 32]);
    body.push(0);
    body.extend(u16::try_from(suites.len() * 2).unwrap().to_be_bytes());
    body.extend(suites.iter().flat_map(|suite| suite.to_be_bytes()));
    body.extend([1, 0]);
    let mut hello = vec![1, 0];
    hello.extend(u16::try_from(body.len()).unwrap().to_be_bytes());
    hello.extend(body);
    records(&hello, usize::MAX)
}

/// A handshake message in TLS records of `size` bytes each.
fn records(message: &[u8], size: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    for part in message.chunks(size) {
        bytes.extend([0x16, 3, 1]);
        bytes.extend(u16::try_from(part.len()).unwrap().to_be_bytes());
        bytes.extend(part);
    }
    bytes
}

/// The hello of today's client for `id.test`, with another name of the same length in its place.
fn hello_for(network: &Network, name: [u8; 7]) -> Vec<u8> {
    let host = ServerName::try_from("id.test").unwrap();
    let mut bytes = Vec::new();
    ClientConnection::new(Arc::clone(&network.tls), host).unwrap().write_tls(&mut bytes).unwrap();
    let at = bytes.windows(7).position(|window| window == b"id.test").unwrap();
    bytes[at..at + 7].copy_from_slice(&name);
    bytes[5..].to_vec()
}

/// The first bytes that come back.
async fn first_bytes(network: &Network, bytes: &[u8]) -> Vec<u8> {
    let mut stream = network.socket("id.test").await.unwrap();
    let _ = stream.write_all(bytes).await;
    let mut answer = vec![0; 64];
    let read = tokio::time::timeout(PATIENCE, stream.read(&mut answer)).await.expect("an answer");
    answer.truncate(read.unwrap_or(0));
    answer
}

const ALERT: u8 = 0x15;
const HANDSHAKE: u8 = 0x16;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn row_104_old_tls_and_odd_hellos() {
    let world = World::new(Kind::Sqlite).await;
    let network = &world.app.network;
    let before = Evidence::now(&world.app).await;
    for (version, suites) in
        [(0x0300, CBC), (0x0301, CBC), (0x0302, CBC), (0x0302, &[0xc02b, 0xc02f]), (0x0303, CBC)]
    {
        let mut stream = network.socket("id.test").await.unwrap();
        let answer = say(&mut stream, old_hello(version, suites)).await;
        assert_eq!((answer.first(), answer.get(5), answer.len()), (Some(&ALERT), Some(&2), 7), "{version:x}");
    }

    let names: [([u8; 7], u8); 8] = [
        (*b"id.test", HANDSHAKE),
        (*b"ID.Test", HANDSHAKE),
        (*b"xx.test", ALERT),
        (*b"id\0test", ALERT),
        (*b"id..tst", ALERT),
        (*b"\xff\xfe.test", ALERT),
        (*b"1.2.3.4", ALERT),
        (*b"id.tes\n", ALERT),
    ];
    for (name, kind) in names {
        for size in [1, 16_384] {
            let hello = records(&hello_for(network, name), size);
            let answer = first_bytes(network, &hello).await;
            assert_eq!(answer.first(), Some(&kind), "{name:?} in records of {size}");
        }
    }
    // Empty records, and a message longer than any hello, of which the rest never comes.
    assert_eq!(first_bytes(network, &[0x16, 3, 1, 0, 0].repeat(100)).await.first(), Some(&ALERT));
    let answer = first_bytes(network, &[0x16, 3, 1, 0, 4, 1, 0xff, 0xff, 0xff]).await;
    assert_ne!(answer.first(), Some(&HANDSHAKE));

    for (host, status) in [
        ("id.test", "200"),
        ("ID.test:8443", "200"),
        ("other.test", "421"),
        ("127.0.0.1", "421"),
        ("", "400"),
    ] {
        let ask = format!("GET {METADATA} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
        let answer = say_http1(network, ask).await;
        assert!(answer.starts_with(&format!("HTTP/1.1 {status}")), "{host}: {answer}");
    }
    before.assert_only_refused(&world.app, &[]).await;
}

/// What a smuggler hopes to have served as a request of its own.
const SECOND: &str = "GET /.well-known/openid-configuration HTTP/1.1\r\nHost: id.test\r\n\r\n";

fn smuggle(headers: &str, body: &str) -> String {
    format!(
        "POST /signin HTTP/1.1\r\nHost: id.test\r\nContent-Type: application/x-www-form-urlencoded\r\n\
         {headers}\r\n{body}"
    )
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn row_105_smuggling_in_http_1() {
    let world = World::new(Kind::Sqlite).await;
    let network = &world.app.network;
    let before = Evidence::now(&world.app).await;
    let hidden = format!("0\r\n\r\n{SECOND}");
    let refused = [
        smuggle("Content-Length: +5\r\n", &format!("12345{SECOND}")),
        smuggle("Content-Length: -1\r\n", SECOND),
        smuggle("Content-Length: 0x5\r\n", &format!("12345{SECOND}")),
        smuggle("Content-Length: 5, 6\r\n", &format!("12345{SECOND}")),
        smuggle("Content-Length: 5\r\nContent-Length: 6\r\n", &format!("12345{SECOND}")),
        smuggle("Content-Length : 5\r\n", &format!("12345{SECOND}")),
        smuggle("Content-Length: 99999999999999999999999\r\n", SECOND),
        smuggle("X: a\r\n Content-Length: 5\r\n", &format!("12345{SECOND}")),
        smuggle("X: a\r\n\tTransfer-Encoding: chunked\r\n", &hidden),
        smuggle("Transfer-Encoding : chunked\r\n", &hidden),
        smuggle("Transfer-Encoding: xchunked\r\n", &hidden),
        smuggle("Transfer-Encoding: chunked, identity\r\n", &hidden),
        smuggle("Transfer-Encoding: identity\r\n", SECOND),
        smuggle("Transfer-Encoding: \x0bchunked\r\n", &hidden),
        smuggle("Transfer-Encoding: chunked\r\n", &format!("+5\r\n12345\r\n{hidden}")),
        smuggle("Transfer-Encoding: chunked\r\n", &format!("fffffffffffffffff\r\n{hidden}")),
        smuggle("Transfer-Encoding: chunked\r\n", &format!("5\r\n12345XX{hidden}")),
        smuggle("Host: other.test\r\n", SECOND),
        "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_owned(),
        format!("POST / HTTP/1.0\r\nHost: id.test\r\nTransfer-Encoding: chunked\r\n\r\n{hidden}"),
    ];
    for attempt in refused {
        let answer = say_http1(network, &attempt).await;
        assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 400"), "{attempt:?}: {answer:?}");
        assert_eq!(
            answer.matches("HTTP/1.1 ").count(),
            usize::from(!answer.is_empty()),
            "{attempt:?}: {answer:?}"
        );
    }
    // With both lengths, the chunks alone say where the body ends; what they hold is never a request.
    let chunked = format!("{:x}\r\n{SECOND}\r\n0\r\n\r\n", SECOND.len());
    for headers in [
        "Content-Length: 5\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n",
        "Transfer-Encoding: chunked\r\nContent-Length: 5\r\nConnection: close\r\n",
        "Transfer-Encoding: chunked\r\nConnection: close\r\n",
    ] {
        let answer = say_http1(network, smuggle(headers, &chunked)).await;
        assert_eq!(answer.matches("HTTP/1.1 ").count(), 1, "{headers:?}: {answer:?}");
        assert!(!answer.contains("authorization_endpoint"), "{headers:?}: {answer:?}");
    }
    let changes = before.changes(&world.app).await;
    assert_eq!(changes.rows, std::collections::BTreeMap::new());
}

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let mut bytes = u32::try_from(payload.len()).unwrap().to_be_bytes()[1..].to_vec();
    bytes.extend([kind, flags]);
    bytes.extend(stream.to_be_bytes());
    bytes.extend(payload);
    bytes
}

/// A header as a literal that enters no table (RFC 7541, section 6.2.2).
fn literal(name: &str, value: &str) -> Vec<u8> {
    let mut bytes = vec![0, u8::try_from(name.len()).unwrap()];
    bytes.extend(name.as_bytes());
    bytes.push(u8::try_from(value.len()).unwrap());
    bytes.extend(value.as_bytes());
    bytes
}

/// `GET` or `POST` of the metadata at `id.test` by HTTP/2.
fn head(method: &str, more: &[(&str, &str)]) -> Vec<u8> {
    let mut block = vec![if method == "GET" { 0x82 } else { 0x83 }, 0x87];
    block.extend(literal(":path", METADATA));
    block.extend(literal(":authority", "id.test"));
    block.extend(more.iter().flat_map(|(name, value)| literal(name, value)));
    block
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn row_105_a_lone_lf_in_a_head() {
    let world = World::new(Kind::Sqlite).await;
    let network = &world.app.network;
    let before = Evidence::now(&world.app).await;
    for head in [
        format!("GET {METADATA} HTTP/1.1\nHost: id.test\r\n\r\n"),
        format!("GET {METADATA} HTTP/1.1\r\nHost: id.test\n\r\n"),
        format!("GET {METADATA} HTTP/1.1\r\nHost: id.test\r\n\n"),
        format!("\nGET {METADATA} HTTP/1.1\r\nHost: id.test\r\n\r\n"),
        format!(
            "GET {METADATA} HTTP/1.1\r\nHost: id.test\r\nX: a\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"
        ),
        smuggle("X: a\nContent-Length: 5\r\n", "12345"),
    ] {
        let answer = say_http1(network, format!("{head}{SECOND}")).await;
        assert!(answer.starts_with("HTTP/1.1 400"), "{head:?}: {answer:?}");
        assert_eq!(answer.matches("HTTP/1.1 ").count(), 1, "{head:?}: {answer:?}");
    }
    // The neighbour: a body may hold one, and its connection is kept for the next request.
    let body = "username=a\nb\n\nGET / HTTP/1.1\n";
    let first = smuggle(&format!("Sec-Fetch-Site: cross-site\r\nContent-Length: {}\r\n", body.len()), body);
    let last = SECOND.replace("\r\n\r\n", "\r\nConnection: close\r\n\r\n");
    let answer = say_http1(network, format!("{first}{last}")).await;
    assert_eq!(answer.matches("HTTP/1.1 ").count(), 2, "{answer:?}");
    assert!(answer.starts_with("HTTP/1.1 403") && answer.contains("authorization_endpoint"), "{answer:?}");
    assert_eq!(before.changes(&world.app).await.rows, std::collections::BTreeMap::new());
}

#[derive(Debug, PartialEq, Eq)]
enum Outcome {
    /// `:status` 200, which is number 8 of the static table.
    Served,
    Refused,
    Reset,
    Closed,
}

/// How stream 1 ends.
async fn outcome(network: &Network, frames: &[u8]) -> Outcome {
    let mut stream = network.connect("id.test", &["h2"]).await.unwrap();
    // The broker may close before it has read all.
    let _ = stream.write_all(&[PREFACE, frames].concat()).await;
    let _ = stream.flush().await;
    let reading = async {
        let mut head = [0; 9];
        while stream.read_exact(&mut head).await.is_ok() {
            let mut payload = vec![0; usize::from(head[1]) << 8 | usize::from(head[2])];
            if stream.read_exact(&mut payload).await.is_err() {
                break;
            }
            match (head[3], head[8]) {
                (1, 1) if payload[0] == 0x88 => return Outcome::Served,
                (1, 1) => return Outcome::Refused,
                (3, 1) => return Outcome::Reset,
                (7, _) => return Outcome::Closed,
                _ => {}
            }
        }
        Outcome::Closed
    };
    tokio::time::timeout(PATIENCE, reading).await.expect("an end")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn row_105_smuggling_in_http_2() {
    let world = World::new(Kind::Sqlite).await;
    let network = &world.app.network;
    let before = Evidence::now(&world.app).await;
    assert_eq!(outcome(network, &frame(1, 5, 1, &head("GET", &[]))).await, Outcome::Served, "the neighbour");
    for more in [
        ("transfer-encoding", "chunked"),
        ("connection", "keep-alive"),
        ("Upper", "case"),
        ("x", "a\r\nX-Injected: b"),
        ("content-length", "+5"),
        ("te", "chunked"),
        (":path", "/second"),
        (":unknown", "x"),
    ] {
        let end = outcome(network, &frame(1, 5, 1, &head("GET", &[more]))).await;
        assert!(matches!(end, Outcome::Reset | Outcome::Closed | Outcome::Refused), "{more:?}: {end:?}");
    }
    // A body that is longer or shorter than it says (RFC 9113, section 8.1.1).
    for (length, body) in [("5", &b"123456789"[..]), ("9", b"12345")] {
        let mut frames = frame(1, 4, 1, &head("POST", &[("content-length", length)]));
        frames.extend(frame(0, 1, 1, body));
        let end = outcome(network, &frames).await;
        assert!(matches!(end, Outcome::Reset | Outcome::Closed | Outcome::Refused), "{length}: {end:?}");
    }
    before.assert_only_refused(&world.app, &[]).await;
}

/// Three addresses of this machine, which the broker takes for three clients.
const SLOW: [u8; 4] = [127, 0, 0, 2];
const FLOODING: [u8; 4] = [127, 0, 0, 3];
const HONEST: [u8; 4] = [127, 0, 0, 4];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn row_106_slow_and_flooding_peers_cost_them_and_nobody_else() {
    let world = World::new(Kind::Sqlite).await;
    let honest = world.app.network.speaking_from(HONEST);
    let before = Evidence::now(&world.app).await;

    // More sockets than one address may have; each says a little and then nothing.
    let slow = world.app.network.speaking_from(SLOW);
    let mut heads = Vec::new();
    for _ in 0..20 {
        let mut stream = slow.connect("id.test", &["http/1.1"]).await.unwrap();
        stream.write_all(b"GET / HTTP/1.1\r\nHost: id.te").await.unwrap();
        heads.push(stream);
    }
    let mut held = Vec::new();
    for number in 0..300 {
        let mut socket = slow.socket("id.test").await.unwrap();
        let _ = socket.write_all(if number % 2 == 0 { b"" } else { &[0x16, 3, 1, 2] }).await;
        held.push(socket);
    }
    assert_served(&honest).await;

    let flooding = world.app.network.speaking_from(FLOODING);
    let mut resets = PREFACE.to_vec();
    for stream in (1_u32..4_000).step_by(2) {
        resets.extend(frame(1, 5, stream, &head("GET", &[])));
        resets.extend(frame(3, 0, stream, &[0, 0, 0, 8]));
    }
    let mut continuations = PREFACE.to_vec();
    continuations.extend(frame(1, 1, 1, &head("GET", &[])));
    continuations.extend(frame(9, 0, 1, &literal("x", "y")).repeat(20_000));
    let mut storms = JoinSet::new();
    for storm in [resets, continuations].into_iter().cycle().take(12) {
        let flooding = flooding.clone();
        storms.spawn(async move {
            let mut stream = flooding.connect("id.test", &["h2"]).await.unwrap();
            say(&mut stream, storm).await;
        });
    }
    for _ in 0..20 {
        assert_served(&honest).await;
    }
    // Each storm ends with its connection closed.
    while let Some(ended) = storms.join_next().await {
        ended.unwrap();
    }

    // The sockets beyond the limit were closed at once, the others when their time was over.
    let mut closed = JoinSet::new();
    for mut socket in held {
        closed.spawn(async move { say(&mut socket, b"").await });
    }
    for mut stream in heads {
        closed.spawn(async move { say(&mut stream, b"").await });
    }
    while let Some(said) = closed.join_next().await {
        let said = said.unwrap();
        assert!(said.first() != Some(&HANDSHAKE) && !said.starts_with(b"HTTP/1.1 2"), "{said:?}");
    }
    assert_served(&honest).await;
    assert_served(&slow).await;
    before.assert_only_refused(&world.app, &[]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn row_106_floods_of_frames_end_their_connection() {
    let world = World::new(Kind::Sqlite).await;
    let honest = world.app.network.speaking_from(HONEST);
    let flooding = world.app.network.speaking_from(FLOODING);
    let before = Evidence::now(&world.app).await;
    for flood in [
        frame(6, 0, 0, b"12345678"),
        frame(4, 0, 0, b""),
        frame(2, 0, 5, b"\0\0\0\x03\x10"),
        frame(8, 0, 0, b"\0\0\0\x01"),
        frame(99, 0, 0, b""),
    ] {
        let asked = frame(1, 5, 1, &head("GET", &[]));
        // A few are as good as none.
        assert_eq!(outcome(&flooding, &[flood.repeat(20), asked.clone()].concat()).await, Outcome::Served);
        let end = outcome(&flooding, &[flood.repeat(5_000), asked].concat()).await;
        assert_eq!(end, Outcome::Closed, "{:?}", &flood[..9]);
        assert_served(&honest).await;
    }
    assert_served(&flooding).await;
    before.assert_only_refused(&world.app, &[]).await;
}

/// `grant_type=client_credentials` as gzip packs it (RFC 1952).
const GZIPPED_FORM: &[u8] = &[
    0x1f, 0x8b, 0x08, 0x00, 0x00, 0x00, 0x00, 0x00, 0x02, 0x03, 0x4b, 0x2f, 0x4a, 0xcc, 0x2b, 0x89, 0x2f,
    0xa9, 0x2c, 0x48, 0xb5, 0x4d, 0xce, 0xc9, 0x4c, 0x05, 0xb2, 0x93, 0x8b, 0x52, 0x53, 0x80, 0x74, 0x66,
    0x62, 0x4e, 0x31, 0x00, 0xf1, 0x18, 0x15, 0xa8, 0x1d, 0x00, 0x00, 0x00,
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn row_107_giant_input() {
    let world = World::new(Kind::Sqlite).await;
    let network = &world.app.network;
    let before = Evidence::now(&world.app).await;
    let long = "x".repeat(16_384);
    let get =
        |target: &str, headers: &str| format!("GET {target} HTTP/1.1\r\nHost: id.test\r\n{headers}\r\n");
    let post = |headers: &str, body: &str| {
        format!(
            "POST /oauth2/token HTTP/1.1\r\nHost: id.test\r\nContent-Type: application/x-www-form-urlencoded\r\n\
             Connection: close\r\n{headers}\r\n{body}"
        )
    };
    let chunks = format!("4000\r\n{long}\r\n").repeat(5);
    for (status, request) in [
        (431, get(METADATA, &format!("X-Long: {long}\r\n"))),
        (431, get(METADATA, &format!("Cookie: a={long}\r\n"))),
        (431, get(METADATA, &"X: y\r\n".repeat(1_000))),
        (431, get(METADATA, &format!("X-Long: {}\r\n", long.repeat(640)))),
        (414, get(&format!("{METADATA}?{long}"), "")),
        (413, post("Content-Length: 65537\r\n", "")),
        (413, post("Content-Length: 9223372036854775807\r\n", "")),
        (431, post("Content-Length: 18446744073709551614\r\n", "")),
        (413, post("Transfer-Encoding: chunked\r\n", &format!("{chunks}0\r\n\r\n"))),
    ] {
        let answer = say_http1(network, &request).await;
        let first = answer.lines().next().unwrap_or_default();
        assert!(first.starts_with(&format!("HTTP/1.1 {status}")), "{status}: {first}: {}", &request[..60]);
    }
    let large: Vec<u8> = (0..80).flat_map(|_| literal("x", &long[..250])).collect();
    let mut frames = frame(1, 1, 1, &[head("GET", &[]), large[..10_120].to_vec()].concat());
    frames.extend(frame(9, 4, 1, &large[10_120..]));
    assert!(matches!(outcome(network, &frames).await, Outcome::Refused | Outcome::Reset | Outcome::Closed));

    // Nothing is unpacked, so nothing can swell: what is a good request only once unpacked is refused as it came.
    let headers = format!(
        "Authorization: Basic {}\r\nContent-Encoding: gzip\r\nContent-Length: {}\r\n",
        STANDARD.encode("wiki:wiki-secret-0123456789"),
        GZIPPED_FORM.len()
    );
    let mut request = post(&headers, "");
    let mut stream = network.connect("id.test", &["http/1.1"]).await.unwrap();
    let packed = [request.as_bytes(), GZIPPED_FORM].concat();
    let answer = String::from_utf8_lossy(&say(&mut stream, packed).await).into_owned();
    assert!(answer.starts_with("HTTP/1.1 4") && answer.contains("invalid_request"), "{answer}");
    // The neighbour: a form as large as is allowed is read.
    request = post("Content-Length: 65536\r\n", &format!("a={}", "b".repeat(65_534)));
    let answer = say_http1(network, request).await;
    assert!(answer.contains("invalid_client"), "{answer}");
    assert_eq!(before.changes(&world.app).await.rows, std::collections::BTreeMap::new());
}
