//! What the schema gives its statements, and what it makes of an earlier release's rows.

use std::collections::BTreeSet;
use std::time::Duration;

use countersign::model::Timestamp;
use countersign::store::jobs::housekeeping::sweep;
use countersign::store::provider::grants::find_code;
use countersign::store::provider::standing::read_code_standing;
use countersign::store::{self, Statement};

use super::Fixture;
use crate::harness::database::{Kind, SqliteConnection, TestDatabase};
use crate::harness::world::World;
use crate::on_both_databases;

/// Statements that read a table from end to end: one that is small, or that the clean-up empties each minute.
const READ_WHOLE_TABLES: [&str; 7] = [
    "connections::LIST_ENDING_SECRETS_OF_ALL",
    "housekeeping::DELETE_CHANGES",
    "housekeeping::DELETE_FLOODS",
    "housekeeping::DELETE_GUESSES",
    "keys::FORGET",
    "keys::LOCK",
    "keys::LIST",
];

#[tokio::test]
async fn no_other_statement_reads_a_whole_table() {
    let database = TestDatabase::new(Kind::Sqlite).await;
    let opened = database.open().await;
    let mut connection = SqliteConnection::connect(&database.settings.url);
    let mut found = BTreeSet::new();
    for Statement { file, name, text } in store::all_statements() {
        let steps: Vec<String> =
            connection.rows(format!("EXPLAIN QUERY PLAN {text}"), |row| row.get("detail")).await;
        // The rows of a statement's own, those that it has found by then, and those of a part of it that is limited, are
        // few. That part's own steps are looked at too.
        let limited = |name: &str| {
            ["CO-ROUTINE", "MATERIALIZE"].iter().any(|kind| steps.contains(&format!("{kind} {name}")))
        };
        let is_few = |step: &str| {
            let Some(scanned) = step.strip_prefix("SCAN ") else { return true };
            let own = ["CONSTANT ROW", "chain"].contains(&scanned);
            own || limited(scanned) || (name, step) == ("FIND_ACCOUNT_OF_SUBJECT", "SCAN c")
        };
        if !steps.iter().all(|step| is_few(step)) {
            found.insert(format!("{file}::{name}"));
        }
    }
    assert_eq!(found, READ_WHOLE_TABLES.map(str::to_owned).into());
    opened.close().await;
}

/// A statement that takes all columns breaks at the nodes that run when a migration adds one: `PostgreSQL` refuses a prepared
/// statement of which the answer has changed.
#[test]
fn every_statement_names_its_columns() {
    for Statement { file, name, text } in store::all_statements() {
        assert!(!text.replace("COUNT(*)", "").contains('*'), "{file}::{name}: {text}");
        let target = text.strip_prefix("INSERT INTO ").map(|rest| rest.split_whitespace().nth(1).unwrap());
        assert!(target.is_none_or(|columns| columns.starts_with('(')), "{file}::{name}: {text}");
    }
}

on_both_databases! {
    async fn a_node_serves_on_when_a_later_release_adds_columns(kind: Kind) {
        // On one connection, so that it has prepared every statement before the columns come.
        let world = World::configured(kind, &[("COUNTERSIGN__DATABASE__MAX_CONNECTIONS", "1")]).await;
        let mut kept: Option<String> = None;
        for round in 1..=2 {
            let mut bob = world.browser();
            let end = world.brokered(&mut bob).await;
            let (status, tokens) = world.notes.redeem(&world.notes.code(&end)).await;
            assert_eq!(status, 200, "{tokens}");
            let refresh = kept.unwrap_or(tokens["refresh_token"].as_str().unwrap().to_owned());
            let (status, tokens) = world.notes.try_refresh(&refresh).await.unwrap();
            assert_eq!(status, 200, "{tokens}");
            assert_eq!(world.notes.userinfo(tokens["access_token"].as_str().unwrap()).await.0, 200);
            assert!(bob.open("https://id.test/account").await.has("sign-out"));
            let end = world.local(&mut world.browser()).await;
            let (status, tokens_of_gil) = world.globex_app.redeem(&world.globex_app.code(&end)).await;
            assert_eq!(status, 200, "{tokens_of_gil}");
            world.app.broker.housekeeping.sweep().await.unwrap();
            kept = Some(tokens["refresh_token"].as_str().unwrap().to_owned());
            if round == 1 {
                world.app.database.widen_every_table().await;
            }
        }
    }
}

