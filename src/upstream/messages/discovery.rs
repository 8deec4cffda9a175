//! The metadata of an identity provider (`OpenID` Connect Discovery 1.0, sections 3 and 4; RFC 8414; RFC 9207, section
//! 3).
//!
//! This module reads the document strictly itself: `openidconnect`'s `ProviderMetadata` accepts repeated members,
//! drops values that it does not know, and refuses documents for members that the broker does not need. It fetches
//! nothing.

use serde_json::{Map, Value};
use url::Url;

use crate::model::{Connection, TENANT};
use crate::protocol::json::{self, ClaimError, Claims, JsonError};

const WELL_KNOWN: &str = "/.well-known/openid-configuration";
const MAX_BYTES: usize = 1 << 20;
/// The longest endpoint, in bytes.
const MAX_URL: usize = 2_048;
/// How many values of a list are kept, and how long each may be, in bytes. Every value that the broker looks for is
/// within these limits.
const MAX_VALUES: usize = 100;
const MAX_VALUE: usize = 128;

/// Why metadata was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MetadataError {
    /// The issuer or the discovery URL is not an `https` URL.
    #[error("the issuer or discovery URL is not an https URL")]
    Address,
    /// Not a strict JSON object.
    #[error("the document is refused: {0}")]
    Json(#[from] JsonError),
    /// A member is missing or of the wrong type.
    #[error(transparent)]
    Member(#[from] ClaimError),
    /// `issuer` differs from the configured one, byte for byte.
    #[error("the document names another issuer")]
    IssuerMismatch,
    /// An endpoint is not a plain `https` URL.
    #[error("{0} is not an https URL")]
    Endpoint(&'static str),
}

impl MetadataError {
    /// The stable name of the reason, as in audit records.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Address => "metadata_address",
            Self::Json(_) => "metadata_json",
            Self::Member(_) => "metadata_member",
            Self::IssuerMismatch => "metadata_issuer_mismatch",
            Self::Endpoint(_) => "metadata_endpoint",
        }
    }
}

/// The statements of an identity provider about itself, as far as the broker uses them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Metadata {
    /// `issuer`, equal to the configured one.
    pub issuer: String,
    /// Where browsers are sent.
    pub authorization_endpoint: Url,
    /// Where codes are redeemed.
    pub token_endpoint: Url,
    /// Where the keys are.
    pub jwks_uri: Url,
    /// Where claims are requested.
    pub userinfo_endpoint: Option<Url>,
    /// Where a sign-out continues.
    pub end_session_endpoint: Option<Url>,
    /// Whether the identity provider promises `iss` in its authorization responses (RFC 9207).
    pub response_iss: bool,
    /// `token_endpoint_auth_methods_supported`. If absent, it is `client_secret_basic`.
    pub auth_methods: Vec<String>,
    /// `prompt_values_supported`, when stated.
    pub prompts: Option<Vec<String>>,
    /// `code_challenge_methods_supported`, when stated.
    pub code_challenge_methods: Option<Vec<String>>,
    /// `id_token_signing_alg_values_supported`, when stated.
    pub id_token_algs: Option<Vec<String>>,
    /// `response_types_supported`, when stated.
    pub response_types: Option<Vec<String>>,
    /// `scopes_supported`, when stated.
    pub scopes: Option<Vec<String>>,
}

