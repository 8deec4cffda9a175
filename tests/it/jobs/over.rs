//! Jobs that are given up: nothing of their content stays, and the operator hears of them. And forms of a payload that
//! another release writes.

use std::time::Duration;

use countersign::flows::manage::{Check, Verdict};
use countersign::flows::queue::{Failure, JobLabel, Payload};

use super::{Habit, Note, Notes, count, drain, leave, runs};
use crate::harness::app::TestApp;
use crate::harness::database::Kind;
use crate::on_both_databases;

async fn found(app: &TestApp, what: &str) -> Option<Check> {
    app.broker.health.check().await.unwrap().into_iter().find(|check| check.what == what)
}

/// The figures of notes: waiting, overdue seconds, dead.
async fn figures(app: &TestApp) -> (i64, i64, i64) {
    let queue = app.broker.core.queue();
    queue.measure().await.unwrap();
    let (figures, label) = (queue.figures(), JobLabel { job: Note::NAME.to_owned() });
    let of = |family: &prometheus_client::metrics::family::Family<
        JobLabel,
        prometheus_client::metrics::gauge::Gauge,
    >| { family.get_or_create(&label).get() };
    (of(&figures.waiting), of(&figures.overdue_seconds), of(&figures.dead))
}

on_both_databases! {
    async fn what_was_given_up_keeps_no_content_and_is_told_for_a_week(kind: Kind) {
        let app = TestApp::new(kind).await;
        let notes = Notes::default();
        notes.teach("bad", Habit::Fail(Failure::lasting("refused", "")));
        notes.teach("busy", Habit::Fail(Failure::passing("not_now", "")));
        assert_eq!(found(&app, "jobs").await.unwrap().verdict, Verdict::Good);
        leave(&app, None, ["bad", "busy", "good"].map(str::to_owned)).await;
        app.clock.advance(Duration::from_mins(6));
        // No worker runs: the operator is told.
        assert_eq!(figures(&app).await, (3, 360, 0));
        let late = found(&app, "jobs note").await.unwrap();
        assert_eq!(late.verdict, Verdict::Warning);
        assert!(late.finding.starts_with("3 are waiting, one of them since 2026-"), "{}", late.finding);

        drain(&mut notes.worker(&app.broker)).await;
        assert_eq!(notes.done(), ["good"]);
        assert_eq!(["done", "postponed", "dead"].map(|outcome| runs(&app.broker, outcome)), [1, 1, 1]);
        assert_eq!(figures(&app).await, (1, 0, 1));
        assert_eq!(count(&app, "jobs WHERE outcome = 'dead' AND payload_sealed = '' AND last_error = 'refused'").await, 1);
        let dead = found(&app, "jobs note").await.unwrap();
        assert_eq!(dead.verdict, Verdict::Warning);
        assert!(dead.finding.starts_with("1 were given up") && dead.finding.contains("(refused)"), "{}", dead.finding);

        // What is of no use any more is given up as well, without another run.
        app.clock.advance(Duration::from_hours(48));
        let begun = notes.begun().len();
        drain(&mut notes.worker(&app.broker)).await;
        assert_eq!(notes.begun().len(), begun);
        assert_eq!(count(&app, "jobs WHERE outcome = 'dead' AND last_error = 'too_late'").await, 1);
        app.broker.housekeeping.sweep().await.unwrap();
        assert_eq!(figures(&app).await, (0, 0, 2));
        app.clock.advance(Duration::from_hours(24 * 7 + 1));
        app.broker.housekeeping.sweep().await.unwrap();
        assert_eq!(figures(&app).await, (0, 0, 0));
        assert_eq!(count(&app, "jobs").await, 0);
        assert_eq!(found(&app, "jobs").await.unwrap().verdict, Verdict::Good);
    }
}

on_both_databases! {
    async fn what_no_worker_ever_takes_goes_two_days_after_it_was_of_use(kind: Kind) {
        let app = TestApp::new(kind).await;
        leave(&app, None, ["one".to_owned()]).await;
        app.clock.advance(Duration::from_hours(48 + 47));
        app.broker.housekeeping.sweep().await.unwrap();
        assert_eq!(count(&app, "jobs").await, 1);
        app.clock.advance(Duration::from_hours(2));
        app.broker.housekeeping.sweep().await.unwrap();
        assert_eq!(count(&app, "jobs").await, 0);
    }
}

on_both_databases! {
    async fn a_payload_of_a_later_release_waits_for_it_and_one_that_cannot_be_read_is_given_up(kind: Kind) {
        let app = TestApp::new(kind).await;
        let notes = Notes::default();
        leave(&app, None, ["later".to_owned()]).await;
        app.run_statement("UPDATE jobs SET payload_version = 3").await;
        let mut worker = notes.worker(&app.broker);
        assert_eq!(worker.begin_due().await.unwrap(), 0);
        assert_eq!(count(&app, "jobs WHERE finished_at IS NULL AND attempts = 0").await, 1);
        // A form that no release writes any more; and a payload that belongs to another row.
        app.run_statement("UPDATE jobs SET payload_version = 1").await;
        drain(&mut worker).await;
        leave(&app, None, ["one", "other"].map(str::to_owned)).await;
        app.run_statement("UPDATE jobs SET payload_sealed = (SELECT MAX(o.payload_sealed) FROM jobs o) WHERE outcome IS NULL").await;
        drain(&mut worker).await;
        assert_eq!(notes.done().len(), 1);
        assert_eq!(count(&app, "jobs WHERE outcome = 'dead' AND last_error = 'unreadable'").await, 2);
    }
}

on_both_databases! {
    async fn the_metrics_tell_how_the_queue_stands(kind: Kind) {
        let app = TestApp::new(kind).await;
        let notes = Notes::default();
        leave(&app, None, ["one", "two"].map(str::to_owned)).await;
        app.broker.core.queue().measure().await.unwrap();
        let text = crate::operation::ask(app.management, "/metrics").await;
        assert!(text.contains("countersign_jobs_waiting{job=\"note\"} 2\n"), "{text}");
        drain(&mut notes.worker(&app.broker)).await;
        app.broker.core.queue().measure().await.unwrap();
        let text = crate::operation::ask(app.management, "/metrics").await;
        for line in [
            "countersign_job_runs_total{job=\"note\",outcome=\"done\"} 2\n",
            "countersign_jobs_waiting{job=\"note\"} 0\n",
            "countersign_jobs_overdue_seconds{job=\"note\"} 0\n",
            "countersign_jobs_dead{job=\"note\"} 0\n",
        ] {
            assert!(text.contains(line), "{line}{text}");
        }
    }
}
