//! Databases of the bench, and filling them: copies of what `countersign apply` has made, by SQL that both databases
//! understand. Organizations, connections and domains are copies of the first organization's, accounts, profiles and
//! passwords of its account.

use std::path::Path;

use anyhow::{Context, Result};
use sqlx::{AssertSqlSafe, Connection as _, Executor as _, PgConnection};

use crate::world::{BASE_ACCOUNTS, BASE_ORGANIZATIONS};

/// Accounts of each organization beyond the base.
pub const FURTHER_ACCOUNTS: usize = 10;

/// The broker's database.
pub enum DatabaseUrl {
    /// A file in the bench's folder.
    Sqlite { url: String },
    /// A database that was made on a server for this run.
    Postgres { server: String, name: String, url: String },
}

impl DatabaseUrl {
    /// An empty database.
    pub async fn make(wanted: &str, folder: &Path) -> Result<Self> {
        if wanted == "sqlite" {
            let file = folder.join("bench.db");
            for ending in ["", "-wal", "-shm"] {
                let old = folder.join(format!("bench.db{ending}"));
                if old.exists() {
                    std::fs::remove_file(old)?;
                }
            }
            return Ok(Self::Sqlite { url: format!("sqlite://{}", file.display()) });
        }
        let name = format!("countersign_load_{}", std::process::id());
        let (base, _) = wanted.rsplit_once('/').context("--database is sqlite or postgres://HOST/NAME")?;
        let mut server =
            PgConnection::connect(wanted).await.context("the PostgreSQL server does not answer")?;
        server.execute(AssertSqlSafe(format!("DROP DATABASE IF EXISTS {name}"))).await?;
        server.execute(AssertSqlSafe(format!("CREATE DATABASE {name} TEMPLATE template0"))).await?;
        Ok(Self::Postgres { url: format!("{base}/{name}"), server: wanted.to_owned(), name })
    }

    /// Its address, as the configuration names it.
    pub fn url(&self) -> &str {
        match self {
            Self::Sqlite { url } | Self::Postgres { url, .. } => url,
        }
    }

    /// Drops it; a file goes with the folder.
    pub async fn drop(&self) -> Result<()> {
        if let Self::Postgres { server, name, .. } = self {
            let mut server = PgConnection::connect(server).await?;
            server.execute(AssertSqlSafe(format!("DROP DATABASE {name}"))).await?;
        }
        Ok(())
    }
}

/// Fills the database up to so many organizations; the accounts of the base have so many profiles each.
pub async fn fill(database: &DatabaseUrl, organizations: usize, profiles: usize) -> Result<()> {
    let mut statements = vec!["BEGIN".to_owned()];
    statements.extend(copied_organizations(BASE_ORGANIZATIONS, organizations));
    statements.extend(copied_accounts(0, BASE_ORGANIZATIONS, BASE_ACCOUNTS));
    statements.extend(copied_accounts(BASE_ORGANIZATIONS, organizations, FURTHER_ACCOUNTS));
    statements.extend(linked_profiles(profiles));
    statements.push("COMMIT".to_owned());
    match database {
        DatabaseUrl::Sqlite { url } => {
            let file = url.strip_prefix("sqlite://").context("a URL of a file")?;
            let connection = rusqlite::Connection::open(file)?;
            // All of it is checked by what stands here; checking each row would triple the time.
            connection.pragma_update(None, "foreign_keys", false)?;
            for text in statements {
                connection.execute_batch(&text)?;
            }
        }
        DatabaseUrl::Postgres { url, .. } => {
            let mut connection = PgConnection::connect(url).await?;
            for text in statements {
                connection.execute(AssertSqlSafe(text)).await?;
            }
            // What autovacuum would do by and by. SQLite gets none: the broker never asks for it, and with its
            // statistics SQLite plans a statement anew for each value that is bound.
            connection.execute("ANALYZE").await?;
        }
    }
    Ok(())
}

/// `n (i)`: the numbers from `from` to below `to`.
fn numbers(name: &str, from: usize, to: usize) -> String {
    format!("{name} (i) AS (SELECT {from} UNION ALL SELECT i + 1 FROM {name} WHERE i + 1 < {to})")
}

/// A number with leading zeros, in both dialects.
fn padded(column: &str, digits: usize) -> String {
    format!("substr(CAST(1{} + {column} AS TEXT), 2)", "0".repeat(digits))
}

