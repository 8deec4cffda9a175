//! A provider's discovery document.
#![no_main]

use countersign::upstream::messages::discovery::Metadata;

const ISSUER: &str = "https://idp.acme.test";

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    if let Ok(metadata) = Metadata::parse(bytes, ISSUER) {
        assert_eq!(metadata.issuer, ISSUER);
        for url in [&metadata.authorization_endpoint, &metadata.token_endpoint, &metadata.jwks_uri] {
            assert_eq!(url.scheme(), "https");
        }
    }
});
