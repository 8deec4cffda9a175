//! The requirements for each hop of a sign-in, and the line that is printed for it.

use http::{Method, StatusCode};
use url::Url;

use super::TourError;
use super::walker::{Hop, Watch, shown};
use crate::emulator::demo_plan::{DemoOrganization, DemoPlan};

/// Watches one sign-in.
pub(super) struct Inspector<'a> {
    plan: &'a DemoPlan,
    organization: Option<&'a DemoOrganization>,
    report: &'a mut (dyn FnMut(&str) + Send),
    /// The request from the app to the broker.
    to_broker: Option<Sent>,
    /// The request from the broker to the identity provider.
    to_provider: Option<Sent>,
    provider_answered: bool,
    app_answered: bool,
    count: usize,
}

/// The values that tie a response to its request.
#[derive(Clone, PartialEq, Eq)]
struct Sent {
    state: String,
    nonce: String,
}

/// The requirements for one hop, and whether they were met.
struct Demands<'a> {
    hop: &'a Hop,
    met: Vec<&'static str>,
}

impl Demands<'_> {
    fn demand(&mut self, demand: &'static str, holds: bool) -> Result<(), TourError> {
        if !holds {
            return Err(TourError::Demand { url: shown(&self.hop.url), demand });
        }
        self.met.push(demand);
        Ok(())
    }
}

impl<'a> Inspector<'a> {
    /// An inspector for a sign-in through that organization's identity provider, or with a password.
    pub(super) fn new(
        plan: &'a DemoPlan,
        organization: Option<&'a DemoOrganization>,
        report: &'a mut (dyn FnMut(&str) + Send),
    ) -> Self {
        Self {
            plan,
            organization,
            report,
            to_broker: None,
            to_provider: None,
            provider_answered: false,
            app_answered: false,
            count: 0,
        }
    }

    /// Checks that the sign-in was completed.
    pub(super) fn finish(&self) -> Result<(), TourError> {
        let url = shown(&self.plan.app);
        if !self.app_answered {
            return Err(TourError::Demand {
                url,
                demand: "an answer of the broker at the app's redirect URI",
            });
        }
        if self.organization.is_some() != self.provider_answered {
            return Err(TourError::Demand { url, demand: "a way through the provider that was chosen" });
        }
        Ok(())
    }

    fn inspect(&mut self, demands: &mut Demands<'_>) -> Result<(), TourError> {
        let hop = demands.hop;
        demands.demand("https", hop.url.scheme() == "https")?;
        if let Some(next) = &hop.location {
            let becomes_get = hop.method == Method::GET || hop.status == StatusCode::SEE_OTHER;
            demands
                .demand("a redirect that becomes a GET, to https", becomes_get && next.scheme() == "https")?;
        }
        let begins = hop.method == Method::GET && hop.query("response_type").is_some();
        if begins && same_origin(&hop.url, &self.plan.broker) {
            self.to_broker = Some(authorization_request(demands)?);
        } else if begins {
            let sent = authorization_request(demands)?;
            let callback = format!("{}/sso/callback/", self.plan.issuer());
            let own = hop.query("redirect_uri").is_some_and(|uri| uri.starts_with(&callback));
            demands.demand("the broker's own redirect URI", own)?;
            let expected = self.organization.is_some_and(|known| same_origin(&hop.url, &known.provider));
            demands.demand("the provider of this domain", expected)?;
            let fresh =
                self.to_broker.as_ref().is_some_and(|app| app.state != sent.state && app.nonce != sent.nonce);
            demands.demand("state and nonce of the broker's own", fresh)?;
            self.to_provider = Some(sent);
        } else if hop.url.path().starts_with("/sso/callback/") {
            let known = self.to_provider.as_ref().map(|sent| sent.state.clone());
            demands
                .demand("state as sent to the provider", known.is_some() && hop.query("state") == known)?;
            demands.demand("a code", hop.query("code").is_some())?;
            self.provider_answered = true;
        } else if same_origin(&hop.url, &self.plan.app) && hop.url.path() == "/callback" {
            let known = self.to_broker.as_ref().map(|sent| sent.state.clone());
            demands.demand("state as sent by the app", known.is_some() && hop.query("state") == known)?;
            let iss = hop.query("iss");
            demands.demand("iss is the broker (RFC 9207)", iss.as_deref() == Some(self.plan.issuer()))?;
            demands.demand("a code", hop.query("code").is_some())?;
            self.app_answered = true;
        }
        Ok(())
    }
}

/// Checks what every authorization request must have.
fn authorization_request(demands: &mut Demands<'_>) -> Result<Sent, TourError> {
    let hop = demands.hop;
    let query = |name| hop.query(name).filter(|value| !value.is_empty());
    demands.demand("response_type=code", query("response_type").as_deref() == Some("code"))?;
    let s256 = query("code_challenge_method").as_deref() == Some("S256");
    let challenge = query("code_challenge").is_some_and(|challenge| challenge.len() == 43);
    demands.demand("PKCE S256", s256 && challenge)?;
    let sent = query("state").zip(query("nonce")).map(|(state, nonce)| Sent { state, nonce });
    demands.demand("state and nonce", sent.is_some())?;
    sent.ok_or(TourError::Demand { url: shown(&hop.url), demand: "state and nonce" })
}

impl Watch for Inspector<'_> {
    fn hop(&mut self, hop: &Hop) -> Result<(), TourError> {
        self.count += 1;
        let mut demands = Demands { hop, met: Vec::new() };
        let outcome = self.inspect(&mut demands);
        let millis = hop.took.as_micros() / 1_000;
        let status = hop.status.as_u16();
        let (method, url) = (hop.method.as_str(), shown(&hop.url));
        (self.report)(&format!("{:>4}  {method:<4} {url}  {status}  {millis} ms", self.count));
        (self.report)(&format!("      checked: {}", demands.met.join(", ")));
        outcome
    }
}

fn same_origin(one: &Url, other: &Url) -> bool {
    one.origin() == other.origin()
}