/// Makes a database as the migrations before 0023 left it.
const BACK_TO_0022: [&str; 17] = [
    "DROP INDEX codes_by_end",
    "ALTER TABLE codes DROP COLUMN names_grant",
    "CREATE INDEX codes_by_expiry ON codes (expires_at)",
    "CREATE INDEX refresh_tokens_by_expiry ON refresh_tokens (expires_at)",
    "DROP INDEX sessions_by_idle",
    "DROP INDEX sessions_by_upstream_sid",
    "CREATE INDEX sessions_by_expiry ON sessions (expires_at)",
    "DROP INDEX subjects_by_account",
    "DROP INDEX profiles_by_subject",
    "DROP TABLE turns",
    "DROP TABLE exported_days",
    "DROP TABLE interactions",
    "DROP TABLE jobs",
    "DROP INDEX audit_of_target",
    "ALTER TABLE audit DROP COLUMN target_kind",
    "ALTER TABLE audit DROP COLUMN target_id",
    "DELETE FROM _sqlx_migrations WHERE version > 22",
];

/// What an earlier release left: a grant with a code that was redeemed, and one whose code was not.
const EARLIER_ROWS: [&str; 4] = [
    "INSERT INTO apps (id, organization_id, client_id, name, enabled, settings, created_at, updated_at) \
     SELECT 'app_00000000000070008000000000000001', id, 'old', 'Old', TRUE, '{}', 1, 1 FROM organizations",
    "INSERT INTO grants (id, organization_id, app_id, account_id, session_id, subject, scopes, resources, proof, created_at, \
     expires_at) SELECT g.id, a.organization_id, 'app_00000000000070008000000000000001', a.id, \
     'ses_00000000000070008000000000000001', 'x', 'openid', '', '{\"profile\":\"pro_00000000000070008000000000000001\",\
\"connection\":null,\"authenticated_at\":5,\"witnessed\":false,\"amr\":[\"pwd\"],\"acr\":null,\"upstream_sid\":null}', \
     1, g.expires_at FROM accounts a, (SELECT 'gra_00000000000070008000000000000001' AS id, 36000000000 AS expires_at \
     UNION ALL SELECT 'gra_00000000000070008000000000000002', 60) g",
    "INSERT INTO codes (hash, grant_id, redirect_uri, expires_at, used_at) \
     VALUES ('used', 'gra_00000000000070008000000000000001', 'https://x.test/', 60, 5)",
    "INSERT INTO codes (hash, grant_id, redirect_uri, expires_at) \
     VALUES ('unused', 'gra_00000000000070008000000000000002', 'https://x.test/', 60)",
];

on_both_databases! {
    async fn codes_of_an_earlier_release_are_recognized_for_as_long_as_before(kind: Kind) {
        let fixture = Fixture::new(kind).await;
        fixture.database.close().await;
        for statement in BACK_TO_0022.into_iter().chain(EARLIER_ROWS) {
            fixture.files.run(statement).await;
        }
        let database = fixture.files.open().await;
        assert_eq!(database.count_missing_migrations().await.unwrap(), 0);
        let mut tx = database.write().await.unwrap();
        let (_, read) = read_code_standing(&mut tx, "used").await.unwrap().unwrap();
        let grant = read.grant;
        assert_eq!((grant.proof.witnessed, grant.proof.acr, grant.proof.amr), (false, None, vec!["pwd".to_owned()]));
        let hours = |hours: u64| Timestamp::from_unix_micros(0).after(Duration::from_hours(hours));
        // One that was redeemed stays until its grant is over; one that was not goes with its own.
        sweep(&mut tx, hours(2)).await.unwrap();
        assert!(find_code(&mut tx, "used").await.unwrap().is_some_and(|code| code.used_at.is_some()));
        assert!(find_code(&mut tx, "unused").await.unwrap().is_none());
        sweep(&mut tx, hours(11)).await.unwrap();
        assert!(find_code(&mut tx, "used").await.unwrap().is_none());
        drop(tx);
        database.close().await;
    }
}
