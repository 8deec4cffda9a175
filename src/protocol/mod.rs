//! The wire: how bytes from outside become typed values, and typed values become bytes.
//!
//! Only parsing and writing. Nothing here performs I/O, holds a key, or decides what a caller may do.

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
