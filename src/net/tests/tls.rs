//! TLS: versions, names, key exchange, resumption (catalogue: old TLS, odd hellos, SNI that is not the host).

use std::sync::Arc;

use rustls::HandshakeKind;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio_rustls::TlsConnector;

use crate::net::Settings;
use crate::net::testing::*;

const GET: &str = "GET / HTTP/1.1\r\nHost: acme.test\r\nConnection: close\r\n\r\n";

fn authority() -> Authority {
    Authority::of(&[("a", &["acme.test", "*.acme.test"]), ("b", &["other.test"])])
}

#[tokio::test]
async fn the_certificate_is_chosen_by_sni_whatever_its_case() {
    let authority = authority();
    let listener = TestListener::start(authority.transport(), Settings::default()).await;
    // The client checks each certificate against the name that it asked for.
    for host in ["acme.test", "ACME.test", "mail.acme.test", "other.test"] {
        let stream = connect_tls(authority.client(&[]), listener.address, host).await;
        assert!(stream.is_ok(), "{host}: {stream:?}");
    }
}

#[tokio::test]
async fn an_unknown_name_is_refused_in_the_handshake_unless_there_is_a_default() {
    let authority = authority();
    let listener = TestListener::start(authority.transport(), Settings::default()).await;
    let error = connect_tls(authority.client(&[]), listener.address, "unknown.test").await.unwrap_err();
    assert!(error.to_string().contains("AccessDenied"), "{error}");
    let error = connect_tls(authority.client(&[]), listener.address, "127.0.0.1").await.unwrap_err();
    assert!(error.to_string().contains("AccessDenied"), "{error}");

    write_pair(authority.folder.path(), "default", &["unknown.test"]);
    authority.certificates.reload();
    assert!(connect_tls(authority.client(&[]), listener.address, "unknown.test").await.is_ok());
}

#[tokio::test]
async fn a_changed_certificate_is_shown_to_the_next_client() {
    let authority = authority();
    let listener = TestListener::start(authority.transport(), Settings::default()).await;
    let before = authority.client(&[]);
    write_pair(authority.folder.path(), "a", &["acme.test"]);
    authority.certificates.reload();
    assert!(connect_tls(before, listener.address, "acme.test").await.is_err(), "the old certificate is gone");
    assert!(connect_tls(authority.client(&[]), listener.address, "acme.test").await.is_ok());
}

#[tokio::test]
async fn alpn_decides_between_h2_and_http11() {
    let authority = authority();
    let listener = TestListener::start(authority.transport(), Settings::default()).await;
    for (offered, agreed) in [
        (&["h2", "http/1.1"][..], Some(&b"h2"[..])),
        (&["http/1.1"], Some(b"http/1.1")),
        (&["http/1.1", "h2"], Some(b"h2")),
        (&[], None),
    ] {
        let stream = connect_tls(authority.client(offered), listener.address, "acme.test").await.unwrap();
        assert_eq!(stream.get_ref().1.alpn_protocol(), agreed, "{offered:?}");
    }
    assert!(connect_tls(authority.client(&["spdy/3"]), listener.address, "acme.test").await.is_err());
}

#[tokio::test]
async fn the_key_exchange_is_hybrid_post_quantum_with_those_who_can() {
    let authority = authority();
    let listener = TestListener::start(authority.transport(), Settings::default()).await;
    let stream = connect_tls(authority.client(&[]), listener.address, "acme.test").await.unwrap();
    let session = stream.get_ref().1;
    assert_eq!(session.protocol_version(), Some(rustls::ProtocolVersion::TLSv1_3));
    let group = session.negotiated_key_exchange_group().unwrap().name();
    assert_eq!(group, rustls::NamedGroup::X25519MLKEM768);
}

#[tokio::test]
async fn tls_1_2_is_spoken_and_resumed_by_ticket() {
    let authority = authority();
    let listener = TestListener::start(authority.transport(), Settings::default()).await;
    for versions in [&[&rustls::version::TLS12][..], &[&rustls::version::TLS13]] {
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let mut roots = rustls::RootCertStore::empty();
        let pem = std::fs::read(authority.folder.path().join("a.crt")).unwrap();
        let leaf =
            <rustls::pki_types::CertificateDer<'_> as rustls::pki_types::pem::PemObject>::from_pem_slice(
                &pem,
            );
        roots.add(leaf.unwrap()).unwrap();
        let builder =
            rustls::ClientConfig::builder_with_provider(provider).with_protocol_versions(versions).unwrap();
        let config = Arc::new(builder.with_root_certificates(roots).with_no_client_auth());
        let mut kinds = Vec::new();
        for _ in 0..2 {
            let host = ServerName::try_from("acme.test").unwrap();
            let connector = TlsConnector::from(Arc::clone(&config));
            let mut stream = connector.connect(host, connect(listener.address).await).await.unwrap();
            assert!(say(&mut stream, GET).await.starts_with("HTTP/1.1 200"));
            kinds.push(stream.get_ref().1.handshake_kind().unwrap());
        }
        assert_eq!(kinds, [HandshakeKind::Full, HandshakeKind::Resumed], "{versions:?}");
    }
}

