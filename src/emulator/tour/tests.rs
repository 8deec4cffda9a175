//! The browser against small servers, the inspector against all kinds of hops, and the tour's first failures.

use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::response::Response;
use axum::routing::{get, post};
use bytes::Bytes;
use http::{HeaderMap, Method, StatusCode};

use super::testing::Browser;
use super::walker::{Hop, Watch};
use super::*;
use crate::emulator::demo_plan::DemoPorts;
use crate::emulator::html;
use crate::emulator::testing::{Routers, StandingClock};
use crate::model::Timestamp;
use crate::model::value::random::CountingRandom;

fn page(text: &str) -> Response {
    Response::new(Body::from(text.to_owned()))
}

fn small_server() -> Router {
    let cookies = ["__Host-a=1; Path=/; Secure".to_owned(), "__Host-b=2; Path=/; Max-Age=60".to_owned()];
    let cleared = ["__Host-a=; Path=/; Max-Age=0".to_owned()];
    Router::new()
        .route("/set", get(|| async move { html::see_other("/echo", &cookies) }))
        .route("/clear", get(|| async move { html::see_other("/echo", &cleared) }))
        .route("/echo", get(echo))
        .route(
            "/form",
            get(|| async { page("<form method=post action=go><input id=a name=a><button id=x></form>") }),
        )
        .route(
            "/go",
            post(|body: Bytes| async move {
                html::see_other(&format!("/echo?{}", String::from_utf8_lossy(&body)), &[])
            }),
        )
        .route("/loop", get(|| async { html::see_other("/loop", &[]) }))
}

async fn echo(headers: HeaderMap, uri: http::Uri) -> Response {
    let cookies = headers.get("cookie").map_or("", |value| value.to_str().unwrap());
    page(&format!("<p id=cookies>{cookies}</p><p id=query>{}</p>", uri.query().unwrap_or_default()))
}

#[tokio::test]
async fn cookies_are_kept_for_their_host_and_go_when_they_are_cleared() {
    let servers = Routers::default().with("a.test", small_server()).with("b.test", small_server());
    let mut browser = Browser::new(servers);
    assert_eq!(browser.open("https://a.test/set").await.text("cookies"), Some("__Host-a=1; __Host-b=2"));
    assert_eq!(browser.open("https://b.test/echo").await.text("cookies"), Some(""));
    assert_eq!(browser.open("https://a.test/clear").await.text("cookies"), Some("__Host-b=2"));
}

#[tokio::test]
async fn a_form_is_posted_and_its_redirect_followed_with_get() {
    let mut browser = Browser::new(Routers::default().with("a.test", small_server()));
    browser.open("https://a.test/form").await;
    let seen = browser.click("x", &[("a", "1 & 2")]).await;
    assert_eq!(seen.url, "https://a.test/echo?a=1+%26+2");
    assert_eq!(seen.visited, ["https://a.test/go", "https://a.test/echo?a=1+%26+2"]);
}

fn plan() -> DemoPlan {
    let now = Timestamp::from_unix_seconds(1_800_000_000);
    DemoPlan::new(DemoPorts::default(), now, &CountingRandom::default()).unwrap()
}

async fn tour(servers: Routers) -> (Result<(), TourError>, Vec<String>) {
    let clock = StandingClock::at(1_800_000_000);
    let mut lines = Vec::new();
    let result = run(&plan(), &servers, &clock, &mut |line| lines.push(line.to_owned())).await;
    (result, lines)
}

#[tokio::test]
async fn redirects_without_end_end_the_tour() {
    let app = Router::new().route("/", get(|| async { html::see_other("/", &[]) }));
    let (result, lines) = tour(Routers::default().with("localhost:9100", app)).await;
    assert_eq!(result, Err(TourError::Loop("https://localhost:9100/".to_owned())));
    assert_eq!(lines.iter().filter(|line| line.contains("GET  https://localhost:9100/  303")).count(), 21);
}

#[tokio::test]
async fn a_server_that_does_not_answer_ends_the_tour() {
    let (result, _) = tour(Routers::default()).await;
    assert!(matches!(result, Err(TourError::NoAnswer { url, .. }) if url == "https://localhost:9100/"));
}

#[tokio::test]
async fn a_page_without_the_wanted_link_ends_the_tour_and_is_described() {
    let html = "<title>Trouble</title><p id=error data-error=flow_expired>No.</p><p id=receipt>Code <code>7F3K-Q2</code></p>";
    let app = Router::new().route("/", get(move || async move { page(html) }));
    let (result, _) = tour(Routers::default().with("localhost:9100", app)).await;
    let wanted = "https://localhost:9100/ has no usable `sign-in-with-countersign`; it is: Trouble, error: flow_expired, receipt: 7F3K-Q2";
    assert_eq!(result.unwrap_err().to_string(), wanted);
}

