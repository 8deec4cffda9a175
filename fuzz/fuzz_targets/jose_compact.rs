//! A compact JWS (RFC 7515), as every token arrives.
#![no_main]

use countersign::protocol::jose::CompactJws;

libfuzzer_sys::fuzz_target!(|token: &str| {
    if let Ok(jws) = CompactJws::parse(token, 64 * 1024) {
        assert_eq!(token.split('.').count(), 3);
        assert!(token.as_bytes().starts_with(jws.signing_input()));
        let _ = (jws.header(), jws.claims(), jws.payload(), jws.signature());
    }
});
