//! The authorization request, read and checked before the user is asked anything (`OpenID` Connect Core 1.0, section
//! 3.1.2.1; RFC 7636, section 4.3).

use std::time::Duration;

use crate::emulator::directory::Directory;
use crate::protocol::oauth::{ErrorCode, OAuthError, Parameters, split_words};

/// How the response is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::emulator::idp) enum ResponseMode {
    /// In the redirect's query.
    Query,
    /// In a form that the browser posts (OAuth 2.0 Form Post Response Mode).
    FormPost,
}

/// Where the response goes, once that is certain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::emulator::idp) struct Target {
    pub(in crate::emulator::idp) redirect_uri: String,
    pub(in crate::emulator::idp) mode: ResponseMode,
    pub(in crate::emulator::idp) state: Option<String>,
}

/// Whether and how the user may be asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::emulator::idp) enum Prompt {
    /// As needed.
    AsNeeded,
    /// Never.
    Silent,
    /// Always.
    SignIn,
}

/// A request that may be served.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::emulator::idp) struct AuthorizeRequest {
    pub(in crate::emulator::idp) client_id: String,
    pub(in crate::emulator::idp) target: Target,
    pub(in crate::emulator::idp) scopes: Vec<String>,
    pub(in crate::emulator::idp) nonce: Option<String>,
    pub(in crate::emulator::idp) code_challenge: Option<String>,
    pub(in crate::emulator::idp) prompt: Prompt,
    pub(in crate::emulator::idp) max_age: Option<Duration>,
    pub(in crate::emulator::idp) login_hint: Option<String>,
}

/// A request that is refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::emulator::idp) enum Refusal {
    /// On a page, because a redirect could lead anywhere.
    Page(&'static str),
    /// At the client.
    Redirect(Target, OAuthError),
}

impl AuthorizeRequest {
    /// Reads a request from one of the directory's clients.
    // Order matters: an error may be redirected only after the client and the redirect URI are certain.
    pub(in crate::emulator::idp) fn read(
        parameters: &Parameters,
        directory: &Directory,
    ) -> Result<Self, Refusal> {
        let single = |name| parameters.get(name).filter(|_| parameters.is_single(name));
        let client = single("client_id")
            .and_then(|client_id| directory.client(client_id))
            .ok_or(Refusal::Page("No client with that client_id is registered here."))?;
        let redirect_uri = single("redirect_uri")
            .filter(|uri| client.redirect_uris.iter().any(|registered| registered == uri))
            .ok_or(Refusal::Page("The client has not registered this redirect_uri."))?;
        let target = Target {
            redirect_uri: redirect_uri.to_owned(),
            mode: match single("response_mode") {
                Some("form_post") => ResponseMode::FormPost,
                _ => ResponseMode::Query,
            },
            state: single("state").map(str::to_owned),
        };
        Self::read_rest(parameters, &client.client_id, &target)
            .map_err(|error| Refusal::Redirect(target, error))
    }

    fn read_rest(parameters: &Parameters, client_id: &str, target: &Target) -> Result<Self, OAuthError> {
        if parameters.first_repeated().is_some() {
            return Err(OAuthError::new(ErrorCode::InvalidRequest, "A parameter is repeated."));
        }
        let one = |name| parameters.get(name);
        if one("request").is_some() {
            return Err(OAuthError::new(
                ErrorCode::RequestNotSupported,
                "Request objects are not supported.",
            ));
        }
        if one("request_uri").is_some() {
            return Err(OAuthError::new(
                ErrorCode::RequestUriNotSupported,
                "Request objects are not supported.",
            ));
        }
        if one("response_type") != Some("code") {
            return Err(OAuthError::new(
                ErrorCode::UnsupportedResponseType,
                "Only response_type=code is supported.",
            ));
        }
        if !matches!(one("response_mode"), None | Some("query" | "form_post")) {
            return Err(OAuthError::new(ErrorCode::InvalidRequest, "The response_mode is not supported."));
        }
        let scopes = split_words(one("scope").unwrap_or_default()).unwrap_or_default();
        if !scopes.iter().any(|scope| scope == "openid") {
            return Err(OAuthError::new(ErrorCode::InvalidScope, "The scope must contain openid."));
        }
        Ok(Self {
            client_id: client_id.to_owned(),
            target: target.clone(),
            scopes,
            nonce: one("nonce").map(str::to_owned),
            code_challenge: code_challenge(one("code_challenge"), one("code_challenge_method"))?,
            prompt: prompt(one("prompt"))?,
            max_age: max_age(one("max_age"))?,
            login_hint: one("login_hint").map(str::to_owned),
        })
    }
}

