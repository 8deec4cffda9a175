//! The moves of a merge besides those of profiles, and the moves of its undo: each is one guarded statement.

use crate::model::{AccountId, AppId, OrganizationId, Role, Timestamp, Username};
use crate::store::engine::row::Row;
use crate::store::engine::tx::{execute, fetch_many, fetch_optional, row, statements};
use crate::store::{StoreError, Tx};

statements! {
    MARK = "UPDATE accounts SET merged_into = $2, updated_at = $3 WHERE id = $1 AND merged_into IS NULL AND profile_count = 0";
    UNMARK = "UPDATE accounts SET merged_into = NULL, updated_at = $3 WHERE id = $1 AND merged_into = $2";
    FIND_MERGED_INTO = "SELECT merged_into AS id FROM accounts WHERE id = $1 AND merged_into IS NOT NULL";
    LIST_SUBJECTS = "SELECT app_id FROM subjects WHERE account_id = $1 ORDER BY app_id LIMIT 10000";
    MOVE_SUBJECT = "UPDATE subjects SET account_id = $3 WHERE app_id = $1 AND account_id = $2 \
                    AND NOT EXISTS (SELECT 1 FROM subjects s WHERE s.app_id = $1 AND s.account_id = $3)";
    LIST_CONSENTS = "SELECT app_id FROM consents WHERE account_id = $1 ORDER BY app_id LIMIT 10000";
    MOVE_CONSENT = "UPDATE consents SET account_id = $3 WHERE app_id = $1 AND account_id = $2 \
                    AND given_at <= $4 AND NOT EXISTS (SELECT 1 FROM consents c WHERE c.app_id = $1 AND c.account_id = $3)";
    DELETE_CONSENTS = "DELETE FROM consents WHERE account_id = $1";
    ADD_ROLE = "INSERT INTO account_roles (organization_id, account_id, role) VALUES ($1, $2, $3) \
                ON CONFLICT (account_id, role) DO NOTHING";
    TAKE_ROLE = "DELETE FROM account_roles WHERE organization_id = $1 AND account_id = $2 AND role = $3";
    SET_USERNAME = "UPDATE accounts SET username = $2, username_key = $3, updated_at = $4 WHERE id = $1";
}

row! {
    struct IdRow {
        id: String,
    }
}

row! {
    struct AppIdRow {
        app_id: String,
    }
}

/// Marks an account without profiles as merged into another. `false` if it is merged already, or still has a profile.
pub async fn mark_merged(
    tx: &mut Tx,
    merged: AccountId,
    into: AccountId,
    now: Timestamp,
) -> Result<bool, StoreError> {
    Ok(execute!(tx, MARK, merged.to_string(), into.to_string(), now.unix_micros())? == 1)
}

/// Removes the mark. `false` if the account was not merged into that one.
pub async fn unmark_merged(
    tx: &mut Tx,
    merged: AccountId,
    into: AccountId,
    now: Timestamp,
) -> Result<bool, StoreError> {
    Ok(execute!(tx, UNMARK, merged.to_string(), into.to_string(), now.unix_micros())? == 1)
}

/// The account into which an account was merged; `None` if it was not.
pub async fn find_merged_into(tx: &mut Tx, account: AccountId) -> Result<Option<AccountId>, StoreError> {
    let id = account.to_string();
    let row = fetch_optional!(tx, IdRow, FIND_MERGED_INTO, &id)?;
    let at = Row { table: "accounts", id: &id };
    row.map(|row| at.parse("merged_into", &row.id)).transpose()
}

fn apps(rows: &[AppIdRow], table: &'static str, account: &str) -> Result<Vec<AppId>, StoreError> {
    let at = Row { table, id: account };
    rows.iter().map(|row| at.parse("app_id", &row.app_id)).collect()
}

/// The apps that know an account by a subject.
pub async fn list_subject_apps(tx: &mut Tx, account: AccountId) -> Result<Vec<AppId>, StoreError> {
    let account = account.to_string();
    apps(&fetch_many!(tx, AppIdRow, LIST_SUBJECTS, &account)?, "subjects", &account)
}

/// Moves an app's subject from one account to another. `false` if the app already has a subject for the other account.
pub async fn move_subject(
    tx: &mut Tx,
    app: AppId,
    from: AccountId,
    to: AccountId,
) -> Result<bool, StoreError> {
    Ok(execute!(tx, MOVE_SUBJECT, app.to_string(), from.to_string(), to.to_string())? == 1)
}

/// The apps that an account has consented to.
pub async fn list_consent_apps(tx: &mut Tx, account: AccountId) -> Result<Vec<AppId>, StoreError> {
    let account = account.to_string();
    apps(&fetch_many!(tx, AppIdRow, LIST_CONSENTS, &account)?, "consents", &account)
}

/// Moves an account's consent to an app, if it was given before `until`, to an account that has given none to this
/// app. `false` if nothing was moved.
pub async fn move_consent(
    tx: &mut Tx,
    app: AppId,
    from: AccountId,
    to: AccountId,
    until: Timestamp,
) -> Result<bool, StoreError> {
    let (app, from, to) = (app.to_string(), from.to_string(), to.to_string());
    Ok(execute!(tx, MOVE_CONSENT, app, from, to, until.unix_micros())? == 1)
}

/// Deletes all consents of an account.
pub async fn delete_consents(tx: &mut Tx, account: AccountId) -> Result<(), StoreError> {
    execute!(tx, DELETE_CONSENTS, account.to_string()).map(drop)
}

/// Adds a role to an account.
pub async fn add_role(
    tx: &mut Tx,
    organization: OrganizationId,
    account: AccountId,
    role: Role,
) -> Result<(), StoreError> {
    execute!(tx, ADD_ROLE, organization.to_string(), account.to_string(), role.as_str()).map(drop)
}

/// Removes a role in an organization from an account.
pub async fn take_role(
    tx: &mut Tx,
    organization: OrganizationId,
    account: AccountId,
    role: Role,
) -> Result<(), StoreError> {
    execute!(tx, TAKE_ROLE, organization.to_string(), account.to_string(), role.as_str()).map(drop)
}

/// Swaps the usernames of two accounts. Either may have none.
pub async fn swap_usernames(
    tx: &mut Tx,
    (one, name_of_one): (AccountId, Option<&Username>),
    (two, name_of_two): (AccountId, Option<&Username>),
    now: Timestamp,
) -> Result<(), StoreError> {
    // A name must be free before another account can have it.
    for (account, name) in [(one, None), (two, name_of_one), (one, name_of_two)] {
        let (text, key) = (name.map(Username::as_str), name.map(Username::key));
        execute!(tx, SET_USERNAME, account.to_string(), text, key, now.unix_micros())?;
    }
    Ok(())
}
