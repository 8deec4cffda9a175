//! Connections: an external OpenID Provider as one organization has registered it.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::model::value::words::word_enum;
use crate::model::{ConnectionId, Handle, OrganizationId, OwnedDomain, SigningAlg, Timestamp};

/// What stands in an issuer for the tenant, where an identity provider serves several under one template (Entra ID).
pub const TENANT: &str = "{tenantid}";

word_enum! {
    /// How the broker authenticates at the identity provider's token endpoint.
    UpstreamAuth {
        /// HTTP Basic (RFC 6749, section 2.3.1).
        ClientSecretBasic = "client_secret_basic",
        /// In the body of the form.
        ClientSecretPost = "client_secret_post",
        /// A JWT signed by one of the broker's keys (RFC 7523).
        PrivateKeyJwt = "private_key_jwt",
    }
}

word_enum! {
    /// The `aud` of an assertion of [`UpstreamAuth::PrivateKeyJwt`].
    AssertionAudience {
        /// The issuer.
        Issuer = "issuer",
        /// The token endpoint (Okta, ADFS).
        TokenEndpoint = "token_endpoint",
    }
}

word_enum! {
    /// When an email of this connection counts as proven.
    EmailTrust {
        /// When the identity provider says `email_verified: true`.
        Claim = "claim",
        /// When the identity provider does not say that it is unproven.
        Authoritative = "authoritative",
    }
}

word_enum! {
    /// How a fresh sign-in is recognized when the identity provider sends no `auth_time`.
    Freshness {
        /// By `auth_time`, or by `iat` if the vendor honours `prompt=login`.
        AuthTime = "auth_time",
        /// By the time of the upstream request alone. This needs a waiver.
        RoundTrip = "round_trip",
    }
}

word_enum! {
    /// When a second factor at the identity provider counts.
    UpstreamMfa {
        /// When `amr` or `acr` says so.
        Claim = "claim",
        /// Always, because the administrator attests to it.
        Attested = "attested",
    }
}

word_enum! {
    /// Whether a sign-out continues at the identity provider.
    UpstreamLogout {
        /// The user is asked.
        Ask = "ask",
        /// Always.
        Always = "always",
        /// Never.
        Never = "never",
    }
}

word_enum! {
    /// Vendors whose behaviour is known: a name for a set of defaults. Every setting overrides its default.
    Vendor {
        /// Follows the standards.
        Generic = "generic",
        /// Okta.
        Okta = "okta",
        /// Microsoft Entra ID.
        Entra = "entra",
        /// Google.
        Google = "google",
        /// Keycloak.
        Keycloak = "keycloak",
        /// Active Directory Federation Services.
        Adfs = "adfs",
        /// Ping.
        Ping = "ping",
    }
}

/// An external `OpenID` Provider as one organization has registered it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Connection {
    /// Stable id; part of the callback's path.
    pub id: ConnectionId,
    /// The organization that registered it.
    pub organization: OrganizationId,
    /// Short name, unique in the organization.
    pub handle: Handle,
    /// The name that users see: "Sign in with …".
    pub name: String,
    /// Whether users can sign in through it.
    pub enabled: bool,
    /// The issuer, byte for byte as in its metadata and tokens. It may contain `{tenantid}`.
    pub issuer: String,
    /// The broker's client id at the identity provider.
    pub client_id: String,
    /// Everything else.
    pub settings: ConnectionSettings,
    /// When it was created.
    pub created_at: Timestamp,
}

/// How an issuer that somebody states relates to a connection's own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum IssuerMatch<'a> {
    /// The same, byte for byte, and no template.
    Same,
    /// The template, filled with this tenant. Whether the tenant may come is a question of its own.
    Tenant(&'a str),
    /// Another issuer.
    Other,
}

impl Connection {
    /// Holds `issuer` against the connection's, which may be a template for tenants.
    pub fn match_issuer<'a>(&self, issuer: &'a str) -> IssuerMatch<'a> {
        let Some((before, after)) = self.issuer.split_once(TENANT) else {
            return if self.issuer == issuer { IssuerMatch::Same } else { IssuerMatch::Other };
        };
        let tenant = issuer.strip_prefix(before).and_then(|rest| rest.strip_suffix(after));
        tenant.filter(|tenant| is_tenant(tenant)).map_or(IssuerMatch::Other, IssuerMatch::Tenant)
    }

    /// Whether `issuer` is the connection's, and of a tenant that may come where the connection's is a template.
    pub fn allows_issuer(&self, issuer: &str) -> bool {
        match self.match_issuer(issuer) {
            IssuerMatch::Same => true,
            IssuerMatch::Tenant(tenant) => self.settings.allows_tenant(tenant),
            IssuerMatch::Other => false,
        }
    }
}

