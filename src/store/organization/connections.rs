//! Connections, their sealed credentials, and the last metadata and keys of their identity providers.

use crate::model::{Connection, ConnectionId, Handle, OrganizationId, Timestamp};
use crate::store::engine::row::{CountRow, Row, time, to_json};
use crate::store::engine::tx::{execute, fetch_all, fetch_many, fetch_optional, row, statements};
use crate::store::{StoreError, Tx};

row! {
    columns connection_columns;
    struct ConnectionRow {
        id: String,
        organization_id: String,
        handle: String,
        name: String,
        enabled: bool,
        issuer: String,
        client_id: String,
        settings: String,
        secret_sealed: Option<String>,
        next_secret_sealed: Option<String>,
        secret_expires_at: Option<i64>,
        key_sealed: Option<String>,
        certificate: Option<String>,
        created_at: i64,
    }
}

statements! {
    COUNT = "SELECT COUNT(*) AS amount FROM connections WHERE organization_id = $1";
    FIND = concat!("SELECT ", connection_columns!(), " FROM connections WHERE organization_id = $1 AND id = $2");
    FIND_OF_ANY = concat!("SELECT ", connection_columns!(), " FROM connections WHERE id = $1");
    FIND_BY_HANDLE = concat!("SELECT ", connection_columns!(), " FROM connections \
                      WHERE organization_id = $1 AND handle = $2");
    LIST_OF_ANY_BY_HANDLE = concat!("SELECT ", connection_columns!(), " FROM connections WHERE handle = $1 ORDER BY id LIMIT 100");
    LIST = concat!("SELECT ", connection_columns!(), " FROM connections \
            WHERE organization_id = $1 ORDER BY handle LIMIT 1000");
    LIST_ENDING_SECRETS_OF_ALL = concat!("SELECT ", connection_columns!("c"), " FROM connections c JOIN organizations o \
                           ON o.id = c.organization_id WHERE c.secret_expires_at < $1 AND c.enabled AND o.enabled \
                           ORDER BY c.secret_expires_at LIMIT 1000");
    INSERT = "INSERT INTO connections (id, organization_id, handle, name, enabled, issuer, client_id, settings, created_at, \
              updated_at) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $9)";
    UPDATE = "UPDATE connections SET handle = $3, name = $4, enabled = $5, issuer = $6, client_id = $7, settings = $8, \
              updated_at = $9 WHERE id = $1 AND organization_id = $2";
    UPDATE_CREDENTIAL = "UPDATE connections SET secret_sealed = $3, next_secret_sealed = $4, secret_expires_at = $5, \
                         key_sealed = $6, certificate = $7 WHERE id = $1 AND organization_id = $2";
    FIND_MEMORY = "SELECT remembered FROM connection_memory WHERE connection_id = $1";
    SAVE_MEMORY = "INSERT INTO connection_memory (connection_id, remembered, saved_at) VALUES ($1, $2, $3) \
                   ON CONFLICT (connection_id) DO UPDATE SET remembered = excluded.remembered, saved_at = excluded.saved_at";
}

/// A connection with its credential as it is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConnectionRecord {
    /// The connection.
    pub connection: Connection,
    /// Its sealed credential.
    pub credential: SealedCredential,
}

/// How the broker authenticates at an identity provider. Everything secret is sealed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SealedCredential {
    /// The client secret.
    pub secret: Option<String>,
    /// The client secret that will replace it.
    pub next_secret: Option<String>,
    /// When the client secret expires at the identity provider.
    pub secret_expires_at: Option<Timestamp>,
    /// The private key (PKCS #8).
    pub key: Option<String>,
    /// The certificate of the key (PEM), which is public.
    pub certificate: Option<String>,
}

row! {
    struct MemoryRow {
        remembered: String,
    }
}

impl TryFrom<ConnectionRow> for ConnectionRecord {
    type Error = StoreError;

    fn try_from(row: ConnectionRow) -> Result<Self, StoreError> {
        let at = Row { table: "connections", id: &row.id };
        Ok(Self {
            connection: Connection {
                id: at.parse("id", &row.id)?,
                organization: at.parse("organization_id", &row.organization_id)?,
                handle: at.parse("handle", &row.handle)?,
                enabled: row.enabled,
                settings: at.json("settings", &row.settings)?,
                created_at: time(row.created_at),
                name: row.name,
                issuer: row.issuer,
                client_id: row.client_id,
            },
            credential: SealedCredential {
                secret: row.secret_sealed,
                next_secret: row.next_secret_sealed,
                secret_expires_at: row.secret_expires_at.map(time),
                key: row.key_sealed,
                certificate: row.certificate,
            },
        })
    }
}

