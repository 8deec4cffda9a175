//! The content of a request, read once: the browser, its language, and the parameters. `extract` says how handlers take
//! it, and how the broker answers a request that cannot be read.

use std::net::{IpAddr, Ipv4Addr};

use axum::body::{Body, to_bytes};
use http::Method;
use http::header::{self, HeaderMap};
use http::request::Parts;

use super::cookies::Cookies;
use crate::flows::visit::Visit;
use crate::model::ConnectionId;
use crate::protocol::Peer;
use crate::protocol::count::TooMany;
use crate::protocol::oauth::Parameters;
use crate::web::state::Web;
use crate::web::text::locale::Locale;

/// The most characters of a `User-Agent` that are kept.
const MAX_USER_AGENT: usize = 200;

/// A request of a browser: its session and network, and the facts that its answer needs.
#[derive(Clone)]
pub struct Browser {
    /// The facts that use cases need about the request.
    pub visit: Visit,
    /// The language of the answer.
    pub locale: Locale,
    /// The path and query of this request.
    pub here: String,
    /// The parameters of the query.
    pub query: Parameters,
    /// Whether another site made the browser send this request.
    pub origin: RequestOrigin,
    /// The page language that the user chose in an earlier request.
    pub(in crate::web) chosen_language: Option<String>,
    /// Its `Accept-Language`.
    pub(in crate::web) accept_language: Option<String>,
}

impl Browser {
    /// The language of a page in a flow. This request's `ui_locales` comes first, then the user's earlier choice, then
    /// the app's `ui_locales`.
    pub fn language(&self, asked_by_app: Option<&str>) -> Locale {
        let wishes = [self.query.get("ui_locales"), self.chosen_language.as_deref(), asked_by_app];
        Locale::choose(wishes.into_iter().flatten(), self.accept_language.as_deref())
    }
}

/// Where a request came from (`Sec-Fetch-Site`, else `Origin`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RequestOrigin {
    /// One of the broker's own pages, or the user directly.
    Own,
    /// Another site.
    Foreign,
    /// The browser does not say, so the form's token decides.
    Unknown,
}

impl RequestOrigin {
    fn read(headers: &HeaderMap, issuer: &str) -> Self {
        let text = |name| headers.get(name).map(|value| value.to_str().unwrap_or("?"));
        match (text("sec-fetch-site"), text("origin")) {
            (Some("same-origin" | "none"), _) => Self::Own,
            (None, Some(origin)) if origin == issuer => Self::Own,
            (None, None) => Self::Unknown,
            _ => Self::Foreign,
        }
    }
}

impl Browser {
    /// Reads the request.
    ///
    /// # Errors
    /// The query has too many parameters. The error is the browser without its query, so that the broker can answer it.
    pub(in crate::web) fn read(parts: &Parts, web: &Web) -> Result<Self, Self> {
        let headers = &parts.headers;
        let (query, fits) = match Parameters::parse(parts.uri.query().unwrap_or_default()) {
            Ok(query) => (query, true),
            Err(TooMany) => (Parameters::default(), false),
        };
        let accepted = headers.get(header::ACCEPT_LANGUAGE).and_then(|value| value.to_str().ok());
        let wish = query.get("ui_locales");
        let cookies = Cookies::read(headers);
        let agent = headers.get(header::USER_AGENT).map(|value| String::from_utf8_lossy(value.as_bytes()));
        // A query that was refused must not appear on the page.
        let whole = parts.uri.path_and_query().map_or("/", |path| path.as_str());
        let here = if fits { whole } else { parts.uri.path() }.to_owned();
        let browser = Self {
            visit: Visit {
                address: address(parts),
                user_agent: agent.map(|text| printable(&text)).unwrap_or_default(),
                session: cookies.session,
                known: cookies.known,
                flows: cookies.flows,
            },
            locale: Locale::choose([wish, cookies.language.as_deref()].into_iter().flatten(), accepted),
            chosen_language: cookies.language.clone(),
            origin: RequestOrigin::read(headers, web.broker.core.issuer()),
            accept_language: accepted.map(str::to_owned),
            here,
            query,
        };
        if fits { Ok(browser) } else { Err(browser) }
    }
}

/// The client's address, as the listener reported it.
fn address(parts: &Parts) -> IpAddr {
    parts.extensions.get::<Peer>().map_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED), |peer| peer.address)
}

fn printable(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).take(MAX_USER_AGENT).collect()
}

/// The connection in the path of an endpoint for identity providers. A malformed id is answered like an unknown one.
pub struct OfConnection(pub ConnectionId);

/// A form that was posted (`application/x-www-form-urlencoded`).
#[derive(Debug, Clone)]
pub struct UncheckedForm(pub Parameters);

/// Why a form cannot be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::web) enum FormError {
    /// The request is not a form.
    NotAForm,
    /// The body did not arrive completely.
    Cut,
    /// The body is not UTF-8.
    NotUtf8,
    /// There are too many parameters.
    TooMany,
}

impl UncheckedForm {
    /// Reads a form. The listener limits the length of the body.
    pub(in crate::web) async fn read(parts: &Parts, body: Body) -> Result<Self, FormError> {
        let kind = parts.headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
        let essence = kind.and_then(|kind| kind.split(';').next()).map(str::trim);
        if parts.method != Method::POST
            || !essence.is_some_and(|kind| kind.eq_ignore_ascii_case("application/x-www-form-urlencoded"))
        {
            return Err(FormError::NotAForm);
        }
        let body = to_bytes(body, usize::MAX).await.map_err(|_| FormError::Cut)?;
        let text = std::str::from_utf8(&body).map_err(|_| FormError::NotUtf8)?;
        Parameters::parse(text).map(Self).map_err(|TooMany| FormError::TooMany)
    }
}

/// A form for handlers that have their own answer to a form that cannot be read.
pub(in crate::web) struct TriedForm(pub(in crate::web) Result<Parameters, FormError>);

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    #[test]
    fn another_site_is_told_by_fetch_metadata_and_else_by_origin() {
        use RequestOrigin::{Foreign, Own, Unknown};
        for (site, origin, expected) in [
            (Some("same-origin"), None, Own),
            (Some("none"), None, Own),
            (Some("same-origin"), Some("https://evil.test"), Own),
            (Some("cross-site"), Some("https://id.test"), Foreign),
            (Some("same-site"), None, Foreign),
            (None, Some("https://id.test"), Own),
            (None, Some("null"), Foreign),
            (None, Some("https://evil.test"), Foreign),
            (None, Some("https://id.test.evil.test"), Foreign),
            (None, None, Unknown),
        ] {
            let mut headers = HeaderMap::new();
            for (name, value) in [("sec-fetch-site", site), ("origin", origin)] {
                if let Some(value) = value {
                    headers.insert(name, HeaderValue::from_static(value));
                }
            }
            assert_eq!(RequestOrigin::read(&headers, "https://id.test"), expected, "{site:?} {origin:?}");
        }
    }
}
