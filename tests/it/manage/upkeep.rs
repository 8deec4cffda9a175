//! What the broker does without being asked.

use countersign::store::housekeeping::{self, Swept};
use countersign::model::Clock;

use super::Office;
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
        assert_eq!(office.broker.sweep().await.unwrap(), 10_000);
        assert_eq!(office.database.count_rows(&tables).await, kept);
        assert_eq!(office.broker.sweep().await.unwrap(), 0);
    }
}
