//! OAuth 2.0 and `OpenID` Connect on the wire: parameters, error codes, responses.

use std::borrow::Cow;
use std::collections::HashSet;

use url::form_urlencoded;

use super::count::{TooMany, counted};
use crate::model::Prompt;

crate::model::value::words::word_enum! {
    /// An error code (RFC 6749, sections 4.1.2.1 and 5.2; `OpenID` Connect Core, section 3.1.2.6; RFC 6750; RFC 8707).
    ErrorCode {
        /// The request is malformed, repeats a parameter or lacks one.
        InvalidRequest = "invalid_request",
        /// The client failed to authenticate.
        InvalidClient = "invalid_client",
        /// The code, token or verifier is not valid.
        InvalidGrant = "invalid_grant",
        /// The client may not use this grant or endpoint.
        UnauthorizedClient = "unauthorized_client",
        /// The grant type is not supported.
        UnsupportedGrantType = "unsupported_grant_type",
        /// A scope is unknown, malformed or more than was granted.
        InvalidScope = "invalid_scope",
        /// The user, their organization or a policy refused.
        AccessDenied = "access_denied",
        /// The response type is not supported.
        UnsupportedResponseType = "unsupported_response_type",
        /// The broker has failed.
        ServerError = "server_error",
        /// The broker is unavailable for now; the app may try again.
        TemporarilyUnavailable = "temporarily_unavailable",
        /// No user is signed in, and no page may be shown.
        LoginRequired = "login_required",
        /// A page is needed, and none may be shown.
        InteractionRequired = "interaction_required",
        /// The user must consent, and no page may be shown.
        ConsentRequired = "consent_required",
        /// The user must choose an account, and no page may be shown.
        AccountSelectionRequired = "account_selection_required",
        /// The `request` parameter is not supported.
        RequestNotSupported = "request_not_supported",
        /// The `request_uri` parameter is not supported.
        RequestUriNotSupported = "request_uri_not_supported",
        /// The `registration` parameter is not supported.
        RegistrationNotSupported = "registration_not_supported",
        /// The resource is unknown or malformed (RFC 8707, section 2).
        InvalidTarget = "invalid_target",
        /// The access token is not valid (RFC 6750, section 3.1).
        InvalidToken = "invalid_token",
        /// The access token lacks a scope.
        InsufficientScope = "insufficient_scope",
        /// The required authentication context was not reached
        /// (`OpenID` Connect Unmet Authentication Requirements 1.0).
        UnmetAuthenticationRequirements = "unmet_authentication_requirements",
    }
}

/// The parameters of a request, in the order in which they were sent.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Parameters(Vec<(String, String)>);

impl std::fmt::Debug for Parameters {
    /// Shows names only: values may be passwords, codes and secrets.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(self.0.iter().map(|(name, _)| name)).finish()
    }
}

impl Parameters {
    /// Reads `application/x-www-form-urlencoded` text, as in queries and forms. U+0000 becomes U+FFFD, as in HTML:
    /// PostgreSQL cannot store it, and no value that the broker registers or issues contains it.
    ///
    /// # Errors
    /// There are more than [`MOST`](super::count::MOST) parameters.
    pub fn parse(text: &str) -> Result<Self, TooMany> {
        let whole = |part: Cow<'_, str>| part.replace('\0', "\u{fffd}");
        let pairs = form_urlencoded::parse(text.as_bytes()).map(|(n, v)| (whole(n), whole(v)));
        Ok(Self(counted(pairs)?))
    }

    /// The value of a parameter. A parameter without a value counts as absent (RFC 6749, section 3.1).
    pub fn get<'a>(&'a self, name: &'a str) -> Option<&'a str> {
        self.all(name).next()
    }

    /// All values of a parameter.
    pub fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.0.iter().filter(move |(n, v)| n == name && !v.is_empty()).map(|(_, v)| v.as_str())
    }

    /// Whether the parameter was sent exactly once, with any value.
    pub fn is_single(&self, name: &str) -> bool {
        self.0.iter().filter(|(n, _)| n == name).count() == 1
    }

    /// The first parameter that was sent more than once. `resource` may be (RFC 8707, section 2).
    pub fn first_repeated(&self) -> Option<&str> {
        let mut seen = HashSet::with_capacity(self.0.len());
        let mut names = self.0.iter().map(|(name, _)| name.as_str());
        names.find(|name| *name != "resource" && !seen.insert(*name))
    }

    /// Writes the parameters as text again.
    pub fn to_text(&self) -> String {
        form_urlencoded::Serializer::new(String::new()).extend_pairs(&self.0).finish()
    }

    /// All parameters with their values.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(name, value)| (name.as_str(), value.as_str()))
    }
}

