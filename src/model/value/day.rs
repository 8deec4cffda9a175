//! A calendar day, in UTC.

use std::fmt;
use std::time::Duration;

use crate::model::Timestamp;

/// A whole day: 24 hours from midnight, UTC.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Day(i64);

const MICROS: i64 = 86_400_000_000;

impl Day {
    /// The day that contains a point in time.
    pub const fn of(time: Timestamp) -> Self {
        Self(time.unix_micros().div_euclid(MICROS))
    }

    /// Its first moment.
    pub const fn begins(self) -> Timestamp {
        Timestamp::from_unix_micros(self.0.saturating_mul(MICROS))
    }

    /// The first moment after it.
    pub fn ends(self) -> Timestamp {
        self.begins().after(Duration::from_micros(MICROS.unsigned_abs()))
    }
}

impl fmt::Display for Day {
    /// Year, month and day, as `2026-11-30`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let time = self.begins().to_string();
        f.write_str(time.split('T').next().unwrap_or(&time))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_day_goes_from_midnight_to_midnight() {
        let day = Day::of(Timestamp::from_unix_seconds(1_796_050_695));
        assert_eq!(day.to_string(), "2026-11-30");
        assert_eq!(day.begins().to_string(), "2026-11-30T00:00:00Z");
        assert_eq!(day.ends().to_string(), "2026-12-01T00:00:00Z");
        assert_eq!(Day::of(day.begins()), day);
        assert_ne!(Day::of(day.ends()), day);
        assert_eq!(Day::of(Timestamp::from_unix_micros(-1)).to_string(), "1969-12-31");
    }
}
