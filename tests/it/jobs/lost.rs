//! Workers that meet, die, take too long, or lose the database: a job is done, and what came late changes nothing.

use std::sync::Arc;
use std::time::Duration;

use countersign::flows::queue::{About, Failure};
use tokio::sync::{Barrier, Semaphore};
use tokio::task::JoinSet;

use super::{Habit, Note, Notes, count, drain, leave, organization, runs, until};
use crate::faults::database::world_behind_proxy;
use crate::harness::app::TestApp;
use crate::harness::database::{Kind, TestDatabase};
use crate::on_both_databases;

const WAITING: &str = "jobs WHERE finished_at IS NULL";
const DONE: &str = "jobs WHERE outcome = 'done' AND payload_sealed = ''";

on_both_databases! {
    async fn of_two_nodes_and_many_workers_one_has_each_job(kind: Kind) {
        let app = TestApp::new(kind).await;
        let second = app.second_node().await;
        for number in 0..3 {
            let of = (number > 0).then(|| organization(number));
            leave(&app, of, (0..40).map(|note| format!("{number}-{note}"))).await;
        }
        let notes = Notes::default();
        let barrier = Arc::new(Barrier::new(8));
        let mut workers = JoinSet::new();
        for number in 0..8 {
            let broker = if number % 2 == 0 { &app.broker } else { &second.broker };
            let (mut worker, barrier) = (notes.worker(broker), Arc::clone(&barrier));
            workers.spawn(async move {
                barrier.wait().await;
                drain(&mut worker).await;
            });
        }
        workers.join_all().await;
        // A worker that chose what others got first had none left to choose.
        drain(&mut notes.worker(&app.broker)).await;
        let mut all: Vec<String> = (0..3).flat_map(|number| (0..40).map(move |note| format!("{number}-{note}"))).collect();
        all.sort_unstable();
        assert_eq!(notes.done(), all);
        assert_eq!((count(&app, DONE).await, count(&app, WAITING).await), (120, 0));
        assert_eq!(runs(&app.broker, "done") + runs(&second.broker, "done"), 120);
    }
}

on_both_databases! {
    async fn what_was_rolled_back_is_not_done_and_of_one_key_one_is_kept(kind: Kind) {
        let app = TestApp::new(kind).await;
        let database = app.evidence().await;
        let keep = async |what: &str, key: &str, commit: bool| {
            let mut tx = database.write().await.unwrap();
            let about = About { dedup_key: Some(key.to_owned()), ..About::default() };
            let kept = app.broker.core.queue().enqueue(&mut tx, &Note { what: what.to_owned() }, about).await.unwrap();
            if commit {
                tx.commit().await.unwrap();
            }
            kept
        };
        assert!(keep("rolled back", "one", false).await);
        assert!(keep("CANARY-first", "one", true).await);
        assert!(!keep("second", "one", true).await);
        assert!(!String::from_utf8_lossy(&app.everything_stored().await).contains("CANARY-first"));
        let notes = Notes::default();
        drain(&mut notes.worker(&app.broker)).await;
        assert!(!keep("after it was done", "one", true).await);
        drain(&mut notes.worker(&app.broker)).await;
        assert_eq!(notes.done(), ["CANARY-first"]);
    }
}

on_both_databases! {
    async fn a_job_whose_worker_died_is_done_again_after_its_lease(kind: Kind) {
        let app = TestApp::new(kind).await;
        leave(&app, None, ["one".to_owned()]).await;
        let notes = Notes::default();
        // It dies between doing the job and saying so.
        notes.teach("one", Habit::DoAndHang);
        let mut dead = notes.worker(&app.broker);
        assert_eq!(dead.begin_due().await.unwrap(), 1);
        until(|| notes.done().len() == 1).await;
        drop(dead);
        notes.teach("one", Habit::Do);
        let second = app.second_node().await;
        let mut other = notes.worker(&second.broker);
        app.clock.advance(Duration::from_secs(119));
        assert_eq!(other.begin_due().await.unwrap(), 0, "the lease still runs");
        app.clock.advance(Duration::from_secs(1));
        drain(&mut other).await;
        assert_eq!(notes.done(), ["one", "one"]);
        assert_eq!(count(&app, "jobs WHERE outcome = 'done' AND attempts = 2").await, 1);
    }
}

