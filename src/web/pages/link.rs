//! Linking: the offer, and the page that names both sides and asks once more.

use std::borrow::Cow;

use askama::Template;

use super::sign_in::initial;
use super::{Failure, Form, Frame, Page, path};
use crate::model::Role;

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
    /// Through which connection the person has just come.
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
    /// The email, else the username or the name.
    pub label: Option<String>,
    /// Whether it is an account already.
    pub is_account: bool,
}

impl LinkSide {
    fn name<'f>(&'f self, frame: &Frame<'f>) -> Cow<'f, str> {
        self.provider.as_deref().map_or_else(|| frame.say("via-local"), Cow::Borrowed)
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
    /// Which account stays (field `keep`).
    pub accounts: [Alternative; 2],
    /// Whose username and password stay, where both have them (field `local_of`).
    pub usernames: Option<[Alternative; 2]>,
    /// The roles that the account has afterwards.
    pub roles: Vec<Role>,
    /// The apps that know one of the two.
    pub known_to_one: Vec<String>,
    /// The apps that know both.
    pub known_to_both: Vec<String>,
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
    /// What just went wrong.
    pub failure: Option<Failure>,
}

impl Page for LinkConfirm<'_> {
    fn title(&self) -> Cow<'_, str> {
        match &self.merge {
            Some(_) => self.frame.say("merge-title"),
            None => self.frame.say("link-confirm-title"),
        }
    }

    fn failed(&self) -> bool {
        self.failure.is_some()
    }
}
