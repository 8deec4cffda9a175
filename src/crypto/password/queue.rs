//! The short queue before the hashing threads: nobody's crowd takes all of it, and whoever has signed in here before has
//! a lane of their own.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// The least and the most that somebody is told to wait who found no room.
const WAIT: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(30));

/// In whose name somebody waits. All who wait in one name share what one may have.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Share {
    /// Strangers from this network.
    Network(String),
    /// A browser in which this account was used.
    Known(String),
    /// The operator's own commands.
    Operator,
}

impl Share {
    const fn is_stranger(&self) -> bool {
        matches!(self, Self::Network(_))
    }
}

/// A bounded queue that worker threads wait at. Nothing waits to get in: who finds no room is told so. A network, or the
/// operator, takes only as many places as it leaves free of those that its lane may take, so that one alone gets half of
/// these and the next one still finds some; an account takes a few. Each lane leaves a part to the other. Both lanes take
/// turns, and in a lane the shares do.
pub(super) struct Queue<T> {
    state: Mutex<State<T>>,
    changed: Condvar,
}

struct State<T> {
    known: Lane<T>,
    strangers: Lane<T>,
    /// Whether it is the strangers' turn.
    strangers_next: bool,
    free: usize,
    /// What each lane leaves to the other.
    reserved: usize,
    held: HashMap<Share, usize>,
    /// How long the workers need for an item, all of them together, as it was of late.
    pace: Duration,
    /// When the last one of those comes back who were turned away, by lane.
    known_return: Option<Instant>,
    strangers_return: Option<Instant>,
    closed: bool,
}

/// What waits in a lane, by share; the share whose turn it is stands first, and none is empty.
struct Lane<T>(VecDeque<(Share, VecDeque<T>)>);

impl<T> Lane<T> {
    fn push(&mut self, share: &Share, item: T) {
        match self.0.iter_mut().find(|(waiting, _)| waiting == share) {
            Some((_, items)) => items.push_back(item),
            None => self.0.push_back((share.clone(), [item].into())),
        }
    }

    fn take(&mut self) -> Option<T> {
        let (share, mut items) = self.0.pop_front()?;
        let item = items.pop_front();
        if !items.is_empty() {
            self.0.push_back((share, items));
        }
        item
    }
}

/// Room in a queue, taken until this is dropped.
pub(super) struct Place<T> {
    queue: Arc<Queue<T>>,
    share: Share,
}

impl<T> Place<T> {
    /// In whose name it was taken.
    pub(super) const fn share(&self) -> &Share {
        &self.share
    }
}

impl<T> Queue<T> {
    /// A queue with `room` for so many items, those being worked on included; so many of them each lane leaves to the
    /// other.
    pub(super) fn new(room: usize, reserved: usize) -> Self {
        let state = State {
            known: Lane(VecDeque::new()),
            strangers: Lane(VecDeque::new()),
            strangers_next: false,
            free: room,
            reserved,
            held: HashMap::new(),
            pace: Duration::ZERO,
            known_return: None,
            strangers_return: None,
            closed: false,
        };
        Self { state: Mutex::new(state), changed: Condvar::new() }
    }

    /// Takes room for one item; gives the share back when there is none for it. The item takes its place along, until it was
    /// worked off.
    pub(super) fn enter(self: &Arc<Self>, share: Share) -> Result<Place<T>, Share> {
        let mut state = self.lock();
        let is_stranger = share.is_stranger();
        let of_others: usize = state
            .held
            .iter()
            .filter(|(held, _)| held.is_stranger() != is_stranger)
            .map(|(_, held)| held)
            .sum();
        let free = state.free.saturating_sub(state.reserved.saturating_sub(of_others));
        // An account has few browsers at once; whoever sends many sign-ins by it is no person.
        let most = match share {
            Share::Known(_) => free.min((state.reserved / 4).max(1)),
            Share::Network(_) | Share::Operator => free,
        };
        let held = state.held.get(&share).copied().unwrap_or_default();
        if held >= most {
            return Err(share);
        }
        state.free -= 1;
        state.held.insert(share.clone(), held + 1);
        drop(state);
        Ok(Place { queue: Arc::clone(self), share })
    }

