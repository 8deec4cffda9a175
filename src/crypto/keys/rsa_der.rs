//! Reads the two integers of an RSA public key from its DER form (RFC 8017, appendix A.1.1).
//!
//! This is written by hand, because AWS-LC returns only that form (its accessors need the *ring* compatibility layer,
//! which is not in the dependency tree), and because it reads only what AWS-LC has just written.

/// `(n, e)`, big-endian without leading zeros.
pub(super) fn components(der: &[u8]) -> Option<(Vec<u8>, Vec<u8>)> {
    let (sequence, rest) = element(0x30, der)?;
    let (n, after) = element(0x02, sequence)?;
    let (e, end) = element(0x02, after)?;
    (rest.is_empty() && end.is_empty()).then(|| (unsigned(n), unsigned(e)))
}

/// The content of the first element, which must have this tag, and the bytes after it.
fn element(tag: u8, der: &[u8]) -> Option<(&[u8], &[u8])> {
    let (head, rest) = der.split_first_chunk::<2>()?;
    let [found, length] = *head;
    if found != tag {
        return None;
    }
    let (length, rest) = match length {
        0..=0x7f => (usize::from(length), rest),
        0x81 => rest.split_first().map(|(length, rest)| (usize::from(*length), rest))?,
        0x82 => rest.split_first_chunk().map(|(length, rest)| (u16::from_be_bytes(*length).into(), rest))?,
        _ => return None,
    };
    rest.split_at_checked(length)
}

fn unsigned(integer: &[u8]) -> Vec<u8> {
    integer.iter().copied().skip_while(|byte| *byte == 0).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_integers_are_read_without_their_sign_byte() {
        let der = [0x30, 0x09, 0x02, 0x02, 0x00, 0xc1, 0x02, 0x03, 0x01, 0x00, 0x01];
        assert_eq!(components(&der), Some((vec![0xc1], vec![1, 0, 1])));
    }

    #[test]
    fn long_lengths_are_read() {
        for len in [0x80_u16, 0x180] {
            let integer = vec![0x11; len.into()];
            let mut body = if len < 0x100 { vec![0x02, 0x81, 0x80] } else { vec![0x02, 0x82, 0x01, 0x80] };
            body.extend_from_slice(&integer);
            body.extend_from_slice(&[0x02, 0x01, 0x03]);
            let mut der = vec![0x30, 0x82];
            der.extend_from_slice(&u16::try_from(body.len()).unwrap().to_be_bytes());
            der.append(&mut body);
            assert_eq!(components(&der), Some((integer, vec![3])));
        }
    }

    #[test]
    fn anything_else_is_refused() {
        let der = [0x30, 0x09, 0x02, 0x02, 0x00, 0xc1, 0x02, 0x03, 0x01, 0x00, 0x01];
        for len in 0..der.len() {
            assert_eq!(components(&der[..len]), None, "length {len}");
        }
        assert_eq!(components(&[&der[..], &[0]].concat()), None);
        assert_eq!(components(&[0x31, 0x00]), None);
        assert_eq!(components(&[0x30, 0x80, 0x02, 0x01, 0x01]), None);
    }
}
