//! Cross-site posts are refused before a form is read: told by `Sec-Fetch-Site`, without it by `Origin`, with
//! neither by the form's own token.

use axum::response::Response;

use super::request::{Browser, RequestOrigin};
use super::respond::refusal;
use super::state::Web;
use crate::protocol::oauth::Parameters;

/// Lets a form through that our own page sent, for `subject` (the flow or session that its token names).
pub async fn require_own_form(
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
            subject.is_some_and(|subject| web.broker.is_form_token(subject, token))
        }
    };
    if own {
        return Ok(());
    }
    let error = web.broker.refuse_cross_site();
    Err(refusal(web, browser, error).await)
}

/// The flow of a form that our own page sent: its handle.
pub async fn require_flow_form<'f>(
    web: &Web,
    browser: &Browser,
    form: &'f Parameters,
) -> Result<&'f str, Response> {
    let handle = form.get("flow").unwrap_or_default();
    let subject = web.broker.read_handle(handle).map(|name| name.id.to_string());
    require_own_form(web, browser, form, subject.as_deref()).await?;
    Ok(handle)
}
