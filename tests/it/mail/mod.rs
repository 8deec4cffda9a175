//! Mails: kept with what they tell of, sent once, whatever the mail server does.

mod code;
mod links;
mod outbox;
