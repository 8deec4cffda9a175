//! Accounts, their roles and passwords.

use crate::model::{
    Account, AccountId, AppId, ConnectionId, Contact, Email, OrganizationId, ProfileId, Role, Timestamp,
    Username,
};
use crate::store::engine::row::{CountRow, Row, text, time};
use crate::store::engine::tx::{execute, fetch_many, fetch_optional, row, statements};
use crate::store::{StoreError, Tx};

/// The columns of accounts, with their roles.
macro_rules! select {
    ($which:literal) => {
        concat!(
            "SELECT a.id, a.organization_id, a.username, a.email, a.email_verified, a.email_connection_id, a.name, \
             a.given_name, a.family_name, a.phone, a.enabled, a.break_glass, a.profile_count, a.created_at, a.updated_at, \
             COALESCE((SELECT string_agg(r.role, ' ' ORDER BY r.role) FROM account_roles r \
             WHERE r.account_id = a.id AND r.organization_id = a.organization_id), '') \
             || CASE WHEN EXISTS (SELECT 1 FROM operators p WHERE p.account_id = a.id) THEN ' operator' ELSE '' END \
             AS roles FROM accounts a WHERE ",
            $which
        )
    };
}

statements! {
    FIND = select!("a.id = $1");
    FIND_BY_USERNAME = select!("a.username_key = $1");
    LIST = select!("a.organization_id = $1 AND a.id > $2 ORDER BY a.id LIMIT $3");
    COUNT = "SELECT COUNT(*) AS amount FROM accounts WHERE organization_id = $1";
    COUNT_BREAK_GLASS = "SELECT COUNT(*) AS amount FROM accounts a JOIN passwords p ON p.account_id = a.id \
                         WHERE a.organization_id = $1 AND a.enabled AND a.break_glass";
    LIST_UNATTACHED = select!("a.organization_id IS NULL AND a.id > $1 ORDER BY a.id LIMIT $2");
    INSERT = "INSERT INTO accounts (id, organization_id, username, username_key, email, email_canonical, email_verified, \
              name, given_name, family_name, phone, enabled, break_glass, profile_count, created_at, updated_at, \
              email_connection_id) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, 0, $14, $14, $15)";
    UPDATE = "UPDATE accounts SET username = $3, username_key = $4, email = $5, \
              email_canonical = $6, email_verified = $7, name = $8, given_name = $9, family_name = $10, phone = $11, \
              enabled = $12, break_glass = $13, updated_at = $14, email_connection_id = $15 \
              WHERE id = $1 AND organization_id IS NOT DISTINCT FROM $2";
    UPDATE_CONTACT = "UPDATE accounts SET email = $2, email_canonical = $3, email_verified = $4, name = $5, given_name = $6, \
                      family_name = $7, phone = $8, updated_at = $9, email_connection_id = $10 \
                      WHERE id = $1 AND profile_count = 1";
    SET_ENABLED = "UPDATE accounts SET enabled = $2, updated_at = $3 WHERE id = $1";
    LOCK = "UPDATE accounts SET updated_at = updated_at WHERE id = $1";
    LOCK_BY_USERNAME = "UPDATE accounts SET updated_at = updated_at WHERE username_key = $1";
    DELETE_ROLES = "DELETE FROM account_roles WHERE organization_id = $1 AND account_id = $2";
    INSERT_ROLE = "INSERT INTO account_roles (organization_id, account_id, role) VALUES ($1, $2, $3)";
    DELETE_OPERATOR = "DELETE FROM operators WHERE account_id = $1";
    INSERT_OPERATOR = "INSERT INTO operators (account_id, since) VALUES ($1, $2)";
    FIND_DATA_KEY = "SELECT data_key_sealed FROM accounts WHERE id = $1";
    ADD_DATA_KEY = "UPDATE accounts SET data_key_sealed = $2 WHERE id = $1 AND data_key_sealed IS NULL";
    READ_STANDING = "SELECT a.enabled AND a.merged_into IS NULL AS account, a.organization_id AS organization_id, COALESCE(o.enabled, TRUE) AS organization, \
                     COALESCE(c.enabled AND co.enabled, $2 = '') AS connection, \
                     COALESCE(p.enabled AND po.enabled, $3 = '') AS app, \
                     COALESCE(pr.account_id = a.id, $4 = '') AS profile \
                     FROM accounts a \
                     LEFT JOIN organizations o ON o.id = a.organization_id \
                     LEFT JOIN connections c ON c.id = $2 LEFT JOIN organizations co ON co.id = c.organization_id \
                     LEFT JOIN apps p ON p.id = $3 LEFT JOIN organizations po ON po.id = p.organization_id \
                     LEFT JOIN profiles pr ON pr.id = $4 \
                     WHERE a.id = $1";
}

