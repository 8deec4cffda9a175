//! The ways to begin a sign-in: by a link, by a name that the user typed, by a choice among connections, or at an
//! identity provider's request.

use crate::flows::directory::{ConnectionEntry, Name};
use crate::flows::evidence::Event;
use crate::flows::interaction::sign_in_event;
use crate::flows::refusal::{FlowError, PublicCode, Reason, refused};
use crate::flows::sign_in::SignIn;
use crate::flows::sso::Begun;
use crate::flows::visit::{Answer, NextPage, Visit};
use crate::model::{Aim, ConnectionId, Email, Flow, Naming, Purpose};
use crate::policy::sign_in::route::NamedBy;
use crate::protocol::oauth::Parameters;
use crate::store::organization::apps;

impl SignIn {
    /// Starts a sign-in by a link (`/sso/{handle or domain}`). It leads to the identity provider, or to a choice where
    /// there are several.
    pub async fn begin_by_link(&self, visit: &Visit, entered: &str) -> Result<Answer, FlowError> {
        let connections = match Name::parse(entered) {
            Some(name) => self.core.directory.connections_for_name(&name, NamedBy::Link).await?,
            None => Vec::new(),
        };
        let flow = self.interactions.new_flow(Aim::Begin(Purpose::Account));
        match connections.as_slice() {
            [] => Err(refused(sign_in_event(&flow), PublicCode::UnknownDomain, Reason::UnknownName)),
            [only] => self.begin_upstream(visit, flow, *only, None).await,
            _ => self.offer_choice(visit, flow, entered, true).await,
        }
    }

    /// Starts a sign-in through one connection, for a purpose that was checked.
    pub async fn begin_connection(
        &self,
        visit: &Visit,
        connection: ConnectionId,
        purpose: Purpose,
        login_hint: Option<&str>,
    ) -> Result<Answer, FlowError> {
        let flow = self.interactions.new_flow(Aim::Begin(purpose));
        self.begin_upstream(visit, flow, connection, login_hint).await
    }

    /// Starts a sign-in that the identity provider or its portal asks for (`OpenID` Connect Core 1.0, section 4). It
    /// leads to the home of a registered app, else to the user's own page.
    pub async fn begin_by_provider(
        &self,
        visit: &Visit,
        connection: ConnectionId,
        parameters: &Parameters,
    ) -> Result<Answer, FlowError> {
        let entry = self.sso.require_connection(connection, "sign_in").await?;
        let event = Event {
            organization: Some(entry.organization.id),
            connection: Some(connection),
            ..Event::new("sign_in")
        };
        if parameters.first_repeated().is_some() {
            return Err(refused(event, PublicCode::InvalidRequest, Reason::ParameterRepeated));
        }
        if parameters.get("iss").is_some_and(|issuer| !entry.connection.allows_issuer(issuer)) {
            return Err(refused(event, PublicCode::InvalidRequest, Reason::IssMismatch));
        }
        let purpose = match parameters.get("target_link_uri") {
            None => Purpose::Account,
            Some(uri) => match self.purpose_of(&entry, uri).await? {
                Some(purpose) => purpose,
                None => {
                    return Err(refused(
                        event,
                        PublicCode::InvalidRequest,
                        Reason::TargetLinkUriUnregistered,
                    ));
                }
            },
        };
        self.begin_connection(visit, connection, purpose, parameters.get("login_hint")).await
    }

    /// The purpose that a `target_link_uri` names: the user's own page, or an app of the organization with this home.
    async fn purpose_of(&self, entry: &ConnectionEntry, uri: &str) -> Result<Option<Purpose>, FlowError> {
        if uri == self.core.issuer() || uri == self.core.url("/") || uri == self.core.url("/account") {
            return Ok(Some(Purpose::Account));
        }
        let mut tx = self.core.database.read().await?;
        let all = apps::list_apps(&mut tx, entry.organization.id).await?;
        let found = all.into_iter().find(|app| app.enabled && app.settings.home_uri.as_deref() == Some(uri));
        Ok(found.map(|app| Purpose::Home(app.id)))
    }