on_both_databases! {
    async fn a_worker_that_took_longer_than_its_lease_changes_nothing(kind: Kind) {
        let app = TestApp::new(kind).await;
        let late_ends = [Habit::Do, Habit::Fail(Failure::passing("late", "")), Habit::Fail(Failure::lasting("late", ""))];
        for (number, end) in late_ends.into_iter().enumerate() {
            let what = format!("note-{number}");
            leave(&app, None, [what.clone()]).await;
            let (slow, quick) = (Notes::default(), Notes::default());
            let (first, second) = (Arc::new(Semaphore::new(0)), Arc::new(Semaphore::new(0)));
            slow.teach(&what, Habit::WaitFor(Arc::clone(&first)));
            quick.teach(&what, Habit::WaitFor(Arc::clone(&second)));
            let mut slow_worker = slow.worker(&app.broker);
            assert_eq!(slow_worker.begin_due().await.unwrap(), 1);
            slow.until_begun(1).await;
            app.clock.advance(Duration::from_mins(3));
            let mut quick_worker = quick.worker(&app.broker);
            assert_eq!(quick_worker.begin_due().await.unwrap(), 1);
            quick.until_begun(1).await;
            // The first one ends while the second has the job.
            let lost = runs(&app.broker, "lost");
            match end {
                Habit::Fail(failure) => slow.fail_at(&first, failure),
                _ => first.add_permits(1),
            }
            assert!(slow_worker.next_end().await);
            assert_eq!(runs(&app.broker, "lost"), lost + 1);
            assert_eq!(count(&app, WAITING).await, 1, "the second still has it");
            assert_eq!(quick.worker(&app.broker).begin_due().await.unwrap(), 0, "and nobody else");
            second.add_permits(1);
            assert!(quick_worker.next_end().await);
            assert_eq!(count(&app, WAITING).await, 0);
        }
        assert_eq!(count(&app, DONE).await, 3);
        assert!(app.refusals().await.is_empty());
    }
}

on_both_databases! {
    async fn what_was_written_before_the_clock_was_set_back_is_due(kind: Kind) {
        let app = TestApp::new(kind).await;
        let notes = Notes::default();
        notes.teach("claimed", Habit::DoAndHang);
        notes.teach("failed", Habit::Fail(Failure::passing("not_now", "")));
        let hour = Duration::from_hours(1);
        app.clock.advance(hour);
        leave(&app, None, ["claimed", "failed"].map(str::to_owned)).await;
        let mut dead = notes.worker(&app.broker);
        assert_eq!(dead.begin_due().await.unwrap(), 2);
        assert!(dead.next_end().await);
        until(|| notes.done().len() == 1).await;
        drop(dead);
        leave(&app, None, ["new".to_owned()]).await;
        for what in ["claimed", "failed"] {
            notes.teach(what, Habit::Do);
        }
        // Clocks that differ by less than a minute are as good as one.
        app.clock.set_back(Duration::from_secs(59));
        assert_eq!(notes.worker(&app.broker).begin_due().await.unwrap(), 0);
        app.clock.set_back(hour);
        drain(&mut notes.worker(&app.broker)).await;
        assert_eq!(notes.done(), ["claimed", "claimed", "failed", "new"]);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_job_that_was_done_while_the_database_fell_silent_is_done_again() {
    let (world, proxy) = world_behind_proxy(TestDatabase::new(Kind::Postgres).await).await;
    let app = &world.app;
    leave(app, None, ["one".to_owned()]).await;
    let notes = Notes::default();
    let gate = Arc::new(Semaphore::new(0));
    notes.teach("one", Habit::WaitFor(Arc::clone(&gate)));
    let mut worker = notes.worker(&app.broker);
    assert_eq!(worker.begin_due().await.unwrap(), 1);
    notes.until_begun(1).await;
    proxy.fall_silent();
    gate.add_permits(1);
    let silent = async {
        assert!(worker.next_end().await, "it does not wait for the database for ever");
        worker.begin_due().await.unwrap_err();
    };
    tokio::time::timeout(Duration::from_mins(1), silent).await.expect("nobody waits for ever");
    proxy.speak();
    assert_eq!(count(app, WAITING).await, 1);
    notes.teach("one", Habit::Do);
    app.clock.advance(Duration::from_mins(2));
    let healed = async {
        while count(app, WAITING).await > 0 {
            let _ = worker.begin_due().await;
            worker.next_end().await;
        }
    };
    tokio::time::timeout(Duration::from_mins(1), healed).await.expect("it heals");
    assert_eq!(notes.done(), ["one", "one"]);
}
