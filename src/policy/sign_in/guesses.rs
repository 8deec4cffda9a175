//! How many guesses a password, a client secret or an authorization code may take, and how long to wait between them.

use std::time::Duration;

use crate::model::Timestamp;

/// Failures that cost no wait: people mistype, and may sign in on several devices at once.
const FREE: i64 = 10;

/// Failures after which no guess at the password is checked for a day.
const STOP: i64 = 100;

const DAY: Duration = Duration::from_hours(24);

/// Failures from one network, over all accounts, that cost no wait.
const NETWORK_FREE: i64 = 300;

/// Wrong client secrets from one network for one app that cost no wait.
const CLIENT_FREE: i64 = 10;

/// Refused authorization codes, from one network or from the browsers of one account, that cost no wait.
const REDEMPTION_FREE: i64 = 20;

/// Codes beyond that number that may be at the identity provider at once, before it has accepted or refused them.
const REDEMPTIONS_UNJUDGED: i64 = 32;

/// One refused code is forgiven after this time: people now and then return too late.
const REDEMPTION_FORGIVEN: Duration = Duration::from_mins(1);

/// The guesses that a counter counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// Guesses at one account's password, from browsers in which the account has never signed in.
    Account,
    /// Guesses at one account's password, from one browser in which the account has signed in.
    KnownBrowser,
    /// Guesses from one network, at any account.
    Network,
    /// Wrong secrets for one app from one network.
    Client,
    /// Codes that the identity provider of one connection refused, from one network or from the browsers of one
    /// account.
    Redemption,
}

impl Scope {
    /// The word for it in the database.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Account => "account",
            Self::KnownBrowser => "browser",
            Self::Network => "network",
            Self::Client => "client",
            Self::Redemption => "redemption",
        }
    }
}

/// The state of a counter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CounterState {
    /// Failures so far.
    pub failures: i64,
    /// No other guess is checked before this time.
    pub blocked_until: Timestamp,
    /// When the last failure was counted.
    pub changed_at: Timestamp,
}

/// Whether a guess may be checked now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Check the guess, after counting it together with this wait.
    Check {
        /// The number of failures, with this guess counted as one.
        failures: i64,
        /// No other guess is checked before this time.
        blocked_until: Timestamp,
    },
    /// Do not check it.
    Wait {
        /// How long to wait.
        wait: Duration,
    },
}

/// Decides on one guess. `seen` is `None` if nothing was counted.
pub fn decide(scope: Scope, seen: Option<CounterState>, now: Timestamp) -> Verdict {
    let failures = match seen {
        // The wait is never longer than this many failures cost, even where the clock was set back.
        Some(CounterState { failures, blocked_until, .. })
            if now < blocked_until && wait_after(scope, failures) > Duration::ZERO =>
        {
            return Verdict::Wait { wait: blocked_until.since(now).min(wait_after(scope, failures)) };
        }
        // After a day without a failure, or after the day's stop, the count starts again from zero.
        Some(CounterState { failures, changed_at, .. }) if now.since(changed_at) < DAY => {
            left(scope, failures, now.since(changed_at))
        }
        _ => 0,
    };
    let failures = failures.saturating_add(1);
    Verdict::Check { failures, blocked_until: now.after(wait_after(scope, failures)) }
}

/// The wait behind the given number of failures.
fn wait_after(scope: Scope, failures: i64) -> Duration {
    let (free, longest) = match scope {
        Scope::Account | Scope::KnownBrowser => (FREE, Duration::from_mins(15)),
        Scope::Network => (NETWORK_FREE, Duration::from_mins(15)),
        // An app whose secret was corrected waits a minute at most.
        Scope::Client => (CLIENT_FREE, Duration::from_mins(1)),
        Scope::Redemption => (REDEMPTION_FREE, Duration::from_mins(15)),
    };
    if failures < free {
        return Duration::ZERO;
    }
    if matches!(scope, Scope::Account | Scope::KnownBrowser) && failures >= STOP {
        return DAY;
    }
    let doublings = u32::try_from(failures - free).unwrap_or(u32::MAX).min(10);
    Duration::from_secs(1 << doublings).min(longest)
}

/// How many of `failures` still count after the time `since` has passed.
fn left(scope: Scope, failures: i64, since: Duration) -> i64 {
    if scope != Scope::Redemption {
        return failures;
    }
    let forgiven = since.as_secs() / REDEMPTION_FORGIVEN.as_secs();
    failures.saturating_sub(i64::try_from(forgiven).unwrap_or(i64::MAX)).max(0)
}

