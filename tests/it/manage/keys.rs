//! The broker's own signing keys: how long each is of use.

use std::sync::Arc;
use std::time::Duration;

use countersign::flows::keys::Rotation;
use countersign::model::{Caller, KeyState, SigningAlg};
use tokio::task::JoinSet;

use super::{Office, open};
use crate::harness::database::{Kind, TestDatabase};
use crate::harness::time::ManualClock;
use crate::on_both_databases;

/// An organization with an app whose access tokens live so long.
fn app_with_tokens_of(lifetime: &str) -> String {
    format!(
        "[[organizations]]\nhandle = \"a\"\nname = \"A\"\n[[organizations.apps]]\nclient_id = \"slow\"\nname = \"Slow\"\n\
         redirect_uris = [\"https://slow.test/\"]\naccess_token_lifetime = \"{lifetime}\"\n"
    )
}

const DAY: Duration = Duration::from_hours(24);

impl Office {
    /// The states of the ES256 keys, oldest first.
    async fn key_states(&self) -> Vec<KeyState> {
        let mut keys = self.broker.keys.list_signing_keys().await.unwrap();
        keys.retain(|(key, _)| key.algorithm == SigningAlg::ES256);
        keys.into_iter().map(|(_, state)| state).collect()
    }
}

on_both_databases! {
    async fn a_key_stays_published_while_a_token_of_the_most_patient_app_lives(kind: Kind) {
        let office = Office::new(kind).await;
        office.apply(&app_with_tokens_of("20d")).await;
        office.broker.keys.rotate_signing_keys(Caller::Operator(None), Rotation::All).await.unwrap();
        office.clock.advance(Duration::from_hours(23));
        assert_eq!(office.key_states().await, [KeyState::Active, KeyState::Published]);
        // The last token by the old key is made now, and lives for 20 days.
        office.clock.advance(20 * DAY + Duration::from_hours(1));
        assert_eq!(office.key_states().await, [KeyState::Retired, KeyState::Active]);
        office.clock.advance(21 * DAY);
        assert_eq!(office.key_states().await, [KeyState::Active]);
    }
}

on_both_databases! {
    async fn an_app_that_becomes_more_patient_after_a_rotation_keeps_the_old_key_longer(kind: Kind) {
        let office = Office::new(kind).await;
        office.apply(&app_with_tokens_of("5m")).await;
        office.broker.keys.rotate_signing_keys(Caller::Operator(None), Rotation::All).await.unwrap();
        office.apply(&app_with_tokens_of("20d")).await;
        office.clock.advance(20 * DAY);
        assert_eq!(office.key_states().await, [KeyState::Retired, KeyState::Active]);
        // A key that signs no longer stays as it is: its last token is out.
        let before = office.broker.keys.list_signing_keys().await.unwrap();
        office.apply(&app_with_tokens_of("40d")).await;
        assert_eq!(office.broker.keys.list_signing_keys().await.unwrap(), before);
    }
}

on_both_databases! {
    async fn nodes_that_start_together_on_an_empty_database_make_one_key_of_each_kind(kind: Kind) {
        let database = Arc::new(TestDatabase::new(kind).await);
        // SQLite has one node, whose commands run beside it; the first process creates the tables.
        database.open().await.close().await;
        let clock = Arc::new(ManualClock::new());
        let starts = (0..8).map(|seed| {
            let (database, clock) = (Arc::clone(&database), Arc::clone(&clock));
            async move { open(&database, &clock, seed).await }
        });
        let nodes = starts.collect::<JoinSet<_>>().join_all().await;
        let keys = nodes[0].keys.list_signing_keys().await.unwrap();
        let algorithms: Vec<SigningAlg> = keys.iter().map(|(key, _)| key.algorithm).collect();
        assert_eq!(algorithms.len(), 2, "{algorithms:?}");
        // Every node signs with it, whichever node made it.
        for algorithm in algorithms {
            let kids = nodes.iter().map(|node| {
                node.keys.signing_keys().unwrap().signer(algorithm).unwrap().kid().to_owned()
            });
            assert_eq!(kids.collect::<std::collections::BTreeSet<_>>().len(), 1);
        }
    }
}
