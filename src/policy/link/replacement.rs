//! Whose profile an identity takes the place of, where its connection replaces another one: an organization's people move
//! from one identity provider to the next.

use serde_json::{Map, Value};

use crate::model::{ConnectionId, Profile, ProfileKind, Replacement, Timestamp};

/// The claim that every identity has; its values are known of every profile.
pub const SUBJECT: &str = "sub";

/// The longest value by which somebody is recognized, in bytes.
const LONGEST: usize = 255;

/// Claims by which nobody is recognized: those of the token itself, those that people change themselves, and the email,
/// which never links by itself.
const NO_IDENTIFIERS: [&str; 36] = [
    "iss",
    "aud",
    "azp",
    "exp",
    "nbf",
    "iat",
    "jti",
    "nonce",
    "auth_time",
    "acr",
    "amr",
    "at_hash",
    "c_hash",
    "sid",
    "name",
    "given_name",
    "family_name",
    "middle_name",
    "nickname",
    "preferred_username",
    "profile",
    "picture",
    "website",
    "email",
    "email_verified",
    "gender",
    "birthdate",
    "zoneinfo",
    "locale",
    "phone_number",
    "phone_number_verified",
    "address",
    "updated_at",
    "upn",
    "unique_name",
    "groups",
];

/// Whether somebody may be recognized by a claim of this name.
pub fn is_identifier(claim: &str) -> bool {
    let word = |letter: char| letter.is_ascii_graphic() && !matches!(letter, '"' | '\'' | '\\');
    (1..=100).contains(&claim.len()) && claim.chars().all(word) && !NO_IDENTIFIERS.contains(&claim)
}

/// What an ID token says under a claim by which somebody is recognized; `None` for what is no text, or too long.
pub fn identifier<'a>(claim: &str, subject: &'a str, claims: &'a Map<String, Value>) -> Option<&'a str> {
    let value = if claim == SUBJECT { Some(subject) } else { claims.get(claim).and_then(Value::as_str) };
    value.filter(|value| (1..=LONGEST).contains(&value.len()))
}

/// Whether a connection replaces another one now.
pub fn is_replacing(replacement: Option<&Replacement>, now: Timestamp) -> Option<&Replacement> {
    replacement.filter(|replacement| now < replacement.until)
}

/// What becomes of an identity that nobody has yet, at a connection that replaces another one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Takeover {
    /// It takes nobody's place.
    None,
    /// It is of the same identity provider: this profile comes over to the new connection.
    Move(Profile),
    /// It is of another identity provider: it becomes a profile of the same account, beside this one.
    Join(Profile),
    /// More than one profile has the value of its claim.
    Ambiguous,
}

/// Decides. `same_identity` is the profile that the identity is already, by issuer and subject, in this organization;
/// `by_claim` are the profiles of the replaced connection which have its claim's value.
pub fn takeover(
    issuer: &str,
    replaced: ConnectionId,
    same_identity: Option<Profile>,
    by_claim: Vec<Profile>,
) -> Takeover {
    if let Some(profile) = same_identity {
        // Through a third connection it is that one's, whatever a claim says.
        let is_replaced = profile.kind.connection() == Some(replaced);
        return if is_replaced { Takeover::Move(profile) } else { Takeover::None };
    }
    let mut found = by_claim.into_iter();
    match (found.next(), found.next()) {
        (None, _) => Takeover::None,
        (Some(profile), None) => match &profile.kind {
            ProfileKind::External { issuer: old, .. } if old == issuer => Takeover::Move(profile),
            _ => Takeover::Join(profile),
        },
        (Some(_), Some(_)) => Takeover::Ambiguous,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::model::{AccountId, Handle, ProfileId};

    fn connection(number: u8) -> ConnectionId {
        ConnectionId::from_bytes([number; 16])
    }

    fn profile(number: u8, through: u8, issuer: &str) -> Profile {
        Profile {
            id: ProfileId::from_bytes([number; 16]),
            account: AccountId::from_bytes([number; 16]),
            kind: ProfileKind::External {
                connection: connection(through),
                issuer: issuer.to_owned(),
                subject: number.to_string(),
                email: None,
                email_verified: false,
            },
            created_at: Timestamp::from_unix_seconds(0),
            last_used_at: None,
        }
    }

    #[test]
    fn an_identity_takes_the_place_of_exactly_one_profile_of_the_replaced_connection() {
        let (bob, carol) = (profile(1, 1, "https://old"), profile(2, 1, "https://old"));
        let elsewhere = profile(3, 3, "https://new");
        for (issuer, same, by_claim, expected) in [
            ("https://new", None, vec![], Takeover::None),
            ("https://new", None, vec![bob.clone()], Takeover::Join(bob.clone())),
            ("https://new", None, vec![bob.clone(), carol.clone()], Takeover::Ambiguous),
            // One directory, registered anew: subjects may be other ones there.
            ("https://old", None, vec![bob.clone()], Takeover::Move(bob.clone())),
            ("https://old", Some(bob.clone()), vec![], Takeover::Move(bob.clone())),
            // Issuer and subject say more than any claim.
            ("https://old", Some(bob.clone()), vec![carol.clone()], Takeover::Move(bob)),
            ("https://new", Some(elsewhere), vec![carol], Takeover::None),
        ] {
            assert_eq!(takeover(issuer, connection(1), same, by_claim), expected);
        }
    }

    #[test]
    fn nobody_is_recognized_by_what_people_change_or_by_an_email() {
        for (claim, good) in [
            ("sub", true),
            ("oid", true),
            ("employee_id", true),
            ("https://acme.test/claims/number", true),
            ("email", false),
            ("preferred_username", false),
            ("upn", false),
            ("name", false),
            ("iss", false),
            ("", false),
            ("two words", false),
            ("quote\"", false),
        ] {
            assert_eq!(is_identifier(claim), good, "{claim}");
        }
        assert!(!is_identifier(&"x".repeat(101)));
    }

    #[test]
    fn only_text_of_a_fair_length_recognizes_somebody() {
        let Value::Object(claims) = json!({
            "oid": "7f", "empty": "", "number": 7, "list": ["7"], "long": "x".repeat(256), "sub": "not this one"
        }) else {
            unreachable!()
        };
        for (claim, expected) in [
            ("sub", Some("subject")),
            ("oid", Some("7f")),
            ("empty", None),
            ("number", None),
            ("list", None),
            ("long", None),
            ("missing", None),
        ] {
            assert_eq!(identifier(claim, "subject", &claims), expected, "{claim}");
        }
    }

    #[test]
    fn a_replacement_ends_at_its_end() {
        let end = Timestamp::from_unix_seconds(100);
        let replacement = Replacement {
            connection: "old".parse::<Handle>().unwrap(),
            claim: "oid".to_owned(),
            old_claim: "oid".to_owned(),
            until: end,
        };
        let before = Timestamp::from_unix_seconds(99);
        assert_eq!(is_replacing(Some(&replacement), before), Some(&replacement));
        assert_eq!(is_replacing(Some(&replacement), end), None);
        assert_eq!(is_replacing(None, before), None);
    }
}
