//! The paths that pages link and post to.

use url::form_urlencoded::Serializer;

use crate::model::SensitiveAction;

/// Sign-in page; its form posts here.
pub const SIGN_IN: &str = "/signin";
/// Form for an organization's handle or domain; it posts here.
pub const DOMAIN: &str = "/signin/domain";
/// Receives the choice of a connection (POST).
pub const CONNECTION: &str = "/signin/connection";
/// Consent page; its form posts here.
pub const CONSENT: &str = "/consent";
/// The offer to link other accounts; its form posts here.
pub const LINK: &str = "/link";
/// Page that names both sides of a link and asks to confirm; its form posts here.
pub const CONFIRM_LINK: &str = "/link/confirm";
/// The user's own page.
pub const ACCOUNT: &str = "/account";
/// Page to add another way to sign in, or another account; its form posts here.
pub const ADD_PROFILE: &str = "/account/link";
/// Page to remove a profile; its form posts here.
pub const UNLINK: &str = "/account/unlink";
/// Page to undo a link or merge; its form posts here.
pub const UNDO_LINK: &str = "/account/undo";
/// Form for a mailed code, before one of these pages; it posts here.
pub const MAIL_CODE: &str = "/account/confirm";
/// Sends such a code (POST).
pub const SEND_MAIL_CODE: &str = "/account/confirm/send";
/// Ends one of the user's own sessions (POST).
pub const END_SESSION: &str = "/account/sessions/end";
/// Ends all of the user's own sessions but this one (POST).
pub const END_OTHER_SESSIONS: &str = "/account/sessions/end-others";
/// Signs out from the user's own page (POST).
pub const SIGN_OUT: &str = "/account/sign-out";
/// The page that says that a password was set.
pub const PASSWORD_SET: &str = "/reset/done";
/// The page that says that the user is signed out.
pub const SIGNED_OUT: &str = "/signed-out";
/// RP-initiated logout; apps send users here.
pub const LOGOUT: &str = "/oauth2/logout";
/// Receives the answer to the question (a post to [`LOGOUT`] may come from any site).
pub const CONFIRM_LOGOUT: &str = "/oauth2/logout/confirm";

/// The word for a place in the address of the page for a mailed code.
pub fn place(place: SensitiveAction) -> String {
    match place {
        SensitiveAction::AddProfile => "link".to_owned(),
        SensitiveAction::Unlink(profile) => profile.to_string(),
        SensitiveAction::Undo(entry) => entry.to_string(),
    }
}

/// The place for such a word.
pub fn read_place(text: &str) -> Option<SensitiveAction> {
    if text == place(SensitiveAction::AddProfile) {
        return Some(SensitiveAction::AddProfile);
    }
    let profile = text.parse().ok().map(SensitiveAction::Unlink);
    profile.or_else(|| text.parse().ok().map(SensitiveAction::Undo))
}

/// `path` with one more query parameter.
pub fn with_query(path: &str, name: &str, value: &str) -> String {
    let separator = if path.contains('?') { '&' } else { '?' };
    let pair = Serializer::new(String::new()).append_pair(name, value).finish();
    format!("{path}{separator}{pair}")
}

/// `path_and_query` in another language: sets `ui_locales` to `tag` and keeps everything else. A path that begins with
/// two slashes would link to another host, so the result begins with one.
pub fn in_language(path_and_query: &str, tag: &str) -> String {
    let (path, query) = path_and_query.split_once('?').unwrap_or((path_and_query, ""));
    let path = path.trim_start_matches(['/', '\\']);
    let mut pairs = Serializer::new(String::new());
    pairs
        .extend_pairs(url::form_urlencoded::parse(query.as_bytes()).filter(|(name, _)| name != "ui_locales"));
    format!("/{path}?{}", pairs.append_pair("ui_locales", tag).finish())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{LedgerId, ProfileId};

    #[test]
    fn switching_the_language_keeps_the_rest_of_the_address() {
        assert_eq!(in_language("/signin", "de"), "/signin?ui_locales=de");
        assert_eq!(
            in_language("/signin?flow=a%26b&ui_locales=en+fr", "de"),
            "/signin?flow=a%26b&ui_locales=de"
        );
    }

    #[test]
    fn switching_the_language_never_leads_to_another_host() {
        for path in ["//evil.test/x", "///evil.test/x", "/\\evil.test/x", "//\\//evil.test/x"] {
            assert_eq!(in_language(path, "de"), "/evil.test/x?ui_locales=de");
        }
        assert_eq!(in_language("/", "de"), "/?ui_locales=de");
    }

    #[test]
    fn a_place_is_read_back_from_its_text() {
        let places = [
            SensitiveAction::AddProfile,
            SensitiveAction::Unlink(ProfileId::from_bytes([7; 16])),
            SensitiveAction::Undo(LedgerId::from_bytes([7; 16])),
        ];
        for one in places {
            assert_eq!(read_place(&place(one)), Some(one));
        }
        for other in ["", "LINK", "acc_07070707070707070707070707070707", "https://evil.test"] {
            assert_eq!(read_place(other), None, "{other}");
        }
    }

    #[test]
    fn a_query_value_is_escaped() {
        assert_eq!(with_query("/signin/domain", "flow", "a&b=c"), "/signin/domain?flow=a%26b%3Dc");
        assert_eq!(with_query("/x?y=1", "flow", "z"), "/x?y=1&flow=z");
    }
}
