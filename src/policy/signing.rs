//! When the broker's own signing keys change, and how long each stays in use after it has stopped signing.

use std::time::Duration;

use crate::model::{KeyState, KeyTimes, Timestamp};

/// The stage of a key at a time; `None` once it no longer verifies anything.
pub fn stage(key: &KeyTimes, now: Timestamp) -> Option<KeyState> {
    let ended = |end: Option<Timestamp>| end.is_some_and(|end| end <= now);
    if ended(key.verifies_until) {
        None
    } else if ended(key.published_until) {
        Some(KeyState::VerifyOnly)
    } else if ended(key.signs_until) {
        Some(KeyState::Retired)
    } else if key.signs_from <= now || key.signs_from <= key.created_at {
        // The first key signs from its creation on, even if the clock was then set back to before it.
        Some(KeyState::Active)
    } else {
        Some(KeyState::Published)
    }
}

/// Whether the successor of a key must be created now. The successor must have been published for `publish_before`
/// when this key has signed for `rotate_every`.
pub fn is_due(key: &KeyTimes, now: Timestamp, rotate_every: Duration, publish_before: Duration) -> bool {
    now.since(key.signs_from).saturating_add(publish_before) >= rotate_every
}

/// The end times of a key that stops signing at `signs_until`. The key stays published until the last token that it
/// signed has expired, and as long again for apps whose clock or cache is behind. It verifies ID token hints for as
/// long as a session may live. `longest_token` is the longest lifetime of a token of any app.
pub fn retired(
    key: &KeyTimes,
    signs_until: Timestamp,
    longest_token: Duration,
    longest_session: Duration,
) -> KeyTimes {
    let published_until = signs_until.after(longest_token.saturating_mul(2));
    let verifies_until = signs_until.after(longest_session).max(published_until);
    // An end time that was promised once is never brought forward.
    KeyTimes {
        created_at: key.created_at,
        signs_from: key.signs_from,
        signs_until: Some(signs_until),
        published_until: key.published_until.max(Some(published_until)),
        verifies_until: key.verifies_until.max(Some(verifies_until)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn at(seconds: i64) -> Timestamp {
        Timestamp::from_unix_seconds(seconds)
    }

    const fn seconds(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    const SIGNING: KeyTimes = KeyTimes {
        created_at: at(50),
        signs_from: at(100),
        signs_until: None,
        published_until: None,
        verifies_until: None,
    };

    #[test]
    fn a_first_key_signs_also_when_the_clock_was_set_back_behind_its_making() {
        let first = KeyTimes { signs_from: SIGNING.created_at, ..SIGNING };
        assert_eq!(stage(&first, at(10)), Some(KeyState::Active));
        assert_eq!(stage(&SIGNING, at(60)), Some(KeyState::Published));
    }

    #[test]
    fn a_key_goes_through_its_stages_in_order() {
        use KeyState::{Active, Published, Retired, VerifyOnly};
        let key = retired(&SIGNING, at(200), seconds(10), seconds(50));
        let stages = [99, 100, 199, 200, 219, 220, 249, 250].map(|now| stage(&key, at(now)));
        let expected = [Published, Active, Active, Retired, Retired, VerifyOnly, VerifyOnly].map(Some);
        assert_eq!(stages[..7], expected);
        assert_eq!(stages[7], None);
    }

    #[test]
    fn a_key_verifies_at_least_as_long_as_it_is_published() {
        let key = retired(&SIGNING, at(200), seconds(100), seconds(50));
        assert_eq!((key.published_until, key.verifies_until), (Some(at(400)), Some(at(400))));
    }

    #[test]
    fn longer_lives_push_the_ends_back_and_shorter_ones_do_not_pull_them() {
        let key = retired(&SIGNING, at(200), seconds(10), seconds(50));
        let longer = retired(&key, at(200), seconds(40), seconds(90));
        assert_eq!((longer.published_until, longer.verifies_until), (Some(at(280)), Some(at(290))));
        assert_eq!(retired(&longer, at(200), seconds(10), seconds(50)), longer);
    }

    #[test]
    fn the_successor_is_due_early_enough_to_be_published_before() {
        let due = |now| is_due(&SIGNING, at(now), seconds(1_000), seconds(100));
        assert!(!due(999) && due(1_000));
    }
}
