//! Identifiers: `UUIDv7` (RFC 9562, section 5.7), written as a type prefix and 32 hexadecimal digits.
//!
//! The prefix keeps an id of one kind from being read as another. The order by time keeps index pages warm.

use std::fmt;
use std::str::FromStr;
use std::sync::atomic::{AtomicU64, Ordering};

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use uuid::Uuid;

use crate::model::{Random, Timestamp};

/// The text is not an id of the expected kind.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("expected an id of the form {prefix}_ and 32 hexadecimal digits")]
pub struct IdError {
    /// The prefix that the text should have had.
    pub prefix: &'static str,
}

fn parse(prefix: &'static str, text: &str) -> Result<Uuid, IdError> {
    let error = IdError { prefix };
    let digits = text.strip_prefix(prefix).and_then(|rest| rest.strip_prefix('_')).ok_or(error.clone())?;
    let canonical = digits.len() == 32 && digits.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
    if !canonical {
        return Err(error);
    }
    Uuid::try_parse(digits).map_err(|_| error)
}

fn generate(now: Timestamp, random: &dyn Random) -> Uuid {
    let mut bytes = [0u8; 10];
    random.fill(&mut bytes);
    uuid::Builder::from_unix_timestamp_millis(now.unix_millis(), &bytes).into_uuid()
}

/// Numbers the ids that one node makes, so that they sort in the order in which they were made, even within one
/// millisecond and after the clock was set back (RFC 9562, section 6.2, method 1: a counter in `rand_a`).
#[derive(Debug, Default)]
pub struct IdSequence(AtomicU64);

impl IdSequence {
    /// Milliseconds since 1970 (48 bits) and the counter (12 bits). The result is greater than every earlier one. More
    /// than 4,096 ids in one millisecond use the next millisecond.
    fn next(&self, now: Timestamp) -> u64 {
        let floor = now.unix_millis() << 12;
        let previous = self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |last| {
            Some(floor.max(last.saturating_add(1)))
        });
        floor.max(previous.unwrap_or(floor).saturating_add(1))
    }
}

/// Whether a text has the form of an id of any kind, in upper or lower case. Such a text must never name anything but
/// that id.
pub fn is_like_an_id(text: &str) -> bool {
    let Some((prefix, digits)) = text.split_once('_') else { return false };
    PREFIXES.iter().any(|known| known.eq_ignore_ascii_case(prefix))
        && digits.len() == 32
        && digits.bytes().all(|digit| digit.is_ascii_hexdigit())
}

