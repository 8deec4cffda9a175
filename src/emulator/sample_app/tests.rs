//! The sample app against an emulated identity provider in the place of the broker: to an app, both are `OpenID`
//! Providers.

use super::*;
use crate::crypto::keys::SigningKey;
use crate::emulator::testing::{Routers, StandingClock};
use crate::emulator::tour::testing::{Browser, Seen};
use crate::emulator::{Directory, Vendor, idp};
use crate::model::value::random::CountingRandom;

const FILE: &str = r#"
    [[clients]]
    client_id = "notes"
    client_secret = "s3cret:+&"
    redirect_uris = ["https://localhost:9100/callback"]
    post_logout_redirect_uris = ["https://localhost:9100/signed-out"]

    [[users]]
    username = "bob"
    password = "Correct-Horse-1"
    name = "Bob & \"Co\""
    email = "bob@acme.test"
"#;

fn provider(port: u16, response_iss: bool) -> Router {
    idp::router(idp::Settings {
        vendor: Vendor::Okta,
        base_url: format!("https://localhost:{port}").parse().unwrap(),
        directory: Directory::from_toml(FILE).unwrap(),
        response_iss,
        clock: Arc::new(StandingClock::at(1_800_000_000)),
        random: Arc::new(CountingRandom::default()),
        key: SigningKey::generate(SigningAlg::RS256, "k".to_owned()).unwrap(),
        faults: crate::emulator::Faults::default(),
    })
}

fn servers_with(change: impl FnOnce(&mut Settings)) -> Routers {
    let broker = Routers::default().with("localhost:8443", provider(8443, true));
    let mut settings = Settings {
        name: "Notes".to_owned(),
        base_url: "https://localhost:9100".parse().unwrap(),
        issuer: "https://localhost:8443".to_owned(),
        client_id: "notes".to_owned(),
        client_secret: Secret::new("s3cret:+&"),
        id_token_alg: SigningAlg::RS256,
        shortcuts: vec![Shortcut {
            handle: "acme".to_owned(),
            name: "Acme".to_owned(),
            domain_hint: "acme.test".to_owned(),
        }],
        fetch: Arc::new(broker.clone()),
        clock: Arc::new(StandingClock::at(1_800_000_000)),
        random: Arc::new(CountingRandom::default()),
    };
    change(&mut settings);
    broker.with("localhost:9100", router(settings))
}

const BOB: [(&str, &str); 2] = [("emulator-username", "bob"), ("emulator-password", "Correct-Horse-1")];

async fn signed_in(browser: &mut Browser) -> Seen {
    browser.open("https://localhost:9100/").await;
    browser.click("sign-in-with-countersign", &[]).await;
    browser.click("emulator-sign-in", &BOB).await
}

#[tokio::test]
async fn a_sign_in_ends_with_the_validated_claims_on_the_page() {
    let mut browser = Browser::new(servers_with(|_| ()));
    let page = signed_in(&mut browser).await;
    assert_eq!(page.url, "https://localhost:9100/");
    assert_eq!(page.text("claim-iss"), Some("https://localhost:8443"));
    assert_eq!(page.text("claim-aud"), Some("notes"));
    assert_eq!(page.text("userinfo-email"), Some("bob@acme.test"));
    assert_eq!(page.text("userinfo-name"), Some("Bob & \"Co\""));
    assert_eq!(page.text("claim-sub"), page.text("userinfo-sub"));
}

#[tokio::test]
async fn a_shortcut_sends_the_domain_hint_along() {
    let mut browser = Browser::new(servers_with(|_| ()));
    browser.open("https://localhost:9100/").await;
    let page = browser.click("sign-in-acme", &[]).await;
    assert!(
        page.visited
            .iter()
            .any(|url| url.contains("/oauth2/v1/authorize?") && url.contains("domain_hint=acme.test"))
    );
}

