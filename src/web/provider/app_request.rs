//! The request of an app to an endpoint for apps: a form, and the proof that the app sent it (RFC 6749, section 2.3).
//!
//! A request that cannot be read is refused and recorded here, with an error as in RFC 6749, section 5.2.

use std::sync::Arc;

use axum::extract::{FromRequest, FromRequestParts, Request};
use axum::response::Response;
use headers::authorization::Basic;
use headers::{Authorization, HeaderMapExt as _};
use http::request::Parts;
use http::{HeaderMap, header};
use url::form_urlencoded;

use super::app_answer::refuse;
use crate::flows::directory::AppEntry;
use crate::flows::provider::clients::{ClientCredentials, refuse_request};
use crate::flows::refusal::Reason;
use crate::model::Secret;
use crate::protocol::count::MOST;
use crate::protocol::oauth::{ErrorCode, OAuthError, Parameters};
use crate::web::browser::request::{Browser, FormError, UncheckedForm};
use crate::web::state::Web;

/// A request of an app that has proved itself.
pub struct AppRequest {
    /// The app.
    pub client: Arc<AppEntry>,
    /// The form. No parameter but `resource` occurs twice.
    pub form: Parameters,
    /// The network that the request came from.
    pub network: String,
    /// Whether the app tried HTTP Basic. A refusal then names it.
    pub tried_basic: bool,
}

/// The network that an app's request came from.
pub(in crate::web) struct Caller(pub(in crate::web) String);

impl FromRequestParts<Web> for Caller {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, web: &Web) -> Result<Self, Response> {
        match Browser::read(parts, web) {
            Ok(browser) => Ok(Self(browser.visit.network())),
            Err(browser) => {
                let network = browser.visit.network();
                let refused = refuse_request(Reason::TooManyParameters, too_many());
                Err(refuse(web, &network, refused, false).await)
            }
        }
    }
}

/// The error for an app that sent too many parameters.
pub(in crate::web) fn too_many() -> OAuthError {
    OAuthError::naming(ErrorCode::InvalidRequest, &format!("send {MOST} parameters at most"))
}

impl FromRequest<Web> for AppRequest {
    type Rejection = Response;

    async fn from_request(request: Request, web: &Web) -> Result<Self, Response> {
        let (mut parts, body) = request.into_parts();
        let Caller(network) = Caller::from_request_parts(&mut parts, web).await?;
        let credentials = basic_credentials(&parts.headers);
        let tried_basic = parts.headers.contains_key(header::AUTHORIZATION);
        let form = UncheckedForm::read(&parts, body).await;
        let read = match (form, credentials) {
            (Err(FormError::TooMany), _) => Err((Reason::TooManyParameters, too_many())),
            (Err(_), _) => Err((Reason::FormUnreadable, not_a_form())),
            (Ok(UncheckedForm(form)), _) if form.first_repeated().is_some() => {
                Err((Reason::ParameterRepeated, repeated(form.first_repeated().unwrap_or_default())))
            }
            (Ok(_), Err(error)) => Err((Reason::AuthorizationUnreadable, error)),
            (Ok(UncheckedForm(form)), Ok(basic)) => Ok((form, basic)),
        };
        let (form, basic) = match read {
            Ok(read) => read,
            Err((reason, error)) => {
                let refused = refuse_request(reason, error);
                return Err(refuse(web, &network, refused, tried_basic).await);
            }
        };
        let credentials = ClientCredentials {
            basic,
            form_id: form.get("client_id").map(str::to_owned),
            form_secret: form.get("client_secret").map(Secret::new),
        };
        match web.broker.clients.authenticate_client(&network, &credentials).await {
            Ok(client) => Ok(Self { client, form, network, tried_basic }),
            Err(error) => Err(refuse(web, &network, error, tried_basic).await),
        }
    }
}

fn not_a_form() -> OAuthError {
    let description = "send the parameters as application/x-www-form-urlencoded in the body";
    OAuthError::new(ErrorCode::InvalidRequest, description)
}

fn repeated(name: &str) -> OAuthError {
    OAuthError::naming(ErrorCode::InvalidRequest, &format!("the parameter {name} came twice"))
}

/// Client id and secret of HTTP Basic (RFC 7617), if the request has an `Authorization` header. Apps form-encode both
/// parts before they join them (RFC 6749, section 2.3.1).
fn basic_credentials(headers: &HeaderMap) -> Result<Option<(String, Secret)>, OAuthError> {
    let unreadable =
        || OAuthError::new(ErrorCode::InvalidClient, "the Authorization header is not HTTP Basic");
    let basic = headers.typed_try_get::<Authorization<Basic>>().map_err(|_| unreadable())?;
    let Some(basic) = basic else { return Ok(None) };
    match (form_decode(basic.username()), form_decode(basic.password())) {
        (Some(id), Some(secret)) => Ok(Some((id, Secret::new(secret)))),
        _ => Err(unreadable()),
    }
}

fn form_decode(text: &str) -> Option<String> {
    // `&` and `=` separate the parts of a form, but are plain letters here.
    let guarded = text.replace('&', "%26").replace('=', "%3D");
    let mut pairs = form_urlencoded::parse(guarded.as_bytes());
    let name = pairs.next().map_or_else(String::new, |(name, _)| name.into_owned());
    // PostgreSQL does not store text with U+0000, so no registered name contains it.
    (pairs.next().is_none() && !name.contains('\0')).then_some(name)
}

#[cfg(test)]
mod tests {
    use base64::Engine as _;
    use base64::engine::general_purpose::STANDARD;

    use super::*;

    fn read(value: &str) -> Option<(String, String)> {
        let mut headers = HeaderMap::new();
        headers.insert(header::AUTHORIZATION, value.parse().unwrap());
        let read = basic_credentials(&headers).ok().map(Option::unwrap);
        read.map(|(id, secret)| (id, secret.expose().to_owned()))
    }

    fn decode(plain: &str) -> Option<(String, String)> {
        read(&format!("Basic {}", STANDARD.encode(plain)))
    }

    #[test]
    fn basic_credentials_are_form_decoded() {
        let pair = |id: &str, secret: &str| Some((id.to_owned(), secret.to_owned()));
        assert_eq!(decode("app:s3cret"), pair("app", "s3cret"));
        assert_eq!(decode("a%3Ab:c%20d+e"), pair("a:b", "c d e"));
        assert_eq!(decode("app:a&b=c:d"), pair("app", "a&b=c:d"));
        assert_eq!(decode("app"), None);
        assert_eq!(decode("a\0b:s3cret"), None);
        assert_eq!(decode("a%00b:s3cret"), None);
        assert!(read("Bearer x").is_none());
        assert!(read("Basic ???").is_none());
    }

    #[test]
    fn basic_is_told_by_its_scheme_in_any_case_and_by_strict_base64() {
        let pair = Some(("app".to_owned(), "s3cret".to_owned()));
        let good = STANDARD.encode("app:s3cret");
        assert_eq!(read(&format!("bAsIc   {good}")), pair);
        for wrong in [
            format!("Basic\t{good}"),
            format!("Basic{good}"),
            format!("Basic {good}="),
            format!("Basic {good} x"),
        ] {
            assert_eq!(read(&wrong), None, "{wrong}");
        }
        assert!(read(&format!("Basic {}", STANDARD.encode("app:é\u{fffd}"))).is_some());
        assert_eq!(read(&format!("Basic {}", STANDARD.encode(b"app:\xff"))), None, "not UTF-8");
        assert!(basic_credentials(&HeaderMap::new()).unwrap().is_none());
    }
}
