//! The requests of identity providers besides sign-ins: signing a user out (`OpenID` Connect Back-Channel Logout 1.0,
//! Front-Channel Logout 1.0), and a connection's public key.

use std::sync::Arc;

use crate::flows::directory::ConnectionEntry;
use crate::flows::evidence::Event;
use crate::flows::refusal::{EndpointError, FlowError, PublicCode, Reason, refused, refused_app};
use crate::flows::sso::Sso;
use crate::flows::visit::Visit;
use crate::model::{CLOCK_SKEW, ConnectionId, Session};
use crate::protocol::jose::Jwk;
use crate::protocol::oauth::{ErrorCode, OAuthError, Parameters};
use crate::store::provider::grants;
use crate::store::session::sessions;
use crate::store::{StoreError, Tx};
use crate::upstream::LogoutTarget;

/// The answer to a logout token that is refused. It is the same whatever is wrong with the token.
const NO_LOGOUT_TOKEN: OAuthError =
    OAuthError::new(ErrorCode::InvalidRequest, "this is not a logout token for this connection");

impl Sso {
    /// Takes a logout token, and ends the sessions that it names. Each token works once.
    pub async fn logout_by_token(
        &self,
        visit: &Visit,
        connection: ConnectionId,
        token: Option<&str>,
    ) -> Result<(), EndpointError> {
        let event = Event { connection: Some(connection), ..Event::new("logout.back_channel") };
        let Some(entry) = self.core.directory.connection(connection).await? else {
            return Err(refused_app(event, Reason::ConnectionUnknown, NO_LOGOUT_TOKEN));
        };
        let event = Event { organization: Some(entry.organization.id), ..event };
        let Some(token) = token else {
            return Err(refused_app(event, Reason::LogoutTokenMissing, NO_LOGOUT_TOKEN));
        };
        let target = match self.upstream.logout_token(&entry.connection, token).await {
            Ok(target) => target,
            Err(error) => return Err(refused_app(event, &error, NO_LOGOUT_TOKEN)),
        };
        let mut tx = self.core.database.write().await?;
        let mark = format!("logout:{connection}:{}", target.jti);
        let named = named_sessions(&mut tx, connection, &target).await?;
        if named.is_empty() {
            // The token ends nothing, now or later, so the broker keeps only a count of it.
            let is_replay = grants::is_dead(&mut tx, &mark).await?;
            if is_replay {
                return Err(refused_app(event, Reason::LogoutTokenReplayed, NO_LOGOUT_TOKEN));
            }
            // The record needs a write transaction of its own, so this one must end first.
            drop(tx);
            return Ok(self
                .core
                .record_refusal_alone(&visit.network(), &event, Reason::SessionUnknown)
                .await?);
        }
        if !grants::kill_token(&mut tx, &mark, target.replayable_until).await? {
            return Err(refused_app(event, Reason::LogoutTokenReplayed, NO_LOGOUT_TOKEN));
        }
        let ended = self.end_all(&mut tx, &named).await?;
        self.core.record_success(&mut tx, &Event { detail: Some(format!("ended={ended}")), ..event }).await?;
        Ok(tx.commit().await?)
    }

    /// Takes a front-channel logout, and ends the sessions that belong to a provider's session. Gives the origin of the
    /// issuer; only that origin may frame the answer.
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
            let mut tx = self.core.database.read().await?;
            sessions::list_sessions_of_sid(&mut tx, connection, issuer, sid).await?
        };
        if open.is_empty() {
            self.core.record_refusal_alone(&visit.network(), &event, Reason::SessionUnknown).await?;
        } else {
            let mut tx = self.core.database.write().await?;
            let ended = self.end_all(&mut tx, &open).await?;
            self.core
                .record_success(&mut tx, &Event { detail: Some(format!("ended={ended}")), ..event })
                .await?;
            tx.commit().await?;
        }
        let origin = url::Url::parse(&entry.connection.issuer).map(|url| url.origin().ascii_serialization());
        Ok(origin.unwrap_or_else(|_| "'none'".to_owned()))
    }

    /// The public keys with which the broker authenticates at a connection's provider, one at most; `None` if the
    /// connection does not exist.
    pub async fn connection_keys(&self, connection: ConnectionId) -> Result<Option<Vec<Jwk>>, FlowError> {
        let Some(entry) = self.core.directory.connection(connection).await? else { return Ok(None) };
        let Some(sealed) = &entry.credential.key else { return Ok(Some(Vec::new())) };
        let key = self
            .core
            .open_connection_key(connection, sealed)
            .map_err(|error| FlowError::Unavailable(error.to_string()))?;
        Ok(Some(vec![key.public_jwk().clone()]))
    }

    /// Refuses a request to a connection that does not exist.
    pub async fn require_callback(&self, connection: ConnectionId) -> Result<(), FlowError> {
        self.require_connection(connection, "sign_in").await.map(drop)
    }

    pub(in crate::flows) async fn require_connection(
        &self,
        connection: ConnectionId,
        action: &'static str,
    ) -> Result<Arc<ConnectionEntry>, FlowError> {
        match self.core.directory.connection(connection).await? {
            Some(entry) => Ok(entry),
            None => Err(refused(Event::new(action), PublicCode::NotFound, Reason::ConnectionUnknown)),
        }
    }

    async fn end_all(&self, tx: &mut Tx, open: &[Session]) -> Result<usize, StoreError> {
        let mut ended = 0;
        for session in open {
            ended += usize::from(self.sessions.end_session(tx, session).await?);
        }
        Ok(ended)
    }
}

/// The sessions that a logout token names: by `sid`, by `sub`, or by both. It does not mean a session that began after
/// the token was issued, so an old token never ends a later sign-in.
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
