//! The standing of a grant, read in one statement: the grant itself, its account, organization, connection, app and
//! session. Tokens are issued, refreshed and accepted on this basis.

use super::grants::{CONSUME_CODE, CONSUME_REFRESH, Code, Grant, GrantRow, RefreshToken, grant_columns};
use crate::model::{ConnectionId, GrantId, Handle, LocalSignIn, Membership, Timestamp};
use crate::store::account::accounts::Standing;
use crate::store::engine::row::{Row, span, text, time};
use crate::store::engine::tx::{execute, fetch_optional, row, statements};
use crate::store::{StoreError, Tx};

/// Grants with what they depend on. `$connection` is the id of the connection through which the user signed in, or
/// empty.
macro_rules! select {
    ($columns:literal, $connection:literal, $from:literal, $which:literal) => {
        select!([grant_columns!("g")], $columns, $connection, $from, $which)
    };
    ([$($of_grant:tt)*], $columns:literal, $connection:literal, $from:literal, $which:literal) => {
        concat!(
            "SELECT ",
            $($of_grant)*,
            ", COALESCE(a.enabled, FALSE) AS account_enabled, a.organization_id AS belongs_to, \
             COALESCE(o.enabled, TRUE) AS organization_enabled, o.handle AS handle, o.upstream_recheck AS upstream_recheck, \
             o.local_sign_in AS local_sign_in, COALESCE(a.break_glass, FALSE) AS break_glass, \
             COALESCE(c.enabled AND co.enabled, ",
            $connection,
            " = '', FALSE) AS connection_enabled, COALESCE(p.enabled AND po.enabled, FALSE) AS app_enabled, \
             s.idle_until AS session_idle_until, s.expires_at AS session_expires_at, ",
            $columns,
            " FROM ",
            $from,
            " LEFT JOIN accounts a ON a.id = g.account_id \
             LEFT JOIN organizations o ON o.id = a.organization_id \
             LEFT JOIN connections c ON c.id = ",
            $connection,
            " LEFT JOIN organizations co ON co.id = c.organization_id \
             LEFT JOIN apps p ON p.id = g.app_id LEFT JOIN organizations po ON po.id = p.organization_id \
             LEFT JOIN sessions s ON s.id = g.session_id AND s.ended_at IS NULL WHERE ",
            $which
        )
    };
}

statements! {
    READ = select!(
        "EXISTS (SELECT 1 FROM dead_tokens d WHERE d.id = $3) AS token_dead", "$2", "grants g", "g.id = $1"
    );
    READ_AGAIN =
        select!(["g.subject AS subject, g.revoked_at AS revoked_at"], "FALSE AS token_dead", "$2", "grants g", "g.id = $1");
    READ_OF_CODE = select!(
        "FALSE AS token_dead, k.hash AS code_hash, k.redirect_uri AS redirect_uri, k.code_challenge AS code_challenge, \
         k.nonce AS nonce, k.expires_at AS code_expires_at, k.used_at AS code_used_at",
        "g.connection_id", "codes k JOIN grants g ON g.id = k.grant_id", "k.hash = $1"
    );
    READ_OF_REFRESH = select!(
        "FALSE AS token_dead, r.hash AS token_hash, r.expires_at AS token_expires_at, r.used_at AS token_used_at",
        "g.connection_id", "refresh_tokens r JOIN grants g ON g.id = r.grant_id", "r.hash = $1"
    );
}

/// A grant, and whether everything it depends on is enabled.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GrantStanding {
    /// The grant as it is now.
    pub grant: Grant,
    /// Which of its parts are enabled.
    pub standing: Standing,
    /// The handle of the organization that the account belongs to now.
    pub handle: Option<Handle>,
    /// How long that organization accepts one sign-in at an identity provider; `None` for ever.
    pub upstream_recheck: Option<std::time::Duration>,
    /// Which users of that organization may sign in by password.
    pub local_sign_in: Option<LocalSignIn>,
    /// Whether the account is a break-glass account.
    pub break_glass: bool,
    /// When the session ends if it is not used again; `None` if it was ended.
    pub session_until: Option<Timestamp>,
    /// Whether the token in question was itself revoked.
    pub token_dead: bool,
}

