//! An ID token by the provider's own key: claims of every kind behind a good signature.
#![no_main]

use countersign::upstream::messages::id_token::{Expectation, verify};
use countersign_fuzz::{NOW, Provider};
use std::sync::OnceLock;

static PROVIDER: OnceLock<Provider> = OnceLock::new();

libfuzzer_sys::fuzz_target!(|input: (&[u8], &[u8])| {
    let provider = PROVIDER.get_or_init(Provider::new);
    let Some(jws) = provider.token(input.0, input.1) else { return };
    let expected = Expectation {
        now: NOW,
        nonce: "the-nonce",
        code: Some("the-code"),
        access_token: Some("the-access-token"),
        fresh: None,
        acr: None,
    };
    if let Ok(claims) = verify(&jws, &provider.keys, &provider.connection, &expected) {
        assert_eq!(claims.issuer, provider.connection.issuer);
        assert!(!claims.subject.is_empty());
        assert!(claims.issued_at.unix_seconds() <= NOW.unix_seconds() + 60);
    }
});
