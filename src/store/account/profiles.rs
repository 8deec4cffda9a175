//! Profiles: the ways to sign in to an account. The database enforces the three rules (see `0002_accounts.sql`).

use crate::model::{
    AccountId, ConnectionId, Email, OrganizationId, Profile, ProfileId, ProfileKind, Timestamp,
};
use crate::store::engine::row::{Row, text, time};
use crate::store::engine::tx::{execute, fetch_all, fetch_many, fetch_optional, row, statements};
use crate::store::{StoreError, Tx};

row! {
    columns profile_columns;
    pub(in crate::store) struct ProfileRow {
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
}

pub(in crate::store) use profile_columns;

statements! {
    FIND_EXTERNAL = concat!("SELECT ", profile_columns!(), " FROM profiles \
                     WHERE connection_id = $1 AND issuer = $2 AND subject = $3");
    FIND_IN_ORGANIZATION = concat!("SELECT ", profile_columns!(), " FROM profiles \
                            WHERE organization_id = $1 AND issuer = $2 AND subject = $3");
    LIST = concat!("SELECT ", profile_columns!(), " FROM profiles WHERE account_id = $1 ORDER BY created_at, id LIMIT 25");
    FIND = concat!("SELECT ", profile_columns!(), " FROM profiles WHERE id = $1");
    LIST_SHARING_EMAIL = concat!("SELECT ", profile_columns!("p"), ", a.enabled AS account_enabled, \
                          a.break_glass AS break_glass, \
                          COALESCE(c.enabled, TRUE) AS connection_enabled, \
                          EXISTS (SELECT 1 FROM passwords w WHERE w.account_id = a.id) AS has_password, \
                          COALESCE(a.email_canonical = $2, FALSE) AND a.email_verified AND a.email_connection_id IS NULL \
                          AS email_declared FROM profiles p JOIN accounts a ON a.id = p.account_id LEFT JOIN connections c ON c.id = p.connection_id \
                          WHERE p.account_id IN \
                          (SELECT b.id FROM accounts b WHERE b.organization_id = $1 AND b.email_canonical = $2 \
                           UNION SELECT q.account_id FROM profiles q WHERE q.organization_id = $1 AND q.email_canonical = $2) \
                          ORDER BY p.account_id, p.created_at, p.id LIMIT 500");
    LIST_HELD = concat!("SELECT ", profile_columns!("p"), ", a.enabled AS account_enabled, a.break_glass AS break_glass, \
                 COALESCE(c.enabled, TRUE) AS connection_enabled, \
                 EXISTS (SELECT 1 FROM passwords w WHERE w.account_id = a.id) AS has_password, FALSE AS email_declared \
                 FROM profiles p JOIN accounts a ON a.id = p.account_id LEFT JOIN connections c ON c.id = p.connection_id \
                 WHERE p.account_id = $1 ORDER BY p.created_at, p.id LIMIT 25");
    RESERVE = "UPDATE accounts SET profile_count = profile_count + 1 WHERE id = $1 AND profile_count < 25 \
               AND merged_into IS NULL";
    RELEASE = "UPDATE accounts SET profile_count = profile_count - 1 WHERE id = $1 AND profile_count > $2";
    INSERT = "INSERT INTO profiles (id, account_id, organization_id, connection_id, issuer, subject, email, email_verified, \
              created_at, last_used_at, email_canonical) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)";
    TOUCH = "UPDATE profiles SET last_used_at = $2 WHERE id = $1";
    TOUCH_SAME_EMAIL = "UPDATE profiles SET last_used_at = $3 WHERE id = $1 AND account_id = $2 \
                        AND email IS NOT DISTINCT FROM $4 AND email_verified = $5 AND email_canonical IS NOT DISTINCT FROM $6";
    TOUCH_EMAIL = "UPDATE profiles SET last_used_at = $3, email = $4, email_verified = $5, email_canonical = $6 \
                   WHERE id = $1 AND account_id = $2";
    MOVE = "UPDATE profiles SET account_id = $3, subject = CASE WHEN connection_id IS NULL THEN $3 ELSE subject END \
            WHERE id = $1 AND account_id = $2";
    DELETE = "DELETE FROM profiles WHERE id = $1 AND account_id = $2";
}

/// The issuer that stands for username and password.
const LOCAL_ISSUER: &str = "local";

row! {
    struct HeldRow {
        #[sqlx(flatten)]
        profile: ProfileRow,
        account_enabled: bool,
        break_glass: bool,
        connection_enabled: bool,
        has_password: bool,
        email_declared: bool,
    }
}

/// A profile with the facts that decide whether the user can sign in with it.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "each is a fact of its own")]
pub struct HeldProfile {
    /// The profile.
    pub profile: Profile,
    /// Whether its account is enabled.
    pub account_enabled: bool,
    /// Whether its account is a break-glass account.
    pub break_glass: bool,
    /// Whether its connection is enabled; true for a local profile.
    pub connection_enabled: bool,
    /// Whether its account has a password.
    pub has_password: bool,
    /// Whether the operator has declared the email in question as this account's, and as proven.
    pub email_declared: bool,
}

impl TryFrom<HeldRow> for HeldProfile {
    type Error = StoreError;

    fn try_from(row: HeldRow) -> Result<Self, StoreError> {
        Ok(Self {
            profile: row.profile.try_into()?,
            account_enabled: row.account_enabled,
            break_glass: row.break_glass,
            connection_enabled: row.connection_enabled,
            has_password: row.has_password,
            email_declared: row.email_declared,
        })
    }
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

/// The profile of a subject at an identity provider, through any connection of an organization.
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

/// Adds a profile to its account. [`StoreError::Conflict`] if the account has 25 profiles, was merged into another or
/// has a profile of this identity provider already, or if the subject has a profile already.
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
        email.map(Email::canonical),
    )?;
    Ok(())
}

