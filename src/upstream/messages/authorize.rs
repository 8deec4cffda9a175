//! The authorization request to the identity provider (`OpenID` Connect Core, section 3.1.2.1; RFC 7636).
//!
//! `openidconnect` builds it. The connection's capability table decides which of an app's wishes go into it.
//! `consent`, `create` and `none` never go upstream: consent is between the app and the broker, and a silent attempt
//! would prove nothing that a page could explain.

use std::time::Duration;

use oauth2::{AuthUrl, ClientId, CsrfToken, PkceCodeChallenge, PkceCodeVerifier, RedirectUrl, Scope};
use openidconnect::core::{CoreAuthPrompt, CoreAuthenticationFlow, CoreClient};
use openidconnect::{AuthenticationContextClass, IssuerUrl, JsonWebKeySet, LoginHint, Nonce};
use url::Url;

use super::discovery::Metadata;
use crate::model::{Connection, Prompt, Timestamp};
use crate::protocol::base64url;

/// The parts of the request that come from a flow.
#[derive(Debug, Clone, Copy)]
pub struct AuthorizationInput<'a> {
    /// The broker's callback for this connection.
    pub redirect_uri: &'a str,
    /// `state`.
    pub state: &'a str,
    /// `nonce`.
    pub nonce: &'a str,
    /// The random part of the PKCE verifier, which is its base64url text.
    pub verifier: &'a [u8; 32],
    /// The user who is expected.
    pub login_hint: Option<&'a str>,
    /// The questions that the app wants the user to be asked.
    pub prompts: &'a [Prompt],
    /// How old the sign-in may be, in seconds.
    pub max_age: Option<u32>,
    /// The authentication contexts that the app prefers, in the apps' words.
    pub acr_values: &'a [String],
}

/// A request, ready to be sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuthorizationUrl {
    /// Where the browser is sent.
    pub url: Url,
    /// Whether it makes the identity provider ask the user, in such a way that its answer proves that it did.
    pub forced: bool,
}

/// Why the request cannot be built.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum AuthorizeError {
    /// The callback is not a URL.
    #[error("the redirect URI is malformed")]
    RedirectUri,
    /// The issuer is not a URL.
    #[error("the issuer is malformed")]
    Issuer,
}

impl AuthorizeError {
    /// The stable name of the reason, as in audit records.
    pub const fn code(self) -> &'static str {
        match self {
            Self::RedirectUri => "authorize_redirect_uri",
            Self::Issuer => "authorize_issuer",
        }
    }
}

/// Builds the request.
pub(in crate::upstream) fn authorization_url(
    connection: &Connection,
    metadata: &Metadata,
    input: AuthorizationInput<'_>,
    now: Timestamp,
) -> Result<AuthorizationUrl, AuthorizeError> {
    let settings = &connection.settings;
    let issuer = IssuerUrl::new(connection.issuer.clone()).map_err(|_| AuthorizeError::Issuer)?;
    let redirect_uri =
        RedirectUrl::new(input.redirect_uri.to_owned()).map_err(|_| AuthorizeError::RedirectUri)?;
    let client =
        CoreClient::new(ClientId::new(connection.client_id.clone()), issuer, JsonWebKeySet::new(Vec::new()))
            .set_auth_uri(AuthUrl::from_url(metadata.authorization_endpoint.clone()))
            .set_redirect_uri(redirect_uri);
    let (state, nonce) = (input.state.to_owned(), input.nonce.to_owned());
    let verifier = PkceCodeVerifier::new(verifier_text(input.verifier));
    let scopes = settings.scopes.iter().filter(|scope| *scope != "openid");
    let mut request = client
        .authorize_url(
            CoreAuthenticationFlow::AuthorizationCode,
            move || CsrfToken::new(state),
            move || Nonce::new(nonce),
        )
        .add_scopes(scopes.map(|scope| Scope::new(scope.clone())))
        .set_pkce_challenge(PkceCodeChallenge::from_code_verifier_sha256(&verifier));
    let prompts = prompts(connection, metadata, input);
    let forced = prompts.contains(&CoreAuthPrompt::Login) && answer_proves_prompt(connection, now);
    for prompt in prompts {
        request = request.add_prompt(prompt);
    }
    if let Some(hint) = input.login_hint.filter(|_| settings.capabilities.login_hint) {
        request = request.set_login_hint(LoginHint::new(hint.to_owned()));
    }
    if let Some(seconds) = input.max_age.filter(|_| settings.capabilities.max_age) {
        request = request.set_max_age(Duration::from_secs(seconds.into()));
    }
    let mut asked: Vec<&String> = Vec::new();
    for value in input.acr_values.iter().filter_map(|value| settings.acr_values.get(value)) {
        // Several of the apps' words may map to the same word of the identity provider.
        if asked.contains(&value) {
            continue;
        }
        asked.push(value);
        request = request.add_auth_context_value(AuthenticationContextClass::new(value.clone()));
    }
    Ok(AuthorizationUrl { url: request.url().0, forced })
}