/// Suites with CBC, in ECDHE and RSA.
const CBC: &[u16] = &[0xc009, 0xc013, 0x002f, 0xc023, 0xc027];

/// A `ClientHello` of `version` that offers `suites` and has no extensions.
fn client_hello(version: u16, suites: &[u16]) -> Vec<u8> {
    let mut body = version.to_be_bytes().to_vec();
    body.extend([7; 32]);
    body.push(0);
    body.extend(u16::try_from(suites.len() * 2).unwrap().to_be_bytes());
    body.extend(suites.iter().flat_map(|suite| suite.to_be_bytes()));
    body.extend([1, 0]);
    let mut hello = vec![0x16, 3, 1];
    hello.extend(u16::try_from(body.len() + 4).unwrap().to_be_bytes());
    hello.extend([1, 0]);
    hello.extend(u16::try_from(body.len()).unwrap().to_be_bytes());
    hello.extend(body);
    hello
}

#[tokio::test]
async fn old_versions_and_cbc_suites_are_refused_with_an_alert() {
    let authority = Authority::of(&[("default", &["acme.test"])]);
    let listener = TestListener::start(authority.transport(), Settings::default()).await;
    for (version, suites) in
        [(0x0300, CBC), (0x0301, CBC), (0x0302, CBC), (0x0302, &[0xc02b, 0xc02f]), (0x0303, CBC)]
    {
        let mut stream = connect(listener.address).await;
        stream.write_all(&client_hello(version, suites)).await.unwrap();
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer).await;
        assert_eq!(answer.first(), Some(&0x15), "{version:x}: an alert, not {answer:?}");
        assert_eq!(answer.get(5), Some(&2), "{version:x}: a fatal one");
        assert_eq!(answer.len(), 7, "{version:x}: and nothing else");
    }
    assert_eq!(listener.requests(), 0);
}

#[tokio::test]
async fn a_hello_that_comes_byte_by_byte_is_understood() {
    let authority = authority();
    let listener = TestListener::start(authority.transport(), Settings::default()).await;
    let connector = TlsConnector::from(Arc::new(authority.client(&[])));
    let host = ServerName::try_from("acme.test").unwrap();
    let mut stream = connector.connect(host, Dribble(connect(listener.address).await)).await.unwrap();
    assert!(say(&mut stream, GET).await.ends_with("hello"));
}

#[tokio::test]
async fn bytes_that_are_not_a_hello_are_cut_off_and_a_silent_client_is_too() {
    let authority = authority();
    let listener = TestListener::start(authority.transport(), impatient()).await;
    for bytes in
        [&b"GET / HTTP/1.1\r\n\r\n"[..], &[0; 64], &[0x16, 3, 1, 0xff, 0xff], &[0x80, 0x2e, 1, 0, 2], b""]
    {
        let mut stream = connect(listener.address).await;
        assert!(!say(&mut stream, bytes).await.contains("HTTP"), "{bytes:?}");
    }
    assert_eq!(listener.requests(), 0);
}

#[tokio::test]
async fn a_host_that_the_certificate_does_not_cover_is_misdirected() {
    let authority = authority();
    let listener = TestListener::start(authority.transport(), Settings::default()).await;
    for (host, status) in [
        ("acme.test", "200"),
        ("Mail.Acme.test:8443", "200"),
        ("acme.test.", "200"),
        ("other.test", "421"),
        ("evil.test", "421"),
        ("127.0.0.1", "421"),
    ] {
        let mut stream = connect_tls(authority.client(&[]), listener.address, "acme.test").await.unwrap();
        let answer = say(&mut stream, GET.replace("acme.test", host)).await;
        assert!(answer.starts_with(&format!("HTTP/1.1 {status}")), "{host}: {answer}");
    }
    assert_eq!(listener.requests(), 3);
}
