//! What a test left behind: rows of every table that a sign-in may touch, and the audit log, before and after.
//!
//! Most tests of the attack catalogue end with [`Evidence::assert_exactly`] or a similar check: whatever was tried,
//! exactly the expected number of rows was added or removed, and the audit log contains exactly the expected records.
//! A flood of refusals for one reason is 21 records: twenty, and one that counts the rest.

use std::collections::{BTreeMap, BTreeSet};

use countersign::model::AuditId;

use super::app::TestApp;

/// The tables that hold what an attacker wants, or the proof of what they did. `spent_flows` is left out: a burned
/// state is what a refusal shall leave.
const TABLES: [&str; 19] = [
    "account_roles",
    "accounts",
    "codes",
    "consents",
    "dead_tokens",
    "domains",
    "expected_identities",
    "grants",
    "interactions",
    "jobs",
    "link_ledger",
    "mail_codes",
    "operators",
    "password_links",
    "passwords",
    "profiles",
    "refresh_tokens",
    "replaced_profiles",
    "sessions",
];

/// The state of the world at one moment.
pub struct Evidence {
    rows: BTreeMap<&'static str, i64>,
    records: BTreeSet<AuditId>,
}

/// What changed since: rows by table (unchanged tables left out), and the new audit records as
/// `action outcome reason`, oldest first.
#[derive(Debug, PartialEq, Eq)]
pub struct Changes {
    pub rows: BTreeMap<&'static str, i64>,
    pub audit: Vec<String>,
}

impl Evidence {
    /// Photographs the database.
    pub async fn now(app: &TestApp) -> Self {
        let records = app.audit().await.into_iter().map(|record| record.id).collect();
        Self { rows: app.count_rows(&TABLES).await, records }
    }

    /// What is different now.
    pub async fn changes(&self, app: &TestApp) -> Changes {
        let now = app.count_rows(&TABLES).await;
        let rows = now
            .into_iter()
            .map(|(table, count)| (table, count - self.rows[table]))
            .filter(|(_, difference)| *difference != 0)
            .collect();
        // Two nodes order their records by ids of their own while the clock stands still, so a record is new if it was
        // not there before.
        let new = app.audit().await.into_iter().filter(|record| !self.records.contains(&record.id));
        let audit = new.map(|record| {
            let outcome = if record.succeeded { "done" } else { "refused" };
            format!("{} {outcome} {}", record.action, record.reason.unwrap_or_default()).trim_end().to_owned()
        });
        Changes { rows, audit: audit.collect() }
    }

    /// Fails unless exactly this many rows of these tables were added or removed, and the audit log has exactly this
    /// many more of these `action outcome reason` lines.
    pub async fn assert_exactly(&self, app: &TestApp, rows: &[(&'static str, i64)], audit: &[(&str, usize)]) {
        let changes = self.changes(app).await;
        let mut lines = BTreeMap::new();
        for line in changes.audit {
            *lines.entry(line).or_insert(0) += 1;
        }
        let expected = audit.iter().map(|(line, count)| ((*line).to_owned(), *count)).collect();
        assert_eq!((changes.rows, lines), (rows.iter().copied().collect(), expected));
    }

    /// Fails unless nothing but the audit log grew, by exactly these `action outcome reason` lines in any order.
    pub async fn assert_only_refused(&self, app: &TestApp, expected: &[&str]) {
        let mut audit = BTreeMap::new();
        for line in expected {
            *audit.entry(*line).or_insert(0) += 1;
        }
        self.assert_exactly(app, &[], &audit.into_iter().collect::<Vec<_>>()).await;
    }
}
