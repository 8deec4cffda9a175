//! Grants: what an app was given for an account, with its codes and tokens. Codes and refresh tokens are kept only as
//! hashes; each is used once, by one guarded statement.

use crate::model::{AccountId, AppId, GrantId, OrganizationId, Proof, SessionId, Timestamp};
use crate::store::engine::row::{Row, text, time, to_json, words};
use crate::store::engine::tx::{execute, execute_many, fetch_optional, row, statements};
use crate::store::{StoreError, Tx};

row! {
    columns grant_columns;
    pub(in crate::store) struct GrantRow {
        id: String,
        organization_id: String,
        app_id: String,
        pub(in crate::store) account_id: String,
        session_id: String,
        subject: String,
        scopes: String,
        resources: String,
        proof: String,
        created_at: i64,
        expires_at: i64,
        revoked_at: Option<i64>,
        /// Empty for a sign-in by password; `None` on rows of earlier releases.
        pub(in crate::store) connection_id: Option<String>,
    }
}

pub(super) use grant_columns;

statements! {
    INSERT = "INSERT INTO grants (id, organization_id, app_id, account_id, session_id, subject, scopes, resources, proof, \
              created_at, expires_at, profile_id, connection_id) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)";
    FIND = concat!("SELECT ", grant_columns!(), " FROM grants WHERE id = $1");
    EXTEND = "UPDATE grants SET expires_at = $2 WHERE id = $1 AND expires_at < $2";
    REVOKE = "UPDATE grants SET revoked_at = $2 WHERE id = $1 AND revoked_at IS NULL";
    REVOKE_OF_APP = "UPDATE grants SET revoked_at = $3 WHERE account_id = $1 AND app_id = $2 AND revoked_at IS NULL";
    INSERT_CODE = "INSERT INTO codes (hash, grant_id, redirect_uri, code_challenge, nonce, expires_at, names_grant) \
                   VALUES ($1, $2, $3, $4, $5, $6, TRUE)";
    FIND_CODE = "SELECT hash, grant_id, redirect_uri, code_challenge, nonce, expires_at, used_at FROM codes WHERE hash = $1";
    CONSUME_CODE = "UPDATE codes SET used_at = $2 WHERE hash = $1 AND used_at IS NULL AND expires_at > $2";
    EXPIRE_CODE = "UPDATE codes SET expires_at = 0 WHERE hash = $1 AND expires_at <= $2";
    INSERT_REFRESH = "INSERT INTO refresh_tokens (hash, grant_id, created_at, expires_at) VALUES ($1, $2, $3, $4)";
    FIND_REFRESH = "SELECT hash, grant_id, expires_at, used_at FROM refresh_tokens WHERE hash = $1";
    CONSUME_REFRESH = "UPDATE refresh_tokens SET used_at = $2 WHERE hash = $1 AND used_at IS NULL AND expires_at > $2";
    EXPIRE_REFRESH = "UPDATE refresh_tokens SET expires_at = 0 WHERE hash = $1 AND expires_at <= $2";
    INSERT_DEAD = "INSERT INTO dead_tokens (id, expires_at) VALUES ($1, $2) ON CONFLICT (id) DO NOTHING";
    FIND_DEAD = "SELECT id FROM dead_tokens WHERE id = $1";
    FIND_CONSENT = "SELECT scopes FROM consents WHERE account_id = $1 AND app_id = $2";
    SAVE_CONSENT = "INSERT INTO consents (organization_id, account_id, app_id, scopes, given_at) VALUES ($1, $2, $3, $4, $5) \
                    ON CONFLICT (account_id, app_id) DO UPDATE SET scopes = excluded.scopes, given_at = excluded.given_at";
    PIN_SUBJECT = "INSERT INTO subjects (app_id, account_id, subject, pinned_at) VALUES ($1, $2, $3, $4) \
                   ON CONFLICT (app_id, account_id) DO NOTHING";
    FIND_SUBJECT = "SELECT subject FROM subjects WHERE app_id = $1 AND account_id = $2";
    FIND_ACCOUNT_OF_SUBJECT = "WITH RECURSIVE chain (id, next) AS (SELECT a.id, a.merged_into FROM subjects s \
                               JOIN accounts a ON a.id = s.account_id WHERE s.app_id = $1 AND s.subject = $2 \
                               UNION ALL SELECT b.id, b.merged_into FROM accounts b JOIN chain c ON b.id = c.next) \
                               SELECT id AS account_id FROM chain WHERE next IS NULL";
}

