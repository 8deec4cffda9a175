//! How sessions end, with the grants that end with them: one pair of statements for each selection of sessions.
//!
//! A statement changes at most a thousand rows. The caller repeats it until it changes fewer.

use crate::model::{AccountId, AppId, ConnectionId, OrganizationId, ProfileId, SessionId, Timestamp};
use crate::store::engine::row::Row;
use crate::store::engine::tx::{fetch_many, fetch_optional, row, statements};
use crate::store::{StoreError, Tx};

/// The most rows that one call ends. The statements contain the same number.
pub const END_PAGE: usize = 1_000;

/// Ends the sessions of a selection that have not ended yet.
macro_rules! end {
    ($which:literal) => {
        concat!(
            "UPDATE sessions SET ended_at = $1 WHERE ended_at IS NULL AND id IN \
             (SELECT id FROM sessions WHERE ",
            $which,
            " AND ended_at IS NULL LIMIT 1000) RETURNING id, account_id, organization_id, connection_id"
        )
    };
}

/// Revokes the grants of a selection. `$all` says whether it revokes all of them, or only those without
/// `offline_access`.
macro_rules! revoke {
    ($which:literal, $all:literal) => {
        concat!(
            "UPDATE grants SET revoked_at = $1 WHERE revoked_at IS NULL AND id IN \
             (SELECT id FROM grants WHERE ",
            $which,
            " AND revoked_at IS NULL AND (",
            $all,
            " OR (' ' || scopes || ' ') NOT LIKE '% offline_access %') LIMIT 1000) RETURNING session_id, app_id"
        )
    };
}

statements! {
    END_ONE = "UPDATE sessions SET ended_at = $1 WHERE id = $3 AND account_id = $2 AND ended_at IS NULL \
               RETURNING id, account_id, organization_id, connection_id";
    END_OF_ACCOUNT = end!("account_id = $2");
    END_OF_ACCOUNT_BUT = end!("account_id = $2 AND id <> $3");
    END_OF_PROFILE = end!("account_id = $2 AND profile_id = $3");
    END_SINCE = end!("account_id = $2 AND (created_at >= $3 OR authenticated_at >= $3)");
    REVOKE_OF_ONE = revoke!("session_id = $2", "$3");
    REVOKE_OF_ACCOUNT = revoke!("account_id = $2", "$3");
    REVOKE_OF_ACCOUNT_BUT = revoke!("account_id = $2 AND session_id <> $3", "$4");
    REVOKE_OF_PROFILE = revoke!("account_id = $2 AND (profile_id = $3 OR profile_id IS NULL)", "$4");
    REVOKE_SINCE = revoke!(
        "account_id = $2 AND (created_at >= $3 \
         OR EXISTS (SELECT 1 FROM refresh_tokens r WHERE r.grant_id = grants.id AND r.created_at >= $3))",
        "$4"
    );
}

/// A selection of sessions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SessionsOf {
    /// One session, if it belongs to this account.
    One {
        /// The account.
        account: AccountId,
        /// The session.
        session: SessionId,
    },
    /// All sessions of an account.
    Account(AccountId),
    /// All sessions of an account except one.
    AccountBut {
        /// The account.
        account: AccountId,
        /// The session that stays open.
        keep: SessionId,
    },
    /// The sessions that one of an account's profiles opened or continued.
    Profile {
        /// The account.
        account: AccountId,
        /// The profile.
        profile: ProfileId,
    },
    /// The sessions of an account that were opened or renewed since a time, and its grants that were made or refreshed
    /// since then.
    Since {
        /// The account.
        account: AccountId,
        /// The time.
        since: Timestamp,
    },
}

/// A session that has ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EndedSession {
    /// The session.
    pub session: SessionId,
    /// The account that was signed in.
    pub account: AccountId,
    /// The account's organization at sign-in.
    pub organization: Option<OrganizationId>,
    /// The connection through which the user had signed in.
    pub connection: Option<ConnectionId>,
    /// The apps whose grants ended with it, once for each grant.
    pub apps: Vec<AppId>,
}

