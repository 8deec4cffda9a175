//! The dispatcher of a sign-in: what is still due, one step a page. Steps never call each other.

/// What a sign-in stands on that is there no longer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Withdrawn {
    /// The account is disabled or gone.
    Account,
    /// The account's organization is disabled.
    Organization,
    /// The connection, or its organization, is disabled.
    Connection,
    /// The app, or its organization, is disabled.
    App,
    /// The app has given up the address that waits for the answer.
    RedirectUri,
    /// The organization has no more sign-ins by password for this account.
    LocalSignIn,
}

impl Withdrawn {
    /// The reason, as the audit log has it.
    pub const fn reason(self) -> &'static str {
        match self {
            Self::Account => "account_disabled",
            Self::Organization => "organization_disabled",
            Self::Connection => "connection_disabled",
            Self::App => "client_disabled",
            Self::RedirectUri => "redirect_uri_withdrawn",
            Self::LocalSignIn => "local_sign_in_off",
        }
    }
}

/// What is known about a flow in which somebody was proved.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "each is the answer to one question")]
pub struct Facts {
    /// What is disabled or gone now, of that on which the sign-in stands.
    pub withdrawn: Option<Withdrawn>,
    /// Whether this is the account that `id_token_hint` or `claims` names, where one does.
    pub is_expected: bool,
    /// Whether the person signed in in a context that the app accepts.
    pub is_context_accepted: bool,
    /// Whether the account may use the app, in the way in which it signed in.
    pub may_use_app: bool,
    /// Whether the person is to be asked to link another account of theirs.
    pub offers_link: bool,
    /// Whether the person must be asked before the app learns about them.
    pub needs_consent: bool,
}

/// What is due next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// Nothing more: something that the sign-in stands on was withdrawn meanwhile.
    RefuseWithdrawn(Withdrawn),
    /// Nothing more: somebody else signed in than the app expects.
    RefuseOther,
    /// Nothing more: this account may not use this app.
    RefuseAccess,
    /// Nothing more: the app demands another authentication context.
    RefuseContext,
    /// Offer to link another account.
    OfferLink,
    /// Ask for consent.
    Consent,
    /// Back to the app.
    Finish,
}

/// What is due next. The only place that knows the order.
pub const fn next_step(facts: Facts) -> Step {
    // Order matters: nobody is asked anything who will be refused in the end.
    if let Some(what) = facts.withdrawn {
        Step::RefuseWithdrawn(what)
    } else if !facts.is_expected {
        Step::RefuseOther
    } else if !facts.may_use_app {
        Step::RefuseAccess
    } else if !facts.is_context_accepted {
        Step::RefuseContext
    } else if facts.offers_link {
        Step::OfferLink
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
        let gone = Some(Withdrawn::Connection);
        let refused = Step::RefuseWithdrawn(Withdrawn::Connection);
        for (withdrawn, is_expected, may_use_app, is_context_accepted, offers_link, needs_consent, step) in [
            (gone, false, false, false, true, true, refused),
            (gone, true, true, true, false, false, refused),
            (None, false, false, false, true, true, Step::RefuseOther),
            (None, true, false, false, true, true, Step::RefuseAccess),
            (None, true, true, false, true, true, Step::RefuseContext),
            (None, true, true, false, false, false, Step::RefuseContext),
            (None, true, true, true, true, true, Step::OfferLink),
            (None, true, true, true, true, false, Step::OfferLink),
            (None, true, true, true, false, true, Step::Consent),
            (None, true, true, true, false, false, Step::Finish),
        ] {
            let facts = Facts {
                withdrawn,
                is_expected,
                is_context_accepted,
                may_use_app,
                offers_link,
                needs_consent,
            };
            assert_eq!(next_step(facts), step);
        }
    }
}
