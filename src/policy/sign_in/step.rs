//! The order of the steps of an interaction: what is due next. Steps never call each other.
//!
//! A step waits for the user at a stage, acts without them, or ends the interaction. A stage *proves* who the user is,
//! or *asks* them something. A session opens only when no proof is due, and the purpose of the interaction is carried
//! out only when no step is due. The two permits attest to this, for one account each: [`next_step`] alone makes them.

use crate::model::{AccountId, FlowId};

/// Something that a sign-in depends on and that is no longer there.
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
    /// The app no longer registers the address that waits for the response.
    RedirectUri,
    /// The profile by which the account was proved no longer belongs to it.
    Profile,
    /// The organization no longer allows this account to sign in by password.
    LocalSignIn,
}

/// The facts about an interaction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Facts {
    /// The interaction.
    pub interaction: FlowId,
    /// The facts about its subject.
    pub subject: SubjectFacts,
    /// The next step of a link in it.
    pub link: LinkDue,
}

/// The facts about the subject of an interaction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SubjectFacts {
    /// It is an identity that belongs to no account yet.
    Identity,
    /// It is an account.
    Account(AccountFacts),
}

/// The facts about an account that was proved.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "each is the answer to one question")]
pub struct AccountFacts {
    /// The account.
    pub account: AccountId,
    /// The part that the sign-in depends on and that is now disabled or gone; `None` if there is none.
    pub withdrawn: Option<Withdrawn>,
    /// Whether this is the account that `id_token_hint` or `claims` names, where one does.
    pub is_expected: bool,
    /// Whether the user signed in with an authentication context that the app accepts.
    pub is_context_accepted: bool,
    /// Whether the account may use the app, in the way in which it signed in.
    pub may_use_app: bool,
    /// Whether its session is open, and rests on the last proof.
    pub has_session: bool,
    /// Whether the user must consent before the app learns about them.
    pub needs_consent: bool,
}

/// The next step of a link that is offered or under way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LinkDue {
    /// Nothing: there is no link.
    Nothing,
    /// The user has not yet said whom to link with.
    Offer,
    /// The arriving side must be proved once more.
    ArrivingProof,
    /// The chosen side must be proved.
    ChosenProof,
    /// Both sides are proved, and the user must confirm the link.
    Confirmation,
}

/// Why an interaction ends without its purpose being carried out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StepRefusal {
    /// Something that the sign-in depends on was withdrawn in the meantime.
    Withdrawn(Withdrawn),
    /// The app, or the page, expects another account than the one that signed in.
    OtherAccount,
    /// This account may not use this app.
    Access,
    /// The app demands another authentication context.
    Context,
}

/// The next step.
#[derive(Debug, PartialEq, Eq)]
pub enum Step {
    /// Refuse to go on.
    Refuse(StepRefusal),
    /// Create an account for the identity, if its connection allows that.
    CreateAccount,
    /// Open the session.
    OpenSession(SessionPermit),
    /// Wait for the user, at this page or upstream request.
    Wait(Stage),
    /// Carry out the purpose of the interaction.
    Finish(FinishPermit),
}

crate::model::value::words::word_enum! {
    /// The page or upstream request at which an interaction waits. A page's word is its path.
    Stage {
        /// The page that offers to link another account.
        LinkOffer = "link",
        /// The upstream request that proves the arriving side of a link once more.
        ProveArriving = "link/arriving",
        /// The upstream request that proves the chosen side of a link.
        ProveChosen = "link/chosen",
        /// The page that names both sides of a link and asks the user to confirm it.
        ConfirmLink = "link/confirm",
        /// The page that asks for consent.
        Consent = "consent",
    }
}

/// The kind of input that a stage needs from the user.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StageKind {
    /// A proof: no session opens before it.
    Proves,
    /// An answer.
    Asks,
}

impl Stage {
    /// The kind of input that this stage needs from the user.
    pub const fn kind(self) -> StageKind {
        match self {
            Self::ProveArriving | Self::ProveChosen => StageKind::Proves,
            Self::LinkOffer | Self::ConfirmLink | Self::Consent => StageKind::Asks,
        }
    }

    /// Whether the stage belongs to a link that is under way: the user may go back from it to the offer.
    pub const fn is_of_link(self) -> bool {
        match self {
            Self::LinkOffer | Self::ProveArriving | Self::ProveChosen | Self::ConfirmLink => true,
            Self::Consent => false,
        }
    }
}

