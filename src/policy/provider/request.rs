//! Whether an authorization request is valid, as far as that can be decided without the user (RFC 6749, section 4.1.1;
//! `OpenID` Connect Core, section 3.1.2.2; RFC 7636, section 4.4.1).

use crate::model::{App, AuthorizationRequest, GrantType, Prompt};
use crate::protocol::claims::{self, Demanded};
use crate::protocol::count::MOST;
use crate::protocol::oauth::{ErrorCode, OAuthError, Parameters, parse_prompt, split_words};

/// Scopes that the broker knows.
pub const SCOPES: [&str; 5] = ["openid", "profile", "email", "phone", "offline_access"];

/// A valid request.
#[derive(Debug)]
pub struct Checked {
    /// The request. The caller fills in `hinted_account`.
    pub request: AuthorizationRequest,
    /// The `sub` that the parameter `claims` demands.
    pub subject: Option<String>,
}

/// Checks a request whose `client_id` and `redirect_uri` are valid already. `longest` is the length limit of each of
/// `state`, `nonce` and `claims`, in bytes.
pub fn check(
    app: &App,
    redirect_uri: &str,
    parameters: &Parameters,
    longest: usize,
) -> Result<Checked, OAuthError> {
    // Order matters: a fault that makes the rest of the request unreliable is reported first.
    if let Some(name) = parameters.first_repeated() {
        return Err(OAuthError::naming(
            ErrorCode::InvalidRequest,
            &format!("the parameter {name} came twice"),
        ));
    }
    refuse_unsupported(parameters)?;
    check_response(app, parameters)?;
    let prompt = prompt(parameters)?;
    let scopes = scopes(app, parameters, &prompt)?;
    let code_challenge = code_challenge(app, parameters)?;
    let claims = demanded(parameters, longest)?;
    let wished = words(parameters, "acr_values")?;
    let request = AuthorizationRequest {
        app: app.id,
        redirect_uri: redirect_uri.to_owned(),
        state: opaque(parameters, "state", longest)?,
        nonce: opaque(parameters, "nonce", longest)?,
        max_age: max_age(parameters)?,
        // A context that the app demands is requested upstream, too.
        acr_values: [claims.essential_acr.clone(), claims.voluntary_acr, wished].concat(),
        essential_acr: claims.essential_acr,
        login_hint: parameters.get("login_hint").map(str::to_owned),
        hinted_account: None,
        domain_hint: parameters.get("domain_hint").map(str::to_owned),
        idp_hint: parameters.get("idp_hint").map(str::to_owned),
        resources: resources(app, parameters)?,
        ui_locales: locales(parameters)?,
        scopes,
        code_challenge,
        prompt,
    };
    Ok(Checked { request, subject: claims.subject })
}

fn refuse_unsupported(parameters: &Parameters) -> Result<(), OAuthError> {
    let unsupported = [
        (
            "request",
            ErrorCode::RequestNotSupported,
            "request objects are not supported; send plain parameters",
        ),
        (
            "request_uri",
            ErrorCode::RequestUriNotSupported,
            "request_uri is not supported; send plain parameters",
        ),
        ("registration", ErrorCode::RegistrationNotSupported, "registration in a request is not supported"),
    ];
    for (name, code, description) in unsupported {
        if parameters.get(name).is_some() {
            return Err(OAuthError::new(code, description));
        }
    }
    Ok(())
}

fn check_response(app: &App, parameters: &Parameters) -> Result<(), OAuthError> {
    match parameters.get("response_type") {
        None => {
            return Err(OAuthError::new(ErrorCode::InvalidRequest, "response_type is missing; send code"));
        }
        Some("code") => {}
        Some(_) => {
            let description = "only response_type=code is supported";
            return Err(OAuthError::new(ErrorCode::UnsupportedResponseType, description));
        }
    }
    if parameters.get("response_mode").is_some_and(|mode| mode != "query") {
        return Err(OAuthError::new(ErrorCode::InvalidRequest, "only response_mode=query is supported"));
    }
    if !app.may_use(GrantType::AuthorizationCode) {
        let description = "this app is not registered for the authorization code grant";
        return Err(OAuthError::new(ErrorCode::UnauthorizedClient, description));
    }
    Ok(())
}