/// A grant to an app for an account: the family of a code and its tokens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Grant {
    /// Stable id.
    pub id: GrantId,
    /// The organization of the app.
    pub organization: OrganizationId,
    /// The app.
    pub app: AppId,
    /// The account.
    pub account: AccountId,
    /// The session in which it was made.
    pub session: SessionId,
    /// The subject under which the app knows the account.
    pub subject: String,
    /// The scopes that were granted.
    pub scopes: Vec<String>,
    /// The resources that tokens are for (RFC 8707). Empty stands for the issuer.
    pub resources: Vec<String>,
    /// How the user had proved who they are.
    pub proof: Proof,
    /// When it was made.
    pub created_at: Timestamp,
    /// When its last token expires.
    pub expires_at: Timestamp,
    /// When it was revoked; `None` if it was not.
    pub revoked_at: Option<Timestamp>,
}

/// An authorization code, by its hash.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Code {
    /// SHA-256 of the code, base64url.
    pub hash: String,
    /// The grant that it belongs to.
    pub grant: GrantId,
    /// The redirect URI that the app must repeat.
    pub redirect_uri: String,
    /// The challenge that the verifier must match.
    pub code_challenge: Option<String>,
    /// Copied into the ID token.
    pub nonce: Option<String>,
    /// When it expires.
    pub expires_at: Timestamp,
    /// When it was redeemed; `None` if it was not.
    pub used_at: Option<Timestamp>,
}

/// A refresh token, by its hash.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RefreshToken {
    /// SHA-256 of the token, base64url.
    pub hash: String,
    /// The grant that it belongs to.
    pub grant: GrantId,
    /// When it expires if it is not used.
    pub expires_at: Timestamp,
    /// When it was used and replaced; `None` if it was not.
    pub used_at: Option<Timestamp>,
}

row! {
    struct CodeRow {
        hash: String,
        grant_id: String,
        redirect_uri: String,
        code_challenge: Option<String>,
        nonce: Option<String>,
        expires_at: i64,
        used_at: Option<i64>,
    }
}

row! {
    struct RefreshRow {
        hash: String,
        grant_id: String,
        expires_at: i64,
        used_at: Option<i64>,
    }
}

row! {
    struct ScopesRow {
        scopes: String,
    }
}

row! {
    struct SubjectRow {
        subject: String,
    }
}

row! {
    struct AccountIdRow {
        account_id: String,
    }
}

row! {
    struct DeadRow {
        id: String,
    }
}

impl TryFrom<GrantRow> for Grant {
    type Error = StoreError;

    fn try_from(row: GrantRow) -> Result<Self, StoreError> {
        let at = Row { table: "grants", id: &row.id };
        Ok(Self {
            id: at.parse("id", &row.id)?,
            organization: at.parse("organization_id", &row.organization_id)?,
            app: at.parse("app_id", &row.app_id)?,
            account: at.parse("account_id", &row.account_id)?,
            session: at.parse("session_id", &row.session_id)?,
            scopes: words(&row.scopes),
            resources: words(&row.resources),
            proof: at.json("proof", &row.proof)?,
            created_at: time(row.created_at),
            expires_at: time(row.expires_at),
            revoked_at: row.revoked_at.map(time),
            subject: row.subject,
        })
    }
}

impl TryFrom<CodeRow> for Code {
    type Error = StoreError;