impl GrantStanding {
    /// Whether the grant is valid and everything it depends on is enabled.
    pub const fn is_good(&self) -> bool {
        self.grant.revoked_at.is_none() && self.standing.is_good()
    }

    /// The present organization of the account.
    pub fn membership(&self) -> Option<Membership<'_>> {
        let belongs = self.standing.organization_id.zip(self.handle.as_ref());
        belongs.map(|(organization, handle)| Membership { organization, handle })
    }

    /// Whether the session in which the grant was made has ended at `now`.
    pub fn session_is_over(&self, now: Timestamp) -> bool {
        self.session_until.is_none_or(|until| now >= until)
    }

    /// Whether this equals `before`, apart from the end times that move while a grant and its session are used.
    pub fn is_unchanged_since(mut self, before: &Self) -> bool {
        self.grant.expires_at = before.grant.expires_at;
        self.session_until = before.session_until;
        self == *before
    }
}

row! {
    struct StandingRow {
        #[sqlx(flatten)]
        grant: GrantRow,
        #[sqlx(flatten)]
        stands_on: StandsOnRow,
    }
}

row! {
    /// The parts of a grant and what it depends on that can have changed since it was read.
    struct AgainRow {
        subject: String,
        revoked_at: Option<i64>,
        #[sqlx(flatten)]
        stands_on: StandsOnRow,
    }
}

row! {
    struct StandsOnRow {
        account_enabled: bool,
        belongs_to: Option<String>,
        organization_enabled: bool,
        handle: Option<String>,
        upstream_recheck: Option<i64>,
        local_sign_in: Option<String>,
        break_glass: bool,
        connection_enabled: bool,
        app_enabled: bool,
        session_idle_until: Option<i64>,
        session_expires_at: Option<i64>,
        token_dead: bool,
    }
}

row! {
    struct CodeStandingRow {
        #[sqlx(flatten)]
        standing: StandingRow,
        code_hash: String,
        redirect_uri: String,
        code_challenge: Option<String>,
        nonce: Option<String>,
        code_expires_at: i64,
        code_used_at: Option<i64>,
    }
}

row! {
    struct RefreshStandingRow {
        #[sqlx(flatten)]
        standing: StandingRow,
        token_hash: String,
        token_expires_at: i64,
        token_used_at: Option<i64>,
    }
}

impl TryFrom<StandingRow> for GrantStanding {
    type Error = StoreError;

    fn try_from(row: StandingRow) -> Result<Self, StoreError> {
        row.stands_on.under(row.grant.try_into()?)
    }
}

impl StandsOnRow {
    /// Combines `grant` with what it depends on.
    fn under(self, grant: Grant) -> Result<GrantStanding, StoreError> {
        let (row, account) = (self, grant.account.to_string());
        let at = Row { table: "accounts", id: &account };
        let organization_id = at.parse_optional("organization_id", row.belongs_to.as_deref())?;
        let handle = at.parse_optional("organization_id", row.handle.as_deref())?;
        Ok(GrantStanding {
            standing: Standing {
                organization_id,
                account: row.account_enabled,
                organization: row.organization_enabled,
                connection: row.connection_enabled,
                app: row.app_enabled,
                // Unlinking a profile revokes the grants that it has.
                profile: true,
            },
            handle,
            upstream_recheck: span(row.upstream_recheck),
            local_sign_in: at.parse_optional("local_sign_in", row.local_sign_in.as_deref())?,
            break_glass: row.break_glass,
            session_until: row
                .session_idle_until
                .zip(row.session_expires_at)
                .map(|(idle, end)| time(idle.min(end))),
            token_dead: row.token_dead,
            grant,
        })
    }
}

/// The grant with this id and what it depends on. `connection` is the one through which the user signed in, `jti` a
/// single token of the grant.
pub async fn read_grant_standing(
    tx: &mut Tx,
    id: GrantId,
    connection: Option<ConnectionId>,
    jti: Option<&str>,
) -> Result<Option<GrantStanding>, StoreError> {
    let connection = text(connection.as_ref()).unwrap_or_default();
    let jti = jti.unwrap_or_default();
    let row = fetch_optional!(tx, StandingRow, READ, id.to_string(), connection, jti)?;
    row.map(TryInto::try_into).transpose()
}

