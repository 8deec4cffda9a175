//! Every reason that a page can give for stopping: the `data-error` codes, their HTTP status, and their texts.
//!
//! The codes are the public codes of the audit reasons. What people read is in `locales/*/errors.ftl`: a message
//! `error-<code>` (what happened) with the attributes `why` and `next` (what to do now). `docs/errors.md` is made
//! from this table.

use http::StatusCode;

/// One reason: its code, and the status that a page which consists of nothing else is answered with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reason {
    /// The public code, as in `data-error` and in the audit log.
    pub code: &'static str,
    /// The status of the answer.
    pub status: StatusCode,
    /// Who can look the receipt's code up and help; named only where there is a receipt.
    pub helper: Option<Helper>,
}

/// Somebody to whom a person gives the receipt's code.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Helper {
    /// Those who run the app.
    App,
    /// The organization's administrator.
    Administrator,
    /// Those who run the broker.
    Operator,
}

impl Helper {
    /// The text that names them.
    pub(super) const fn key(self) -> &'static str {
        match self {
            Self::App => "help-app",
            Self::Administrator => "help-administrator",
            Self::Operator => "help-operator",
        }
    }
}

const fn reason(code: &'static str, status: StatusCode) -> Reason {
    Reason { code, status, helper: None }
}

impl Reason {
    const fn helped_by(self, helper: Helper) -> Self {
        Self { helper: Some(helper), ..self }
    }
}

/// What is said for a code that has no text of its own.
pub const UNEXPECTED: Reason =
    reason("unexpected", StatusCode::INTERNAL_SERVER_ERROR).helped_by(Helper::Operator);

/// Every reason, in the order of a sign-in.
pub const REASONS: &[Reason] = &[
    reason("invalid_request", StatusCode::BAD_REQUEST).helped_by(Helper::App),
    reason("unknown_client", StatusCode::BAD_REQUEST).helped_by(Helper::App),
    reason("redirect_uri_mismatch", StatusCode::BAD_REQUEST).helped_by(Helper::App),
    reason("bad_credentials", StatusCode::FORBIDDEN),
    reason("password_too_long", StatusCode::UNPROCESSABLE_ENTITY),
    reason("too_many_attempts", StatusCode::TOO_MANY_REQUESTS),
    reason("busy", StatusCode::TOO_MANY_REQUESTS),
    reason("unknown_domain", StatusCode::NOT_FOUND),
    reason("idp_refused", StatusCode::FORBIDDEN).helped_by(Helper::Administrator),
    reason("idp_unreachable", StatusCode::BAD_GATEWAY).helped_by(Helper::Administrator),
    reason("idp_answer_invalid", StatusCode::BAD_REQUEST).helped_by(Helper::Administrator),
    reason("no_account", StatusCode::FORBIDDEN),
    reason("too_many_accounts", StatusCode::FORBIDDEN).helped_by(Helper::Administrator),
    reason("person_unclear", StatusCode::CONFLICT).helped_by(Helper::Administrator),
    reason("other_connection", StatusCode::CONFLICT),
    reason("not_allowed", StatusCode::FORBIDDEN),
    reason("account_disabled", StatusCode::FORBIDDEN),
    reason("connection_disabled", StatusCode::FORBIDDEN),
    reason("organization_disabled", StatusCode::FORBIDDEN),
    reason("flow_expired", StatusCode::GONE),
    reason("flow_finished", StatusCode::GONE),
    reason("session_ended", StatusCode::FORBIDDEN),
    reason("link_unanswered", StatusCode::UNPROCESSABLE_ENTITY),
    reason("link_off", StatusCode::FORBIDDEN),
    reason("link_same_account", StatusCode::CONFLICT),
    reason("link_same_provider", StatusCode::CONFLICT),
    reason("link_full", StatusCode::CONFLICT),
    reason("link_no_account", StatusCode::CONFLICT),
    reason("link_wrong_profile", StatusCode::FORBIDDEN),
    reason("link_emergency", StatusCode::FORBIDDEN),
    reason("link_taken", StatusCode::CONFLICT),
    reason("link_profile_gone", StatusCode::CONFLICT),
    reason("unlink_last", StatusCode::CONFLICT),
    reason("undo_too_late", StatusCode::CONFLICT),
    reason("undo_done", StatusCode::CONFLICT),
    reason("undo_gone", StatusCode::CONFLICT),
    reason("undo_later_first", StatusCode::CONFLICT),
    reason("undo_last", StatusCode::CONFLICT),
    reason("undo_taken", StatusCode::CONFLICT),
    reason("password_link_used", StatusCode::GONE),
    reason("password_rules", StatusCode::UNPROCESSABLE_ENTITY),
    reason("other_account", StatusCode::FORBIDDEN),
    reason("cannot_ask_anew", StatusCode::FORBIDDEN),
    reason("mail_code_wrong", StatusCode::FORBIDDEN),
    reason("mail_code_over", StatusCode::GONE),
    reason("too_many_codes", StatusCode::TOO_MANY_REQUESTS),
    reason("cross_site", StatusCode::FORBIDDEN),
    reason("not_found", StatusCode::NOT_FOUND),
    reason("method_not_allowed", StatusCode::METHOD_NOT_ALLOWED),
    reason("temporarily_unavailable", StatusCode::SERVICE_UNAVAILABLE),
    UNEXPECTED,
];

/// The reason of a code; [`UNEXPECTED`] for one that is not in the table.
pub fn find_reason(code: &str) -> Reason {
    REASONS.iter().copied().find(|reason| reason.code == code).unwrap_or(UNEXPECTED)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::fmt::Write as _;
    use std::path::Path;

    use super::*;
    use crate::web::locale::Locale;
    use crate::web::text::Locales;

    fn document() -> String {
        let locales = Locales::embedded().unwrap();
        let text = locales.text(Locale::English);
        let mut document = String::from(
            "# Errors that people see\n\n\
             Every page that stops somebody carries an element with `id=\"error\"`, whose `data-error` is one of the codes \
             below, and mostly a receipt (`id=\"receipt\"`), a short code under which the audit log has what truly \
             happened. The status is that of a page which says nothing else; a form that is shown again keeps it.\n\n\
             This file is made from `src/web/errors.rs` and `src/web/locales/en/errors.ftl`; \
             `UPDATE=1 cargo test --lib web::errors` writes it anew.\n\n\
             | code | status | what the page says | why | what to do now |\n|---|---|---|---|---|\n",
        );
        for Reason { code, status, helper } in REASONS {
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
        let codes: BTreeSet<_> = REASONS.iter().map(|reason| reason.code).collect();
        assert_eq!(codes.len(), REASONS.len());
        assert!(
            REASONS.iter().all(|reason| reason.status.is_client_error() || reason.status.is_server_error())
        );
        assert_eq!(find_reason("busy").status, StatusCode::TOO_MANY_REQUESTS);
        assert_eq!(find_reason("no such code"), UNEXPECTED);
    }
}