/// The profile with this id.
pub async fn find_profile(tx: &mut Tx, id: ProfileId) -> Result<Option<Profile>, StoreError> {
    fetch_optional!(tx, ProfileRow, FIND, id.to_string())?.map(TryInto::try_into).transpose()
}

/// All profiles of the accounts of an organization that have this email (in its canonical form), themselves or in a
/// profile; at most 500, by account.
pub async fn list_profiles_sharing_email(
    tx: &mut Tx,
    organization: OrganizationId,
    canonical: &str,
) -> Result<Vec<HeldProfile>, StoreError> {
    let rows = fetch_many!(tx, HeldRow, LIST_SHARING_EMAIL, organization.to_string(), canonical)?;
    rows.into_iter().map(TryInto::try_into).collect()
}

/// An account's profiles with the facts that decide whether the user can sign in with them, oldest first.
pub async fn list_held_profiles(tx: &mut Tx, account: AccountId) -> Result<Vec<HeldProfile>, StoreError> {
    fetch_all!(tx, HeldRow, LIST_HELD, account.to_string())?.into_iter().map(TryInto::try_into).collect()
}

/// Removes a profile from its account for good, if the account had more than `keep`. `false` if the profile is not
/// there, or if too few would remain.
pub async fn delete_profile(
    tx: &mut Tx,
    account: AccountId,
    id: ProfileId,
    keep: i64,
) -> Result<bool, StoreError> {
    let account = account.to_string();
    Ok(execute!(tx, DELETE, id.to_string(), &account)? == 1 && execute!(tx, RELEASE, &account, keep)? == 1)
}

/// Moves a profile to another account. `false` if the profile is not there. [`StoreError::Conflict`] if that account
/// has 25 profiles, or one of this identity provider.
pub async fn move_profile(
    tx: &mut Tx,
    id: ProfileId,
    from: AccountId,
    to: AccountId,
) -> Result<bool, StoreError> {
    let (from, to) = (from.to_string(), to.to_string());
    if execute!(tx, MOVE, id.to_string(), &from, &to)? == 0 {
        return Ok(false);
    }
    if execute!(tx, RESERVE, &to)? == 0 || execute!(tx, RELEASE, &from, 0i64)? == 0 {
        return Err(StoreError::Conflict);
    }
    Ok(true)
}

/// Notes a sign-in with a local profile.
pub async fn touch_profile(tx: &mut Tx, id: ProfileId, now: Timestamp) -> Result<(), StoreError> {
    execute!(tx, TOUCH, id.to_string(), now.unix_micros())?;
    Ok(())
}

/// Notes a sign-in with an external profile, and the email that its identity provider asserted. Locks the profile for
/// the rest of the transaction. `false` if it no longer belongs to this account: it was removed, or moved by a merge.
pub async fn touch_external_profile(
    tx: &mut Tx,
    (id, account): (ProfileId, AccountId),
    now: Timestamp,
    email: Option<&Email>,
    email_verified: bool,
) -> Result<bool, StoreError> {
    let (id, account, now) = (id.to_string(), account.to_string(), now.unix_micros());
    let (text, canonical) = (email.map(Email::as_str), email.map(Email::canonical));
    // Usually the email is unchanged. Writing it again would update its index too.
    if execute!(tx, TOUCH_SAME_EMAIL, &id, &account, now, text, email_verified, canonical)? == 1 {
        return Ok(true);
    }
    Ok(execute!(tx, TOUCH_EMAIL, &id, &account, now, text, email_verified, canonical)? == 1)
}
