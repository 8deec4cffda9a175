//! The endpoints that apps call, or send browsers to: authorization, tokens and facts about them, metadata, logout.

mod app_answer;
pub mod app_request;
pub mod authorize;
pub mod logout;
pub mod oauth;
