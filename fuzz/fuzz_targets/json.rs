//! Strict JSON: what passes, `serde_json` reads alike.
#![no_main]

use countersign::protocol::json::{Claims, parse_object};
use serde_json::Value;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let Ok(object) = parse_object(bytes, 64 * 1024) else { return };
    let plain: Value = serde_json::from_slice(bytes).expect("strict JSON is JSON");
    assert_eq!(plain, Value::Object(object.clone()));
    let claims = Claims::of(&object);
    for name in object.keys() {
        let _ = (claims.string(name), claims.string_or_list(name), claims.bool(name));
        if let Ok(Some(time)) = claims.numeric_date(name) {
            assert!((0..=253_402_300_799).contains(&time.unix_seconds()));
        }
    }
});