impl Metadata {
    /// Reads and checks a document for an issuer.
    pub fn parse(bytes: &[u8], issuer: &str) -> Result<Self, MetadataError> {
        let object = json::parse_object(bytes, MAX_BYTES)?;
        let claims = Claims::of(&object);
        // Order matters: `issuer` is checked before any other member is read.
        if claims.required_string("issuer")? != issuer {
            return Err(MetadataError::IssuerMismatch);
        }
        let required = |name: &'static str| {
            endpoint(claims, name)?.ok_or_else(|| MetadataError::from(ClaimError::Missing(name.to_owned())))
        };
        let basic = || vec!["client_secret_basic".to_owned()];
        Ok(Self {
            issuer: issuer.to_owned(),
            authorization_endpoint: required("authorization_endpoint")?,
            token_endpoint: required("token_endpoint")?,
            jwks_uri: required("jwks_uri")?,
            userinfo_endpoint: endpoint(claims, "userinfo_endpoint")?,
            end_session_endpoint: endpoint(claims, "end_session_endpoint")?,
            response_iss: claims.bool("authorization_response_iss_parameter_supported")?.unwrap_or_default(),
            auth_methods: list(&object, "token_endpoint_auth_methods_supported")?.unwrap_or_else(basic),
            prompts: list(&object, "prompt_values_supported")?,
            code_challenge_methods: list(&object, "code_challenge_methods_supported")?,
            id_token_algs: list(&object, "id_token_signing_alg_values_supported")?,
            response_types: list(&object, "response_types_supported")?,
            scopes: list(&object, "scopes_supported")?,
        })
    }

    /// About how many bytes of memory this takes.
    pub fn bytes(&self) -> usize {
        let needed = [&self.authorization_endpoint, &self.token_endpoint, &self.jwks_uri];
        let offered = [&self.userinfo_endpoint, &self.end_session_endpoint];
        let urls = needed.into_iter().chain(offered.into_iter().flatten());
        let lists = [
            &self.prompts,
            &self.code_challenge_methods,
            &self.id_token_algs,
            &self.response_types,
            &self.scopes,
        ];
        let values = lists.into_iter().flatten().chain([&self.auth_methods]).flatten();
        size_of::<Self>()
            + self.issuer.capacity()
            + urls.map(|url| url.as_str().len()).sum::<usize>()
            + values.map(|value| size_of::<String>() + value.capacity()).sum::<usize>()
    }
}

/// The address of a connection's metadata: its discovery URL, or an address below its issuer. For an issuer with a
/// tenant template, the tenant is `common`, whose document contains the template itself.
pub fn discovery_url(connection: &Connection) -> Result<Url, MetadataError> {
    let text = connection.settings.discovery_url.clone().unwrap_or_else(|| {
        let issuer = connection.issuer.replace(TENANT, "common");
        format!("{}{WELL_KNOWN}", issuer.strip_suffix('/').unwrap_or(&issuer))
    });
    plain_https(&text).ok_or(MetadataError::Address)
}

fn endpoint(claims: Claims<'_>, name: &'static str) -> Result<Option<Url>, MetadataError> {
    let Some(text) = claims.string(name)? else { return Ok(None) };
    plain_https(text).map(Some).ok_or(MetadataError::Endpoint(name))
}

/// An `https` URL with a host, and without user, password, fragment or the braces of a template.
fn plain_https(text: &str) -> Option<Url> {
    let url = Url::parse(text).ok()?;
    let plain = url.scheme() == "https"
        && url.has_host()
        && url.username().is_empty()
        && url.password().is_none()
        && url.fragment().is_none()
        && text.len() <= MAX_URL
        && !text.contains(['{', '}'])
        && !text.contains(|c: char| c.is_control() || c.is_whitespace());
    plain.then_some(url)
}

