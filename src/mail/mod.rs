//! Mail: what is written to people, in which words, and how it leaves.
//!
//! Nothing here reads the database: a [`Letter`] comes from the queue, is rendered, and is handed to a [`Mailer`]. The
//! mail server is the operator's own and is reached by `lettre`, so the guard of outgoing calls does not stand before it.

mod message;
mod text;
mod transport;

pub use message::{Letter, Message, Rendered, Texts};
pub use text::MailTextError;
pub use transport::{
    Mailer, MailerError, MailerSettings, SMTP_TIMEOUT, SendError, SentMail, SmtpSettings, SmtpTls, Transport,
};
