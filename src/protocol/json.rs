//! Strict JSON for bytes that somebody else wrote: tokens, key sets, metadata, userinfo, API bodies.
//!
//! `serde_json` alone keeps the last of two equal names and nests 128 deep; both have let two readers of one
//! document see different things. Here such a document is refused (RFC 8259, section 4; RFC 7519, section 4;
//! RFC 8725, section 2.9). U+0000 is refused as well, since PostgreSQL cannot store it and `SQLite` can.
//!
//! [`Claims`] then reads members with their types: a wrongly typed member is an error, never an absence.

use std::cell::Cell;
use std::fmt;
use std::time::Duration;

use serde::de::{DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};

use crate::model::Timestamp;

/// How deep objects and arrays may nest, the outermost object counting as one.
pub const MAX_DEPTH: usize = 32;

/// The last second of the year 9999, the latest time that a `NumericDate` may name here.
const MAX_SECONDS: u64 = 253_402_300_799;

/// Why a document was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum JsonError {
    /// More bytes than the caller takes.
    #[error("the document is too large")]
    TooLarge,
    /// Nested deeper than [`MAX_DEPTH`].
    #[error("the document nests too deep")]
    TooDeep,
    /// One object names a member twice.
    #[error("a member is repeated")]
    DuplicateKey,
    /// A name or a text contains U+0000.
    #[error("a text contains U+0000")]
    NulCharacter,
    /// JSON, but no object.
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
    /// The stable name of the reason, as audit records carry it.
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

/// Builds a [`Value`] and notes in `reason` what was wrong when it was more than syntax.
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
    /// A member that must be there is not.
    #[error("{0} is missing")]
    Missing(String),
    /// The member is there with a value of another type; `null` is one.
    #[error("{0} is of the wrong type")]
    WrongType(String),
    /// The member is of the right type with a value that cannot be meant, such as a negative time.
    #[error("{0} is out of range")]
    OutOfRange(String),
}

impl ClaimError {
    /// The stable name of the reason, as audit records carry it.
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

/// A typed view of an object's members. Each reader gives `None` for an absent member and an error for one of
/// another type; the `required_` form also refuses absence.
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

