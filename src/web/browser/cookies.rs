//! Cookies: all of them `__Host-`, `Secure`, `HttpOnly` and `SameSite=Lax` (RFC 6265bis, sections 4.1.3.2 and 5.2).
//!
//! A name that occurs twice is ignored altogether, because the broker cannot tell which of the two another host has
//! set. Names are compared byte for byte. The crate `cookie` removes Unicode white space from names, so that another
//! host could set one of our cookies in disguise; it is not used for that reason.

use std::collections::HashMap;

use axum::extract::Request;
use axum::middleware::Next;
use axum::response::Response;
use http::{HeaderMap, HeaderValue, Method, header};

use crate::flows::visit::CookieChange;
use crate::model::{FLOW_LIFETIME, FlowId, Secret};
use crate::protocol::oauth::Parameters;
use crate::web::text::locale::Locale;

/// How the names of our cookies begin.
const OURS: &str = "__Host-";

const SESSION: &str = "__Host-session";
const KNOWN: &str = "__Host-known";
const FLOW: &str = "__Host-flow-";
const LANGUAGE: &str = "__Host-language";

/// A year, in seconds.
const KNOWN_LIFETIME: u64 = 365 * 24 * 3_600;

/// The broker's own cookies in a request.
#[derive(Debug, Clone, Default)]
pub struct Cookies {
    /// The session's token.
    pub session: Option<Secret>,
    /// The sealed list of accounts.
    pub known: Option<String>,
    /// The sealed flows.
    pub flows: Vec<(FlowId, String)>,
    /// The page language that the user chose.
    pub language: Option<String>,
}

impl Cookies {
    /// Reads the `Cookie` headers. Ignores cookies that are malformed or occur twice.
    pub fn read(headers: &HeaderMap) -> Self {
        let texts = headers.get_all(header::COOKIE).into_iter().filter_map(|value| value.to_str().ok());
        let pairs = texts
            .flat_map(|text| text.split(';'))
            .filter_map(|pair| pair.trim_matches([' ', '\t']).split_once('='))
            .filter(|(name, _)| name.starts_with(OURS));
        // The value of a name that occurs once, and `None` for one that occurs again.
        let mut values: HashMap<&str, Option<&str>> = HashMap::new();
        for (name, value) in pairs {
            values.entry(name).and_modify(|known| *known = None).or_insert(Some(value));
        }
        let single = |name: &str| values.get(name).copied().flatten();
        let mut flows: Vec<(FlowId, String)> = values
            .iter()
            .filter_map(|(name, value)| {
                let id = format!("flo_{}", name.strip_prefix(FLOW)?).parse().ok()?;
                Some((id, (*value)?.to_owned()))
            })
            .collect();
        flows.sort_unstable_by_key(|(id, _)| *id);
        let session = single(SESSION).filter(|token| !token.is_empty()).map(Secret::new);
        let language = single(LANGUAGE).map(str::to_owned);
        Self { session, known: single(KNOWN).map(str::to_owned), flows, language }
    }
}

/// The `Set-Cookie` value of a change.
pub fn set_cookie(change: &CookieChange) -> Option<HeaderValue> {
    let text = match change {
        CookieChange::SetFlow(id, value) => cookie(&flow_name(*id), value, Some(FLOW_LIFETIME.as_secs())),
        CookieChange::ClearFlow(id) => cookie(&flow_name(*id), "", Some(0)),
        // It ends with the browser. The server knows when it ends at the latest.
        CookieChange::SetSession(token) => cookie(SESSION, token.expose(), None),
        CookieChange::ClearSession => cookie(SESSION, "", Some(0)),
        CookieChange::SetKnown(value) => cookie(KNOWN, value, Some(KNOWN_LIFETIME)),
    };
    let mut value = HeaderValue::try_from(text).ok()?;
    value.set_sensitive(true);
    Some(value)
}

/// The `Set-Cookie` value that keeps the page language that the user chose.
fn set_language(locale: Locale) -> Option<HeaderValue> {
    HeaderValue::try_from(cookie(LANGUAGE, locale.tag(), Some(KNOWN_LIFETIME))).ok()
}

/// Keeps the language that the user chose on a page (for `axum::middleware::from_fn`), so that the next page has it
/// too, even after a post. At the endpoints for apps and sign-in links, `ui_locales` is not the user's choice.
pub async fn keep_choice(request: Request, next: Next) -> Response {
    let path = request.uri().path();
    let of_app = ["/oauth2/", "/sso/", "/.well-known/"].iter().any(|room| path.starts_with(room));
    let query = request.uri().query().filter(|_| !of_app && request.method() == Method::GET);
    let query = query.and_then(|query| Parameters::parse(query).ok()).unwrap_or_default();
    let cookie = query.get("ui_locales").and_then(Locale::from_tag).and_then(set_language);
    let mut response = next.run(request).await;
    if let Some(cookie) = cookie {
        response.headers_mut().append(header::SET_COOKIE, cookie);
    }
    response
}

fn flow_name(id: FlowId) -> String {
    let text = id.to_string();
    format!("{FLOW}{}", text.trim_start_matches("flo_"))
}

fn cookie(name: &str, value: &str, max_age: Option<u64>) -> String {
    let age = max_age.map(|seconds| format!("; Max-Age={seconds}")).unwrap_or_default();
    format!("{name}={value}; Path=/; Secure; HttpOnly; SameSite=Lax{age}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &'static str) -> Cookies {
        let mut headers = HeaderMap::new();
        headers.insert(header::COOKIE, HeaderValue::from_bytes(text.as_bytes()).unwrap());
        Cookies::read(&headers)
    }

    #[test]
    fn a_doubled_or_disguised_cookie_is_ignored() {
        assert_eq!(read("a=b; __Host-session=x").session.unwrap().expose(), "x");
        for text in [
            "__Host-session=x; __Host-session=y",
            "__host-session=x",
            "session=x",
            "__Host-session",
            "__Host-session=",
        ] {
            assert!(read(text).session.is_none(), "{text}");
        }
        let mut headers = HeaderMap::new();
        let spaced = "\u{2000}__Host-session=x".as_bytes();
        headers.insert(header::COOKIE, HeaderValue::from_bytes(spaced).unwrap());
        assert!(Cookies::read(&headers).session.is_none());
    }

    #[test]
    fn flows_are_read_by_their_id() {
        let cookies = read("__Host-flow-00000000000000000000000000000001=a; __Host-flow-zz=b");
        assert_eq!(cookies.flows.len(), 1);
        assert_eq!(cookies.flows[0].1, "a");
    }

    #[test]
    fn every_cookie_is_bound_to_the_host_and_hidden_from_scripts() {
        let id = FlowId::from_bytes([1; 16]);
        for change in [
            CookieChange::SetFlow(id, "v".into()),
            CookieChange::ClearFlow(id),
            CookieChange::SetSession(Secret::new("s")),
            CookieChange::ClearSession,
            CookieChange::SetKnown("k".into()),
        ] {
            let value = set_cookie(&change).unwrap();
            let text = value.to_str().unwrap();
            assert!(text.starts_with("__Host-") && !text.contains("Domain"), "{text}");
            assert!(text.contains("; Path=/; Secure; HttpOnly; SameSite=Lax"), "{text}");
        }
    }
}
