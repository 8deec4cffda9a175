//! What is written to people: typed messages, rendered as subject, plain text and HTML, in English and German.

use std::borrow::Cow;
use std::time::Duration;

use askama::Template;
use serde::{Deserialize, Serialize};

use super::text::{MailTextError, Words};
use crate::model::{Email, MAIL_CODE_LIFETIME, PASSWORD_LINK_LIFETIME};

/// A mail as it waits in the queue, sealed.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Letter {
    /// To whom: the address as its owner wrote it.
    pub to: Email,
    /// What it says.
    pub message: Message,
}

/// What a mail says. What comes from people is text here, and escaped where it is written.
#[derive(Clone, Serialize, Deserialize)]
pub enum Message {
    /// Another way to sign in was linked to the account.
    ProfileLinked {
        /// The organization's name.
        organization: String,
        /// The way, by its names.
        what: String,
        /// The person's own page.
        account: String,
    },
    /// A new identity took the place of a way to sign in, since the organization changes its identity provider.
    ProfileReplaced {
        /// The organization's name.
        organization: String,
        /// The new way, by its names.
        what: String,
        /// The person's own page.
        account: String,
    },
    /// A way to sign in was taken from the account.
    ProfileUnlinked {
        /// The organization's name.
        organization: String,
        /// The way, by its names.
        what: String,
        /// The person's own page.
        account: String,
    },
    /// Two accounts became one.
    AccountsMerged {
        /// The organization's name.
        organization: String,
        /// Both, by their names.
        what: String,
        /// The person's own page.
        account: String,
    },
    /// A local profile came back without its password; a link sets one.
    SetPassword {
        /// The organization's name.
        organization: String,
        /// The username.
        what: String,
        /// Where the password is set: a secret.
        link: String,
    },
    /// A code proves who the person is.
    ConfirmCode {
        /// The organization's name.
        organization: String,
        /// The code: a secret.
        code: String,
    },
    /// A link or merge was undone.
    LinkUndone {
        /// The organization's name.
        organization: String,
        /// What was undone, by its names.
        what: String,
        /// The person's own page.
        account: String,
    },
}

impl std::fmt::Debug for Message {
    /// Without what a link opens.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.purpose())
    }
}

impl Message {
    /// What it is for; its limits are counted by this.
    pub const fn purpose(&self) -> &'static str {
        match self {
            Self::ProfileLinked { .. } => "profile-linked",
            Self::ProfileReplaced { .. } => "profile-replaced",
            Self::ProfileUnlinked { .. } => "profile-unlinked",
            Self::AccountsMerged { .. } => "accounts-merged",
            Self::SetPassword { .. } => "set-password",
            Self::ConfirmCode { .. } => "confirm-code",
            Self::LinkUndone { .. } => "link-undone",
        }
    }

    /// How long it is worth sending: what it hands over works no longer.
    pub const fn useful_for(&self) -> Duration {
        match self {
            Self::SetPassword { .. } => PASSWORD_LINK_LIFETIME,
            Self::ConfirmCode { .. } => MAIL_CODE_LIFETIME,
            _ => Duration::from_hours(48),
        }
    }

    fn variables(&self) -> Vec<(&'static str, Cow<'_, str>)> {
        match self {
            Self::ConfirmCode { organization, .. } => vec![("organization", one_line(organization))],
            Self::ProfileLinked { organization, what, .. }
            | Self::ProfileReplaced { organization, what, .. }
            | Self::ProfileUnlinked { organization, what, .. }
            | Self::AccountsMerged { organization, what, .. }
            | Self::SetPassword { organization, what, .. }
            | Self::LinkUndone { organization, what, .. } => {
                vec![("organization", one_line(organization)), ("what", one_line(what))]
            }
        }
    }

    /// What the person takes from the mail: an address that it leads to, or a code.
    fn handed(&self) -> Handed<'_> {
        match self {
            Self::ProfileLinked { account, .. }
            | Self::ProfileReplaced { account, .. }
            | Self::ProfileUnlinked { account, .. }
            | Self::AccountsMerged { account, .. }
            | Self::LinkUndone { account, .. } => Handed::Link(account),
            Self::SetPassword { link, .. } => Handed::Link(link),
            Self::ConfirmCode { code, .. } => Handed::Code(code),
        }
    }
}

/// What stands out in a mail.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Handed<'a> {
    Link(&'a str),
    Code(&'a str),
}

impl<'a> Handed<'a> {
    const fn text(self) -> &'a str {
        match self {
            Self::Link(text) | Self::Code(text) => text,
        }
    }
}

