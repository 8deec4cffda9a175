//! A password hash from somewhere else (PHC string format).
#![no_main]

libfuzzer_sys::fuzz_target!(|text: &str| {
    let _ = countersign::crypto::password::check_phc(text);
});
