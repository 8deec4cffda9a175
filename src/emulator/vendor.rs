//! The vendors that can be emulated, and their behaviour as data.
//!
//! A habit is something that the standards leave open and that relying parties meet in practice: where the issuer is,
//! which claims the ID token has, which parameters are honoured. The protocol code reads these tables and knows no
//! vendor by name.

use crate::model::value::words::word_enum;

word_enum! {
    /// A vendor that can be emulated.
    Vendor {
        /// Okta, as its org authorization server behaves.
        Okta = "okta",
        /// Microsoft Entra ID, v2.0 endpoints.
        Entra = "entra",
        /// Google.
        Google = "google",
        /// A realm of Keycloak.
        Keycloak = "keycloak",
        /// Active Directory Federation Services, 2019 and later.
        Adfs = "adfs",
        /// An environment of `PingOne`.
        Ping = "ping",
    }
}

impl Vendor {
    /// The behaviour of this vendor.
    pub const fn habits(self) -> Habits {
        match self {
            Self::Okta => OKTA,
            Self::Entra => ENTRA,
            Self::Google => GOOGLE,
            Self::Keycloak => KEYCLOAK,
            Self::Adfs => ADFS,
            Self::Ping => PING,
        }
    }
}

/// How one vendor's provider behaves.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "a table of habits that do not depend on each other")]
pub struct Habits {
    /// The name on its own sign-in page.
    pub name: &'static str,
    /// The one colour of its pages.
    pub colour: &'static str,
    /// Its tenants, if it has any.
    pub tenancy: Option<Tenancy>,
    /// The path of the issuer, after the origin.
    pub issuer_path: &'static str,
    /// Its endpoints.
    pub paths: Paths,
    /// The claims of its ID tokens.
    pub id_token: IdTokenHabits,
    /// Whether UserInfo returns more than `sub`.
    pub userinfo_has_profile: bool,
    /// Whether UserInfo and ID tokens have `email_verified`.
    pub says_email_verified: bool,
    /// Whether `max_age` in a request is honoured.
    pub honours_max_age: bool,
    /// Whether the metadata announces PKCE. It is supported in any case.
    pub announces_pkce: bool,
    /// Whether each published key names the issuer for which it signs.
    pub keys_name_issuer: bool,
    /// Whether the audience of a client assertion may be the issuer; it may always be the token endpoint.
    pub issuer_as_assertion_audience: bool,
    /// Whether a sign-out without `id_token_hint` is refused.
    pub logout_needs_hint: bool,
}

/// How a vendor writes tenants. Paths begin with the tenant's id or one of the aliases.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tenancy {
    /// Names that stand for any tenant. Their metadata has the literal `{tenantid}` in the issuer.
    pub aliases: &'static [&'static str],
    /// The tenant's id, unless the directory names another one.
    pub example: &'static str,
}

/// Paths below the origin, in which `{tenantid}` stands for the tenant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Paths {
    /// Authorization endpoint.
    pub authorize: &'static str,
    /// The address to which the identity provider's own sign-in page posts.
    pub sign_in: &'static str,
    /// Token endpoint.
    pub token: &'static str,
    /// UserInfo endpoint.
    pub userinfo: &'static str,
    /// Published keys.
    pub keys: &'static str,
    /// End-session endpoint, if there is one.
    pub logout: Option<&'static str>,
}

/// The claims of an ID token beside the required ones.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "a table of habits that do not depend on each other")]
pub struct IdTokenHabits {
    /// Whether it has the claims that the scopes ask for; otherwise only UserInfo has them.
    pub profile: bool,
    /// Whether it has `auth_time` and `amr`.
    pub authentication: bool,
    /// Whether it has `sid`.
    pub session: bool,
    /// Whether it has `at_hash`.
    pub at_hash: bool,
    /// Whether it has `hd`, the domain of the user's organization.
    pub hosted_domain: bool,
    /// Whether it has `upn` and `unique_name`.
    pub principal_names: bool,
    /// Whether it has `nbf`, `tid`, `oid` and `ver: "2.0"`.
    pub directory_ids: bool,
}

/// An ID token with the required claims only.
const BARE: IdTokenHabits = IdTokenHabits {
    profile: false,
    authentication: false,
    session: false,
    at_hash: false,
    hosted_domain: false,
    principal_names: false,
    directory_ids: false,
};

const OKTA: Habits = Habits {
    name: "Okta, emulated",
    colour: "#00297a",
    tenancy: None,
    issuer_path: "",
    paths: Paths {
        authorize: "/oauth2/v1/authorize",
        sign_in: "/login/sign-in",
        token: "/oauth2/v1/token",
        userinfo: "/oauth2/v1/userinfo",
        keys: "/oauth2/v1/keys",
        logout: Some("/oauth2/v1/logout"),
    },
    id_token: IdTokenHabits { authentication: true, session: true, at_hash: true, ..BARE },
    userinfo_has_profile: true,
    says_email_verified: true,
    honours_max_age: true,
    announces_pkce: true,
    keys_name_issuer: false,
    issuer_as_assertion_audience: false,
    logout_needs_hint: true,
};

