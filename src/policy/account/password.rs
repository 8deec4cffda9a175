//! The rules for a new password.

use unicode_normalization::UnicodeNormalization;

/// Which rules apply.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PasswordRules {
    /// 8 to 64 characters of printable ASCII with an upper-case letter, a lower-case letter and a digit. A user who
    /// chooses a password may not choose one of their account's last three.
    Classic,
    /// 15 to 256 characters of any kind, except the common passwords (NIST SP 800-63B-4, section 3.1.1.2).
    Nist,
}

impl PasswordRules {
    /// Whether these rules forbid the account's last passwords.
    pub const fn forbids_recent(self) -> bool {
        matches!(self, Self::Classic)
    }
}

/// A rule that a password breaks. The message says what to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BrokenRule {
    /// Too few characters.
    #[error("use more characters")]
    TooShort,
    /// Too many characters.
    #[error("use fewer characters")]
    TooLong,
    /// No upper-case letter.
    #[error("use at least one upper-case letter")]
    NoUpperCase,
    /// No lower-case letter.
    #[error("use at least one lower-case letter")]
    NoLowerCase,
    /// No digit.
    #[error("use at least one digit")]
    NoDigit,
    /// A character that is not a letter, digit or symbol of ASCII.
    #[error("use only letters, digits and symbols of the English keyboard, without spaces")]
    Characters,
    /// One of the first passwords that attackers try.
    #[error("use something that is not among the most common passwords")]
    Common,
    /// One of the account's last three. They are known by their hashes alone, so `broken_rules` does not find this.
    #[error("use something else than your last three passwords")]
    Recent,
}

/// All rules that a password breaks.
pub fn broken_rules(rules: PasswordRules, password: &str) -> Vec<BrokenRule> {
    match rules {
        PasswordRules::Classic => broken_classic(password),
        PasswordRules::Nist => broken_nist(password),
    }
}

/// The form in which a password is hashed: NFC, so that one keyboard's composed characters equal another's.
pub fn normalize(password: &str) -> String {
    password.nfc().collect()
}

fn broken_classic(password: &str) -> Vec<BrokenRule> {
    let length = password.chars().count();
    let checks = [
        (length < 8, BrokenRule::TooShort),
        (length > 64, BrokenRule::TooLong),
        (!password.chars().any(|c| c.is_ascii_uppercase()), BrokenRule::NoUpperCase),
        (!password.chars().any(|c| c.is_ascii_lowercase()), BrokenRule::NoLowerCase),
        (!password.chars().any(|c| c.is_ascii_digit()), BrokenRule::NoDigit),
        (!password.chars().all(|c| c.is_ascii_graphic()), BrokenRule::Characters),
    ];
    checks.into_iter().filter(|(broken, _)| *broken).map(|(_, rule)| rule).collect()
}

fn broken_nist(password: &str) -> Vec<BrokenRule> {
    let normalized = normalize(password);
    let length = normalized.chars().count();
    let repeats = normalized.chars().all(|c| normalized.starts_with(c));
    let common = repeats || COMMON.iter().any(|word| is_repetition(&normalized.to_lowercase(), word));
    let checks = [
        (length < 15, BrokenRule::TooShort),
        (length > 256, BrokenRule::TooLong),
        (common, BrokenRule::Common),
    ];
    checks.into_iter().filter(|(broken, _)| *broken).map(|(_, rule)| rule).collect()
}

fn is_repetition(text: &str, word: &str) -> bool {
    !text.is_empty() && text.chars().zip(word.chars().cycle()).all(|(a, b)| a == b)
}

/// Words that people repeat to reach fifteen characters.
const COMMON: [&str; 12] = [
    "password",
    "passwort",
    "1234567890",
    "0123456789",
    "123456789",
    "12345678",
    "123456",
    "qwertyuiop",
    "qwertzuiop",
    "abcdefghijklmnopqrstuvwxyz",
    "iloveyou",
    "letmein",
];

#[cfg(test)]
mod tests {
    use super::*;
    use BrokenRule::{Characters, Common, NoDigit, NoLowerCase, NoUpperCase, TooLong, TooShort};

    #[test]
    fn classic_names_every_rule_that_is_broken() {
        for (password, broken) in [
            ("Correct7", vec![]),
            ("~!@#$%^&*()Aa1", vec![]),
            ("Short7a", vec![TooShort]),
            ("nouppercase7", vec![NoUpperCase]),
            ("NOLOWERCASE7", vec![NoLowerCase]),
            ("NoDigitHere", vec![NoDigit]),
            ("With Space7", vec![Characters]),
            ("\u{dc}mlaut7aaaA", vec![Characters]),
            ("", vec![TooShort, NoUpperCase, NoLowerCase, NoDigit]),
        ] {
            assert_eq!(broken_rules(PasswordRules::Classic, password), broken, "{password}");
        }
        let (longest, longer) = (format!("Aa1{}", "x".repeat(61)), format!("Aa1{}", "x".repeat(62)));
        assert_eq!(broken_rules(PasswordRules::Classic, &longest), vec![]);
        assert_eq!(broken_rules(PasswordRules::Classic, &longer), vec![TooLong]);
    }

    #[test]
    fn nist_asks_for_length_and_against_the_common() {
        for (password, broken) in [
            ("correct horse battery", vec![]),
            ("\u{fc}ber alle Berge hinweg", vec![]),
            ("too short", vec![TooShort]),
            ("passwordpassword", vec![Common]),
            ("1234567890123456", vec![Common]),
            ("aaaaaaaaaaaaaaaaaaa", vec![Common]),
        ] {
            assert_eq!(broken_rules(PasswordRules::Nist, password), broken, "{password}");
        }
    }

    #[test]
    fn composed_and_decomposed_characters_are_one_password() {
        assert_eq!(normalize("u\u{308}"), normalize("\u{fc}"));
    }
}