/// Text from people in one line: a line break or another control character would begin something of its own.
fn one_line(text: &str) -> Cow<'_, str> {
    if text.chars().any(char::is_control) {
        Cow::Owned(text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect())
    } else {
        Cow::Borrowed(text)
    }
}

/// A mail as it is sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rendered {
    /// The subject line.
    pub subject: String,
    /// For those who read text.
    pub text: String,
    /// For those who read HTML.
    pub html: String,
}

#[derive(Template)]
#[template(path = "mail.html")]
struct Html<'a> {
    parts: &'a [Part; 2],
    handed: Handed<'a>,
}

/// A message in one language.
struct Part {
    language: &'static str,
    title: String,
    paragraphs: [String; 3],
    action: String,
    footer: String,
}

/// The words of all languages, read once at start.
pub struct Texts {
    english: Words,
    german: Words,
}

impl std::fmt::Debug for Texts {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Texts").finish_non_exhaustive()
    }
}

impl Texts {
    /// Reads what was built into the binary.
    pub fn embedded() -> Result<Self, MailTextError> {
        Ok(Self {
            english: Words::read("en", include_str!("locales/en.ftl"))?,
            german: Words::read("de", include_str!("locales/de.ftl"))?,
        })
    }

    /// A message in English, and below it in German: whoever gets it is not there to be asked.
    pub fn render(&self, message: &Message) -> Result<Rendered, askama::Error> {
        let variables = message.variables();
        let variables: Vec<_> = variables.iter().map(|(name, value)| (*name, value.as_ref())).collect();
        let purpose = message.purpose();
        let handed = message.handed();
        let parts = [("en", &self.english), ("de", &self.german)].map(|(language, words)| {
            let say = |part: &str| words.say(&format!("{purpose}{part}"), &variables);
            Part {
                language,
                title: say(""),
                paragraphs: [say(".what"), say(".why"), say(".next")],
                action: say(".action"),
                footer: words.say("footer", &[]),
            }
        });
        let text = parts.iter().map(|part| {
            let Part { title, paragraphs, action, footer, .. } = part;
            format!("{title}\n\n{}\n\n{action}:\n{}\n\n{footer}\n", paragraphs.join("\n\n"), handed.text())
        });
        let text = text.collect::<Vec<_>>().join("\n----\n\n");
        let html = Html { parts: &parts, handed }.render()?;
        let [english, _] = parts;
        Ok(Rendered { subject: english.title, text, html })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOSTILE: &str = "<script>alert(1)</script>{{7*7}}\r\nBcc: evil@evil.test";

    fn messages(what: &str) -> Vec<Message> {
        let (organization, what, account) =
            (what.to_owned(), what.to_owned(), "https://id.test/account".to_owned());
        let own = || (organization.clone(), what.clone(), account.clone());
        let (linked, unlinked, merged, undone, set) = (own(), own(), own(), own(), own());
        let what_for_code = organization.clone();
        vec![
            Message::ProfileLinked { organization: linked.0, what: linked.1, account: linked.2 },
            Message::ProfileUnlinked { organization: unlinked.0, what: unlinked.1, account: unlinked.2 },
            Message::AccountsMerged { organization: merged.0, what: merged.1, account: merged.2 },
            Message::LinkUndone { organization: undone.0, what: undone.1, account: undone.2 },
            Message::SetPassword { organization: set.0, what: set.1, link: set.2 },
            Message::ConfirmCode { organization: what_for_code, code: "12345678".to_owned() },
        ]
    }

    #[test]
    fn every_message_says_what_happened_in_both_languages() {
        let texts = Texts::embedded().unwrap();
        for message in messages("Acme SSO") {
            let mail = texts.render(&message).unwrap();
            for shown in [&mail.subject, &mail.text, &mail.html] {
                // A text that is missing would be told by its key.
                assert!(!shown.contains(message.purpose()), "{shown}");
                assert!(shown.contains("Acme SSO"), "{shown}");
            }
            for shown in [&mail.text, &mail.html] {
                assert!(shown.contains(message.handed().text()), "{shown}");
                assert!(
                    shown.contains("You get this mail because")
                        && shown.contains("Sie erhalten diese Nachricht")
                );
            }
        }
    }

    #[test]
    fn what_people_write_stays_text_in_one_line() {
        let texts = Texts::embedded().unwrap();
        for message in messages(HOSTILE) {
            let mail = texts.render(&message).unwrap();
            assert!(!mail.subject.contains(['\r', '\n']), "{}", mail.subject);
            assert!(!mail.text.contains("\nBcc:"), "{}", mail.text);
            assert!(!mail.html.contains("<script>") && mail.html.contains("{{7*7}}"), "{}", mail.html);
        }
    }
}
