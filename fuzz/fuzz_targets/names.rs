//! What people type and documents name: domains, emails, usernames, handles, ids.
#![no_main]

use countersign::model::{AccountId, DomainName, Email, FlowId, Handle, OwnedDomain, Username};

libfuzzer_sys::fuzz_target!(|text: &str| {
    if let Ok(domain) = text.parse::<DomainName>() {
        let again: DomainName = domain.as_str().parse().expect("a canonical domain is one");
        assert_eq!(again, domain);
        assert!(domain.as_str().is_ascii());
        let _ = OwnedDomain::candidates(&domain);
    }
    if let Ok(email) = text.parse::<Email>() {
        assert_eq!(email.as_str(), text, "mail goes to the address as it was given");
        let again: Email = email.canonical().parse().expect("a canonical address is one");
        assert_eq!(again.canonical(), email.canonical());
    }
    if let Ok(username) = text.parse::<Username>() {
        let again: Username = username.as_str().parse().expect("a username is one");
        assert_eq!(again.key(), username.key());
    }
    let _ = (text.parse::<Handle>(), text.parse::<OwnedDomain>());
    if let Ok(id) = text.parse::<AccountId>() {
        assert_eq!(id.to_string(), text);
    }
    let _ = text.parse::<FlowId>();
});
