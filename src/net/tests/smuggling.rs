//! Requests whose end two readers could see in two places (RFC 9112, section 6.3): nothing in a body is ever served as
//! a second request.

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
