//! Strict JSON for bytes from outside: tokens, key sets, metadata, UserInfo, API bodies.
//!
//! `serde_json` alone keeps the last of two equal names and allows 128 levels of nesting. Both have led two readers to
//! see different things in one document. Such a document is refused here (RFC 8259, section 4; RFC 7519, section 4;
//! RFC 8725, section 2.9). U+0000 is refused, too, because PostgreSQL cannot store it and `SQLite` can.
//!
//! [`Claims`] then reads members by type: a member of the wrong type is an error, never treated as absent.

use std::cell::Cell;
use std::fmt;
use std::time::Duration;

use serde::de::{DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};

use crate::model::Timestamp;

/// How deep objects and arrays may nest. The outermost object counts as one.
pub const MAX_DEPTH: usize = 32;

/// The last second of the year 9999, the latest time that a `NumericDate` may name here.
const MAX_SECONDS: u64 = 253_402_300_799;

/// Why a document was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum JsonError {
    /// More bytes than the caller accepts.
    #[error("the document is too large")]
    TooLarge,
    /// Nested deeper than [`MAX_DEPTH`].
    #[error("the document nests too deep")]
    TooDeep,
    /// One object contains a member name twice.
    #[error("a member is repeated")]
    DuplicateKey,
    /// A name or a text contains U+0000.
    #[error("a text contains U+0000")]
    NulCharacter,
    /// JSON, but not an object.
    #[error("the document is not an object")]
    NotAnObject,
    /// Not UTF-8.
    #[error("the document is not UTF-8")]
    InvalidUtf8,
    /// Something follows the object.
    #[error("something follows the object")]
    TrailingBytes,
    /// Not JSON.
    #[error("the document is not JSON")]
    Syntax,
}

impl JsonError {
    /// The stable name of the reason, as in audit records.
    pub const fn code(self) -> &'static str {
        match self {
            Self::TooLarge => "json_too_large",
            Self::TooDeep => "json_too_deep",
            Self::DuplicateKey => "json_duplicate_key",
            Self::NulCharacter => "json_nul_character",
            Self::NotAnObject => "json_not_an_object",
            Self::InvalidUtf8 => "json_invalid_utf8",
            Self::TrailingBytes => "json_trailing_bytes",
            Self::Syntax => "json_syntax",
        }
    }
}

/// Reads one JSON object of at most `max_bytes` bytes.
pub fn parse_object(bytes: &[u8], max_bytes: usize) -> Result<Map<String, Value>, JsonError> {
    if bytes.len() > max_bytes {
        return Err(JsonError::TooLarge);
    }
    let text = std::str::from_utf8(bytes).map_err(|_| JsonError::InvalidUtf8)?;
    let reason = Cell::new(None);
    let mut deserializer = serde_json::Deserializer::from_str(text);
    let value = Strict { depth: 0, reason: &reason }
        .deserialize(&mut deserializer)
        .map_err(|_| reason.get().unwrap_or(JsonError::Syntax))?;
    deserializer.end().map_err(|_| JsonError::TrailingBytes)?;
    match value {
        Value::Object(object) => Ok(object),
        _ => Err(JsonError::NotAnObject),
    }
}

/// Builds a [`Value`], and notes in `reason` a fault that is more than a syntax error.
#[derive(Clone, Copy)]
struct Strict<'a> {
    depth: usize,
    reason: &'a Cell<Option<JsonError>>,
}

impl Strict<'_> {
    fn refuse<E: serde::de::Error>(self, reason: JsonError) -> E {
        self.reason.set(Some(reason));
        E::custom(reason)
    }

    fn deeper<E: serde::de::Error>(self) -> Result<Self, E> {
        if self.depth >= MAX_DEPTH {
            return Err(self.refuse(JsonError::TooDeep));
        }
        Ok(Self { depth: self.depth + 1, ..self })
    }

    fn text<E: serde::de::Error>(self, text: String) -> Result<String, E> {
        if text.contains('\0') { Err(self.refuse(JsonError::NulCharacter)) } else { Ok(text) }
    }
}

impl<'de> DeserializeSeed<'de> for Strict<'_> {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Strict<'_> {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(Value::Number(value.into()))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(Value::Number(value.into()))
    }

    fn visit_f64<E: serde::de::Error>(self, value: f64) -> Result<Value, E> {
        Number::from_f64(value).map(Value::Number).ok_or_else(|| E::custom("not a finite number"))
    }

    fn visit_str<E: serde::de::Error>(self, value: &str) -> Result<Value, E> {
        self.text(value.to_owned()).map(Value::String)
    }

    fn visit_string<E: serde::de::Error>(self, value: String) -> Result<Value, E> {
        self.text(value).map(Value::String)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let inner = self.deeper()?;
        let mut array = Vec::new();
        while let Some(item) = items.next_element_seed(inner)? {
            array.push(item);
        }
        Ok(Value::Array(array))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Value, A::Error> {
        let inner = self.deeper()?;
        let mut object = Map::new();
        while let Some(name) = members.next_key::<String>()? {
            let name = self.text::<A::Error>(name)?;
            if object.contains_key(&name) {
                return Err(self.refuse(JsonError::DuplicateKey));
            }
            object.insert(name, members.next_value_seed(inner)?);
        }
        Ok(Value::Object(object))
    }
}