fn is_tenant(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.'))
}

/// What a connection asks, trusts and demands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConnectionSettings {
    /// The vendor, whose defaults apply.
    pub vendor: Vendor,
    /// Where the metadata is, if its address does not derive from the issuer.
    pub discovery_url: Option<String>,
    /// Client authentication. `None` chooses the first method that the metadata offers and the credential fits.
    pub auth: Option<UpstreamAuth>,
    /// `aud` of a client assertion.
    pub assertion_audience: AssertionAudience,
    /// The scopes that the broker requests.
    pub scopes: Vec<String>,
    /// Whether to call the UserInfo endpoint even if the ID token has every claim.
    pub always_userinfo: bool,
    /// Whether a first sign-in creates an account.
    pub new_accounts: bool,
    /// The only algorithm that ID tokens may have.
    pub id_token_alg: SigningAlg,
    /// Audiences that an ID token may have beside the client id.
    pub trusted_audiences: Vec<String>,
    /// Claims that must have one of these values (`hd`, `tid`).
    pub required_claims: BTreeMap<String, Vec<String>>,
    /// Tenants that may take the place of `{tenantid}` in the issuer.
    pub tenants: Vec<String>,
    /// When an email counts as proven.
    pub email_trust: EmailTrust,
    /// Which claim carries which value.
    pub claims: ClaimMapping,
    /// The parts of an authorization request that the identity provider understands.
    pub capabilities: Capabilities,
    /// For each `acr` value of an app, the identity provider's own.
    pub acr_values: BTreeMap<String, String>,
    /// How a fresh sign-in is recognized.
    pub freshness: Freshness,
    /// When a second factor at the identity provider counts.
    pub mfa: UpstreamMfa,
    /// Whether a sign-out continues at the identity provider.
    pub upstream_logout: UpstreamLogout,
    /// Relaxations of the checks, each with the time at which it ends.
    pub waivers: BTreeMap<Waiver, Timestamp>,
    /// Claims of the ID token whose values are recorded with a profile at each sign-in. A connection that replaces
    /// this one can then identify the user by them.
    #[serde(default)]
    pub kept_claims: Vec<String>,
    /// Which connection this one replaces, and until when.
    #[serde(default)]
    pub replaces: Option<Replacement>,
    /// Domains whose addresses the identity provider vouches for although they do not route to this connection.
    #[serde(default)]
    pub trusted_email_domains: Vec<OwnedDomain>,
}

/// An identity provider that serves many organizations under one issuer without a tenant in it.
const GOOGLE: &str = "https://accounts.google.com";

/// Whether many organizations share an issuer, so that the issuer alone does not say whose users it signs in.
pub fn is_shared_issuer(issuer: &str) -> bool {
    issuer.contains(TENANT)
        || issuer.trim_end_matches('/') == GOOGLE
        || issuer.split('/').any(|part| matches!(part, "common" | "organizations" | "consumers"))
}

/// A connection replaces another one of its organization: a user who first signs in through it is identified by a
/// claim that both identity providers know.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Replacement {
    /// The connection that is replaced.
    pub connection: ConnectionId,
    /// The claim of the new identity provider's ID token.
    pub claim: String,
    /// The claim of the old identity provider with the same value: `sub`, or one of the `kept_claims` of its
    /// connection.
    pub old_claim: String,
    /// When it was first declared.
    pub since: Timestamp,
    /// When it ends.
    pub until: Timestamp,
}

/// The longest time that a [`Replacement`] may last.
pub const REPLACEMENT_WINDOW: Duration = Duration::from_hours(30 * 24);

word_enum! {
    /// A relaxation of the strict checks, which an administrator may grant until a date.
    Waiver {
        /// `email_verified` may be the string `"true"`.
        StringEmailVerified = "string_email_verified",
        /// [`Freshness::RoundTrip`] may be used.
        RoundTripFreshness = "round_trip_freshness",
    }
}

/// Which claim of the identity provider carries which value.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClaimMapping {
    /// Email address.
    pub email: String,
    /// Whether the address is proven.
    pub email_verified: String,
    /// Full name.
    pub name: String,
    /// Given name.
    pub given_name: String,
    /// Family name.
    pub family_name: String,
    /// Phone number.
    pub phone: String,
    /// Groups, as an array, a string or a comma-separated list. `None` reads no groups.
    pub groups: Option<String>,
    /// Claims without which a sign-in is refused.
    pub required: Vec<String>,
}

