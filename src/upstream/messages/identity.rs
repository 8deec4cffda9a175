//! Turns claims into what a flow works with: who the user is at the identity provider, by the connection's mapping.
//!
//! A claim is taken from the ID token, or from UserInfo if the ID token does not have it. An email and the claim that
//! it is proven must come from the same document; otherwise the email is unproven. Flows decide whether the address
//! belongs to a domain of the organization.

use serde_json::{Map, Value};

use super::id_token::IdTokenClaims;
use crate::model::{
    ClaimMapping, Connection, ConnectionId, Contact, Email, EmailTrust, Secret, Timestamp, Waiver,
};
use crate::protocol::json::ClaimError;

const MAX_TEXT: usize = 200;
const MAX_GROUPS: usize = 1_000;
/// The longest name of a group, in characters.
const MAX_GROUP: usize = 256;
/// The longest context that an app is told, in the apps' words, in bytes.
const MAX_CONTEXT: usize = 255;

/// A user for whom an identity provider has vouched.
#[derive(Debug, Clone, PartialEq)]
pub struct VerifiedIdentity {
    /// The connection through which they signed in.
    pub connection: ConnectionId,
    /// The token's `iss`.
    pub issuer: String,
    /// The token's `sub`.
    pub subject: String,
    /// The email that the identity provider asserts.
    pub email: Option<AssertedEmail>,
    /// Names and phone number.
    pub contact: Contact,
    /// Groups; empty if none are mapped.
    pub groups: Vec<String>,
    /// `amr`.
    pub amr: Vec<String>,
    /// `acr`, in the identity provider's words.
    pub acr: Option<String>,
    /// `acr`, in the apps' words, if the mapping has one for it.
    pub mapped_acr: Option<String>,
    /// When the user signed in at the identity provider, if that is known.
    pub auth_time: Option<Timestamp>,
    /// When the ID token was issued.
    pub issued_at: Timestamp,
    /// The identity provider's session, for its logout messages.
    pub upstream_sid: Option<String>,
    /// The claims of the ID token, for expected identities.
    pub claims: Map<String, Value>,
    /// The ID token itself, for `id_token_hint` at a sign-out.
    pub id_token: IdToken,
    /// Whether the identity provider has an end-session endpoint, which would take that hint.
    pub has_end_session: bool,
}

/// An ID token as text. Tests compare it; it is never printed.
#[derive(Debug, Clone)]
pub struct IdToken(pub Secret);

impl PartialEq for IdToken {
    fn eq(&self, other: &Self) -> bool {
        crate::crypto::constant_time_eq(self.0.expose().as_bytes(), other.0.expose().as_bytes())
    }
}

/// An email, and whether the identity provider vouches for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AssertedEmail {
    /// The address.
    pub email: Email,
    /// Whether it counts as proven, by the connection's trust, as far as the identity provider can tell.
    pub verified: bool,
    /// The document that it comes from.
    pub source: ClaimSource,
}

/// Where a claim was read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ClaimSource {
    /// The ID token.
    IdToken,
    /// The UserInfo response.
    UserInfo,
}

/// Why claims cannot be mapped.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum IdentityError {
    /// A required claim is missing.
    #[error("the claim {0} is missing")]
    Missing(String),
    /// A mapped claim is of the wrong type.
    #[error("{1}")]
    Malformed(Mapped, ClaimError),
    /// The identity provider says that the user has more groups than it lists, or it lists more than the broker reads.
    #[error(
        "the identity provider left the groups out because there are too many, or sent more than 1,000; limit the groups that it sends to those assigned to the app"
    )]
    GroupsOverage,
}

/// The field that a claim is mapped to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mapped {
    /// The full name.
    Name,
    /// The given name.
    GivenName,
    /// The family name.
    FamilyName,
    /// The phone number.
    Phone,
    /// The groups.
    Groups,
}