/// A member that is missing or of the wrong type.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ClaimError {
    /// A required member is missing.
    #[error("{0} is missing")]
    Missing(String),
    /// The value of the member is of another type, such as `null`.
    #[error("{0} is of the wrong type")]
    WrongType(String),
    /// The member has the right type, but an impossible value, such as a negative time.
    #[error("{0} is out of range")]
    OutOfRange(String),
}

impl ClaimError {
    /// The stable name of the reason, as in audit records.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Missing(_) => "claim_missing",
            Self::WrongType(_) => "claim_wrong_type",
            Self::OutOfRange(_) => "claim_out_of_range",
        }
    }

    /// The name of the member.
    pub fn claim(&self) -> &str {
        match self {
            Self::Missing(name) | Self::WrongType(name) | Self::OutOfRange(name) => name,
        }
    }
}

/// A typed view of an object's members. Each reader gives `None` for an absent member and an error for one of another
/// type; the `required_` form also refuses an absent member.
#[derive(Debug, Clone, Copy)]
pub struct Claims<'a>(&'a Map<String, Value>);

impl<'a> Claims<'a> {
    /// A view of `object`.
    pub const fn of(object: &'a Map<String, Value>) -> Self {
        Self(object)
    }

    /// A text.
    pub fn string(self, name: &str) -> Result<Option<&'a str>, ClaimError> {
        match self.0.get(name) {
            None => Ok(None),
            Some(Value::String(text)) => Ok(Some(text)),
            Some(_) => Err(wrong_type(name)),
        }
    }

    /// A required text.
    pub fn required_string(self, name: &str) -> Result<&'a str, ClaimError> {
        self.string(name)?.ok_or_else(|| missing(name))
    }

    /// One text or an array of texts, as in `aud` (RFC 7519, section 4.1.3). One text counts as a list of one.
    pub fn string_or_list(self, name: &str) -> Result<Option<Vec<&'a str>>, ClaimError> {
        match self.0.get(name) {
            None => Ok(None),
            Some(Value::String(text)) => Ok(Some(vec![text])),
            Some(Value::Array(items)) => items
                .iter()
                .map(Value::as_str)
                .collect::<Option<Vec<_>>>()
                .map(Some)
                .ok_or_else(|| wrong_type(name)),
            Some(_) => Err(wrong_type(name)),
        }
    }

    /// One text or an array of texts, required.
    pub fn required_string_or_list(self, name: &str) -> Result<Vec<&'a str>, ClaimError> {
        self.string_or_list(name)?.ok_or_else(|| missing(name))
    }

    /// A `NumericDate` (RFC 7519, section 2): seconds since 1970, from 1970 to the end of the year 9999. The fraction
    /// is cut off.
    pub fn numeric_date(self, name: &str) -> Result<Option<Timestamp>, ClaimError> {
        let number = match self.0.get(name) {
            None => return Ok(None),
            Some(Value::Number(number)) => number,
            Some(_) => return Err(wrong_type(name)),
        };
        whole_seconds(number)
            .filter(|seconds| *seconds <= MAX_SECONDS)
            .and_then(|seconds| i64::try_from(seconds).ok())
            .map(|seconds| Some(Timestamp::from_unix_seconds(seconds)))
            .ok_or_else(|| ClaimError::OutOfRange(name.to_owned()))
    }

    /// A required `NumericDate`.
    pub fn required_numeric_date(self, name: &str) -> Result<Timestamp, ClaimError> {
        self.numeric_date(name)?.ok_or_else(|| missing(name))
    }

    /// A boolean. The texts "true" and "false" are not booleans.
    pub fn bool(self, name: &str) -> Result<Option<bool>, ClaimError> {
        match self.0.get(name) {
            None => Ok(None),
            Some(Value::Bool(value)) => Ok(Some(*value)),
            Some(_) => Err(wrong_type(name)),
        }
    }
}

fn missing(name: &str) -> ClaimError {
    ClaimError::Missing(name.to_owned())
}

fn wrong_type(name: &str) -> ClaimError {
    ClaimError::WrongType(name.to_owned())
}

fn whole_seconds(number: &Number) -> Option<u64> {
    let fraction =
        |seconds: f64| Duration::try_from_secs_f64(seconds.trunc()).ok().map(|span| span.as_secs());
    number.as_u64().or_else(|| number.as_f64().filter(|seconds| *seconds >= 0.0).and_then(fraction))
}

#[cfg(test)]
mod tests;
