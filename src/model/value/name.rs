//! Names that users and the configuration choose: handles of organizations and connections, usernames.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// Why a text is not a name of the wanted kind. The message says what is allowed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// Not a handle.
    #[error(
        "a handle has 1 to 63 lower-case letters, digits and hyphens, and neither begins nor ends with a hyphen"
    )]
    Handle,
    /// Not a username.
    #[error("a username has 3 to 64 letters (a to z), digits, hyphens and underscores")]
    Username,
}

/// The short name of an organization (unique in the deployment) or a connection (unique in its organization): 1 to 63
/// characters of `a-z`, `0-9` and `-`, shaped like a DNS label.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Handle(String);

impl Handle {
    /// The handle's text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Handle {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        let shaped = (1..=63).contains(&text.len())
            && text.bytes().all(|b| matches!(b, b'a'..=b'z' | b'0'..=b'9' | b'-'))
            && !text.starts_with('-')
            && !text.ends_with('-');
        if shaped { Ok(Self(text.to_owned())) } else { Err(NameError::Handle) }
    }
}

/// A username: 3 to 64 characters of `A-Z`, `a-z`, `0-9`, `-` and `_`. Kept as given, unique in the deployment by its
/// [`key`](Username::key).
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Username(String);

impl Username {
    /// The username as its owner wrote it.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The form in which usernames are compared: without regard to case.
    pub fn key(&self) -> String {
        self.0.to_ascii_lowercase()
    }
}

impl FromStr for Username {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        let shaped = (3..=64).contains(&text.len())
            && text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_'));
        if shaped { Ok(Self(text.to_owned())) } else { Err(NameError::Username) }
    }
}

macro_rules! text_conversions {
    ($name:ident) => {
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl TryFrom<String> for $name {
            type Error = NameError;

            fn try_from(text: String) -> Result<Self, NameError> {
                text.parse()
            }
        }

        impl From<$name> for String {
            fn from(name: $name) -> Self {
                name.0
            }
        }
    };
}

text_conversions!(Handle);
text_conversions!(Username);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn handles_are_dns_labels() {
        for good in ["a", "acme", "acme-2", "0"] {
            assert!(good.parse::<Handle>().is_ok(), "{good}");
        }
        for bad in ["", "-a", "a-", "Acme", "a.b", "a_b", "ä", &"a".repeat(64)] {
            assert_eq!(bad.parse::<Handle>(), Err(NameError::Handle), "{bad}");
        }
    }

    #[test]
    fn usernames_compare_without_regard_to_case() {
        let name: Username = "Bob_1-X".parse().unwrap();
        assert_eq!((name.as_str(), name.key().as_str()), ("Bob_1-X", "bob_1-x"));
        for bad in ["", "ab", "a b", "bob@acme.test", "b\u{f6}b", "bob\n", &"a".repeat(65)] {
            assert_eq!(bad.parse::<Username>(), Err(NameError::Username), "{bad}");
        }
    }
}
