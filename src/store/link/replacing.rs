//! Connections that replace others: the claims that identify users, and which profiles were replaced, each once.

use crate::model::{ConnectionId, OrganizationId, Profile, ProfileId, ProfileKind, Timestamp};
use crate::store::account::profiles::{ProfileRow, find_profile, profile_columns};
use crate::store::engine::row::Row;
use crate::store::engine::tx::{
    execute, execute_many, fetch_all, fetch_many, fetch_optional, row, statements,
};
use crate::store::{StoreError, Tx};

statements! {
    KEEP = "INSERT INTO profile_claims (profile_id, organization_id, claim, value) VALUES ($1, $2, $3, $4) \
            ON CONFLICT (profile_id, claim) DO UPDATE SET value = excluded.value \
            WHERE profile_claims.organization_id = excluded.organization_id AND profile_claims.value <> excluded.value";
    FORGET = "DELETE FROM profile_claims WHERE profile_id = $1 AND organization_id = $2 AND claim = $3";
    LIST_CLAIMS = "SELECT DISTINCT p.connection_id, k.claim FROM profile_claims k JOIN profiles p ON p.id = k.profile_id \
                   WHERE k.organization_id = $1 AND p.connection_id IS NOT NULL ORDER BY p.connection_id, k.claim LIMIT 1000";
    FORGET_ALL = "DELETE FROM profile_claims WHERE organization_id = $1 AND claim = $3 \
                  AND profile_id IN (SELECT id FROM profiles WHERE connection_id = $2)";
    LIST_BY_CLAIM = concat!("SELECT ", profile_columns!("p"), " \
                     FROM profile_claims k JOIN profiles p ON p.id = k.profile_id \
                     WHERE k.organization_id = $1 AND k.claim = $2 AND k.value = $3 AND p.connection_id = $4 \
                     ORDER BY p.id LIMIT 2");
    LIST_BY_SUBJECT = concat!("SELECT ", profile_columns!(), " FROM profiles \
                       WHERE organization_id = $1 AND subject = $2 AND connection_id = $3 ORDER BY id LIMIT 2");
    TAKE = "INSERT INTO replaced_profiles (connection_id, old_profile_id, new_profile_id, organization_id, old_issuer, \
            old_subject, replaced_at) VALUES ($1, $2, $3, $4, $5, $6, $7) ON CONFLICT (connection_id, old_profile_id) DO NOTHING";
    FIND_TAKEN = "SELECT new_profile_id AS id FROM replaced_profiles \
                  WHERE organization_id = $1 AND connection_id = $2 AND old_profile_id = $3";
    FIND_BY_IDENTITY = "SELECT new_profile_id AS id FROM replaced_profiles WHERE organization_id = $1 AND old_issuer = $2 \
                        AND old_subject = $3 ORDER BY replaced_at DESC LIMIT 1";
    FIND_BY_PROFILE = "SELECT new_profile_id AS id FROM replaced_profiles \
                       WHERE organization_id = $1 AND old_profile_id = $2 ORDER BY replaced_at DESC LIMIT 1";
}

/// How many replacements of replacements are followed.
const STEPS: usize = 10;

row! {
    struct IdRow {
        id: String,
    }
}

impl IdRow {
    fn read(&self) -> Result<ProfileId, StoreError> {
        Row { table: "replaced_profiles", id: &self.id }.parse("new_profile_id", &self.id)
    }
}

row! {
    struct KeptRow {
        connection_id: String,
        claim: String,
    }
}

/// Stores the value of a claim with a profile, over an earlier value. `None` deletes the value. Only the commit waits
/// for it.
pub async fn keep_claim(
    tx: &mut Tx,
    organization: OrganizationId,
    profile: ProfileId,
    (claim, value): (&str, Option<&str>),
) -> Result<(), StoreError> {
    let (profile, organization) = (profile.to_string(), organization.to_string());
    match value {
        Some(value) => execute!(tx, KEEP, profile, organization, claim, value)?,
        None => execute!(tx, FORGET, profile, organization, claim)?,
    };
    Ok(())
}

