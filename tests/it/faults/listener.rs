//! Certificates that change, and break, while many connections are open.

use std::time::Duration;

use rustls::pki_types::CertificateDer;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;

use crate::harness::browser::Network;
use crate::harness::database::Kind;
use crate::harness::world::World;

const ASK: &[u8] = b"HEAD /.well-known/openid-configuration HTTP/1.1\r\nHost: id.test\r\n\r\n";

/// Asks on a connection that stays.
async fn assert_answers(stream: &mut TlsStream<TcpStream>) {
    stream.write_all(ASK).await.unwrap();
    let mut answer = Vec::new();
    while !answer.ends_with(b"\r\n\r\n") {
        let mut chunk = [0; 2_048];
        let length = stream.read(&mut chunk).await.unwrap();
        assert_ne!(length, 0, "a connection was dropped");
        answer.extend_from_slice(&chunk[..length]);
    }
    assert!(answer.starts_with(b"HTTP/1.1 200"), "{}", String::from_utf8_lossy(&answer));
}

/// The certificate that a new client is shown; `None` when it is shown none.
async fn shown(network: &Network, host: &str) -> Option<CertificateDer<'static>> {
    let stream = network.connect(host, &["http/1.1"]).await.ok()?;
    let shown = stream.get_ref().1.peer_certificates()?.first()?.clone();
    Some(shown.into_owned())
}

/// Waits until new clients of a host are shown what is wanted.
async fn until_shown(
    network: &Network,
    host: &str,
    wanted: impl Fn(&Option<CertificateDer<'static>>) -> bool,
) {
    for _ in 0..600 {
        if wanted(&shown(network, host).await) {
            return;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("the certificate of {host} was not taken over");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn certificates_change_and_break_and_no_connection_is_dropped() {
    let world = World::new(Kind::Sqlite).await;
    let mut network = world.app.network.clone();
    network.also("other.test", "id.test");
    let mut open = Vec::new();
    for number in 0..400_u16 {
        // Of one address there may be fewer.
        let source = [127, 0, 1, u8::try_from(number / 100).unwrap() + 1];
        let mut stream = network.speaking_from(source).connect("id.test", &["http/1.1"]).await.unwrap();
        assert_answers(&mut stream).await;
        open.push(stream);
    }

    let first = shown(&network, "id.test").await;
    let folder = world.app.issue_certificate("id", &["id.test"]);
    until_shown(&network, "id.test", |now| now.is_some() && *now != first).await;
    let second = shown(&network, "id.test").await;
    for stream in &mut open {
        assert_answers(stream).await;
    }

    // A broken pair keeps the old one, and another pair beside it is taken over all the same.
    std::fs::write(folder.join("id.crt"), "rubbish").unwrap();
    world.app.issue_certificate("other", &["other.test"]);
    until_shown(&network, "other.test", Option::is_some).await;
    assert_eq!(shown(&network, "id.test").await, second);
    for stream in &mut open {
        assert_answers(stream).await;
    }
}
