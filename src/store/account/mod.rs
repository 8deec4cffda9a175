//! Accounts: the people of an organization, their ways to sign in, and what they prove themselves with.

pub mod accounts;
pub mod mail_codes;
pub mod password_links;
pub mod passwords;
pub mod profiles;
