//! DNS names: one canonical spelling, and which of them an organization may own.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// Why a text is not a domain name that an organization may own or an email may have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum DomainError {
    /// Not a DNS name: UTS 46 processing failed, or it ends with a dot, or it is too long.
    #[error("this is not a domain name; write it like `example.com`, without a trailing dot")]
    Malformed,
    /// An IP address.
    #[error("an IP address is not a domain name")]
    IpLiteral,
    /// Only one label.
    #[error("a domain name has at least two labels, like `example.com`")]
    SingleLabel,
    /// A public suffix: the public registers names below it.
    #[error("names below this one are registered by the public, so nobody can own it")]
    PublicSuffix,
    /// A mail provider that is open to everyone.
    #[error("this domain belongs to a mail service that is open to everybody, so no organization can own it")]
    ConsumerMail,
}

/// A DNS name of at least two labels, as lower-case A-labels (UTS 46, STD 3 rules).
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct DomainName(String);

impl DomainName {
    /// The name as lower-case A-labels.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The name without its first label, if at least two labels remain.
    pub fn parent(&self) -> Option<Self> {
        let (_, rest) = self.0.split_once('.')?;
        rest.contains('.').then(|| Self(rest.to_owned()))
    }

    fn is_public_suffix(&self) -> bool {
        psl::suffix(self.0.as_bytes()).is_some_and(|suffix| suffix.as_bytes() == self.0.as_bytes())
    }
}

impl FromStr for DomainName {
    type Err = DomainError;

    fn from_str(text: &str) -> Result<Self, DomainError> {
        if text.parse::<IpAddr>().is_ok() || text.starts_with('[') {
            return Err(DomainError::IpLiteral);
        }
        if text.is_empty() || text.ends_with('.') || text.len() > 1_000 {
            return Err(DomainError::Malformed);
        }
        let name = idna::domain_to_ascii_strict(text).map_err(|_| DomainError::Malformed)?;
        let (Some(_), Some(last)) = (name.split('.').nth(1), name.rsplit('.').next()) else {
            return Err(DomainError::SingleLabel);
        };
        // The URL standard reads a name whose last label is a number as an IPv4 address (`127.1`, `1.0x7f`).
        let numeric = last.bytes().all(|b| b.is_ascii_digit())
            || last.strip_prefix("0x").is_some_and(|hex| hex.bytes().all(|b| b.is_ascii_hexdigit()));
        if numeric {
            return Err(DomainError::IpLiteral);
        }
        Ok(Self(name))
    }
}

impl fmt::Display for DomainName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl TryFrom<String> for DomainName {
    type Error = DomainError;

    fn try_from(text: String) -> Result<Self, DomainError> {
        text.parse()
    }
}

impl From<DomainName> for String {
    fn from(name: DomainName) -> Self {
        name.0
    }
}

/// A domain that an organization owns: one name, or (`*.example.com`) every name below one. It cannot be a public
/// suffix or a consumer mail domain.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct OwnedDomain {
    name: DomainName,
    wildcard: bool,
}

impl OwnedDomain {
    /// The name itself, without `*.`.
    pub const fn name(&self) -> &DomainName {
        &self.name
    }

    /// The texts under which an owner of `name` could be registered, most specific first: the name itself, then
    /// the wildcards above it.
    pub fn candidates(name: &DomainName) -> Vec<String> {
        let mut candidates = vec![name.to_string()];
        let mut above = name.parent();
        while let Some(parent) = above {
            candidates.push(format!("*.{parent}"));
            above = parent.parent();
        }
        candidates
    }

    /// The texts under which this name, or a wildcard that covers all of it, could be registered, most specific first.
    pub fn covering(&self) -> Vec<String> {
        let candidates = Self::candidates(&self.name);
        if self.wildcard {
            std::iter::once(self.to_string()).chain(candidates.into_iter().skip(1)).collect()
        } else {
            candidates
        }
    }

    /// Whether `name` belongs to it.
    pub fn covers(&self, name: &DomainName) -> bool {
        if !self.wildcard {
            return *name == self.name;
        }
        name.as_str()
            .strip_suffix(self.name.as_str())
            .is_some_and(|rest| rest.len() > 1 && rest.ends_with('.'))
    }
}

impl FromStr for OwnedDomain {
    type Err = DomainError;

    fn from_str(text: &str) -> Result<Self, DomainError> {
        let (name, wildcard) = text.strip_prefix("*.").map_or((text, false), |rest| (rest, true));
        let name: DomainName = name.parse()?;
        if name.is_public_suffix() {
            return Err(DomainError::PublicSuffix);
        }
        if CONSUMER_MAIL.contains(&name.as_str()) {
            return Err(DomainError::ConsumerMail);
        }
        Ok(Self { name, wildcard })
    }
}

