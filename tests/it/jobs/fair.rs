//! One organization's flood, and one job that hangs, delay no other organization.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use countersign::flows::queue::Failure;
use tokio::sync::Semaphore;

use super::{Habit, Notes, drain, leave, organization};
use crate::harness::app::TestApp;
use crate::harness::database::Kind;
use crate::on_both_databases;

on_both_databases! {
    async fn a_flood_of_one_organization_lets_others_go_first(kind: Kind) {
        let app = TestApp::new(kind).await;
        let notes = Notes::default();
        leave(&app, Some(organization(1)), (0..500).map(|note| format!("flood-{note}"))).await;
        app.clock.advance(Duration::from_secs(30));
        for other in 2..=5 {
            leave(&app, Some(organization(other)), (0..2).map(|note| format!("other-{other}-{note}"))).await;
        }
        leave(&app, None, ["own".to_owned()]).await;
        let mut worker = notes.worker(&app.broker);
        assert_eq!(worker.begin_due().await.unwrap(), 16);
        while worker.next_end().await {}
        let first: BTreeSet<String> = notes.done().into_iter().filter(|note| !note.starts_with("flood")).collect();
        assert_eq!(first.len(), 9, "{first:?}");
        drain(&mut worker).await;
        assert_eq!(notes.done().len(), 509);
    }
}

on_both_databases! {
    async fn a_flood_that_fails_again_and_again_lets_others_go_first(kind: Kind) {
        let app = TestApp::new(kind).await;
        let notes = Notes::default();
        leave(&app, Some(organization(1)), (0..100).map(|note| format!("flood-{note}"))).await;
        for note in 0..100 {
            notes.teach(&format!("flood-{note}"), Habit::Fail(Failure::passing("not_now", "")));
        }
        let mut worker = notes.worker(&app.broker);
        drain(&mut worker).await;
        // All of them are due again, and were first.
        app.clock.advance(Duration::from_secs(31));
        leave(&app, Some(organization(2)), ["other".to_owned()]).await;
        assert_eq!(worker.begin_due().await.unwrap(), 16);
        while worker.next_end().await {}
        assert_eq!(notes.done(), ["other"]);
    }
}

on_both_databases! {
    async fn jobs_that_hang_hold_up_neither_others_nor_their_own_organization_for_ever(kind: Kind) {
        let app = TestApp::new(kind).await;
        let (notes, gate) = (Notes::default(), Arc::new(Semaphore::new(0)));
        for note in 0..200 {
            notes.teach(&format!("hangs-{note}"), Habit::WaitFor(Arc::clone(&gate)));
        }
        // One that hangs lets its neighbours pass.
        leave(&app, Some(organization(1)), ["hangs-0", "passes"].map(str::to_owned)).await;
        let mut worker = notes.worker(&app.broker);
        assert_eq!(worker.begin_due().await.unwrap(), 2);
        assert!(worker.next_end().await);
        assert_eq!(notes.done(), ["passes"]);
        // An organization all of whose jobs hang has its share of the places, and leaves the rest.
        leave(&app, Some(organization(1)), (1..200).map(|note| format!("hangs-{note}"))).await;
        while worker.begin_due().await.unwrap() > 0 {}
        leave(&app, Some(organization(2)), ["other".to_owned()]).await;
        assert_eq!(worker.begin_due().await.unwrap(), 1);
        assert!(worker.next_end().await);
        assert_eq!(notes.done(), ["other", "passes"]);
        let hanging = notes.begun().len() - 2;
        assert!((16..32).contains(&hanging), "{hanging}");
        gate.add_permits(200);
        drain(&mut worker).await;
        assert_eq!(notes.done().len(), 202);
    }
}