/// An error response to an app.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OAuthError {
    /// The code.
    pub code: ErrorCode,
    /// A sentence for the app's developer (`error_description`): what is wrong and what to do. Printable ASCII
    /// without quotation marks and backslashes (RFC 6749, section 4.1.2.1).
    pub description: Cow<'static, str>,
}

impl OAuthError {
    /// An error with a fixed sentence.
    pub const fn new(code: ErrorCode, description: &'static str) -> Self {
        Self { code, description: Cow::Borrowed(description) }
    }

    /// An error whose sentence names a value of the request. Characters that the RFC forbids are left out.
    pub fn naming(code: ErrorCode, description: &str) -> Self {
        let allowed = |c: &char| matches!(c, ' '..='~') && !matches!(c, '"' | '\\');
        Self { code, description: Cow::Owned(description.chars().filter(allowed).take(200).collect()) }
    }
}

/// Adds parameters to a redirect URI and keeps its own query (RFC 6749, section 4.1.2).
pub fn add_to_query(redirect_uri: &str, parameters: &[(&str, &str)]) -> String {
    let encoded = form_urlencoded::Serializer::new(String::new()).extend_pairs(parameters).finish();
    let separator = if redirect_uri.contains('?') { '&' } else { '?' };
    format!("{redirect_uri}{separator}{encoded}")
}

/// Reads space-separated words, each once, in their order.
///
/// # Errors
/// There are more than [`MOST`](super::count::MOST) words, repeated ones included.
pub fn split_words(text: &str) -> Result<Vec<String>, TooMany> {
    let words = counted(text.split(' ').filter(|word| !word.is_empty()))?;
    let mut seen = HashSet::with_capacity(words.len());
    Ok(words.into_iter().filter(|word| seen.insert(*word)).map(str::to_owned).collect())
}

/// Reads `prompt`. `None` for an unknown value, and for more words than are allowed.
pub fn parse_prompt(text: &str) -> Option<Vec<Prompt>> {
    split_words(text).ok()?.iter().map(|word| word.parse().ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_empty_parameter_counts_as_absent_but_not_as_never_sent() {
        let parameters = Parameters::parse("a=&b=1&a=2").unwrap();
        assert_eq!(parameters.get("a"), Some("2"));
        assert!(!parameters.is_single("a") && parameters.is_single("b"));
        assert_eq!(parameters.first_repeated(), Some("a"));
    }

    #[test]
    fn a_zero_becomes_what_no_name_holds() {
        let parameters = Parameters::parse("client_id=a%00b&%00=c").unwrap();
        assert_eq!(parameters.get("client_id"), Some("a\u{fffd}b"));
        assert_eq!(parameters.get("\u{fffd}"), Some("c"));
    }

    #[test]
    fn only_resource_may_repeat() {
        assert_eq!(Parameters::parse("resource=a&resource=b&x=1").unwrap().first_repeated(), None);
        assert_eq!(Parameters::parse("x=1&resource=a&x=1").unwrap().first_repeated(), Some("x"));
    }

    #[test]
    fn a_hundred_parameters_are_read_and_no_more() {
        let text = |count: usize| (0..count).map(|at| format!("n{at}=v&")).collect::<Vec<_>>().concat();
        let read = Parameters::parse(&text(100)).unwrap();
        assert_eq!((read.iter().count(), read.first_repeated()), (100, None));
        assert_eq!(Parameters::parse(&text(101)), Err(TooMany));
        // Separators alone are not parameters.
        assert_eq!(Parameters::parse(&"&".repeat(1_000)), Ok(Parameters::default()));
    }

    #[test]
    fn words_are_read_once_each_in_their_order_and_a_hundred_at_most() {
        assert_eq!(split_words(" b a  b c "), Ok(["b", "a", "c"].map(str::to_owned).to_vec()));
        let text = |count: usize| (0..count).map(|at| format!("w{at} ")).collect::<Vec<_>>().concat();
        assert_eq!(split_words(&text(100)).map(|words| words.len()), Ok(100));
        assert_eq!(split_words(&text(101)), Err(TooMany));
        assert_eq!(split_words(&"login ".repeat(101)), Err(TooMany), "repeated words count as well");
        assert_eq!(parse_prompt(&"login ".repeat(101)), None);
    }

    #[test]
    fn a_redirect_uri_keeps_its_own_query() {
        assert_eq!(add_to_query("https://a.test/cb", &[("code", "x y")]), "https://a.test/cb?code=x+y");
        assert_eq!(add_to_query("https://a.test/cb?k=v", &[("code", "1")]), "https://a.test/cb?k=v&code=1");
    }

    #[test]
    fn a_description_holds_only_what_the_rfc_allows() {
        let error = OAuthError::naming(ErrorCode::InvalidRequest, "bad \"x\"\\\r\n\u{e9}!");
        assert_eq!(error.description, "bad x!");
    }
}
