//! Connections that replace others: the claims by which people are recognized, and whose place was taken, once.

use super::profiles::ProfileRow;
use super::tx::{execute, execute_later, fetch_all, fetch_optional, statements};
use super::{StoreError, Tx};
use crate::model::{ConnectionId, OrganizationId, Profile, ProfileId, ProfileKind, Timestamp};

statements! {
    KEEP = "INSERT INTO profile_claims (profile_id, organization_id, claim, value, kept_at) VALUES ($1, $2, $3, $4, $5) \
            ON CONFLICT (profile_id, claim) DO UPDATE SET value = excluded.value, kept_at = excluded.kept_at \
            WHERE profile_claims.value <> excluded.value";
    FORGET = "DELETE FROM profile_claims WHERE claim = $2 AND profile_id IN (SELECT id FROM profiles WHERE connection_id = $1)";
    LIST_BY_CLAIM = "SELECT p.* FROM profile_claims k JOIN profiles p ON p.id = k.profile_id \
                     WHERE k.organization_id = $1 AND k.claim = $2 AND k.value = $3 AND p.connection_id = $4 \
                     ORDER BY p.id LIMIT 2";
    LIST_BY_SUBJECT = "SELECT * FROM profiles WHERE organization_id = $1 AND subject = $2 AND connection_id = $3 ORDER BY id LIMIT 2";
    TAKE = "INSERT INTO replaced_profiles (connection_id, profile_id, organization_id, old_connection_id, old_issuer, \
            old_subject, replaced_at) VALUES ($1, $2, $3, $4, $5, $6, $7) ON CONFLICT (connection_id, profile_id) DO NOTHING";
    FIND_MOVED = "SELECT p.* FROM replaced_profiles r JOIN profiles p ON p.id = r.profile_id AND p.connection_id = r.connection_id \
                  WHERE r.old_connection_id = $1 AND r.old_issuer = $2 AND r.old_subject = $3 ORDER BY r.replaced_at DESC LIMIT 1";
    FORGET_OF_PROFILE = "DELETE FROM profile_claims WHERE profile_id = $1";
    MOVE = "UPDATE profiles SET connection_id = $3, issuer = $4, subject = $5 WHERE id = $1 AND connection_id = $2";
}

/// Keeps the value of a claim with a profile, over an earlier one. Nobody waits for it but the commit.
pub async fn keep_claim(
    tx: &mut Tx,
    organization: OrganizationId,
    profile: ProfileId,
    (claim, value): (&str, &str),
    now: Timestamp,
) -> Result<(), StoreError> {
    let (profile, organization) = (profile.to_string(), organization.to_string());
    execute_later!(tx, KEEP, profile, organization, claim, value, now.unix_micros())?;
    Ok(())
}

/// Forgets the values of a claim of all profiles of a connection.
pub async fn delete_kept_claims(
    tx: &mut Tx,
    connection: ConnectionId,
    claim: &str,
) -> Result<(), StoreError> {
    execute!(tx, FORGET, connection.to_string(), claim).map(drop)
}

/// The profiles of a connection that have this value of a kept claim, two at most.
pub async fn list_profiles_by_claim(
    tx: &mut Tx,
    (organization, connection): (OrganizationId, ConnectionId),
    (claim, value): (&str, &str),
) -> Result<Vec<Profile>, StoreError> {
    let (organization, connection) = (organization.to_string(), connection.to_string());
    let rows = fetch_all!(tx, ProfileRow, LIST_BY_CLAIM, organization, claim, value, connection)?;
    rows.into_iter().map(TryInto::try_into).collect()
}

/// The profiles of a connection with this subject, of whatever issuer, two at most.
pub async fn list_profiles_by_subject(
    tx: &mut Tx,
    (organization, connection): (OrganizationId, ConnectionId),
    subject: &str,
) -> Result<Vec<Profile>, StoreError> {
    let (organization, connection) = (organization.to_string(), connection.to_string());
    let rows = fetch_all!(tx, ProfileRow, LIST_BY_SUBJECT, organization, subject, connection)?;
    rows.into_iter().map(TryInto::try_into).collect()
}

/// Takes the place of a profile through another connection; `false` when that was done before, or it is no external one.
pub async fn consume_place(
    tx: &mut Tx,
    organization: OrganizationId,
    connection: ConnectionId,
    old: &Profile,
    now: Timestamp,
) -> Result<bool, StoreError> {
    let ProfileKind::External { connection: old_connection, issuer, subject, .. } = &old.kind else {
        return Ok(false);
    };
    let changed = execute!(
        tx,
        TAKE,
        connection.to_string(),
        old.id.to_string(),
        organization.to_string(),
        old_connection.to_string(),
        issuer,
        subject,
        now.unix_micros(),
    )?;
    Ok(changed == 1)
}

/// The profile that an identity of this connection was before it moved to the one that replaces it.
pub async fn find_moved_profile(
    tx: &mut Tx,
    old_connection: ConnectionId,
    issuer: &str,
    subject: &str,
) -> Result<Option<Profile>, StoreError> {
    let row = fetch_optional!(tx, ProfileRow, FIND_MOVED, old_connection.to_string(), issuer, subject)?;
    row.map(TryInto::try_into).transpose()
}

/// Moves a profile from one connection to another, under the issuer and subject that it has there, and forgets what the
/// first one kept with it; `false` when it is not there any more. [`StoreError::Conflict`] when that identity is somebody's already.
pub async fn move_to_connection(
    tx: &mut Tx,
    profile: ProfileId,
    (from, to): (ConnectionId, ConnectionId),
    (issuer, subject): (&str, &str),
) -> Result<bool, StoreError> {
    let (profile, from, to) = (profile.to_string(), from.to_string(), to.to_string());
    execute!(tx, FORGET_OF_PROFILE, &profile)?;
    Ok(execute!(tx, MOVE, profile, from, to, issuer, subject)? == 1)
}
