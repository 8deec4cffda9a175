//! What goes to a provider, and what it may answer. Everything here is decided from the text at hand: nothing connects out.

pub mod authorize;
pub mod credential;
pub mod discovery;
pub mod id_token;
pub mod identity;
pub mod logout;
pub mod token_answer;
pub mod userinfo;