/// Permission to open the session of an interaction: no proving step is due in it.
#[derive(Debug, PartialEq, Eq)]
pub struct SessionPermit {
    interaction: FlowId,
    account: AccountId,
}

impl SessionPermit {
    /// The interaction whose session may be opened.
    pub const fn interaction(&self) -> FlowId {
        self.interaction
    }

    /// The account for which the session may be opened.
    pub const fn account(&self) -> AccountId {
        self.account
    }
}

/// Permission to carry out the purpose of an interaction, such as to issue a code: no step is due in it.
#[derive(Debug, PartialEq, Eq)]
pub struct FinishPermit {
    interaction: FlowId,
    account: AccountId,
}

impl FinishPermit {
    /// The interaction that may finish.
    pub const fn interaction(&self) -> FlowId {
        self.interaction
    }

    /// The account for which it may finish.
    pub const fn account(&self) -> AccountId {
        self.account
    }
}

/// The next step. This function alone knows the order.
pub const fn next_step(facts: Facts) -> Step {
    let Facts { interaction, subject, link } = facts;
    match subject {
        SubjectFacts::Identity => step_of_identity(link),
        SubjectFacts::Account(account) => step_of_account(interaction, account, link),
    }
}

/// An identity is linked with an account, or becomes a new account.
const fn step_of_identity(link: LinkDue) -> Step {
    match link {
        LinkDue::Offer => Step::Wait(Stage::LinkOffer),
        LinkDue::ArrivingProof => Step::Wait(Stage::ProveArriving),
        LinkDue::ChosenProof => Step::Wait(Stage::ProveChosen),
        LinkDue::Confirmation => Step::Wait(Stage::ConfirmLink),
        LinkDue::Nothing => Step::CreateAccount,
    }
}

