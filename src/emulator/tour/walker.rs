//! A browser without a screen: it keeps cookies, follows redirects, fills in forms, and reports every hop.

use std::time::Duration;

use bytes::Bytes;
use http::header::{CONTENT_TYPE, COOKIE, LOCATION, SET_COOKIE};
use http::{HeaderMap, Method, Request, Response, StatusCode};
use url::Url;

use super::TourError;
use super::forms::{Click, Document};
use crate::emulator::fetch::Fetch;
use crate::emulator::form;
use crate::model::Clock;

/// How many redirects may follow each other.
const MAX_REDIRECTS: usize = 20;

/// One request and its response.
#[derive(Debug)]
pub(super) struct Hop {
    pub(super) method: Method,
    pub(super) url: Url,
    pub(super) status: StatusCode,
    /// Where the response sends the browser.
    pub(super) location: Option<Url>,
    pub(super) took: Duration,
}

impl Hop {
    /// A parameter of the request's query.
    pub(super) fn query(&self, name: &str) -> Option<String> {
        self.url.query_pairs().find(|(key, _)| key == name).map(|(_, value)| value.into_owned())
    }
}

/// Inspects each hop as it happens. An error ends the walk.
pub(super) trait Watch: Send {
    /// Called once for each hop, in order.
    fn hop(&mut self, hop: &Hop) -> Result<(), TourError>;
}

/// The page at which the walk has arrived.
#[derive(Debug)]
pub(super) struct Page {
    pub(super) url: Url,
    pub(super) document: Document,
}

impl Page {
    /// The error that this page has no usable element with that id.
    pub(super) fn lacks(&self, id: &str) -> TourError {
        TourError::Page { url: shown(&self.url), wanted: id.to_owned(), found: found(self) }
    }
}

/// One browser.
pub(super) struct Walker<'a> {
    fetch: &'a dyn Fetch,
    clock: &'a dyn Clock,
    watch: &'a mut dyn Watch,
    cookies: Vec<Cookie>,
}

/// A cookie, for all ports of its host.
struct Cookie {
    host: String,
    name: String,
    value: String,
}

impl<'a> Walker<'a> {
    /// A browser that has not opened any page yet.
    pub(super) fn new(fetch: &'a dyn Fetch, clock: &'a dyn Clock, watch: &'a mut dyn Watch) -> Self {
        Self { fetch, clock, watch, cookies: Vec::new() }
    }

    /// Opens an address.
    pub(super) async fn open(&mut self, url: &Url) -> Result<Page, TourError> {
        self.walk(Method::GET, url.clone(), String::new()).await
    }

    /// Fills in the fields with these ids, and clicks on the link or button `id`.
    pub(super) async fn click(
        &mut self,
        page: &Page,
        id: &str,
        filled: &[(&str, &str)],
    ) -> Result<Page, TourError> {
        let missing = || page.lacks(id);
        let resolve = |target: &str| page.url.join(target).map_err(|_| missing());
        match page.document.click(id, filled).ok_or_else(missing)? {
            Click::Follow(target) => self.walk(Method::GET, resolve(&target)?, String::new()).await,
            Click::Query(action, fields) => {
                let mut url = resolve(&action)?;
                url.set_query(None);
                url.query_pairs_mut().extend_pairs(&fields);
                self.walk(Method::GET, url, String::new()).await
            }
            Click::Post(action, fields) => {
                self.walk(Method::POST, resolve(&action)?, form::write(pairs(&fields))).await
            }
        }
    }

    /// Sends a request and follows redirects until there is a page.
    async fn walk(&mut self, mut method: Method, mut url: Url, mut form: String) -> Result<Page, TourError> {
        for _ in 0..=MAX_REDIRECTS {
            let (hop, body) = self.hop(&method, &url, &form).await?;
            self.watch.hop(&hop)?;
            let Some(next) = hop.location else {
                let document = Document::parse(&String::from_utf8_lossy(&body));
                return Ok(Page { url, document });
            };
            (method, url, form) = (Method::GET, next, String::new());
        }
        Err(TourError::Loop(shown(&url)))
    }

