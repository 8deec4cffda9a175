//! When a certificate expires (RFC 5280, section 4.1.2.5).
//!
//! This is written by hand, because rustls checks the expiry but does not report it, and the crates that parse
//! certificates bring ten others for this one field. webpki has accepted the bytes before; anything unexpected gives
//! `None`, and is shown as unknown.

use crate::model::Timestamp;

const SEQUENCE: u8 = 0x30;
const UTC_TIME: u8 = 0x17;
const GENERALIZED_TIME: u8 = 0x18;
/// `version`, which every present certificate has.
const VERSION: u8 = 0xa0;

/// The end of a certificate's validity.
pub(super) fn not_after(der: &[u8]) -> Option<Timestamp> {
    let (_, certificate, _) = element(der)?;
    let (_, signed, _) = element(certificate)?;
    let (tag, _, rest) = element(signed)?;
    let serial_first = if tag == VERSION { rest } else { signed };
    let (_, _, rest) = element(serial_first)?;
    let (_, _, rest) = element(rest)?;
    let (_, _, rest) = element(rest)?;
    let (SEQUENCE, validity, _) = element(rest)? else { return None };
    let (_, _, rest) = element(validity)?;
    let (tag, text, _) = element(rest)?;
    time(tag, std::str::from_utf8(text).ok()?)
}

fn time(tag: u8, text: &str) -> Option<Timestamp> {
    let text = match tag {
        GENERALIZED_TIME => text.to_owned(),
        // The year has two digits: from 50 on it is in the last century.
        UTC_TIME => format!("{}{text}", if *text.as_bytes().first()? >= b'5' { "19" } else { "20" }),
        _ => return None,
    };
    let time = jiff::civil::DateTime::strptime("%Y%m%d%H%M%SZ", text).ok()?;
    let time = time.to_zoned(jiff::tz::TimeZone::UTC).ok()?.timestamp();
    Some(Timestamp::from_unix_seconds(time.as_second()))
}

/// Tag and content of the first element, and the bytes after it.
fn element(der: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let ([tag, length], rest) = der.split_first_chunk::<2>()?;
    let (length, rest) = match length {
        0..=0x7f => (usize::from(*length), rest),
        0x81 => rest.split_first().map(|(length, rest)| (usize::from(*length), rest))?,
        0x82 => rest.split_first_chunk().map(|(length, rest)| (u16::from_be_bytes(*length).into(), rest))?,
        _ => return None,
    };
    let (content, rest) = rest.split_at_checked(length)?;
    Some((*tag, content, rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ending(year: i32) -> Option<Timestamp> {
        let mut params = rcgen::CertificateParams::new(vec!["a.test".to_owned()]).unwrap();
        params.not_after = rcgen::date_time_ymd(year, 3, 4);
        let key = rcgen::KeyPair::generate().unwrap();
        not_after(params.self_signed(&key).unwrap().der())
    }

    #[test]
    fn both_ways_to_write_the_time_are_read() {
        assert_eq!(ending(2031).unwrap().to_string(), "2031-03-04T00:00:00Z");
        assert_eq!(ending(2055).unwrap().to_string(), "2055-03-04T00:00:00Z");
    }

    #[test]
    fn bytes_that_are_not_a_certificate_have_no_end() {
        for der in [&b""[..], b"0", b"0\x82\xff\xff", b"rubbish", &[0x30, 0x02, 0x30, 0x00]] {
            assert_eq!(not_after(der), None);
        }
    }
}
