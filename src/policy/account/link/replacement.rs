//! Which profile an identity takes over when its connection replaces another one: the people of an organization move
//! to another identity provider, or to another registration at the same one.

use serde_json::{Map, Value};

use super::{Holder, LinkRefusal, Newcomer, may_join};
use crate::model::{
    ClaimMapping, Connection, ConnectionId, Email, Profile, ProfileId, REPLACEMENT_WINDOW, Replacement,
    Timestamp,
};

/// The claim that every identity has. Its value is known for every profile.
pub const SUBJECT: &str = "sub";

/// The longest claim value that can identify a user, in bytes.
const LONGEST: usize = 255;

/// Claims that cannot identify a user, in lower case: the claims of the token itself, values that many people share,
/// values that people can change themselves, and every claim that carries an email, because an email alone never
/// links.
const NO_IDENTIFIERS: [&str; 48] = [
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
    "tid",
    "hd",
    "idp",
    "groups",
    "roles",
    "name",
    "given_name",
    "family_name",
    "middle_name",
    "nickname",
    "preferred_username",
    "profile",
    "picture",
    "website",
    "gender",
    "birthdate",
    "zoneinfo",
    "locale",
    "phone_number",
    "phone_number_verified",
    "address",
    "updated_at",
    "email",
    "emails",
    "email_address",
    "email_verified",
    "mail",
    "verified_primary_email",
    "verified_secondary_email",
    "xms_edov",
    "upn",
    "unique_name",
    "username",
    "user_name",
];

/// Whether a claim of this name may identify users of a connection that reads its claims by `mapping`.
pub fn is_identifier(claim: &str, mapping: &ClaimMapping) -> bool {
    let ClaimMapping { email, email_verified, name, given_name, family_name, phone, groups, .. } = mapping;
    let mapped = [email, email_verified, name, given_name, family_name, phone];
    let is_mapped = mapped.into_iter().chain(groups).any(|mapped| mapped == claim);
    let word = |letter: char| letter.is_ascii_graphic() && !matches!(letter, '"' | '\'' | '\\');
    (1..=100).contains(&claim.len())
        && claim.chars().all(word)
        && !is_mapped
        && !NO_IDENTIFIERS.contains(&claim.to_ascii_lowercase().as_str())
}

/// The value of a claim that identifies a user in an ID token; `None` if it is not a single line of text, is too long,
/// or is an email.
pub fn identifier<'a>(claim: &str, claims: &'a Map<String, Value>) -> Option<&'a str> {
    let value = claims.get(claim).and_then(Value::as_str)?;
    let is_line = (1..=LONGEST).contains(&value.len()) && !value.chars().any(char::is_control);
    (is_line && (claim == SUBJECT || value.parse::<Email>().is_err())).then_some(value)
}

/// The replacement that is in force now, if there is one.
pub fn current(replacement: Option<&Replacement>, now: Timestamp) -> Option<&Replacement> {
    replacement.filter(|replacement| now < replacement.until)
}

/// The profile that an identity takes over, where the identity belongs to no account at its own connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Predecessor {
    /// No profile.
    None,
    /// This profile.
    Is(Profile),
    /// More than one profile has the value of its claim.
    Ambiguous,
}

/// Decides which profile the identity takes over. `same_identity` is the profile in this organization with the same
/// issuer and subject; `by_claim` are the profiles of the replaced connection with the same value of the claim.
pub fn predecessor(
    replaced: ConnectionId,
    same_identity: Option<Profile>,
    by_claim: Vec<Profile>,
) -> Predecessor {
    if let Some(profile) = same_identity {
        // A profile of a third connection stays there, whatever a claim says.
        let is_replaced = profile.kind.connection() == Some(replaced);
        return if is_replaced { Predecessor::Is(profile) } else { Predecessor::None };
    }
    let mut found = by_claim.into_iter();
    match (found.next(), found.next()) {
        (None, _) => Predecessor::None,
        (Some(profile), None) => Predecessor::Is(profile),
        (Some(_), Some(_)) => Predecessor::Ambiguous,
    }
}

/// Whether an identity of this identity provider may take over a profile. A break-glass account stays as the operator
/// made it.
pub fn may_replace(
    mut holder: Holder,
    old: ProfileId,
    issuer: &str,
    is_emergency: bool,
) -> Result<(), LinkRefusal> {
    if is_emergency {
        return Err(LinkRefusal::Emergency);
    }
    holder.profiles.retain(|held| held.id != old);
    may_join(Newcomer::Identity(issuer), &holder)
}

