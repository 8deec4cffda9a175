//! The security headers of every answer.
//!
//! Pages load nothing from other origins and run no inline script (`data:` is for the icon in the browser's tab, which
//! would otherwise need a request). `form-action` is left out on purpose: it also applies to the redirects that follow
//! a post, and a sign-in ends at an app of another origin. `Referrer-Policy` is `same-origin`, because with
//! `no-referrer` Chromium posts forms with `Origin: null`. COOP is set on the pages for administration and on the
//! user's own page. On other pages it would separate an app from the pop-up in which it opened a sign-in.

use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::Response;
use http::{HeaderMap, HeaderName, HeaderValue, header};

/// The settings that the headers depend on.
#[derive(Debug, Clone, Copy)]
pub struct HeaderSettings {
    /// Whether browsers are told to use only TLS with this host from now on (RFC 6797). Off for `localhost`, because it
    /// would affect other programs on the same machine.
    pub strict_transport: bool,
}

impl HeaderSettings {
    /// The settings for a broker whose public address is on `host`.
    pub fn for_host(host: &str) -> Self {
        Self { strict_transport: host != "localhost" && !host.ends_with(".localhost") }
    }
}

const CONTENT_SECURITY_POLICY: &str = "default-src 'none'; style-src 'self'; script-src 'self'; img-src data:; \
     font-src 'none'; base-uri 'none'; frame-ancestors 'none'";

const PERMISSIONS_POLICY: &str = "camera=(), geolocation=(), microphone=(), payment=(), usb=()";

const ON_EVERY_ANSWER: [(HeaderName, &str); 2] =
    [(header::X_CONTENT_TYPE_OPTIONS, "nosniff"), (header::REFERRER_POLICY, "same-origin")];

const ON_EVERY_PAGE: [(HeaderName, &str); 2] = [
    (HeaderName::from_static("permissions-policy"), PERMISSIONS_POLICY),
    (header::CACHE_CONTROL, "no-store"),
];

/// Adds the security headers to the answer (for `axum::middleware::from_fn_with_state`). A page that has set a content
/// security policy of its own keeps it, and thereby decides who may frame it.
pub async fn security_headers(
    State(settings): State<HeaderSettings>,
    request: Request,
    next: Next,
) -> Response {
    let apart = is_apart(request.uri().path());
    let mut response = next.run(request).await;
    add(settings, apart, response.headers_mut());
    response
}

/// Whether a path belongs to the pages for administration or to the user's own page.
fn is_apart(path: &str) -> bool {
    ["/console", "/account"]
        .iter()
        .any(|room| path.strip_prefix(room).is_some_and(|rest| rest.is_empty() || rest.starts_with('/')))
}

fn add(settings: HeaderSettings, apart: bool, headers: &mut HeaderMap) {
    for header in ON_EVERY_ANSWER {
        set(headers, header);
    }
    if settings.strict_transport {
        set(headers, (header::STRICT_TRANSPORT_SECURITY, "max-age=63072000"));
    }
    if !headers.get(header::CONTENT_TYPE).is_some_and(|kind| kind.as_bytes().starts_with(b"text/html")) {
        return;
    }
    for header in ON_EVERY_PAGE {
        set(headers, header);
    }
    if apart {
        set(headers, (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"));
    }
    if !headers.contains_key(header::CONTENT_SECURITY_POLICY) {
        set(headers, (header::CONTENT_SECURITY_POLICY, CONTENT_SECURITY_POLICY));
        set(headers, (header::X_FRAME_OPTIONS, "DENY"));
    }
}

/// Sets a header unless the handler has set it already.
fn set(headers: &mut HeaderMap, (name, value): (HeaderName, &'static str)) {
    headers.entry(name).or_insert(HeaderValue::from_static(value));
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(path: &str, content_type: &'static str) -> HeaderMap {
        let mut headers = HeaderMap::new();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
        add(HeaderSettings::for_host("id.test"), is_apart(path), &mut headers);
        headers
    }

    #[test]
    fn a_page_loads_nothing_foreign_and_is_framed_by_nobody() {
        let headers = headers("/signin", "text/html; charset=utf-8");
        let policy = headers[header::CONTENT_SECURITY_POLICY].to_str().unwrap();
        for directive in [
            "default-src 'none'",
            "style-src 'self'",
            "script-src 'self'",
            "base-uri 'none'",
            "frame-ancestors 'none'",
        ] {
            assert!(policy.split("; ").any(|one| one == directive), "{directive}");
        }
        assert!(!policy.contains("unsafe") && !policy.contains("form-action"));
        assert_eq!(headers[header::X_FRAME_OPTIONS], "DENY");
        assert_eq!(headers[header::X_CONTENT_TYPE_OPTIONS], "nosniff");
        assert_eq!(headers[header::REFERRER_POLICY], "same-origin");
        assert_eq!(headers[header::CACHE_CONTROL], "no-store");
        assert_eq!(headers[header::STRICT_TRANSPORT_SECURITY], "max-age=63072000");
    }

    #[test]
    fn opener_isolation_stands_only_where_people_administer() {
        for (path, apart) in [
            ("/account", true),
            ("/account/sessions", true),
            ("/console/x", true),
            ("/signin", false),
            ("/oauth2/authorize", false),
            ("/accounts", false),
            ("/", false),
        ] {
            assert_eq!(
                headers(path, "text/html").contains_key("cross-origin-opener-policy"),
                apart,
                "{path}"
            );
        }
    }

    #[test]
    fn what_a_handler_has_set_stays() {
        let mut headers = HeaderMap::new();
        for (name, value) in [
            ("content-type", "text/html"),
            ("content-security-policy", "frame-ancestors https://idp.test"),
            ("cache-control", "private"),
        ] {
            headers.insert(HeaderName::from_static(name), HeaderValue::from_static(value));
        }
        add(HeaderSettings::for_host("id.test"), false, &mut headers);
        assert_eq!(headers[header::CONTENT_SECURITY_POLICY], "frame-ancestors https://idp.test");
        assert_eq!(headers[header::CACHE_CONTROL], "private");
        assert!(!headers.contains_key(header::X_FRAME_OPTIONS));
    }

    #[test]
    fn what_is_no_page_gets_no_page_headers() {
        let headers = headers("/oauth2/jwks", "application/json");
        assert!(
            !headers.contains_key(header::CONTENT_SECURITY_POLICY)
                && !headers.contains_key(header::CACHE_CONTROL)
        );
        assert_eq!(headers[header::X_CONTENT_TYPE_OPTIONS], "nosniff");
    }

    #[test]
    fn localhost_does_not_bind_its_other_programs_to_tls() {
        assert!(HeaderSettings::for_host("id.acme.test").strict_transport);
        assert!(!HeaderSettings::for_host("localhost").strict_transport);
        assert!(!HeaderSettings::for_host("acme.localhost").strict_transport);
    }
}
