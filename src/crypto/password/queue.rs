//! The short queue before the hashing threads.

use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

/// A bounded first-in-first-out queue that worker threads wait at. Nothing waits to get in: who finds no room is told
/// so.
pub(super) struct Queue<T> {
    state: Mutex<State<T>>,
    changed: Condvar,
}

struct State<T> {
    waiting: VecDeque<T>,
    room: usize,
    closed: bool,
}

/// Room in a queue, taken until this is dropped.
pub(super) struct Place<T>(Arc<Queue<T>>);

impl<T> Queue<T> {
    /// A queue with `room` for so many items, those being worked on included.
    pub(super) fn new(room: usize) -> Self {
        let state = State { waiting: VecDeque::new(), room, closed: false };
        Self { state: Mutex::new(state), changed: Condvar::new() }
    }

    /// Takes room for one item; `None` when there is none. The item takes its place along, until it was worked off.
    pub(super) fn enter(self: &Arc<Self>) -> Option<Place<T>> {
        let mut state = self.lock();
        state.room = state.room.checked_sub(1)?;
        Some(Place(Arc::clone(self)))
    }

    /// Puts `item` in line, or gives it back when the queue is closed.
    pub(super) fn push(&self, item: T) -> Result<(), T> {
        let mut state = self.lock();
        if state.closed {
            return Err(item);
        }
        state.waiting.push_back(item);
        drop(state);
        self.changed.notify_one();
        Ok(())
    }

    /// The next item; waits for one. `None` when the queue is closed.
    pub(super) fn next(&self) -> Option<T> {
        let mut state = self.lock();
        loop {
            if state.closed {
                return None;
            }
            if let Some(item) = state.waiting.pop_front() {
                return Some(item);
            }
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Sends the workers home and drops what waits.
    pub(super) fn close(&self) {
        let mut state = self.lock();
        state.closed = true;
        let waiting = std::mem::take(&mut state.waiting);
        drop(state);
        // Outside the lock: each gives back its place.
        drop(waiting);
        self.changed.notify_all();
    }

    /// Every change under the lock is whole, so a panic elsewhere leaves nothing to distrust.
    fn lock(&self) -> MutexGuard<'_, State<T>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<T> Drop for Place<T> {
    fn drop(&mut self) {
        self.0.lock().room += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn items_come_out_in_the_order_in_which_they_went_in() {
        let queue = Queue::new(3);
        for item in 1..=3 {
            assert_eq!(queue.push(item), Ok(()));
        }
        assert_eq!((queue.next(), queue.next(), queue.next()), (Some(1), Some(2), Some(3)));
    }

    #[test]
    fn room_is_taken_until_its_place_is_given_back() {
        let queue = Arc::new(Queue::<u8>::new(2));
        let (first, second) = (queue.enter(), queue.enter());
        assert!(first.is_some() && second.is_some() && queue.enter().is_none());
        drop(first);
        let third = queue.enter();
        assert!(third.is_some() && queue.enter().is_none());
    }

    #[test]
    fn items_that_wait_at_the_close_give_back_their_places() {
        struct Item(#[expect(dead_code, reason = "held")] Option<Place<Item>>);
        let queue = Arc::new(Queue::new(1));
        let place = queue.enter();
        assert!(queue.push(Item(place)).is_ok());
        assert!(queue.enter().is_none());
        queue.close();
        assert!(queue.enter().is_some());
    }

    #[test]
    fn a_closed_queue_takes_nothing_and_gives_nothing() {
        let queue = Queue::new(3);
        assert_eq!(queue.push(1), Ok(()));
        queue.close();
        assert_eq!(queue.push(2), Err(2));
        assert_eq!(queue.next(), None);
    }

    #[test]
    fn a_waiting_worker_is_sent_home_by_closing() {
        let queue = Queue::<u8>::new(1);
        std::thread::scope(|scope| {
            let worker = scope.spawn(|| queue.next());
            queue.close();
            assert_eq!(worker.join().unwrap(), None);
        });
    }
}