fn copied_organizations(from: usize, to: usize) -> Vec<String> {
    if from >= to {
        return Vec::new();
    }
    let (n, i) = (numbers("n", from, to), padded("n.i", 6));
    let id = |prefix: &str| format!("'{prefix}_01900000000070008000000000' || {i}");
    let (org, con) = (id("org"), id("con"));
    let pattern = "(SELECT id FROM organizations WHERE handle = 'org-000000')";
    vec![
        format!(
            "INSERT INTO organizations (id, handle, name, plan, enabled, linking, routing, local_sign_in, \
             session_idle, session_max, upstream_recheck, created_at, updated_at) \
             WITH RECURSIVE {n} SELECT {org}, 'org-' || {i}, o.name, o.plan, o.enabled, o.linking, o.routing, \
             o.local_sign_in, o.session_idle, o.session_max, o.upstream_recheck, o.created_at, o.updated_at \
             FROM n, organizations o WHERE o.id = {pattern}"
        ),
        format!(
            "INSERT INTO connections (id, organization_id, handle, name, enabled, issuer, client_id, settings, \
             created_at, updated_at) \
             WITH RECURSIVE {n} SELECT {con}, {org}, 'sso-' || {i}, c.name, c.enabled, c.issuer, c.client_id, \
             c.settings, c.created_at, c.updated_at \
             FROM n, connections c WHERE c.organization_id = {pattern}"
        ),
        format!(
            "INSERT INTO domains (name, organization_id, proven_by, proven_at, created_at) \
             WITH RECURSIVE {n} SELECT 'org-' || {i} || '.test', {org}, d.proven_by, d.proven_at, d.created_at \
             FROM n, domains d WHERE d.organization_id = {pattern}"
        ),
        format!(
            "INSERT INTO domain_connections (organization_id, domain, connection_id, position) \
             WITH RECURSIVE {n} SELECT {org}, 'org-' || {i} || '.test', {con}, d.position \
             FROM n, domain_connections d WHERE d.organization_id = {pattern}"
        ),
    ]
}

fn copied_accounts(from: usize, to: usize, each: usize) -> Vec<String> {
    if from >= to {
        return Vec::new();
    }
    let (n, m) = (numbers("n", from, to), numbers("m", 0, each));
    let (i, j) = (padded("n.i", 6), padded("m.i", 2));
    let id = |prefix: &str| format!("'{prefix}_019000000000700080000000' || {i} || {j}");
    let (acc, pro, name) = (id("acc"), id("pro"), format!("'user-' || {i} || '-' || {j}"));
    let all = format!("WITH RECURSIVE {n}, {m}");
    let pattern = "(SELECT id FROM accounts WHERE username_key = 'pattern')";
    vec![
        format!(
            "INSERT INTO accounts (id, organization_id, username, username_key, email_verified, enabled, \
             break_glass, profile_count, created_at, updated_at) \
             {all} SELECT {acc}, o.id, {name}, {name}, a.email_verified, a.enabled, a.break_glass, \
             a.profile_count, a.created_at, a.updated_at \
             FROM accounts a, n JOIN organizations o ON o.handle = 'org-' || {i}, m WHERE a.id = {pattern}"
        ),
        format!(
            "INSERT INTO account_roles (organization_id, account_id, role) \
             {all} SELECT o.id, {acc}, r.role \
             FROM account_roles r, n JOIN organizations o ON o.handle = 'org-' || {i}, m \
             WHERE r.account_id = {pattern}"
        ),
        format!(
            "INSERT INTO profiles (id, account_id, organization_id, issuer, subject, email_verified, created_at) \
             {all} SELECT {pro}, {acc}, o.id, p.issuer, {acc}, p.email_verified, p.created_at \
             FROM profiles p, n JOIN organizations o ON o.handle = 'org-' || {i}, m \
             WHERE p.account_id = {pattern}"
        ),
        format!(
            "INSERT INTO passwords (account_id, hash, changed_at) \
             {all} SELECT {acc}, p.hash, p.changed_at FROM passwords p, n, m WHERE p.account_id = {pattern}"
        ),
    ]
}

/// Links profiles to each account of the base until it has so many: the first at its organization's provider, as whom
/// `brokered` signs in there, the others elsewhere.
fn linked_profiles(profiles: usize) -> Vec<String> {
    if profiles < 2 {
        return Vec::new();
    }
    let (organizations, accounts) = (numbers("n", 0, BASE_ORGANIZATIONS), numbers("m", 0, BASE_ACCOUNTS));
    let further = numbers("k", 1, profiles);
    let (organization, person, number) = (padded("n.i", 6), padded("m.i", 2), padded("k.i", 2));
    let account = format!("'acc_019000000000700080000000' || {organization} || {person}");
    let (first, subject) = ("k.i = 1", "'person-' || CAST(m.i AS TEXT)");
    vec![
        format!(
            "INSERT INTO profiles (id, account_id, organization_id, connection_id, issuer, subject, \
             email_verified, created_at) \
             WITH RECURSIVE {organizations}, {accounts}, {further} \
             SELECT 'pro_0190000000007001800000' || {organization} || {person} || {number}, {account}, o.id, c.id, \
             CASE WHEN {first} THEN c.issuer ELSE 'https://other-' || {number} || '.test' END, \
             CASE WHEN {first} THEN {subject} ELSE {account} END, FALSE, o.created_at \
             FROM n JOIN organizations o ON o.handle = 'org-' || {organization} \
             JOIN connections c ON c.organization_id = o.id, m, k"
        ),
        format!(
            "UPDATE accounts SET profile_count = {profiles} WHERE id IN \
             (SELECT account_id FROM profiles WHERE id LIKE 'pro_0190000000007001800000%')"
        ),
    ]
}
