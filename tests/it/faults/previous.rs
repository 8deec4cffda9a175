//! The program of an earlier commit and the one of this tree, side by side on one PostgreSQL, which this one migrates
//! while people sign in.
//!
//! `scripts/previous` builds the commit that `tests/previous` names and starts this test with it.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::task::JoinHandle;

use super::program::{People, assert_kept};
use super::rows::assert_whole;
use crate::harness::database::{Kind, TestDatabase};
use crate::harness::program::{Program, THIS_PROGRAM, balanced, readiness, requests};

/// How many sign-ins there are at least before the new node comes, while both serve, after the old one has left, and after
/// the tables have got further columns.
const SIGN_INS: usize = 40;

/// What the database was migrated by.
const MIGRATIONS: &str = "_sqlx_migrations WHERE success";

/// Returns after this many more sign-ins, or when one has failed.
async fn further(people: &People, workers: &[JoinHandle<usize>], count: usize) {
    let began = people.done();
    while people.done() < began + count && !workers.iter().any(JoinHandle::is_finished) {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "scripts/previous starts it, with the program of an earlier commit"]
async fn a_node_of_the_previous_release_and_one_of_this_fail_nobody_through_a_migration() {
    let previous = std::env::var("COUNTERSIGN_PREVIOUS").expect("scripts/previous sets COUNTERSIGN_PREVIOUS");
    let database = TestDatabase::new(Kind::Postgres).await;
    let mut program = Program::declared(database, &[Path::new(&previous), Path::new(THIS_PROGRAM)]).await;
    let (old, new) = (program.nodes[0].management, program.nodes[1].management);
    program.nodes[0].restart().await;
    let balancer = balanced(&program.nodes).await;
    program.reached_at(balancer);
    let people = People::of(&program);
    // The first one makes the account; of several first ones at once all but one would be told to begin again.
    people.brokered().await.unwrap();
    let over = Arc::new(AtomicBool::new(false));
    let workers = people.without_fail(&over);

    further(&people, &workers, SIGN_INS).await;
    let (before, migrated) = (program.count(MIGRATIONS).await, people.done());
    program.nodes[1].restart().await;
    let (after, migrated) = (program.count(MIGRATIONS).await, people.done() - migrated);
    assert!(
        readiness(old).await.is_some_and(|said| said.starts_with("HTTP/1.1 200")),
        "the old node serves on"
    );

    let answered = (requests(old).await, requests(new).await);
    further(&people, &workers, SIGN_INS).await;
    assert!(requests(old).await > answered.0 && requests(new).await > answered.1, "both nodes serve");

    program.nodes[0].ask_to_leave();
    assert!(program.nodes[0].ended().await.success());
    further(&people, &workers, SIGN_INS).await;
    // The next release will add columns under this one.
    program.database.widen_every_table().await;
    further(&people, &workers, SIGN_INS).await;
    over.store(true, Ordering::SeqCst);
    let mut done = 0;
    for worker in workers {
        done += worker.await.unwrap();
    }
    assert!(done >= 4 * SIGN_INS, "{done}");
    eprintln!("{done} sign-ins, {migrated} of them while {} migrations ran: none failed", after - before);
    assert_whole(&program.database).await;
    // The new node knows every session and token that the old one gave.
    assert_kept(people.take_acknowledged().await, &program).await;
    assert_whole(&program.database).await;
}