fn hop(method: Method, url: &str, status: u16, location: Option<&str>) -> Hop {
    Hop {
        method,
        url: url.parse().unwrap(),
        status: StatusCode::from_u16(status).unwrap(),
        location: location.map(|url| url.parse().unwrap()),
        took: Duration::from_micros(12_345),
    }
}

const CHALLENGE: &str = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM";

/// The addresses of the hops that matter in a good sign-in at Acme.
fn good() -> Vec<String> {
    let callback = format!("https://localhost:8443/sso/callback/{}", plan().acme.connection);
    let pkce = format!("response_type=code&code_challenge={CHALLENGE}&code_challenge_method=S256");
    vec![
        format!("https://localhost:8443/oauth2/authorize?{pkce}&state=s1&nonce=n1"),
        format!(
            "https://localhost:9001/oauth2/v1/authorize?{pkce}&state=s2&nonce=n2&redirect_uri={callback}"
        ),
        format!("{callback}?code=c2&state=s2"),
        "https://localhost:9100/callback?code=c1&state=s1&iss=https://localhost:8443".to_owned(),
    ]
}

fn inspect(urls: &[String]) -> (Result<(), TourError>, Vec<String>) {
    let (plan, mut lines) = (plan(), Vec::new());
    let mut report = |line: &str| lines.push(line.to_owned());
    let mut inspector = Inspector::new(&plan, Some(&plan.acme), &mut report);
    let mut walk = || {
        for url in urls {
            inspector.hop(&hop(Method::GET, url, 303, Some("https://localhost:8443/next")))?;
        }
        inspector.finish()
    };
    let result = walk();
    (result, lines)
}

#[test]
fn each_hop_is_printed_with_its_time_and_what_was_checked_but_without_its_query() {
    let (result, lines) = inspect(&good());
    assert_eq!(result, Ok(()));
    assert_eq!(lines.len(), 8);
    assert_eq!(lines[0], "   1  GET  https://localhost:8443/oauth2/authorize  303  12 ms");
    assert!(lines[1].contains("PKCE S256, state and nonce"), "{}", lines[1]);
    assert!(lines.iter().all(|line| !line.contains("c1") && !line.contains("s2")));
}

#[test]
fn each_demand_ends_the_walk_when_it_does_not_hold() {
    let changes = [
        (0, "S256", "plain", "PKCE S256"),
        (0, "code_challenge=E9", "code_challenge=", "PKCE S256"),
        (0, "response_type=code", "response_type=token", "response_type=code"),
        (0, "&nonce=n1", "", "state and nonce"),
        (1, "/sso/callback/", "/elsewhere/", "the broker's own redirect URI"),
        (1, "localhost:9001", "localhost:9002", "the provider of this domain"),
        (1, "state=s2", "state=s1", "state and nonce of the broker's own"),
        (1, "nonce=n2", "nonce=n1", "state and nonce of the broker's own"),
        (2, "state=s2", "state=s1", "state as sent to the provider"),
        (2, "code=c2", "error=x", "a code"),
        (3, "state=s1", "state=s2", "state as sent by the app"),
        (3, "&iss=https://localhost:8443", "", "iss is the broker (RFC 9207)"),
        (3, "code=c1&", "", "a code"),
        (3, "https:", "http:", "https"),
    ];
    for (at, from, to, wanted) in changes {
        let mut urls = good();
        let bent = urls[at].replacen(from, to, 1);
        assert_ne!(urls[at], bent, "{from}");
        urls[at] = bent;
        let (result, lines) = inspect(&urls);
        assert!(
            matches!(result, Err(TourError::Demand { demand, .. }) if demand == wanted),
            "{from} -> {to}: {result:?}"
        );
        assert_eq!(lines.len(), 2 * (at + 1), "the hop that failed is printed too");
    }
}

#[test]
fn a_sign_in_that_leaves_its_provider_out_fails_at_its_end() {
    let urls = [good().remove(0), good().remove(3)];
    let (result, _) = inspect(&urls);
    assert!(
        matches!(result, Err(TourError::Demand { demand, .. }) if demand.contains("through the provider"))
    );
    let (result, _) = inspect(&good()[..3]);
    assert!(matches!(result, Err(TourError::Demand { demand, .. }) if demand.contains("redirect URI")));
}

#[test]
fn a_post_that_is_not_answered_by_303_is_noticed() {
    let plan = plan();
    let mut report = |_: &str| ();
    let mut inspector = Inspector::new(&plan, None, &mut report);
    for (method, status, good) in [
        (Method::POST, 303, true),
        (Method::POST, 302, false),
        (Method::POST, 307, false),
        (Method::GET, 302, true),
    ] {
        let hop = hop(method, "https://localhost:8443/signin", status, Some("https://localhost:9100/"));
        assert_eq!(inspector.hop(&hop).is_ok(), good, "{status}");
    }
    let open = hop(Method::GET, "https://localhost:8443/signin", 303, Some("http://localhost:9100/"));
    assert!(inspector.hop(&open).is_err());
}
