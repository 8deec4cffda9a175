//! How many frames an HTTP/2 client sends (RFC 9113, section 10.5). PING, SETTINGS, PRIORITY, `WINDOW_UPDATE`,
//! `RST_STREAM`, empty and tiny DATA frames cost the sender nothing, but each costs the broker work.
//!
//! hyper and h2 limit how much of such frames they keep, but not how many they answer. So this follower reads the
//! heads of the frames as they arrive, and nothing else.

use std::io;

use tokio::time::Instant;

/// The bytes that every connection begins with (RFC 9113, section 3.4).
const PREFACE: usize = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".len();

/// The bytes before each frame's payload (RFC 9113, section 4.1).
const HEAD: usize = 9;

/// The type of a DATA frame.
const DATA: u8 = 0;

/// A DATA frame of this many bytes is not counted, because bodies are limited.
const FULL_DATA: usize = 1_024;

/// The most frames that a connection may have left to spend.
const MOST: u64 = 1_000;

/// The frames that a connection gains each second.
const A_SECOND: u64 = 10;

/// The frames that a connection gains with each request: its own, and those that acknowledge its response.
const A_REQUEST: u64 = 20;

/// Follows the frames of one connection.
#[derive(Debug)]
pub(in crate::net) struct Frames {
    /// How many bytes of the preface or of a payload are still to come.
    skip: usize,
    head: [u8; HEAD],
    /// How many bytes of the head have arrived.
    filled: usize,
    allowed: u64,
    since: Instant,
    requests: u64,
}

impl Frames {
    pub(in crate::net) fn new(now: Instant) -> Self {
        Self { skip: PREFACE, head: [0; HEAD], filled: 0, allowed: MOST, since: now, requests: 0 }
    }

    /// Examines the bytes that have arrived. `requests` is the number of requests that the connection has begun so
    /// far.
    ///
    /// # Errors
    /// There were too many frames for the time and for the requests.
    pub(super) fn follow(&mut self, mut bytes: &[u8], now: Instant, requests: u64) -> io::Result<()> {
        self.allow(now, requests);
        while !bytes.is_empty() {
            if self.skip > 0 {
                let (_, rest) = bytes.split_at(self.skip.min(bytes.len()));
                self.skip -= bytes.len() - rest.len();
                bytes = rest;
                continue;
            }
            let free = self.head.get_mut(self.filled..).unwrap_or_default();
            let (now_filled, rest) = bytes.split_at(free.len().min(bytes.len()));
            for (place, byte) in free.iter_mut().zip(now_filled) {
                *place = *byte;
            }
            self.filled += now_filled.len();
            bytes = rest;
            if self.filled == HEAD {
                self.filled = 0;
                self.frame()?;
            }
        }
        Ok(())
    }

    fn allow(&mut self, now: Instant, requests: u64) {
        let seconds = now.saturating_duration_since(self.since).as_secs();
        if seconds > 0 {
            self.since = now;
        }
        let requests_since = requests.saturating_sub(self.requests);
        self.requests = requests;
        let earned =
            seconds.saturating_mul(A_SECOND).saturating_add(requests_since.saturating_mul(A_REQUEST));
        self.allowed = self.allowed.saturating_add(earned).min(MOST);
    }

    /// Counts the frame whose head has arrived.
    fn frame(&mut self) -> io::Result<()> {
        let [high, middle, low, kind, ..] = self.head;
        self.skip = usize::from(high) << 16 | usize::from(middle) << 8 | usize::from(low);
        if kind == DATA && self.skip >= FULL_DATA {
            return Ok(());
        }
        let left = self.allowed.checked_sub(1);
        self.allowed = left.ok_or_else(|| io::Error::other("the client sends too many frames"))?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn frame(kind: u8, length: usize) -> Vec<u8> {
        let [_, high, middle, low] = u32::try_from(length).unwrap().to_be_bytes();
        [vec![high, middle, low, kind, 0, 0, 0, 0, 0], vec![7; length]].concat()
    }

    fn begun() -> (Frames, Instant) {
        let now = Instant::now();
        let mut frames = Frames::new(now);
        frames.follow(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", now, 0).unwrap();
        (frames, now)
    }

    /// How many of `bytes` are accepted one after another.
    fn passed(frames: &mut Frames, bytes: &[u8], now: Instant, requests: u64) -> usize {
        (0..100_000).take_while(|_| frames.follow(bytes, now, requests).is_ok()).count()
    }

    #[test]
    fn every_kind_of_frame_is_counted_unless_it_brings_a_body() {
        for (kind, length) in
            [(6, 8), (4, 0), (4, 6), (2, 5), (8, 4), (3, 4), (0, 0), (0, 1), (9, 1), (77, 3)]
        {
            let (mut frames, now) = begun();
            assert_eq!(passed(&mut frames, &frame(kind, length), now, 0), 1_000, "{kind} of {length}");
        }
        let (mut frames, now) = begun();
        assert_eq!(passed(&mut frames, &frame(0, 1_024), now, 0), 100_000);
    }

    #[test]
    fn the_heads_are_found_however_the_bytes_arrive() {
        let flood: Vec<u8> = (0..=1_000).flat_map(|at| frame(6, at % 20)).collect();
        for size in [1, 2, 7, 9, 10, 4_096, flood.len()] {
            let now = Instant::now();
            let mut frames = Frames::new(now);
            let bytes = [b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".as_slice(), &flood].concat();
            let refused = bytes.chunks(size).filter(|chunk| frames.follow(chunk, now, 0).is_err()).count();
            // The last frame is one too many. It has no payload.
            assert!(refused > 0, "{size}");
            let mut frames = Frames::new(now);
            let fits = bytes.len() - 9;
            assert!(bytes[..fits].chunks(size).all(|chunk| frames.follow(chunk, now, 0).is_ok()), "{size}");
        }
    }

    #[test]
    fn time_and_requests_allow_more_frames_and_nothing_is_saved_up() {
        let ping = frame(6, 8);
        for (millis, requests, more) in [(900, 0, 0), (2_000, 0, 20), (2_000, 3, 80), (3_600_000, 9, 1_000)] {
            let (mut frames, now) = begun();
            assert!((0..1_000).all(|_| frames.follow(&ping, now, 0).is_ok()));
            let later = now + Duration::from_millis(millis);
            assert_eq!(passed(&mut frames, &ping, later, requests), more, "{millis} {requests}");
        }
    }
}