fn list(object: &Map<String, Value>, name: &str) -> Result<Option<Vec<String>>, MetadataError> {
    let Some(value) = object.get(name) else { return Ok(None) };
    value
        .as_array()
        .and_then(|items| items.iter().map(Value::as_str).collect::<Option<Vec<_>>>())
        .map(|texts| {
            let short = texts.into_iter().filter(|text| text.len() <= MAX_VALUE);
            Some(short.take(MAX_VALUES).map(str::to_owned).collect())
        })
        .ok_or_else(|| ClaimError::WrongType(name.to_owned()).into())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::upstream::testing::connection;

    const ISSUER: &str = "https://idp.test";

    fn document() -> Value {
        json!({
            "issuer": ISSUER,
            "authorization_endpoint": "https://idp.test/authorize?tenant=1",
            "token_endpoint": "https://idp.test/token",
            "jwks_uri": "https://keys.test/jwks",
        })
    }

    fn with(name: &str, value: Value) -> Result<Metadata, MetadataError> {
        let mut document = document();
        document[name] = value;
        Metadata::parse(document.to_string().as_bytes(), ISSUER)
    }

    #[test]
    fn the_least_document_is_read_with_defaults() {
        let metadata = Metadata::parse(document().to_string().as_bytes(), ISSUER).unwrap();
        assert_eq!(metadata.authorization_endpoint.as_str(), "https://idp.test/authorize?tenant=1");
        assert_eq!(metadata.auth_methods, ["client_secret_basic"]);
        assert!(
            !metadata.response_iss && metadata.end_session_endpoint.is_none() && metadata.prompts.is_none()
        );
    }

    #[test]
    fn the_issuer_is_compared_byte_for_byte() {
        for issuer in ["https://idp.test/", "https://IDP.test", "http://idp.test", "https://idp.test:443", ""]
        {
            assert_eq!(with("issuer", issuer.into()), Err(MetadataError::IssuerMismatch), "{issuer}");
        }
        assert!(matches!(with("issuer", Value::Null), Err(MetadataError::Member(_))));
    }

    #[test]
    fn every_endpoint_is_a_plain_https_url() {
        let urls = [
            "http://idp.test/x",
            "ftp://idp.test/x",
            "javascript:alert(1)",
            "//idp.test/x",
            "/x",
            "",
            "https://",
            "https://user@idp.test/x",
            "https://user:pass@idp.test/x",
            "https://idp.test/x#y",
            "https://idp.test/{tenantid}/x",
            "https://idp.test/x\n",
        ];
        let names = [
            "authorization_endpoint",
            "token_endpoint",
            "jwks_uri",
            "userinfo_endpoint",
            "end_session_endpoint",
        ];
        for name in names {
            for url in urls {
                assert_eq!(with(name, url.into()), Err(MetadataError::Endpoint(name)), "{name} {url}");
            }
            assert!(matches!(with(name, json!(7)), Err(MetadataError::Member(_))), "{name}");
            assert!(with(name, "https://other.test/x?y=1".into()).is_ok(), "{name}");
        }
    }

    #[test]
    fn of_a_huge_document_little_is_kept() {
        let long: Vec<String> = (0..10_000).map(|number| format!("value-{number}")).collect();
        let huge = json!(["x".repeat(100_000), "y".repeat(128)]);
        let mut document = document();
        for name in [
            "token_endpoint_auth_methods_supported",
            "prompt_values_supported",
            "code_challenge_methods_supported",
            "id_token_signing_alg_values_supported",
            "response_types_supported",
        ] {
            document[name] = json!(long);
        }
        document["scopes_supported"] = huge;
        document["claims_supported"] = json!(long);
        let metadata = Metadata::parse(document.to_string().as_bytes(), ISSUER).unwrap();
        assert_eq!(metadata.auth_methods.len(), 100);
        assert_eq!(metadata.scopes, Some(vec!["y".repeat(128)]));
        assert!((1_000..50_000).contains(&metadata.bytes()), "{}", metadata.bytes());
        let long = format!("https://idp.test/{}", "x".repeat(2_048));
        for name in ["authorization_endpoint", "userinfo_endpoint"] {
            assert_eq!(with(name, long.as_str().into()), Err(MetadataError::Endpoint(name)));
        }
    }

    #[test]
    fn needed_endpoints_and_types_are_demanded_and_repetition_is_refused() {
        for name in ["authorization_endpoint", "token_endpoint", "jwks_uri", "issuer"] {
            let mut document = document();
            document.as_object_mut().unwrap().remove(name);
            let result = Metadata::parse(document.to_string().as_bytes(), ISSUER);
            assert_eq!(result, Err(MetadataError::Member(ClaimError::Missing(name.to_owned()))));
        }
        for (name, value) in [
            ("authorization_response_iss_parameter_supported", json!("true")),
            ("token_endpoint_auth_methods_supported", json!("client_secret_basic")),
            ("prompt_values_supported", json!([1])),
        ] {
            assert!(matches!(with(name, value), Err(MetadataError::Member(_))), "{name}");
        }
        let twice = document().to_string().replacen('{', r#"{"issuer":"https://evil.test","#, 1);
        assert_eq!(
            Metadata::parse(twice.as_bytes(), ISSUER),
            Err(MetadataError::Json(JsonError::DuplicateKey))
        );
    }

    #[test]
    fn metadata_is_sought_below_the_issuer_unless_an_address_is_given() {
        let mut connection = connection("https://idp.test/realm/");
        let url = |connection: &Connection| discovery_url(connection).map(|url| url.to_string());
        assert_eq!(url(&connection).unwrap(), "https://idp.test/realm/.well-known/openid-configuration");
        connection.issuer = "https://login.test/{tenantid}/v2.0".to_owned();
        assert_eq!(
            url(&connection).unwrap(),
            "https://login.test/common/v2.0/.well-known/openid-configuration"
        );
        connection.settings.discovery_url = Some("https://login.test/organizations/doc".to_owned());
        assert_eq!(url(&connection).unwrap(), "https://login.test/organizations/doc");
        connection.settings.discovery_url = Some("http://login.test/doc".to_owned());
        assert_eq!(url(&connection), Err(MetadataError::Address));
    }
}
