//! What was sealed and comes back through a browser: the flow's cookie and its plaintext.
#![no_main]

use countersign::crypto::MasterKey;
use countersign::crypto::random::SystemRandom;
use countersign::crypto::seal::{Purpose, Sealer};
use countersign::model::Flow;
use std::sync::{Arc, OnceLock};

static SEALER: OnceLock<Sealer> = OnceLock::new();

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let sealer = SEALER
        .get_or_init(|| Sealer::new(&MasterKey::from_bytes([7; 32]), &[], Arc::new(SystemRandom)).unwrap());
    assert!(sealer.open(Purpose::FlowCookie, "flow:x", bytes).is_err(), "nobody forges a seal");
    if let Ok(text) = std::str::from_utf8(bytes) {
        assert!(sealer.open_text(Purpose::FlowCookie, "flow:x", text).is_err());
    }
    // A plaintext of another version: opened, then read.
    if let Ok(flow) = postcard::from_bytes::<Flow>(bytes) {
        let again = postcard::to_allocvec(&flow).unwrap();
        assert_eq!(postcard::from_bytes::<Flow>(&again).unwrap(), flow);
    }
});