impl fmt::Display for OwnedDomain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.wildcard {
            f.write_str("*.")?;
        }
        self.name.fmt(f)
    }
}

impl TryFrom<String> for OwnedDomain {
    type Error = DomainError;

    fn try_from(text: String) -> Result<Self, DomainError> {
        text.parse()
    }
}

impl From<OwnedDomain> for String {
    fn from(domain: OwnedDomain) -> Self {
        domain.to_string()
    }
}

/// Mail services that give an address to anyone who asks.
const CONSUMER_MAIL: [&str; 40] = [
    "aol.com",
    "arcor.de",
    "bluewin.ch",
    "comcast.net",
    "fastmail.com",
    "freenet.de",
    "gmail.com",
    "gmx.at",
    "gmx.ch",
    "gmx.com",
    "gmx.de",
    "gmx.net",
    "googlemail.com",
    "hey.com",
    "hotmail.co.uk",
    "hotmail.com",
    "hotmail.de",
    "hotmail.fr",
    "icloud.com",
    "laposte.net",
    "libero.it",
    "live.com",
    "mac.com",
    "mail.com",
    "mail.ru",
    "me.com",
    "msn.com",
    "orange.fr",
    "outlook.com",
    "outlook.de",
    "pm.me",
    "proton.me",
    "protonmail.com",
    "qq.com",
    "t-online.de",
    "web.de",
    "yahoo.co.uk",
    "yahoo.com",
    "yahoo.de",
    "yandex.ru",
];

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<String, DomainError> {
        text.parse::<DomainName>().map(String::from)
    }

    #[test]
    fn every_spelling_of_a_name_becomes_one_a_label_form() {
        for text in
            ["b\u{fc}cher.example", "B\u{dc}CHER.example", "xn--bcher-kva.example", "XN--BCHER-KVA.EXAMPLE"]
        {
            assert_eq!(parse(text).as_deref(), Ok("xn--bcher-kva.example"), "{text}");
        }
        assert_eq!(parse("acme\u{3002}test").as_deref(), Ok("acme.test"));
    }

    #[test]
    fn a_text_that_is_not_a_domain_is_refused_with_its_reason() {
        use DomainError::{IpLiteral, Malformed, SingleLabel};
        for (text, error) in [
            ("127.0.0.1", IpLiteral),
            ("::1", IpLiteral),
            ("[::1]", IpLiteral),
            ("127.1", IpLiteral),
            ("1.0x7f", IpLiteral),
            ("acme", SingleLabel),
            ("acme.test.", Malformed),
            ("", Malformed),
            (".acme.test", Malformed),
            ("acme..test", Malformed),
            ("ac me.test", Malformed),
            ("acme_x.test", Malformed),
            ("xn--acme-.test", Malformed),
            ("xn--ASCII-.test", Malformed),
        ] {
            assert_eq!(parse(text), Err(error), "{text}");
        }
    }

    #[test]
    fn no_organization_owns_public_suffixes_or_consumer_mail() {
        assert_eq!("co.uk".parse::<OwnedDomain>(), Err(DomainError::PublicSuffix));
        assert_eq!("*.co.uk".parse::<OwnedDomain>(), Err(DomainError::PublicSuffix));
        assert_eq!("Gmail.com".parse::<OwnedDomain>(), Err(DomainError::ConsumerMail));
        assert!("acme.test".parse::<OwnedDomain>().is_ok());
    }

    #[test]
    fn a_wildcard_covers_what_is_below_and_not_the_name_itself() {
        let wildcard: OwnedDomain = "*.acme.test".parse().unwrap();
        let covers = |text: &str| wildcard.covers(&text.parse().unwrap());
        assert!(covers("mail.acme.test") && covers("a.b.acme.test"));
        assert!(!covers("acme.test") && !covers("badacme.test"));
    }

    #[test]
    fn a_wildcard_is_covered_by_itself_and_by_those_above_it() {
        let covering = |text: &str| text.parse::<OwnedDomain>().unwrap().covering();
        assert_eq!(covering("b.acme.test"), ["b.acme.test", "*.acme.test"]);
        assert_eq!(covering("*.b.acme.test"), ["*.b.acme.test", "*.acme.test"]);
    }

    #[test]
    fn candidates_go_from_the_most_specific_to_the_least() {
        let name: DomainName = "a.b.acme.test".parse().unwrap();
        assert_eq!(OwnedDomain::candidates(&name), ["a.b.acme.test", "*.b.acme.test", "*.acme.test"]);
    }
}
