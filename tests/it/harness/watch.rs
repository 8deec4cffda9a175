//! Watches a test from outside: an error that the broker logs, or a task of it that panics, fails the test, even where
//! every answer looked right. Each test has a log of its own, on threads of its own.

use std::cell::RefCell;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, Once};

use countersign::telemetry::{Format, subscriber};
use tracing::Dispatch;
use tracing::level_filters::LevelFilter;

use super::log::Log;

thread_local! {
    /// Whose test this thread works for.
    static WATCH: RefCell<Option<Watch>> = const { RefCell::new(None) };
}

/// What happened beside the answers.
#[derive(Clone, Default)]
struct Watch(Arc<Seen>);

#[derive(Default)]
struct Seen {
    errors: Log,
    panics: Mutex<Vec<String>>,
    errors_are_expected: AtomicBool,
}

/// Says that this test breaks something that the broker must complain of.
pub fn expect_errors() {
    WATCH.with_borrow(|watch| watch.as_ref().unwrap().0.errors_are_expected.store(true, Ordering::SeqCst));
}

/// Runs a test, watched.
pub fn run(test: impl Future<Output = ()>) {
    remember_panics();
    let watch = Watch::default();
    let log = subscriber(Format::Text, LevelFilter::ERROR, watch.0.errors.clone());
    let of_threads = (watch.clone(), log.clone());
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .on_thread_start(move || begin(&of_threads.0, &of_threads.1))
        .build()
        .unwrap();
    WATCH.set(Some(watch.clone()));
    tracing::dispatcher::with_default(&log, || runtime.block_on(test));
    drop(runtime);
    // From here on a panic is this function's own verdict.
    WATCH.set(None);
    let panics = watch.0.panics.lock().unwrap().clone();
    assert!(panics.is_empty(), "tasks panicked: {panics:?}");
    let errors = watch.0.errors.text();
    let expected = watch.0.errors_are_expected.load(Ordering::SeqCst);
    assert!(expected || errors.is_empty(), "errors were logged:\n{errors}");
}

/// Makes a thread one of a test's, for as long as it lives.
fn begin(watch: &Watch, log: &Dispatch) {
    WATCH.set(Some(watch.clone()));
    std::mem::forget(tracing::dispatcher::set_default(log));
}

/// Has every panic told to the test on whose thread it happens, besides being printed.
fn remember_panics() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let print = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            let _ = WATCH.try_with(|watch| {
                if let Some(watch) = &*watch.borrow() {
                    watch.0.panics.lock().unwrap().push(panic.to_string());
                }
            });
            print(panic);
        }));
    });
}