/// The space-separated words of a parameter.
fn words(parameters: &Parameters, name: &'static str) -> Result<Vec<String>, OAuthError> {
    let Some(text) = parameters.get(name) else { return Ok(Vec::new()) };
    split_words(text).map_err(|_| {
        OAuthError::naming(ErrorCode::InvalidRequest, &format!("{name} has more than {MOST} words"))
    })
}

fn locales(parameters: &Parameters) -> Result<Option<String>, OAuthError> {
    words(parameters, "ui_locales")?;
    Ok(parameters.get("ui_locales").map(str::to_owned))
}

fn prompt(parameters: &Parameters) -> Result<Vec<Prompt>, OAuthError> {
    let Some(text) = parameters.get("prompt") else { return Ok(Vec::new()) };
    let prompt = parse_prompt(text).ok_or(OAuthError::new(
        ErrorCode::InvalidRequest,
        "prompt takes none, login, consent and select_account",
    ))?;
    if prompt.contains(&Prompt::None) && prompt.len() > 1 {
        return Err(OAuthError::new(
            ErrorCode::InvalidRequest,
            "prompt=none cannot be combined with another prompt",
        ));
    }
    Ok(prompt)
}

/// The scopes of the request that the app may have. Unknown scopes are ignored (`OpenID` Connect Core, section
/// 3.1.2.1); known scopes that the app may not have are refused.
fn scopes(app: &App, parameters: &Parameters, prompt: &[Prompt]) -> Result<Vec<String>, OAuthError> {
    let asked = words(parameters, "scope")?;
    let well_formed = |word: &String| word.bytes().all(|b| matches!(b, 0x21 | 0x23..=0x5b | 0x5d..=0x7e));
    if !asked.iter().all(well_formed) {
        return Err(OAuthError::new(
            ErrorCode::InvalidScope,
            "scope contains a character that is not allowed",
        ));
    }
    let mut granted = Vec::new();
    for scope in asked {
        if app.settings.scopes.contains(&scope) {
            granted.push(scope);
        } else if SCOPES.contains(&scope.as_str()) {
            let description = format!("this app may not ask for the scope {scope}");
            return Err(OAuthError::naming(ErrorCode::InvalidScope, &description));
        }
    }
    // `OpenID` Connect Core, section 11: offline access needs the user's consent, or an app whose organization has
    // consented for them.
    let asks_consent = prompt.contains(&Prompt::Consent);
    let implicit = app.settings.consent == crate::model::ConsentMode::Implicit;
    let refreshes = app.may_use(GrantType::RefreshToken);
    granted.retain(|scope| scope != "offline_access" || (refreshes && (asks_consent || implicit)));
    Ok(granted)
}

fn code_challenge(app: &App, parameters: &Parameters) -> Result<Option<String>, OAuthError> {
    let invalid = |description| Err(OAuthError::new(ErrorCode::InvalidRequest, description));
    let method = parameters.get("code_challenge_method");
    let Some(challenge) = parameters.get("code_challenge") else {
        return if app.settings.require_pkce || app.is_public() {
            invalid("this app must use PKCE: send code_challenge with code_challenge_method=S256")
        } else if method.is_some() {
            invalid("code_challenge_method was sent without code_challenge")
        } else {
            Ok(None)
        };
    };
    if method != Some("S256") {
        return invalid("only code_challenge_method=S256 is supported");
    }
    let shaped = challenge.len() == 43
        && challenge.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_'));
    if shaped {
        Ok(Some(challenge.to_owned()))
    } else {
        invalid("code_challenge is not a SHA-256 hash in base64url")
    }
}

fn opaque(parameters: &Parameters, name: &'static str, longest: usize) -> Result<Option<String>, OAuthError> {
    match parameters.get(name) {
        Some(value) if value.len() > longest => {
            let description = format!("{name} is longer than {longest} bytes");
            Err(OAuthError::naming(ErrorCode::InvalidRequest, &description))
        }
        value => Ok(value.map(str::to_owned)),
    }
}

