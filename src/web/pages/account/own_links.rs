//! A person's own profiles: adding one, taking one away, undoing a link or merge.

use std::borrow::Cow;

use askama::Template;

use crate::flows::account::{LedgerView, ProfileView};
use crate::model::LedgerKind;
use crate::web::pages::{ConnectionChoice, Failure, Form, Frame, Page, path};

/// How pages name a profile, and lead to where it is taken away.
pub(in crate::web::pages) trait ProfileText {
    /// Its connection's name, or that it is username and password.
    fn name<'f>(&'f self, frame: &Frame<'f>) -> Cow<'f, str>;

    /// The address of the page that takes it away.
    fn unlink(&self) -> String;
}

impl ProfileText for ProfileView {
    fn name<'f>(&'f self, frame: &Frame<'f>) -> Cow<'f, str> {
        self.provider.as_deref().map_or_else(|| frame.say("via-local"), Cow::Borrowed)
    }

    fn unlink(&self) -> String {
        path::with_query(path::UNLINK, "profile", &self.profile.to_string())
    }
}

/// How pages tell an entry of the ledger, and lead to where it is undone.
pub(in crate::web::pages) trait LedgerText {
    /// What happened.
    fn told<'f>(&self, frame: &Frame<'f>) -> Cow<'f, str>;

    /// The address of the page that undoes it.
    fn undo(&self) -> String;
}

impl LedgerText for LedgerView {
    fn told<'f>(&self, frame: &Frame<'f>) -> Cow<'f, str> {
        match self.kind {
            LedgerKind::Linked => frame.say("ledger-linked"),
            LedgerKind::Expected => frame.say("ledger-expected"),
            LedgerKind::Replaced => frame.say("ledger-replaced"),
            LedgerKind::Merged => frame.say("ledger-merged"),
            LedgerKind::Unlinked => frame.say("ledger-unlinked"),
            LedgerKind::Undone => frame.say("ledger-undone"),
        }
    }

    fn undo(&self) -> String {
        path::with_query(path::UNDO_LINK, "entry", &self.id.to_string())
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
    pub profile: ProfileView,
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
    pub entry: LedgerView,
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
