//! Domains: which organization owns a name, and to which of its connections the name routes.

use crate::model::{ConnectionId, OrganizationId, OwnedDomain, Timestamp};
use crate::store::engine::row::{CountRow, Row, time};
use crate::store::engine::tx::{execute, fetch_all, fetch_many, fetch_optional, row, statements};
use crate::store::{StoreError, Tx};

statements! {
    COUNT = "SELECT COUNT(*) AS amount FROM domains WHERE organization_id = $1";
    FIND_OWNER = "SELECT name, organization_id, proven_by, proven_at FROM domains WHERE name = $1";
    LIST_OWNED = "SELECT d.name AS name, d.organization_id AS organization_id, d.proven_by AS proven_by, \
                  d.proven_at AS proven_at, c.connection_id AS connection_id FROM domains d \
                  LEFT JOIN domain_connections c ON c.domain = d.name AND c.organization_id = d.organization_id \
                  AND EXISTS (SELECT 1 FROM connections e WHERE e.id = c.connection_id AND e.enabled) \
                  WHERE d.name = $1 ORDER BY c.position";
    LIST = "SELECT name, organization_id, proven_by, proven_at FROM domains WHERE organization_id = $1 ORDER BY name LIMIT 1000";
    LIST_CONNECTIONS = "SELECT connection_id FROM domain_connections WHERE organization_id = $1 AND domain = $2 \
                        ORDER BY position";
    INSERT = "INSERT INTO domains (name, organization_id, proven_by, proven_at, created_at) VALUES ($1, $2, $3, $4, $4) \
              ON CONFLICT (name) DO NOTHING";
    DELETE_CONNECTIONS = "DELETE FROM domain_connections WHERE organization_id = $1 AND domain = $2";
    INSERT_CONNECTION = "INSERT INTO domain_connections (organization_id, domain, connection_id, position) \
                         VALUES ($1, $2, $3, $4)";
}

/// A name with its owner.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DomainRecord {
    /// The name that is owned.
    pub domain: OwnedDomain,
    /// The organization that owns it.
    pub organization: OrganizationId,
    /// How it was proven: `operator`.
    pub proven_by: String,
    /// When it was last proven.
    pub proven_at: Timestamp,
}

row! {
    struct DomainRow {
        name: String,
        organization_id: String,
        proven_by: String,
        proven_at: i64,
    }
}

row! {
    struct OwnedRow {
        #[sqlx(flatten)]
        domain: DomainRow,
        connection_id: Option<String>,
    }
}

row! {
    struct ConnectionIdRow {
        connection_id: String,
    }
}

impl TryFrom<DomainRow> for DomainRecord {
    type Error = StoreError;

    fn try_from(row: DomainRow) -> Result<Self, StoreError> {
        let at = Row { table: "domains", id: &row.name };
        Ok(Self {
            domain: at.parse("name", &row.name)?,
            organization: at.parse("organization_id", &row.organization_id)?,
            proven_at: time(row.proven_at),
            proven_by: row.proven_by,
        })
    }
}

/// The owner of the first of `candidates` that an organization owns; see [`OwnedDomain::candidates`].
pub async fn find_owner(tx: &mut Tx, candidates: &[String]) -> Result<Option<DomainRecord>, StoreError> {
    for candidate in candidates {
        if let Some(row) = fetch_optional!(tx, DomainRow, FIND_OWNER, candidate)? {
            return row.try_into().map(Some);
        }
    }
    Ok(None)
}

/// [`find_owner`], with the enabled connections to which the name routes, in their order.
pub async fn find_owner_and_connections(
    tx: &mut Tx,
    candidates: &[String],
) -> Result<Option<(DomainRecord, Vec<ConnectionId>)>, StoreError> {
    for candidate in candidates {
        let mut owner = None;
        let mut connections: Vec<ConnectionId> = Vec::new();
        for row in fetch_all!(tx, OwnedRow, LIST_OWNED, candidate)? {
            let at = Row { table: "domain_connections", id: candidate };
            let connection: Option<ConnectionId> =
                at.parse_optional("connection_id", row.connection_id.as_deref())?;
            connections.extend(connection);
            owner = Some(row.domain);
        }
        if let Some(row) = owner {
            return Ok(Some((row.try_into()?, connections)));
        }
    }
    Ok(None)
}

/// The domains of an organization, by name.
pub async fn list_domains(
    tx: &mut Tx,
    organization: OrganizationId,
) -> Result<Vec<DomainRecord>, StoreError> {
    fetch_many!(tx, DomainRow, LIST, organization.to_string())?.into_iter().map(TryInto::try_into).collect()
}

/// The connections to which a domain routes, in their order.
pub async fn list_domain_connections(
    tx: &mut Tx,
    organization: OrganizationId,
    domain: &OwnedDomain,
) -> Result<Vec<ConnectionId>, StoreError> {
    let name = domain.to_string();
    let rows = fetch_all!(tx, ConnectionIdRow, LIST_CONNECTIONS, organization.to_string(), &name)?;
    let at = Row { table: "domain_connections", id: &name };
    rows.iter().map(|row| at.parse("connection_id", &row.connection_id)).collect()
}

/// How many domains an organization has.
pub async fn count_domains(tx: &mut Tx, organization: OrganizationId) -> Result<i64, StoreError> {
    let row = fetch_optional!(tx, CountRow, COUNT, organization.to_string())?;
    Ok(row.map_or(0, |row| row.amount))
}

/// Registers a domain as proven. [`StoreError::Conflict`] if another organization owns it. If the same organization
/// owns it already, nothing changes.
pub async fn insert_domain(tx: &mut Tx, new: &DomainRecord) -> Result<(), StoreError> {
    let name = new.domain.to_string();
    let at = new.proven_at.unix_micros();
    execute!(tx, INSERT, &name, new.organization.to_string(), &new.proven_by, at)?;
    let owner = find_owner(tx, std::slice::from_ref(&name)).await?;
    if owner.is_some_and(|owner| owner.organization == new.organization) {
        Ok(())
    } else {
        Err(StoreError::Conflict)
    }
}

/// Sets the connections to which a domain routes, in this order.
pub async fn replace_domain_connections(
    tx: &mut Tx,
    organization: OrganizationId,
    domain: &OwnedDomain,
    connections: &[ConnectionId],
) -> Result<(), StoreError> {
    let (organization, name) = (organization.to_string(), domain.to_string());
    execute!(tx, DELETE_CONNECTIONS, &organization, &name)?;
    for (position, connection) in (0i64..).zip(connections) {
        execute!(tx, INSERT_CONNECTION, &organization, &name, connection.to_string(), position)?;
    }
    Ok(())
}