/// The verifier's text: 43 characters, as RFC 7636, section 4.1, recommends.
pub(in crate::upstream) fn verifier_text(verifier: &[u8; 32]) -> String {
    base64url::encode(verifier)
}

/// Whether the identity provider understands this value of `prompt`, by what the operator says of it and by its metadata.
fn understands_prompt(connection: &Connection, metadata: &Metadata, word: &str) -> bool {
    let stated = metadata.prompts.as_ref();
    connection.settings.capabilities.prompts.iter().any(|known| known == word)
        && stated.is_none_or(|stated| stated.iter().any(|known| known == word))
}

/// Whether the identity provider can be made to ask the user (`prompt=login`), in such a way that its answer proves that
/// it did.
pub(in crate::upstream) fn can_ask(connection: &Connection, metadata: &Metadata, now: Timestamp) -> bool {
    understands_prompt(connection, metadata, "login") && answer_proves_prompt(connection, now)
}

/// Whether an answer to `prompt=login` proves that the user was asked: the identity provider honours the prompt, or must
/// say when the user signed in. It proves nothing if a waiver lets the broker accept an answer that says neither.
fn answer_proves_prompt(connection: &Connection, now: Timestamp) -> bool {
    let settings = &connection.settings;
    settings.capabilities.honours_prompt_login || !settings.waives_freshness(now)
}

