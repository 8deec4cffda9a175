//! Where the heads of HTTP/1 requests are, and that each of their lines ends with CR LF (RFC 9112, section 2.2).
//!
//! The parser of hyper also accepts a lone LF as the end of a line, and has no switch for it. If a proxy in front does
//! not, the two see different requests. So this follower examines the bytes on their way to hyper. In a head, an LF
//! without its CR becomes NUL, which no head may contain: hyper answers 400 and closes the connection. Bodies pass
//! unchanged.
//!
//! The follower knows where a head ends, and from `Content-Length` how long the body is. If it cannot tell the length
//! of a request, such as a chunked one, it lets everything pass from there on, and that request is the last one of its
//! connection ([`Heads::last`]). So no byte that it has not examined is ever served as a head.

/// How many bytes of a line are kept. If a line of the two relevant kinds is longer, the length of the body is
/// unknown.
const KEPT: usize = 128;

/// Follows the requests of one connection.
#[derive(Debug, Default)]
pub(in crate::net) struct Heads {
    place: Place,
    /// How many heads have ended.
    count: u64,
    last: Option<u64>,
}

#[derive(Debug)]
enum Place {
    Head(Head),
    Body(u64),
    Rest,
}

impl Default for Place {
    fn default() -> Self {
        Self::Head(Head::default())
    }
}

/// The facts about a head that has not ended yet.
#[derive(Debug, Default)]
struct Head {
    /// The beginning of the line that has not ended yet.
    line: Vec<u8>,
    /// How long that line is, in bytes.
    length: usize,
    /// Whether its last byte is CR.
    after_cr: bool,
    /// Whether a line that is not empty has ended.
    started: bool,
    body: Body,
}

/// A head's statement about its body.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum Body {
    #[default]
    Absent,
    Long(u64),
    Unknown,
}

impl Heads {
    /// The number of the request, from one, after which the connection must end.
    pub(super) const fn last(&self) -> Option<u64> {
        self.last
    }

    /// Examines bytes that have arrived, and makes each lone LF of a head invalid.
    pub(super) fn follow(&mut self, mut bytes: &mut [u8]) {
        while !bytes.is_empty() {
            match &mut self.place {
                Place::Rest => return,
                Place::Body(left) => {
                    let taken = usize::try_from(*left).unwrap_or(usize::MAX).min(bytes.len());
                    *left -= u64::try_from(taken).unwrap_or(*left);
                    if *left == 0 {
                        self.place = Place::default();
                    }
                    bytes = bytes.split_at_mut(taken).1;
                }
                Place::Head(head) => {
                    let Some(at) = bytes.iter().position(|byte| *byte == b'\n') else {
                        head.take(bytes);
                        return;
                    };
                    let (line, rest) = bytes.split_at_mut(at + 1);
                    bytes = rest;
                    let Some((feed, before)) = line.split_last_mut() else { return };
                    head.take(before);
                    if !head.after_cr {
                        *feed = 0;
                        self.end(Body::Unknown);
                    } else if head.end_line() {
                        let body = head.body;
                        self.end(body);
                    }
                }
            }
        }
    }

    /// Notes that a head has ended.
    fn end(&mut self, body: Body) {
        self.count += 1;
        self.place = match body {
            Body::Absent | Body::Long(0) => Place::default(),
            Body::Long(length) => Place::Body(length),
            Body::Unknown => {
                self.last = Some(self.count);
                Place::Rest
            }
        };
    }
}

impl Head {
    /// Takes more bytes of the line that has not ended yet.
    fn take(&mut self, bytes: &[u8]) {
        let Some(last) = bytes.last() else { return };
        self.after_cr = *last == b'\r';
        self.length += bytes.len();
        let free = KEPT.saturating_sub(self.line.len());
        self.line.extend_from_slice(bytes.get(..free).unwrap_or(bytes));
    }

    /// Reads the line, which ended with CR LF. Returns whether the head ends with it: it is empty, and a line that is
    /// not empty came before.
    fn end_line(&mut self) -> bool {
        let empty = self.length == 1;
        let ended = empty && self.started;
        self.started |= !empty;
        self.body = self.body_after_line();
        self.line.clear();
        self.length = 0;
        self.after_cr = false;
        ended
    }