/// Declares every kind of id.
macro_rules! ids {
    ($($(#[$doc:meta])* $name:ident, $prefix:literal;)+) => {
        /// The prefixes of all kinds.
        const PREFIXES: &[&str] = &[$($prefix),+];

        $(id!($(#[$doc])* $name, $prefix);)+
    };
}

macro_rules! id {
    ($(#[$doc:meta])* $name:ident, $prefix:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(Uuid);

        impl $name {
            /// The prefix of the text form, without its underscore.
            pub const PREFIX: &'static str = $prefix;

            /// A new id, ordered by `now`.
            pub fn new(now: Timestamp, random: &dyn Random) -> Self {
                Self(generate(now, random))
            }

            /// The id with these 16 bytes, for places where ids travel sealed.
            pub const fn from_bytes(bytes: [u8; 16]) -> Self {
                Self(Uuid::from_bytes(bytes))
            }

            /// The 16 bytes of the id.
            pub const fn into_bytes(self) -> [u8; 16] {
                self.0.into_bytes()
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!($prefix, "_{}"), self.0.simple())
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(self, f)
            }
        }

        impl FromStr for $name {
            type Err = IdError;

            fn from_str(text: &str) -> Result<Self, IdError> {
                parse($prefix, text).map(Self)
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = String::deserialize(deserializer)?;
                text.parse().map_err(serde::de::Error::custom)
            }
        }
    };
}

ids! {
    /// An organization.
    OrganizationId, "org";
    /// An account; what apps see as `sub`.
    AccountId, "acc";
    /// A connection to an external identity provider.
    ConnectionId, "con";
    /// A relying application.
    AppId, "app";
    /// One way to sign in to an account.
    ProfileId, "pro";
    /// A signed-in browser.
    SessionId, "ses";
    /// One attempt of one browser to get from an app's request to a code.
    FlowId, "flo";
    /// A grant to an app for an account: the family of a code and its tokens.
    GrantId, "gra";
    /// A signing key; its text is the `kid`.
    KeyId, "key";
    /// One record of the audit log.
    AuditId, "aud";
    /// A mail to one recipient.
    MailId, "mai";
    /// One entry of the link ledger.
    LedgerId, "led";
    /// A job of the durable queue.
    JobId, "job";
}

impl AuditId {
    /// An id that sorts before every id made at `time` or later, and after every id made before that millisecond.
    pub fn first_at(time: Timestamp) -> Self {
        Self(Uuid::from_u128(u128::from(time.unix_millis()) << 80))
    }

    /// The time in the id: when its record was written, or later if the clock had been set back.
    pub fn time(self) -> Timestamp {
        let millis = self.0.as_u128() >> 80;
        Timestamp::from_unix_micros(i64::try_from(millis * 1_000).unwrap_or(i64::MAX))
    }

    /// A new id that sorts after every id that this sequence has given out.
    pub fn in_sequence(sequence: &IdSequence, now: Timestamp, random: &dyn Random) -> Self {
        let mut bytes = [0u8; 8];
        random.fill(&mut bytes);
        let number = u128::from(sequence.next(now));
        let value = (number >> 12 << 80) | ((number & 0xfff) << 64) | u128::from(u64::from_be_bytes(bytes));
        let bytes = uuid::Builder::from_u128(value).with_version(uuid::Version::SortRand);
        Self(bytes.with_variant(uuid::Variant::RFC4122).into_uuid())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::value::random::CountingRandom;

    #[test]
    fn an_id_round_trips_through_its_text() {
        let id = AccountId::new(Timestamp::from_unix_seconds(1_700_000_000), &CountingRandom::default());
        assert_eq!(id.to_string().parse::<AccountId>(), Ok(id));
    }

    #[test]
    fn an_audit_id_tells_its_time_and_sorts_by_it() {
        let (sequence, random) = (IdSequence::default(), CountingRandom::default());
        let now = Timestamp::from_unix_micros(1_700_000_000_123_456);
        let id = AuditId::in_sequence(&sequence, now, &random);
        assert_eq!(id.time(), Timestamp::from_unix_micros(1_700_000_000_123_000));
        let bound = |micros| AuditId::first_at(Timestamp::from_unix_micros(micros)).to_string();
        assert!(
            bound(1_700_000_000_123_999) < id.to_string() && id.to_string() < bound(1_700_000_000_124_000)
        );
    }

    #[test]
    fn a_sequence_sorts_its_ids_as_they_were_made_even_in_one_millisecond_or_backwards() {
        let (sequence, random) = (IdSequence::default(), CountingRandom::default());
        let mut ids = Vec::new();
        for seconds in [1_700_000_000, 1_700_000_000, 1_699_999_000, 1_700_000_001] {
            for _ in 0..5_000 {
                let now = Timestamp::from_unix_seconds(seconds);
                ids.push(AuditId::in_sequence(&sequence, now, &random).to_string());
            }
        }
        assert!(ids.windows(2).all(|pair| pair[0] < pair[1]));
        assert!(ids.iter().all(|id| id.as_bytes()[16] == b'7' && b"89ab".contains(&id.as_bytes()[20])));
        let first = AuditId::new(Timestamp::from_unix_seconds(1_700_000_000), &random).to_string();
        assert_eq!(ids[0][..16], first[..16]);
    }

    #[test]
    fn an_id_of_another_kind_or_spelling_is_refused() {
        let id = AccountId::new(Timestamp::from_unix_seconds(1_700_000_000), &CountingRandom::default())
            .to_string();
        for text in [&id.replace("acc", "org"), &id.to_uppercase(), &id[4..], "", &format!("{id}0"), "acc_"] {
            assert!(text.parse::<AccountId>().is_err(), "{text}");
        }
    }

    #[test]
    fn a_text_in_the_form_of_any_id_is_told_apart() {
        let digits = "0190000000007000800000000000ffff";
        for prefix in PREFIXES {
            assert!(is_like_an_id(&format!("{prefix}_{digits}")), "{prefix}");
            assert!(is_like_an_id(&format!("{prefix}_{digits}").to_uppercase()), "{prefix}");
        }
        let id = AccountId::from_bytes([7; 16]).to_string();
        assert!(PREFIXES.len() > 10 && is_like_an_id(&id));
        for other in [
            "acc_nobody",
            digits,
            &format!("acc-{digits}"),
            &format!("acc_{digits}0"),
            &format!("acc_{}g", &digits[1..]),
            &format!("abc_{digits}"),
            &format!("my_acc_{digits}"),
            &format!(" acc_{digits}"),
        ] {
            assert!(!is_like_an_id(other), "{other}");
        }
    }

    #[test]
    fn ids_sort_by_the_time_of_their_making() {
        let random = CountingRandom::default();
        let early = FlowId::new(Timestamp::from_unix_seconds(1_700_000_000), &random);
        let late = FlowId::new(Timestamp::from_unix_seconds(1_700_000_001), &random);
        assert!(early < late && early.to_string() < late.to_string());
    }
}