/// Whether everything that a sign-in depends on is enabled, read in one statement.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "each is the switch of one thing")]
pub struct Standing {
    /// The present organization of the account.
    pub organization_id: Option<OrganizationId>,
    /// Whether the account is enabled.
    pub account: bool,
    /// Whether its organization is enabled; true for an unattached account.
    pub organization: bool,
    /// Whether the connection and its organization are enabled; true if the caller asked about none.
    pub connection: bool,
    /// Whether the app and its organization are enabled; true if the caller asked about none.
    pub app: bool,
    /// Whether the profile is one of the account; true if the caller asked about none.
    pub profile: bool,
}

impl Standing {
    /// Whether all of them are enabled.
    pub const fn is_good(&self) -> bool {
        self.account && self.organization && self.connection && self.app && self.profile
    }
}

row! {
    struct AccountRow {
        id: String,
        organization_id: Option<String>,
        username: Option<String>,
        email: Option<String>,
        email_verified: bool,
        email_connection_id: Option<String>,
        name: Option<String>,
        given_name: Option<String>,
        family_name: Option<String>,
        phone: Option<String>,
        enabled: bool,
        break_glass: bool,
        profile_count: i64,
        created_at: i64,
        updated_at: i64,
        roles: String,
    }
}

row! {
    struct DataKeyRow {
        data_key_sealed: Option<String>,
    }
}

row! {
    struct StandingRow {
        account: bool,
        organization_id: Option<String>,
        organization: bool,
        connection: bool,
        app: bool,
        profile: bool,
    }
}

impl TryFrom<AccountRow> for Account {
    type Error = StoreError;

    fn try_from(row: AccountRow) -> Result<Self, StoreError> {
        let at = Row { table: "accounts", id: &row.id };
        let roles = row.roles.split_ascii_whitespace().map(|role| at.parse("role", role));
        let roles = roles.collect::<Result<_, _>>()?;
        Ok(Self {
            id: at.parse("id", &row.id)?,
            organization: at.parse_optional("organization_id", row.organization_id.as_deref())?,
            username: at.parse_optional("username", row.username.as_deref())?,
            email: at.parse_optional("email", row.email.as_deref())?,
            email_verified: row.email_verified,
            email_from: at.parse_optional("email_connection_id", row.email_connection_id.as_deref())?,
            contact: Contact {
                name: row.name,
                given_name: row.given_name,
                family_name: row.family_name,
                phone: row.phone,
            },
            roles,
            enabled: row.enabled,
            break_glass: row.break_glass,
            created_at: time(row.created_at),
            updated_at: time(row.updated_at),
        })
    }
}

/// The account with this id, of any organization.
pub async fn find_account(tx: &mut Tx, id: AccountId) -> Result<Option<Account>, StoreError> {
    fetch_optional!(tx, AccountRow, FIND, id.to_string())?.map(TryInto::try_into).transpose()
}

/// The account with this id, and the number of its profiles.
pub async fn find_account_with_count(
    tx: &mut Tx,
    id: AccountId,
) -> Result<Option<(Account, i64)>, StoreError> {
    let row = fetch_optional!(tx, AccountRow, FIND, id.to_string())?;
    row.map(|row| {
        let count = row.profile_count;
        Ok((row.try_into()?, count))
    })
    .transpose()
}

/// The account with this username, without regard to case.
pub async fn find_account_by_username(
    tx: &mut Tx,
    username: &Username,
) -> Result<Option<Account>, StoreError> {
    fetch_optional!(tx, AccountRow, FIND_BY_USERNAME, username.key())?.map(TryInto::try_into).transpose()
}

/// Up to `limit` accounts of an organization with ids after `after`, by id. Begin with the empty text.
pub async fn list_accounts(
    tx: &mut Tx,
    organization: OrganizationId,
    after: &str,
    limit: i64,
) -> Result<Vec<Account>, StoreError> {
    let rows = fetch_many!(tx, AccountRow, LIST, organization.to_string(), after, limit)?;
    rows.into_iter().map(TryInto::try_into).collect()
}

/// Up to `limit` accounts that belong to no organization, with ids after `after`, by id.
pub async fn list_unattached_accounts(
    tx: &mut Tx,
    after: &str,
    limit: i64,
) -> Result<Vec<Account>, StoreError> {
    let rows = fetch_many!(tx, AccountRow, LIST_UNATTACHED, after, limit)?;
    rows.into_iter().map(TryInto::try_into).collect()
}

/// How many accounts an organization has.
pub async fn count_accounts(tx: &mut Tx, organization: OrganizationId) -> Result<i64, StoreError> {
    let counted = fetch_many!(tx, CountRow, COUNT, organization.to_string())?;
    Ok(counted.first().map_or(0, |row| row.amount))
}

/// How many enabled break-glass accounts of an organization have a password.
pub async fn count_break_glass(tx: &mut Tx, organization: OrganizationId) -> Result<i64, StoreError> {
    let counted = fetch_many!(tx, CountRow, COUNT_BREAK_GLASS, organization.to_string())?;
    Ok(counted.first().map_or(0, |row| row.amount))
}

/// Adds an account without profiles; a username that is taken is a [`StoreError::Conflict`].
pub async fn insert_account(tx: &mut Tx, new: &Account) -> Result<(), StoreError> {
    write(tx, INSERT, new, new.created_at).await
}

