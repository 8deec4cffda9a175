//! Profiles: the ways to sign in to an account. The database holds the three rules (see `0002_accounts.sql`).

use sqlx::FromRow;

use super::row::{Row, text, time};
use super::tx::{execute, execute_later, fetch_all, fetch_optional, statements};
use super::{StoreError, Tx};
use crate::model::{
    AccountId, ConnectionId, Email, OrganizationId, Profile, ProfileId, ProfileKind, Timestamp,
};

statements! {
    FIND_EXTERNAL = "SELECT * FROM profiles WHERE connection_id = $1 AND issuer = $2 AND subject = $3";
    FIND_IN_ORGANIZATION = "SELECT * FROM profiles WHERE organization_id = $1 AND issuer = $2 AND subject = $3";
    LIST = "SELECT * FROM profiles WHERE account_id = $1 ORDER BY created_at, id LIMIT 25";
    RESERVE = "UPDATE accounts SET profile_count = profile_count + 1 WHERE id = $1 AND profile_count < 25";
    INSERT = "INSERT INTO profiles (id, account_id, organization_id, connection_id, issuer, subject, email, email_verified, \
              created_at, last_used_at) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)";
    TOUCH = "UPDATE profiles SET last_used_at = $2 WHERE id = $1";
    TOUCH_EMAIL = "UPDATE profiles SET last_used_at = $2, email = $3, email_verified = $4 WHERE id = $1";
}

/// The issuer that stands for username and password.
const LOCAL_ISSUER: &str = "local";

#[derive(FromRow)]
struct ProfileRow {
    id: String,
    account_id: String,
    connection_id: Option<String>,
    issuer: String,
    subject: String,
    email: Option<String>,
    email_verified: bool,
    created_at: i64,
    last_used_at: Option<i64>,
}

impl TryFrom<ProfileRow> for Profile {
    type Error = StoreError;

    fn try_from(row: ProfileRow) -> Result<Self, StoreError> {
        let at = Row { table: "profiles", id: &row.id };
        let kind = match &row.connection_id {
            None => ProfileKind::Local,
            Some(connection) => ProfileKind::External {
                connection: at.parse("connection_id", connection)?,
                email: at.parse_optional("email", row.email.as_deref())?,
                email_verified: row.email_verified,
                issuer: row.issuer,
                subject: row.subject,
            },
        };
        Ok(Self {
            id: at.parse("id", &row.id)?,
            account: at.parse("account_id", &row.account_id)?,
            kind,
            created_at: time(row.created_at),
            last_used_at: row.last_used_at.map(time),
        })
    }
}

/// The profile of a subject at an identity provider, as one connection reaches it.
pub async fn find_external_profile(
    tx: &mut Tx,
    connection: ConnectionId,
    issuer: &str,
    subject: &str,
) -> Result<Option<Profile>, StoreError> {
    let row = fetch_optional!(tx, ProfileRow, FIND_EXTERNAL, connection.to_string(), issuer, subject)?;
    row.map(TryInto::try_into).transpose()
}

/// The profile of a subject at an identity provider, through whichever connection of an organization.
pub async fn find_profile_in_organization(
    tx: &mut Tx,
    organization: OrganizationId,
    issuer: &str,
    subject: &str,
) -> Result<Option<Profile>, StoreError> {
    let row =
        fetch_optional!(tx, ProfileRow, FIND_IN_ORGANIZATION, organization.to_string(), issuer, subject)?;
    row.map(TryInto::try_into).transpose()
}

/// An account's profiles, oldest first.
pub async fn list_profiles(tx: &mut Tx, account: AccountId) -> Result<Vec<Profile>, StoreError> {
    fetch_all!(tx, ProfileRow, LIST, account.to_string())?.into_iter().map(TryInto::try_into).collect()
}

/// Adds a profile to its account. [`StoreError::Conflict`] when the account has 25, when it has one of this provider
/// already, or when the subject is somebody's profile already.
pub async fn insert_profile(
    tx: &mut Tx,
    organization: Option<OrganizationId>,
    new: &Profile,
) -> Result<(), StoreError> {
    let account = new.account.to_string();
    if execute!(tx, RESERVE, &account)? == 0 {
        return Err(StoreError::Conflict);
    }
    let (connection, issuer, subject, email, verified) = match &new.kind {
        ProfileKind::Local => (None, LOCAL_ISSUER, account.as_str(), None, false),
        ProfileKind::External { connection, issuer, subject, email, email_verified } => {
            (Some(connection.to_string()), issuer.as_str(), subject.as_str(), email.as_ref(), *email_verified)
        }
    };
    execute!(
        tx,
        INSERT,
        new.id.to_string(),
        &account,
        text(organization.as_ref()),
        connection,
        issuer,
        subject,
        email.map(Email::as_str),
        verified,
        new.created_at.unix_micros(),
        new.last_used_at.map(Timestamp::unix_micros),
    )?;
    Ok(())
}

/// Notes that a local profile signed somebody in.
pub async fn touch_profile(tx: &mut Tx, id: ProfileId, now: Timestamp) -> Result<(), StoreError> {
    execute_later!(tx, TOUCH, id.to_string(), now.unix_micros())?;
    Ok(())
}

/// Notes that an external profile signed somebody in, and the email that its provider asserted.
pub async fn touch_external_profile(
    tx: &mut Tx,
    id: ProfileId,
    now: Timestamp,
    email: Option<&Email>,
    email_verified: bool,
) -> Result<(), StoreError> {
    execute_later!(
        tx,
        TOUCH_EMAIL,
        id.to_string(),
        now.unix_micros(),
        email.map(Email::as_str),
        email_verified
    )?;
    Ok(())
}
