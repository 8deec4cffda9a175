//! Signing out: at an app's request (`OpenID` Connect RP-Initiated Logout 1.0), or on the user's own page. The broker
//! first ends its own session and the session's grants. Then the browser goes to the identity provider, if that is
//! wanted, and back to the app.

use crate::crypto::seal::Purpose;
use crate::flows::directory::{AppEntry, AppLink, BrandView};
use crate::flows::evidence::Event;
use crate::flows::provider::Logouts;
use crate::flows::refusal::{FlowError, PublicCode, Reason, refused};
use crate::flows::session::{CurrentSession, own_event};
use crate::flows::visit::{Answer, CookieChange, NextPage, Visit};
use crate::model::{AppId, ConnectionId, Session, UpstreamLogout};
use crate::policy::provider::logout::{self, Hinted, LogoutStep};
use crate::protocol::oauth::{Parameters, add_to_query};
use crate::store::provider::grants;
use crate::upstream::EndSession;

/// The app and the address to which the browser goes after a sign-out.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Leaving {
    app: Option<AppId>,
    uri: Option<String>,
    state: Option<String>,
}

/// The result of an app's request to sign the user out.
#[derive(Clone)]
pub enum Logout {
    /// The user must be asked first.
    Ask(LogoutView),
    /// There is nothing to ask: the browser goes to the next place.
    Done(Answer),
}

/// The data of the page that asks the user.
#[derive(Debug, Clone)]
pub struct LogoutView {
    /// The destination of the sign-out, sealed.
    pub handle: String,
    /// The token that its form sends back.
    pub form_token: String,
    /// The organization that the page belongs to, if any.
    pub brand: Option<BrandView>,
    /// The user who is signed in: email address, else username, else name.
    pub person: String,
    /// The name of the app that asked.
    pub app: Option<String>,
    /// The name of the connection at which the user may sign out as well.
    pub upstream: Option<String>,
}

/// An end-session request that was read.
struct Request {
    leaving: Leaving,
    app: Option<std::sync::Arc<AppEntry>>,
    hint: Option<Hinted>,
}

impl Logouts {
    /// Takes an app's request to sign the user out. An invalid hint ends no session and leads nowhere.
    pub async fn begin_logout(&self, visit: &Visit, parameters: &Parameters) -> Result<Logout, FlowError> {
        let current = self.sessions.current_session(visit).await?;
        let request = self.read_logout(parameters, current.as_ref()).await?;
        let step = logout::decide(current.is_some(), request.hint);
        match (current, step) {
            (None, _) | (_, LogoutStep::Pass) => {
                self.sessions.end_presented_session(visit).await?;
                let answer = Answer::to(self.leave(&request.leaving).await?);
                Ok(Logout::Done(answer.with(CookieChange::ClearSession)))
            }
            (Some(current), step) => {
                let wish = self.upstream_wish(&current.session).await?;
                let asks = wish == Some(UpstreamLogout::Ask);
                if step == LogoutStep::End && !asks {
                    let upstream = wish == Some(UpstreamLogout::Always);
                    return Ok(Logout::Done(self.leave_session(&current, &request.leaving, upstream).await?));
                }
                let connection = current.session.proof.connection.filter(|_| asks);
                Ok(Logout::Ask(LogoutView {
                    handle: self.seal_leaving("question", &request.leaving)?,
                    form_token: self.interactions.form_token(&current.session.id.to_string()),
                    brand: self.core.directory.brand_of(current.organization.as_ref()).await?,
                    person: label(&current),
                    app: request.app.map(|entry| entry.app.name.clone()),
                    upstream: self.core.directory.connection_name(connection).await?,
                }))
            }
        }
    }

    /// Takes the user's answer to the question: signs out, and with `upstream` at the identity provider as well.
    pub async fn confirm_logout(
        &self,
        visit: &Visit,
        handle: &str,
        upstream: bool,
    ) -> Result<Answer, FlowError> {
        let leaving = self.open_leaving("question", handle).unwrap_or_default();
        let Some(current) = self.sessions.current_session(visit).await? else {
            self.sessions.end_presented_session(visit).await?;
            return Ok(Answer::to(self.leave(&leaving).await?).with(CookieChange::ClearSession));
        };
        let upstream = match self.upstream_wish(&current.session).await? {
            Some(UpstreamLogout::Always) => true,
            Some(UpstreamLogout::Ask) => upstream,
            Some(UpstreamLogout::Never) | None => false,
        };
        self.leave_session(&current, &leaving, upstream).await
    }

