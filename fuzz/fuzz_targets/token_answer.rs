//! An answer of a provider's token endpoint and of its userinfo endpoint.
#![no_main]

use bytes::Bytes;
use countersign::upstream::messages::{token_answer, userinfo};
use http::Response;
use oauth2::EmptyExtraTokenFields;
use oauth2::basic::{BasicErrorResponse, BasicTokenType};

type Answer = oauth2::StandardTokenResponse<EmptyExtraTokenFields, BasicTokenType>;

libfuzzer_sys::fuzz_target!(|input: (u8, &[u8])| {
    let (choice, body) = input;
    let status = if choice & 1 == 0 { 200 } else { 400 };
    let kind = ["application/json", "application/json; charset=utf-8", "text/html", "application/jwt"];
    let answer = Response::builder()
        .status(status)
        .header("content-type", kind[usize::from(choice >> 1 & 3)])
        .body(Bytes::copy_from_slice(body))
        .unwrap();
    if token_answer::check_answer(&answer).is_ok() {
        let _ = serde_json::from_slice::<Answer>(body);
        let _ = serde_json::from_slice::<BasicErrorResponse>(body);
    }
    if let Ok(claims) = userinfo::read(&answer, "bob") {
        assert_eq!(claims["sub"], "bob");
    }
});
