//! Why a request was refused, as the audit log records it. These reasons are for readers of the log, and are never
//! shown to the refused user.

use crate::model::value::words::word_enum;
use crate::policy::account::link::LinkRefusal;
use crate::policy::sign_in::step::Withdrawn;
use crate::protocol::oauth::ErrorCode;
use crate::upstream::UpstreamError;

word_enum! {
    /// The reasons that the use cases themselves have.
    Reason {
        /// The account is disabled.
        AccountDisabled = "account_disabled",
        /// Everything that the account had open was ended meanwhile.
        AccountEnded = "account_ended",
        /// The account does not exist any more.
        AccountGone = "account_gone",
        /// The connection cannot ask its provider for the demanded authentication context.
        AcrNotMapped = "acr_not_mapped",
        /// The user signed in with another authentication context than the app demands.
        AcrNotReached = "acr_not_reached",
        /// The account may not use this app, or not with this way of signing in.
        AppNotForAccount = "app_not_for_account",
        /// The app does not exist any more.
        AppUnknown = "app_unknown",
        /// The app authenticated by another method than the one that it registered.
        ClientAuthMethod = "client_auth_method",
        /// The app or its organization is disabled, or its secret has changed.
        ClientDisabled = "client_disabled",
        /// `client_id` is missing, or was sent twice.
        ClientIdMissingOrRepeated = "client_id_missing_or_repeated",
        /// The request names no app.
        ClientMissing = "client_missing",
        /// The app's secret is wrong.
        ClientSecret = "client_secret",
        /// The app authenticated in two ways at once.
        ClientTwoMethods = "client_two_methods",
        /// The code has expired.
        CodeExpired = "code_expired",
        /// The address has used up its codes, or its wrong tries, for today.
        CodeLimit = "code_limit",
        /// `code` is missing.
        CodeMissing = "code_missing",
        /// The code was given to another app.
        CodeOfAnotherApp = "code_of_another_app",
        /// The code was asked for with another redirect URI.
        CodeRedirectUri = "code_redirect_uri",
        /// The code was redeemed before.
        CodeReused = "code_reused",
        /// There is no such code.
        CodeUnknown = "code_unknown",
        /// The PKCE verifier is malformed.
        CodeVerifierMalformed = "code_verifier_malformed",
        /// The PKCE verifier is missing.
        CodeVerifierMissing = "code_verifier_missing",
        /// A PKCE verifier came for a code without a challenge.
        CodeVerifierWithoutChallenge = "code_verifier_without_challenge",
        /// The PKCE verifier does not match the challenge.
        CodeVerifierWrong = "code_verifier_wrong",
        /// The connection's registration has changed since it vouched for the identity.
        ConnectionChanged = "connection_changed",
        /// The connection or its organization is disabled.
        ConnectionDisabled = "connection_disabled",
        /// The form names no connection.
        ConnectionMalformed = "connection_malformed",
        /// There is no such connection.
        ConnectionUnknown = "connection_unknown",
        /// The user did not consent.
        ConsentDenied = "consent_denied",
        /// The user must be asked for consent, and the app allows no page to be shown.
        ConsentRequired = "consent_required",
        /// The form has no answer to the question for consent.
        ConsentUnanswered = "consent_unanswered",
        /// Another site sent the form.
        CrossSite = "cross_site",
        /// The form names no entry of the ledger.
        EntryMalformed = "entry_malformed",
        /// The entry of the ledger is not the user's own.
        EntryNotOwn = "entry_not_own",
        /// A user has already signed in in this flow.
        FlowFinished = "flow_finished",
        /// The address names no flow of this broker.
        FlowHandleInvalid = "flow_handle_invalid",
        /// The flow does not wait for this answer.
        FlowNotWaiting = "flow_not_waiting",
        /// The flow belongs to another browser, or to a session that ended.
        FlowOfAnotherBrowser = "flow_of_another_browser",
        /// The grant was revoked.
        GrantRevoked = "grant_revoked",
        /// `grant_type` is missing.
        GrantTypeMissing = "grant_type_missing",
        /// The app is not registered for this grant.
        GrantTypeNotAllowed = "grant_type_not_allowed",
        /// Too many wrong passwords came for this account.
        GuessesAccount = "guesses_account",
        /// Too many wrong passwords came from this browser.
        GuessesBrowser = "guesses_browser",
        /// Too many wrong secrets came for this app.
        GuessesClient = "guesses_client",
        /// Too many wrong passwords came from this network.
        GuessesNetwork = "guesses_network",
        /// Too many passwords wait to be hashed.
        HashingBusy = "hashing_busy",
        /// No connection satisfies all hints of the request.
        HintsLeadNowhere = "hints_lead_nowhere",
        /// `id_token_hint` is not an ID token of this broker.
        IdTokenHintInvalid = "id_token_hint_invalid",
        /// `id_token_hint` was made for another app.
        IdTokenHintOfAnotherApp = "id_token_hint_of_another_app",
        /// `id_token_hint` names an app that is gone.
        IdTokenHintOfNoApp = "id_token_hint_of_no_app",
        /// The identity provider cannot be made to ask the user again, and there is no other way to check who they are.
        IdpCannotBeForced = "idp_cannot_be_forced",
        /// The account, connection, organization or app is disabled.
        Inactive = "inactive",
        /// The user must be asked something, and the app allows no page to be shown.
        InteractionRequired = "interaction_required",
        /// `iss` names another issuer.
        IssMismatch = "iss_mismatch",
        /// `iss` or `sid` is missing.
        IssOrSidMissing = "iss_or_sid_missing",
        /// The account that would lose its password is kept for emergencies.
        LinkEmergency = "link_emergency",
        /// There would be more profiles than an account may have.
        LinkFull = "link_full",
        /// The link was used meanwhile, or its account may no longer have a password.
        LinkLost = "link_lost",
        /// Neither side of the link is an account.
        LinkNoAccount = "link_no_account",
        /// The user has not proved the chosen side of the link.
        LinkNotProved = "link_not_proved",
        /// The link does not wait for this.
        LinkNotWaiting = "link_not_waiting",
        /// The link belongs to another browser.
        LinkOfAnotherBrowser = "link_of_another_browser",
        /// The organization has linking switched off.
        LinkOff = "link_off",
        /// Another answer of the same user came first.
        LinkOvertaken = "link_overtaken",
        /// Both sides are one account already.
        LinkSameAccount = "link_same_account",
        /// Both sides have a profile of one identity provider.
        LinkSameProvider = "link_same_provider",
        /// The identity now belongs to another account.
        LinkTaken = "link_taken",
        /// The form has no answer to the question of the link.
        LinkUnanswered = "link_unanswered",
        /// There is no such mailed link.
        LinkUnknown = "link_unknown",
        /// The user proved another profile than the chosen one.
        LinkWrongProfile = "link_wrong_profile",
        /// The organization no longer allows sign-ins by password for this account.
        LocalSignInOff = "local_sign_in_off",
        /// The request with the logout token is not a form.
        LogoutFormUnreadable = "logout_form_unreadable",
        /// The logout token is missing.
        LogoutTokenMissing = "logout_token_missing",
        /// The logout token was used before.
        LogoutTokenReplayed = "logout_token_replayed",
        /// The mailed code has expired, or all its tries are used up.
        MailCodeOver = "mail_code_over",
        /// The entered code is not the one that was mailed.
        MailCodeWrong = "mail_code_wrong",
        /// The mail could not be sent.
        MailGivenUp = "mail_given_up",
        /// The address has received as many mails as it may for now.
        MailLimit = "mail_limit",
        /// The connection does not make new accounts.
        NewAccountsOff = "new_accounts_off",
        /// The account has no local profile.
        NoLocalProfile = "no_local_profile",
        /// No user is signed in in this browser.
        NoSession = "no_session",
        /// The object does not exist, or is not the user's own.
        NotFound = "not_found",
        /// The organization is disabled.
        OrganizationDisabled = "organization_disabled",
        /// The user proved another account than the expected one.
        OtherAccount = "other_account",
        /// A parameter came twice.
        ParameterRepeated = "parameter_repeated",
        /// A parameter came twice, or is too long.
        ParameterRepeatedOrTooLong = "parameter_repeated_or_too_long",
        /// The password was changed while it was checked, or since it was proved.
        PasswordChanged = "password_changed",
        /// The password is too long.
        PasswordTooLong = "password_too_long",
        /// The form does not name a sensitive action.
        PlaceMalformed = "place_malformed",
        /// Another identity has taken the place of this one.
        PlaceTakenByAnother = "place_taken_by_another",
        /// A profile that was proved does not exist any more.
        ProfileGone = "profile_gone",
        /// The form names no profile.
        ProfileMalformed = "profile_malformed",
        /// The profile is not the user's own.
        ProfileNotOwn = "profile_not_own",
        /// The profile by which the user signed in was unlinked from the account in the meantime.
        ProfileUnlinked = "profile_unlinked",
        /// A public app may not make this request.
        PublicApp = "public_app",
        /// The identity provider refused too many codes from this network.
        Redemptions = "redemptions",
        /// The redirect URI is not registered.
        RedirectUriMismatch = "redirect_uri_mismatch",
        /// `redirect_uri` is missing, or was sent twice.
        RedirectUriMissingOrRepeated = "redirect_uri_missing_or_repeated",
        /// The app no longer registers the redirect URI.
        RedirectUriWithdrawn = "redirect_uri_withdrawn",
        /// The refresh token has expired.
        RefreshExpired = "refresh_expired",
        /// The family of the refresh token has expired.
        RefreshFamilyExpired = "refresh_family_expired",
        /// `refresh_token` is missing.
        RefreshMissing = "refresh_missing",
        /// The refresh token was given to another app.
        RefreshOfAnotherApp = "refresh_of_another_app",
        /// The refresh token was used before.
        RefreshReused = "refresh_reused",
        /// The session of the refresh token has ended.
        RefreshSessionEnded = "refresh_session_ended",
        /// There is no such refresh token.
        RefreshUnknown = "refresh_unknown",
        /// The user must sign in at the identity provider again.
        RefreshUpstreamRecheck = "refresh_upstream_recheck",
        /// Several profiles have the claim by which the user is recognized.
        ReplacedClaimAmbiguous = "replaced_claim_ambiguous",
        /// The posted request is too long to be sent again.
        RequestTooLong = "request_too_long",
        /// The app may no longer ask for any of the resources.
        ResourceWithdrawn = "resource_withdrawn",
        /// The authorization response has neither a code nor an error.
        ResponseEmpty = "response_empty",
        /// The authorization response has a parameter twice, or one that is too long.
        ResponseMalformed = "response_malformed",
        /// The requested scope is more than was granted.
        ScopeGrown = "scope_grown",
        /// The access token lacks the scope.
        ScopeMissing = "scope_missing",
        /// The app may not ask for this scope.
        ScopeNotAllowed = "scope_not_allowed",
        /// The form does not say where to sign out.
        ScopeUnknown = "scope_unknown",
        /// The session has ended.
        SessionEnded = "session_ended",
        /// The form names no session.
        SessionMalformed = "session_malformed",
        /// The session is not the user's own.
        SessionNotOwn = "session_not_own",
        /// There is no such session.
        SessionUnknown = "session_unknown",
        /// Another sign-in of the same user came first.
        SignInOvertaken = "sign_in_overtaken",
        /// This broker did not make the `state`.
        StateForeign = "state_foreign",
        /// `state` differs from the one that was sent.
        StateMismatch = "state_mismatch",
        /// `state` is missing.
        StateMissing = "state_missing",
        /// `state` belongs to another browser.
        StateOfAnotherBrowser = "state_of_another_browser",
        /// `state` belongs to a flow in which a user has already signed in.
        StateOfFinishedFlow = "state_of_finished_flow",
        /// `state` was used before.
        StateSpent = "state_spent",
        /// The identity signs in through another connection.
        SubjectOfAnotherConnection = "subject_of_another_connection",
        /// `target_link_uri` is not registered.
        TargetLinkUriUnregistered = "target_link_uri_unregistered",
        /// The token is not a valid one of this broker.
        TokenInvalid = "token_invalid",
        /// The token is missing.
        TokenMissing = "token_missing",
        /// The token was given to another app.
        TokenOfAnotherApp = "token_of_another_app",
        /// The token was revoked, or something that it depends on has ended.
        TokenRevoked = "token_revoked",
        /// The organization has as many accounts as it may.
        TooManyAccounts = "too_many_accounts",
        /// The network has stored as many large requests as it may.
        TooManyLargeRequests = "too_many_large_requests",
        /// The request has too many parameters.
        TooManyParameters = "too_many_parameters",
        /// `scope` has too many words.
        TooManyWords = "too_many_words",
        /// The entry was undone before.
        UndoDone = "undo_done",
        /// The linked profile or account does not exist any more.
        UndoGone = "undo_gone",
        /// The account would have no way to sign in.
        UndoLast = "undo_last",
        /// A later merge must be undone first.
        UndoLaterFirst = "undo_later_first",
        /// The identity now belongs to another account.
        UndoTaken = "undo_taken",
        /// The entry is more than thirty days old.
        UndoTooLate = "undo_too_late",
        /// There is no such app.
        UnknownClient = "unknown_client",
        /// The name leads to no connection.
        UnknownName = "unknown_name",
        /// There is no such username.
        UnknownUsername = "unknown_username",
        /// The account would have no way to sign in.
        UnlinkLast = "unlink_last",
        /// The broker does not know this grant.
        UnsupportedGrantType = "unsupported_grant_type",
        /// The password is wrong.
        WrongPassword = "wrong_password",
        /// The header `Authorization` cannot be read.
        AuthorizationUnreadable = "authorization_unreadable",
        /// The connection's credential cannot be opened.
        ConnectionCredentialUnreadable = "connection_credential_unreadable",
        /// The body is not a form.
        FormUnreadable = "form_unreadable",
        /// The access token came in two places.
        TokenInTwoPlaces = "token_in_two_places",
    }
}

