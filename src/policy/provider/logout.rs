//! Sign-out at the request of an app: whether the user is asked first, and where they may be sent afterwards (`OpenID`
//! Connect RP-Initiated Logout 1.0, sections 2 and 3).

use crate::model::UpstreamLogout;

/// The statement of a verified `id_token_hint` about the session of this browser.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Hinted {
    /// It was issued for the session's account.
    pub account: bool,
    /// It was issued in this session (`sid`).
    pub session: bool,
}

/// The next step of a sign-out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogoutStep {
    /// No user is signed in: the sign-out goes on at once.
    Pass,
    /// The session ends at once.
    End,
    /// The user is asked first.
    Ask,
}

/// Decides the next step. Any site could sign users out, so they are asked, unless a hint names exactly this session.
pub const fn decide(signed_in: bool, hint: Option<Hinted>) -> LogoutStep {
    match (signed_in, hint) {
        (false, _) => LogoutStep::Pass,
        (true, Some(Hinted { account: true, session: true })) => LogoutStep::End,
        (true, _) => LogoutStep::Ask,
    }
}

/// Whether a sign-out may lead to `uri`: only if the app has registered exactly this text.
pub fn may_return(uri: &str, registered: &[String]) -> bool {
    registered.iter().any(|known| known == uri)
}

/// Whether the ID token of an identity provider is kept with the session, as a hint for the sign-out there. It is kept
/// only where a sign-out would send it: the connection is set to sign users out at the identity provider, and the
/// identity provider has an end-session endpoint. If either changes later, older sessions sign out there without a
/// hint, which the protocol allows.
pub const fn keeps_hint(wish: UpstreamLogout, has_end_session: bool) -> bool {
    has_end_session && matches!(wish, UpstreamLogout::Ask | UpstreamLogout::Always)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hint_is_kept_only_where_a_sign_out_would_send_it() {
        for (wish, has_end_session, kept) in [
            (UpstreamLogout::Ask, true, true),
            (UpstreamLogout::Always, true, true),
            (UpstreamLogout::Never, true, false),
            (UpstreamLogout::Ask, false, false),
            (UpstreamLogout::Always, false, false),
            (UpstreamLogout::Never, false, false),
        ] {
            assert_eq!(keeps_hint(wish, has_end_session), kept, "{wish} {has_end_session}");
        }
    }

    #[test]
    fn only_a_hint_of_this_very_session_spares_the_question() {
        let hint = |account, session| Some(Hinted { account, session });
        for (signed_in, hint, step) in [
            (false, None, LogoutStep::Pass),
            (false, hint(true, true), LogoutStep::Pass),
            (false, hint(false, false), LogoutStep::Pass),
            (true, None, LogoutStep::Ask),
            (true, hint(false, false), LogoutStep::Ask),
            (true, hint(true, false), LogoutStep::Ask),
            (true, hint(false, true), LogoutStep::Ask),
            (true, hint(true, true), LogoutStep::End),
        ] {
            assert_eq!(decide(signed_in, hint), step, "{signed_in} {hint:?}");
        }
    }

    #[test]
    fn a_return_address_is_compared_letter_by_letter() {
        let registered = ["https://app.test/bye".to_owned(), "https://app.test/q?a=1".to_owned()];
        for uri in ["https://app.test/bye", "https://app.test/q?a=1"] {
            assert!(may_return(uri, &registered), "{uri}");
        }
        for uri in [
            "",
            "https://app.test/bye/",
            "https://app.test/bye?x=1",
            "https://app.test/BYE",
            "https://APP.test/bye",
            "https://app.test/bye#x",
            "https://app.test/a/../bye",
            "https://app.test:443/bye",
            "https://app.test@evil.test/bye",
            "https://app.test/q?a=1&b=2",
            "//evil.test/bye",
        ] {
            assert!(!may_return(uri, &registered), "{uri}");
        }
        assert!(!may_return("https://app.test/bye", &[]));
    }
}