    /// When somebody who found no room should come again, from `now` on. Each is given a turn of their own behind those who
    /// were turned away before, as fast as the items are worked off: a crowd comes back as a line and not as a crowd.
    pub(super) fn turn_away(&self, share: &Share, now: Instant) -> Duration {
        let mut state = self.lock();
        let pace = state.pace;
        let last = if share.is_stranger() { &mut state.strangers_return } else { &mut state.known_return };
        let (least, most) = (now + WAIT.0, now + WAIT.1);
        let turn = last.map_or(least, |last| last + pace).clamp(least, most);
        *last = Some(turn);
        turn - now
    }

    /// Notes how long one of `workers` has worked on an item.
    pub(super) fn note_work(&self, took: Duration, workers: u32) {
        let mut state = self.lock();
        let pace = took / workers.max(1);
        // A moving average over some eight items.
        state.pace = if state.pace.is_zero() { pace } else { (state.pace * 7 + pace) / 8 };
    }

    /// Puts `item` in line, or gives it back when the queue is closed.
    pub(super) fn push(&self, share: &Share, item: T) -> Result<(), T> {
        let mut state = self.lock();
        if state.closed {
            return Err(item);
        }
        let lane = if share.is_stranger() { &mut state.strangers } else { &mut state.known };
        lane.push(share, item);
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
            if let Some(item) = state.take() {
                return Some(item);
            }
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Sends the workers home and drops what waits.
    pub(super) fn close(&self) {
        let mut state = self.lock();
        state.closed = true;
        let waiting = (std::mem::take(&mut state.known.0), std::mem::take(&mut state.strangers.0));
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

impl<T> State<T> {
    /// The item whose turn it is.
    fn take(&mut self) -> Option<T> {
        let (first, second) = if self.strangers_next {
            (&mut self.strangers, &mut self.known)
        } else {
            (&mut self.known, &mut self.strangers)
        };
        let (item, is_second) = match first.take() {
            Some(item) => (item, false),
            None => (second.take()?, true),
        };
        // Whoever was served waits for the other lane.
        self.strangers_next ^= !is_second;
        Some(item)
    }
}

impl<T> Drop for Place<T> {
    fn drop(&mut self) {
        let mut state = self.queue.lock();
        state.free += 1;
        if let Some(held) = state.held.get_mut(&self.share) {
            *held -= 1;
            if *held == 0 {
                state.held.remove(&self.share);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn network(name: &str) -> Share {
        Share::Network(name.to_owned())
    }

    fn known(name: &str) -> Share {
        Share::Known(name.to_owned())
    }

    /// How many places somebody gets, all of which they keep.
    fn fill(queue: &Arc<Queue<u8>>, share: &Share) -> Vec<Place<u8>> {
        std::iter::from_fn(|| queue.enter(share.clone()).ok()).collect()
    }

    #[test]
    fn items_of_one_share_come_out_in_the_order_in_which_they_went_in() {
        let queue = Queue::new(3, 0);
        for item in 1..=3 {
            assert_eq!(queue.push(&network("a"), item), Ok(()));
        }
        assert_eq!((queue.next(), queue.next(), queue.next()), (Some(1), Some(2), Some(3)));
    }

    #[test]
    fn lanes_take_turns_and_in_a_lane_the_shares_do() {
        let queue = Queue::new(8, 0);
        for (share, item) in [
            (network("crowd"), "crowd 1"),
            (network("crowd"), "crowd 2"),
            (network("crowd"), "crowd 3"),
            (network("one"), "one"),
            (known("bob"), "bob 1"),
            (known("bob"), "bob 2"),
            (Share::Operator, "operator"),
        ] {
            assert_eq!(queue.push(&share, item), Ok(()));
        }
        let order: Vec<_> = (0..7).filter_map(|_| queue.next()).collect();
        assert_eq!(order, ["bob 1", "crowd 1", "operator", "one", "bob 2", "crowd 2", "crowd 3"]);
    }

    #[test]
    fn whoever_comes_next_finds_half_of_what_is_left() {
        let queue = Arc::new(Queue::new(40, 8));
        let first = fill(&queue, &network("a"));
        let second = fill(&queue, &network("b"));
        let third = fill(&queue, &network("c"));
        assert_eq!((first.len(), second.len(), third.len()), (16, 8, 4));
        // However many networks a crowd has, what is reserved is there for those who are known, who share it too.
        let rest: Vec<_> = (0..40).flat_map(|n| fill(&queue, &network(&format!("n{n}")))).collect();
        assert_eq!(first.len() + second.len() + third.len() + rest.len(), 32);
        assert_eq!(fill(&queue, &known("bob")).len(), 2);
        let bob = fill(&queue, &known("bob"));
        assert_eq!(fill(&queue, &known("ann")).len(), 2);
        drop((bob, rest));
        assert_eq!(fill(&queue, &network("d")).len(), 2);
        // What was given back is nobody's.
        drop((first, second, third));
        assert_eq!(fill(&queue, &network("a")).len(), 16);
    }

    #[test]
    fn however_many_accounts_somebody_has_strangers_still_enter() {
        let queue = Arc::new(Queue::new(40, 8));
        let held: Vec<_> = (0..40).flat_map(|n| fill(&queue, &known(&n.to_string()))).collect();
        assert_eq!(held.len(), 32);
        assert_eq!(fill(&queue, &network("a")).len(), 4);
    }

    #[test]
    fn the_operator_takes_half_of_what_is_left_and_no_small_share() {
        let queue = Arc::new(Queue::new(40, 8));
        assert_eq!(fill(&queue, &Share::Operator).len(), 16);
    }

    #[test]
    fn a_crowd_that_is_turned_away_comes_back_as_a_line() {
        let queue = Queue::<u8>::new(1, 0);
        let (now, millis) = (Instant::now(), Duration::from_millis);
        let told = |share: &Share| queue.turn_away(share, now);
        assert_eq!((told(&network("a")), told(&network("b"))), (millis(1_000), millis(1_000)));
        queue.note_work(millis(400), 2);
        assert_eq!((told(&network("a")), told(&network("b"))), (millis(1_200), millis(1_400)));
        // Whoever is known stands in another line.
        assert_eq!((told(&known("bob")), told(&Share::Operator)), (millis(1_000), millis(1_200)));
        // However large the crowd, nobody is sent away for longer.
        for _ in 0..1_000 {
            told(&network("c"));
        }
        assert_eq!(told(&network("d")), millis(30_000));
        // A line that nobody joins dissolves.
        assert_eq!(queue.turn_away(&network("e"), now + millis(60_000)), millis(1_000));
    }

    #[test]
    fn the_pace_follows_what_items_take() {
        let queue = Queue::<u8>::new(1, 0);
        let now = Instant::now();
        for _ in 0..100 {
            queue.note_work(Duration::from_millis(80), 1);
        }
        let step = |queue: &Queue<u8>| {
            let first = queue.turn_away(&network("a"), now);
            queue.turn_away(&network("b"), now).saturating_sub(first)
        };
        assert_eq!(step(&queue), Duration::from_millis(80));
        queue.note_work(Duration::from_millis(160), 1);
        assert_eq!(step(&queue), Duration::from_millis(90));
    }

    #[test]
    fn a_queue_of_one_serves_whoever_comes() {
        let queue = Arc::new(Queue::<u8>::new(1, 0));
        let place = queue.enter(network("a"));
        assert!(place.is_ok() && queue.enter(network("b")).is_err() && queue.enter(known("bob")).is_err());
        drop(place);
        assert!(queue.enter(network("b")).is_ok());
    }

    #[test]
    fn items_that_wait_at_the_close_give_back_their_places() {
        struct Item(#[expect(dead_code, reason = "held")] Option<Place<Item>>);
        let queue = Arc::new(Queue::new(1, 0));
        let place = queue.enter(network("a")).ok();
        assert!(queue.push(&network("a"), Item(place)).is_ok());
        assert!(queue.enter(network("a")).is_err());
        queue.close();
        assert!(queue.enter(network("a")).is_ok());
    }

    #[test]
    fn a_closed_queue_takes_nothing_and_gives_nothing() {
        let queue = Queue::new(3, 0);
        assert_eq!(queue.push(&network("a"), 1), Ok(()));
        queue.close();
        assert_eq!(queue.push(&network("a"), 2), Err(2));
        assert_eq!(queue.next(), None);
    }

    #[test]
    fn a_waiting_worker_is_sent_home_by_closing() {
        let queue = Queue::<u8>::new(1, 0);
        std::thread::scope(|scope| {
            let worker = scope.spawn(|| queue.next());
            queue.close();
            assert_eq!(worker.join().unwrap(), None);
        });
    }
}