/// A grant that was revoked because its session ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EndedGrant {
    /// The session in which it was made.
    pub session: SessionId,
    /// The app.
    pub app: AppId,
}

row! {
    struct SessionRow {
        id: String,
        account_id: String,
        organization_id: Option<String>,
        connection_id: Option<String>,
    }
}

row! {
    struct GrantRow {
        session_id: String,
        app_id: String,
    }
}

impl TryFrom<SessionRow> for EndedSession {
    type Error = StoreError;

    fn try_from(row: SessionRow) -> Result<Self, StoreError> {
        let at = Row { table: "sessions", id: &row.id };
        Ok(Self {
            session: at.parse("id", &row.id)?,
            account: at.parse("account_id", &row.account_id)?,
            organization: at.parse_optional("organization_id", row.organization_id.as_deref())?,
            connection: at.parse_optional("connection_id", row.connection_id.as_deref())?,
            apps: Vec::new(),
        })
    }
}

/// Ends sessions that have not ended yet, at most [`END_PAGE`].
pub async fn end_sessions(
    tx: &mut Tx,
    which: SessionsOf,
    now: Timestamp,
) -> Result<Vec<EndedSession>, StoreError> {
    let now = now.unix_micros();
    let rows = match which {
        SessionsOf::One { account, session } => {
            let row =
                fetch_optional!(tx, SessionRow, END_ONE, now, account.to_string(), session.to_string())?;
            row.into_iter().collect()
        }
        SessionsOf::Account(account) => {
            fetch_many!(tx, SessionRow, END_OF_ACCOUNT, now, account.to_string())?
        }
        SessionsOf::AccountBut { account, keep } => {
            fetch_many!(tx, SessionRow, END_OF_ACCOUNT_BUT, now, account.to_string(), keep.to_string())?
        }
        SessionsOf::Profile { account, profile } => {
            fetch_many!(tx, SessionRow, END_OF_PROFILE, now, account.to_string(), profile.to_string())?
        }
        SessionsOf::Since { account, since } => {
            fetch_many!(tx, SessionRow, END_SINCE, now, account.to_string(), since.unix_micros())?
        }
    };
    rows.into_iter().map(TryInto::try_into).collect()
}

/// Revokes grants of these sessions, at most [`END_PAGE`]. If `all`, it revokes all of them, otherwise those that end
/// with their session, which are those without `offline_access`.
pub async fn revoke_grants_of(
    tx: &mut Tx,
    which: SessionsOf,
    all: bool,
    now: Timestamp,
) -> Result<Vec<EndedGrant>, StoreError> {
    let now = now.unix_micros();
    let rows = match which {
        SessionsOf::One { session, .. } => {
            fetch_many!(tx, GrantRow, REVOKE_OF_ONE, now, session.to_string(), all)?
        }
        SessionsOf::Account(account) => {
            fetch_many!(tx, GrantRow, REVOKE_OF_ACCOUNT, now, account.to_string(), all)?
        }
        SessionsOf::AccountBut { account, keep } => {
            let (account, keep) = (account.to_string(), keep.to_string());
            fetch_many!(tx, GrantRow, REVOKE_OF_ACCOUNT_BUT, now, account, keep, all)?
        }
        SessionsOf::Profile { account, profile } => {
            let (account, profile) = (account.to_string(), profile.to_string());
            fetch_many!(tx, GrantRow, REVOKE_OF_PROFILE, now, account, profile, all)?
        }
        SessionsOf::Since { account, since } => {
            let (account, since) = (account.to_string(), since.unix_micros());
            fetch_many!(tx, GrantRow, REVOKE_SINCE, now, account, since, all)?
        }
    };
    let grant = |row: GrantRow| {
        let at = Row { table: "grants", id: &row.session_id };
        Ok(EndedGrant {
            session: at.parse("session_id", &row.session_id)?,
            app: at.parse("app_id", &row.app_id)?,
        })
    };
    rows.into_iter().map(grant).collect()
}
