//! Lists whose members have weights, as `Accept-Language` and `Accept-Encoding` are (RFC 9110, section 12.4.2).
//!
//! Read here, since no kept crate reads the weights as strictly: `fluent-langneg` leaves them out, and
//! `accept-language` takes `q=0`, `q=2` and `q=NaN` for wishes.

use super::count::MOST;

/// The members of such a list in their order, each with its weight in thousandths: 0 refuses the member, 1,000 is the
/// most and stands where no weight does. A member whose weight cannot be read is left out, and so is what comes after
/// the first [`MOST`].
pub fn weighted(list: &str) -> impl Iterator<Item = (&str, u16)> {
    list.split(',').take(MOST).filter_map(|member| {
        let mut parts = member.split(';').map(str::trim);
        let name = parts.next().unwrap_or_default();
        let weight = parts.find_map(|part| part.strip_prefix("q=").or_else(|| part.strip_prefix("Q=")));
        Some((name, weight.map_or(Some(1_000), thousandths)?))
    })
}

/// A weight in thousandths; `None` for what is no weight.
fn thousandths(weight: &str) -> Option<u16> {
    let (whole, fraction) = weight.split_once('.').unwrap_or((weight, ""));
    if fraction.len() > 3 || !fraction.bytes().all(|digit| digit.is_ascii_digit()) {
        return None;
    }
    let fraction = format!("{fraction:0<3}").parse::<u16>().ok()?;
    match whole {
        "0" => Some(fraction),
        "1" if fraction == 0 => Some(1_000),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_member_has_its_weight_and_what_cannot_be_read_is_left_out() {
        for (list, expected) in [
            ("de", vec![("de", 1_000)]),
            ("de-AT, en;q=0.5;x=y", vec![("de-AT", 1_000), ("en", 500)]),
            ("gzip ; Q=0.125,br;q=0", vec![("gzip", 125), ("br", 0)]),
            ("a;q=1.000, b;q=1.", vec![("a", 1_000), ("b", 1_000)]),
            ("a;q=2, b;q=-1, c;q=0.1234, d;q=NaN, e;q=1.5, f", vec![("f", 1_000)]),
        ] {
            assert_eq!(weighted(list).collect::<Vec<_>>(), expected, "{list}");
        }
        assert_eq!(weighted(&"a,".repeat(1_000)).count(), MOST);
    }
}
