//! Email addresses: kept as given, compared by one canonical form.

use std::fmt;
use std::str::FromStr;

use icu_casemap::CaseMapper;
use serde::{Deserialize, Serialize};
use unicode_normalization::UnicodeNormalization;

use crate::model::DomainName;

/// The text is not an email address that the broker accepts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("this is not an email address; write it like `name@example.com`")]
pub struct EmailError;

/// An email address: exactly one `@`, a plain local part and a domain name. Quoted local parts, address literals,
/// spaces and control characters are refused.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Email {
    given: String,
    canonical: String,
    domain: DomainName,
}

impl Email {
    /// The address as its owner wrote it; mail goes here.
    pub fn as_str(&self) -> &str {
        &self.given
    }

    /// The form in which addresses are compared: local part NFC and case-folded, domain as A-label. Dots and tags
    /// stay, since only the mail service knows what they mean.
    pub fn canonical(&self) -> &str {
        &self.canonical
    }

    /// The domain of the address.
    pub const fn domain(&self) -> &DomainName {
        &self.domain
    }
}

impl FromStr for Email {
    type Err = EmailError;

    fn from_str(text: &str) -> Result<Self, EmailError> {
        let (local, domain) = text.split_once('@').ok_or(EmailError)?;
        let domain: DomainName = domain.parse().map_err(|_| EmailError)?;
        if text.len() > 254 || !(1..=64).contains(&local.len()) || !is_plain_local_part(local) {
            return Err(EmailError);
        }
        let canonical = format!("{}@{domain}", fold_local_part(local)?);
        Ok(Self { given: text.to_owned(), canonical, domain })
    }
}

/// Whether a local part is a `Dot-string` of RFC 5321, with the non-ASCII letters of RFC 6531. The start of an encoded
/// word (RFC 2047) is refused: mail software could read another address in it.
fn is_plain_local_part(local: &str) -> bool {
    let atext = |c: char| {
        c.is_ascii_alphanumeric()
            || "!#$%&'*+-/=?^_`{|}~.".contains(c)
            || (!c.is_ascii() && !c.is_control() && !c.is_whitespace())
    };
    local.chars().all(atext) && !local.contains("=?") && local.split('.').all(|atom| !atom.is_empty())
}

/// NFC and full case folding. A non-ASCII character whose folded or normalized form contains ASCII (the Kelvin
/// sign, the long s, a ligature) would make two mailboxes compare equal, so such an address is refused.
fn fold_local_part(local: &str) -> Result<String, EmailError> {
    let mapper = CaseMapper::new();
    let collides = |c: char| {
        let alone = c.to_string();
        let folded = mapper.fold_string(&alone);
        let normalized: String = alone.nfkc().collect();
        !c.is_ascii() && (has_ascii(&folded) || has_ascii(&normalized))
    };
    if local.chars().any(collides) {
        return Err(EmailError);
    }
    let normalized: String = local.nfc().collect();
    Ok(mapper.fold_string(&normalized).nfc().collect())
}

fn has_ascii(text: &str) -> bool {
    text.bytes().any(|byte| byte.is_ascii())
}

impl fmt::Display for Email {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.given)
    }
}

impl TryFrom<String> for Email {
    type Error = EmailError;

    fn try_from(text: String) -> Result<Self, EmailError> {
        text.parse()
    }
}

impl From<Email> for String {
    fn from(email: Email) -> Self {
        email.given
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn canonical(text: &str) -> Option<String> {
        text.parse::<Email>().ok().map(|email| email.canonical().to_owned())
    }

    #[test]
    fn addresses_are_compared_folded_and_kept_as_given() {
        let email: Email = "Bob.Tag+x@B\u{dc}CHER.example".parse().unwrap();
        assert_eq!(email.as_str(), "Bob.Tag+x@B\u{dc}CHER.example");
        assert_eq!(email.canonical(), "bob.tag+x@xn--bcher-kva.example");
        assert_eq!(canonical("JOSE\u{301}@acme.test"), canonical("jos\u{e9}@acme.test"));
    }

    #[test]
    fn characters_that_fold_to_ascii_are_refused() {
        for local in ["\u{212a}elvin", "me\u{17f}s", "\u{fb01}nn", "stra\u{df}e", "\u{130}x", "\u{ff41}bc"] {
            assert_eq!(canonical(&format!("{local}@acme.test")), None, "{local}");
        }
        assert_ne!(canonical("\u{131}an@acme.test"), canonical("ian@acme.test"));
        assert_ne!(canonical("jos\u{e9}@acme.test"), canonical("jose@acme.test"));
    }

    #[test]
    fn tricks_of_address_parsers_are_refused() {
        for text in [
            "a@evil@corp.test",
            "\"a@b\"@acme.test",
            "=?utf-8?q?a?=@b@acme.test",
            "=?utf-8?q?a=40evil.test=3e?=@acme.test",
            "a\r\nBcc: x@acme.test",
            "a b@acme.test",
            "a@[127.0.0.1]",
            "a@127.0.0.1",
            ".a@acme.test",
            "a..b@acme.test",
            "a@acme",
            "a@acme.test.",
            "<a@acme.test>",
            "a(comment)@acme.test",
            "@acme.test",
            "a@",
            "",
        ] {
            assert_eq!(text.parse::<Email>(), Err(EmailError), "{text}");
        }
    }

    proptest! {
        #[test]
        fn the_canonical_form_is_a_fixed_point(text in "\\PC{1,20}@[a-z]{1,8}\\.test") {
            if let Ok(email) = text.parse::<Email>() {
                prop_assert_eq!(canonical(email.canonical()), Some(email.canonical().to_owned()));
            }
        }
    }
}