/// Why a connection cannot replace another one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// It would replace itself.
    Itself,
    /// Each would replace the other.
    EachOther,
    /// The other connection does not record the claim that identifies the users.
    NotKept,
    /// It would last longer than 30 days.
    TooLong,
}

/// Checks the replacement of a connection against the connection that it names.
pub fn check(new: ConnectionId, replacement: &Replacement, old: &Connection) -> Result<(), Fault> {
    let kept = &old.settings.kept_claims;
    if old.id == new {
        return Err(Fault::Itself);
    }
    if old.settings.replaces.as_ref().is_some_and(|back| back.connection == new) {
        return Err(Fault::EachOther);
    }
    if replacement.old_claim != SUBJECT && !kept.contains(&replacement.old_claim) {
        return Err(Fault::NotKept);
    }
    if replacement.since.after(REPLACEMENT_WINDOW) < replacement.until {
        return Err(Fault::TooLong);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use serde_json::json;

    use super::super::HeldProfile;
    use super::*;
    use crate::model::{AccountId, ConnectionSettings, OrganizationId, ProfileKind, Vendor};

    const DAY: Duration = Duration::from_hours(24);

    fn connection_id(number: u8) -> ConnectionId {
        ConnectionId::from_bytes([number; 16])
    }

    fn profile(number: u8, through: u8, issuer: &str) -> Profile {
        Profile {
            id: ProfileId::from_bytes([number; 16]),
            account: AccountId::from_bytes([number; 16]),
            kind: ProfileKind::External {
                connection: connection_id(through),
                issuer: issuer.to_owned(),
                subject: number.to_string(),
                email: None,
                email_verified: false,
            },
            created_at: Timestamp::from_unix_seconds(0),
            last_used_at: None,
        }
    }

    fn replacement(old: u8, claim: &str, days: u32) -> Replacement {
        let since = Timestamp::from_unix_seconds(1_000_000);
        Replacement {
            connection: connection_id(old),
            claim: "oid".to_owned(),
            old_claim: claim.to_owned(),
            since,
            until: since.after(days * DAY),
        }
    }

    #[test]
    fn an_identity_takes_the_place_of_exactly_one_profile_of_the_replaced_connection() {
        let (bob, carol) = (profile(1, 1, "https://old"), profile(2, 1, "https://old"));
        let elsewhere = profile(3, 3, "https://new");
        for (same, by_claim, expected) in [
            (None, vec![], Predecessor::None),
            (None, vec![bob.clone()], Predecessor::Is(bob.clone())),
            (None, vec![bob.clone(), carol.clone()], Predecessor::Ambiguous),
            (Some(bob.clone()), vec![], Predecessor::Is(bob.clone())),
            // Issuer and subject outweigh every claim.
            (Some(bob.clone()), vec![carol.clone()], Predecessor::Is(bob)),
            (Some(elsewhere), vec![carol], Predecessor::None),
        ] {
            assert_eq!(predecessor(connection_id(1), same, by_claim), expected);
        }
    }

    #[test]
    fn claims_that_people_change_or_share_and_emails_identify_no_user() {
        let usual = ClaimMapping::default();
        for (claim, good) in [
            ("sub", true),
            ("oid", true),
            ("employee_id", true),
            ("https://acme.test/claims/number", true),
            ("email", false),
            ("Email", false),
            ("mail", false),
            ("preferred_username", false),
            ("upn", false),
            ("name", false),
            ("tid", false),
            ("roles", false),
            ("iss", false),
            ("", false),
            ("two words", false),
            ("quote\"", false),
        ] {
            assert_eq!(is_identifier(claim, &usual), good, "{claim}");
        }
        assert!(!is_identifier(&"x".repeat(101), &usual));
        // Nor by a claim that the connection reads as an email, a name or groups.
        let own = ClaimMapping {
            email: "contact".to_owned(),
            phone: "desk".to_owned(),
            groups: Some("teams".to_owned()),
            ..ClaimMapping::default()
        };
        for claim in ["contact", "desk", "teams"] {
            assert!(is_identifier(claim, &usual) && !is_identifier(claim, &own), "{claim}");
        }
    }

    #[test]
    fn only_a_line_of_text_that_is_not_an_email_identifies_a_user() {
        let Value::Object(claims) = json!({
            "sub": "bob@acme.test", "oid": "7f", "empty": "", "number": 7, "list": ["7"], "long": "x".repeat(256),
            "longest": "x".repeat(255), "mailbox": "bob@acme.test", "zero": "7\u{0}", "lines": "7\n8"
        }) else {
            unreachable!()
        };
        for (claim, found) in [
            ("sub", true),
            ("oid", true),
            ("longest", true),
            ("empty", false),
            ("number", false),
            ("list", false),
            ("long", false),
            ("mailbox", false),
            ("zero", false),
            ("lines", false),
            ("missing", false),
        ] {
            assert_eq!(identifier(claim, &claims).is_some(), found, "{claim}");
        }
        assert_eq!(identifier("oid", &claims), Some("7f"));
    }

    #[test]
    fn a_replacement_ends_at_its_end() {
        let ten_days = replacement(1, "oid", 10);
        let (before, end) = (ten_days.until.before(Duration::from_micros(1)), ten_days.until);
        assert_eq!(current(Some(&ten_days), before), Some(&ten_days));
        assert_eq!(current(Some(&ten_days), end), None);
        assert_eq!(current(None, before), None);
    }

    #[test]
    fn a_place_is_taken_where_the_account_has_room_for_that_provider() {
        let held = |number: u8, issuer: &str| HeldProfile {
            id: ProfileId::from_bytes([number; 16]),
            issuer: Some(issuer.to_owned()),
            usable: true,
        };
        let holder = |profiles: Vec<HeldProfile>| Holder {
            account: AccountId::from_bytes([1; 16]),
            enabled: true,
            profiles,
        };
        let old = ProfileId::from_bytes([1; 16]);
        let full: Vec<HeldProfile> = (1..=25).map(|number| held(number, &format!("i{number}"))).collect();
        for (holder, issuer, emergency, expected) in [
            (holder(vec![held(1, "old")]), "new", false, Ok(())),
            // The old profile is the one that ends.
            (holder(vec![held(1, "old")]), "old", false, Ok(())),
            (holder(full), "new", false, Ok(())),
            (holder(vec![held(1, "old"), held(2, "new")]), "new", false, Err(LinkRefusal::SameProvider)),
            (holder(vec![held(1, "old")]), "new", true, Err(LinkRefusal::Emergency)),
            (
                Holder { enabled: false, ..holder(vec![held(1, "old")]) },
                "new",
                false,
                Err(LinkRefusal::Disabled),
            ),
        ] {
            assert_eq!(may_replace(holder.clone(), old, issuer, emergency), expected, "{holder:?} {issuer}");
        }
    }

    #[test]
    fn what_a_connection_replaces_is_another_one_that_keeps_the_claim_and_not_for_longer_than_30_days() {
        let old = |kept: &[&str], replaces: Option<Replacement>| Connection {
            id: connection_id(1),
            organization: OrganizationId::from_bytes([9; 16]),
            handle: "old".parse().unwrap(),
            name: "Old".to_owned(),
            enabled: true,
            issuer: "https://old".to_owned(),
            client_id: "countersign".to_owned(),
            settings: ConnectionSettings {
                kept_claims: kept.iter().map(|claim| (*claim).to_owned()).collect(),
                replaces,
                ..ConnectionSettings::for_vendor(Vendor::Generic)
            },
            created_at: Timestamp::from_unix_seconds(0),
        };
        for (new, wanted, old, expected) in [
            (2, replacement(1, "oid", 30), old(&["oid"], None), Ok(())),
            (2, replacement(1, "sub", 30), old(&[], None), Ok(())),
            (2, replacement(1, "oid", 31), old(&["oid"], None), Err(Fault::TooLong)),
            (2, replacement(1, "oid", 30), old(&["other"], None), Err(Fault::NotKept)),
            (1, replacement(1, "sub", 30), old(&[], None), Err(Fault::Itself)),
            (2, replacement(1, "sub", 30), old(&[], Some(replacement(2, "sub", 1))), Err(Fault::EachOther)),
            (2, replacement(1, "sub", 30), old(&[], Some(replacement(3, "sub", 1))), Ok(())),
        ] {
            assert_eq!(check(connection_id(new), &wanted, &old), expected, "{wanted:?}");
        }
    }
}
