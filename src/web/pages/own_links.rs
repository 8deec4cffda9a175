//! A person's own profiles: adding one, taking one away, undoing a link or merge.

use std::borrow::Cow;

use askama::Template;

use super::{ConnectionChoice, Failure, Form, Frame, Page, path};
use crate::model::{LedgerKind, Timestamp};

/// One profile of the account.
#[derive(Debug, Clone)]
pub struct ProfileRow {
    /// What the address of the page that takes it away carries.
    pub value: String,
    /// The connection's name; `None` is username and password.
    pub provider: Option<String>,
    /// The identity provider's issuer.
    pub issuer: Option<String>,
    /// The email there, or the username.
    pub label: Option<String>,
    /// Since when.
    pub since: Timestamp,
    /// When it was used last.
    pub last_used: Option<Timestamp>,
    /// Whether this session was signed in by it.
    pub current: bool,
    /// Whether it can be taken away.
    pub may_unlink: bool,
}

impl ProfileRow {
    pub(super) fn name<'f>(&'f self, frame: &Frame<'f>) -> Cow<'f, str> {
        self.provider.as_deref().map_or_else(|| frame.say("via-local"), Cow::Borrowed)
    }

    pub(super) fn unlink(&self) -> String {
        path::with_query(path::UNLINK, "profile", &self.value)
    }
}

/// One thing that happened to the account's profiles.
#[derive(Debug, Clone)]
pub struct LedgerRow {
    /// What the address of the page that undoes it carries.
    pub value: String,
    /// What.
    pub kind: LedgerKind,
    /// What came or went, by its names.
    pub what: Vec<String>,
    /// When.
    pub at: Timestamp,
    /// Until when it can be undone, if it can.
    pub undo_until: Option<Timestamp>,
}

impl LedgerRow {
    /// What happened.
    pub(super) fn told<'f>(&self, frame: &Frame<'f>) -> Cow<'f, str> {
        match self.kind {
            LedgerKind::Linked => frame.say("ledger-linked"),
            LedgerKind::Expected => frame.say("ledger-expected"),
            LedgerKind::Replaced => frame.say("ledger-replaced"),
            LedgerKind::Merged => frame.say("ledger-merged"),
            LedgerKind::Unlinked => frame.say("ledger-unlinked"),
            LedgerKind::Undone => frame.say("ledger-undone"),
        }
    }

    pub(super) fn undo(&self) -> String {
        path::with_query(path::UNDO_LINK, "entry", &self.value)
    }
}

/// Another way to sign in, or another account, is added.
#[derive(Template)]
#[template(path = "add_profile.html")]
pub struct AddProfile<'a> {
    /// What stands around it.
    pub frame: Frame<'a>,
    /// What travels hidden.
    pub form: Form,
    /// The connections whose providers the account does not have yet.
    pub connections: Vec<ConnectionChoice>,
}

impl Page for AddProfile<'_> {
    fn title(&self) -> Cow<'_, str> {
        self.frame.say("add-title")
    }
}

/// Asks before a profile is taken away.
#[derive(Template)]
#[template(path = "unlink.html")]
pub struct Unlink<'a> {
    /// What stands around it.
    pub frame: Frame<'a>,
    /// What travels hidden.
    pub form: Form,
    /// Which profile.
    pub profile: ProfileRow,
}

impl Page for Unlink<'_> {
    fn title(&self) -> Cow<'_, str> {
        self.frame.say("unlink-title")
    }
}

/// Asks before a link or merge is undone.
#[derive(Template)]
#[template(path = "undo.html")]
pub struct Undo<'a> {
    /// What stands around it.
    pub frame: Frame<'a>,
    /// What travels hidden.
    pub form: Form,
    /// What is undone.
    pub entry: LedgerRow,
}

impl Page for Undo<'_> {
    fn title(&self) -> Cow<'_, str> {
        self.frame.say("undo-title")
    }
}

/// A mailed code is asked for, or entered, before one of the other pages.
#[derive(Template)]
#[template(path = "mail_code.html")]
pub struct MailCode<'a> {
    /// What stands around it.
    pub frame: Frame<'a>,
    /// What travels hidden.
    pub form: Form,
    /// Where the person goes with the right code.
    pub place: String,
    /// Where the code is mailed.
    pub email: String,
    /// Whether one was sent that works now.
    pub is_sent: bool,
    /// That another code was entered.
    pub failure: Option<Failure>,
}

impl Page for MailCode<'_> {
    fn title(&self) -> Cow<'_, str> {
        self.frame.say("reauthenticate-title")
    }

    fn failed(&self) -> bool {
        self.failure.is_some()
    }
}
