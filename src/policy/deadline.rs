//! When people are told that something ends: a certificate, a client secret at a provider.

use std::time::Duration;

use crate::model::Timestamp;

/// How long before its end something is warned of.
pub const WARN_BEFORE: Duration = Duration::from_hours(30 * 24);

/// How near an end is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Deadline {
    /// There is time.
    Far,
    /// Somebody should act.
    Near,
    /// It is over.
    Past,
}

/// How near `end` is.
pub fn deadline(end: Timestamp, now: Timestamp) -> Deadline {
    if end <= now {
        Deadline::Past
    } else if end <= now.after(WARN_BEFORE) {
        Deadline::Near
    } else {
        Deadline::Far
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_end_comes_nearer_and_is_over_at_its_moment() {
        let end = Timestamp::from_unix_seconds(100 * 86_400);
        let at = |seconds| deadline(end, Timestamp::from_unix_seconds(seconds));
        assert_eq!(at(70 * 86_400 - 1), Deadline::Far);
        assert_eq!((at(70 * 86_400), at(100 * 86_400 - 1)), (Deadline::Near, Deadline::Near));
        assert_eq!(at(100 * 86_400), Deadline::Past);
    }
}