    /// Continues a sign-in by a name that the user entered: an organization's handle, a domain, or an email address.
    pub async fn sign_in_by_name(
        &self,
        visit: &Visit,
        handle: &str,
        entered: &str,
    ) -> Result<Answer, FlowError> {
        let flow = self.interactions.require_flow(visit, handle).await?;
        let several = self.named_by_person(entered).await?;
        let login_hint = entered.trim().parse::<Email>().ok();
        match several.as_slice() {
            [] => Err(refused(sign_in_event(&flow), PublicCode::UnknownDomain, Reason::UnknownName)),
            [only] => self.begin_upstream(visit, flow, *only, login_hint.as_ref().map(Email::as_str)).await,
            _ => self.offer_choice(visit, flow, entered.trim(), false).await,
        }
    }

    /// Sends the browser to the identity provider of a connection.
    pub(in crate::flows) async fn begin_upstream(
        &self,
        visit: &Visit,
        flow: Flow,
        connection: ConnectionId,
        login_hint: Option<&str>,
    ) -> Result<Answer, FlowError> {
        match self.sso.begin(visit, flow, connection, login_hint).await? {
            Begun::There(answer) => Ok(answer),
            Begun::CannotAsk(event) => {
                Err(refused(event, PublicCode::CannotAskAnew, Reason::IdpCannotBeForced))
            }
        }
    }

    /// Lets the user choose among the connections of a name. The flow remembers the name.
    async fn offer_choice(
        &self,
        visit: &Visit,
        mut flow: Flow,
        name: &str,
        by_link: bool,
    ) -> Result<Answer, FlowError> {
        flow.named = Some(Naming { name: name.to_owned(), by_link });
        let cookies = self.interactions.keep_flow(visit, &flow).await?;
        let next =
            NextPage::Choose(self.interactions.flow_handle(flow.id, flow.aim.app())?, Some(name.to_owned()));
        Ok(Answer::to(next).with_all(cookies))
    }

    /// Shows the sign-in page for a flow that no app began, and keeps the flow in the browser.
    pub(in crate::flows) async fn show_sign_in(
        &self,
        visit: &Visit,
        flow: &Flow,
    ) -> Result<Answer, FlowError> {
        let cookies = self.interactions.keep_flow(visit, flow).await?;
        Ok(Answer::to(NextPage::SignIn(self.interactions.flow_handle(flow.id, None)?)).with_all(cookies))
    }

    /// Continues the sign-in at the identity provider that the user chose.
    pub async fn sign_in_through(
        &self,
        visit: &Visit,
        handle: &str,
        connection: ConnectionId,
    ) -> Result<Answer, FlowError> {
        let flow = self.interactions.require_flow(visit, handle).await?;
        if !self.is_waited_for(visit, &flow).await? {
            let event = sign_in_event(&flow);
            return Err(refused(event, PublicCode::FlowExpired, Reason::LinkNotWaiting));
        }
        let asked = flow.aim.request().and_then(|request| request.name_hint().map(str::to_owned));
        // A user who typed an email address and was offered several providers need not type it again there.
        let typed = flow.named.as_ref().and_then(|named| named.name.parse::<Email>().ok());
        let offered = match &typed {
            Some(email) => self.named_by_person(email.as_str()).await?.contains(&connection),
            None => false,
        };
        let hint = typed.filter(|_| offered).map(|email| email.as_str().to_owned()).or(asked);
        self.begin_upstream(visit, flow, connection, hint.as_deref()).await
    }

    /// Begins a sign-in that no app asked for.
    pub async fn begin_own_sign_in(&self, visit: &Visit) -> Result<Answer, FlowError> {
        self.show_sign_in(visit, &self.interactions.new_flow(Aim::Begin(Purpose::Account))).await
    }
}
