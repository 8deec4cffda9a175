//! Base64url without padding (RFC 4648, section 5; RFC 7515, section 2), strict in both directions.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

/// The text is not canonical base64url: it has padding, a foreign character, white space, or stray bits at the end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not canonical base64url")]
pub struct Base64UrlError;

/// Writes `bytes` without padding.
pub fn encode(bytes: impl AsRef<[u8]>) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

/// Reads the one canonical spelling of some bytes. Every other spelling is refused, so that no two texts stand for the
/// same bytes.
pub fn decode(text: impl AsRef<[u8]>) -> Result<Vec<u8>, Base64UrlError> {
    URL_SAFE_NO_PAD.decode(text).map_err(|_| Base64UrlError)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_canonical_spelling_is_read() {
        assert_eq!(decode("-_8"), Ok(vec![0xfb, 0xff]));
        for text in ["-_8=", "+/8", "-_9", "-_8 ", " -_8", "-_\n8", "-", "-_8\0", "-_8ä"] {
            assert_eq!(decode(text), Err(Base64UrlError), "{text:?}");
        }
    }

    proptest::proptest! {
        #[test]
        fn what_is_read_is_written_back_the_same(text in "[A-Za-z0-9_=+/-]{0,12}") {
            if let Ok(bytes) = decode(&text) {
                proptest::prop_assert_eq!(encode(bytes), text);
            }
        }
    }
}