/// A reason as the audit log records it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AuditReason {
    /// A reason of the use cases.
    Own(Reason),
    /// A fault of an identity provider's answer, or of the way to it; named by `upstream`.
    Upstream(&'static str),
    /// A fault of an app's request, by the error code that the app gets.
    Request(ErrorCode),
}

impl AuditReason {
    /// The word in the audit log.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Own(reason) => reason.as_str(),
            Self::Upstream(name) => name,
            Self::Request(code) => code.as_str(),
        }
    }
}

impl From<Reason> for AuditReason {
    fn from(reason: Reason) -> Self {
        Self::Own(reason)
    }
}

impl From<&UpstreamError> for AuditReason {
    fn from(error: &UpstreamError) -> Self {
        Self::Upstream(error.code())
    }
}

impl From<ErrorCode> for AuditReason {
    fn from(code: ErrorCode) -> Self {
        Self::Request(code)
    }
}

impl From<LinkRefusal> for Reason {
    fn from(refusal: LinkRefusal) -> Self {
        match refusal {
            LinkRefusal::Off => Self::LinkOff,
            LinkRefusal::SameAccount => Self::LinkSameAccount,
            LinkRefusal::Disabled => Self::AccountDisabled,
            LinkRefusal::SameProvider => Self::LinkSameProvider,
            LinkRefusal::Full => Self::LinkFull,
            LinkRefusal::NoAccount => Self::LinkNoAccount,
            LinkRefusal::WrongProfile => Self::LinkWrongProfile,
            LinkRefusal::Emergency => Self::LinkEmergency,
        }
    }
}

impl From<Withdrawn> for Reason {
    fn from(what: Withdrawn) -> Self {
        match what {
            Withdrawn::Account => Self::AccountDisabled,
            Withdrawn::Organization => Self::OrganizationDisabled,
            Withdrawn::Connection => Self::ConnectionDisabled,
            Withdrawn::App => Self::ClientDisabled,
            Withdrawn::RedirectUri => Self::RedirectUriWithdrawn,
            Withdrawn::Profile => Self::ProfileUnlinked,
            Withdrawn::LocalSignIn => Self::LocalSignInOff,
        }
    }
}
