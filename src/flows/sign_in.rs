//! The sign-in page: username and password, or the way to an identity provider.

use super::Broker;
use super::brand::BrandView;
use super::directory::Name;
use super::error::FlowError;
use super::evidence::{Event, receipt_of};
use super::guessing::{Counted, Guess};
use super::interaction::sealed::finish_mark;
use super::interaction::{Answered, Handled, sign_in_event_of};
use super::refusal::{PublicCode, Reason, Refusal, Wait, refused};
use super::visit::{Answer, NextPage, Visit};
use crate::crypto::password::{MAX_PASSWORD_BYTES, PasswordError, Place, Share};
use crate::model::{
    Account, Aim, ConnectionId, Email, Flow, Interaction, LinkSide, Naming, Profile, ProfileKind, Proof,
    Purpose, Secret, Subject, Username,
};
use crate::policy::access::may_use_password;
use crate::policy::password::normalize;
use crate::policy::route;
use crate::policy::route::{Destination, Hints, NamedBy};
use crate::store::guesses::{forgive_guesses, return_guess};
use crate::store::passwords::StoredPassword;
use crate::store::{accounts, flows, organizations, passwords, profiles};

/// What the sign-in page shows.
#[derive(Debug, Clone)]
pub struct SignInView {
    /// The flow's handle.
    pub handle: String,
    /// What its forms prove.
    pub form_token: String,
    /// The organization whose page this is, if it is one's.
    pub brand: Option<BrandView>,
    /// The app that is waiting, by name.
    pub app: Option<String>,
    /// The code under which the attempt can be looked up.
    pub receipt: String,
    /// Who is expected.
    pub username: Option<String>,
    /// The connections to choose from.
    pub connections: Vec<ConnectionView>,
    /// The page languages that the app asked for (`ui_locales`).
    pub locale: Option<String>,
    /// What the sign-in is for.
    pub purpose: SignInPurpose,
}

/// What a sign-in page is for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SignInPurpose {
    /// To be signed in.
    SignIn,
    /// To prove again who one is, before something sensitive. Only this account counts.
    Reauthenticate,
    /// To prove the chosen side of a link: an account's own username and password, or one of the connections.
    Link,
}

/// A connection as a page offers it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConnectionView {
    /// Its id.
    pub id: ConnectionId,
    /// Its handle.
    pub handle: String,
    /// Its name.
    pub name: String,
    /// The host of its issuer.
    pub provider: String,
}