    fn body_after_line(&self) -> Body {
        let mut parts = self.line.splitn(2, |byte| *byte == b':');
        let (Some(name), Some(value)) = (parts.next(), parts.next()) else { return self.body };
        let name = name.trim_ascii();
        if name.eq_ignore_ascii_case(b"transfer-encoding") {
            return Body::Unknown;
        }
        if !name.eq_ignore_ascii_case(b"content-length") {
            return self.body;
        }
        let value = Some(value.trim_ascii()).filter(|_| self.length <= KEPT);
        let digits = value.filter(|value| !value.is_empty() && value.iter().all(u8::is_ascii_digit));
        let length = digits.and_then(|digits| std::str::from_utf8(digits).ok()?.parse().ok());
        match (self.body, length) {
            (Body::Absent, Some(length)) => Body::Long(length),
            (Body::Long(known), Some(length)) if known == length => self.body,
            _ => Body::Unknown,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The result for `text` when it arrives in pieces of `size` bytes, and the last request of the connection.
    fn follow(text: &str, size: usize) -> (String, Option<u64>) {
        let mut heads = Heads::default();
        let mut bytes = text.as_bytes().to_vec();
        bytes.chunks_mut(size).for_each(|chunk| heads.follow(chunk));
        (String::from_utf8(bytes).unwrap(), heads.last())
    }

    #[track_caller]
    fn assert_follows(text: &str, expected: &str, last: Option<u64>) {
        for size in [1, 2, 3, 10, 1_000] {
            assert_eq!(follow(text, size), (expected.to_owned(), last), "{text:?} by {size}");
        }
    }

    #[test]
    fn a_lone_lf_in_a_head_is_spoiled_wherever_it_stands() {
        for text in [
            "GET / HTTP/1.1@Host: a\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: a@\r\n",
            "GET / HTTP/1.1\r\nHost: a\r\n@",
            "@GET / HTTP/1.1\r\nHost: a\r\n\r\n",
            "\r\n@GET / HTTP/1.1\r\nHost: a\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: a\r\n\r\nGET / HTTP/1.1@",
            "POST / HTTP/1.1\r\nContent-Length: 3\r\n\r\na\ncGET / HTTP/1.1@",
            "POST / HTTP/1.1\r\nContent-Length: 0\r\n\r\nGET / HTTP/1.1@",
        ] {
            let heads =
                u64::try_from(text.matches("\r\n\r\n").filter(|_| !text.starts_with('@')).count()).unwrap();
            let (spoiled, last) = follow(&text.replace('@', "\n"), 1_000);
            assert_eq!(spoiled, text.replace('@', "\0"), "{text:?}");
            assert!(last.is_some_and(|last| last <= heads + 1), "{text:?}: {last:?}");
            assert_follows(&text.replace('@', "\n"), &text.replace('@', "\0"), last);
        }
    }

    #[test]
    fn bodies_and_pipelined_requests_pass_as_they_are() {
        for text in [
            "GET / HTTP/1.1\r\nHost: a\r\n\r\nGET /2 HTTP/1.1\r\nHost: a\r\n\r\n",
            "\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n",
            "POST / HTTP/1.1\r\ncontent-LENGTH:  5 \r\n\r\n\n\n\n\n\nGET / HTTP/1.1\r\n\r\n",
            "POST / HTTP/1.1\r\nContent-Length: 5\r\nContent-Length: 5\r\n\r\n\n\n\n\n\nGET / HTTP/1.1\r\n\r\n",
            "POST / HTTP/1.1\r\nX: Content-Length: 5\r\n\r\nGET / HTTP/1.1\r\n\r\n",
        ] {
            assert_follows(text, text, None);
        }
    }

    #[test]
    fn a_request_whose_end_cannot_be_told_is_the_last_one() {
        let padded = format!("Content-Length: {}5", " ".repeat(200));
        for header in [
            "Transfer-Encoding: chunked",
            "transfer-encoding: identity",
            "Content-Length: +5",
            "Content-Length: 5, 5",
            "Content-Length: ",
            "Content-Length : 5x",
            "Content-Length: 5\r\nContent-Length: 6",
            "Content-Length: 5\r\nTransfer-Encoding: chunked",
            "Transfer-Encoding: chunked\r\nContent-Length: 5",
            "Content-Length: 99999999999999999999999",
            &padded,
        ] {
            let text =
                format!("GET / HTTP/1.1\r\n\r\nPOST / HTTP/1.1\r\n{header}\r\n\r\na\nb\nc\nGET / HTTP/1.1\n");
            assert_follows(&text, &text, Some(2));
        }
    }
}
