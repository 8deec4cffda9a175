//! A small world: acme signs in at an emulated Okta, globex with passwords only; two apps.

use countersign::emulator::Vendor;
use url::Url;

use super::app::TestApp;
use super::browser::{Browser, Network, Page};
use super::database::Kind;
use super::relying_app::RelyingApp;

/// The connection of acme has this id, so that its provider can be told beforehand.
pub const ACME_IDP: &str = "con_019000000000700080000000000000a1";
/// A second connection of acme, at the same provider under another client.
pub const ACME_OTHER: &str = "con_019000000000700080000000000000a2";

pub const PASSWORD: &str = "Correct7horse";

/// The world.
pub struct World {
    pub app: TestApp,
    pub idp: Url,
    pub notes: RelyingApp,
    pub globex_app: RelyingApp,
}

impl World {
    pub async fn new(kind: Kind) -> Self {
        Self::with(kind, "", "").await
    }

    /// With further keys for the organization acme and for its connection.
    pub async fn with(kind: Kind, organization: &str, connection: &str) -> Self {
        Self::on(TestApp::new(kind).await, organization, connection).await
    }

    /// On a broker with further settings.
    pub async fn configured(kind: Kind, settings: &[(&str, &str)]) -> Self {
        Self::on(TestApp::configured(kind, settings).await, "", "").await
    }

    /// The world on a broker that a test has started.
    pub async fn on(mut app: TestApp, organization: &str, connection: &str) -> Self {
        let idp = app.emulate(Vendor::Okta, |_| provider_directory()).await;
        let issuer = idp.as_str().trim_end_matches('/').to_owned();
        app.apply(&document(&issuer, organization, connection)).await;
        let (notes, globex_app) = relying_apps(&app.network);
        Self { app, idp, notes, globex_app }
    }

    /// Declares the world once more, with these further keys for the organization acme and for its connection.
    pub async fn apply_with(&self, organization: &str, connection: &str) {
        let issuer = self.idp.as_str().trim_end_matches('/').to_owned();
        self.app.apply(&document(&issuer, organization, connection)).await;
    }

    pub fn browser(&self) -> Browser {
        self.app.browser()
    }

    /// Signs in at the emulated provider, from its sign-in page on.
    pub async fn sign_in_at_provider(&self, browser: &mut Browser, page: &Page) -> Page {
        page.expect(200, "emulator-sign-in");
        let fields = [("username", "bob"), ("password", "idp-password")];
        browser.press(page, "emulator-sign-in", &fields).await
    }

    /// A whole brokered sign-in to notes, by `domain_hint`; ends at the redirect to the app.
    pub async fn brokered(&self, browser: &mut Browser) -> Page {
        let page = browser.open(&self.notes.authorize_url(&[("domain_hint", "acme.test")])).await;
        self.sign_in_at_provider(browser, &page).await
    }

    /// A whole local sign-in of gil to wiki; ends at the redirect to the app.
    pub async fn local(&self, browser: &mut Browser) -> Page {
        let page = browser.open(&self.globex_app.authorize_url(&[])).await;
        page.expect(200, "sign-in");
        browser.press(&page, "sign-in", &[("username", "gil"), ("password", PASSWORD)]).await
    }
}

/// The apps notes and wiki.
pub(super) fn relying_apps(network: &Network) -> (RelyingApp, RelyingApp) {
    let app = |id: &str, organization: &str| {
        let redirect_uri = format!("https://{id}.{organization}.test/callback");
        RelyingApp::new(network, id, Some(&format!("{id}-secret-0123456789")), &redirect_uri)
    };
    (app("notes", "acme"), app("wiki", "globex"))
}

pub fn provider_directory() -> String {
    format!(
        r#"
[[clients]]
client_id = "countersign"
client_secret = "idp-secret-0123456789"
redirect_uris = ["https://id.test/sso/callback/{ACME_IDP}"]
post_logout_redirect_uris = ["https://id.test/sso/signed-out/{ACME_IDP}"]

[[clients]]
client_id = "countersign-2"
client_secret = "idp-secret-2-0123456789"
redirect_uris = ["https://id.test/sso/callback/{ACME_OTHER}"]

[[users]]
username = "bob"
password = "idp-password"
name = "Bob Berger"
email = "bob@acme.test"
email_verified = true
"#
    )
}

pub(super) fn document(issuer: &str, organization: &str, connection: &str) -> String {
    format!(
        r#"
[[organizations]]
handle = "acme"
name = "Acme"
plan = "enterprise"
domains = [{{ name = "acme.test", connection = "acme-idp" }}, {{ name = "*.acme.test", connection = "acme-idp" }}]
{organization}

[[organizations.connections]]
id = "{ACME_IDP}"
handle = "acme-idp"
name = "Acme SSO"
vendor = "okta"
issuer = "{issuer}"
client_id = "countersign"
client_secret = "idp-secret-0123456789"
{connection}

[[organizations.apps]]
client_id = "notes"
name = "Notes"
client_secret = "notes-secret-0123456789"
redirect_uris = ["https://notes.acme.test/callback"]
post_logout_redirect_uris = ["https://notes.acme.test/bye"]
home_uri = "https://notes.acme.test/"

[[organizations.apps]]
client_id = "asks"
name = "Asks"
client_secret = "asks-secret-0123456789"
redirect_uris = ["https://asks.acme.test/callback"]
consent = "explicit"

[[organizations.accounts]]
username = "carol"
email = "carol@acme.test"
email_verified = true
password = "{PASSWORD}"
roles = ["administrator"]

[[organizations]]
handle = "globex"
name = "Globex"

[[organizations.apps]]
client_id = "wiki"
name = "Wiki"
client_secret = "wiki-secret-0123456789"
redirect_uris = ["https://wiki.globex.test/callback"]
resources = ["https://api.globex.test/"]
home_uri = "https://wiki.globex.test/"

[[organizations.accounts]]
username = "gil"
email = "gil@globex.test"
email_verified = true
password = "{PASSWORD}"
"#
    )
}
