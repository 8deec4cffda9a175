//! The meaning of the refusals' public codes for users: the HTTP status, who can help, and the texts.
//!
//! The texts that users read are in `locales/*/errors.ftl`: a message `error-<code>` (what happened) with the
//! attributes `why` and `next` (what to do now). `docs/errors.md` is made from the matches in this file, which name
//! every code.

use http::StatusCode;

use crate::flows::refusal::PublicCode;

/// The one to whom the user gives the receipt's code.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Helper {
    /// The operators of the app.
    App,
    /// The organization's administrator.
    Administrator,
    /// The operators of the broker.
    Operator,
    /// The one whom the text has just named.
    Named,
}

impl Helper {
    /// The text that names them.
    pub(super) const fn key(self) -> &'static str {
        match self {
            Self::App => "help-app",
            Self::Administrator => "help-administrator",
            Self::Operator => "help-operator",
            Self::Named => "help-named",
        }
    }
}

/// The status of a page that shows nothing but this refusal.
#[expect(clippy::too_many_lines, reason = "each code has a line")]
pub const fn status(code: &PublicCode) -> StatusCode {
    match code {
        PublicCode::InvalidRequest
        | PublicCode::UnknownClient
        | PublicCode::RedirectUriMismatch
        | PublicCode::IdpAnswerInvalid => StatusCode::BAD_REQUEST,
        PublicCode::BadCredentials
        | PublicCode::IdpRefused
        | PublicCode::NoAccount
        | PublicCode::TooManyAccounts
        | PublicCode::NotAllowed
        | PublicCode::AccountDisabled
        | PublicCode::ConnectionDisabled
        | PublicCode::OrganizationDisabled
        | PublicCode::SessionEnded
        | PublicCode::LinkOff
        | PublicCode::LinkWrongProfile
        | PublicCode::LinkEmergency
        | PublicCode::OtherAccount
        | PublicCode::CannotAskAnew
        | PublicCode::MailCodeWrong
        | PublicCode::CrossSite => StatusCode::FORBIDDEN,
        PublicCode::PasswordTooLong | PublicCode::LinkUnanswered | PublicCode::PasswordRules => {
            StatusCode::UNPROCESSABLE_ENTITY
        }
        PublicCode::TooManyAttempts(_) | PublicCode::Busy(_) | PublicCode::TooManyCodes => {
            StatusCode::TOO_MANY_REQUESTS
        }
        PublicCode::UnknownDomain | PublicCode::NotFound => StatusCode::NOT_FOUND,
        PublicCode::IdpUnreachable(_) => StatusCode::BAD_GATEWAY,
        PublicCode::PersonUnclear
        | PublicCode::OtherConnection(_)
        | PublicCode::LinkSameAccount
        | PublicCode::LinkSameProvider(_)
        | PublicCode::LinkFull
        | PublicCode::LinkNoAccount
        | PublicCode::LinkTaken
        | PublicCode::LinkProfileGone
        | PublicCode::UnlinkLast
        | PublicCode::UndoTooLate
        | PublicCode::UndoDone
        | PublicCode::UndoGone
        | PublicCode::UndoLaterFirst
        | PublicCode::UndoLast
        | PublicCode::UndoTaken => StatusCode::CONFLICT,
        PublicCode::FlowExpired
        | PublicCode::FlowFinished
        | PublicCode::PasswordLinkUsed
        | PublicCode::MailCodeOver => StatusCode::GONE,
        PublicCode::MethodNotAllowed => StatusCode::METHOD_NOT_ALLOWED,
        PublicCode::TemporarilyUnavailable(_) => StatusCode::SERVICE_UNAVAILABLE,
    }
}

