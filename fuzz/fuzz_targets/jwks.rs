//! A set of keys (RFC 7517), as a provider publishes it.
#![no_main]

use countersign::crypto::jws::VerifyingKey;
use countersign::model::SigningAlg;
use countersign::protocol::jose::JwkSet;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let Ok(set) = JwkSet::parse(bytes) else { return };
    for key in &set.keys {
        for alg in SigningAlg::ALL.iter().copied() {
            let _ = (key.allows(alg), key.fits(alg), VerifyingKey::new(key, alg).is_ok());
        }
    }
});
