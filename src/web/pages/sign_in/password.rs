//! Setting a password by a mailed link.

use std::borrow::Cow;

use askama::Template;

use crate::flows::sign_in::password_link::{BrokenRule, PasswordRules};
use crate::web::pages::{Failure, Form, Frame, Page, path};

/// A new password is asked for.
#[derive(Template)]
#[template(path = "set_password.html")]
pub struct SetPassword<'a> {
    /// What stands around it.
    pub frame: Frame<'a>,
    /// What travels hidden.
    pub form: Form,
    /// Whose password it is.
    pub username: String,
    /// What it must be like.
    pub rules: PasswordRules,
    /// That the last one was not set.
    pub failure: Option<Failure>,
    /// The rules that the last one breaks.
    pub broken: Vec<BrokenRule>,
}

impl SetPassword<'_> {
    /// All rules, before anything is entered.
    fn hint(&self) -> Cow<'_, str> {
        match self.rules {
            PasswordRules::Classic => self.frame.say("password-rules-classic"),
            PasswordRules::Nist => self.frame.say("password-rules-nist"),
        }
    }

    /// What to do about the rules that are broken.
    fn remedies(&self) -> Vec<Cow<'_, str>> {
        let remedies = self.broken.iter().map(|rule| match rule {
            BrokenRule::TooShort => self.frame.say("password-too-short"),
            BrokenRule::TooLong => self.frame.say("password-too-long"),
            BrokenRule::NoUpperCase => self.frame.say("password-no-upper-case"),
            BrokenRule::NoLowerCase => self.frame.say("password-no-lower-case"),
            BrokenRule::NoDigit => self.frame.say("password-no-digit"),
            BrokenRule::Characters => self.frame.say("password-characters"),
            BrokenRule::Common => self.frame.say("password-common"),
            BrokenRule::Recent => self.frame.say("password-recent"),
        });
        remedies.collect()
    }
}

impl Page for SetPassword<'_> {
    fn title(&self) -> Cow<'_, str> {
        self.frame.say("set-password-title")
    }

    fn failed(&self) -> bool {
        self.failure.is_some()
    }
}

/// The password is set.
#[derive(Template)]
#[template(path = "password_set.html")]
pub struct PasswordSet<'a> {
    /// What stands around it.
    pub frame: Frame<'a>,
}

impl Page for PasswordSet<'_> {
    fn title(&self) -> Cow<'_, str> {
        self.frame.say("password-set-title")
    }
}
