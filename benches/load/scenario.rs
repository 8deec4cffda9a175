//! What one iteration of each scenario does, and how its answers are checked.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::StatusCode;
use serde::Deserialize;
use url::form_urlencoded::Serializer;

use crate::agent::{Agent, Answer, Form, ISSUER, own_path, parameter};
use crate::populate::FURTHER_ACCOUNTS;
use crate::world::{
    APP, APP_SECRET, BASE_ACCOUNTS, BASE_ORGANIZATIONS, PASSWORD, REDIRECT_URI, World, organization, username,
};

/// The PKCE verifier of RFC 7636, appendix B, and its challenge.
const VERIFIER: &str = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
const CHALLENGE: &str = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM";

/// Codes that a client makes before a measured stretch.
const CODES: usize = 50;

/// Spreads consecutive numbers over all accounts.
const STRIDE: usize = 7_919;

/// A plain scenario: the same again and again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scenario {
    Brokered,
    /// Through the provider that hangs: ends in a page after the broker's own time limit.
    Hanging,
    Password,
    ClientCredentials,
    CodeExchange,
    Refresh,
    IntrospectJwt,
    IntrospectOpaque,
    DomainLookup,
    Jwks,
    Handshake,
}

/// How an iteration ended without a failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Done {
    /// As expected.
    Well,
    /// The broker asked the client to come back after this time (429).
    Busy(Duration),
    /// The prepared data is used up.
    Exhausted,
}

/// A client in a scenario.
pub struct Client {
    pub agent: Agent,
    number: usize,
    clients: usize,
    iteration: usize,
    codes: Vec<String>,
    refresh_token: Option<String>,
    access_token: Option<String>,
    prepared: bool,
}

#[derive(Deserialize)]
#[expect(clippy::struct_field_names, reason = "as the standard calls them")]
struct Tokens {
    access_token: String,
    id_token: Option<String>,
    refresh_token: Option<String>,
}

#[derive(Deserialize)]
struct Claims {
    iss: String,
    aud: String,
    nonce: String,
}

impl Scenario {
    /// The name in the figures.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Brokered => "brokered",
            Self::Hanging => "hanging",
            Self::Password => "password",
            Self::ClientCredentials => "client-credentials",
            Self::CodeExchange => "code-exchange",
            Self::Refresh => "refresh",
            Self::IntrospectJwt => "introspect-jwt",
            Self::IntrospectOpaque => "introspect-opaque",
            Self::DomainLookup => "domain-lookup",
            Self::Jwks => "jwks",
            Self::Handshake => "handshake",
        }
    }

    /// Whether its iterations live on what [`Client::prepare`] makes anew each time.
    pub const fn has_stretches(self) -> bool {
        matches!(self, Self::CodeExchange)
    }
}

impl Client {
    /// Number `number` of `clients`.
    pub fn new(world: &World, number: usize, clients: usize) -> Result<Self> {
        Ok(Self {
            agent: Agent::new(world.target(number)?, number),
            number,
            clients,
            iteration: 0,
            codes: Vec::new(),
            refresh_token: None,
            access_token: None,
            prepared: false,
        })
    }

    /// The next organization and account: never the one that another client is busy with, as long as there are more
    /// accounts than clients.
    fn next_account(&mut self, world: &World) -> (usize, usize) {
        let each = if world.spread > BASE_ORGANIZATIONS { FURTHER_ACCOUNTS } else { BASE_ACCOUNTS };
        let number = (self.iteration * self.clients + self.number) * STRIDE % (world.spread * each);
        self.iteration += 1;
        (number % world.spread, number / world.spread)
    }

    /// Makes what the measured iterations need.
    pub async fn prepare(&mut self, scenario: Scenario, world: &World) -> Result<()> {
        match scenario {
            Scenario::CodeExchange => {
                if !self.prepared {
                    self.brokered(world).await?;
                }
                while self.codes.len() < CODES {
                    let answer = self.agent.get(&authorize("nonce", None)).await?;
                    self.codes.push(code(&answer)?);
                }
            }
            Scenario::Refresh | Scenario::IntrospectOpaque | Scenario::IntrospectJwt if !self.prepared => {
                let tokens = self.brokered(world).await?;
                self.refresh_token = tokens.refresh_token;
                self.access_token = Some(tokens.access_token);
            }
            _ => {}
        }
        self.prepared = true;
        Ok(())
    }