    /// A text that must be there.
    pub fn required_string(self, name: &str) -> Result<&'a str, ClaimError> {
        self.string(name)?.ok_or_else(|| missing(name))
    }

    /// One text or an array of texts, as `aud` is written (RFC 7519, section 4.1.3). One text is a list of
    /// one.
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

    /// One text or an array of texts that must be there.
    pub fn required_string_or_list(self, name: &str) -> Result<Vec<&'a str>, ClaimError> {
        self.string_or_list(name)?.ok_or_else(|| missing(name))
    }

    /// A `NumericDate` (RFC 7519, section 2): seconds since 1970 as a number, whose fraction is cut off. From
    /// 1970 to the end of the year 9999.
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

    /// A `NumericDate` that must be there.
    pub fn required_numeric_date(self, name: &str) -> Result<Timestamp, ClaimError> {
        self.numeric_date(name)?.ok_or_else(|| missing(name))
    }

    /// A boolean; the texts "true" and "false" are not.
    pub fn bool(self, name: &str) -> Result<Option<bool>, ClaimError> {
        match self.0.get(name) {
            None => Ok(None),
            Some(Value::Bool(value)) => Ok(Some(*value)),
            Some(_) => Err(wrong_type(name)),
        }
    }

    /// A boolean that must be there.
    pub fn required_bool(self, name: &str) -> Result<bool, ClaimError> {
        self.bool(name)?.ok_or_else(|| missing(name))
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
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn parse(text: &str) -> Result<Map<String, Value>, JsonError> {
        parse_object(text.as_bytes(), 1 << 20)
    }

    fn nested(depth: usize) -> String {
        format!("{}1{}", r#"{"a":"#.repeat(depth), "}".repeat(depth))
    }

    #[test]
    fn an_ordinary_object_is_read_as_it_stands() {
        let object = parse(
            r#" {"s":"\u00e9\ud83d\ude00","n":[1,-2,1.5,18446744073709551615],"b":true,"z":null,"o":{}} "#,
        );
        let expected = json!({"s": "é😀", "n": [1, -2, 1.5, u64::MAX], "b": true, "z": null, "o": {}});
        assert_eq!(object.map(Value::Object), Ok(expected));
    }

    #[test]
    fn a_repeated_member_is_refused_at_any_depth_and_in_any_spelling() {
        for text in [
            r#"{"a":1,"a":1}"#,
            r#"{"x":{"a":1,"b":2,"a":3}}"#,
            r#"{"x":[[{"a":1,"a":2}]]}"#,
            r#"{"sub":1,"s\u0075b":2}"#,
            r#"{"":1,"":2}"#,
        ] {
            assert_eq!(parse(text), Err(JsonError::DuplicateKey), "{text}");
        }
    }

    #[test]
    fn nesting_ends_at_the_limit() {
        assert!(parse(&nested(MAX_DEPTH)).is_ok());
        assert_eq!(parse(&nested(MAX_DEPTH + 1)), Err(JsonError::TooDeep));
        assert_eq!(parse(&nested(10_000)), Err(JsonError::TooDeep));
        assert_eq!(parse(&format!(r#"{{"a":{}"#, "[".repeat(10_000))), Err(JsonError::TooDeep));
    }

    #[test]
    fn what_is_no_single_object_is_refused_with_its_reason() {
        for (bytes, reason) in [
            (&b""[..], JsonError::Syntax),
            (b"{", JsonError::Syntax),
            (b"{\"a\":1,}", JsonError::Syntax),
            (b"{'a':1}", JsonError::Syntax),
            (b"{\"a\":NaN}", JsonError::Syntax),
            (b"{\"a\":1e999}", JsonError::Syntax),
            (b"{\"a\":01}", JsonError::Syntax),
            (b"{\"a\":\"\\ud800\"}", JsonError::Syntax),
            (b"{\"a\":\"\n\"}", JsonError::Syntax),
            (b"\xef\xbb\xbf{}", JsonError::Syntax),
            (b"[]", JsonError::NotAnObject),
            (b"null", JsonError::NotAnObject),
            (b"\"{}\"", JsonError::NotAnObject),
            (b"{}{}", JsonError::TrailingBytes),
            (b"{} x", JsonError::TrailingBytes),
            (b"{}\0", JsonError::TrailingBytes),
            (b"{\"a\":\"\xff\"}", JsonError::InvalidUtf8),
            (b"{\"a\":\"\xc0\x80\"}", JsonError::InvalidUtf8),
            (b"{\"a\":\"\\u0000\"}", JsonError::NulCharacter),
            (b"{\"a\\u0000\":1}", JsonError::NulCharacter),
        ] {
            assert_eq!(parse_object(bytes, 100), Err(reason), "{}", String::from_utf8_lossy(bytes));
        }
    }

    #[test]
    fn a_document_over_the_cap_is_refused_unread() {
        assert!(parse_object(b"{}", 2).is_ok());
        assert_eq!(parse_object(b"{} ", 2), Err(JsonError::TooLarge));
    }

    #[test]
    fn no_member_name_has_a_magic_meaning() {
        let text = r#"{"$serde_json::private::RawValue":"{\"a\":1}","$serde_json::private::Number":"1"}"#;
        assert_eq!(parse(text).map(|object| object.len()), Ok(2));
    }

    #[test]
    fn a_time_is_a_number_whose_fraction_is_cut_off() {
        let object =
            parse(r#"{"a":1700000000,"b":1700000000.999,"c":1.7e9,"d":0,"e":253402300799,"f":0.5,"g":-0.0}"#);
        let object = object.unwrap();
        for (name, seconds) in [
            ("a", 1_700_000_000),
            ("b", 1_700_000_000),
            ("c", 1_700_000_000),
            ("d", 0),
            ("e", 253_402_300_799),
        ] {
            let time = Timestamp::from_unix_seconds(seconds);
            assert_eq!(Claims::of(&object).numeric_date(name), Ok(Some(time)), "{name}");
        }
        for name in ["f", "g"] {
            assert_eq!(
                Claims::of(&object).required_numeric_date(name),
                Ok(Timestamp::from_unix_seconds(0)),
                "{name}"
            );
        }
    }

    #[test]
    fn a_time_that_is_no_number_or_cannot_be_meant_is_refused() {
        for value in [json!("1700000000"), json!(null), json!(true), json!([1]), json!({})] {
            let object = json!({"exp": value}).as_object().cloned().unwrap();
            assert_eq!(Claims::of(&object).numeric_date("exp"), Err(wrong_type("exp")), "{value}");
        }
        for value in
            [json!(-1), json!(-0.5), json!(253_402_300_800_u64), json!(u64::MAX), json!(1e300), json!(1e18)]
        {
            let object = json!({"exp": value}).as_object().cloned().unwrap();
            let error = ClaimError::OutOfRange("exp".to_owned());
            assert_eq!(Claims::of(&object).numeric_date("exp"), Err(error), "{value}");
        }
    }

    #[test]
    fn an_audience_is_a_text_or_an_array_of_texts() {
        let object =
            json!({"one": "a", "many": ["a", "b"], "none": [], "mixed": ["a", 1], "null": [null], "o": {}});
        let object = object.as_object().unwrap();
        let claims = Claims::of(object);
        assert_eq!(claims.string_or_list("one"), Ok(Some(vec!["a"])));
        assert_eq!(claims.required_string_or_list("many"), Ok(vec!["a", "b"]));
        assert_eq!(claims.string_or_list("none"), Ok(Some(vec![])));
        for name in ["mixed", "null", "o"] {
            assert_eq!(claims.string_or_list(name), Err(wrong_type(name)), "{name}");
        }
    }

    #[test]
    fn texts_and_booleans_are_never_guessed_from_other_types() {
        let object = json!({"t": "true", "one": 1, "null": null, "yes": true, "text": "x"});
        let object = object.as_object().unwrap();
        let claims = Claims::of(object);
        assert_eq!(claims.bool("yes"), Ok(Some(true)));
        assert_eq!(claims.string("text"), Ok(Some("x")));
        for name in ["t", "one", "null"] {
            assert_eq!(claims.bool(name), Err(wrong_type(name)), "{name}");
        }
        for name in ["one", "null", "yes"] {
            assert_eq!(claims.string(name), Err(wrong_type(name)), "{name}");
        }
    }

    #[test]
    fn an_absent_member_is_none_unless_required() {
        let object = Map::new();
        let claims = Claims::of(&object);
        assert_eq!(claims.string("a"), Ok(None));
        assert_eq!(claims.string_or_list("a"), Ok(None));
        assert_eq!(claims.numeric_date("a"), Ok(None));
        assert_eq!(claims.bool("a"), Ok(None));
        assert_eq!(claims.required_string("a"), Err(missing("a")));
        assert_eq!(claims.required_string_or_list("a"), Err(missing("a")));
        assert_eq!(claims.required_numeric_date("a"), Err(missing("a")));
        assert_eq!(claims.required_bool("a"), Err(missing("a")));
    }

    /// Any JSON value without repeated names, as `serde_json` writes it.
    fn any_value() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            any::<u64>().prop_map(Value::from),
            "[^\0]{0,8}".prop_map(Value::from),
        ];
        leaf.prop_recursive(6, 40, 5, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..5).prop_map(Value::from),
                prop::collection::hash_map("[^\0]{0,4}", inner, 0..5)
                    .prop_map(|members| Value::Object(members.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn no_bytes_make_the_parser_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = parse_object(&bytes, 150);
        }

        #[test]
        fn near_json_never_makes_the_parser_panic(text in r#"[\[\]{}:,"\\0-9eE+\-.tfn ud]{0,80}"#) {
            if let Ok(object) = parse(&text) {
                let plain: Value = serde_json::from_str(&text).unwrap();
                prop_assert_eq!(Value::Object(object), plain);
            }
        }

        #[test]
        fn every_clean_object_is_read_as_serde_json_reads_it(value in any_value()) {
            let object = json!({"value": value});
            let text = object.to_string();
            prop_assert_eq!(parse(&text).map(Value::Object), Ok(object));
        }
    }
}
