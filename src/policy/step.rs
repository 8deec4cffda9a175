//! The dispatcher of a sign-in: what is still due, one step a page. Steps never call each other.

/// What is known about a flow in which somebody was proved.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "each answers a question of its own")]
pub struct Facts {
    /// Whether account, organization, connection and app are enabled now.
    pub active: bool,
    /// Whether this is the account that `id_token_hint` names, where one does.
    pub is_expected: bool,
    /// Whether the account may use the app, in the way in which it signed in.
    pub may_use_app: bool,
    /// Whether the person must be asked before the app learns about them.
    pub needs_consent: bool,
}

/// What is due next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// Nothing more: something was disabled meanwhile.
    RefuseInactive,
    /// Nothing more: somebody else signed in than the app expects.
    RefuseOther,
    /// Nothing more: this account may not use this app.
    RefuseAccess,
    /// Ask for consent.
    Consent,
    /// Back to the app.
    Finish,
}

/// What is due next. The only place that knows the order.
pub const fn next_step(facts: Facts) -> Step {
    // Order matters: nobody is asked anything who will be refused in the end.
    if !facts.active {
        Step::RefuseInactive
    } else if !facts.is_expected {
        Step::RefuseOther
    } else if !facts.may_use_app {
        Step::RefuseAccess
    } else if facts.needs_consent {
        Step::Consent
    } else {
        Step::Finish
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refusals_come_before_questions() {
        for (active, is_expected, may_use_app, needs_consent, step) in [
            (false, false, false, true, Step::RefuseInactive),
            (false, true, true, false, Step::RefuseInactive),
            (true, false, false, true, Step::RefuseOther),
            (true, true, false, true, Step::RefuseAccess),
            (true, true, true, true, Step::Consent),
            (true, true, true, false, Step::Finish),
        ] {
            assert_eq!(next_step(Facts { active, is_expected, may_use_app, needs_consent }), step);
        }
    }
}
