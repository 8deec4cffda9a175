//! What the broker does without being asked.

use countersign::flows::housekeeping::ChangeReader;
use countersign::flows::keys::Rotation;
use countersign::flows::provider::clients::ClientCredentials;
use countersign::model::{Caller, Clock, Secret};
use countersign::store::jobs::housekeeping::{self, Swept};

use super::{ACME, Office};
use crate::harness::database::Kind;
use crate::on_both_databases;

/// 2,500 rows of each kind, long expired.
const EXPIRED: [&str; 4] = [
    "INSERT INTO spent_flows (id, expires_at) WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n \
     WHERE i < 2500) SELECT CAST(i AS TEXT), 1 FROM n",
    "INSERT INTO guesses (scope, subject, failures, blocked_until, updated_at) WITH RECURSIVE n(i) AS \
     (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 2500) SELECT 'network', CAST(i AS TEXT), 1, 1, 1 FROM n",
    "INSERT INTO audit_floods (reason, network, minute, refusals) WITH RECURSIVE n(i) AS \
     (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 2500) SELECT 'x', CAST(i AS TEXT), 1, 1 FROM n",
    "INSERT INTO changes (topic, at) WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n \
     WHERE i < 2500) SELECT 'directory', 1 FROM n",
];

on_both_databases! {
    async fn a_clean_up_goes_on_until_all_that_has_expired_is_gone_in_short_steps(kind: Kind) {
        let office = Office::new(kind).await;
        let tables = ["spent_flows", "guesses", "audit_floods", "changes"];
        let kept = office.database.count_rows(&tables).await;
        for statement in EXPIRED {
            office.database.run(statement).await;
        }
        let database = office.database.open().await;
        let mut tx = database.write().await.unwrap();
        let step = housekeeping::sweep(&mut tx, office.clock.now()).await.unwrap();
        assert_eq!(step, Swept { deleted: 4_000, is_more: true });
        drop(tx);
        assert_eq!(office.broker.housekeeping.sweep().await.unwrap(), 10_000);
        assert_eq!(office.database.count_rows(&tables).await, kept);
        assert_eq!(office.broker.housekeeping.sweep().await.unwrap(), 0);
    }
}

on_both_databases! {
    async fn a_change_is_not_lost_behind_keys_that_cannot_be_read(kind: Kind) {
        let office = Office::new(kind).await;
        office.apply(ACME).await;
        let other = office.another(99).await;
        let mut reader = ChangeReader::default();
        other.housekeeping.forget_changes(&mut reader).await.unwrap();
        let notes = ClientCredentials {
            form_id: Some("notes".to_owned()),
            form_secret: Some(Secret::new("CANARY-app-secret-0001")),
            ..ClientCredentials::default()
        };
        other.clients.authenticate_client("network", &notes).await.unwrap();

        office.apply(&ACME.replace("name = \"Notes\"", "name = \"Notes\"\nenabled = false")).await;
        let made = office.broker.keys.rotate_signing_keys(Caller::Operator(None), Rotation::All).await.unwrap();
        office.database.run("UPDATE signing_keys SET private_sealed = 'x' || private_sealed").await;
        other.housekeeping.forget_changes(&mut reader).await.unwrap_err();
        other.clients.authenticate_client("network", &notes).await.unwrap_err();

        // The notice of the keys was read once, and is not lost either.
        let knows = || other.keys.signing_keys().unwrap().verifier(&made[0].id.to_string()).is_some();
        assert!(!knows());
        office.database.run("UPDATE signing_keys SET private_sealed = SUBSTR(private_sealed, 2)").await;
        other.housekeeping.forget_changes(&mut reader).await.unwrap();
        assert!(knows());
    }
}
