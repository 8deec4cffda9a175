//! The parser reads what it must, refuses the rest, and never panics.

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
    let object =
        parse(r#" {"s":"\u00e9\ud83d\ude00","n":[1,-2,1.5,18446744073709551615],"b":true,"z":null,"o":{}} "#);
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
fn a_text_that_is_not_a_single_object_is_refused_with_its_reason() {
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
    for (name, seconds) in
        [("a", 1_700_000_000), ("b", 1_700_000_000), ("c", 1_700_000_000), ("d", 0), ("e", 253_402_300_799)]
    {
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
