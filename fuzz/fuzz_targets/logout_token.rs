//! A back-channel logout token by the provider's own key.
#![no_main]

use countersign::upstream::messages::logout::verify;
use countersign_fuzz::{NOW, Provider};
use std::sync::OnceLock;

static PROVIDER: OnceLock<Provider> = OnceLock::new();

libfuzzer_sys::fuzz_target!(|input: (&[u8], &[u8])| {
    let provider = PROVIDER.get_or_init(Provider::new);
    let Some(jws) = provider.token(input.0, input.1) else { return };
    if let Ok(target) = verify(&jws, &provider.keys, &provider.connection, NOW) {
        assert!(target.subject.is_some() || target.sid.is_some());
        assert!(!target.jti.is_empty());
    }
});
