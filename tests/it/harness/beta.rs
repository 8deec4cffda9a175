//! The world with one organization more: beta, whose identity provider is hostile.

use http::Method;

use super::browser::{Browser, Page};
use super::database::Kind;
use super::hostile::{CLIENT, Hostile, SECRET};
use super::relying_app::RelyingApp;
use super::world::World;

/// The connection of beta has this id.
pub const BETA_IDP: &str = "con_019000000000700080000000000000b1";

/// The world, with beta in it.
pub struct Beta {
    pub world: World,
    pub idp: Hostile,
    pub board: RelyingApp,
}

impl Beta {
    pub async fn new(kind: Kind) -> Self {
        Self::with(kind, "").await
    }

    /// With further keys for beta's connection.
    pub async fn with(kind: Kind, connection: &str) -> Self {
        Self::on(World::new(kind).await, connection).await
    }

    /// On a broker with further settings.
    pub async fn configured(kind: Kind, settings: &[(&str, &str)]) -> Self {
        Self::on(World::configured(kind, settings).await, "").await
    }

    async fn on(mut world: World, connection: &str) -> Self {
        let idp = world.app.hostile().await;
        let board = RelyingApp::new(
            &world.app.network,
            "board",
            Some("board-secret-0123456789"),
            "https://board.beta.test/callback",
        );
        let beta = Self { world, idp, board };
        beta.apply(connection).await;
        beta
    }

    /// Declares beta once more, with these further keys for its connection.
    pub async fn apply(&self, connection: &str) {
        self.world.app.apply(&self.document(connection)).await;
    }

    fn document(&self, connection: &str) -> String {
        let issuer = &self.idp.issuer;
        format!(
            r#"
[[organizations]]
handle = "beta"
name = "Beta"
domains = [{{ name = "beta.test", connection = "beta-idp" }}]

[[organizations.connections]]
id = "{BETA_IDP}"
handle = "beta-idp"
name = "Beta SSO"
issuer = "{issuer}"
client_id = "{CLIENT}"
client_secret = "{SECRET}"
trusted_audiences = ["api"]
{connection}

[[organizations.apps]]
client_id = "board"
name = "Board"
client_secret = "board-secret-0123456789"
redirect_uris = ["https://board.beta.test/callback"]
"#
        )
    }

    pub fn browser(&self) -> Browser {
        self.world.browser()
    }

    /// Where the app sends browsers for a sign-in through beta's connection; `more` as in
    /// [`RelyingApp::authorize_url`].
    pub fn authorize_url(&self, more: &[(&str, &str)]) -> String {
        self.board.authorize_url(&[&[("domain_hint", "beta.test")], more].concat())
    }

    /// A whole sign-in through beta's connection; ends at the redirect to the app, or at the page that refuses.
    pub async fn sign_in(&self, browser: &mut Browser) -> Page {
        browser.open(&self.authorize_url(&[])).await
    }

    /// The redirect to the provider, not followed.
    pub async fn start(&self, browser: &mut Browser, more: &[(&str, &str)]) -> Page {
        let url = self.authorize_url(more).parse().unwrap();
        let page = browser.request(Method::GET, &url, None, "none", None).await;
        assert!(
            page.location().is_some_and(|url| url.as_str().starts_with(&self.idp.issuer)),
            "{}",
            page.body
        );
        page
    }

    /// The address of the callback that the provider answers with, not opened.
    pub async fn callback(&self, browser: &mut Browser, more: &[(&str, &str)]) -> url::Url {
        let page = self.start(browser, more).await;
        let at_provider = page.location().unwrap();
        let page = browser.request(Method::GET, &at_provider, None, "cross-site", None).await;
        page.location().expect("the provider sends the browser back")
    }

    /// A sign-in that goes well.
    pub async fn signs_in(&self, name: &str) -> Browser {
        let mut browser = self.browser();
        let end = self.sign_in(&mut browser).await;
        assert!(end.location_parameter("code").is_some(), "{name}: {} {}", end.url, end.body);
        assert!(browser.cookies_of("id.test").contains_key("__Host-session"), "{name}");
        browser
    }
}
