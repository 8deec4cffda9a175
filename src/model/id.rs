//! Identifiers: `UUIDv7` (RFC 9562, section 5.7), written as a type prefix and 32 hexadecimal digits.
//!
//! The prefix keeps an id of one kind from being read as another; the time order keeps index pages warm.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use uuid::Uuid;

use super::{Random, Timestamp};

/// A text that is no id of the expected kind.
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

            /// The id whose 16 bytes these are; used where ids travel sealed.
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

id!(/// An organization.
    OrganizationId, "org");
id!(/// An account; what apps see as `sub`.
    AccountId, "acc");
id!(/// A connection to an external identity provider.
    ConnectionId, "con");
id!(/// A relying application.
    AppId, "app");
id!(/// One way to sign in to an account.
    ProfileId, "pro");
id!(/// A signed-in browser.
    SessionId, "ses");
id!(/// One attempt of one browser to get from an app's request to a code.
    FlowId, "flo");
id!(/// What an app was given for an account: the family of a code and its tokens.
    GrantId, "gra");
id!(/// A signing key; its text is the `kid`.
    KeyId, "key");
id!(/// One record of the audit log.
    AuditId, "aud");

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::random::CountingRandom;

    #[test]
    fn an_id_round_trips_through_its_text() {
        let id = AccountId::new(Timestamp::from_unix_seconds(1_700_000_000), &CountingRandom::default());
        assert_eq!(id.to_string().parse::<AccountId>(), Ok(id));
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
    fn ids_sort_by_the_time_of_their_making() {
        let random = CountingRandom::default();
        let early = FlowId::new(Timestamp::from_unix_seconds(1_700_000_000), &random);
        let late = FlowId::new(Timestamp::from_unix_seconds(1_700_000_001), &random);
        assert!(early < late && early.to_string() < late.to_string());
    }
}