impl Broker {
    /// What the sign-in page of a flow shows.
    pub async fn view_sign_in(&self, visit: &Visit, handle: &str) -> Result<SignInView, FlowError> {
        let flow = self.require_flow(visit, handle).await?;
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
                if let Some(entry) = self.directory.app_by_id(request.app).await? {
                    app_name = Some(entry.app.name.clone());
                    let hints: Hints = self.hints(&entry.app, request).await?;
                    if let Destination::Choice(several) = route::decide(&hints) {
                        connections = self.connection_views(&several).await?;
                    }
                }
            }
            Aim::Begin(Purpose::Reauthenticate(account, _)) => {
                purpose = SignInPurpose::Reauthenticate;
                let found = accounts::find_account(&mut self.database.read().await?, *account).await?;
                username = found.and_then(|found| found.username).map(|username| username.to_string());
            }
            Aim::Prove(trip) => {
                purpose = SignInPurpose::Link;
                if let Some((several, waiting)) = self.ways_to_prove(*trip).await? {
                    connections = self.connection_views(&several).await?;
                    app_name = match waiting.app() {
                        Some(app) => self.directory.app_by_id(app).await?.map(|entry| entry.app.name.clone()),
                        None => None,
                    };
                    locale = waiting.ui_locales().map(str::to_owned);
                }
            }
            Aim::Begin(Purpose::Account | Purpose::Home(_) | Purpose::AddProfile) => {}
        }
        Ok(SignInView {
            handle: handle.to_owned(),
            form_token: self.form_token(&flow.id.to_string()),
            brand: self.brand_of_aim(&flow.aim).await?,
            app: app_name,
            receipt: receipt_of(flow.id),
            username,
            connections,
            locale,
            purpose,
        })
    }

    /// The connections that a name leads to, for the page on which one is chosen. None are shown for a name that is
    /// unknown, or that the asker may not learn of.
    pub async fn view_choice(
        &self,
        visit: &Visit,
        handle: &str,
        entered: &str,
    ) -> Result<SignInView, FlowError> {
        let flow = self.require_flow(visit, handle).await?;
        let view = self.view_of(handle, &flow).await?;
        let by_link = flow.named.as_ref().is_some_and(|named| named.by_link && named.name == entered);
        let several = match Name::parse(entered) {
            Some(name) if by_link => self.connections_for_name(&name, NamedBy::Link).await?,
            _ => self.named_by_person(entered).await?,
        };
        let brand = self.brand_of_connections(&several).await?.or(view.brand);
        Ok(SignInView { connections: self.connection_views(&several).await?, brand, ..view })
    }

    pub(super) async fn connection_views(
        &self,
        ids: &[ConnectionId],
    ) -> Result<Vec<ConnectionView>, FlowError> {
        let mut views = Vec::new();
        for id in ids {
            if let Some(entry) = self.directory.connection(*id).await? {
                let connection = &entry.connection;
                let issuer = url::Url::parse(&connection.issuer).ok();
                views.push(ConnectionView {
                    id: connection.id,
                    handle: connection.handle.to_string(),
                    name: connection.name.clone(),
                    provider: issuer.and_then(|url| url.host_str().map(str::to_owned)).unwrap_or_default(),
                });
            }
        }
        Ok(views)
    }

    async fn named_by_person(&self, entered: &str) -> Result<Vec<ConnectionId>, FlowError> {
        match Name::parse(entered) {
            None => Ok(Vec::new()),
            Some(name @ Name::Handle(_)) => self.connections_for_name(&name, NamedBy::PersonByHandle).await,
            Some(name @ Name::Domain(_)) => self.connections_for_name(&name, NamedBy::PersonByDomain).await,
        }
    }

    /// Goes on by a name that the person entered: an organization's handle, a domain, or an email address.
    pub async fn sign_in_by_name(
        &self,
        visit: &Visit,
        handle: &str,
        entered: &str,
    ) -> Result<Answer, FlowError> {
        let flow = self.require_flow(visit, handle).await?;
        let several = self.named_by_person(entered).await?;
        let login_hint = entered.trim().parse::<Email>().ok();
        match several.as_slice() {
            [] => Err(refused(Self::sign_in_event(&flow), PublicCode::UnknownDomain, Reason::UnknownName)),
            [only] => self.begin_upstream(visit, flow, *only, login_hint.as_ref().map(Email::as_str)).await,
            _ => self.offer_choice(visit, flow, entered.trim(), false).await,
        }
    }

    /// Lets the person choose among the connections of a name, which the flow remembers.
    pub(super) async fn offer_choice(
        &self,
        visit: &Visit,
        mut flow: Flow,
        name: &str,
        by_link: bool,
    ) -> Result<Answer, FlowError> {
        flow.named = Some(Naming { name: name.to_owned(), by_link });
        let cookies = self.keep_flow(visit, &flow).await?;
        let next = NextPage::Choose(self.flow_handle(flow.id, flow.aim.app())?, Some(name.to_owned()));
        Ok(Answer::to(next).with_all(cookies))
    }

    /// Shows the sign-in page to somebody who came without an app, and keeps the flow in the browser.
    pub(super) async fn show_sign_in(&self, visit: &Visit, flow: &Flow) -> Result<Answer, FlowError> {
        let cookies = self.keep_flow(visit, flow).await?;
        Ok(Answer::to(NextPage::SignIn(self.flow_handle(flow.id, None)?)).with_all(cookies))
    }

    /// Goes on at the provider that the person chose.
    pub async fn sign_in_through(
        &self,
        visit: &Visit,
        handle: &str,
        connection: ConnectionId,
    ) -> Result<Answer, FlowError> {
        let flow = self.require_flow(visit, handle).await?;
        if !self.is_waited_for(visit, &flow).await? {
            let event = Self::sign_in_event(&flow);
            return Err(refused(event, PublicCode::FlowExpired, Reason::LinkNotWaiting));
        }
        let asked = flow.aim.request().and_then(|request| request.name_hint().map(str::to_owned));
        // A person who typed an email address and was offered several providers need not type it again there.
        let typed = flow.named.as_ref().and_then(|named| named.name.parse::<Email>().ok());
        let offered = match &typed {
            Some(email) => self.named_by_person(email.as_str()).await?.contains(&connection),
            None => false,
        };
        let hint = typed.filter(|_| offered).map(|email| email.as_str().to_owned()).or(asked);
        self.begin_upstream(visit, flow, connection, hint.as_deref()).await
    }

    /// Signs in by username and password. An email address whose domain is routed goes to its provider, whatever the
    /// password field holds.
    pub async fn sign_in_with_password(
        &self,
        visit: &Visit,
        handle: &str,
        entered: &str,
        password: Secret,
    ) -> Result<Handled, FlowError> {
        let flow = self.require_flow(visit, handle).await?;
        let entered = entered.trim();
        let flow = match self.go_to_provider_of(visit, handle, flow, entered).await? {
            Ok(answer) => return Ok(answer.into()),
            Err(flow) => flow,
        };
        // Order matters: the answer to a flow that has ended must not depend on the password.
        if !self.is_waited_for(visit, &flow).await? {
            let event = Self::sign_in_event(&flow);
            return Err(refused(event, PublicCode::FlowExpired, Reason::LinkNotWaiting));
        }
        let place = self.enter_queue(visit, &flow, &password)?;
        let found = self.find_local_account(entered).await?;
        let counters = self.counters(visit, entered, found.as_ref());
        let counted = match self.count_guess(counters).await? {
            Counted::Check(counted) => counted,
            Counted::Wait(scope, wait) => {
                // What waits to be recorded keeps no room from those who have something to be hashed.
                drop(place);
                let about = self.named(entered, found.as_ref().map(|(account, _)| account.id));
                return Err(Self::too_many(&flow, Some(about), (scope, wait)));
            }
        };
        let (account, stored) = found.map_or((None, None), |(account, stored)| (Some(account), stored));
        let stored = stored.map(|stored| stored.hash);
        let normalized = Secret::new(normalize(password.expose()));
        let verdict = match self.passwords.verify_in(place, normalized, stored.clone()).await {
            Ok(verdict) => verdict,
            Err(error) => return Err(self.hashing_failed(&flow, &counted, error).await),
        };
        let account = match account {
            Some(account) if verdict.matches => account,
            refused => {
                return Err(self.refuse_password(visit, &flow, entered, refused.as_ref()).await?.into());
            }
        };
        let Some(mut checked) = stored else {
            return Err(FlowError::Unavailable("a password without a hash has matched".to_owned()));
        };
        if verdict.needs_rehash
            && let Some(stronger) = self.strengthen(&account, &checked, password).await?
        {
            checked = stronger;
        }
        let proved = Box::pin(self.complete_local(visit, &flow, account, &counted, &checked)).await?;
        Ok(proved.into())
    }

    /// Sends a person to the provider to which the address that they entered is routed; gives the flow back where it is
    /// routed to none. A person who proves something by a password is not sent there instead.
    async fn go_to_provider_of(
        &self,
        visit: &Visit,
        handle: &str,
        flow: Flow,
        entered: &str,
    ) -> Result<Result<Answer, Flow>, FlowError> {
        match &flow.aim {
            Aim::Begin(Purpose::App(_) | Purpose::Account | Purpose::Home(_)) => {}
            Aim::Begin(Purpose::Reauthenticate(..) | Purpose::AddProfile) | Aim::Prove(_) => {
                return Ok(Err(flow));
            }
        }
        let Ok(email) = entered.parse::<Email>() else { return Ok(Err(flow)) };
        let name = Name::Domain(email.domain().clone());
        let routed = self.connections_for_name(&name, NamedBy::PersonByDomain).await?;
        match routed.as_slice() {
            [] => Ok(Err(flow)),
            [only] => Ok(Ok(self.begin_upstream(visit, flow, *only, Some(email.as_str())).await?)),
            _ => Ok(Ok(self.sign_in_by_name(visit, handle, entered).await?)),
        }
    }

    /// A place before the hashing threads, before anything is read or counted: a crowd that finds none costs little.
    fn enter_queue(&self, visit: &Visit, flow: &Flow, password: &Secret) -> Result<Place, FlowError> {
        if password.expose().len() > MAX_PASSWORD_BYTES {
            let event = Self::sign_in_event(flow);
            return Err(refused(event, PublicCode::PasswordTooLong, Reason::PasswordTooLong));
        }
        self.passwords.enter(self.hashing_share(visit)).map_err(|error| not_hashed(flow, error))
    }

    async fn find_local_account(
        &self,
        entered: &str,
    ) -> Result<Option<(Account, Option<StoredPassword>)>, FlowError> {
        let Ok(username) = entered.parse::<Username>() else { return Ok(None) };
        let mut tx = self.database.read().await?;
        let Some(account) = accounts::find_account_by_username(&mut tx, &username).await? else {
            return Ok(None);
        };
        let stored = passwords::find_password(&mut tx, account.id).await?;
        Ok(Some((account, stored)))
    }

    /// The same answer for whatever was wrong; the log has what it was, where those who may help look.
    async fn refuse_password(
        &self,
        visit: &Visit,
        flow: &Flow,
        entered: &str,
        account: Option<&Account>,
    ) -> Result<Refusal, FlowError> {
        let reason = if account.is_some() { Reason::WrongPassword } else { Reason::UnknownUsername };
        let event = self.event_of_app(flow).await?;
        let organization = account.and_then(|account| account.organization).or(event.organization);
        // Another answer may have ended the flow while this password was checked. The right one would be told so.
        let code = if flows::is_spent(&mut self.database.read().await?, &finish_mark(flow.id)).await? {
            PublicCode::FlowFinished
        } else if self.is_waited_for(visit, flow).await? {
            PublicCode::BadCredentials
        } else {
            PublicCode::FlowExpired
        };
        let about = Some(self.named(entered, account.map(|account| account.id)));
        Ok(Refusal::new(Event { organization, about, ..event }, code, reason))
    }

    /// Whether an interaction still waits for what is proved in a flow; true of flows that begin one.
    async fn is_waited_for(&self, visit: &Visit, flow: &Flow) -> Result<bool, FlowError> {
        let trip = match flow.aim {
            Aim::Begin(_) => return Ok(true),
            Aim::Prove(trip) => trip,
        };
        // Only the chosen side is proved at a sign-in page.
        if trip.side != LinkSide::Chosen {
            return Ok(false);
        }
        let mut tx = self.database.read().await?;
        Ok(self.find_waiting_for(&mut tx, visit, trip).await?.is_some())
    }

    /// An event of somebody who has proved nothing, in the log of the app's organization.
    async fn event_of_app(&self, flow: &Flow) -> Result<Event, FlowError> {
        let event = Self::sign_in_event(flow);
        let Some(app) = event.app else { return Ok(event) };
        let entry = self.directory.app_by_id(app).await?;
        Ok(Event { organization: entry.map(|entry| entry.organization.id), ..event })
    }

    /// A password that was not checked was no guess.
    async fn hashing_failed(&self, flow: &Flow, counted: &[Guess; 2], error: PasswordError) -> FlowError {
        let returned = async {
            let mut tx = self.database.write().await?;
            for guess in counted {
                return_guess(&mut tx, guess.scope.as_str(), &guess.subject, guess.blocked_until).await?;
            }
            tx.commit().await
        };
        if let Err(error) = returned.await {
            return error.into();
        }
        not_hashed(flow, error)
    }

    /// Hashes the same password anew, stronger; gives the new hash when it took the old one's place.
    async fn strengthen(
        &self,
        account: &Account,
        old: &str,
        password: Secret,
    ) -> Result<Option<String>, FlowError> {
        let normalized = Secret::new(normalize(password.expose()));
        // A full queue is no reason to refuse somebody whose password was right; the next sign-in tries again.
        let Ok(new) = self.passwords.hash(Share::Known(account.id.to_string()), normalized).await else {
            return Ok(None);
        };
        let mut tx = self.database.write().await?;
        passwords::replace_password_hash(&mut tx, account.id, old, &new).await?;
        let kept = passwords::find_password(&mut tx, account.id).await?;
        tx.commit().await?;
        Ok(kept.map(|kept| kept.hash).filter(|kept| *kept == new))
    }

    /// Completes a sign-in whose password was held against `checked`.
    async fn complete_local(
        &self,
        visit: &Visit,
        flow: &Flow,
        account: Account,
        [of_account, of_network]: &[Guess; 2],
        checked: &str,
    ) -> Result<Answered, FlowError> {
        let now = self.clock.now();
        let (mut tx, known) = self.open_for_flow(flow, None).await?;
        let profile = local_profile(profiles::list_profiles(&mut tx, account.id).await?);
        let organization = organizations::find_organization_of(&mut tx, &account).await?;
        let allowed = may_use_password(&account, organization.as_ref());
        // A password that was changed while the old one was being checked opens nothing.
        let current = passwords::lock_password(&mut tx, account.id, checked).await?;
        let (Some(profile), true) = (profile, allowed && current) else {
            let reason = if current { Reason::LocalSignInOff } else { Reason::PasswordChanged };
            let event = Event {
                organization: account.organization,
                actor: Some(account.id.into()),
                ..Self::sign_in_event(flow)
            };
            return Err(refused(event, PublicCode::BadCredentials, reason));
        };
        forgive_guesses(&mut tx, of_account.scope.as_str(), &of_account.subject).await?;
        let Guess { scope, subject, blocked_until } = of_network;
        return_guess(&mut tx, scope.as_str(), subject, *blocked_until).await?;
        profiles::touch_profile(&mut tx, profile.id, now).await?;
        let proof = Proof {
            profile: profile.id,
            connection: None,
            authenticated_at: now,
            witnessed: true,
            amr: vec!["pwd".to_owned()],
            acr: None,
            upstream_sid: None,
        };
        let organization = account.organization;
        let subject = Subject::Account { account: account.id, proof };
        match &flow.aim {
            Aim::Prove(trip) => {
                let event = Self::sign_in_event(flow);
                let opened = (tx, known);
                Box::pin(self.prove_chosen(opened, visit, flow, *trip, (subject, organization), event)).await
            }
            Aim::Begin(purpose) => {
                let interaction = Interaction::new(flow.id, purpose.clone(), subject);
                let event = sign_in_event_of(&interaction, &account);
                Ok(Answered { account: Some(account), ..Answered::new((tx, known), interaction, event) })
            }
        }
    }

    /// The record of a sign-in of somebody who has proved nothing yet.
    pub(super) fn sign_in_event(flow: &Flow) -> Event {
        Event { app: flow.aim.app(), receipt: Some(receipt_of(flow.id)), ..Event::new("sign_in") }
    }
}

/// Why a password is not hashed now.
fn not_hashed(flow: &Flow, error: PasswordError) -> FlowError {
    let event = Broker::sign_in_event(flow);
    match error {
        PasswordError::TooLong => refused(event, PublicCode::PasswordTooLong, Reason::PasswordTooLong),
        PasswordError::Busy { retry_after } => {
            refused(event, PublicCode::Busy(Wait(Some(retry_after))), Reason::HashingBusy)
        }
        PasswordError::Phc(_) | PasswordError::Unavailable => FlowError::Unavailable(error.to_string()),
    }
}

fn local_profile(profiles: Vec<Profile>) -> Option<Profile> {
    profiles.into_iter().find(|profile| profile.kind == ProfileKind::Local)
}