impl Default for ClaimMapping {
    fn default() -> Self {
        Self {
            email: "email".to_owned(),
            email_verified: "email_verified".to_owned(),
            name: "name".to_owned(),
            given_name: "given_name".to_owned(),
            family_name: "family_name".to_owned(),
            phone: "phone_number".to_owned(),
            groups: None,
            required: Vec::new(),
        }
    }
}

/// The parts of an authorization request that an identity provider understands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Capabilities {
    /// The `prompt` values that are passed on, out of `login` and `select_account`.
    pub prompts: Vec<String>,
    /// Whether `max_age` is passed on.
    pub max_age: bool,
    /// Whether `login_hint` is passed on.
    pub login_hint: bool,
    /// Whether `prompt=login` is known to force a new sign-in, so that `iat` proves when it took place.
    pub honours_prompt_login: bool,
}

impl Capabilities {
    /// The capabilities of an identity provider that follows the standards.
    pub fn standard() -> Self {
        Self {
            prompts: vec!["login".to_owned(), "select_account".to_owned()],
            max_age: true,
            login_hint: true,
            honours_prompt_login: false,
        }
    }
}

impl ConnectionSettings {
    /// The defaults for a vendor, from its known behaviour.
    pub fn for_vendor(vendor: Vendor) -> Self {
        let mut settings = Self {
            vendor,
            discovery_url: None,
            auth: None,
            assertion_audience: AssertionAudience::Issuer,
            scopes: ["openid", "email", "profile"].map(str::to_owned).to_vec(),
            always_userinfo: false,
            new_accounts: true,
            id_token_alg: SigningAlg::RS256,
            trusted_audiences: Vec::new(),
            required_claims: BTreeMap::new(),
            tenants: Vec::new(),
            email_trust: EmailTrust::Claim,
            claims: ClaimMapping::default(),
            capabilities: Capabilities::standard(),
            acr_values: BTreeMap::new(),
            freshness: Freshness::AuthTime,
            mfa: UpstreamMfa::Claim,
            upstream_logout: UpstreamLogout::Ask,
            waivers: BTreeMap::new(),
            kept_claims: Vec::new(),
            replaces: None,
            trusted_email_domains: Vec::new(),
        };
        match vendor {
            Vendor::Generic | Vendor::Keycloak | Vendor::Ping => {}
            Vendor::Okta => settings.assertion_audience = AssertionAudience::TokenEndpoint,
            Vendor::Entra => {
                "xms_edov".clone_into(&mut settings.claims.email_verified);
                settings.capabilities.max_age = false;
                settings.capabilities.honours_prompt_login = true;
            }
            Vendor::Google => {
                settings.capabilities.prompts = vec!["select_account".to_owned()];
                settings.capabilities.max_age = false;
            }
            Vendor::Adfs => {
                settings.assertion_audience = AssertionAudience::TokenEndpoint;
                settings.capabilities.prompts = vec!["login".to_owned()];
                settings.capabilities.honours_prompt_login = true;
                "upn".clone_into(&mut settings.claims.email);
            }
        }
        settings
    }

    /// Whether every user whom the identity provider signs in belongs to one tenant of it, so that the administrator
    /// of that tenant alone vouches for them. Only then may the connection be [`EmailTrust::Authoritative`].
    pub fn is_of_one_tenant(&self, issuer: &str) -> bool {
        let one =
            |values: &[String]| values.first().is_some_and(|first| values.iter().all(|value| value == first));
        let demands_one = |claim: &str| self.required_claims.get(claim).is_some_and(|values| one(values));
        if issuer.trim_end_matches('/') == GOOGLE {
            return demands_one("hd");
        }
        !is_shared_issuer(issuer) || demands_one("tid") || (issuer.contains(TENANT) && one(&self.tenants))
    }

    /// Whether a tenant may stand for [`TENANT`] in the issuer.
    pub fn allows_tenant(&self, tenant: &str) -> bool {
        self.tenants.iter().any(|allowed| allowed == tenant)
    }

    /// Whether a sign-in counts as recent although the identity provider does not say when it was.
    pub fn waives_freshness(&self, now: Timestamp) -> bool {
        self.freshness == Freshness::RoundTrip && self.waives(Waiver::RoundTripFreshness, now)
    }

