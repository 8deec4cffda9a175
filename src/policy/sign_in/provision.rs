//! Whether a first sign-in through a connection creates an account.

/// The facts about a user who signs in through a connection for the first time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FirstSignIn {
    /// Whether the identity already signs in through another connection of the organization.
    pub known_elsewhere: bool,
    /// Whether the connection creates accounts.
    pub new_accounts: bool,
    /// Whether the organization may have another account.
    pub has_room: bool,
}

/// The decision.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Provision {
    /// Create an account.
    Create,
    /// Refuse, and name the other connection: one identity has one account.
    RefuseOther,
    /// Refuse: the connection does not create accounts.
    RefuseOff,
    /// Refuse: the organization has as many accounts as it may have.
    RefuseFull,
}

/// Decides. The refusal that helps the user most comes first.
pub const fn decide(facts: FirstSignIn) -> Provision {
    if facts.known_elsewhere {
        Provision::RefuseOther
    } else if !facts.new_accounts {
        Provision::RefuseOff
    } else if !facts.has_room {
        Provision::RefuseFull
    } else {
        Provision::Create
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_stranger_with_room_gets_an_account() {
        for (known_elsewhere, new_accounts, has_room, expected) in [
            (false, true, true, Provision::Create),
            (false, true, false, Provision::RefuseFull),
            (false, false, true, Provision::RefuseOff),
            (false, false, false, Provision::RefuseOff),
            (true, true, true, Provision::RefuseOther),
            (true, false, false, Provision::RefuseOther),
        ] {
            assert_eq!(decide(FirstSignIn { known_elsewhere, new_accounts, has_room }), expected);
        }
    }
}