/// The code with this hash, used or not, with its grant and what that depends on.
pub async fn read_code_standing(
    tx: &mut Tx,
    hash: &str,
) -> Result<Option<(Code, GrantStanding)>, StoreError> {
    let Some(row) = fetch_optional!(tx, CodeStandingRow, READ_OF_CODE, hash)? else { return Ok(None) };
    let Some(read) = standing_of(tx, row.standing).await? else { return Ok(None) };
    let code = Code {
        hash: row.code_hash,
        grant: read.grant.id,
        redirect_uri: row.redirect_uri,
        code_challenge: row.code_challenge,
        nonce: row.nonce,
        expires_at: time(row.code_expires_at),
        used_at: row.code_used_at.map(time),
    };
    Ok(Some((code, read)))
}

/// The refresh token with this hash, used or not, with its grant and what that depends on.
pub async fn read_refresh_token_standing(
    tx: &mut Tx,
    hash: &str,
) -> Result<Option<(RefreshToken, GrantStanding)>, StoreError> {
    let Some(row) = fetch_optional!(tx, RefreshStandingRow, READ_OF_REFRESH, hash)? else { return Ok(None) };
    let Some(read) = standing_of(tx, row.standing).await? else { return Ok(None) };
    let token = RefreshToken {
        hash: row.token_hash,
        grant: read.grant.id,
        expires_at: time(row.token_expires_at),
        used_at: row.token_used_at.map(time),
    };
    Ok(Some((token, read)))
}

/// The standing of a row that was found by a code or token. A grant of an earlier release names its connection only in
/// its proof, so it is read again by that connection.
async fn standing_of(tx: &mut Tx, row: StandingRow) -> Result<Option<GrantStanding>, StoreError> {
    let names_connection = row.grant.connection_id.is_some();
    let read = GrantStanding::try_from(row)?;
    if names_connection {
        return Ok(Some(read));
    }
    read_grant_standing(tx, read.grant.id, read.grant.proof.connection, None).await
}

/// The result of redeeming a code or using a refresh token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Consumed {
    /// Whether it was consumed now; false if it was used before or has expired.
    pub is_first: bool,
    /// The grant and what it depends on, read after that; `None` if the grant is gone.
    pub standing: Option<GrantStanding>,
}

/// Redeems a code of a grant, and then reads what the grant depends on.
pub async fn consume_code(
    tx: &mut Tx,
    hash: &str,
    grant: &Grant,
    now: Timestamp,
) -> Result<Consumed, StoreError> {
    consume(tx, CONSUME_CODE, hash, grant, now).await
}

/// Uses a refresh token of a grant, and then reads what the grant depends on.
pub async fn consume_refresh_token(
    tx: &mut Tx,
    hash: &str,
    grant: &Grant,
    now: Timestamp,
) -> Result<Consumed, StoreError> {
    consume(tx, CONSUME_REFRESH, hash, grant, now).await
}

/// Uses a code up that is given nothing for; nothing happens to one that was used before or is over.
pub async fn use_code(tx: &mut Tx, hash: &str, now: Timestamp) -> Result<(), StoreError> {
    execute!(tx, CONSUME_CODE, hash, now.unix_micros()).map(drop)
}

/// The same of a refresh token.
pub async fn use_refresh_token(tx: &mut Tx, hash: &str, now: Timestamp) -> Result<(), StoreError> {
    execute!(tx, CONSUME_REFRESH, hash, now.unix_micros()).map(drop)
}

async fn consume(
    tx: &mut Tx,
    consume: &'static str,
    hash: &str,
    grant: &Grant,
    now: Timestamp,
) -> Result<Consumed, StoreError> {
    let connection = text(grant.proof.connection.as_ref()).unwrap_or_default();
    let consumed = execute!(tx, consume, hash, now.unix_micros())?;
    let row = fetch_optional!(tx, AgainRow, READ_AGAIN, grant.id.to_string(), connection)?;
    let again = row.map(|AgainRow { subject, revoked_at, stands_on }| {
        // The scopes, the account and the proof of a grant never change.
        stands_on.under(Grant { subject, revoked_at: revoked_at.map(time), ..grant.clone() })
    });
    Ok(Consumed { is_first: consumed == 1, standing: again.transpose()? })
}
