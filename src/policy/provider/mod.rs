//! What an app may ask for, and what it gets.

pub mod access;
pub mod claims;
pub mod logout;
pub mod redirect;
pub mod request;