    fn try_from(row: CodeRow) -> Result<Self, StoreError> {
        let at = Row { table: "codes", id: &row.hash };
        Ok(Self {
            grant: at.parse("grant_id", &row.grant_id)?,
            expires_at: time(row.expires_at),
            used_at: row.used_at.map(time),
            hash: row.hash,
            redirect_uri: row.redirect_uri,
            code_challenge: row.code_challenge,
            nonce: row.nonce,
        })
    }
}

impl TryFrom<RefreshRow> for RefreshToken {
    type Error = StoreError;

    fn try_from(row: RefreshRow) -> Result<Self, StoreError> {
        let at = Row { table: "refresh_tokens", id: &row.hash };
        Ok(Self {
            grant: at.parse("grant_id", &row.grant_id)?,
            expires_at: time(row.expires_at),
            used_at: row.used_at.map(time),
            hash: row.hash,
        })
    }
}

/// Adds a grant.
pub async fn insert_grant(tx: &mut Tx, new: &Grant) -> Result<(), StoreError> {
    execute!(
        tx,
        INSERT,
        new.id.to_string(),
        new.organization.to_string(),
        new.app.to_string(),
        new.account.to_string(),
        new.session.to_string(),
        &new.subject,
        new.scopes.join(" "),
        new.resources.join(" "),
        // The identity provider's session is looked up among the broker's sessions only.
        to_json(&Proof { upstream_sid: None, ..new.proof.clone() })?,
        new.created_at.unix_micros(),
        new.expires_at.unix_micros(),
        new.proof.profile.to_string(),
        text(new.proof.connection.as_ref()).unwrap_or_default(),
    )?;
    Ok(())
}

/// The grant with this id, revoked or not.
pub async fn find_grant(tx: &mut Tx, id: GrantId) -> Result<Option<Grant>, StoreError> {
    fetch_optional!(tx, GrantRow, FIND, id.to_string())?.map(TryInto::try_into).transpose()
}

/// Notes that a token of the grant will live until `expires_at`.
pub async fn extend_grant(tx: &mut Tx, id: GrantId, expires_at: Timestamp) -> Result<(), StoreError> {
    execute!(tx, EXTEND, id.to_string(), expires_at.unix_micros())?;
    Ok(())
}

/// Revokes a grant with all its tokens. `false` if it was revoked before.
pub async fn revoke_grant(tx: &mut Tx, id: GrantId, now: Timestamp) -> Result<bool, StoreError> {
    Ok(execute!(tx, REVOKE, id.to_string(), now.unix_micros())? == 1)
}

/// Revokes the grants of an account to an app.
pub async fn revoke_grants_of_app(
    tx: &mut Tx,
    account: AccountId,
    app: AppId,
    now: Timestamp,
) -> Result<(), StoreError> {
    execute_many!(tx, REVOKE_OF_APP, account.to_string(), app.to_string(), now.unix_micros()).map(drop)
}

/// Adds a code.
pub async fn insert_code(tx: &mut Tx, new: &Code) -> Result<(), StoreError> {
    execute!(
        tx,
        INSERT_CODE,
        &new.hash,
        new.grant.to_string(),
        &new.redirect_uri,
        &new.code_challenge,
        &new.nonce,
        new.expires_at.unix_micros(),
    )?;
    Ok(())
}

/// The code with this hash, used or not.
pub async fn find_code(tx: &mut Tx, hash: &str) -> Result<Option<Code>, StoreError> {
    fetch_optional!(tx, CodeRow, FIND_CODE, hash)?.map(TryInto::try_into).transpose()
}

/// Marks a code as ended that has expired, so that it stays expired even if the clock is set back.
pub async fn expire_code(tx: &mut Tx, hash: &str, now: Timestamp) -> Result<(), StoreError> {
    execute!(tx, EXPIRE_CODE, hash, now.unix_micros()).map(drop)
}

