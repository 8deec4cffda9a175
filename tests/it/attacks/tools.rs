//! What several rows need.

use bytes::Bytes;
use http::{Method, Request, StatusCode};
use http_body_util::Full;
use serde_json::Value;

use crate::harness::app::ISSUER;
use crate::harness::browser::{Browser, Network};
use crate::harness::relying_app::RelyingApp;
use crate::harness::world::{PASSWORD, World};

/// The content type of forms.
pub const FORM: (&str, &str) = ("content-type", "application/x-www-form-urlencoded");

/// The session's cookie.
pub const SESSION: &str = "__Host-session";

/// One request to the broker, without a user.
pub fn request(method: Method, path: &str, headers: &[(&str, &str)], body: &str) -> Request<Full<Bytes>> {
    let mut request = Request::builder().method(method).uri(format!("{ISSUER}{path}"));
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    request.body(Full::new(Bytes::from(body.to_owned()))).unwrap()
}

/// Sends [`request`] on a connection of its own.
pub async fn send(
    network: &Network,
    method: Method,
    path: &str,
    headers: &[(&str, &str)],
    body: &str,
) -> http::Response<Bytes> {
    network.send(request(method, path, headers, body)).await
}

/// Form-encodes.
pub fn form(pairs: &[(&str, &str)]) -> String {
    url::form_urlencoded::Serializer::new(String::new()).extend_pairs(pairs).finish()
}

/// Percent-encodes every byte.
pub fn percent(text: &str) -> String {
    text.bytes().map(|byte| format!("%{byte:02X}")).collect::<Vec<_>>().concat()
}

/// A member of an answer, which is a text.
#[track_caller]
pub fn text<'v>(answer: &'v Value, name: &str) -> &'v str {
    answer[name].as_str().unwrap_or_else(|| panic!("no {name} in {answer}"))
}

/// Signs gil in at wiki; gives his tokens.
pub async fn tokens_of_gil(world: &World, browser: &mut Browser) -> Value {
    let wiki = &world.globex_app;
    let (status, tokens) = wiki.redeem(&wiki.code(&world.local(browser).await)).await;
    assert_eq!(status, StatusCode::OK, "{tokens}");
    tokens
}

/// Uses a refresh token.
pub async fn refresh(app: &RelyingApp, token: &str, more: &[(&str, &str)]) -> (u16, Value) {
    let mut form = vec![("grant_type", "refresh_token"), ("refresh_token", token)];
    form.extend(more);
    let (status, answer) = app.token(&form).await;
    (status.as_u16(), answer)
}

/// Signs carol in on her own page.
pub async fn sign_carol_in(browser: &mut Browser) {
    let page = browser.open("https://id.test/account").await;
    let page = browser.press(&page, "sign-in", &[("username", "carol"), ("password", PASSWORD)]).await;
    page.expect(200, "this-session");
}

/// Whether the browser is signed in.
pub async fn is_signed_in(browser: &mut Browser) -> bool {
    browser.open("https://id.test/account").await.has("this-session")
}

/// Fails unless the answer is this OAuth error, with the status that belongs to it.
#[track_caller]
pub fn assert_error((status, answer): &(impl Into<u16> + Copy, Value), error: &str) {
    let expected = if error == "invalid_client" { 401 } else { 400 };
    assert_eq!(((*status).into(), &answer["error"]), (expected, &Value::from(error)), "{answer}");
}
