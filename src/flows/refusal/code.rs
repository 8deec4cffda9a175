//! What the broker tells a user about a refusal: the public codes (`data-error`), with the data that their page needs.

use std::time::Duration;

use crate::model::ConnectionId;

/// How long to wait before the next try, where it is known.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Wait(pub Option<Duration>);

/// The connection through which the user should sign in instead.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Elsewhere {
    /// Its id, where it is known.
    pub connection: Option<ConnectionId>,
    /// Its name, once the refusal is shown.
    pub name: Option<String>,
}

/// The ways to sign in that conflict with each other, by their names.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Clashing(pub Vec<String>);

/// Declares the public codes, each with its word and the data that its page needs.
macro_rules! public_codes {
    ($($(#[$doc:meta])* $variant:ident $(($data:ty))? = $word:literal),+ $(,)?) => {
        /// The refusals that a page can show to the user.
        #[derive(Debug, Clone, PartialEq, Eq)]
        pub enum PublicCode {
            $($(#[$doc])* $variant $(($data))?),+
        }

        impl PublicCode {
            /// The code, as `data-error` and `docs/errors.md` have it.
            pub const fn as_str(&self) -> &'static str {
                match self {
                    $(public_codes!(@pattern $variant $(($data))?) => $word),+
                }
            }

            /// All codes, in the order of a sign-in, without data.
            pub fn all() -> Vec<Self> {
                vec![$(public_codes!(@value $variant $(($data))?)),+]
            }
        }
    };
    (@pattern $variant:ident) => { Self::$variant };
    (@pattern $variant:ident ($data:ty)) => { Self::$variant(_) };
    (@value $variant:ident) => { Self::$variant };
    (@value $variant:ident ($data:ty)) => { Self::$variant(<$data>::default()) };
}

public_codes! {
    /// The app’s request cannot be answered.
    InvalidRequest = "invalid_request",
    /// We do not know this app.
    UnknownClient = "unknown_client",
    /// The app’s return address is not registered.
    RedirectUriMismatch = "redirect_uri_mismatch",
    /// Username and password do not match.
    BadCredentials = "bad_credentials",
    /// This is longer than any password can be.
    PasswordTooLong = "password_too_long",
    /// Signing in is paused for a while.
    TooManyAttempts(Wait) = "too_many_attempts",
    /// Very many people are signing in right now.
    Busy(Wait) = "busy",
    /// We found no sign-in under this name.
    UnknownDomain = "unknown_domain",
    /// Your identity provider did not sign you in.
    IdpRefused = "idp_refused",
    /// Your identity provider does not answer.
    IdpUnreachable(Wait) = "idp_unreachable",
    /// We could not accept your identity provider’s answer.
    IdpAnswerInvalid = "idp_answer_invalid",
    /// You have no account here yet.
    NoAccount = "no_account",
    /// Your organization has no room for another account.
    TooManyAccounts = "too_many_accounts",
    /// We cannot tell which account is yours.
    PersonUnclear = "person_unclear",
    /// You sign in another way here.
    OtherConnection(Elsewhere) = "other_connection",
    /// Your account cannot use this app.
    NotAllowed = "not_allowed",
    /// Your account is switched off.
    AccountDisabled = "account_disabled",
    /// This way to sign in is switched off.
    ConnectionDisabled = "connection_disabled",
    /// Your organization is switched off here.
    OrganizationDisabled = "organization_disabled",
    /// This sign-in took too long.
    FlowExpired = "flow_expired",
    /// This sign-in is already finished.
    FlowFinished = "flow_finished",
    /// Your session has ended.
    SessionEnded = "session_ended",
    /// You have not chosen anything.
    LinkUnanswered = "link_unanswered",
    /// Linking is switched off.
    LinkOff = "link_off",
    /// Both already belong to one account.
    LinkSameAccount = "link_same_account",
    /// This account already has a sign-in at that identity provider.
    LinkSameProvider(Clashing) = "link_same_provider",
    /// This account cannot have any more ways to sign in.
    LinkFull = "link_full",
    /// Neither of the two has an account yet.
    LinkNoAccount = "link_no_account",
    /// That was not the sign-in that you chose.
    LinkWrongProfile = "link_wrong_profile",
    /// This account is kept for emergencies.
    LinkEmergency = "link_emergency",
    /// This sign-in already belongs to an account.
    LinkTaken = "link_taken",
    /// One of the two is no longer a way to sign in.
    LinkProfileGone = "link_profile_gone",
    /// This is your only remaining way to sign in.
    UnlinkLast = "unlink_last",
    /// This can no longer be undone.
    UndoTooLate = "undo_too_late",
    /// This was already undone.
    UndoDone = "undo_done",
    /// This link is no longer there.
    UndoGone = "undo_gone",
    /// A later merge has to be undone first.
    UndoLaterFirst = "undo_later_first",
    /// You would have no way left to sign in.
    UndoLast = "undo_last",
    /// This cannot be undone now.
    UndoTaken = "undo_taken",
    /// This link no longer works.
    PasswordLinkUsed = "password_link_used",
    /// Your password was not set.
    PasswordRules = "password_rules",
    /// A different account signed in.
    OtherAccount = "other_account",
    /// Your identity provider cannot check again that it is you.
    CannotAskAnew = "cannot_ask_anew",
    /// This is not the code.
    MailCodeWrong = "mail_code_wrong",
    /// This code no longer works.
    MailCodeOver = "mail_code_over",
    /// No more codes today.
    TooManyCodes = "too_many_codes",
    /// This form came from another site.
    CrossSite = "cross_site",
    /// There is no page at this address.
    NotFound = "not_found",
    /// This address cannot be opened like this.
    MethodNotAllowed = "method_not_allowed",
    /// Signing in does not work right now.
    TemporarilyUnavailable(Wait) = "temporarily_unavailable",
}

impl PublicCode {
    /// How long to wait before the next try, where it is known.
    pub const fn wait(&self) -> Option<Duration> {
        match self {
            Self::TooManyAttempts(Wait(wait))
            | Self::Busy(Wait(wait))
            | Self::IdpUnreachable(Wait(wait))
            | Self::TemporarilyUnavailable(Wait(wait)) => *wait,
            _ => None,
        }
    }
}