/// Adds a refresh token.
pub async fn insert_refresh_token(tx: &mut Tx, new: &RefreshToken, now: Timestamp) -> Result<(), StoreError> {
    let (created, expires) = (now.unix_micros(), new.expires_at.unix_micros());
    execute!(tx, INSERT_REFRESH, &new.hash, new.grant.to_string(), created, expires)?;
    Ok(())
}

/// The refresh token with this hash, used or not.
pub async fn find_refresh_token(tx: &mut Tx, hash: &str) -> Result<Option<RefreshToken>, StoreError> {
    fetch_optional!(tx, RefreshRow, FIND_REFRESH, hash)?.map(TryInto::try_into).transpose()
}

/// Marks a refresh token as ended that has expired, so that it stays expired even if the clock is set back.
pub async fn expire_refresh_token(tx: &mut Tx, hash: &str, now: Timestamp) -> Result<(), StoreError> {
    execute!(tx, EXPIRE_REFRESH, hash, now.unix_micros()).map(drop)
}

/// Marks a single token, named by its `jti`, as revoked or used until it would have expired. `false` if it was marked
/// before.
pub async fn kill_token(tx: &mut Tx, jti: &str, expires_at: Timestamp) -> Result<bool, StoreError> {
    Ok(execute!(tx, INSERT_DEAD, jti, expires_at.unix_micros())? == 1)
}

/// Whether [`kill_token`] has marked a token.
pub async fn is_dead(tx: &mut Tx, jti: &str) -> Result<bool, StoreError> {
    Ok(fetch_optional!(tx, DeadRow, FIND_DEAD, jti)?.is_some_and(|row| row.id == jti))
}

/// The scopes that a user has let an app have.
pub async fn find_consent(
    tx: &mut Tx,
    account: AccountId,
    app: AppId,
) -> Result<Option<Vec<String>>, StoreError> {
    let row = fetch_optional!(tx, ScopesRow, FIND_CONSENT, account.to_string(), app.to_string())?;
    Ok(row.map(|row| words(&row.scopes)))
}

/// Stores the scopes that a user lets an app have.
pub async fn save_consent(
    tx: &mut Tx,
    organization: OrganizationId,
    account: AccountId,
    app: AppId,
    scopes: &[String],
    now: Timestamp,
) -> Result<(), StoreError> {
    execute!(
        tx,
        SAVE_CONSENT,
        organization.to_string(),
        account.to_string(),
        app.to_string(),
        scopes.join(" "),
        now.unix_micros(),
    )?;
    Ok(())
}

/// The subject under which an app knows an account. It is fixed at the first issue; if this is the first, it becomes
/// `wanted`.
pub async fn pin_subject(
    tx: &mut Tx,
    app: AppId,
    account: AccountId,
    wanted: &str,
    now: Timestamp,
) -> Result<String, StoreError> {
    let (app, account) = (app.to_string(), account.to_string());
    // Most users have signed in before. Another first issue may come between the two statements.
    for _ in 0..2 {
        if let Some(row) = fetch_optional!(tx, SubjectRow, FIND_SUBJECT, &app, &account)? {
            return Ok(row.subject);
        }
        if execute!(tx, PIN_SUBJECT, &app, &account, wanted, now.unix_micros())? == 1 {
            return Ok(wanted.to_owned());
        }
    }
    Err(StoreError::inconsistent("subjects", "subject", &account))
}

/// The account that an app knows as `subject`. If that account was merged, the account into which it went.
pub async fn find_account_of_subject(
    tx: &mut Tx,
    app: AppId,
    subject: &str,
) -> Result<Option<AccountId>, StoreError> {
    let row = fetch_optional!(tx, AccountIdRow, FIND_ACCOUNT_OF_SUBJECT, app.to_string(), subject)?;
    let at = Row { table: "subjects", id: subject };
    row.map(|row| at.parse("account_id", &row.account_id)).transpose()
}
