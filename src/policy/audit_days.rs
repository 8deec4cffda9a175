//! Which days leave the audit log, and whether their records may be removed.

use std::time::Duration;

use crate::model::{Day, Timestamp};

/// Whether a day ended so long ago that its records must be exported and removed.
pub fn is_due(day: Day, keep: Duration, now: Timestamp) -> bool {
    day.ends().after(keep) <= now
}

/// How a record of the database compares with a line of the day's file. Both are in the order of their ids.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Comparison {
    /// The line is this record, byte for byte.
    Same,
    /// The line is an earlier record, which has been removed already: the next line may be this record.
    Earlier,
    /// The file does not hold this record, so the record must not be removed.
    Missing,
}

/// A record of the audit log, as a day's file holds it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Exported<'a> {
    /// The record's id.
    pub id: &'a str,
    /// The line of the file.
    pub text: &'a str,
}

/// Compares a record with a line of the file.
pub fn compare(record: Exported<'_>, line: Exported<'_>) -> Comparison {
    if record == line {
        Comparison::Same
    } else if line.id < record.id {
        Comparison::Earlier
    } else {
        Comparison::Missing
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_day_is_due_when_its_last_moment_is_as_old_as_the_term() {
        let keep = Duration::from_hours(30 * 24);
        let now = Timestamp::from_unix_seconds(100 * 86_400);
        for (days_ago, due) in [(0, false), (1, false), (30, false), (31, true), (32, true), (100, true)] {
            let day = Day::of(now.before(Duration::from_hours(24 * days_ago)));
            assert_eq!(is_due(day, keep, now), due, "{days_ago}");
        }
        // A clock that was set back makes no day due.
        assert!(!is_due(Day::of(now), keep, Timestamp::from_unix_seconds(0)));
    }

    #[test]
    fn only_a_record_that_stands_in_the_file_word_for_word_may_go() {
        for (record, line, comparison) in [
            (("b", "{b}"), ("b", "{b}"), Comparison::Same),
            (("b", "{b}"), ("a", "{a}"), Comparison::Earlier),
            (("b", "{b}"), ("b", "{B}"), Comparison::Missing),
            (("b", "{b}"), ("c", "{c}"), Comparison::Missing),
        ] {
            let exported = |(id, text)| Exported { id, text };
            assert_eq!(compare(exported(record), exported(line)), comparison, "{record:?} {line:?}");
        }
    }
}
