//! How recent a proof must be for a sensitive action, and how a user proves again who they are.

use std::time::Duration;

use crate::model::{ConnectionId, Identity, LINK_LIFETIME, SensitiveAction, Timestamp};

/// How old the first proof may be when a link begins, so that the user has time for the second one.
const BEGIN_LINK_WITHIN: Duration = Duration::from_mins(5);

/// How old a proof may be for any other sensitive action, without a second factor.
const FRESH_PROOF: Duration = Duration::from_mins(30);

/// Until when the user may finish `action`, if their last proof is recent enough; `None` if they must prove again who
/// they are. A proof in the future does not count: the clock was set back.
pub fn fresh_until(action: SensitiveAction, proved_at: Timestamp, now: Timestamp) -> Option<Timestamp> {
    let (within, lifetime) = match action {
        SensitiveAction::AddProfile => (BEGIN_LINK_WITHIN, LINK_LIFETIME),
        SensitiveAction::Unlink(_) | SensitiveAction::Undo(_) => (FRESH_PROOF, FRESH_PROOF),
    };
    let is_fresh = !proved_at.is_ahead_of(now) && now.since(proved_at) <= within;
    is_fresh.then(|| proved_at.after(lifetime))
}

/// Whether an identity that has just arrived counts as proved: its identity provider asked the user, and did so
/// recently.
pub fn is_proved(identity: &Identity, now: Timestamp) -> bool {
    identity.witnessed && fresh_until(SensitiveAction::AddProfile, identity.authenticated_at, now).is_some()
}

/// The facts that decide how a signed-in user proves again who they are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ReauthenticationFacts {
    /// The connection through which the user signed in, if its identity provider can be made to ask them again.
    pub asks_again: Option<ConnectionId>,
    /// Whether the account has a password that its organization lets it use.
    pub has_password: bool,
    /// Whether the account has a proven address to which mail can be sent.
    pub has_address: bool,
}

/// How a signed-in user proves again who they are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reauthentication {
    /// At the identity provider of this connection, which is made to ask them.
    Connection(ConnectionId),
    /// By the account's password.
    Password,
    /// By a code that is mailed to the account's proven address.
    MailedCode,
    /// In no way: there is nothing that the broker could ask for.
    Impossible,
}

/// How a signed-in user proves again who they are: the way in which they signed in, if it can be repeated. A mailed code
/// is the last resort.
pub const fn reauthentication(facts: ReauthenticationFacts) -> Reauthentication {
    match facts {
        ReauthenticationFacts { asks_again: Some(connection), .. } => {
            Reauthentication::Connection(connection)
        }
        ReauthenticationFacts { has_password: true, .. } => Reauthentication::Password,
        ReauthenticationFacts { has_address: true, .. } => Reauthentication::MailedCode,
        _ => Reauthentication::Impossible,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{LedgerId, ProfileId};

    #[test]
    fn a_user_proves_again_who_they_are_as_they_signed_in_if_that_can_be_repeated() {
        let here = ConnectionId::from_bytes([7; 16]);
        for (asks_again, has_password, has_address, expected) in [
            (Some(here), false, false, Reauthentication::Connection(here)),
            (Some(here), true, true, Reauthentication::Connection(here)),
            (None, true, false, Reauthentication::Password),
            (None, true, true, Reauthentication::Password),
            (None, false, true, Reauthentication::MailedCode),
            (None, false, false, Reauthentication::Impossible),
        ] {
            let facts = ReauthenticationFacts { asks_again, has_password, has_address };
            assert_eq!(reauthentication(facts), expected, "{facts:?}");
        }
    }

    #[test]
    fn each_sensitive_action_says_how_recent_its_proof_is() {
        let proved = Timestamp::from_unix_micros(1_000_000_000_000);
        let later = |minutes: u64, micros: u64| {
            proved.after(Duration::from_mins(minutes)).after(Duration::from_micros(micros))
        };
        let before = |seconds| proved.before(Duration::from_secs(seconds));
        let link = SensitiveAction::AddProfile;
        let others = [
            SensitiveAction::Unlink(ProfileId::from_bytes([7; 16])),
            SensitiveAction::Undo(LedgerId::from_bytes([7; 16])),
        ];
        // Both proofs of a link lie within ten minutes.
        assert_eq!(fresh_until(link, proved, later(5, 0)), Some(later(10, 0)));
        assert_eq!(fresh_until(link, proved, later(5, 1)), None);
        for action in others {
            assert_eq!(fresh_until(action, proved, later(30, 0)), Some(later(30, 0)));
            assert_eq!(fresh_until(action, proved, later(30, 1)), None);
        }
        // The clocks of two nodes may differ by a minute. A larger difference means that a clock was set back.
        for action in [link, others[0], others[1]] {
            assert!(fresh_until(action, proved, before(60)).is_some());
            assert_eq!(fresh_until(action, proved, before(61)), None);
        }
    }
}