const ENTRA: Habits = Habits {
    name: "Microsoft Entra ID, emulated",
    colour: "#0f5a9c",
    tenancy: Some(Tenancy {
        aliases: &["common", "organizations"],
        example: "72f3c1de-4b5a-4c8e-9d10-6a2b7f0e5c34",
    }),
    issuer_path: "/{tenantid}/v2.0",
    paths: Paths {
        authorize: "/{tenantid}/oauth2/v2.0/authorize",
        sign_in: "/{tenantid}/login",
        token: "/{tenantid}/oauth2/v2.0/token",
        userinfo: "/oidc/userinfo",
        keys: "/{tenantid}/discovery/v2.0/keys",
        logout: Some("/{tenantid}/oauth2/v2.0/logout"),
    },
    id_token: IdTokenHabits { profile: true, session: true, directory_ids: true, ..BARE },
    userinfo_has_profile: true,
    says_email_verified: false,
    honours_max_age: false,
    announces_pkce: false,
    keys_name_issuer: true,
    issuer_as_assertion_audience: true,
    logout_needs_hint: false,
};

const GOOGLE: Habits = Habits {
    name: "Google, emulated",
    colour: "#1a56b0",
    tenancy: None,
    issuer_path: "",
    paths: Paths {
        authorize: "/o/oauth2/v2/auth",
        sign_in: "/v3/signin",
        token: "/token",
        userinfo: "/v1/userinfo",
        keys: "/oauth2/v3/certs",
        logout: None,
    },
    id_token: IdTokenHabits { profile: true, at_hash: true, hosted_domain: true, ..BARE },
    userinfo_has_profile: true,
    says_email_verified: true,
    honours_max_age: false,
    announces_pkce: true,
    keys_name_issuer: false,
    issuer_as_assertion_audience: false,
    logout_needs_hint: false,
};

const KEYCLOAK: Habits = Habits {
    name: "Keycloak, emulated",
    colour: "#33475b",
    tenancy: None,
    issuer_path: "/realms/main",
    paths: Paths {
        authorize: "/realms/main/protocol/openid-connect/auth",
        sign_in: "/realms/main/login-actions/authenticate",
        token: "/realms/main/protocol/openid-connect/token",
        userinfo: "/realms/main/protocol/openid-connect/userinfo",
        keys: "/realms/main/protocol/openid-connect/certs",
        logout: Some("/realms/main/protocol/openid-connect/logout"),
    },
    id_token: IdTokenHabits { profile: true, authentication: true, session: true, at_hash: true, ..BARE },
    userinfo_has_profile: true,
    says_email_verified: true,
    honours_max_age: true,
    announces_pkce: true,
    keys_name_issuer: false,
    issuer_as_assertion_audience: true,
    logout_needs_hint: false,
};

const ADFS: Habits = Habits {
    name: "AD FS, emulated",
    colour: "#205493",
    tenancy: None,
    issuer_path: "/adfs",
    paths: Paths {
        authorize: "/adfs/oauth2/authorize/",
        sign_in: "/adfs/ls",
        token: "/adfs/oauth2/token/",
        userinfo: "/adfs/userinfo",
        keys: "/adfs/discovery/keys",
        logout: Some("/adfs/oauth2/logout"),
    },
    id_token: IdTokenHabits { authentication: true, session: true, principal_names: true, ..BARE },
    userinfo_has_profile: false,
    says_email_verified: false,
    honours_max_age: true,
    announces_pkce: false,
    keys_name_issuer: false,
    issuer_as_assertion_audience: false,
    logout_needs_hint: false,
};

const PING: Habits = Habits {
    name: "PingOne, emulated",
    colour: "#9a1f35",
    tenancy: None,
    issuer_path: "/2d4b1f0a-6c37-4a0e-8c55-9b6a3e1f7d20/as",
    paths: Paths {
        authorize: "/2d4b1f0a-6c37-4a0e-8c55-9b6a3e1f7d20/as/authorize",
        sign_in: "/2d4b1f0a-6c37-4a0e-8c55-9b6a3e1f7d20/signon",
        token: "/2d4b1f0a-6c37-4a0e-8c55-9b6a3e1f7d20/as/token",
        userinfo: "/2d4b1f0a-6c37-4a0e-8c55-9b6a3e1f7d20/as/userinfo",
        keys: "/2d4b1f0a-6c37-4a0e-8c55-9b6a3e1f7d20/as/jwks",
        logout: Some("/2d4b1f0a-6c37-4a0e-8c55-9b6a3e1f7d20/as/signoff"),
    },
    id_token: IdTokenHabits { authentication: true, session: true, at_hash: true, ..BARE },
    userinfo_has_profile: true,
    says_email_verified: true,
    honours_max_age: true,
    announces_pkce: true,
    keys_name_issuer: false,
    issuer_as_assertion_audience: true,
    logout_needs_hint: false,
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_vendor_that_is_not_emulated_is_refused_with_those_that_are() {
        let refused = "auth0".parse::<Vendor>().unwrap_err();
        assert_eq!(refused.to_string(), "allowed here: okta, entra, google, keycloak, adfs, ping");
        assert_eq!("entra".parse::<Vendor>(), Ok(Vendor::Entra));
    }
}