    /// Whether a waiver is granted and has not ended.
    pub fn waives(&self, waiver: Waiver, now: Timestamp) -> bool {
        self.waivers.get(&waiver).is_some_and(|until| now < *until)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn connection(issuer: &str, tenants: &[&str]) -> Connection {
        let mut settings = ConnectionSettings::for_vendor(Vendor::Generic);
        settings.tenants = tenants.iter().map(|tenant| (*tenant).to_owned()).collect();
        Connection {
            id: ConnectionId::from_bytes([1; 16]),
            organization: OrganizationId::from_bytes([2; 16]),
            handle: "acme-idp".parse().unwrap(),
            name: "Acme".to_owned(),
            enabled: true,
            issuer: issuer.to_owned(),
            client_id: "countersign".to_owned(),
            settings,
            created_at: Timestamp::from_unix_seconds(0),
        }
    }

    #[test]
    fn an_issuer_fits_byte_for_byte_or_with_an_allowed_tenant_in_the_template() {
        let plain = connection("https://idp.acme.test", &["a"]);
        for (issuer, expected) in [
            ("https://idp.acme.test", IssuerMatch::Same),
            ("https://idp.acme.test/", IssuerMatch::Other),
            ("https://IDP.acme.test", IssuerMatch::Other),
        ] {
            assert_eq!(plain.match_issuer(issuer), expected, "{issuer}");
            assert_eq!(plain.allows_issuer(issuer), expected == IssuerMatch::Same, "{issuer}");
        }
        let template = connection("https://login.test/{tenantid}/v2.0", &["a-1", "b.test"]);
        for (issuer, expected, allowed) in [
            ("https://login.test/a-1/v2.0", IssuerMatch::Tenant("a-1"), true),
            ("https://login.test/b.test/v2.0", IssuerMatch::Tenant("b.test"), true),
            ("https://login.test/c-1/v2.0", IssuerMatch::Tenant("c-1"), false),
            ("https://login.test//v2.0", IssuerMatch::Other, false),
            ("https://login.test/a-1/x/v2.0", IssuerMatch::Other, false),
            ("https://login.test/{tenantid}/v2.0", IssuerMatch::Other, false),
            ("https://login.test/a-1/v2.0/", IssuerMatch::Other, false),
            ("https://login.test/v2.0", IssuerMatch::Other, false),
        ] {
            assert_eq!(template.match_issuer(issuer), expected, "{issuer}");
            assert_eq!(template.allows_issuer(issuer), allowed, "{issuer}");
        }
    }

    /// An issuer, the tenants, a claim with its values, and whether one tenant is left.
    type Case =
        (&'static str, &'static [&'static str], Option<(&'static str, &'static [&'static str])>, bool);

    #[test]
    fn one_tenant_speaks_where_the_issuer_or_a_claim_leaves_no_other() {
        let template = "https://login.test/{tenantid}/v2.0";
        let common = "https://login.microsoftonline.com/common/v2.0";
        let google = "https://accounts.google.com";
        let cases: [Case; 18] = [
            ("https://idp.acme.test", &[], None, true),
            ("https://login.test/72f3/v2.0", &["a", "b"], None, true),
            (template, &["a"], None, true),
            (template, &["a", "a"], None, true),
            (template, &["a", "b"], None, false),
            (template, &[], None, false),
            (template, &["a", "b"], Some(("tid", &["a"])), true),
            (template, &["a", "b"], Some(("tid", &["a", "b"])), false),
            (template, &["a", "b"], Some(("hd", &["a"])), false),
            (common, &[], Some(("tid", &["a"])), true),
            (common, &[], Some(("tid", &["a", "b"])), false),
            (common, &["a"], None, false),
            (common, &[], Some(("department", &["a"])), false),
            ("https://login.test/organizations/v2.0", &[], None, false),
            (google, &[], Some(("hd", &["acme.test"])), true),
            ("https://accounts.google.com/", &[], Some(("hd", &["acme.test", "b.test"])), false),
            (google, &[], Some(("tid", &["a"])), false),
            (google, &[], None, false),
        ];
        for (issuer, tenants, claim, expected) in cases {
            let texts = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect::<Vec<_>>();
            let mut settings = ConnectionSettings::for_vendor(Vendor::Generic);
            settings.tenants = texts(tenants);
            settings.required_claims =
                claim.map(|(name, values)| (name.to_owned(), texts(values))).into_iter().collect();
            assert_eq!(settings.is_of_one_tenant(issuer), expected, "{issuer} {tenants:?} {claim:?}");
        }
    }
}