    /// Signs the user out on their own page; `None` when there is a question to ask first.
    pub async fn sign_out(&self, visit: &Visit) -> Result<Option<Answer>, FlowError> {
        let Some(current) = self.sessions.current_session(visit).await? else {
            self.sessions.end_presented_session(visit).await?;
            return Ok(Some(Answer::to(NextPage::SignedOut(None)).with(CookieChange::ClearSession)));
        };
        let wish = self.upstream_wish(&current.session).await?;
        if wish == Some(UpstreamLogout::Ask) {
            return Ok(None);
        }
        let upstream = wish == Some(UpstreamLogout::Always);
        Ok(Some(self.leave_session(&current, &Leaving::default(), upstream).await?))
    }

    /// Continues after an identity provider has signed the user out.
    pub async fn return_from_upstream(
        &self,
        connection: ConnectionId,
        state: Option<&str>,
    ) -> Result<Answer, FlowError> {
        let place = connection.to_string();
        let leaving = state.and_then(|state| self.open_leaving(&place, state)).unwrap_or_default();
        Ok(Answer::to(self.leave(&leaving).await?))
    }

    /// The app that a signed-out user may go back to.
    pub async fn signed_out_app(&self, client_id: Option<&str>) -> Result<Option<AppLink>, FlowError> {
        let Some(client_id) = client_id else { return Ok(None) };
        let entry = self.core.directory.app(client_id).await?.filter(|entry| entry.is_enabled());
        Ok(entry
            .map(|entry| AppLink { name: entry.app.name.clone(), home: entry.app.settings.home_uri.clone() }))
    }

    /// Reads an end-session request (section 2).
    async fn read_logout(
        &self,
        parameters: &Parameters,
        current: Option<&CurrentSession>,
    ) -> Result<Request, FlowError> {
        let event = Event::new("logout");
        let state = parameters.get("state");
        let longest = self.state_bytes;
        if parameters.first_repeated().is_some() || state.is_some_and(|state| state.len() > longest) {
            return Err(refused(event, PublicCode::InvalidRequest, Reason::ParameterRepeatedOrTooLong));
        }
        let hint = parameters.get("id_token_hint");
        let claims = hint.and_then(|hint| self.keys.read_id_token_hint(hint));
        if hint.is_some() && claims.is_none() {
            return Err(refused(event, PublicCode::InvalidRequest, Reason::IdTokenHintInvalid));
        }
        let client_id = parameters.get("client_id");
        let hinted_client = claims.as_ref().map(|claims| claims.client_id.as_str());
        if client_id.zip(hinted_client).is_some_and(|(named, hinted)| named != hinted) {
            return Err(refused(event, PublicCode::InvalidRequest, Reason::IdTokenHintOfAnotherApp));
        }
        let app = match hinted_client.or(client_id) {
            Some(client_id) => self.core.directory.app(client_id).await?,
            None => None,
        };
        if claims.is_some() && app.is_none() {
            return Err(refused(event, PublicCode::InvalidRequest, Reason::IdTokenHintOfNoApp));
        }
        let hint = match (&claims, &app, current) {
            (Some(claims), Some(entry), Some(current)) => {
                let mut tx = self.core.database.read().await?;
                let account = grants::find_account_of_subject(&mut tx, entry.app.id, &claims.subject).await?;
                Some(Hinted {
                    account: account == Some(current.account.id),
                    session: claims.session.as_deref() == Some(&current.session.id.to_string()),
                })
            }
            _ => None,
        };
        let leaving = leaving(app.as_deref(), parameters.get("post_logout_redirect_uri"), state);
        Ok(Request { leaving, app, hint })
    }

    /// Whether and how a sign-out continues at the provider of a session; `None` when it cannot.
    async fn upstream_wish(&self, session: &Session) -> Result<Option<UpstreamLogout>, FlowError> {
        let Some(id) = session.proof.connection else { return Ok(None) };
        let Some(entry) = self.core.directory.connection(id).await? else { return Ok(None) };
        let wish = entry.connection.settings.upstream_logout;
        if wish == UpstreamLogout::Never {
            return Ok(None);
        }
        let probe = EndSession { id_token_hint: None, post_logout_redirect_uri: "", state: "" };
        let url = self.upstream.end_session_url(&entry.connection, probe).await;
        // If the provider is down, the user is signed out here all the same.
        Ok(url.ok().flatten().map(|_| wish))
    }

