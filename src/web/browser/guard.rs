//! Forms that the broker's own pages send. Cross-site posts are refused. `Sec-Fetch-Site` identifies them; without it
//! `Origin` does, and without either the form's own token.
//!
//! A page's handler takes one of these types, which exist only for a form that was checked. A form that apps, identity
//! providers and other sites may post is an [`UncheckedForm`]; a test lists the handlers that take one.

use axum::extract::{FromRequest, FromRequestParts, Path, Request};
use axum::response::Response;
use http::request::Parts;

use super::request::{Browser, RequestOrigin, UncheckedForm};
use super::respond::refusal;
use crate::protocol::oauth::Parameters;
use crate::web::state::Web;

/// A form of a page of a flow or interaction.
pub struct FlowForm {
    /// The browser that sent it.
    pub browser: Browser,
    /// The handle of the flow (field `flow`), as it came.
    pub handle: String,
    /// The form.
    pub form: Parameters,
}

impl FromRequest<Web> for FlowForm {
    type Rejection = Response;

    async fn from_request(request: Request, web: &Web) -> Result<Self, Response> {
        let (browser, form, _) = read(request, web).await?;
        let handle = form.get("flow").unwrap_or_default().to_owned();
        let subject = web.broker.interactions.read_handle(&handle).map(|name| name.id.to_string());
        require_own(web, &browser, &form, subject.as_deref()).await?;
        Ok(Self { browser, handle, form })
    }
}

/// A form of a page for a signed-in user. Without a session there is nothing to protect.
pub struct SessionForm {
    /// The browser that sent it.
    pub browser: Browser,
    /// The form.
    pub form: Parameters,
}

impl FromRequest<Web> for SessionForm {
    type Rejection = Response;

    async fn from_request(request: Request, web: &Web) -> Result<Self, Response> {
        let (browser, form, _) = read(request, web).await?;
        match web.broker.account.own_form_subject(&browser.visit).await {
            Ok(subject) => require_own(web, &browser, &form, subject.as_deref()).await?,
            Err(error) => return Err(refusal(web, &browser, error).await),
        }
        Ok(Self { browser, form })
    }
}

/// A form of a page that a mailed link opens.
pub struct MailedLinkForm {
    /// The browser that sent it.
    pub browser: Browser,
    /// The token of the link, from the path.
    pub token: String,
    /// The form.
    pub form: Parameters,
}

impl FromRequest<Web> for MailedLinkForm {
    type Rejection = Response;

    async fn from_request(request: Request, web: &Web) -> Result<Self, Response> {
        let (browser, form, mut parts) = read(request, web).await?;
        let token = Path::<String>::from_request_parts(&mut parts, web).await.map(|Path(token)| token);
        let token = token.unwrap_or_default();
        require_own(web, &browser, &form, Some(&token)).await?;
        Ok(Self { browser, token, form })
    }
}

async fn read(request: Request, web: &Web) -> Result<(Browser, Parameters, Parts), Response> {
    let (mut parts, body) = request.into_parts();
    let browser = Browser::from_request_parts(&mut parts, web).await?;
    let request = Request::from_parts(parts.clone(), body);
    let UncheckedForm(form) = UncheckedForm::from_request(request, web).await?;
    Ok((browser, form, parts))
}

/// Accepts a form only if one of the broker's own pages sent it. `subject` is the flow or session that its token names.
async fn require_own(
    web: &Web,
    browser: &Browser,
    form: &Parameters,
    subject: Option<&str>,
) -> Result<(), Response> {
    let own = match browser.origin {
        RequestOrigin::Own => true,
        RequestOrigin::Foreign => false,
        RequestOrigin::Unknown => {
            let token = form.get("form_token").unwrap_or_default();
            subject.is_some_and(|subject| web.broker.interactions.is_form_token(subject, token))
        }
    };
    if own { Ok(()) } else { Err(refusal(web, browser, web.broker.core.refuse_cross_site()).await) }
}