/// The `prompt` that goes upstream. If the identity provider does not understand `max_age`, a demanded age becomes
/// `login`.
fn prompts(
    connection: &Connection,
    metadata: &Metadata,
    input: AuthorizationInput<'_>,
) -> Vec<CoreAuthPrompt> {
    let understood = |word| understands_prompt(connection, metadata, word);
    let aged = input.max_age.is_some() && !connection.settings.capabilities.max_age;
    let mut prompts = Vec::new();
    if (input.prompts.contains(&Prompt::Login) || aged) && understood("login") {
        prompts.push(CoreAuthPrompt::Login);
    }
    if input.prompts.contains(&Prompt::SelectAccount) && understood("select_account") {
        prompts.push(CoreAuthPrompt::SelectAccount);
    }
    prompts
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::model::{Freshness, Waiver};
    use crate::upstream::testing::{connection, metadata};

    const NOW: Timestamp = Timestamp::from_unix_seconds(1_700_000_000);

    const INPUT: AuthorizationInput<'_> = AuthorizationInput {
        redirect_uri: "https://id.test/sso/callback/con_1",
        state: "the state",
        nonce: "the nonce",
        verifier: &[7; 32],
        login_hint: None,
        prompts: &[],
        max_age: None,
        acr_values: &[],
    };

    fn parameters(connection: &Connection, input: AuthorizationInput<'_>) -> BTreeMap<String, String> {
        let url = authorization_url(connection, &metadata(&connection.issuer), input, NOW).unwrap().url;
        let pairs: Vec<(String, String)> = url.query_pairs().into_owned().collect();
        let map: BTreeMap<_, _> = pairs.iter().cloned().collect();
        assert_eq!(map.len(), pairs.len(), "a parameter is repeated");
        map
    }

    #[test]
    fn a_plain_request_has_exactly_the_parameters_of_the_code_flow_with_pkce() {
        let sent = parameters(&connection("https://idp.test"), INPUT);
        let expected = [
            ("client_id", "countersign"),
            ("code_challenge_method", "S256"),
            ("nonce", "the nonce"),
            ("redirect_uri", "https://id.test/sso/callback/con_1"),
            ("response_type", "code"),
            ("scope", "openid email profile"),
            ("state", "the state"),
        ];
        let mut expected: BTreeMap<String, String> =
            expected.into_iter().map(|(k, v)| (k.to_owned(), v.to_owned())).collect();
        let challenge =
            PkceCodeChallenge::from_code_verifier_sha256(&PkceCodeVerifier::new(verifier_text(&[7; 32])));
        expected.insert("code_challenge".to_owned(), challenge.as_str().to_owned());
        assert_eq!(sent, expected);
    }

    #[test]
    fn the_parameters_of_the_endpoint_itself_stay() {
        let connection = connection("https://idp.test");
        let mut metadata = metadata("https://idp.test");
        metadata.authorization_endpoint = "https://idp.test/a?p=b2c&x=1".parse().unwrap();
        let url = authorization_url(&connection, &metadata, INPUT, NOW).unwrap().url;
        assert!(url.as_str().starts_with("https://idp.test/a?p=b2c&x=1&"), "{url}");
    }

    #[test]
    fn wishes_go_upstream_only_as_the_capability_table_allows() {
        let mut connection = connection("https://idp.test");
        let acr_values = ["gold".to_owned(), "unknown".to_owned(), "silver".to_owned()];
        let input = AuthorizationInput {
            login_hint: Some("bob@acme.test"),
            prompts: &[Prompt::None, Prompt::Consent, Prompt::SelectAccount, Prompt::Login],
            max_age: Some(60),
            acr_values: &acr_values,
            ..INPUT
        };
        connection.settings.acr_values = [("gold", "urn:loa:3"), ("silver", "urn:loa:2")]
            .map(|(k, v)| (k.to_owned(), v.to_owned()))
            .into();
        let sent = parameters(&connection, input);
        assert_eq!(sent["prompt"], "login select_account");
        assert_eq!(
            (sent["login_hint"].as_str(), sent["max_age"].as_str(), sent["acr_values"].as_str()),
            ("bob@acme.test", "60", "urn:loa:3 urn:loa:2")
        );
        connection.settings.capabilities.prompts.clear();
        connection.settings.capabilities.max_age = false;
        connection.settings.capabilities.login_hint = false;
        connection.settings.acr_values.clear();
        assert_eq!(parameters(&connection, input).len(), 8);
    }

    #[test]
    fn a_demanded_age_forces_a_sign_in_where_max_age_is_not_understood() {
        let mut connection = connection("https://idp.test");
        let input = AuthorizationInput { max_age: Some(60), ..INPUT };
        let metadata = metadata("https://idp.test");
        assert!(!authorization_url(&connection, &metadata, input, NOW).unwrap().forced);
        connection.settings.capabilities.max_age = false;
        let request = authorization_url(&connection, &metadata, input, NOW).unwrap();
        assert!(request.forced && request.url.query().unwrap().contains("prompt=login"));
    }

    #[test]
    fn a_prompt_that_the_metadata_does_not_list_is_not_sent() {
        let connection = connection("https://idp.test");
        let mut metadata = metadata("https://idp.test");
        metadata.prompts = Some(vec!["none".to_owned(), "select_account".to_owned()]);
        let input = AuthorizationInput { prompts: &[Prompt::Login], ..INPUT };
        let request = authorization_url(&connection, &metadata, input, NOW).unwrap();
        assert!(!request.forced && !request.url.query().unwrap().contains("prompt"));
    }

    #[test]
    fn a_prompt_that_the_answer_need_not_prove_forces_nothing() {
        let mut connection = connection("https://idp.test");
        let metadata = metadata("https://idp.test");
        let input = AuthorizationInput { prompts: &[Prompt::Login], ..INPUT };
        let forced = |connection: &Connection| {
            let request = authorization_url(connection, &metadata, input, NOW).unwrap();
            assert!(request.url.query().unwrap().contains("prompt=login"));
            assert_eq!(request.forced, can_ask(connection, &metadata, NOW));
            request.forced
        };
        connection.settings.capabilities.honours_prompt_login = false;
        assert!(forced(&connection), "the answer must say when the user signed in");
        connection.settings.freshness = Freshness::RoundTrip;
        let until = NOW.after(Duration::from_hours(1));
        connection.settings.waivers.insert(Waiver::RoundTripFreshness, until);
        assert!(!forced(&connection), "any answer would do");
        connection.settings.capabilities.honours_prompt_login = true;
        assert!(forced(&connection));
    }
}
