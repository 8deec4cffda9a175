//! Linking: the offer, and the page that names both sides and asks once more.

use std::borrow::Cow;

use askama::Template;

use crate::model::{Role, Timestamp};
use crate::web::pages::{Failure, Form, Frame, Page, path};

/// One profile to choose, as a radio card.
#[derive(Debug, Clone)]
pub struct Candidate {
    /// What the form sends as `profile`.
    pub value: String,
    /// The connection's name; `None` is username and password.
    pub provider: Option<String>,
    /// The host of the identity provider, or the username, most of it hidden.
    pub hint: Option<String>,
}

/// Other accounts of the person are offered.
#[derive(Template)]
#[template(path = "link.html")]
pub struct LinkOffer<'a> {
    /// What stands around it.
    pub frame: Frame<'a>,
    /// What travels hidden.
    pub form: Form,
    /// The email that is shared; `None` where nobody is named.
    pub email: Option<String>,
    /// Through which connection the person has just come; `None` for an account that is signed in already.
    pub provider: Option<String>,
    /// The profiles to choose from.
    pub candidates: Vec<Candidate>,
    /// Whether declining leads on.
    pub may_skip: bool,
    /// What just went wrong.
    pub failure: Option<Failure>,
}

impl Page for LinkOffer<'_> {
    fn title(&self) -> Cow<'_, str> {
        self.frame.say("link-title")
    }

    fn failed(&self) -> bool {
        self.failure.is_some()
    }
}

impl Candidate {
    fn name<'f>(&'f self, frame: &Frame<'f>) -> Cow<'f, str> {
        self.provider.as_deref().map_or_else(|| frame.say("via-local"), Cow::Borrowed)
    }
}

/// One of the two sides of a link.
#[derive(Debug, Clone)]
pub struct LinkSide {
    /// The connection's name; `None` is username and password.
    pub provider: Option<String>,
    /// The host of the identity provider.
    pub host: Option<String>,
    /// The username, else the email or the name.
    pub label: Option<String>,
    /// What else tells it apart: the person's name, the email.
    pub details: Vec<String>,
    /// What the identity provider calls the person.
    pub subject: Option<String>,
    /// Since when it signs somebody in here; `None` for an identity that is nobody's yet.
    pub since: Option<Timestamp>,
    /// Whether it is named by an email that is not proven.
    pub is_unproven: bool,
    /// Its account, as the form sends it; `None` for an identity that is nobody's yet.
    pub account: Option<String>,
}

impl LinkSide {
    fn name<'f>(&'f self, frame: &Frame<'f>) -> Cow<'f, str> {
        self.provider.as_deref().map_or_else(|| frame.say("via-local"), Cow::Borrowed)
    }

    fn title<'f>(&'f self, frame: &Frame<'f>) -> Cow<'f, str> {
        self.label.as_deref().map_or_else(|| self.name(frame), Cow::Borrowed)
    }

    /// The label with the way to sign in, which tells two accounts of one email apart.
    fn whole(&self, frame: &Frame<'_>) -> String {
        let name = self.name(frame);
        self.label.as_ref().map_or_else(|| name.to_string(), |label| format!("{label} · {name}"))
    }

    /// How it signs in, where, and what else tells it apart.
    fn about(&self, frame: &Frame<'_>) -> String {
        let name = self.name(frame);
        let parts = [Some(&*name), self.host.as_deref()].into_iter().flatten();
        let parts = parts.chain(self.details.iter().map(String::as_str));
        parts.collect::<Vec<_>>().join(" · ")
    }
}

/// One of two, in a list of radio cards.
#[derive(Debug, Clone)]
pub struct Alternative {
    /// What the form sends.
    pub value: String,
    /// What is written.
    pub label: String,
}

/// What merging two accounts asks and says.
#[derive(Debug, Clone)]
pub struct Merge {
    /// Whose username and password stay, where both have them (field `local_of`).
    pub usernames: Option<[Alternative; 2]>,
    /// The roles that the account has afterwards.
    pub roles: Vec<Role>,
    /// The apps that know the first side's account alone, and the second's.
    pub knowing_one: [Vec<String>; 2],
    /// The apps that know both.
    pub knowing_both: Vec<String>,
}

impl Merge {
    /// The roles, as people call them.
    fn named_roles<'f>(&self, frame: &Frame<'f>) -> Vec<Cow<'f, str>> {
        let named = self.roles.iter().map(|role| match role {
            Role::Owner => frame.say("role-owner"),
            Role::Administrator => frame.say("role-administrator"),
            Role::Member => frame.say("role-member"),
            Role::Auditor => frame.say("role-auditor"),
            Role::Operator => frame.say("role-operator"),
        });
        named.collect()
    }
}

/// Both sides are named, and it is asked once more.
#[derive(Template)]
#[template(path = "link_confirm.html")]
pub struct LinkConfirm<'a> {
    /// What stands around it.
    pub frame: Frame<'a>,
    /// What travels hidden.
    pub form: Form,
    /// The side that was proved first, then the other.
    pub sides: [LinkSide; 2],
    /// What a merge asks and says; `None` where an identity becomes part of an account.
    pub merge: Option<Merge>,
}

impl Page for LinkConfirm<'_> {
    fn title(&self) -> Cow<'_, str> {
        match &self.merge {
            Some(_) => self.frame.say("merge-title"),
            None => self.frame.say("link-confirm-title"),
        }
    }
}