fn max_age(parameters: &Parameters) -> Result<Option<u32>, OAuthError> {
    let Some(text) = parameters.get("max_age") else { return Ok(None) };
    let digits = text.bytes().all(|b| b.is_ascii_digit());
    let error = OAuthError::new(ErrorCode::InvalidRequest, "max_age is not a number of seconds");
    if digits { text.parse().map(Some).map_err(|_| error) } else { Err(error) }
}

/// The demands of the parameter `claims`.
fn demanded(parameters: &Parameters, longest: usize) -> Result<Demanded, OAuthError> {
    let Some(text) = parameters.get("claims") else { return Ok(Demanded::default()) };
    claims::parse(text, longest).ok_or(OAuthError::new(
        ErrorCode::InvalidRequest,
        "claims is not a JSON object as in OpenID Connect Core 5.5, or it or a list in it is too long",
    ))
}

/// Resource indicators (RFC 8707, section 2). Only those that are registered for the app are accepted, so that no app
/// gets a token for another one's API.
fn resources(app: &App, parameters: &Parameters) -> Result<Vec<String>, OAuthError> {
    let mut resources = Vec::new();
    for resource in parameters.all("resource") {
        if resources.len() == 8 || !app.settings.resources.iter().any(|known| known == resource) {
            let description = "resource takes up to eight of the resources that this app is registered for";
            return Err(OAuthError::new(ErrorCode::InvalidTarget, description));
        }
        resources.push(resource.to_owned());
    }
    Ok(resources)
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::model::value::random::CountingRandom;
    use crate::model::{AppAuthMethod, AppId, AppSettings, OrganizationId, Timestamp};

    pub(crate) fn app(change: impl FnOnce(&mut AppSettings)) -> App {
        let (now, random) = (Timestamp::from_unix_seconds(1_700_000_000), CountingRandom::default());
        let mut settings = AppSettings::for_auth(AppAuthMethod::ClientSecretBasic);
        change(&mut settings);
        App {
            id: AppId::new(now, &random),
            organization: OrganizationId::new(now, &random),
            client_id: "notes".into(),
            name: "Notes".into(),
            enabled: true,
            secret_hashes: Vec::new(),
            settings,
            created_at: now,
        }
    }

    const GOOD: &str = "response_type=code&scope=openid&code_challenge_method=S256\
                        &code_challenge=E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM";

    fn check_with(app: &App, more: &str) -> Result<AuthorizationRequest, ErrorCode> {
        let parameters = Parameters::parse(&format!("{GOOD}{more}")).unwrap();
        let checked = check(app, "https://app.test/cb", &parameters, 2_048);
        checked.map(|checked| checked.request).map_err(|error| error.code)
    }

    #[test]
    fn each_fault_has_its_own_code() {
        use ErrorCode::{
            InvalidRequest, InvalidScope, InvalidTarget, RegistrationNotSupported, RequestNotSupported,
            RequestUriNotSupported,
        };
        for (more, code) in [
            ("&state=1&state=2", InvalidRequest),
            ("&response_type=token", InvalidRequest),
            ("&request=x.y.z", RequestNotSupported),
            ("&request_uri=https://a.test/r", RequestUriNotSupported),
            ("&registration={}", RegistrationNotSupported),
            ("&response_mode=fragment", InvalidRequest),
            ("&prompt=none+login", InvalidRequest),
            ("&prompt=dance", InvalidRequest),
            ("&max_age=-1", InvalidRequest),
            ("&claims=acr", InvalidRequest),
            ("&claims={\"id_token\":{\"acr\":{\"essential\":1}}}", InvalidRequest),
            ("&max_age=1.5", InvalidRequest),
            ("&max_age=99999999999", InvalidRequest),
            ("&resource=https://a.test/%23x", InvalidTarget),
            ("&resource=relative", InvalidTarget),
        ] {
            assert_eq!(check_with(&app(|_| ()), more).err(), Some(code), "{more}");
        }
        let long = format!("&state={}", "a".repeat(2_049));
        assert_eq!(check_with(&app(|_| ()), &long).err(), Some(InvalidRequest));
        let no_email = app(|settings| settings.scopes.retain(|scope| scope != "email"));
        let asks_email = Parameters::parse(&GOOD.replace("scope=openid", "scope=openid+email")).unwrap();
        assert_eq!(
            check(&no_email, "u", &asks_email, 2_048).err().map(|error| error.code),
            Some(InvalidScope)
        );
    }

    #[test]
    fn a_list_of_words_has_a_hundred_at_most() {
        for name in ["scope", "acr_values", "ui_locales", "prompt"] {
            let good = GOOD.replace("scope=openid&", "");
            let with = |count: usize| {
                let words: Vec<String> = (0..count).map(|at| format!("w{at}")).collect();
                let text = format!("{good}&{name}={}", words.join("+"));
                let checked = check(&app(|_| ()), "u", &Parameters::parse(&text).unwrap(), 2_048);
                checked.map(|_| ()).map_err(|error| error.code)
            };
            assert_eq!(with(101), Err(ErrorCode::InvalidRequest), "{name}");
            // `prompt` accepts only its four words.
            assert_eq!(with(100).is_ok(), name != "prompt", "{name}");
        }
    }

    #[test]
    fn only_the_code_response_exists() {
        for (text, code) in [("token", ErrorCode::UnsupportedResponseType), ("", ErrorCode::InvalidRequest)] {
            let parameters = Parameters::parse(&GOOD.replace("=code&", &format!("={text}&"))).unwrap();
            assert_eq!(
                check(&app(|_| ()), "u", &parameters, 2_048).err().map(|error| error.code),
                Some(code),
                "{text}"
            );
        }
    }

    #[test]
    fn pkce_is_required_unless_a_confidential_app_opted_out() {
        let without = Parameters::parse("response_type=code&scope=openid").unwrap();
        let plain = Parameters::parse(&GOOD.replace("S256", "plain")).unwrap();
        let opted_out = app(|settings| settings.require_pkce = false);
        let public = app(|settings| {
            settings.require_pkce = false;
            settings.auth_method = AppAuthMethod::None;
        });
        assert!(check(&opted_out, "u", &without, 2_048).is_ok());
        for (app, parameters) in [(&app(|_| ()), &without), (&public, &without), (&opted_out, &plain)] {
            let error = check(app, "u", parameters, 2_048).err().map(|error| error.code);
            assert_eq!(error, Some(ErrorCode::InvalidRequest));
        }
    }

    #[test]
    fn offline_access_needs_the_consent_of_the_user_or_the_organization() {
        let asks = |app: &App, more: &str| {
            let text = GOOD.replace("scope=openid", "scope=openid+offline_access") + more;
            check(app, "u", &Parameters::parse(&text).unwrap(), 2_048)
                .unwrap()
                .request
                .scopes
                .contains(&"offline_access".to_owned())
        };
        let explicit = app(|settings| settings.consent = crate::model::ConsentMode::Explicit);
        assert!(asks(&app(|_| ()), ""));
        assert!(!asks(&explicit, ""));
        assert!(asks(&explicit, "&prompt=consent"));
    }

    #[test]
    fn a_context_that_is_demanded_is_wished_for_first() {
        let asked = |claims: &str| {
            let checked = check_with(&app(|_| ()), &format!("&acr_values=tin&claims={claims}")).unwrap();
            (checked.essential_acr, checked.acr_values)
        };
        let (essential, wished) =
            asked(r#"{"id_token":{"acr":{"essential":true,"values":["gold","silver"]}}}"#);
        assert_eq!(essential, ["gold", "silver"]);
        assert_eq!(wished, ["gold", "silver", "tin"]);
        let (essential, wished) = asked(r#"{"id_token":{"acr":{"value":"gold"}}}"#);
        assert!(essential.is_empty());
        assert_eq!(wished, ["gold", "tin"]);
    }

    #[test]
    fn unknown_scopes_are_ignored() {
        let parameters = Parameters::parse(&GOOD.replace("scope=openid", "scope=openid+dance")).unwrap();
        assert_eq!(check(&app(|_| ()), "u", &parameters, 2_048).unwrap().request.scopes, ["openid"]);
    }
}