#[tokio::test]
async fn a_sign_out_ends_both_sessions_and_comes_back() {
    let mut browser = Browser::new(servers_with(|_| ()));
    signed_in(&mut browser).await;
    let page = browser.click("sign-out", &[]).await;
    assert!(page.has("app-signed-out"));
    let home = browser.open("https://localhost:9100/").await;
    assert!(home.has("sign-in-with-countersign"));
    let page = browser.click("sign-in-with-countersign", &[]).await;
    assert!(page.has("emulator-sign-in"));
}

#[tokio::test]
async fn an_answer_counts_once_and_only_in_the_browser_that_asked() {
    let servers = servers_with(|_| ());
    let mut asking = Browser::new(servers.clone());
    let mut other = Browser::new(servers);
    let page = signed_in(&mut asking).await;
    let answer = page.visited.iter().find(|url| url.contains("/callback?")).unwrap().clone();
    assert!(asking.open(&answer).await.has("app-error"));

    other.open("https://localhost:9100/sign-in").await;
    let page = other.click("emulator-sign-in", &BOB).await;
    assert!(page.has("claim-sub"));
    asking.open("https://localhost:9100/sign-in").await;
    let state =
        |page: &Seen| page.visited.iter().find_map(|url| url.split("state=").nth(1).map(str::to_owned));
    let begun = asking.open("https://localhost:9100/sign-in").await;
    let foreign = format!("https://localhost:9100/callback?code=x&state={}", state(&begun).unwrap());
    let stolen = other.open(&foreign).await;
    assert!(stolen.text("app-error").is_some_and(|text| text.contains("does not belong to a sign-in")));
}

#[tokio::test]
async fn an_error_of_the_broker_is_shown_and_signs_nobody_in() {
    let mut browser = Browser::new(servers_with(|_| ()));
    let begun = browser.open("https://localhost:9100/sign-in").await;
    let authorize = begun.visited.iter().find(|url| url.contains("/authorize?")).unwrap();
    let page = browser.open(&format!("{authorize}&prompt=none")).await;
    assert!(page.text("app-error").is_some_and(|text| text.contains("login_required")), "{page:?}");
    assert!(browser.open("https://localhost:9100/").await.has("sign-in-with-countersign"));
}

#[tokio::test]
async fn an_answer_without_its_promised_issuer_or_with_another_is_refused() {
    for change in ["", "https://localhost:8444"] {
        let mut browser = Browser::new(servers_with(|_| ()));
        let begun = browser.open("https://localhost:9100/sign-in").await;
        let state = begun.visited.iter().find_map(|url| url.split("state=").nth(1)).unwrap();
        let state = state.split('&').next().unwrap();
        let iss = if change.is_empty() { String::new() } else { format!("&iss={change}") };
        let page = browser.open(&format!("https://localhost:9100/callback?code=x&state={state}{iss}")).await;
        assert!(page.text("app-error").is_some_and(|text| text.contains("(iss)")), "{page:?}");
    }
}

#[tokio::test]
async fn a_wrong_secret_or_algorithm_signs_nobody_in() {
    let wrong_secret = servers_with(|settings| settings.client_secret = Secret::new("wrong"));
    let page = signed_in(&mut Browser::new(wrong_secret)).await;
    assert!(
        page.text("app-error").is_some_and(|text| text.contains("401") && text.contains("invalid_client"))
    );

    let wrong_alg = servers_with(|settings| settings.id_token_alg = SigningAlg::ES256);
    let page = signed_in(&mut Browser::new(wrong_alg)).await;
    assert!(page.text("app-error").is_some_and(|text| text.contains("ID token is refused")), "{page:?}");
}

#[tokio::test]
async fn metadata_of_another_issuer_is_refused() {
    let servers = servers_with(|settings| settings.issuer = "https://localhost:8443/".to_owned());
    let page = Browser::new(servers).open("https://localhost:9100/sign-in").await;
    assert!(page.text("app-error").is_some_and(|text| text.contains("another issuer")));
}
