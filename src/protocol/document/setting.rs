//! Values of documents and environment variables: what a type accepts, and how it complains.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use ipnet::IpNet;
use toml::de::DeValue;

use super::problem::{Complaint, nearest};
use crate::model::Secret;

/// How a value is written in TOML.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Notation {
    /// In quotes.
    Text,
    /// Bare: a number or a boolean.
    Bare,
    /// A list of texts; in a variable, separated by commas.
    List,
}

/// A type that a key of a document, or an environment variable, can have.
pub trait Setting: Sized {
    /// How it is written in TOML.
    const NOTATION: Notation = Notation::Text;

    /// Reads a text: a TOML string or the value of a variable.
    fn from_text(text: &str) -> Result<Self, Complaint>;

    /// Reads a TOML value.
    fn from_value(value: &DeValue<'_>) -> Result<Self, Complaint> {
        match value {
            DeValue::String(text) => Self::from_text(text),
            other => Err(mismatch("text in quotes", other)),
        }
    }
}

/// "expected this, found that", without the value, which may be a secret.
pub(super) fn mismatch(expected: &str, found: &DeValue<'_>) -> Complaint {
    Complaint::new(format!("expected {expected}, found {}", found.type_str()))
}

impl Setting for String {
    fn from_text(text: &str) -> Result<Self, Complaint> {
        Ok(text.to_owned())
    }
}

impl Setting for PathBuf {
    fn from_text(text: &str) -> Result<Self, Complaint> {
        if text.is_empty() { Err(Complaint::new("expected a path, found nothing")) } else { Ok(text.into()) }
    }
}

impl Setting for Secret {
    fn from_text(text: &str) -> Result<Self, Complaint> {
        if text.is_empty() { Err(Complaint::new("is empty")) } else { Ok(Self::new(text)) }
    }
}

impl Setting for bool {
    const NOTATION: Notation = Notation::Bare;

    fn from_text(text: &str) -> Result<Self, Complaint> {
        match text {
            "true" => Ok(true),
            "false" => Ok(false),
            _ => Err(Complaint::new("expected true or false")),
        }
    }

    fn from_value(value: &DeValue<'_>) -> Result<Self, Complaint> {
        value.as_bool().ok_or_else(|| mismatch("true or false", value))
    }
}

macro_rules! whole_number {
    ($($type:ty),*) => {$(
        impl Setting for $type {
            const NOTATION: Notation = Notation::Bare;

            fn from_text(text: &str) -> Result<Self, Complaint> {
                text.parse().map_err(|_| Complaint::new(concat!("expected a whole number that fits ", stringify!($type))))
            }

            fn from_value(value: &DeValue<'_>) -> Result<Self, Complaint> {
                match value {
                    DeValue::Integer(number) => <$type>::from_str_radix(number.as_str(), number.radix())
                        .map_err(|_| Complaint::new(concat!("expected a whole number that fits ", stringify!($type)))),
                    other => Err(mismatch("a whole number", other)),
                }
            }
        }
    )*};
}

whole_number!(u16, u32, u64, usize, i64);

impl Setting for SocketAddr {
    fn from_text(text: &str) -> Result<Self, Complaint> {
        text.parse().map_err(|_| {
            Complaint::with_remedy(
                format!("\"{text}\" is not a socket address"),
                "write address and port, like \"127.0.0.1:8443\" or \"[::]:8443\"",
            )
        })
    }
}

impl Setting for IpNet {
    /// A network, or a single address as a network of its own.
    fn from_text(text: &str) -> Result<Self, Complaint> {
        let network = match text.parse::<std::net::IpAddr>() {
            Ok(address) => Some(Self::from(address)),
            Err(_) => text.parse::<Self>().ok(),
        };
        let network = network.ok_or_else(|| {
            Complaint::with_remedy(
                format!("\"{text}\" is not a network"),
                "write it like \"10.0.0.0/8\" or \"fd00::/8\"",
            )
        })?;
        if network.addr() == network.network() {
            return Ok(network);
        }
        let trunc = network.trunc();
        Err(Complaint::with_remedy(format!("\"{text}\" has host bits set"), format!("write \"{trunc}\"")))
    }
}

impl Setting for Duration {
    /// A whole number with `ms`, `s`, `m`, `h` or `d` (24 hours). `jiff` reads more, but treats days as calendar
    /// units, which does not suit a lifetime.
    fn from_text(text: &str) -> Result<Self, Complaint> {
        let complaint = || {
            Complaint::with_remedy(
                format!("\"{text}\" is not a duration"),
                "write it like \"30s\", \"5m\", \"12h\" or \"30d\"",
            )
        };
        let unit_at = text.find(|character: char| !character.is_ascii_digit()).ok_or_else(complaint)?;
        let (number, unit) = text.split_at(unit_at);
        let number: u64 = number.parse().map_err(|_| complaint())?;
        let millis_per_unit = match unit {
            "ms" => 1,
            "s" => 1_000,
            "m" => 60_000,
            "h" => 3_600_000,
            "d" => 86_400_000,
            _ => return Err(complaint()),
        };
        number.checked_mul(millis_per_unit).map(Self::from_millis).ok_or_else(complaint)
    }
}

impl<T: Setting> Setting for Vec<T> {
    const NOTATION: Notation = Notation::List;

    fn from_text(text: &str) -> Result<Self, Complaint> {
        text.split(',').map(str::trim).filter(|item| !item.is_empty()).map(T::from_text).collect()
    }

    fn from_value(value: &DeValue<'_>) -> Result<Self, Complaint> {
        match value {
            DeValue::Array(items) => items.iter().map(|item| T::from_value(item.get_ref())).collect(),
            other => Err(mismatch("a list in brackets", other)),
        }
    }
}

/// The value that `text` names among `words`; the complaint lists all of them.
pub fn one_of<T: Copy>(text: &str, words: &[(&'static str, T)]) -> Result<T, Complaint> {
    if let Some((_, value)) = words.iter().find(|(word, _)| *word == text) {
        return Ok(*value);
    }
    let names = words.iter().map(|(word, _)| *word);
    let allowed = names.clone().map(|word| format!("\"{word}\"")).collect::<Vec<_>>().join(", ");
    let what = format!("\"{text}\" is not one of {allowed}");
    Err(match nearest(text, names) {
        Some(word) => Complaint::with_remedy(what, format!("did you mean \"{word}\"?")),
        None => Complaint::new(what),
    })
}

/// An enum that documents write as one of a few words.
///
/// ```
/// countersign::setting_enum! {
///     /// How it looks.
///     pub enum Look {
///         /// With little.
///         Plain = "plain",
///         /// With all.
///         Full = "full",
///     }
/// }
/// use countersign::protocol::document::Setting;
/// assert_eq!(Look::from_text("full"), Ok(Look::Full));
/// assert_eq!(Look::Full.word(), "full");
/// ```
#[macro_export]
macro_rules! setting_enum {
    ($(#[$doc:meta])* pub enum $name:ident { $($(#[$variant_doc:meta])* $variant:ident = $word:literal,)+ }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum $name {
            $($(#[$variant_doc])* $variant,)+
        }

        impl $name {
            /// The word that documents use.
            pub const fn word(self) -> &'static str {
                match self {
                    $(Self::$variant => $word,)+
                }
            }
        }

        impl $crate::protocol::document::Setting for $name {
            fn from_text(text: &str) -> Result<Self, $crate::protocol::document::Complaint> {
                $crate::protocol::document::one_of(text, &[$(($word, Self::$variant)),+])
            }
        }
    };
}
