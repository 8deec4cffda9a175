//! The short queue of the hashing threads: no single client can fill it, and users who have signed in here before have
//! a lane of their own.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// The shortest wait that a caller without a place is told.
const SHORTEST_WAIT: Duration = Duration::from_secs(1);

/// The longest wait. A caller who would have to wait longer begins a new line.
const LONGEST_WAIT: Duration = Duration::from_secs(30);

/// The share under which a caller waits. All callers of one share have one limit together.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Share {
    /// Strangers from this network.
    Network(String),
    /// A browser in which this account has signed in.
    Known(String),
    /// The operator's own commands.
    Operator,
}

impl Share {
    const fn is_stranger(&self) -> bool {
        matches!(self, Self::Network(_))
    }
}

/// A bounded queue for worker threads. No caller waits to enter: one that finds no place is told so. A network, or the
/// operator, may take only as many places as it leaves free of those that its lane may take, so that one alone gets
/// half of them and the next one still finds some. An account may take a few. Each lane leaves a part to the other.
/// The two lanes take turns, and so do the shares in a lane.
pub(super) struct Queue<T> {
    state: Mutex<State<T>>,
    changed: Condvar,
}

struct State<T> {
    known: Lane<T>,
    strangers: Lane<T>,
    /// Whether the strangers are next.
    strangers_next: bool,
    free: usize,
    /// How many places each lane leaves to the other.
    reserved: usize,
    held: HashMap<Share, Held>,
    /// How many threads work on the items.
    workers: u32,
    /// How long all workers together have recently taken for one item.
    pace: Duration,
    known_line: Line,
    strangers_line: Line,
    closed: bool,
}

/// The places that a share holds.
#[derive(Default)]
struct Held {
    places: usize,
    /// The callers of this share that were turned away while the lane had room for others.
    line: Line,
}

/// The callers that were turned away: when the last one of them was told to come back.
#[derive(Default)]
struct Line(Option<Instant>);

impl Line {
    /// How long the next caller must wait: until a turn of its own after those before, if the line is not too long.
    fn join(&mut self, now: Instant, pace: Duration) -> Duration {
        let soonest = now + SHORTEST_WAIT;
        let turn = self.0.map_or(soonest, |last| last + pace).max(soonest);
        let turn = if turn > now + LONGEST_WAIT { soonest } else { turn };
        self.0 = Some(turn);
        turn - now
    }
}

/// The waiting items of a lane, by share. The share whose turn it is comes first, and no share is empty.
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

/// A place in a queue. It is taken until this is dropped.
pub(super) struct Place<T> {
    queue: Arc<Queue<T>>,
    share: Share,
}

impl<T> Place<T> {
    /// The share that took it.
    pub(super) const fn share(&self) -> &Share {
        &self.share
    }
}

impl<T> Queue<T> {
    /// A queue with `room` for this many items, including those that are being worked on. Each lane leaves `reserved`
    /// of them to the other. `workers` is how many threads work at once.
    pub(super) fn new(room: usize, reserved: usize, workers: u32) -> Self {
        let state = State {
            known: Lane(VecDeque::new()),
            strangers: Lane(VecDeque::new()),
            strangers_next: false,
            free: room,
            reserved,
            held: HashMap::new(),
            workers: workers.max(1),
            pace: Duration::ZERO,
            known_line: Line::default(),
            strangers_line: Line::default(),
            closed: false,
        };
        Self { state: Mutex::new(state), changed: Condvar::new() }
    }

    /// Takes a place for one item. If there is none for this share, returns how long to wait before coming again. A
    /// caller that is turned away gets a turn of its own after those before, at the pace of the work, so that a crowd
    /// comes back as a line. The line is that of the lane or, if others would still find a place, that of the share
    /// alone. The item keeps its place until it is done.
    pub(super) fn enter(self: &Arc<Self>, share: Share, now: Instant) -> Result<Place<T>, Duration> {
        let mut state = self.lock();
        let is_stranger = share.is_stranger();
        let of_others: usize = state
            .held
            .iter()
            .filter(|(held, _)| held.is_stranger() != is_stranger)
            .map(|(_, held)| held.places)
            .sum();
        let free = state.free.saturating_sub(state.reserved.saturating_sub(of_others));
        // An account has few browsers at once. Many sign-ins under one account are not made by a user.
        let most = match share {
            Share::Known(_) => free.min((state.reserved / 4).max(1)),
            Share::Network(_) | Share::Operator => free,
        };
        let pace = state.pace;
        if let Some(held) = state.held.get_mut(&share).filter(|held| free > 0 && held.places >= most) {
            return Err(held.line.join(now, pace));
        }
        if most == 0 {
            let line = if is_stranger { &mut state.strangers_line } else { &mut state.known_line };
            return Err(line.join(now, pace));
        }
        state.free -= 1;
        state.held.entry(share.clone()).or_default().places += 1;
        drop(state);
        Ok(Place { queue: Arc::clone(self), share })
    }