    /// Ends a session, and answers where the browser goes next.
    async fn leave_session(
        &self,
        current: &CurrentSession,
        leaving: &Leaving,
        upstream: bool,
    ) -> Result<Answer, FlowError> {
        let onward = if upstream { self.upstream_address(&current.session, leaving).await? } else { None };
        let go = match &onward {
            Some(url) => NextPage::Upstream(url.clone()),
            None => self.leave(leaving).await?,
        };
        let mut tx = self.core.database.write().await?;
        // If another request ended the session meanwhile, that one wrote the record.
        if self.sessions.end_session(&mut tx, &current.session).await? {
            let detail = if onward.is_some() { "scope=upstream" } else { "scope=local" };
            let event = own_event("logout", current);
            let event = Event { app: leaving.app, detail: Some(detail.to_owned()), ..event };
            self.core.record_success(&mut tx, &event).await?;
        }
        // Commits even if nothing was left to do: what another request did first may still be on its way to the disk.
        tx.commit().await?;
        Ok(Answer::to(go).with(CookieChange::ClearSession))
    }

    /// The provider's end-session address for a session.
    async fn upstream_address(
        &self,
        session: &Session,
        leaving: &Leaving,
    ) -> Result<Option<String>, FlowError> {
        let Some(id) = session.proof.connection else { return Ok(None) };
        let Some(entry) = self.core.directory.connection(id).await? else { return Ok(None) };
        let hint = self.sessions.upstream_id_token(&mut self.core.database.read().await?, session.id).await?;
        let request = EndSession {
            id_token_hint: hint.as_ref(),
            post_logout_redirect_uri: &self.signed_out_url(id),
            state: &self.seal_leaving(&id.to_string(), leaving)?,
        };
        let url = self.upstream.end_session_url(&entry.connection, request).await;
        Ok(url.ok().flatten().map(String::from))
    }

    /// The address to which a connection's provider sends browsers after its sign-out.
    fn signed_out_url(&self, connection: ConnectionId) -> String {
        self.core.url(&format!("/sso/signed-out/{connection}"))
    }

    /// The end of a sign-out: the app's address, if it is still registered, else the broker's own page.
    async fn leave(&self, leaving: &Leaving) -> Result<NextPage, FlowError> {
        let Some(app) = leaving.app else { return Ok(NextPage::SignedOut(None)) };
        let Some(entry) = self.core.directory.app_by_id(app).await?.filter(|entry| entry.is_enabled()) else {
            return Ok(NextPage::SignedOut(None));
        };
        let registered = &entry.app.settings.post_logout_redirect_uris;
        Ok(match leaving.uri.as_deref().filter(|uri| logout::may_return(uri, registered)) {
            Some(uri) => NextPage::App(match &leaving.state {
                Some(state) => add_to_query(uri, &[("state", state)]),
                None => uri.to_owned(),
            }),
            None => NextPage::SignedOut(Some(entry.app.client_id.clone())),
        })
    }

    /// Seals the destination of a sign-out. `place` is the question, or the connection whose provider the browser
    /// visits.
    fn seal_leaving(&self, place: &str, leaving: &Leaving) -> Result<String, FlowError> {
        let parts = (leaving.app.map(AppId::into_bytes), &leaving.uri, &leaving.state);
        let text = postcard::to_allocvec(&parts)
            .map_err(|_| FlowError::Unavailable("the sign-out cannot be written".to_owned()))?;
        Ok(self.core.sealer.seal_text(Purpose::UpstreamState, &format!("logout:{place}"), &text)?)
    }

    fn open_leaving(&self, place: &str, sealed: &str) -> Option<Leaving> {
        let text =
            self.core.sealer.open_text(Purpose::UpstreamState, &format!("logout:{place}"), sealed).ok()?;
        let (app, uri, state): (Option<[u8; 16]>, Option<String>, Option<String>) =
            postcard::from_bytes(&text).ok()?;
        Some(Leaving { app: app.map(AppId::from_bytes), uri, state })
    }
}

/// The destination of a request. An address that is not registered is dropped.
fn leaving(app: Option<&AppEntry>, uri: Option<&str>, state: Option<&str>) -> Leaving {
    let Some(entry) = app else { return Leaving::default() };
    let registered = &entry.app.settings.post_logout_redirect_uris;
    let uri = uri.filter(|uri| logout::may_return(uri, registered)).map(str::to_owned);
    let state = state.filter(|_| uri.is_some()).map(str::to_owned);
    Leaving { app: Some(entry.app.id), uri, state }
}

/// The user's email address, else their username, else their name.
fn label(current: &CurrentSession) -> String {
    let account = &current.account;
    let email = account.email.as_ref().map(ToString::to_string);
    let username = account.username.as_ref().map(ToString::to_string);
    email.or(username).or_else(|| account.contact.name.clone()).unwrap_or_default()
}