impl IdentityError {
    /// The stable name of the reason, as in audit records.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Missing(_) => "identity_claim_missing",
            Self::Malformed(Mapped::Name, _) => "identity_name_malformed",
            Self::Malformed(Mapped::GivenName, _) => "identity_given_name_malformed",
            Self::Malformed(Mapped::FamilyName, _) => "identity_family_name_malformed",
            Self::Malformed(Mapped::Phone, _) => "identity_phone_malformed",
            Self::Malformed(Mapped::Groups, _) => "identity_groups_malformed",
            Self::GroupsOverage => "identity_groups_overage",
        }
    }
}

/// Whether the UserInfo endpoint must be called: always if the connection says so, otherwise if a claim is missing
/// that it may have.
pub(in crate::upstream) fn needs_userinfo(
    connection: &Connection,
    claims: &Map<String, Value>,
    offered: bool,
) -> bool {
    let settings = &connection.settings;
    let mapping = &settings.claims;
    let missing = |name: &str| value(claims, name).is_none();
    let nameless = missing(&mapping.name) && missing(&mapping.given_name) && missing(&mapping.family_name);
    let groupless = mapping.groups.as_deref().is_some_and(missing);
    settings.always_userinfo
        || mapping.required.iter().any(|name| missing(name))
        || (offered && (missing(&mapping.email) || nameless || groupless))
}

/// Maps verified claims. If several of the apps' words map to the identity provider's `acr`, one of `wanted` is
/// chosen.
pub(in crate::upstream) fn map(
    connection: &Connection,
    id_token: IdTokenClaims,
    userinfo: Option<&Map<String, Value>>,
    token: Secret,
    wanted: &[String],
    now: Timestamp,
) -> Result<VerifiedIdentity, IdentityError> {
    let mapping = &connection.settings.claims;
    let documents = Documents { id_token: &id_token.all, userinfo };
    if let Some(name) = mapping.required.iter().find(|name| documents.find(name).is_none()) {
        return Err(IdentityError::Missing(name.clone()));
    }
    let contact = Contact {
        name: documents.text(Mapped::Name, &mapping.name)?,
        given_name: documents.text(Mapped::GivenName, &mapping.given_name)?,
        family_name: documents.text(Mapped::FamilyName, &mapping.family_name)?,
        phone: documents.text(Mapped::Phone, &mapping.phone)?,
    };
    let email = documents.email(connection, now);
    let groups = documents.groups(mapping)?;
    let words = &connection.settings.acr_values;
    let means_it = |word: &&String| {
        word.len() <= MAX_CONTEXT && words.get(*word).is_some() && words.get(*word) == id_token.acr.as_ref()
    };
    let mapped_acr = wanted.iter().chain(words.keys()).find(means_it).cloned();
    Ok(VerifiedIdentity {
        connection: connection.id,
        email,
        contact,
        groups,
        mapped_acr,
        issuer: id_token.issuer,
        subject: id_token.subject,
        amr: id_token.amr,
        acr: id_token.acr,
        auth_time: id_token.auth_time,
        issued_at: id_token.issued_at,
        upstream_sid: id_token.sid,
        claims: id_token.all,
        id_token: IdToken(token),
        has_end_session: false,
    })
}

/// A claim that has a value. `null` counts as absent here, since identity providers write it for what they do not
/// know.
fn value<'a>(claims: &'a Map<String, Value>, name: &str) -> Option<&'a Value> {
    claims.get(name).filter(|value| !value.is_null())
}

#[derive(Clone, Copy)]
struct Documents<'a> {
    id_token: &'a Map<String, Value>,
    userinfo: Option<&'a Map<String, Value>>,
}

