//! `export`: what it writes, `apply` takes back; what is secret, it does not say.

use countersign::flows::manage::Change;

use super::{ACME, Office, changes};
use crate::harness::database::Kind;
use crate::on_both_databases;

on_both_databases! {
    async fn what_was_exported_changes_nothing_when_it_is_applied(kind: Kind) {
        let office = Office::new(kind).await;
        office.apply(ACME).await;
        let exported = office.export().await;
        let report = office.apply(&exported).await;
        let changed: Vec<_> = report.lines.iter().filter(|line| line.change != Change::Unchanged).collect();
        assert!(changed.is_empty(), "{changed:?}\n{exported}");
    }
}

on_both_databases! {
    async fn an_empty_database_becomes_the_same_under_the_same_master_key(kind: Kind) {
        let office = Office::new(kind).await;
        office.apply(ACME).await;
        let exported = office.export().await;
        let other = Office::new(kind).await;
        let report = other.apply(&exported).await;
        assert!(changes(&report).iter().all(|change| *change == Change::Created), "{report:?}");
        assert_eq!(other.export().await, exported);
        // The secrets are the same too: the file with the clear ones has nothing to change.
        let report = other.apply(ACME).await;
        assert!(changes(&report).iter().all(|change| *change == Change::Unchanged), "{report:?}");
    }
}

on_both_databases! {
    async fn no_secret_stands_in_clear_in_the_export_or_in_the_database(kind: Kind) {
        let office = Office::new(kind).await;
        office.apply(ACME).await;
        assert!(!office.export().await.contains("CANARY"));
        office.broker.housekeeping.close().await;
        let stored = office.everything_stored().await;
        let holds = |text: &str| stored.windows(text.len()).any(|window| window == text.as_bytes());
        assert!(holds("https://acme.okta.test"), "the search finds what is there");
        assert!(!holds("CANARY"));
        assert!(!holds("PRIVATE KEY"));
    }
}

on_both_databases! {
    async fn a_sealed_secret_opens_for_no_other_connection(kind: Kind) {
        let office = Office::new(kind).await;
        office.apply(ACME).await;
        let exported = office.export().await;
        let id = exported.lines().find_map(|line| line.strip_prefix("id = \"con_")).unwrap().to_owned();
        let foreign = exported.replace(&id, "019000000000700080000000000000ff\"");
        let other = Office::new(kind).await;
        let error = other.try_apply(&foreign).await.unwrap_err();
        assert!(error.to_string().contains("does not open"), "{error}");
    }
}
