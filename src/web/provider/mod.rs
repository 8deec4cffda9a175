//! What apps call, or send browsers to: authorization, tokens and what is known of them, metadata, logout.

mod app_answer;
pub mod app_request;
pub mod authorize;
pub mod logout;
pub mod oauth;
