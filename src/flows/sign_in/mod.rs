//! The sign-in page: username and password, or the way to an identity provider.

mod entrance;
mod guesses;
pub mod mail_code;
mod password;
pub mod password_link;
pub mod reauthentication;

use std::sync::Arc;

use crate::flows::core::Core;
use crate::flows::directory::{BrandView, ConnectionView, Name};
use crate::flows::evidence::{Event, receipt_of};
use crate::flows::interaction::{Interactions, sign_in_event};
use crate::flows::link::Links;
use crate::flows::mail::Mails;
use crate::flows::passwords::Passwords;
use crate::flows::refusal::FlowError;
use crate::flows::session::Sessions;
use crate::flows::sso::Sso;
use crate::flows::visit::Visit;
use crate::model::{Aim, ConnectionId, Flow, LinkSide, Purpose};
use crate::policy::sign_in::route::{self, Destination, Hints, NamedBy};
use crate::store::account::accounts;

/// The facts that the sign-in page shows.
#[derive(Debug, Clone)]
pub struct SignInView {
    /// The flow's handle.
    pub handle: String,
    /// The token that its forms send back.
    pub form_token: String,
    /// The organization whose page this is, if there is one.
    pub brand: Option<BrandView>,
    /// The name of the app that is waiting.
    pub app: Option<String>,
    /// The code under which the attempt can be looked up.
    pub receipt: String,
    /// The username that is expected.
    pub username: Option<String>,
    /// The connections to choose from.
    pub connections: Vec<ConnectionView>,
    /// The page languages that the app asked for (`ui_locales`).
    pub locale: Option<String>,
    /// The purpose of the sign-in.
    pub purpose: SignInPurpose,
}

/// The purpose of a sign-in page.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SignInPurpose {
    /// To sign in.
    SignIn,
    /// To prove again who the user is, before something sensitive. Only the user's own account counts.
    Reauthenticate,
    /// To prove the chosen side of a link: an account's own username and password, or one of the connections.
    Link,
}

/// The sign-in page, and the sign-ins and proofs that begin there.
pub struct SignIn {
    core: Arc<Core>,
    interactions: Arc<Interactions>,
    sessions: Arc<Sessions>,
    links: Arc<Links>,
    sso: Arc<Sso>,
    mails: Arc<Mails>,
    passwords: Arc<Passwords>,
}

impl SignIn {
    /// The service, on the shared core and the services that it calls.
    pub(in crate::flows) fn new(
        core: &Arc<Core>,
        interactions: &Arc<Interactions>,
        sessions: &Arc<Sessions>,
        links: &Arc<Links>,
        sso: &Arc<Sso>,
        mails: &Arc<Mails>,
        passwords: &Arc<Passwords>,
    ) -> Self {
        Self {
            core: Arc::clone(core),
            interactions: Arc::clone(interactions),
            sessions: Arc::clone(sessions),
            links: Arc::clone(links),
            sso: Arc::clone(sso),
            mails: Arc::clone(mails),
            passwords: Arc::clone(passwords),
        }
    }

    /// The sign-in page of a flow.
    pub async fn view_sign_in(&self, visit: &Visit, handle: &str) -> Result<SignInView, FlowError> {
        let flow = self.interactions.require_flow(visit, handle).await?;
        self.view_of(handle, &flow).await
    }

