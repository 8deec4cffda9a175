//! Mails: queued with the change that they report, and sent once, whatever the mail server does.

mod code;
mod links;
mod outbox;
