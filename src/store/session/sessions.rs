//! Sessions. The cookie's token is kept only as its hash.

use crate::model::{AccountId, ConnectionId, OrganizationId, Proof, Session, SessionId, Timestamp};
use crate::store::engine::row::{Row, text, time, words};
use crate::store::engine::tx::{execute, fetch_many, fetch_optional, row, statements};
use crate::store::{StoreError, Tx};

row! {
    columns session_columns;
    struct SessionRow {
        id: String,
        account_id: String,
        organization_id: Option<String>,
        profile_id: String,
        connection_id: Option<String>,
        authenticated_at: i64,
        witnessed: bool,
        amr: String,
        acr: Option<String>,
        upstream_sid: Option<String>,
        user_agent: String,
        confirmed_at: Option<i64>,
        created_at: i64,
        last_seen_at: i64,
        idle_until: i64,
        expires_at: i64,
    }
}

statements! {
    FIND_BY_TOKEN = concat!("SELECT ", session_columns!(), " FROM sessions WHERE token_hash = $1 AND ended_at IS NULL");
    FIND = concat!("SELECT ", session_columns!(), " FROM sessions WHERE id = $1 AND ended_at IS NULL");
    LIST = concat!("SELECT ", session_columns!(), " FROM sessions \
            WHERE account_id = $1 AND ended_at IS NULL AND idle_until > $2 AND expires_at > $2 \
            ORDER BY last_seen_at DESC, id LIMIT 100");
    LIST_UPSTREAM = concat!("SELECT ", session_columns!("s"), " FROM sessions s JOIN profiles p ON p.id = s.profile_id \
                     WHERE p.connection_id = $1 AND p.issuer = $2 AND p.subject = $3 AND s.ended_at IS NULL LIMIT 1000");
    LIST_UPSTREAM_SID = concat!("SELECT ", session_columns!("s"), " FROM sessions s JOIN profiles p ON p.id = s.profile_id \
                         WHERE s.connection_id = $1 AND p.issuer = $2 AND s.upstream_sid = $3 AND s.ended_at IS NULL LIMIT 1000");
    INSERT = "INSERT INTO sessions (id, token_hash, account_id, organization_id, profile_id, connection_id, \
              authenticated_at, amr, acr, upstream_sid, upstream_id_token_sealed, user_agent, created_at, last_seen_at, \
              idle_until, expires_at, witnessed) \
              VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $13, $14, $15, $16)";
    RENEW = "UPDATE sessions SET token_hash = $3, profile_id = $4, connection_id = $5, authenticated_at = $6, amr = $7, \
             acr = $8, upstream_sid = $9, upstream_id_token_sealed = $10, user_agent = $11, last_seen_at = $12, \
             idle_until = $13, expires_at = $14, organization_id = $15, witnessed = $16, confirmed_at = NULL WHERE id = $1 AND account_id = $2 AND ended_at IS NULL";
    CONFIRM = "UPDATE sessions SET token_hash = $2, confirmed_at = $3 \
               WHERE id = $1 AND account_id = $5 AND token_hash = $4 AND ended_at IS NULL";
    TOUCH = "UPDATE sessions SET last_seen_at = $2, idle_until = $3 WHERE id = $1 AND ended_at IS NULL";
    LOCK = "UPDATE sessions SET last_seen_at = last_seen_at \
            WHERE id = $1 AND ended_at IS NULL AND idle_until > $2 AND expires_at > $2";
    FIND_UPSTREAM_ID_TOKEN = "SELECT upstream_id_token_sealed FROM sessions WHERE id = $1";
}

/// A session to be stored.
#[derive(Debug, Clone)]
pub struct NewSession {
    /// The session.
    pub session: Session,
    /// The hash of the cookie's token.
    pub token_hash: String,
    /// The identity provider's ID token, sealed, as a hint for the sign-out there.
    pub upstream_id_token_sealed: Option<String>,
}

row! {
    struct UpstreamIdTokenRow {
        upstream_id_token_sealed: Option<String>,
    }
}

impl TryFrom<SessionRow> for Session {
    type Error = StoreError;

    fn try_from(row: SessionRow) -> Result<Self, StoreError> {
        let at = Row { table: "sessions", id: &row.id };
        Ok(Self {
            id: at.parse("id", &row.id)?,
            account: at.parse("account_id", &row.account_id)?,
            organization: at.parse_optional("organization_id", row.organization_id.as_deref())?,
            proof: Proof {
                profile: at.parse("profile_id", &row.profile_id)?,
                connection: at.parse_optional("connection_id", row.connection_id.as_deref())?,
                authenticated_at: time(row.authenticated_at),
                witnessed: row.witnessed,
                amr: words(&row.amr),
                acr: row.acr,
                upstream_sid: row.upstream_sid,
            },
            confirmed_at: row.confirmed_at.map(time),
            created_at: time(row.created_at),
            last_seen_at: time(row.last_seen_at),
            idle_until: time(row.idle_until),
            expires_at: time(row.expires_at),
            user_agent: row.user_agent,
        })
    }
}

