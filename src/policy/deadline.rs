//! When the operator is warned that something expires: a certificate, or a client secret at an identity provider.

use std::time::Duration;

use crate::model::Timestamp;

/// How long before its expiry a thing is warned about.
pub const WARN_BEFORE: Duration = Duration::from_hours(30 * 24);

/// How close an expiry is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Deadline {
    /// More than [`WARN_BEFORE`] remains.
    Later,
    /// It expires within [`WARN_BEFORE`], and the operator should act.
    Soon,
    /// It has expired.
    Past,
}

/// How close the expiry `end` is.
pub fn deadline(end: Timestamp, now: Timestamp) -> Deadline {
    if end <= now {
        Deadline::Past
    } else if end <= now.after(WARN_BEFORE) {
        Deadline::Soon
    } else {
        Deadline::Later
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_end_comes_nearer_and_is_over_at_its_moment() {
        let end = Timestamp::from_unix_seconds(100 * 86_400);
        let at = |seconds| deadline(end, Timestamp::from_unix_seconds(seconds));
        assert_eq!(at(70 * 86_400 - 1), Deadline::Later);
        assert_eq!((at(70 * 86_400), at(100 * 86_400 - 1)), (Deadline::Soon, Deadline::Soon));
        assert_eq!(at(100 * 86_400), Deadline::Past);
    }
}