const fn step_of_account(interaction: FlowId, facts: AccountFacts, link: LinkDue) -> Step {
    // Every fact is named here, so that a new one cannot be overlooked.
    let AccountFacts {
        account,
        withdrawn,
        is_expected,
        is_context_accepted,
        may_use_app,
        has_session,
        needs_consent,
    } = facts;
    // Order matters: a user who will be refused in the end is asked nothing.
    if let Some(what) = withdrawn {
        return Step::Refuse(StepRefusal::Withdrawn(what));
    }
    match (is_expected, may_use_app, is_context_accepted) {
        (false, _, _) => return Step::Refuse(StepRefusal::OtherAccount),
        (true, false, _) => return Step::Refuse(StepRefusal::Access),
        (true, true, false) => return Step::Refuse(StepRefusal::Context),
        (true, true, true) => {}
    }
    // Order matters: first what a link under way needs, then the session, then further questions.
    match (link, has_session, needs_consent) {
        (LinkDue::ArrivingProof, _, _) => Step::Wait(Stage::ProveArriving),
        (LinkDue::ChosenProof, _, _) => Step::Wait(Stage::ProveChosen),
        (LinkDue::Confirmation, _, _) => Step::Wait(Stage::ConfirmLink),
        (LinkDue::Nothing | LinkDue::Offer, false, _) => {
            Step::OpenSession(SessionPermit { interaction, account })
        }
        (LinkDue::Offer, true, _) => Step::Wait(Stage::LinkOffer),
        (LinkDue::Nothing, true, true) => Step::Wait(Stage::Consent),
        (LinkDue::Nothing, true, false) => Step::Finish(FinishPermit { interaction, account }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: FlowId = FlowId::from_bytes([7; 16]);
    const WHO: AccountId = AccountId::from_bytes([9; 16]);

    const GOOD: AccountFacts = AccountFacts {
        account: WHO,
        withdrawn: None,
        is_expected: true,
        is_context_accepted: true,
        may_use_app: true,
        has_session: true,
        needs_consent: false,
    };

    const LINKS: [LinkDue; 5] = [
        LinkDue::Nothing,
        LinkDue::Offer,
        LinkDue::ArrivingProof,
        LinkDue::ChosenProof,
        LinkDue::Confirmation,
    ];

    fn step(account: AccountFacts, link: LinkDue) -> Step {
        next_step(Facts { interaction: ID, subject: SubjectFacts::Account(account), link })
    }

    fn every_account() -> impl Iterator<Item = AccountFacts> {
        (0..64u8).map(|bits| AccountFacts {
            account: WHO,
            withdrawn: (bits & 1 != 0).then_some(Withdrawn::Connection),
            is_expected: bits & 2 != 0,
            is_context_accepted: bits & 4 != 0,
            may_use_app: bits & 8 != 0,
            has_session: bits & 16 != 0,
            needs_consent: bits & 32 != 0,
        })
    }

    #[test]
    fn refusals_come_before_questions() {
        let gone = Some(Withdrawn::Connection);
        for (withdrawn, is_expected, may_use_app, is_context_accepted, refusal) in [
            (gone, false, false, false, StepRefusal::Withdrawn(Withdrawn::Connection)),
            (gone, true, true, true, StepRefusal::Withdrawn(Withdrawn::Connection)),
            (None, false, false, false, StepRefusal::OtherAccount),
            (None, true, false, false, StepRefusal::Access),
            (None, true, true, false, StepRefusal::Context),
        ] {
            for (link, needs_consent, has_session) in
                LINKS.into_iter().flat_map(|link| [(link, true, false), (link, false, true)])
            {
                let facts = AccountFacts {
                    account: WHO,
                    withdrawn,
                    is_expected,
                    is_context_accepted,
                    may_use_app,
                    has_session,
                    needs_consent,
                };
                assert_eq!(step(facts, link), Step::Refuse(refusal), "{facts:?} {link:?}");
            }
        }
    }

    #[test]
    fn an_account_is_proved_then_signed_in_then_asked_and_then_goes_on() {
        let new = AccountFacts { has_session: false, needs_consent: true, ..GOOD };
        let asked = AccountFacts { needs_consent: true, ..GOOD };
        let session = || Step::OpenSession(SessionPermit { interaction: ID, account: WHO });
        for (facts, link, expected) in [
            (new, LinkDue::ArrivingProof, Step::Wait(Stage::ProveArriving)),
            (new, LinkDue::ChosenProof, Step::Wait(Stage::ProveChosen)),
            (new, LinkDue::Confirmation, Step::Wait(Stage::ConfirmLink)),
            (new, LinkDue::Offer, session()),
            (new, LinkDue::Nothing, session()),
            (asked, LinkDue::ChosenProof, Step::Wait(Stage::ProveChosen)),
            (asked, LinkDue::Offer, Step::Wait(Stage::LinkOffer)),
            (asked, LinkDue::Nothing, Step::Wait(Stage::Consent)),
            (GOOD, LinkDue::Offer, Step::Wait(Stage::LinkOffer)),
            (GOOD, LinkDue::Nothing, Step::Finish(FinishPermit { interaction: ID, account: WHO })),
        ] {
            assert_eq!(step(facts, link), expected, "{facts:?} {link:?}");
        }
    }

    #[test]
    fn an_identity_is_linked_or_becomes_an_account_and_has_no_session() {
        for (link, expected) in [
            (LinkDue::Nothing, Step::CreateAccount),
            (LinkDue::Offer, Step::Wait(Stage::LinkOffer)),
            (LinkDue::ArrivingProof, Step::Wait(Stage::ProveArriving)),
            (LinkDue::ChosenProof, Step::Wait(Stage::ProveChosen)),
            (LinkDue::Confirmation, Step::Wait(Stage::ConfirmLink)),
        ] {
            let facts = Facts { interaction: ID, subject: SubjectFacts::Identity, link };
            assert_eq!(next_step(facts), expected);
        }
    }

    #[test]
    fn no_permit_is_given_before_its_time() {
        let is_good = |facts: AccountFacts| {
            facts.withdrawn.is_none() && facts.is_expected && facts.is_context_accepted && facts.may_use_app
        };
        for (facts, link) in every_account().flat_map(|facts| LINKS.map(|link| (facts, link))) {
            let proof_is_due = matches!(link, LinkDue::ArrivingProof | LinkDue::ChosenProof);
            match step(facts, link) {
                Step::OpenSession(permit) => {
                    assert_eq!((permit.interaction(), permit.account()), (ID, WHO));
                    assert!(!proof_is_due && !facts.has_session && is_good(facts), "{facts:?} {link:?}");
                }
                Step::Finish(permit) => {
                    assert_eq!((permit.interaction(), permit.account()), (ID, WHO));
                    assert!(facts.has_session && !facts.needs_consent && is_good(facts), "{facts:?}");
                    assert_eq!(link, LinkDue::Nothing);
                }
                Step::Refuse(_) => assert!(!is_good(facts)),
                Step::Wait(stage) => {
                    assert_eq!(stage.kind() == StageKind::Proves, proof_is_due, "{facts:?} {link:?}");
                    assert!(is_good(facts));
                }
                Step::CreateAccount => panic!("an account is made of an account"),
            }
        }
    }
}
