//! What identity providers start: signing a person out (`OpenID` Connect Back-Channel Logout 1.0, Front-Channel
//! Logout 1.0), signing one in (`OpenID` Connect Core, section 4), and asking for a connection's public key.

use std::sync::Arc;

use super::Broker;
use super::directory::ConnectionEntry;
use super::error::{EndpointError, FlowError};
use super::evidence::Event;
use super::refusal::{AuditReason, PublicCode, Reason, refused};
use super::visit::{Answer, Visit};
use crate::model::{CLOCK_SKEW, ConnectionId, Purpose, Session};
use crate::protocol::jose::Jwk;
use crate::protocol::oauth::{ErrorCode, OAuthError, Parameters};
use crate::store::{StoreError, Tx, apps, grants, sessions};
use crate::upstream::LogoutTarget;

impl Broker {
    /// Takes a logout token: ends the sessions that it names, each token once.
    pub async fn logout_by_token(
        &self,
        visit: &Visit,
        connection: ConnectionId,
        token: Option<&str>,
    ) -> Result<(), EndpointError> {
        let event = Event { connection: Some(connection), ..Event::new("logout.back_channel") };
        let Some(entry) = self.directory.connection(connection).await? else {
            return Err(self.refuse_logout(visit, &event, Reason::ConnectionUnknown).await);
        };
        let event = Event { organization: Some(entry.organization.id), ..event };
        let Some(token) = token else {
            return Err(self.refuse_logout(visit, &event, Reason::LogoutTokenMissing).await);
        };
        let target = match self.upstream.logout_token(&entry.connection, token).await {
            Ok(target) => target,
            Err(error) => return Err(self.refuse_logout(visit, &event, &error).await),
        };
        let mut tx = self.database.write().await?;
        let mark = format!("logout:{connection}:{}", target.jti);
        let named = named_sessions(&mut tx, connection, &target).await?;
        if named.is_empty() {
            // It ends nothing, now or later, so nothing of it is remembered but a count.
            let is_replay = grants::is_dead(&mut tx, &mark).await?;
            drop(tx);
            if is_replay {
                return Err(self.refuse_logout(visit, &event, Reason::LogoutTokenReplayed).await);
            }
            return Ok(self.record_refusal_alone(&visit.network(), &event, Reason::SessionUnknown).await?);
        }
        if !grants::kill_token(&mut tx, &mark, target.replayable_until).await? {
            drop(tx);
            return Err(self.refuse_logout(visit, &event, Reason::LogoutTokenReplayed).await);
        }
        let ended = self.end_all(&mut tx, &named).await?;
        self.record_success(&mut tx, &Event { detail: Some(format!("ended={ended}")), ..event }).await?;
        Ok(tx.commit().await?)
    }

    async fn refuse_logout(
        &self,
        visit: &Visit,
        event: &Event,
        reason: impl Into<AuditReason>,
    ) -> EndpointError {
        match self.record_refusal_alone(&visit.network(), event, reason).await {
            Ok(()) => EndpointError::Refused(OAuthError::new(
                ErrorCode::InvalidRequest,
                "this is no logout token for this connection",
            )),
            Err(error) => error.into(),
        }
    }

    /// Takes a front-channel logout: ends the sessions of a provider's session. Gives the origin of the issuer, which
    /// alone may frame the answer.
    pub async fn logout_by_frame(
        &self,
        visit: &Visit,
        connection: ConnectionId,
        parameters: &Parameters,
    ) -> Result<String, FlowError> {
        let entry = self.require_connection(connection, "logout.front_channel").await?;
        let event = Event {
            organization: Some(entry.organization.id),
            connection: Some(connection),
            ..Event::new("logout.front_channel")
        };
        let named = parameters.get("iss").zip(parameters.get("sid"));
        let Some((issuer, sid)) = named.filter(|_| parameters.first_repeated().is_none()) else {
            return Err(refused(event, PublicCode::InvalidRequest, Reason::IssOrSidMissing));
        };
        if !entry.connection.allows_issuer(issuer) {
            return Err(refused(event, PublicCode::InvalidRequest, Reason::IssMismatch));
        }
        let open = {
            let mut tx = self.database.read().await?;
            sessions::list_sessions_of_sid(&mut tx, connection, issuer, sid).await?
        };
        if open.is_empty() {
            self.record_refusal_alone(&visit.network(), &event, Reason::SessionUnknown).await?;
        } else {
            let mut tx = self.database.write().await?;
            let ended = self.end_all(&mut tx, &open).await?;
            self.record_success(&mut tx, &Event { detail: Some(format!("ended={ended}")), ..event }).await?;
            tx.commit().await?;
        }
        let origin = url::Url::parse(&entry.connection.issuer).map(|url| url.origin().ascii_serialization());
        Ok(origin.unwrap_or_else(|_| "'none'".to_owned()))
    }

