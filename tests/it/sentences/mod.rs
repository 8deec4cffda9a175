//! Sentences of the product that no other test holds: each test here would fail without its sentence being true.

mod apps;
mod meanwhile;
mod operation;
mod refusals;
mod relying_party;
mod routing;
mod sessions;

use countersign::emulator::Vendor;
use serde_json::Value;
use url::Url;

use crate::harness::browser::{Browser, Page};
use crate::harness::evidence::Evidence;
use crate::harness::relying_app::RelyingApp;
use crate::harness::world::{ACME_OTHER, PASSWORD, World};

/// acme as a document of `apply`, with these further lines.
fn acme(more: &str) -> String {
    format!("[[organizations]]\nhandle = \"acme\"\nname = \"Acme\"\nplan = \"enterprise\"\n{more}")
}

/// globex as a document of `apply`, with these further lines.
fn globex(more: &str) -> String {
    format!("[[organizations]]\nhandle = \"globex\"\nname = \"Globex\"\n{more}")
}

/// An app as a document of `apply`, its secret and address derived from its name, with these further lines.
fn app_table(client_id: &str, more: &str) -> String {
    format!(
        "[[organizations.apps]]\nclient_id = \"{client_id}\"\nname = \"{client_id}\"\n\
         client_secret = \"{client_id}-secret-0123456789\"\n\
         redirect_uris = [\"https://{client_id}.test/callback\"]\n{more}\n"
    )
}

/// The app that [`app_table`] declares.
fn app_named(world: &World, client_id: &str) -> RelyingApp {
    let secret = format!("{client_id}-secret-0123456789");
    let uri = format!("https://{client_id}.test/callback");
    RelyingApp::new(&world.app.network, client_id, Some(&secret), &uri)
}

/// `acme-two` as a document of `apply`: a second connection of acme, at a provider of this issuer.
fn second_connection(issuer: &str, more: &str) -> String {
    format!(
        "[[organizations.connections]]\nid = \"{ACME_OTHER}\"\nhandle = \"acme-two\"\nname = \"Acme Two\"\n\
         issuer = \"{issuer}\"\nclient_id = \"countersign-2\"\nclient_secret = \"idp-secret-2-0123456789\"\n{more}\n"
    )
}

/// Emulates a second provider of acme and connects it as `acme-two`; gives its issuer.
async fn second_provider(world: &mut World, vendor: Vendor, more: &str) -> String {
    let idp = world.app.emulate(vendor, |_| PEOPLE.replace("CALLBACK", ACME_OTHER)).await;
    let issuer = issuer_of(vendor, &idp);
    world.app.apply(&acme(&second_connection(&issuer, more))).await;
    issuer
}

fn issuer_of(vendor: Vendor, idp: &Url) -> String {
    let habits = vendor.habits();
    let tenant = habits.tenancy.map_or("", |tenancy| tenancy.example);
    format!("{}{}", idp.as_str().trim_end_matches('/'), habits.issuer_path.replace("{tenantid}", tenant))
}

/// Who is known at the second provider, which vouches for all addresses.
const PEOPLE: &str = r#"
[[clients]]
client_id = "countersign-2"
client_secret = "idp-secret-2-0123456789"
redirect_uris = ["https://id.test/sso/callback/CALLBACK"]

[[users]]
username = "bob"
password = "idp-password"
name = "Bob Berger"
email = "bob@acme.test"

[[users]]
username = "otto"
password = "idp-password"
name = "Otto"
email = "otto@office.acme.test"

[[users]]
username = "vic"
password = "idp-password"
name = "Vic"
email = "vic@outside.test"

[[users]]
username = "vera"
password = "idp-password"
name = "Vera"
email = "vera@branch.acme.test"
"#;

/// The client as which the broker sent a browser to a provider.
fn client_at_provider(page: &Page) -> String {
    page.expect(200, "emulator-sign-in");
    page.url.query_pairs().find(|(name, _)| name == "client_id").unwrap().1.into_owned()
}

/// Signs a user in at an emulated identity provider, from its sign-in page on.
async fn at_provider(browser: &mut Browser, page: &Page, username: &str) -> Page {
    page.expect(200, "emulator-sign-in");
    browser.press(page, "emulator-sign-in", &[("username", username), ("password", "idp-password")]).await
}

/// The way back from the provider with a good code, not yet taken.
async fn callback_of_bob(browser: &mut Browser, page: &Page) -> Url {
    page.expect(200, "emulator-sign-in");
    let fields = [("username", "bob"), ("password", "idp-password")];
    browser.press_only(page, "emulator-sign-in", &fields).await.location().unwrap()
}

/// Signs in by the usual password on the page that an app led to.
async fn by_password(browser: &mut Browser, app: &RelyingApp, username: &str) -> Page {
    let page = browser.open(&app.authorize_url(&[])).await;
    page.expect(200, "sign-in");
    browser.press(&page, "sign-in", &[("username", username), ("password", PASSWORD)]).await
}

/// Redeems the code of a page that leads back to an app.
async fn tokens(app: &RelyingApp, end: &Page) -> Value {
    let (status, tokens) = app.redeem(&app.code(end)).await;
    assert_eq!(status, 200, "{tokens}");
    tokens
}

fn text<'v>(value: &'v Value, name: &str) -> &'v str {
    value[name].as_str().unwrap_or_else(|| panic!("no {name} in {value}"))
}

async fn refresh(app: &RelyingApp, token: &str, more: &[(&str, &str)]) -> (u16, Value) {
    let form = [&[("grant_type", "refresh_token"), ("refresh_token", token)], more].concat();
    let (status, answer) = app.token(&form).await;
    (status.as_u16(), answer)
}

async fn is_signed_in(browser: &mut Browser) -> bool {
    browser.open("https://id.test/account").await.has("this-session")
}

fn error_at_app(page: &Page) -> Option<String> {
    page.location_parameter("error")
}

/// Fails unless exactly one refusal of this action was recorded, for any reason, and nothing else changed.
async fn assert_one_refusal(world: &World, before: &Evidence, action: &str) {
    let changes = before.changes(&world.app).await;
    assert!(changes.rows.is_empty(), "{changes:?}");
    let start = format!("{action} refused ");
    assert!(matches!(changes.audit.as_slice(), [only] if only.starts_with(&start)), "{changes:?}");
}

/// Keeps the job that forgets what other nodes have changed from reading the changes so far. What the caches load
/// after this they keep, even if a test changes the database without the broker.
async fn keep_what_is_cached(world: &World) {
    world.app.run_statement("DELETE FROM changes").await;
}