    async fn view_of(&self, handle: &str, flow: &Flow) -> Result<SignInView, FlowError> {
        let mut connections = Vec::new();
        let mut username = None;
        let mut app_name = None;
        let mut purpose = SignInPurpose::SignIn;
        let mut locale = flow.aim.request().and_then(|request| request.ui_locales.clone());
        match &flow.aim {
            Aim::Begin(Purpose::App(request)) => {
                username = request.name_hint().map(str::to_owned);
                if let Some(entry) = self.core.directory.app_by_id(request.app).await? {
                    app_name = Some(entry.app.name.clone());
                    let hints: Hints = self.core.directory.hints(&entry.app, request).await?;
                    if let Destination::Choice(several) = route::decide(&hints) {
                        connections = self.core.directory.connection_views(&several).await?;
                    }
                }
            }
            Aim::Begin(Purpose::Reauthenticate(account, _)) => {
                purpose = SignInPurpose::Reauthenticate;
                let found = accounts::find_account(&mut self.core.database.read().await?, *account).await?;
                username = found.and_then(|found| found.username).map(|username| username.to_string());
            }
            Aim::Prove(trip) => {
                purpose = SignInPurpose::Link;
                if let Some((several, waiting)) = self.links.ways_to_prove(*trip).await? {
                    connections = self.core.directory.connection_views(&several).await?;
                    app_name = match waiting.app() {
                        Some(app) => {
                            self.core.directory.app_by_id(app).await?.map(|entry| entry.app.name.clone())
                        }
                        None => None,
                    };
                    locale = waiting.ui_locales().map(str::to_owned);
                }
            }
            Aim::Begin(Purpose::Account | Purpose::Home(_) | Purpose::AddProfile) => {}
        }
        Ok(SignInView {
            handle: handle.to_owned(),
            form_token: self.interactions.form_token(&flow.id.to_string()),
            brand: self.interactions.brand_of_aim(&flow.aim).await?,
            app: app_name,
            receipt: receipt_of(flow.id),
            username,
            connections,
            locale,
            purpose,
        })
    }

    /// The page on which the user chooses among the connections of a name. It shows none for a name that is unknown, or
    /// that this user may not learn of.
    pub async fn view_choice(
        &self,
        visit: &Visit,
        handle: &str,
        entered: &str,
    ) -> Result<SignInView, FlowError> {
        let flow = self.interactions.require_flow(visit, handle).await?;
        let view = self.view_of(handle, &flow).await?;
        let by_link = flow.named.as_ref().is_some_and(|named| named.by_link && named.name == entered);
        let several = match Name::parse(entered) {
            Some(name) if by_link => self.core.directory.connections_for_name(&name, NamedBy::Link).await?,
            _ => self.named_by_person(entered).await?,
        };
        let brand = self.core.directory.brand_of_connections(&several).await?.or(view.brand);
        Ok(SignInView { connections: self.core.directory.connection_views(&several).await?, brand, ..view })
    }

    async fn named_by_person(&self, entered: &str) -> Result<Vec<ConnectionId>, FlowError> {
        match Name::parse(entered) {
            None => Ok(Vec::new()),
            Some(name @ Name::Handle(_)) => {
                Ok(self.core.directory.connections_for_name(&name, NamedBy::PersonByHandle).await?)
            }
            Some(name @ Name::Domain(_)) => {
                Ok(self.core.directory.connections_for_name(&name, NamedBy::PersonByDomain).await?)
            }
        }
    }

    /// Whether an interaction still waits for the proof of a flow; true of flows that begin an interaction.
    async fn is_waited_for(&self, visit: &Visit, flow: &Flow) -> Result<bool, FlowError> {
        let trip = match flow.aim {
            Aim::Begin(_) => return Ok(true),
            Aim::Prove(trip) => trip,
        };
        // Only the chosen side is proved at a sign-in page.
        if trip.side != LinkSide::Chosen {
            return Ok(false);
        }
        let mut tx = self.core.database.read().await?;
        Ok(self.links.find_waiting_for(&mut tx, visit, trip).await?.is_some())
    }

    /// An event of a user who has proved nothing yet, in the log of the app's organization.
    async fn event_of_app(&self, flow: &Flow) -> Result<Event, FlowError> {
        let event = sign_in_event(flow);
        let Some(app) = event.app else { return Ok(event) };
        let entry = self.core.directory.app_by_id(app).await?;
        Ok(Event { organization: entry.map(|entry| entry.organization.id), ..event })
    }
}