/// The session whose cookie has a token with this hash, unless it was ended. The caller checks whether it has expired.
pub async fn find_session_by_token(tx: &mut Tx, token_hash: &str) -> Result<Option<Session>, StoreError> {
    fetch_optional!(tx, SessionRow, FIND_BY_TOKEN, token_hash)?.map(TryInto::try_into).transpose()
}

/// The session with this id, unless it was ended.
pub async fn find_session(tx: &mut Tx, id: SessionId) -> Result<Option<Session>, StoreError> {
    fetch_optional!(tx, SessionRow, FIND, id.to_string())?.map(TryInto::try_into).transpose()
}

/// An account's sessions that have not ended, last used first, at most 100.
pub async fn list_sessions(
    tx: &mut Tx,
    account: AccountId,
    now: Timestamp,
) -> Result<Vec<Session>, StoreError> {
    let rows = fetch_many!(tx, SessionRow, LIST, account.to_string(), now.unix_micros())?;
    rows.into_iter().map(TryInto::try_into).collect()
}

/// The sessions that a subject of an identity provider opened through a connection.
pub async fn list_sessions_of_subject(
    tx: &mut Tx,
    connection: ConnectionId,
    issuer: &str,
    subject: &str,
) -> Result<Vec<Session>, StoreError> {
    let rows = fetch_many!(tx, SessionRow, LIST_UPSTREAM, connection.to_string(), issuer, subject)?;
    rows.into_iter().map(TryInto::try_into).collect()
}

/// The sessions that belong to an identity provider's session (`sid`). A `sid` has a meaning only together with its
/// issuer.
pub async fn list_sessions_of_sid(
    tx: &mut Tx,
    connection: ConnectionId,
    issuer: &str,
    sid: &str,
) -> Result<Vec<Session>, StoreError> {
    let rows = fetch_many!(tx, SessionRow, LIST_UPSTREAM_SID, connection.to_string(), issuer, sid)?;
    rows.into_iter().map(TryInto::try_into).collect()
}

/// Adds a session.
pub async fn insert_session(tx: &mut Tx, new: &NewSession) -> Result<(), StoreError> {
    let NewSession { session, token_hash, upstream_id_token_sealed } = new;
    let proof = &session.proof;
    execute!(
        tx,
        INSERT,
        session.id.to_string(),
        token_hash,
        session.account.to_string(),
        text::<OrganizationId>(session.organization.as_ref()),
        proof.profile.to_string(),
        text(proof.connection.as_ref()),
        proof.authenticated_at.unix_micros(),
        proof.amr.join(" "),
        &proof.acr,
        &proof.upstream_sid,
        upstream_id_token_sealed,
        &session.user_agent,
        session.created_at.unix_micros(),
        session.idle_until.unix_micros(),
        session.expires_at.unix_micros(),
        proof.witnessed,
    )?;
    Ok(())
}

/// Gives a session that continues a new token and proof. `false` if it has ended.
pub async fn renew_session(tx: &mut Tx, new: &NewSession) -> Result<bool, StoreError> {
    let NewSession { session, token_hash, upstream_id_token_sealed } = new;
    let proof = &session.proof;
    let changed = execute!(
        tx,
        RENEW,
        session.id.to_string(),
        session.account.to_string(),
        token_hash,
        proof.profile.to_string(),
        text(proof.connection.as_ref()),
        proof.authenticated_at.unix_micros(),
        proof.amr.join(" "),
        &proof.acr,
        &proof.upstream_sid,
        upstream_id_token_sealed,
        &session.user_agent,
        session.last_seen_at.unix_micros(),
        session.idle_until.unix_micros(),
        session.expires_at.unix_micros(),
        text::<OrganizationId>(session.organization.as_ref()),
        proof.witnessed,
    )?;
    Ok(changed == 1)
}

/// Gives an account's session whose user has proved again who they are a new token. `false` if it has ended, or has
/// another token already.
pub async fn confirm_session(
    tx: &mut Tx,
    (account, id): (AccountId, SessionId),
    (old_hash, token_hash): (&str, &str),
    now: Timestamp,
) -> Result<bool, StoreError> {
    Ok(execute!(tx, CONFIRM, id.to_string(), token_hash, now.unix_micros(), old_hash, account.to_string())?
        == 1)
}

/// Notes that a session was used.
pub async fn touch_session(
    tx: &mut Tx,
    id: SessionId,
    now: Timestamp,
    idle_until: Timestamp,
) -> Result<(), StoreError> {
    execute!(tx, TOUCH, id.to_string(), now.unix_micros(), idle_until.unix_micros())?;
    Ok(())
}

/// Locks a session for the rest of the transaction, so that no other transaction can end it. `false` if it has ended.
pub async fn lock_session(tx: &mut Tx, id: SessionId, now: Timestamp) -> Result<bool, StoreError> {
    Ok(execute!(tx, LOCK, id.to_string(), now.unix_micros())? == 1)
}

/// The sealed ID token of the identity provider for a session, also after the session's end.
pub async fn find_upstream_id_token(tx: &mut Tx, id: SessionId) -> Result<Option<String>, StoreError> {
    let row = fetch_optional!(tx, UpstreamIdTokenRow, FIND_UPSTREAM_ID_TOKEN, id.to_string())?;
    Ok(row.and_then(|row| row.upstream_id_token_sealed))
}
