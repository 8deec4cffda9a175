//! Organizations.

use crate::model::{Account, Handle, Organization, OrganizationId, OrganizationPolicy, Timestamp};
use crate::store::engine::row::{Row, span, span_column, time};
use crate::store::engine::tx::{execute, fetch_many, fetch_optional, row, statements};
use crate::store::{StoreError, Tx};

row! {
    columns organization_columns;
    pub(in crate::store) struct OrganizationRow {
        id: String,
        handle: String,
        name: String,
        plan: String,
        enabled: bool,
        linking: bool,
        routing: String,
        local_sign_in: String,
        session_idle: Option<i64>,
        session_max: Option<i64>,
        upstream_recheck: Option<i64>,
        created_at: i64,
    }
}

statements! {
    FIND = concat!("SELECT ", organization_columns!(), " FROM organizations WHERE id = $1");
    FIND_BY_HANDLE = concat!("SELECT ", organization_columns!(), " FROM organizations WHERE handle = $1");
    LIST = concat!("SELECT ", organization_columns!(), " FROM organizations WHERE handle > $1 ORDER BY handle LIMIT $2");
    INSERT = "INSERT INTO organizations (id, handle, name, plan, enabled, linking, routing, local_sign_in, session_idle, \
              session_max, upstream_recheck, created_at, updated_at) \
              VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $12)";
    UPDATE = "UPDATE organizations SET handle = $2, name = $3, plan = $4, enabled = $5, linking = $6, routing = $7, \
              local_sign_in = $8, session_idle = $9, session_max = $10, upstream_recheck = $11, updated_at = $12 \
              WHERE id = $1";
    LOCK = "UPDATE organizations SET updated_at = updated_at WHERE id = $1";
    LOCK_BY_HANDLE = "UPDATE organizations SET updated_at = updated_at WHERE handle = $1";
}

impl TryFrom<OrganizationRow> for Organization {
    type Error = StoreError;

    fn try_from(row: OrganizationRow) -> Result<Self, StoreError> {
        let at = Row { table: "organizations", id: &row.id };
        Ok(Self {
            id: at.parse("id", &row.id)?,
            handle: at.parse("handle", &row.handle)?,
            plan: at.parse("plan", &row.plan)?,
            enabled: row.enabled,
            policy: OrganizationPolicy {
                linking: row.linking,
                routing: at.parse("routing", &row.routing)?,
                local_sign_in: at.parse("local_sign_in", &row.local_sign_in)?,
                session_idle: span(row.session_idle),
                session_max: span(row.session_max),
                upstream_recheck: span(row.upstream_recheck),
            },
            created_at: time(row.created_at),
            name: row.name,
        })
    }
}

/// The organization with this id.
pub async fn find_organization(tx: &mut Tx, id: OrganizationId) -> Result<Option<Organization>, StoreError> {
    fetch_optional!(tx, OrganizationRow, FIND, id.to_string())?.map(TryInto::try_into).transpose()
}

/// The organization of an account.
pub async fn find_organization_of(
    tx: &mut Tx,
    account: &Account,
) -> Result<Option<Organization>, StoreError> {
    match account.organization {
        Some(id) => find_organization(tx, id).await,
        None => Ok(None),
    }
}

/// The organization with this handle.
pub async fn find_organization_by_handle(
    tx: &mut Tx,
    handle: &Handle,
) -> Result<Option<Organization>, StoreError> {
    fetch_optional!(tx, OrganizationRow, FIND_BY_HANDLE, handle.as_str())?.map(TryInto::try_into).transpose()
}

/// Up to `limit` organizations whose handle comes after `after`, by handle. Begin with the empty text.
pub async fn list_organizations(
    tx: &mut Tx,
    after: &str,
    limit: i64,
) -> Result<Vec<Organization>, StoreError> {
    fetch_many!(tx, OrganizationRow, LIST, after, limit)?.into_iter().map(TryInto::try_into).collect()
}

/// Adds an organization. [`StoreError::Conflict`] if the handle is taken.
pub async fn insert_organization(tx: &mut Tx, new: &Organization) -> Result<(), StoreError> {
    write(tx, INSERT, new, new.created_at).await
}

/// Changes every field of an organization except its id.
pub async fn update_organization(
    tx: &mut Tx,
    changed: &Organization,
    now: Timestamp,
) -> Result<(), StoreError> {
    write(tx, UPDATE, changed, now).await
}

async fn write(tx: &mut Tx, sql: &'static str, it: &Organization, now: Timestamp) -> Result<(), StoreError> {
    let policy = &it.policy;
    execute!(
        tx,
        sql,
        it.id.to_string(),
        it.handle.as_str(),
        &it.name,
        it.plan.as_str(),
        it.enabled,
        policy.linking,
        policy.routing.as_str(),
        policy.local_sign_in.as_str(),
        span_column(policy.session_idle),
        span_column(policy.session_max),
        span_column(policy.upstream_recheck),
        now.unix_micros(),
    )?;
    Ok(())
}

/// Locks an organization for the rest of the transaction: a transaction that counts or changes what it has waits for
/// this one.
pub async fn lock_organization(tx: &mut Tx, id: OrganizationId) -> Result<(), StoreError> {
    execute!(tx, LOCK, id.to_string())?;
    Ok(())
}

/// [`lock_organization`], by handle.
pub async fn lock_organization_by_handle(tx: &mut Tx, handle: &Handle) -> Result<(), StoreError> {
    execute!(tx, LOCK_BY_HANDLE, handle.as_str())?;
    Ok(())
}
