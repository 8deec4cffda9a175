//! Where people say who they are: the sign-in page, the domain page, and the choice between connections.

pub mod consent;
pub mod password;

use std::borrow::Cow;

use askama::Template;

use super::{Failure, Form, Frame, Page, path};
use crate::flows::sign_in::SignInPurpose;

/// A connection to choose.
#[derive(Debug, Clone)]
pub struct ConnectionChoice {
    /// The button's id: `connection-<handle>`, with a number where several have that handle.
    pub button: String,
    /// Its handle.
    pub handle: String,
    /// What the button sends as `connection`.
    pub value: String,
    /// Its name.
    pub name: String,
    /// Who answers there, such as the issuer's host.
    pub provider: String,
}

impl ConnectionChoice {
    /// The letter in the connection's tile.
    pub(super) fn initial(&self) -> String {
        initial(&self.name)
    }
}

/// The letter in a tile.
pub(super) fn initial(name: &str) -> String {
    let first = name.chars().find(|c| c.is_alphanumeric()).or_else(|| name.chars().next());
    first.into_iter().flat_map(char::to_uppercase).collect()
}

/// Username and password, or the way to an identity provider.
#[derive(Template)]
#[template(path = "sign_in.html")]
pub struct SignIn<'a> {
    /// What stands around it.
    pub frame: Frame<'a>,
    /// What travels hidden.
    pub form: Form,
    /// What the person has entered before, or the app's `login_hint`.
    pub username: Option<String>,
    /// The connections of the organization whose page this is; empty on the shared page.
    pub connections: Vec<ConnectionChoice>,
    /// Why the last try was refused.
    pub failure: Option<Failure>,
    /// What the sign-in is for.
    pub purpose: SignInPurpose,
}

impl SignIn<'_> {
    /// What the page says before it asks.
    fn intro(&self) -> Option<Cow<'_, str>> {
        match self.purpose {
            SignInPurpose::SignIn => None,
            SignInPurpose::Reauthenticate => Some(self.frame.say("reauthenticate-intro")),
            SignInPurpose::Link if self.connections.is_empty() => Some(self.frame.say("prove-link-password")),
            SignInPurpose::Link => Some(self.frame.say("prove-link-intro")),
        }
    }

    /// What is to be entered besides the password.
    fn name_label(&self) -> Cow<'_, str> {
        match self.purpose {
            SignInPurpose::SignIn => self.frame.say("username"),
            SignInPurpose::Reauthenticate | SignInPurpose::Link => self.frame.say("profile-username"),
        }
    }
}

impl Page for SignIn<'_> {
    fn title(&self) -> Cow<'_, str> {
        match self.purpose {
            SignInPurpose::SignIn => self.frame.say("sign-in-title"),
            SignInPurpose::Reauthenticate => self.frame.say("reauthenticate-title"),
            SignInPurpose::Link => self.frame.say("prove-link-title"),
        }
    }

    fn failed(&self) -> bool {
        self.failure.is_some()
    }
}

/// Where an organization's handle or domain is entered.
#[derive(Template)]
#[template(path = "domain.html")]
pub struct DomainEntry<'a> {
    /// What stands around it.
    pub frame: Frame<'a>,
    /// What travels hidden.
    pub form: Form,
    /// What the person has entered before.
    pub domain: Option<String>,
    /// Why it led nowhere.
    pub failure: Option<Failure>,
}

impl Page for DomainEntry<'_> {
    fn title(&self) -> Cow<'_, str> {
        self.frame.say("domain-title")
    }

    fn failed(&self) -> bool {
        self.failure.is_some()
    }
}

/// Several connections serve what was entered: the person chooses.
#[derive(Template)]
#[template(path = "choice.html")]
pub struct Choice<'a> {
    /// What stands around it.
    pub frame: Frame<'a>,
    /// What travels hidden.
    pub form: Form,
    /// What was entered, such as a domain.
    pub entered: String,
    /// The connections, at least one.
    pub connections: Vec<ConnectionChoice>,
}

impl Page for Choice<'_> {
    fn title(&self) -> Cow<'_, str> {
        self.frame.say("choice-title")
    }
}
