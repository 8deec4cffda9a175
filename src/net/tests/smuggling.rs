//! Requests whose end two readers could see in two places (RFC 9112, section 6.3). No part of a body may be served as
//! a second request.

use std::time::Duration;

use crate::net::Transport;
use crate::net::testing::*;

const SECOND: &str = "GET /second HTTP/1.1\r\nHost: a.test\r\n\r\n";

fn post(headers: &str, body: &str) -> String {
    format!("POST /body HTTP/1.1\r\nHost: a.test\r\n{headers}\r\n{body}")
}

#[tokio::test]
async fn malformed_framing_is_refused_and_ends_the_connection() {
    let listener = TestListener::start(Transport::Plain, impatient()).await;
    let cases = [
        post("Content-Length: +5\r\n", &format!("12345{SECOND}")),
        post("Content-Length: -5\r\n", SECOND),
        post("Content-Length: 5, 6\r\n", &format!("12345{SECOND}")),
        post("Content-Length: 5\r\nContent-Length: 6\r\n", &format!("12345{SECOND}")),
        post("Content-Length: 0x5\r\n", &format!("12345{SECOND}")),
        post("Content-Length: 5 5\r\n", &format!("12345{SECOND}")),
        post("Content-Length: \r\n", SECOND),
        post("Content-Length: 99999999999999999999999\r\n", SECOND),
        post("Content-Length : 5\r\n", &format!("12345{SECOND}")),
        post("X: a\r\n Content-Length: 5\r\n", &format!("12345{SECOND}")),
        post("Content-\rLength: 5\r\n", &format!("12345{SECOND}")),
        post("X: a\0b\r\n", SECOND),
        post("Transfer-Encoding: identity\r\n", SECOND),
        post("Transfer-Encoding: chunked, identity\r\n", &format!("0\r\n\r\n{SECOND}")),
        post("Transfer-Encoding: xchunked\r\n", &format!("0\r\n\r\n{SECOND}")),
        post("Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n", &format!("0\r\n\r\n{SECOND}")),
        format!("POST /body HTTP/1.0\r\nHost: a.test\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n{SECOND}"),
        "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_owned(),
        "GET /\r\n\r\n".to_owned(),
    ];
    for case in cases {
        let before = listener.requests();
        let answer = listener.say(&case).await;
        assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 400"), "{case:?}: {answer:?}");
        assert_eq!(
            answer.matches("HTTP/1.1").count(),
            usize::from(!answer.is_empty()),
            "{case:?}: {answer:?}"
        );
        assert_eq!(listener.requests(), before, "{case:?}");
    }
}

#[tokio::test]
async fn a_lone_lf_ends_no_line_of_a_head() {
    let listener = TestListener::start(Transport::Plain, impatient()).await;
    for case in [
        "GET / HTTP/1.1\nHost: a.test\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a.test\n\r\n",
        "GET / HTTP/1.1\r\nHost: a.test\r\n\n",
        "GET / HTTP/1.1\nHost: a.test\n\n",
        "\nGET / HTTP/1.1\r\nHost: a.test\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a.test\r\nX: y\nZ: z\r\n\r\n",
        "POST /body HTTP/1.1\r\nHost: a.test\r\nX: y\nContent-Length: 5\r\n\r\n12345",
    ] {
        for follows in ["", SECOND] {
            let before = listener.requests();
            let answer = listener.say(format!("{case}{follows}")).await;
            assert!(answer.starts_with("HTTP/1.1 400"), "{case:?}: {answer:?}");
            assert_eq!(answer.matches("HTTP/1.1").count(), 1, "{case:?}: {answer:?}");
            assert_eq!(listener.requests(), before, "{case:?}");
        }
    }
    // The head of a later request on the same connection, also after a body.
    for first in [SECOND.to_owned(), post("Content-Length: 3\r\n", "a\nb")] {
        let before = listener.requests();
        let answer = listener.say(format!("{first}GET / HTTP/1.1\nHost: a.test\r\n\r\n")).await;
        assert_eq!(answer.matches("HTTP/1.1 200").count(), 1, "{first:?}: {answer:?}");
        assert_eq!(answer.matches("HTTP/1.1 400").count(), 1, "{first:?}: {answer:?}");
        assert_eq!(listener.requests(), before + 1, "{first:?}");
    }
}