    /// Performs one iteration.
    pub async fn iterate(&mut self, scenario: Scenario, world: &World) -> Result<Done> {
        match scenario {
            Scenario::Brokered => self.brokered(world).await.map(|_| Done::Well),
            Scenario::Hanging => self.hanging(world).await,
            Scenario::Password => self.password(world).await,
            Scenario::ClientCredentials => {
                self.token(&[("grant_type", "client_credentials")]).await.map(|_| Done::Well)
            }
            Scenario::CodeExchange => match self.codes.pop() {
                Some(code) => self.redeem(&code, "nonce").await.map(|_| Done::Well),
                None => Ok(Done::Exhausted),
            },
            Scenario::Refresh => self.refresh().await,
            Scenario::IntrospectJwt => {
                let token = self.access_token.clone().context("no access token")?;
                self.introspect(&token).await
            }
            Scenario::IntrospectOpaque => {
                let token = self.refresh_token.clone().context("no refresh token")?;
                self.introspect(&token).await
            }
            Scenario::DomainLookup => {
                let (number, _) = self.next_account(world);
                self.agent.forget_cookies();
                let domain = format!("{}.test", organization(number));
                let answer = self.agent.get(&authorize("nonce", Some(&domain))).await?;
                world.idp.approve(answer.redirect()?, "nobody").map(|_| Done::Well)
            }
            Scenario::Jwks => {
                let answer = self.agent.get("/oauth2/jwks").await?;
                ensure!(
                    answer.status == StatusCode::OK && answer.body.starts_with(b"{\"keys\":["),
                    "no keys"
                );
                Ok(Done::Well)
            }
            Scenario::Handshake => self.agent.handshake().await.map(|_| Done::Well),
        }
    }

    /// A whole sign-in through the provider of the next organization.
    async fn brokered(&mut self, world: &World) -> Result<Tokens> {
        let (number, account) = self.next_account(world);
        self.agent.forget_cookies();
        let nonce = format!("nonce-{}-{}", self.number, self.iteration);
        let domain = format!("{}.test", organization(number));
        let answer = self.agent.get(&authorize(&nonce, Some(&domain))).await?;
        let callback = world.idp.approve(answer.redirect()?, &format!("person-{account}"))?;
        let answer = self.agent.get(own_path(&callback)?).await?;
        self.redeem(&code(&answer)?, &nonce).await
    }

    async fn hanging(&mut self, world: &World) -> Result<Done> {
        self.agent.forget_cookies();
        let answer = self.agent.get(&authorize("nonce", Some("hang.test"))).await?;
        let callback = world.idp.approve(answer.redirect()?, "person")?;
        let answer = self.agent.get(own_path(&callback)?).await?;
        ensure!(answer.status.is_server_error(), "status {} from a provider that hangs", answer.status);
        Ok(Done::Well)
    }

    /// A whole sign-in by password of the next account.
    async fn password(&mut self, world: &World) -> Result<Done> {
        let (number, account) = self.next_account(world);
        self.agent.forget_cookies();
        let nonce = format!("nonce-{}-{}", self.number, self.iteration);
        let (answer, _) = self.enter(&nonce, &username(number, account), PASSWORD).await?;
        if answer.status == StatusCode::TOO_MANY_REQUESTS {
            let seconds = answer.retry_after.context("429 without Retry-After")?;
            return Ok(Done::Busy(Duration::from_secs(seconds)));
        }
        self.redeem(&code(&answer)?, &nonce).await.map(|_| Done::Well)
    }

    /// Comes from an app to the sign-in page, and enters a username and a password; gives the answer, and how long that
    /// took from the button on.
    async fn enter(&mut self, nonce: &str, username: &str, password: &str) -> Result<(Answer, Duration)> {
        let answer = self.agent.get(&authorize(nonce, None)).await?;
        let page = own_path(answer.redirect()?)?.to_owned();
        let answer = self.agent.get(&page).await?;
        ensure!(answer.status == StatusCode::OK, "status {} for the page", answer.status);
        let (flow, token) = (field(&answer, "flow")?, field(&answer, "form_token")?);
        let body =
            form(&[("flow", &flow), ("form_token", &token), ("username", username), ("password", password)]);
        let (path, _) = page.split_once('?').context("a page without a flow")?;
        let began = Instant::now();
        let answer = self.agent.post(path, Form::Page { body }).await?;
        Ok((answer, began.elapsed()))
    }

    /// Enters a wrong password, in a browser that was never used.
    pub async fn guess(&mut self, username: &str) -> Result<(Answer, Duration)> {
        self.agent.forget_cookies();
        self.enter("nonce", username, "Wrong7password").await
    }