/// Whether one more code may go to the identity provider while `unjudged` codes are there already; if not, how long
/// to wait.
///
/// # Errors
/// How long to wait.
pub fn may_redeem(seen: Option<CounterState>, unjudged: i64, now: Timestamp) -> Result<(), Duration> {
    match decide(Scope::Redemption, seen, now) {
        Verdict::Wait { wait } => Err(wait),
        // The count includes this code.
        Verdict::Check { failures, .. }
            if failures.saturating_add(unjudged) > REDEMPTION_FREE + REDEMPTIONS_UNJUDGED =>
        {
            Err(Duration::from_secs(1))
        }
        Verdict::Check { .. } => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_unix_seconds(1_700_000_000 + seconds)
    }

    fn seen(failures: i64, blocked_until: i64, changed_at: i64) -> CounterState {
        CounterState { failures, blocked_until: at(blocked_until), changed_at: at(changed_at) }
    }

    fn check(scope: Scope, failures: i64) -> Duration {
        match decide(scope, Some(seen(failures, 0, 0)), at(1)) {
            Verdict::Check { failures: counted, blocked_until } => {
                assert_eq!(counted, failures + 1);
                blocked_until.since(at(1))
            }
            Verdict::Wait { .. } => panic!("not blocked"),
        }
    }

    #[test]
    fn waits_grow_and_the_hundredth_failure_stops_for_a_day() {
        for (failures, wait) in
            [(0, 0), (8, 0), (9, 1), (10, 2), (12, 8), (18, 512), (19, 900), (98, 900), (99, 86_400)]
        {
            assert_eq!(check(Scope::Account, failures), Duration::from_secs(wait), "{failures}");
        }
    }

    #[test]
    fn a_network_is_slowed_but_never_stopped_for_a_day() {
        assert_eq!(check(Scope::Network, 298), Duration::ZERO);
        assert_eq!(check(Scope::Network, 299), Duration::from_secs(1));
        assert_eq!(check(Scope::Network, 100_000), Duration::from_mins(15));
    }

    #[test]
    fn a_blocked_guess_is_not_checked_and_not_counted() {
        let verdict = decide(Scope::Account, Some(seen(13, 8, 0)), at(3));
        assert_eq!(verdict, Verdict::Wait { wait: Duration::from_secs(5) });
    }

    #[test]
    fn a_clock_that_is_set_back_blocks_nobody_who_was_not_blocked() {
        let verdict = decide(Scope::Account, Some(seen(3, 3_600, 3_600)), at(0));
        assert_eq!(verdict, Verdict::Check { failures: 4, blocked_until: at(0) });
        let verdict = decide(Scope::Account, Some(seen(12, 3_608, 3_600)), at(0));
        assert_eq!(verdict, Verdict::Wait { wait: Duration::from_secs(4) });
    }

    #[test]
    fn wrong_client_secrets_cost_a_minute_at_most() {
        for (failures, wait) in [(0, 0), (8, 0), (9, 1), (10, 2), (14, 32), (15, 60), (100_000, 60)] {
            assert_eq!(check(Scope::Client, failures), Duration::from_secs(wait), "{failures}");
        }
    }

    #[test]
    fn refused_codes_are_forgiven_one_a_minute() {
        let after = |seconds: i64| match decide(Scope::Redemption, Some(seen(25, 0, 0)), at(seconds)) {
            Verdict::Check { failures, blocked_until } => {
                (failures, blocked_until.since(at(seconds)).as_secs())
            }
            Verdict::Wait { .. } => panic!("not blocked"),
        };
        assert_eq!([after(1), after(59), after(60), after(360)], [(26, 64), (26, 64), (25, 32), (20, 1)]);
        assert_eq!([after(420), after(86_000)], [(19, 0), (1, 0)]);
    }

    #[test]
    fn codes_under_way_count_as_refused_beyond_a_share() {
        assert_eq!(may_redeem(None, 0, at(0)), Ok(()));
        assert_eq!(may_redeem(None, 51, at(0)), Ok(()));
        assert_eq!(may_redeem(None, 52, at(0)), Err(Duration::from_secs(1)));
        let refused = |failures| Some(seen(failures, 0, 0));
        assert_eq!(may_redeem(refused(19), 32, at(1)), Ok(()));
        assert_eq!(may_redeem(refused(19), 33, at(1)), Err(Duration::from_secs(1)));
        assert_eq!(may_redeem(Some(seen(20, 4, 0)), 0, at(1)), Err(Duration::from_secs(1)));
    }

    #[test]
    fn a_day_without_failure_resets_the_count() {
        let verdict = decide(Scope::Account, Some(seen(99, 0, 0)), at(86_400));
        assert_eq!(verdict, Verdict::Check { failures: 1, blocked_until: at(86_400) });
    }
}
