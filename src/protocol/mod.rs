//! The wire: how foreign bytes become typed values, and typed values bytes.
//!
//! Parsing and writing only. Nothing here performs I/O, holds a key, or decides whether somebody may do something.

pub mod base64url;
pub mod claims;
pub mod count;
pub mod document;
pub mod jose;
pub mod json;
pub mod oauth;
pub mod packed;
mod peer;
pub mod weighted;

pub use peer::Peer;