/// The one who can look up the receipt's code and help. The page names them only if there is a receipt.
#[expect(clippy::too_many_lines, reason = "each code has a line")]
pub const fn helper(code: &PublicCode) -> Option<Helper> {
    match code {
        PublicCode::InvalidRequest | PublicCode::UnknownClient | PublicCode::RedirectUriMismatch => {
            Some(Helper::App)
        }
        PublicCode::IdpRefused | PublicCode::IdpUnreachable(_) | PublicCode::IdpAnswerInvalid => {
            Some(Helper::Administrator)
        }
        PublicCode::TooManyAccounts | PublicCode::PersonUnclear => Some(Helper::Named),
        PublicCode::BadCredentials
        | PublicCode::PasswordTooLong
        | PublicCode::TooManyAttempts(_)
        | PublicCode::Busy(_)
        | PublicCode::UnknownDomain
        | PublicCode::NoAccount
        | PublicCode::OtherConnection(_)
        | PublicCode::NotAllowed
        | PublicCode::AccountDisabled
        | PublicCode::ConnectionDisabled
        | PublicCode::OrganizationDisabled
        | PublicCode::FlowExpired
        | PublicCode::FlowFinished
        | PublicCode::SessionEnded
        | PublicCode::LinkUnanswered
        | PublicCode::LinkOff
        | PublicCode::LinkSameAccount
        | PublicCode::LinkSameProvider(_)
        | PublicCode::LinkFull
        | PublicCode::LinkNoAccount
        | PublicCode::LinkWrongProfile
        | PublicCode::LinkEmergency
        | PublicCode::LinkTaken
        | PublicCode::LinkProfileGone
        | PublicCode::UnlinkLast
        | PublicCode::UndoTooLate
        | PublicCode::UndoDone
        | PublicCode::UndoGone
        | PublicCode::UndoLaterFirst
        | PublicCode::UndoLast
        | PublicCode::UndoTaken
        | PublicCode::PasswordLinkUsed
        | PublicCode::PasswordRules
        | PublicCode::OtherAccount
        | PublicCode::CannotAskAnew
        | PublicCode::MailCodeWrong
        | PublicCode::MailCodeOver
        | PublicCode::TooManyCodes
        | PublicCode::CrossSite
        | PublicCode::NotFound
        | PublicCode::MethodNotAllowed
        | PublicCode::TemporarilyUnavailable(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::fmt::Write as _;
    use std::path::Path;

    use super::*;
    use crate::flows::refusal::Wait;
    use crate::web::text::Locales;
    use crate::web::text::locale::Locale;

    fn document() -> String {
        let locales = Locales::embedded().unwrap();
        let text = locales.text(Locale::English);
        let mut document = String::from(
            "# Errors that people see\n\n\
             Every page that stops a user carries an element with `id=\"error\"`. Its attribute `data-error` is one of the \
             codes below. Most of these pages also show a receipt (`id=\"receipt\"`), a short code under which the audit \
             log records what really happened. The status is that of a page which shows the error alone. A form that is \
             shown again has the same status.\n\n\
             This file is generated from `src/web/errors.rs` and `src/web/locales/en/errors.ftl`. To generate it again, \
             run `UPDATE=1 cargo test --lib web::errors`.\n\n\
             | code | status | what the page says | why | what to do now |\n|---|---|---|---|---|\n",
        );
        for code in PublicCode::all() {
            let (status, helper, code) = (status(&code), helper(&code), code.as_str());
            let [what, why, next] =
                ["", ".why", ".next"].map(|part| text.say(&format!("error-{code}{part}")));
            let what = what.trim_end_matches('.');
            let help = helper.map(|helper| format!(" {}", text.say(helper.key()))).unwrap_or_default();
            writeln!(document, "| `{code}` | {} | {what} | {why} | {next}{help} |", status.as_u16()).unwrap();
        }
        document
    }

    #[test]
    fn the_table_of_errors_is_written_down() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/errors.md");
        if std::env::var_os("UPDATE").is_some() {
            std::fs::write(&path, document()).unwrap();
        }
        assert_eq!(
            std::fs::read_to_string(&path).unwrap(),
            document(),
            "docs/errors.md is not what errors.rs says"
        );
    }

    #[test]
    fn every_code_stands_once_and_every_page_of_one_is_a_refusal() {
        let all = PublicCode::all();
        let codes: BTreeSet<_> = all.iter().map(PublicCode::as_str).collect();
        assert_eq!(codes.len(), all.len());
        assert!(all.iter().all(|code| status(code).is_client_error() || status(code).is_server_error()));
        assert_eq!(status(&PublicCode::Busy(Wait::default())), StatusCode::TOO_MANY_REQUESTS);
    }
}