/// An organization's connection with this id.
pub async fn find_connection(
    tx: &mut Tx,
    organization: OrganizationId,
    id: ConnectionId,
) -> Result<Option<ConnectionRecord>, StoreError> {
    let row = fetch_optional!(tx, ConnectionRow, FIND, organization.to_string(), id.to_string())?;
    row.map(TryInto::try_into).transpose()
}

/// The connection with this id, of any organization. The caller does not know yet whose it is.
pub async fn find_connection_of_any_organization(
    tx: &mut Tx,
    id: ConnectionId,
) -> Result<Option<ConnectionRecord>, StoreError> {
    fetch_optional!(tx, ConnectionRow, FIND_OF_ANY, id.to_string())?.map(TryInto::try_into).transpose()
}

/// An organization's connection with this handle.
pub async fn find_connection_by_handle(
    tx: &mut Tx,
    organization: OrganizationId,
    handle: &Handle,
) -> Result<Option<ConnectionRecord>, StoreError> {
    let row = fetch_optional!(tx, ConnectionRow, FIND_BY_HANDLE, organization.to_string(), handle.as_str())?;
    row.map(TryInto::try_into).transpose()
}

/// The connections of all organizations with this handle, at most 100.
pub async fn list_connections_of_any_organization_by_handle(
    tx: &mut Tx,
    handle: &Handle,
) -> Result<Vec<ConnectionRecord>, StoreError> {
    fetch_all!(tx, ConnectionRow, LIST_OF_ANY_BY_HANDLE, handle.as_str())?
        .into_iter()
        .map(TryInto::try_into)
        .collect()
}

/// An organization's connections, by handle.
pub async fn list_connections(
    tx: &mut Tx,
    organization: OrganizationId,
) -> Result<Vec<ConnectionRecord>, StoreError> {
    let rows = fetch_many!(tx, ConnectionRow, LIST, organization.to_string())?;
    rows.into_iter().map(TryInto::try_into).collect()
}

/// The enabled connections of all organizations whose client secret expires before `time`, soonest first.
pub async fn list_ending_secrets_of_all_organizations(
    tx: &mut Tx,
    time: Timestamp,
) -> Result<Vec<ConnectionRecord>, StoreError> {
    let rows = fetch_many!(tx, ConnectionRow, LIST_ENDING_SECRETS_OF_ALL, time.unix_micros())?;
    rows.into_iter().map(TryInto::try_into).collect()
}

/// How many connections an organization has.
pub async fn count_connections(tx: &mut Tx, organization: OrganizationId) -> Result<i64, StoreError> {
    let row = fetch_optional!(tx, CountRow, COUNT, organization.to_string())?;
    Ok(row.map_or(0, |row| row.amount))
}

/// Adds a connection without a credential. [`StoreError::Conflict`] if the organization already uses the handle.
pub async fn insert_connection(tx: &mut Tx, new: &Connection) -> Result<(), StoreError> {
    write(tx, INSERT, new, new.created_at).await
}

/// Changes every field of a connection except its id and organization.
pub async fn update_connection(tx: &mut Tx, changed: &Connection, now: Timestamp) -> Result<(), StoreError> {
    write(tx, UPDATE, changed, now).await
}

async fn write(tx: &mut Tx, sql: &'static str, it: &Connection, now: Timestamp) -> Result<(), StoreError> {
    execute!(
        tx,
        sql,
        it.id.to_string(),
        it.organization.to_string(),
        it.handle.as_str(),
        &it.name,
        it.enabled,
        &it.issuer,
        &it.client_id,
        to_json(&it.settings)?,
        now.unix_micros(),
    )?;
    Ok(())
}

/// Replaces a connection's credential.
pub async fn update_credential(
    tx: &mut Tx,
    organization: OrganizationId,
    id: ConnectionId,
    credential: &SealedCredential,
) -> Result<(), StoreError> {
    execute!(
        tx,
        UPDATE_CREDENTIAL,
        id.to_string(),
        organization.to_string(),
        &credential.secret,
        &credential.next_secret,
        credential.secret_expires_at.map(Timestamp::unix_micros),
        &credential.key,
        &credential.certificate,
    )?;
    Ok(())
}

/// The last good metadata and keys of a connection's identity provider, as [`save_memory`] stored them.
pub async fn find_memory(tx: &mut Tx, id: ConnectionId) -> Result<Option<String>, StoreError> {
    Ok(fetch_optional!(tx, MemoryRow, FIND_MEMORY, id.to_string())?.map(|row| row.remembered))
}

/// Stores the last good metadata and keys of a connection's identity provider.
pub async fn save_memory(
    tx: &mut Tx,
    id: ConnectionId,
    remembered: &str,
    now: Timestamp,
) -> Result<(), StoreError> {
    execute!(tx, SAVE_MEMORY, id.to_string(), remembered, now.unix_micros())?;
    Ok(())
}
