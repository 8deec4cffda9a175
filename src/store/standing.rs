//! What a grant stands on, read in one statement: the grant itself, its account, organization, connection, app and
//! session. Tokens are issued, refreshed and believed on this.

use sqlx::FromRow;

use super::accounts::Standing;
use super::grants::{Grant, GrantRow};
use super::row::{Row, span, text, time};
use super::tx::{fetch_optional, statements};
use super::{StoreError, Tx};
use crate::model::{ConnectionId, GrantId, Handle, LocalSignIn, OrganizationId, Timestamp};

statements! {
    READ = "SELECT g.*, COALESCE(a.enabled, FALSE) AS account_enabled, a.organization_id AS belongs_to, \
            COALESCE(o.enabled, TRUE) AS organization_enabled, o.handle AS handle, o.upstream_recheck AS upstream_recheck, \
            o.local_sign_in AS local_sign_in, COALESCE(a.break_glass, FALSE) AS break_glass, \
            COALESCE(c.enabled AND co.enabled, $2 = '') AS connection_enabled, \
            COALESCE(p.enabled AND po.enabled, FALSE) AS app_enabled, \
            s.idle_until AS session_idle_until, s.expires_at AS session_expires_at, \
            EXISTS (SELECT 1 FROM dead_tokens d WHERE d.id = $3) AS token_dead \
            FROM grants g \
            LEFT JOIN accounts a ON a.id = g.account_id \
            LEFT JOIN organizations o ON o.id = a.organization_id \
            LEFT JOIN connections c ON c.id = $2 LEFT JOIN organizations co ON co.id = c.organization_id \
            LEFT JOIN apps p ON p.id = g.app_id LEFT JOIN organizations po ON po.id = p.organization_id \
            LEFT JOIN sessions s ON s.id = g.session_id AND s.ended_at IS NULL \
            WHERE g.id = $1";
}

/// A grant, and whether what it stands on is good.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GrantStanding {
    /// The grant as it is now.
    pub grant: Grant,
    /// What is enabled.
    pub standing: Standing,
    /// The handle of the organization that the account belongs to now.
    pub handle: Option<Handle>,
    /// How long that organization takes a sign-in at a provider for good.
    pub upstream_recheck: Option<std::time::Duration>,
    /// Whom that organization lets sign in by password.
    pub local_sign_in: Option<LocalSignIn>,
    /// Whether the account is one for emergencies.
    pub break_glass: bool,
    /// When the session ends, with and without further use; `None` when it was ended.
    pub session_until: Option<Timestamp>,
    /// Whether the token that was asked about was revoked by itself.
    pub token_dead: bool,
}

impl GrantStanding {
    /// Whether the grant lives and nothing under it is disabled.
    pub const fn is_good(&self) -> bool {
        self.grant.revoked_at.is_none() && self.standing.is_good()
    }

    /// The organization that the account belongs to now.
    pub fn belongs(&self) -> Option<(OrganizationId, &Handle)> {
        self.standing.organization_id.zip(self.handle.as_ref())
    }

    /// Whether the session in which the grant was given is over at `now`.
    pub fn session_is_over(&self, now: Timestamp) -> bool {
        self.session_until.is_none_or(|until| now >= until)
    }
}

#[derive(FromRow)]
#[expect(clippy::struct_excessive_bools, reason = "each is one column")]
struct StandingRow {
    #[sqlx(flatten)]
    grant: GrantRow,
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

/// The grant with this id and what it stands on. `connection` is the one through which the person came, `jti` a
/// single token of the grant.
pub async fn read_grant_standing(
    tx: &mut Tx,
    id: GrantId,
    connection: Option<ConnectionId>,
    jti: Option<&str>,
) -> Result<Option<GrantStanding>, StoreError> {
    let id = id.to_string();
    let connection = text(connection.as_ref()).unwrap_or_default();
    let jti = jti.unwrap_or_default();
    let Some(row) = fetch_optional!(tx, StandingRow, READ, &id, connection, jti)? else { return Ok(None) };
    let at = Row { table: "accounts", id: &row.grant.account_id };
    let organization_id = at.parse_optional("organization_id", row.belongs_to.as_deref())?;
    let handle = at.parse_optional("organization_id", row.handle.as_deref())?;
    Ok(Some(GrantStanding {
        standing: Standing {
            organization_id,
            account: row.account_enabled,
            organization: row.organization_enabled,
            connection: row.connection_enabled,
            app: row.app_enabled,
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
        grant: row.grant.try_into()?,
    }))
}