/// The claims whose values are stored in an organization, each with the connection of the profiles.
pub async fn list_kept_claims(
    tx: &mut Tx,
    organization: OrganizationId,
) -> Result<Vec<(ConnectionId, String)>, StoreError> {
    let id = organization.to_string();
    let at = Row { table: "profiles", id: &id };
    let rows = fetch_many!(tx, KeptRow, LIST_CLAIMS, &id)?;
    rows.into_iter().map(|row| Ok((at.parse("connection_id", &row.connection_id)?, row.claim))).collect()
}

/// Deletes the stored values of a claim from the profiles of a connection.
pub async fn delete_kept_claims(
    tx: &mut Tx,
    organization: OrganizationId,
    connection: ConnectionId,
    claim: &str,
) -> Result<(), StoreError> {
    execute_many!(tx, FORGET_ALL, organization.to_string(), connection.to_string(), claim).map(drop)
}

/// The profiles of a connection with this value of a stored claim, at most two.
pub async fn list_profiles_by_claim(
    tx: &mut Tx,
    (organization, connection): (OrganizationId, ConnectionId),
    (claim, value): (&str, &str),
) -> Result<Vec<Profile>, StoreError> {
    let (organization, connection) = (organization.to_string(), connection.to_string());
    let rows = fetch_all!(tx, ProfileRow, LIST_BY_CLAIM, organization, claim, value, connection)?;
    rows.into_iter().map(TryInto::try_into).collect()
}

/// The profiles of a connection with this subject, of any issuer, at most two.
pub async fn list_profiles_by_subject(
    tx: &mut Tx,
    (organization, connection): (OrganizationId, ConnectionId),
    subject: &str,
) -> Result<Vec<Profile>, StoreError> {
    let (organization, connection) = (organization.to_string(), connection.to_string());
    let rows = fetch_all!(tx, ProfileRow, LIST_BY_SUBJECT, organization, subject, connection)?;
    rows.into_iter().map(TryInto::try_into).collect()
}

/// Whether a profile was replaced before, through this connection of an organization.
pub async fn was_taken(
    tx: &mut Tx,
    organization: OrganizationId,
    through: ConnectionId,
    old: ProfileId,
) -> Result<bool, StoreError> {
    let (organization, through) = (organization.to_string(), through.to_string());
    Ok(fetch_optional!(tx, IdRow, FIND_TAKEN, organization, through, old.to_string())?.is_some())
}

/// Replaces a profile by another one, through this connection. `false` if that was done before, or if it is not the
/// profile of an identity provider.
pub async fn consume_place(
    tx: &mut Tx,
    organization: OrganizationId,
    through: ConnectionId,
    (old, new): (&Profile, ProfileId),
    now: Timestamp,
) -> Result<bool, StoreError> {
    let ProfileKind::External { issuer, subject, .. } = &old.kind else { return Ok(false) };
    let changed = execute!(
        tx,
        TAKE,
        through.to_string(),
        old.id.to_string(),
        new.to_string(),
        organization.to_string(),
        issuer,
        subject,
        now.unix_micros(),
    )?;
    Ok(changed == 1)
}

/// The profile that has replaced the former profile of an identity of this organization.
pub async fn find_successor_of_identity(
    tx: &mut Tx,
    organization: OrganizationId,
    issuer: &str,
    subject: &str,
) -> Result<Option<Profile>, StoreError> {
    let row = fetch_optional!(tx, IdRow, FIND_BY_IDENTITY, organization.to_string(), issuer, subject)?;
    match row {
        Some(row) => find_here_or_successor(tx, organization, row.read()?).await,
        None => Ok(None),
    }
}

/// A profile or, if it was replaced since, its successor; `None` if neither exists.
pub async fn find_here_or_successor(
    tx: &mut Tx,
    organization: OrganizationId,
    mut profile: ProfileId,
) -> Result<Option<Profile>, StoreError> {
    for _ in 0..STEPS {
        if let Some(found) = find_profile(tx, profile).await? {
            return Ok(Some(found));
        }
        match fetch_optional!(tx, IdRow, FIND_BY_PROFILE, organization.to_string(), profile.to_string())? {
            Some(next) => profile = next.read()?,
            None => return Ok(None),
        }
    }
    Ok(None)
}