    /// Starts a sign-in that the provider or a portal of it asks for. It leads to the home of a registered app, else
    /// to the person's own page.
    pub async fn begin_by_provider(
        &self,
        visit: &Visit,
        connection: ConnectionId,
        parameters: &Parameters,
    ) -> Result<Answer, FlowError> {
        let entry = self.require_connection(connection, "sign_in").await?;
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

    /// What a `target_link_uri` leads to: our own page, or an app of the organization that has it as its home.
    async fn purpose_of(&self, entry: &ConnectionEntry, uri: &str) -> Result<Option<Purpose>, FlowError> {
        if uri == self.settings.issuer || uri == self.url("/") || uri == self.url("/account") {
            return Ok(Some(Purpose::Account));
        }
        let mut tx = self.database.read().await?;
        let all = apps::list_apps(&mut tx, entry.organization.id).await?;
        let found = all.into_iter().find(|app| app.enabled && app.settings.home_uri.as_deref() == Some(uri));
        Ok(found.map(|app| Purpose::Home(app.id)))
    }

    /// The public keys with which the broker proves itself at a connection's provider, one at most; `None` where there
    /// is no such connection.
    pub async fn connection_keys(&self, connection: ConnectionId) -> Result<Option<Vec<Jwk>>, FlowError> {
        let Some(entry) = self.directory.connection(connection).await? else { return Ok(None) };
        let Some(sealed) = &entry.credential.key else { return Ok(Some(Vec::new())) };
        let key = self
            .open_connection_key(connection, sealed)
            .map_err(|error| FlowError::Unavailable(error.to_string()))?;
        Ok(Some(vec![key.public_jwk().clone()]))
    }

    /// Refuses what is sent to a connection that does not exist.
    pub async fn require_callback(&self, connection: ConnectionId) -> Result<(), FlowError> {
        self.require_connection(connection, "sign_in").await.map(drop)
    }

    async fn require_connection(
        &self,
        connection: ConnectionId,
        action: &'static str,
    ) -> Result<Arc<ConnectionEntry>, FlowError> {
        match self.directory.connection(connection).await? {
            Some(entry) => Ok(entry),
            None => Err(refused(Event::new(action), PublicCode::NotFound, Reason::ConnectionUnknown)),
        }
    }

    async fn end_all(&self, tx: &mut Tx, open: &[Session]) -> Result<usize, StoreError> {
        let mut ended = 0;
        for session in open {
            ended += usize::from(self.end_session(tx, session).await?);
        }
        Ok(ended)
    }
}

/// The sessions that a logout token names: by `sid`, by `sub`, or by both. A session that began after the token was issued
/// is not meant: a token that named nobody when it came ends nobody who signs in later.
async fn named_sessions(
    tx: &mut Tx,
    connection: ConnectionId,
    target: &LogoutTarget,
) -> Result<Vec<Session>, StoreError> {
    let issuer = &target.issuer;
    let mut named = list_named(tx, connection, issuer, target).await?;
    let last_begin = target.issued_at.after(CLOCK_SKEW);
    named.retain(|session| session.created_at <= last_begin);
    Ok(named)
}

async fn list_named(
    tx: &mut Tx,
    connection: ConnectionId,
    issuer: &str,
    target: &LogoutTarget,
) -> Result<Vec<Session>, StoreError> {
    let of_subject = match &target.subject {
        Some(subject) => Some(sessions::list_sessions_of_subject(tx, connection, issuer, subject).await?),
        None => None,
    };
    let Some(sid) = &target.sid else { return Ok(of_subject.unwrap_or_default()) };
    let mut of_sid = sessions::list_sessions_of_sid(tx, connection, issuer, sid).await?;
    if let Some(of_subject) = of_subject {
        of_sid.retain(|session| of_subject.iter().any(|other| other.id == session.id));
    }
    Ok(of_sid)
}