impl<'a> Documents<'a> {
    fn find(self, name: &str) -> Option<&'a Value> {
        value(self.id_token, name).or_else(|| value(self.userinfo?, name))
    }

    /// A text for display: without control characters, cut to a maximal length. An empty text counts as absent.
    fn text(self, mapped: Mapped, name: &str) -> Result<Option<String>, IdentityError> {
        let Some(found) = self.find(name) else { return Ok(None) };
        let text = found.as_str().ok_or_else(|| malformed(mapped, name))?;
        let clean: String = text.chars().filter(|c| !c.is_control()).take(MAX_TEXT).collect();
        Ok(Some(clean.trim().to_owned()).filter(|text| !text.is_empty()))
    }

    /// The email. If both documents name one, neither may contradict the other: two different addresses are unproven,
    /// and so is an address that either document calls unproven.
    fn email(self, connection: &Connection, now: Timestamp) -> Option<AssertedEmail> {
        let from = |document, source| asserted(connection, document, source, now);
        let first = from(self.id_token, ClaimSource::IdToken);
        let second = self.userinfo.and_then(|document| from(document, ClaimSource::UserInfo));
        let (Some(one), Some(two)) = (&first, &second) else { return first.or(second) };
        let denied = |document| vouched(connection, document, now) == Some(false);
        let contradicted = one.email.canonical() != two.email.canonical()
            || denied(self.id_token)
            || self.userinfo.is_some_and(denied);
        match (contradicted, one.verified, two.verified) {
            (true, _, _) => first.map(|email| AssertedEmail { verified: false, ..email }),
            (false, false, true) => second,
            (false, _, _) => first,
        }
    }

    fn groups(self, mapping: &ClaimMapping) -> Result<Vec<String>, IdentityError> {
        let Some(name) = &mapping.groups else { return Ok(Vec::new()) };
        let overage = |document: &Map<String, Value>| {
            let elsewhere = document.get("_claim_names");
            elsewhere.is_some_and(|names| names.as_object().is_none_or(|names| names.contains_key(name)))
                || value(document, "hasgroups").is_some_and(|flag| flag != &Value::Bool(false))
        };
        if overage(self.id_token) || self.userinfo.is_some_and(overage) {
            return Err(IdentityError::GroupsOverage);
        }
        let wrong = || malformed(Mapped::Groups, name);
        let groups: Vec<String> = match self.find(name) {
            None => Vec::new(),
            Some(Value::String(text)) => {
                text.split(',').map(str::trim).filter(|group| !group.is_empty()).map(str::to_owned).collect()
            }
            Some(Value::Array(items)) => {
                let texts = items.iter().map(|item| item.as_str().map(str::to_owned));
                texts.collect::<Option<_>>().ok_or_else(wrong)?
            }
            Some(_) => return Err(wrong()),
        };
        if groups.len() > MAX_GROUPS {
            return Err(IdentityError::GroupsOverage);
        }
        if groups.iter().any(|group| group.chars().count() > MAX_GROUP) {
            return Err(wrong());
        }
        Ok(groups)
    }
}

fn malformed(mapped: Mapped, name: &str) -> IdentityError {
    IdentityError::Malformed(mapped, ClaimError::WrongType(name.to_owned()))
}

/// The email of one document, with the same document's statement about it. A text that is not an address counts as
/// absent.
fn asserted(
    connection: &Connection,
    document: &Map<String, Value>,
    source: ClaimSource,
    now: Timestamp,
) -> Option<AssertedEmail> {
    let email: Email = value(document, &connection.settings.claims.email)?.as_str()?.parse().ok()?;
    let settings = &connection.settings;
    let verified = match settings.email_trust {
        // A second safeguard: `apply` accepts no such connection. Several tenants would vouch for each other's
        // addresses.
        EmailTrust::Authoritative if settings.is_of_one_tenant(&connection.issuer) => {
            vouched(connection, document, now) != Some(false)
        }
        EmailTrust::Claim | EmailTrust::Authoritative => vouched(connection, document, now) == Some(true),
    };
    Some(AssertedEmail { email, verified, source })
}

/// A document's statement about its email. `true` means yes, and so does the text "true" under a waiver. An absent
/// claim is `None`, and everything else means no.
fn vouched(connection: &Connection, document: &Map<String, Value>, now: Timestamp) -> Option<bool> {
    let settings = &connection.settings;
    match value(document, &settings.claims.email_verified)? {
        Value::Bool(flag) => Some(*flag),
        Value::String(text) => Some(text == "true" && settings.waives(Waiver::StringEmailVerified, now)),
        _ => Some(false),
    }
}

#[cfg(test)]
mod tests;
