//! Fair turns at a resource that only a limited number of calls may use at once.
//!
//! Every caller waits under a share: a network, an account or an organization. A share may run and hold only as much
//! as it leaves free, so that one share alone gets half and the next one still finds room. Two lanes leave each other
//! a quarter. Waiting callers are served share by share, in turn, and a full share delays no other.
//!
//! `crypto::password` has a queue with the same idea. They are separate, because the waiters there are threads that
//! compute and a turn is one password; here they are tasks, and a turn is held while a call runs.

use std::collections::{HashMap, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::oneshot;

/// The most places that one account holds in the lane of known browsers, and how many of these may run at once: an
/// account has few browsers.
const OF_AN_ACCOUNT: Amount = Amount { running: 4, places: 8 };

/// Which of the two lanes a share belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Lane {
    /// Browsers in which an account has signed in, by account.
    Known,
    /// All others.
    Others,
}

/// The share under which a caller waits.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Share {
    pub lane: Lane,
    pub name: String,
}

impl Share {
    /// A share of the lane for strangers.
    pub fn of(name: impl Into<String>) -> Self {
        Self { lane: Lane::Others, name: name.into() }
    }
}

/// How many calls run, and how many places running and waiting calls hold.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Amount {
    running: usize,
    places: usize,
}

/// A waiting caller: its number, and the channel that tells it that its turn has come.
type Waiter = (u64, oneshot::Sender<()>);

/// The waiting callers of a lane, by share. The share whose turn it is comes first, and no share is empty.
type Line = VecDeque<(Share, VecDeque<Waiter>)>;

#[derive(Debug, Default)]
struct State {
    held: HashMap<Share, Amount>,
    /// The sums over the shares of each lane.
    held_by_known: Amount,
    held_by_others: Amount,
    known: Line,
    others: Line,
    /// Whether the lane of known browsers is served first.
    known_first: bool,
    numbers: u64,
}

/// The turns at one resource.
#[derive(Debug)]
pub(super) struct Turns {
    state: Mutex<State>,
    all: Amount,
    /// How much each lane leaves to the other.
    reserved: Amount,
}

/// A turn, or a place in the queue for one. It is given back when this is dropped.
#[derive(Debug)]
pub(super) struct Turn<'a> {
    turns: &'a Turns,
    share: Share,
    number: u64,
}

impl Turns {
    /// Up to `at_once` callers may run, and up to `waiting` more may wait. All are in one lane.
    pub fn new(at_once: usize, waiting: usize) -> Self {
        let all = Amount { running: at_once, places: at_once + waiting };
        Self { state: Mutex::default(), all, reserved: Amount::default() }
    }

    /// The same, with two lanes that leave each other a quarter.
    pub fn with_lanes(at_once: usize, waiting: usize) -> Self {
        let turns = Self::new(at_once, waiting);
        let reserved = Amount { running: turns.all.running / 4, places: turns.all.places / 4 };
        Self { reserved, ..turns }
    }

