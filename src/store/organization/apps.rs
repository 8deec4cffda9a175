//! Apps.

use std::time::Duration;

use crate::model::{App, AppId, AppSettings, OrganizationId, Timestamp};
use crate::store::engine::row::{CountRow, Row, time, to_json};
use crate::store::engine::tx::{execute, fetch_many, fetch_optional, row, statements};
use crate::store::{StoreError, Tx};

row! {
    columns app_columns;
    struct AppRow {
        id: String,
        organization_id: String,
        client_id: String,
        name: String,
        enabled: bool,
        secret_hash: Option<String>,
        next_secret_hash: Option<String>,
        settings: String,
        created_at: i64,
    }
}

statements! {
    COUNT = "SELECT COUNT(*) AS amount FROM apps WHERE organization_id = $1";
    FIND_OF_ANY = concat!("SELECT ", app_columns!(), " FROM apps WHERE id = $1");
    FIND_OF_ANY_BY_CLIENT_ID = concat!("SELECT ", app_columns!(), " FROM apps WHERE client_id = $1");
    FIND_SECRETS_OF_ACTIVE = "SELECT p.secret_hash, p.next_secret_hash FROM apps p JOIN organizations o \
                              ON o.id = p.organization_id WHERE p.id = $2 AND p.organization_id = $1 AND p.enabled AND o.enabled";
    LIST = concat!("SELECT ", app_columns!(), " FROM apps WHERE organization_id = $1 ORDER BY client_id LIMIT 10000");
    LIST_SETTINGS_OF_ALL = "SELECT id, settings FROM apps WHERE id > $1 ORDER BY id LIMIT 1000";
    INSERT = "INSERT INTO apps (id, organization_id, client_id, name, enabled, secret_hash, next_secret_hash, settings, \
              created_at, updated_at) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $9)";
    UPDATE = "UPDATE apps SET client_id = $3, name = $4, enabled = $5, secret_hash = $6, next_secret_hash = $7, \
              settings = $8, updated_at = $9 WHERE id = $1 AND organization_id = $2";
}

row! {
    struct SettingsRow {
        id: String,
        settings: String,
    }
}

row! {
    struct SecretsRow {
        secret_hash: Option<String>,
        next_secret_hash: Option<String>,
    }
}

impl TryFrom<AppRow> for App {
    type Error = StoreError;

    fn try_from(row: AppRow) -> Result<Self, StoreError> {
        let at = Row { table: "apps", id: &row.id };
        Ok(Self {
            id: at.parse("id", &row.id)?,
            organization: at.parse("organization_id", &row.organization_id)?,
            settings: at.json("settings", &row.settings)?,
            created_at: time(row.created_at),
            enabled: row.enabled,
            secret_hashes: row.secret_hash.into_iter().chain(row.next_secret_hash).collect(),
            client_id: row.client_id,
            name: row.name,
        })
    }
}

/// The app with this id, of whatever organization: whoever asks does not know yet whose it is.
pub async fn find_app_of_any_organization(tx: &mut Tx, id: AppId) -> Result<Option<App>, StoreError> {
    fetch_optional!(tx, AppRow, FIND_OF_ANY, id.to_string())?.map(TryInto::try_into).transpose()
}

/// The app with this client id, of whatever organization; client ids are unique in the deployment.
pub async fn find_app_of_any_organization_by_client_id(
    tx: &mut Tx,
    client_id: &str,
) -> Result<Option<App>, StoreError> {
    fetch_optional!(tx, AppRow, FIND_OF_ANY_BY_CLIENT_ID, client_id)?.map(TryInto::try_into).transpose()
}

/// The hashes of the secrets of an organization's app; `None` if the app or its organization is disabled.
pub async fn find_secrets_of_active_app(
    tx: &mut Tx,
    organization: OrganizationId,
    id: AppId,
) -> Result<Option<Vec<String>>, StoreError> {
    let row =
        fetch_optional!(tx, SecretsRow, FIND_SECRETS_OF_ACTIVE, organization.to_string(), id.to_string())?;
    Ok(row.map(|row| row.secret_hash.into_iter().chain(row.next_secret_hash).collect()))
}

/// An organization's apps, by client id.
pub async fn list_apps(tx: &mut Tx, organization: OrganizationId) -> Result<Vec<App>, StoreError> {
    fetch_many!(tx, AppRow, LIST, organization.to_string())?.into_iter().map(TryInto::try_into).collect()
}

/// The longest token lifetime that any app of any organization sets for itself; zero if no app sets one. It reads every
/// app, in pages of a thousand.
pub async fn find_longest_token_lifetime_of_all_organizations(tx: &mut Tx) -> Result<Duration, StoreError> {
    let mut longest = Duration::ZERO;
    let mut after = String::new();
    loop {
        let rows = fetch_many!(tx, SettingsRow, LIST_SETTINGS_OF_ALL, &after)?;
        let Some(last) = rows.last() else { return Ok(longest) };
        after.clone_from(&last.id);
        for row in &rows {
            let settings: AppSettings = Row { table: "apps", id: &row.id }.json("settings", &row.settings)?;
            let own = settings.access_token_lifetime.max(settings.id_token_lifetime);
            longest = longest.max(own.unwrap_or_default());
        }
    }
}

/// How many apps an organization has.
pub async fn count_apps(tx: &mut Tx, organization: OrganizationId) -> Result<i64, StoreError> {
    let row = fetch_optional!(tx, CountRow, COUNT, organization.to_string())?;
    Ok(row.map_or(0, |row| row.amount))
}

/// Adds an app. [`StoreError::Conflict`] if the client id is taken.
pub async fn insert_app(tx: &mut Tx, new: &App) -> Result<(), StoreError> {
    write(tx, INSERT, new, new.created_at).await
}

/// Changes every field of an app except its id and organization.
pub async fn update_app(tx: &mut Tx, changed: &App, now: Timestamp) -> Result<(), StoreError> {
    write(tx, UPDATE, changed, now).await
}

async fn write(tx: &mut Tx, sql: &'static str, it: &App, now: Timestamp) -> Result<(), StoreError> {
    let mut secrets = it.secret_hashes.iter();
    execute!(
        tx,
        sql,
        it.id.to_string(),
        it.organization.to_string(),
        &it.client_id,
        &it.name,
        it.enabled,
        secrets.next(),
        secrets.next(),
        to_json(&it.settings)?,
        now.unix_micros(),
    )?;
    Ok(())
}
