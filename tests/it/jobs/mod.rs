//! The durable queue: one worker does each job, even if workers die or hang, jobs flood it, or the clock is set back.

mod fair;
mod lost;
mod over;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use countersign::flows::Broker;
use countersign::flows::queue::{About, Failure, JobRun, Payload};
use countersign::jobs::worker::{Job, Worker};
use countersign::model::OrganizationId;
use serde::{Deserialize, Serialize};
use tokio::sync::Semaphore;

use crate::harness::app::TestApp;

/// A job that writes down that it was done.
#[derive(Serialize, Deserialize)]
pub struct Note {
    what: String,
}

impl Payload for Note {
    const NAME: &'static str = "note";
    const VERSION: i64 = 2;

    fn useful_for(&self) -> Duration {
        Duration::from_hours(48)
    }
}

/// What the next run of a note does.
#[derive(Debug, Clone)]
enum Habit {
    /// It is done, and says so.
    Do,
    /// It fails.
    Fail(Failure),
    /// It waits until it may go on, and is done.
    WaitFor(Arc<Semaphore>),
    /// It is done, and then never says so.
    DoAndHang,
}

/// Does notes, by the habit that was set for each, and remembers how often each was done.
#[derive(Clone, Default)]
struct Notes(Arc<State>);

#[derive(Default)]
struct State {
    habits: Mutex<BTreeMap<String, Habit>>,
    begun: Mutex<Vec<String>>,
    done: Mutex<Vec<String>>,
    late_failure: Mutex<Option<Failure>>,
}

impl Notes {
    /// Has the note do this from now on.
    fn teach(&self, what: &str, habit: Habit) {
        self.0.habits.lock().unwrap().insert(what.to_owned(), habit);
    }

    /// What was done, in any order.
    fn done(&self) -> Vec<String> {
        let mut done = self.0.done.lock().unwrap().clone();
        done.sort_unstable();
        done
    }

    /// What was begun, in the order in which it was.
    fn begun(&self) -> Vec<String> {
        self.0.begun.lock().unwrap().clone()
    }

    /// Lets the runs at this gate fail.
    fn fail_at(&self, gate: &Semaphore, failure: Failure) {
        *self.0.late_failure.lock().unwrap() = Some(failure);
        gate.add_permits(1);
    }

    /// Waits until this many runs have begun.
    async fn until_begun(&self, count: usize) {
        until(|| self.begun().len() >= count).await;
    }

    fn worker(&self, broker: &Arc<Broker>) -> Worker<Self> {
        Worker::new(Arc::clone(broker), self.clone())
    }
}

impl Job for Notes {
    type Payload = Note;

    async fn run(&self, _broker: &Broker, note: &Note) -> Result<(), Failure> {
        self.0.begun.lock().unwrap().push(note.what.clone());
        let habit = self.0.habits.lock().unwrap().get(&note.what).cloned().unwrap_or(Habit::Do);
        match &habit {
            Habit::Do | Habit::DoAndHang => {}
            Habit::Fail(failure) => return Err(failure.clone()),
            Habit::WaitFor(gate) => {
                gate.acquire().await.unwrap().forget();
                let failure = self.0.late_failure.lock().unwrap().take();
                failure.map_or(Ok(()), Err)?;
            }
        }
        self.0.done.lock().unwrap().push(note.what.clone());
        if matches!(habit, Habit::DoAndHang) {
            std::future::pending::<()>().await;
        }
        Ok(())
    }
}

/// Waits until something is so.
async fn until(is_so: impl Fn() -> bool) {
    for _ in 0..1_000 {
        if is_so() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("it never is");
}

fn organization(number: u8) -> OrganizationId {
    OrganizationId::from_bytes([number; 16])
}

/// Leaves notes of an organization in one transaction, which ends.
async fn leave(app: &TestApp, of: Option<OrganizationId>, notes: impl IntoIterator<Item = String>) {
    let database = app.evidence().await;
    let mut tx = database.write().await.unwrap();
    for what in notes {
        let about = About { organization: of, ..About::default() };
        assert!(app.broker.core.queue().enqueue(&mut tx, &Note { what }, about).await.unwrap());
    }
    tx.commit().await.unwrap();
}

/// Does what is due until nothing is.
async fn drain(worker: &mut Worker<Notes>) {
    while worker.begin_due().await.unwrap() > 0 || worker.next_end().await {}
}

async fn count(app: &TestApp, rows: &'static str) -> i64 {
    app.count_rows(&[rows]).await[rows]
}

/// How many runs of notes on this node came to this.
fn runs(broker: &Broker, outcome: &'static str) -> u64 {
    let label = JobRun { job: Note::NAME.to_owned(), outcome };
    broker.core.queue().figures().runs.get_or_create(&label).get()
}