/// Changes every field of an account except its id and organization; its profiles stay. [`StoreError::Conflict`] if the
/// organization has no such account, or the username is taken.
pub async fn update_account(tx: &mut Tx, changed: &Account, now: Timestamp) -> Result<(), StoreError> {
    if let Some(organization) = changed.organization {
        execute!(tx, DELETE_ROLES, organization.to_string(), changed.id.to_string())?;
    }
    execute!(tx, DELETE_OPERATOR, changed.id.to_string())?;
    write(tx, UPDATE, changed, now).await
}

/// Changes the name, phone and email of an account, and nothing that decides what it may do. `false` if the account
/// has more than one profile: then none of them may change it.
pub async fn update_contact(tx: &mut Tx, changed: &Account, now: Timestamp) -> Result<bool, StoreError> {
    let changed = execute!(
        tx,
        UPDATE_CONTACT,
        changed.id.to_string(),
        changed.email.as_ref().map(Email::as_str),
        changed.email.as_ref().map(Email::canonical),
        changed.email_verified,
        &changed.contact.name,
        &changed.contact.given_name,
        &changed.contact.family_name,
        &changed.contact.phone,
        now.unix_micros(),
        text(changed.email_from.as_ref()),
    )?;
    Ok(changed == 1)
}

/// Enables or disables an account, and changes nothing else.
pub async fn set_enabled(
    tx: &mut Tx,
    id: AccountId,
    enabled: bool,
    now: Timestamp,
) -> Result<(), StoreError> {
    execute!(tx, SET_ENABLED, id.to_string(), enabled, now.unix_micros())?;
    Ok(())
}

/// Locks an account for the rest of the transaction: a fact that is read after this stays true until the commit.
pub async fn lock_account(tx: &mut Tx, id: AccountId) -> Result<(), StoreError> {
    execute!(tx, LOCK, id.to_string())?;
    Ok(())
}

/// [`lock_account`], by username without regard to case.
pub async fn lock_account_by_username(tx: &mut Tx, username: &Username) -> Result<(), StoreError> {
    execute!(tx, LOCK_BY_USERNAME, username.key())?;
    Ok(())
}

async fn write(tx: &mut Tx, sql: &'static str, it: &Account, now: Timestamp) -> Result<(), StoreError> {
    let id = it.id.to_string();
    let written = execute!(
        tx,
        sql,
        &id,
        text(it.organization.as_ref()),
        it.username.as_ref().map(Username::as_str),
        it.username.as_ref().map(Username::key),
        it.email.as_ref().map(Email::as_str),
        it.email.as_ref().map(Email::canonical),
        it.email_verified,
        &it.contact.name,
        &it.contact.given_name,
        &it.contact.family_name,
        &it.contact.phone,
        it.enabled,
        it.break_glass,
        now.unix_micros(),
        text(it.email_from.as_ref()),
    )?;
    if written != 1 {
        return Err(StoreError::Conflict);
    }
    for role in &it.roles {
        match (role, it.organization) {
            (Role::Operator, _) => execute!(tx, INSERT_OPERATOR, &id, now.unix_micros())?,
            (role, Some(organization)) => {
                execute!(tx, INSERT_ROLE, organization.to_string(), &id, role.as_str())?
            }
            (_, None) => 0,
        };
    }
    Ok(())
}

/// The sealed key of an account's personal data.
pub async fn find_data_key(tx: &mut Tx, id: AccountId) -> Result<Option<String>, StoreError> {
    let row = fetch_optional!(tx, DataKeyRow, FIND_DATA_KEY, id.to_string())?;
    Ok(row.and_then(|row| row.data_key_sealed))
}

/// Gives an account the sealed key of its personal data, unless it has one.
pub async fn add_data_key(tx: &mut Tx, id: AccountId, sealed: &str) -> Result<(), StoreError> {
    execute!(tx, ADD_DATA_KEY, id.to_string(), sealed).map(drop)
}

/// Whether everything that a sign-in to the account depends on is enabled now: the account, its organization, and the
/// connection and app if they are given. A connection or app that does not exist counts as disabled. If a profile is
/// given, it must be one of the account.
pub async fn read_standing(
    tx: &mut Tx,
    id: AccountId,
    connection: Option<ConnectionId>,
    app: Option<AppId>,
    profile: Option<ProfileId>,
) -> Result<Option<Standing>, StoreError> {
    let id = id.to_string();
    let connection = text(connection.as_ref()).unwrap_or_default();
    let app = text(app.as_ref()).unwrap_or_default();
    let profile = text(profile.as_ref()).unwrap_or_default();
    let Some(row) = fetch_optional!(tx, StandingRow, READ_STANDING, &id, connection, app, profile)? else {
        return Ok(None);
    };
    let at = Row { table: "accounts", id: &id };
    Ok(Some(Standing {
        organization_id: at.parse_optional("organization_id", row.organization_id.as_deref())?,
        account: row.account,
        organization: row.organization,
        connection: row.connection,
        app: row.app,
        profile: row.profile,
    }))
}
