//! The shutdown: running requests finish, nothing new begins, and patience ends.

use std::time::Duration;

use http::Request;
use http_body_util::{BodyExt as _, Full};
use tokio::io::AsyncWriteExt as _;

use super::http::h2;
use crate::net::testing::*;
use crate::net::{Settings, Transport};

const WAIT: &[u8] = b"GET /wait HTTP/1.1\r\nHost: a.test\r\n\r\n";
const LONG: Duration = Duration::from_mins(10);

#[tokio::test]
async fn a_request_that_runs_is_finished_and_its_connection_ends() {
    let listener = TestListener::start(Transport::Plain, Settings::default()).await;
    let mut running = connect(listener.address).await;
    running.write_all(WAIT).await.unwrap();
    listener.entered.notified().await;
    let mut idle = connect(listener.address).await;
    idle.write_all(b"GET / HTTP/1.1\r\nHost: a.test\r\n\r\n").await.unwrap();

    listener.drain.begin(LONG);
    let said = say(&mut idle, b"").await;
    assert!(said.is_empty() || said.ends_with("hello"), "an idle connection is closed: {said}");
    listener.go_on.notify_one();
    let answer = say(&mut running, b"").await;
    assert!(answer.starts_with("HTTP/1.1 200") && answer.ends_with("done"), "{answer}");
    assert!(answer.contains("connection: close"), "{answer}");
    listener.serving.await.unwrap();
}

#[tokio::test]
async fn a_stream_that_runs_is_finished_on_h2() {
    let authority = Authority::of(&[("a", &["a.test"])]);
    let listener = TestListener::start(authority.transport(), Settings::default()).await;
    let mut sender = h2(&authority, &listener, "a.test").await;
    let request = Request::get("https://a.test/wait").body(Full::default()).unwrap();
    let answer = tokio::spawn(sender.send_request(request));
    listener.entered.notified().await;
    listener.drain.begin(LONG);
    listener.go_on.notify_one();
    let body = answer.await.unwrap().unwrap().into_body().collect().await.unwrap().to_bytes();
    assert_eq!(body, "done");
    listener.serving.await.unwrap();
}

#[tokio::test]
async fn nothing_new_is_accepted() {
    let listener = TestListener::start(Transport::Plain, Settings::default()).await;
    let address = listener.address;
    listener.drain.begin(LONG);
    listener.serving.await.unwrap();
    #[expect(clippy::disallowed_methods, reason = "a test's client calls a test's own listener")]
    let refused = tokio::net::TcpStream::connect(address).await;
    assert!(refused.is_err());
}

#[tokio::test]
async fn what_still_runs_when_patience_is_over_is_cut_off() {
    let authority = Authority::of(&[("a", &["a.test"])]);
    let listener = TestListener::start(authority.transport(), Settings::default()).await;
    let mut h1 = connect_tls(authority.client(&[]), listener.address, "a.test").await.unwrap();
    h1.write_all(WAIT).await.unwrap();
    listener.entered.notified().await;
    let mut sender = h2(&authority, &listener, "a.test").await;
    let request = Request::get("https://a.test/wait").body(Full::default()).unwrap();
    let answer = tokio::spawn(sender.send_request(request));
    listener.entered.notified().await;

    listener.drain.begin(Duration::from_millis(50));
    listener.serving.await.unwrap();
    assert_eq!(say(&mut h1, b"").await, "");
    assert!(answer.await.unwrap().is_err());
}
