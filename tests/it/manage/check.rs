//! `check`: it says what a start would find, and changes nothing.

use std::sync::Arc;
use std::time::Duration;

use countersign::app::{Environment, check};
use countersign::config::Config;
use countersign::flows::manage::{Check, Verdict};
use countersign::telemetry::{self, Format};
use tempfile::TempDir;
use tracing::level_filters::LevelFilter;

use super::{ACME, MASTER_KEY, Office};
use crate::harness::beta::Beta;
use crate::harness::database::Kind;
use crate::harness::log::Log;
use crate::harness::pki::Authority;
use crate::harness::time::SeededRandom;
use crate::on_both_databases;

/// What `check` finds with these variables.
async fn findings(office: &Office, variables: &[(&str, &str)]) -> Vec<Check> {
    let config = Config::load(None, variables.iter().copied()).unwrap_or_else(|errors| panic!("{errors}"));
    let random = Arc::new(SeededRandom::new(5));
    check::check(&config, &Environment { clock: office.clock.clone(), random }, false).await
}

fn verdict<'c>(checks: &'c [Check], what: &str) -> (Verdict, &'c str) {
    let found = checks.iter().find(|check| check.what == what);
    let found = found.unwrap_or_else(|| panic!("nothing about {what} in {checks:?}"));
    (found.verdict, &found.finding)
}

/// A folder with a certificate that has ended by the clock of the tests, one that ends soon, and a good one.
fn certificates() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    Authority::new().issue_until(folder.path(), "good", &["good.test"], (2030, 1, 1));
    Authority::new().issue_until(folder.path(), "old", &["old.test"], (2026, 9, 1));
    Authority::new().issue_until(folder.path(), "soon", &["soon.test"], (2026, 10, 1));
    folder
}

on_both_databases! {
    async fn a_check_says_what_ends_and_writes_nothing(kind: Kind) {
        let office = Office::new(kind).await;
        // The clock stands at the 21st of September 2026.
        let soon = "secret_expires = \"2026-10-10\"";
        let acme = ACME.replace("secret_expires = \"2027-03-01\"", soon);
        // Private addresses are refused, so that no call is made.
        office.apply(&acme.replace("acme.okta.test", "localhost:1").replace("login.microsoftonline.test", "localhost:1")).await;
        let tables = ["signing_keys", "changes", "audit", "connection_memory"];
        let before = office.database.count_rows(&tables).await;
        let certs = certificates();
        let variables = [
            ("COUNTERSIGN__SERVER__PUBLIC_URL", "https://id.test"),
            ("COUNTERSIGN__DATABASE__URL", office.database.settings.url.as_str()),
            ("COUNTERSIGN__SECRETS__MASTER_KEY", MASTER_KEY),
            ("COUNTERSIGN__TLS__CERTS_DIR", certs.path().to_str().unwrap()),
        ];
        let checks = findings(&office, &variables).await;
        assert_eq!(verdict(&checks, "database").0, Verdict::Good);
        // RS256 and ES256 from the start, EdDSA for an app.
        assert_eq!(verdict(&checks, "keys"), (Verdict::Good, "3 signing keys, all open"));
        assert_eq!(verdict(&checks, "certificate good"), (Verdict::Good, "ends on 2030-01-01T00:00:00Z"));
        assert_eq!(verdict(&checks, "certificate soon").0, Verdict::Warning);
        assert_eq!(verdict(&checks, "certificate old").0, Verdict::Bad);
        // Nothing listens at these addresses; the secret is reported beside.
        let (found, finding) = verdict(&checks, "connection acme/okta");
        assert!(found == Verdict::Bad && finding.contains("its client secret expires on 2026-10-10"), "{finding}");

        // A key that was sealed with another master key cannot be used.
        let other = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";
        let wrong = variables.map(|(name, value)| (name, if value == MASTER_KEY { other } else { value }));
        let checks = findings(&office, &wrong).await;
        assert_eq!(verdict(&checks, "keys").0, Verdict::Bad);
        assert_eq!(office.database.count_rows(&tables).await, before);
    }
}

on_both_databases! {
    async fn a_setting_without_effect_is_a_warning_of_a_connection_that_works(kind: Kind) {
        let beta = Beta::new(kind).await;
        for (setting, expected) in [("mfa = \"claim\"", Verdict::Good), ("mfa = \"attested\"", Verdict::Warning)] {
            beta.apply(setting).await;
            let checks = beta.world.app.broker.health.check().await.unwrap();
            let (found, finding) = verdict(&checks, "connection beta/beta-idp");
            let is_told = finding.contains("mfa = \"attested\" has no effect yet");
            assert_eq!((found, is_told), (expected, expected == Verdict::Warning), "{finding}");
        }
    }
}

on_both_databases! {
    async fn a_database_that_was_opened_to_look_takes_no_write(kind: Kind) {
        use countersign::store::Database;
        let office = Office::new(kind).await;
        let database = Database::open_to_look(&office.database.settings).await.unwrap().unwrap();
        let before = office.database.count_rows(&["changes"]).await;
        let now = countersign::model::Clock::now(&*office.clock);
        // SQLite refuses the transaction, PostgreSQL the statement.
        if let Ok(mut tx) = database.write().await {
            countersign::store::jobs::changes::insert_change(&mut tx, "directory", now).await.unwrap_err();
        }
        assert_eq!(office.database.count_rows(&["changes"]).await, before);
    }
}

#[tokio::test]
async fn before_the_first_start_a_check_finds_nothing_and_makes_nothing() {
    let office = Office::new(Kind::Sqlite).await;
    let folder = tempfile::tempdir().unwrap();
    let url = format!("sqlite://{}", folder.path().join("data/new.db").display());
    let key = folder.path().join("data/master.key");
    let variables = [
        ("COUNTERSIGN__DATABASE__URL", url.as_str()),
        ("COUNTERSIGN__SECRETS__MASTER_KEY_FILE", key.to_str().unwrap()),
        ("COUNTERSIGN__TLS__CERTS_DIR", folder.path().to_str().unwrap()),
    ];
    let checks = findings(&office, &variables).await;
    assert_eq!(verdict(&checks, "database"), (Verdict::Good, "not there yet; the first start makes it"));
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
}

on_both_databases! {
    async fn the_server_says_that_a_client_secret_ends_a_month_before(kind: Kind) {
        let office = Office::new(kind).await;
        office.apply(ACME).await;
        let log = Log::default();
        let subscriber = telemetry::subscriber(Format::Text, LevelFilter::WARN, log.clone());
        let _guard = tracing::dispatcher::set_default(&subscriber);
        // The secret ends on the first of March 2027, 160 days from now.
        office.clock.advance(Duration::from_hours(24 * 129));
        office.broker.health.warn_of_ending_secrets().await.unwrap();
        assert!(log.text().is_empty());
        office.clock.advance(Duration::from_hours(24 * 3));
        office.broker.health.warn_of_ending_secrets().await.unwrap();
        let said = log.text();
        assert_eq!(said.lines().count(), 1, "{said}");
        assert!(said.contains("handle=okta") && said.contains("ends=2027-03-01T00:00:00Z"), "{said}");
    }
}