    /// Records how long a worker took for an item.
    pub(super) fn note_work(&self, took: Duration) {
        let mut state = self.lock();
        let pace = took / state.workers;
        // A moving average over about eight items.
        state.pace = if state.pace.is_zero() { pace } else { (state.pace * 7 + pace) / 8 };
    }

    /// Puts `item` into the queue; returns it if the queue is closed.
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

    /// The next item, after waiting for one. `None` if the queue is closed.
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

    /// Ends the workers, and drops the waiting items.
    pub(super) fn close(&self) {
        let mut state = self.lock();
        state.closed = true;
        let waiting = (std::mem::take(&mut state.known.0), std::mem::take(&mut state.strangers.0));
        drop(state);
        // Outside the lock, because each gives back its place.
        drop(waiting);
        self.changed.notify_all();
    }

    /// Every change under the lock is complete, so a panic elsewhere leaves no inconsistent state.
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
        // The lane that was served now waits for the other one.
        self.strangers_next ^= !is_second;
        Some(item)
    }
}

impl<T> Drop for Place<T> {
    fn drop(&mut self) {
        let mut state = self.queue.lock();
        state.free += 1;
        if let Some(held) = state.held.get_mut(&self.share) {
            held.places -= 1;
            if held.places == 0 {
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

    /// How many places a share gets; it keeps all of them.
    fn fill(queue: &Arc<Queue<u8>>, share: &Share) -> Vec<Place<u8>> {
        std::iter::from_fn(|| queue.enter(share.clone(), Instant::now()).ok()).collect()
    }

    #[test]
    fn items_of_one_share_come_out_in_the_order_in_which_they_went_in() {
        let queue = Queue::new(3, 0, 1);
        for item in 1..=3 {
            assert_eq!(queue.push(&network("a"), item), Ok(()));
        }
        assert_eq!((queue.next(), queue.next(), queue.next()), (Some(1), Some(2), Some(3)));
    }

    #[test]
    fn lanes_take_turns_and_in_a_lane_the_shares_do() {
        let queue = Queue::new(8, 0, 1);
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
    fn the_next_caller_finds_half_of_what_is_left() {
        let queue = Arc::new(Queue::new(40, 8, 1));
        let first = fill(&queue, &network("a"));
        let second = fill(&queue, &network("b"));
        let third = fill(&queue, &network("c"));
        assert_eq!((first.len(), second.len(), third.len()), (16, 8, 4));
        // However many networks a crowd has, the reserved places are for known users, who share them, too.
        let rest: Vec<_> = (0..40).flat_map(|n| fill(&queue, &network(&format!("n{n}")))).collect();
        assert_eq!(first.len() + second.len() + third.len() + rest.len(), 32);
        assert_eq!(fill(&queue, &known("bob")).len(), 2);
        let bob = fill(&queue, &known("bob"));
        assert_eq!(fill(&queue, &known("ann")).len(), 2);
        drop((bob, rest));
        assert_eq!(fill(&queue, &network("d")).len(), 2);
        // A place that was given back belongs to no share.
        drop((first, second, third));
        assert_eq!(fill(&queue, &network("a")).len(), 16);
    }

    #[test]
    fn however_many_accounts_somebody_has_strangers_still_enter() {
        let queue = Arc::new(Queue::new(40, 8, 1));
        let held: Vec<_> = (0..40).flat_map(|n| fill(&queue, &known(&n.to_string()))).collect();
        assert_eq!(held.len(), 32);
        assert_eq!(fill(&queue, &network("a")).len(), 4);
    }

    #[test]
    fn the_operator_takes_half_of_what_is_left_and_no_small_share() {
        let queue = Arc::new(Queue::new(40, 8, 1));
        assert_eq!(fill(&queue, &Share::Operator).len(), 16);
    }

    #[test]
    fn a_crowd_that_is_turned_away_comes_back_as_a_line() {
        let queue = Arc::new(Queue::<u8>::new(2, 0, 2));
        let (now, millis) = (Instant::now(), Duration::from_millis);
        let told = |share: Share| queue.enter(share, now).map(|_| ()).unwrap_err();
        let held = (queue.enter(network("a"), now).unwrap(), queue.enter(network("b"), now).unwrap());
        assert_eq!((told(network("a")), told(network("c"))), (millis(1_000), millis(1_000)));
        queue.note_work(millis(400));
        assert_eq!((told(network("a")), told(network("c"))), (millis(1_200), millis(1_400)));
        // Known users are in another line.
        assert_eq!((told(known("bob")), told(Share::Operator)), (millis(1_000), millis(1_200)));
        // However large the crowd, no caller must wait longer, and no two waits in one line are the same.
        let waits: Vec<_> = (0..143).map(|_| told(network("c"))).collect();
        assert!(waits.is_sorted_by(|one, next| one < next));
        assert_eq!((waits[0], waits[142]), (millis(1_600), millis(30_000)));
        assert_eq!(told(network("d")), millis(1_000), "a new line");
        // A line that no caller joins dissolves.
        let later = now + millis(60_000);
        assert_eq!(queue.enter(network("e"), later).map(|_| ()).unwrap_err(), millis(1_000));
        drop(held);
    }

    #[test]
    fn a_share_that_is_full_makes_no_other_wait() {
        let queue = Arc::new(Queue::<u8>::new(8, 0, 1));
        let now = Instant::now();
        queue.note_work(Duration::from_secs(1));
        let told = |share: Share| queue.enter(share, now).map(|_| ()).unwrap_err();
        let crowd = fill(&queue, &network("crowd"));
        let waits: Vec<_> = (0..5).map(|_| told(network("crowd")).as_secs()).collect();
        assert_eq!((crowd.len(), waits), (4, vec![2, 3, 4, 5, 6]));
        let others: Vec<_> =
            ["a", "b", "c"].iter().filter_map(|name| queue.enter(network(name), now).ok()).collect();
        assert_eq!(others.len(), 3);
        let last = queue.enter(network("d"), now).unwrap();
        assert_eq!(told(network("e")).as_secs(), 1, "the first one whom the whole lane turns away");
        drop((crowd, others, last));
    }

    #[test]
    fn the_pace_follows_what_items_take() {
        let queue = Arc::new(Queue::<u8>::new(1, 0, 1));
        let now = Instant::now();
        let held = queue.enter(network("a"), now).unwrap();
        for _ in 0..100 {
            queue.note_work(Duration::from_millis(80));
        }
        let told = || queue.enter(network("b"), now).map(|_| ()).unwrap_err();
        let first = told();
        assert_eq!(told().saturating_sub(first), Duration::from_millis(80));
        queue.note_work(Duration::from_millis(160));
        let first = told();
        assert_eq!(told().saturating_sub(first), Duration::from_millis(90));
        drop(held);
    }

    #[test]
    fn a_queue_of_one_serves_every_caller() {
        let queue = Arc::new(Queue::<u8>::new(1, 0, 1));
        let place = queue.enter(network("a"), Instant::now());
        assert!(
            place.is_ok()
                && queue.enter(network("b"), Instant::now()).is_err()
                && queue.enter(known("bob"), Instant::now()).is_err()
        );
        drop(place);
        assert!(queue.enter(network("b"), Instant::now()).is_ok());
    }

    #[test]
    fn items_that_wait_at_the_close_give_back_their_places() {
        struct Item(#[expect(dead_code, reason = "held")] Option<Place<Item>>);
        let queue = Arc::new(Queue::new(1, 0, 1));
        let place = queue.enter(network("a"), Instant::now()).ok();
        assert!(queue.push(&network("a"), Item(place)).is_ok());
        assert!(queue.enter(network("a"), Instant::now()).is_err());
        queue.close();
        assert!(queue.enter(network("a"), Instant::now()).is_ok());
    }

    #[test]
    fn a_closed_queue_takes_nothing_and_gives_nothing() {
        let queue = Queue::new(3, 0, 1);
        assert_eq!(queue.push(&network("a"), 1), Ok(()));
        queue.close();
        assert_eq!(queue.push(&network("a"), 2), Err(2));
        assert_eq!(queue.next(), None);
    }

    #[test]
    fn a_waiting_worker_is_sent_home_by_closing() {
        let queue = Queue::<u8>::new(1, 0, 1);
        std::thread::scope(|scope| {
            let worker = scope.spawn(|| queue.next());
            queue.close();
            assert_eq!(worker.join().unwrap(), None);
        });
    }
}