    /// Asks for a token with this secret.
    pub async fn wrong_secret(&mut self, secret: &str) -> Result<Answer> {
        let body = form(&[("grant_type", "client_credentials")]);
        self.agent.post("/oauth2/token", Form::App { id: APP, secret, body }).await
    }

    /// Comes from the next address from now on, on a connection that stands.
    pub async fn move_on(&mut self) -> Result<()> {
        self.agent.disconnect();
        self.agent.get("/oauth2/jwks").await.map(drop)
    }

    async fn redeem(&mut self, code: &str, nonce: &str) -> Result<Tokens> {
        let tokens = self
            .token(&[
                ("grant_type", "authorization_code"),
                ("code", code),
                ("redirect_uri", REDIRECT_URI),
                ("code_verifier", VERIFIER),
            ])
            .await?;
        let id_token = tokens.id_token.as_deref().context("no ID token")?;
        let claims = id_token.split('.').nth(1).context("an unreadable ID token")?;
        let claims: Claims = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(claims)?)?;
        ensure!(claims.nonce == nonce && claims.iss == ISSUER && claims.aud == APP, "a wrong ID token");
        Ok(tokens)
    }

    async fn refresh(&mut self) -> Result<Done> {
        let token = self.refresh_token.take().context("no refresh token")?;
        let tokens = self.token(&[("grant_type", "refresh_token"), ("refresh_token", &token)]).await?;
        ensure!(tokens.refresh_token.as_ref().is_some_and(|new| *new != token), "the token was not rotated");
        self.refresh_token = tokens.refresh_token;
        Ok(Done::Well)
    }

    async fn token(&mut self, pairs: &[(&str, &str)]) -> Result<Tokens> {
        let answer = self.agent.post("/oauth2/token", app(pairs)).await?;
        if answer.status != StatusCode::OK {
            bail!("status {} for tokens: {}", answer.status, answer.text());
        }
        let tokens: Tokens = serde_json::from_slice(&answer.body)?;
        ensure!(tokens.access_token.matches('.').count() == 2, "an unreadable access token");
        Ok(tokens)
    }

    async fn introspect(&mut self, token: &str) -> Result<Done> {
        let answer = self.agent.post("/oauth2/introspect", app(&[("token", token)])).await?;
        if answer.status != StatusCode::OK || !answer.text().contains("\"active\":true") {
            bail!("status {} for a living token: {}", answer.status, answer.text());
        }
        Ok(Done::Well)
    }
}

fn app(pairs: &[(&str, &str)]) -> Form<'static> {
    Form::App { id: APP, secret: APP_SECRET, body: form(pairs) }
}

fn form(pairs: &[(&str, &str)]) -> String {
    Serializer::new(String::new()).extend_pairs(pairs).finish()
}

pub fn authorize(nonce: &str, domain: Option<&str>) -> String {
    let mut query = Serializer::new(String::from("/oauth2/authorize?"));
    query.extend_pairs([
        ("response_type", "code"),
        ("client_id", APP),
        ("redirect_uri", REDIRECT_URI),
        ("scope", "openid profile email"),
        ("state", "the-state"),
        ("nonce", nonce),
        ("code_challenge", CHALLENGE),
        ("code_challenge_method", "S256"),
    ]);
    query.extend_pairs(domain.map(|domain| ("domain_hint", domain)));
    query.finish()
}

/// The code of a redirect to the app, after checking what stands beside it.
fn code(answer: &Answer) -> Result<String> {
    let address = answer.redirect()?;
    ensure!(address.starts_with(REDIRECT_URI), "{address} is not the app's");
    ensure!(parameter(address, "state").as_deref() == Some("the-state"), "a wrong state: {address}");
    ensure!(parameter(address, "iss").as_deref() == Some(ISSUER), "a wrong issuer: {address}");
    parameter(address, "code").with_context(|| format!("no code: {address}"))
}

/// A hidden field of a page; what we look for needs no unescaping.
fn field(answer: &Answer, name: &str) -> Result<String> {
    let text = std::str::from_utf8(&answer.body)?;
    let found =
        text.split_once(&format!("name=\"{name}\"")).and_then(|(_, rest)| rest.split_once("value=\""));
    let value = found.and_then(|(between, rest)| (!between.contains('>')).then(|| rest.split('"').next()));
    value.flatten().map(str::to_owned).with_context(|| format!("no field {name}: {}", answer.text()))
}