#[tokio::test]
async fn bodies_may_hold_what_heads_may_not_and_the_connection_is_kept() {
    let mut settings = impatient();
    settings.timeouts.idle = Duration::from_millis(100);
    let listener = TestListener::start(Transport::Plain, settings).await;
    let body = "a\nb\n\n\r\n\r\nGET / HTTP/1.1\n";
    let one = post(&format!("Content-Length: {}\r\n", body.len()), body);
    let answer = listener.say(format!("{one}{one}{SECOND}")).await;
    assert_eq!(answer.matches("HTTP/1.1 200").count(), 3, "{answer:?}");
    assert_eq!(answer.matches(&format!("\r\n\r\n{}", body.len())).count(), 2, "{answer:?}");
    // The result is the same byte by byte.
    let text = format!("{one}{}", SECOND.replace("\r\n\r\n", "\r\nConnection: close\r\n\r\n"));
    let answer = say(&mut Dribble(connect(listener.address).await), text).await;
    assert_eq!(answer.matches("HTTP/1.1 200").count(), 2, "{answer:?}");
}

#[tokio::test]
async fn after_a_chunked_request_its_connection_ends() {
    let listener = TestListener::start(Transport::Plain, impatient()).await;
    let chunked = post("Transfer-Encoding: chunked\r\n", "3\r\na\nb\r\n0\r\n\r\n");
    let answer = listener.say(format!("{SECOND}{chunked}{SECOND}")).await;
    assert_eq!(answer.matches("HTTP/1.1 200").count(), 2, "{answer:?}");
    assert!(answer.contains("connection: close\r\n") && answer.ends_with("\r\n\r\n3"), "{answer:?}");
    assert_eq!(listener.requests(), 2);
}

#[tokio::test]
async fn chunks_that_break_the_rules_end_the_body_and_the_connection() {
    let listener = TestListener::start(Transport::Plain, impatient()).await;
    let cases = [
        "5;\n12345\r\n0\r\n\r\n",
        "+5\r\n12345\r\n0\r\n\r\n",
        "5\r\n12345XX0\r\n\r\n",
        "fffffffffffffffff\r\n",
        "0x5\r\n12345\r\n0\r\n\r\n",
        "-1\r\n\r\n",
        "\r\n5\r\n",
    ];
    for case in cases {
        let before = listener.requests();
        let answer = listener.say(post("Transfer-Encoding: chunked\r\n", &format!("{case}{SECOND}"))).await;
        assert!(!answer.contains("HTTP/1.1 200"), "{case:?}: {answer:?}");
        assert_eq!(listener.requests(), before + 1, "{case:?}: the first alone");
    }
}

#[tokio::test]
async fn with_both_lengths_the_body_is_read_by_its_chunks_alone() {
    let listener = TestListener::start(Transport::Plain, impatient()).await;
    let hidden = format!("0\r\n\r\n{SECOND}");
    for headers in [
        format!("Content-Length: {}\r\nTransfer-Encoding: chunked\r\n", hidden.len()),
        format!("Transfer-Encoding: chunked\r\nContent-Length: {}\r\n", hidden.len()),
        "Content-Length: 4\r\nTransfer-Encoding: chunked\r\n".to_owned(),
    ] {
        let before = listener.requests();
        let chunked = format!("{:x}\r\n{SECOND}\r\n0\r\n\r\n", SECOND.len());
        let answer = listener.say(post(&(headers.clone() + "Connection: close\r\n"), &chunked)).await;
        assert!(answer.ends_with(&format!("\r\n\r\n{}", SECOND.len())), "{headers:?}: {answer:?}");
        assert_eq!(listener.requests(), before + 1, "{headers:?}");
    }
}

#[tokio::test]
async fn a_host_is_named_once() {
    let listener = TestListener::start(Transport::Plain, impatient()).await;
    for case in [
        "GET / HTTP/1.1\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a.test\r\nHost: b.test\r\n\r\n",
        "GET https://b.test/ HTTP/1.1\r\nHost: a.test\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a.test@b.test\r\n\r\n",
    ] {
        let answer = listener.say(case).await;
        assert!(answer.starts_with("HTTP/1.1 400"), "{case:?}: {answer:?}");
        assert!(answer.contains("connection: close"), "{case:?}: {answer:?}");
    }
    assert_eq!(listener.requests(), 0);
}