    async fn hop(&mut self, method: &Method, url: &Url, form: &str) -> Result<(Hop, Bytes), TourError> {
        let began = self.clock.now();
        let answer = self.fetch.fetch(self.request(method, url, form)?).await;
        let took = self.clock.now().since(began);
        let answer = answer.map_err(|error| TourError::NoAnswer { url: shown(url), error })?;
        self.keep_cookies(url, answer.headers());
        let location = redirect(url, &answer);
        let hop = Hop { method: method.clone(), url: url.clone(), status: answer.status(), location, took };
        Ok((hop, answer.into_body()))
    }

    fn request(&self, method: &Method, url: &Url, form: &str) -> Result<Request<Bytes>, TourError> {
        let mut target = url.clone();
        target.set_fragment(None);
        let mut builder = Request::builder().method(method).uri(target.as_str());
        let host = url.host_str().unwrap_or_default();
        let cookies: Vec<String> = self
            .cookies
            .iter()
            .filter(|cookie| cookie.host == host)
            .map(|cookie| format!("{}={}", cookie.name, cookie.value))
            .collect();
        if !cookies.is_empty() {
            builder = builder.header(COOKIE, cookies.join("; "));
        }
        if method == Method::POST {
            builder = builder
                .header(CONTENT_TYPE, "application/x-www-form-urlencoded")
                .header("origin", url.origin().ascii_serialization())
                .header("sec-fetch-site", "same-origin");
        }
        builder.body(Bytes::from(form.to_owned())).map_err(|_| TourError::Loop(shown(url)))
    }

    /// Stores the cookies of the response. Every cookie here is a `__Host-` cookie, so the host alone decides where it
    /// is sent.
    fn keep_cookies(&mut self, url: &Url, headers: &HeaderMap) {
        let host = url.host_str().unwrap_or_default();
        for header in headers.get_all(SET_COOKIE).iter().filter_map(|header| header.to_str().ok()) {
            let (pair, attributes) = header.split_once(';').unwrap_or((header, ""));
            let Some((name, value)) = pair.trim().split_once('=') else { continue };
            self.cookies.retain(|cookie| cookie.host != host || cookie.name != name);
            let ends =
                attributes.split(';').any(|attribute| attribute.trim().eq_ignore_ascii_case("max-age=0"));
            if !ends && !value.is_empty() {
                let (host, name, value) = (host.to_owned(), name.to_owned(), value.to_owned());
                self.cookies.push(Cookie { host, name, value });
            }
        }
    }
}

fn pairs(fields: &[(String, String)]) -> impl Iterator<Item = (&str, &str)> {
    fields.iter().map(|(name, value)| (name.as_str(), value.as_str()))
}

fn redirect(url: &Url, answer: &Response<Bytes>) -> Option<Url> {
    let location = answer.headers().get(LOCATION)?.to_str().ok()?;
    answer.status().is_redirection().then(|| url.join(location).ok()).flatten()
}

/// An address without its query, which may contain codes.
pub(super) fn shown(url: &Url) -> String {
    format!("{}{}", url.origin().ascii_serialization(), url.path())
}

/// How a page describes itself if it is not the wanted one.
fn found(page: &Page) -> String {
    let document = &page.document;
    let title = document.title().unwrap_or("a page without a title").to_owned();
    let reasons = [("error", "error"), ("emulator-error", "provider's error"), ("app-error", "app's error")]
        .map(|(id, what)| {
            let reason = document.attribute(id, "data-error").or_else(|| document.text(id));
            reason.map(|reason| format!("{what}: {reason}"))
        });
    let receipt = document.text_after("receipt", "code").map(|receipt| format!("receipt: {receipt}"));
    let parts: Vec<String> = [Some(title)].into_iter().chain(reasons).chain([receipt]).flatten().collect();
    parts.join(", ")
}