    /// Takes a turn, after waiting for it. `None` if this share has no free place to wait. The caller limits the wait.
    pub async fn enter(&self, share: Share) -> Option<Turn<'_>> {
        let (turn, called) = self.join(share)?;
        if let Some(called) = called {
            called.await.ok()?;
        }
        Some(turn)
    }

    /// Takes a place, and the turn at once if it is free.
    fn join(&self, share: Share) -> Option<(Turn<'_>, Option<oneshot::Receiver<()>>)> {
        let mut state = self.lock();
        if !self.has_room(&state, &share, |amount| amount.places) {
            return None;
        }
        let number = state.numbers;
        state.numbers = number.wrapping_add(1);
        let first = !state.line(share.lane).iter().any(|(waiting, _)| *waiting == share);
        let runs = first && self.has_room(&state, &share, |amount| amount.running);
        state.change(&share, |held| {
            held.places += 1;
            held.running += usize::from(runs);
        });
        let called = if runs {
            None
        } else {
            let (call, called) = oneshot::channel();
            state.wait(&share, (number, call));
            Some(called)
        };
        Some((Turn { turns: self, share, number }, called))
    }

    /// Whether a share may have one more of the quantity that `amount` reads.
    fn has_room(&self, state: &State, share: &Share, amount: impl Fn(&Amount) -> usize) -> bool {
        let (ours, theirs) = match share.lane {
            Lane::Known => (amount(&state.held_by_known), amount(&state.held_by_others)),
            Lane::Others => (amount(&state.held_by_others), amount(&state.held_by_known)),
        };
        let for_others = amount(&self.reserved).saturating_sub(theirs);
        let free = amount(&self.all).saturating_sub(ours + theirs + for_others);
        let most = match share.lane {
            Lane::Known => free.min(amount(&OF_AN_ACCOUNT)),
            Lane::Others => free,
        };
        free > 0 && state.held.get(share).map_or(0, amount) < most
    }

    /// Gives the turn to every caller that may run now.
    fn call_next(&self, state: &mut State) {
        while let Some((share, call)) = self.next(state) {
            // A caller that has just gone away gives the turn back when it is dropped.
            let _ = call.send(());
            state.change(&share, |held| held.running += 1);
        }
    }

    fn next(&self, state: &mut State) -> Option<(Share, oneshot::Sender<()>)> {
        let lanes = if state.known_first { [Lane::Known, Lane::Others] } else { [Lane::Others, Lane::Known] };
        for lane in lanes {
            let may_run = |(share, _): &(Share, _)| self.has_room(state, share, |amount| amount.running);
            let Some(at) = state.line(lane).iter().position(may_run) else { continue };
            let (share, mut waiters) = state.line_mut(lane).remove(at)?;
            let (_, call) = waiters.pop_front()?;
            if !waiters.is_empty() {
                state.line_mut(lane).push_back((share.clone(), waiters));
            }
            state.known_first = lane == Lane::Others;
            return Some((share, call));
        }
        None
    }

    /// How many shares hold something, which is what this has to remember.
    #[cfg(test)]
    pub fn shares(&self) -> usize {
        self.lock().held.len()
    }

    /// Every change under the lock is complete, so a panic elsewhere leaves no inconsistent state.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    const fn line(&self, lane: Lane) -> &Line {
        match lane {
            Lane::Known => &self.known,
            Lane::Others => &self.others,
        }
    }

    const fn line_mut(&mut self, lane: Lane) -> &mut Line {
        match lane {
            Lane::Known => &mut self.known,
            Lane::Others => &mut self.others,
        }
    }

    /// Changes what a share holds, together with the sum of its lane.
    fn change(&mut self, share: &Share, change: impl Fn(&mut Amount)) {
        change(match share.lane {
            Lane::Known => &mut self.held_by_known,
            Lane::Others => &mut self.held_by_others,
        });
        let held = self.held.entry(share.clone()).or_default();
        change(held);
        if held.places == 0 {
            self.held.remove(share);
        }
    }

    fn wait(&mut self, share: &Share, waiter: Waiter) {
        let line = self.line_mut(share.lane);
        match line.iter_mut().find(|(waiting, _)| waiting == share) {
            Some((_, waiters)) => waiters.push_back(waiter),
            None => line.push_back((share.clone(), [waiter].into())),
        }
    }

    /// Removes a caller from the queue. `false` if it no longer waits, because its turn has come.
    fn leave(&mut self, share: &Share, number: u64) -> bool {
        let line = self.line_mut(share.lane);
        let Some(at) = line.iter().position(|(waiting, _)| waiting == share) else { return false };
        let Some((_, waiters)) = line.get_mut(at) else { return false };
        let before = waiters.len();
        waiters.retain(|(waiting, _)| *waiting != number);
        let left = waiters.len() < before;
        if waiters.is_empty() {
            line.remove(at);
        }
        left
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        let mut state = self.turns.lock();
        let waited = state.leave(&self.share, self.number);
        state.change(&self.share, |held| {
            held.places = held.places.saturating_sub(1);
            held.running = held.running.saturating_sub(usize::from(!waited));
        });
        self.turns.call_next(&mut state);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn known(name: &str) -> Share {
        Share { lane: Lane::Known, name: name.to_owned() }
    }

    /// How many calls of a share run at once if it asks for as many as possible, and how many wait then.
    fn crowd<'a>(turns: &'a Turns, share: &Share) -> (Vec<Turn<'a>>, usize) {
        let (mut held, mut waiting) = (Vec::new(), 0);
        while let Some((turn, called)) = turns.join(share.clone()) {
            waiting += usize::from(called.is_some());
            // A caller that does not listen gets the turn all the same, and keeps it until it goes.
            held.push(turn);
        }
        (held, waiting)
    }

    #[test]
    fn one_share_gets_half_and_each_further_one_half_of_what_is_left() {
        let turns = Turns::new(64, 256);
        let mut all = Vec::new();
        let mut running = Vec::new();
        for number in 0..6 {
            let (held, waiting) = crowd(&turns, &Share::of(number.to_string()));
            running.push((held.len() - waiting, held.len()));
            all.push(held);
        }
        assert_eq!(running, [(32, 160), (16, 80), (8, 40), (4, 20), (2, 10), (1, 5)]);
        drop(all);
        assert_eq!(turns.shares(), 0, "nothing is remembered of those who have gone");
    }

    #[test]
    fn each_lane_leaves_the_other_a_quarter() {
        let turns = Turns::with_lanes(64, 256);
        let mut all: Vec<_> = (0..20).map(|number| crowd(&turns, &Share::of(number.to_string())).0).collect();
        let running = |turns: &Turns| {
            let state = turns.lock();
            state.held_by_known.running + state.held_by_others.running
        };
        assert_eq!(running(&turns), 48);
        let (held, waiting) = crowd(&turns, &known("ann"));
        assert_eq!((held.len(), waiting), (8, 4), "an account has few browsers");
        all.push(held);
        for number in 0..20 {
            all.push(crowd(&turns, &known(&number.to_string())).0);
        }
        assert_eq!(running(&turns), 64);
    }

    #[tokio::test]
    async fn waiting_callers_are_served_share_by_share_and_a_full_share_delays_no_other() {
        let turns = Turns::new(2, 100);
        let first = turns.enter(Share::of("a")).await.unwrap();
        let (of_a, mut called_a) = turns.join(Share::of("a")).unwrap();
        assert!(called_a.as_mut().unwrap().try_recv().is_err(), "a leaves one to others");
        let of_b = turns.enter(Share::of("b")).await.unwrap();
        let (of_c, mut called_c) = turns.join(Share::of("c")).unwrap();
        assert!(called_c.as_mut().unwrap().try_recv().is_err());
        drop(of_b);
        assert!(called_c.as_mut().unwrap().try_recv().is_ok(), "a stands before c, but has half already");
        drop(first);
        assert!(called_a.as_mut().unwrap().try_recv().is_ok());
        drop((of_a, of_c));
        assert_eq!(turns.shares(), 0);
    }

    #[tokio::test]
    async fn a_caller_who_goes_away_while_waiting_or_called_leaves_the_place_to_others() {
        let turns = Turns::new(1, 100);
        let first = turns.enter(Share::of("a")).await.unwrap();
        let (gone, _) = turns.join(Share::of("b")).unwrap();
        let (called_and_gone, _) = turns.join(Share::of("c")).unwrap();
        let (last, mut called) = turns.join(Share::of("d")).unwrap();
        drop(gone);
        drop(first);
        assert!(called.as_mut().unwrap().try_recv().is_err(), "c was called");
        drop(called_and_gone);
        assert!(called.as_mut().unwrap().try_recv().is_ok());
        drop(last);
        assert_eq!(turns.shares(), 0);
    }
}
