//! The short queue before the hashing threads.

use std::collections::VecDeque;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

/// A bounded first-in-first-out queue that worker threads wait at. Nothing waits to get in: a full queue says
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

impl<T> Queue<T> {
    /// A queue with `room` for so many items, those being worked on included.
    pub(super) fn new(room: usize) -> Self {
        let state = State { waiting: VecDeque::new(), room, closed: false };
        Self { state: Mutex::new(state), changed: Condvar::new() }
    }

    /// Puts `item` in line, or gives it back when there is no room or the queue is closed.
    pub(super) fn push(&self, item: T) -> Result<(), T> {
        let mut state = self.lock();
        match state.room.checked_sub(1) {
            Some(room) if !state.closed => state.room = room,
            _ => return Err(item),
        }
        state.waiting.push_back(item);
        drop(state);
        self.changed.notify_one();
        Ok(())
    }

    /// The next item; waits for one. `None` when the queue is closed. Its room stays taken until
    /// [`Queue::done`].
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

    /// Gives back the room of an item that was worked off.
    pub(super) fn done(&self) {
        self.lock().room += 1;
    }

    /// Sends the workers home and drops what waits.
    pub(super) fn close(&self) {
        let mut state = self.lock();
        state.closed = true;
        state.waiting.clear();
        drop(state);
        self.changed.notify_all();
    }

    /// Every change under the lock is whole, so a panic elsewhere leaves nothing to distrust.
    fn lock(&self) -> MutexGuard<'_, State<T>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
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
        assert_eq!(queue.push(4), Err(4));
        assert_eq!((queue.next(), queue.next(), queue.next()), (Some(1), Some(2), Some(3)));
    }

    #[test]
    fn room_is_taken_until_the_work_is_done() {
        let queue = Queue::new(1);
        assert_eq!(queue.push(1), Ok(()));
        assert_eq!(queue.next(), Some(1));
        assert_eq!(queue.push(2), Err(2));
        queue.done();
        assert_eq!(queue.push(3), Ok(()));
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