fn code_challenge(challenge: Option<&str>, method: Option<&str>) -> Result<Option<String>, OAuthError> {
    match (challenge, method) {
        (None, None) => Ok(None),
        (Some(challenge), Some("S256")) if challenge.len() == 43 => Ok(Some(challenge.to_owned())),
        _ => Err(OAuthError::new(
            ErrorCode::InvalidRequest,
            "PKCE needs a code_challenge with the method S256.",
        )),
    }
}

fn prompt(text: Option<&str>) -> Result<Prompt, OAuthError> {
    let words: Vec<&str> = text.unwrap_or_default().split_ascii_whitespace().collect();
    match words[..] {
        ["none"] => return Ok(Prompt::Silent),
        _ if words.contains(&"none") => {
            return Err(OAuthError::new(
                ErrorCode::InvalidRequest,
                "prompt=none cannot be combined with another prompt.",
            ));
        }
        _ => {}
    }
    if words.iter().any(|word| !matches!(*word, "login" | "select_account" | "consent")) {
        return Err(OAuthError::new(ErrorCode::InvalidRequest, "The prompt is not supported."));
    }
    let asks = words.iter().any(|word| matches!(*word, "login" | "select_account"));
    Ok(if asks { Prompt::SignIn } else { Prompt::AsNeeded })
}

fn max_age(text: Option<&str>) -> Result<Option<Duration>, OAuthError> {
    text.map(|text| text.parse().map(Duration::from_secs))
        .transpose()
        .map_err(|_| OAuthError::new(ErrorCode::InvalidRequest, "max_age is not a number of seconds."))
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &str = r#"
        [[clients]]
        client_id = "broker"
        client_secret = "s"
        redirect_uris = ["https://broker.test/cb"]
    "#;

    fn read(query: &str) -> Result<AuthorizeRequest, Refusal> {
        AuthorizeRequest::read(&Parameters::parse(query).unwrap(), &Directory::from_toml(FILE).unwrap())
    }

    fn error_code(query: &str) -> &'static str {
        let base =
            "client_id=broker&redirect_uri=https://broker.test/cb&state=s&scope=openid&response_type=code";
        match read(&format!("{base}&{query}")) {
            Ok(_) => "",
            Err(Refusal::Page(_)) => "page",
            Err(Refusal::Redirect(_, error)) => error.code.as_str(),
        }
    }

    #[test]
    fn an_unknown_client_or_redirect_uri_never_redirects() {
        let cases = [
            "client_id=other&redirect_uri=https://broker.test/cb",
            "redirect_uri=https://broker.test/cb",
            "client_id=broker",
            "client_id=broker&redirect_uri=https://broker.test/cb/",
            "client_id=broker&redirect_uri=https://broker.test/cb?x",
            "client_id=broker&redirect_uri=HTTPS://broker.test/cb",
            "client_id=broker&client_id=broker&redirect_uri=https://broker.test/cb",
            "client_id=broker&redirect_uri=https://broker.test/cb&redirect_uri=https://broker.test/cb",
        ];
        for query in cases {
            assert!(matches!(read(query), Err(Refusal::Page(_))), "{query}");
        }
    }

    #[test]
    fn every_other_error_goes_to_the_client_by_its_name() {
        assert_eq!(error_code(""), "");
        assert_eq!(error_code("nonce=a&nonce=b"), "invalid_request");
        assert_eq!(error_code("request=a.b.c"), "request_not_supported");
        assert_eq!(error_code("request_uri=urn:a"), "request_uri_not_supported");
        assert_eq!(error_code("response_mode=fragment"), "invalid_request");
        assert_eq!(error_code("max_age=soon"), "invalid_request");
        assert_eq!(error_code("prompt=none%20login"), "invalid_request");
        assert_eq!(error_code("prompt=create"), "invalid_request");
        for query in ["response_type=token", "response_type=code%20id_token", ""] {
            let read = read(&format!("client_id=broker&redirect_uri=https://broker.test/cb&{query}"));
            assert!(
                matches!(read, Err(Refusal::Redirect(_, error)) if error.code == ErrorCode::UnsupportedResponseType)
            );
        }
    }

    #[test]
    fn only_s256_is_pkce() {
        let challenge = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM";
        assert_eq!(error_code(&format!("code_challenge={challenge}&code_challenge_method=S256")), "");
        for query in [
            format!("code_challenge={challenge}"),
            format!("code_challenge={challenge}&code_challenge_method=plain"),
            "code_challenge=short&code_challenge_method=S256".to_owned(),
            "code_challenge_method=S256".to_owned(),
        ] {
            assert_eq!(error_code(&query), "invalid_request", "{query}");
        }
    }
}
