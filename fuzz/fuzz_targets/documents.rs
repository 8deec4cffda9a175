//! A file of `apply`.
#![no_main]

use countersign::flows::manage::{Limits, Rules, read_files};
use countersign::policy::account::password::PasswordRules;

libfuzzer_sys::fuzz_target!(|text: &str| {
    // Secrets may stand in files, which this target must not open.
    if text.contains("_file") {
        return;
    }
    let limits = Limits { accounts: 10_000, connections: 25, domains: 100, apps: 2_000, redirect_uris: 100 };
    let rules = Rules { passwords: PasswordRules::Classic, limits };
    if let Err(errors) = read_files(&[("fuzz.toml".to_owned(), text.to_owned())], rules) {
        assert!(!errors.to_string().is_empty());
    }
});
