//! How handlers take the types of [`request`](super::request), and how the broker answers a request that cannot be
//! read.

use axum::extract::{FromRequest, FromRequestParts, Path, Request};
use axum::response::Response;
use http::StatusCode;
use http::request::Parts;

use super::request::{Browser, FormError, OfConnection, TriedForm, UncheckedForm};
use super::respond::{plain, refusal};
use crate::flows::refusal::{FlowError, PublicCode, Reason};
use crate::web::state::Web;

impl FromRequestParts<Web> for Browser {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, web: &Web) -> Result<Self, Response> {
        match Self::read(parts, web) {
            Ok(browser) => Ok(browser),
            Err(browser) => Err(too_many(web, &browser).await),
        }
    }
}

/// The page that refuses a query or a form with too many parameters.
async fn too_many(web: &Web, browser: &Browser) -> Response {
    refusal(web, browser, web.broker.core.refuse_form(Reason::TooManyParameters)).await
}

impl FromRequestParts<Web> for OfConnection {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, web: &Web) -> Result<Self, Response> {
        let named = Path::<String>::from_request_parts(parts, web).await.ok();
        if let Some(id) = named.and_then(|Path(text)| text.parse().ok()) {
            return Ok(Self(id));
        }
        let browser = Browser::from_request_parts(parts, web).await?;
        Err(refusal(web, &browser, FlowError::refused(PublicCode::NotFound)).await)
    }
}

impl FromRequest<Web> for UncheckedForm {
    type Rejection = Response;

    async fn from_request(request: Request, web: &Web) -> Result<Self, Response> {
        let (parts, body) = request.into_parts();
        match Self::read(&parts, body).await {
            Ok(form) => Ok(form),
            Err(FormError::TooMany) => {
                let (Ok(browser) | Err(browser)) = Browser::read(&parts, web);
                Err(too_many(web, &browser).await)
            }
            Err(error) => Err(error.answer()),
        }
    }
}

impl FromRequest<Web> for TriedForm {
    type Rejection = std::convert::Infallible;

    async fn from_request(request: Request, _: &Web) -> Result<Self, Self::Rejection> {
        let (parts, body) = request.into_parts();
        Ok(Self(UncheckedForm::read(&parts, body).await.map(|UncheckedForm(form)| form)))
    }
}

impl FormError {
    /// The answer, in a short text.
    fn answer(self) -> Response {
        let (status, text) = match self {
            Self::NotAForm => (StatusCode::UNSUPPORTED_MEDIA_TYPE, "send application/x-www-form-urlencoded"),
            Self::Cut => (StatusCode::BAD_REQUEST, "the body did not arrive whole"),
            Self::NotUtf8 => (StatusCode::BAD_REQUEST, "the body is not UTF-8"),
            Self::TooMany => (StatusCode::BAD_REQUEST, "the form has too many parameters"),
        };
        plain(status, text)
    }
}
