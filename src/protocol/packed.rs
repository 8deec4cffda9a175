//! A token in compact form (RFC 7515, section 7.1; RFC 7516, section 7.1), stored as the bytes that its parts encode.
//! This is a quarter shorter than its text, and gives back exactly the same text.

use super::base64url;

/// The first byte of packed bytes. No token in compact form begins with it.
const PACKED: u8 = 0;

/// The bytes of a token. `None` if its text could not be restored exactly, so that the text itself must be stored.
pub fn pack(token: &str) -> Option<Vec<u8>> {
    let mut packed = Vec::with_capacity(token.len());
    packed.push(PACKED);
    for part in token.split('.') {
        let bytes = base64url::decode(part).ok()?;
        packed.extend_from_slice(&u16::try_from(bytes.len()).ok()?.to_be_bytes());
        packed.extend_from_slice(&bytes);
    }
    Some(packed)
}

/// The text of a token, from the result of [`pack`] or from the text itself.
pub fn unpack(kept: &[u8]) -> Option<String> {
    let Some((&PACKED, mut rest)) = kept.split_first() else {
        return std::str::from_utf8(kept).ok().map(str::to_owned);
    };
    let mut parts = Vec::new();
    while let Some((length, after)) = rest.split_first_chunk::<2>() {
        let (part, after) = after.split_at_checked(usize::from(u16::from_be_bytes(*length)))?;
        parts.push(base64url::encode(part));
        rest = after;
    }
    rest.is_empty().then(|| parts.join("."))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_comes_back_letter_by_letter_and_is_a_quarter_shorter() {
        let (claims, signature) = ("eyJzdWIiOiJib2IifQ".repeat(20), "_-".repeat(170));
        let token = format!("eyJhbGciOiJSUzI1NiJ9.{claims}.{signature}_w");
        let packed = pack(&token).unwrap();
        assert!(packed.len() < token.len() * 77 / 100, "{} of {}", packed.len(), token.len());
        assert_eq!(unpack(&packed), Some(token));
        assert_eq!(pack("a.b.c.d").and_then(|packed| unpack(&packed)), None, "no part spells bytes");
    }

    #[test]
    fn what_an_earlier_release_kept_as_text_is_read() {
        for text in ["eyJhbGciOiJub25lIn0.e30.", "text of any kind", ""] {
            assert_eq!(unpack(text.as_bytes()).as_deref(), Some(text));
        }
    }

    #[test]
    fn broken_bytes_are_no_token() {
        for broken in [&[PACKED, 0][..], &[PACKED, 0, 3, 1, 2], &[PACKED, 0, 0, 9], &[0xff]] {
            assert_eq!(unpack(broken), None, "{broken:?}");
        }
    }

    proptest::proptest! {
        #[test]
        fn what_is_packed_is_read_back_the_same(token in "[A-Za-z0-9_=+/.-]{0,40}") {
            if let Some(packed) = pack(&token) {
                proptest::prop_assert_eq!(unpack(&packed), Some(token));
            }
        }
    }
}
