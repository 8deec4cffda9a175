//! Sessions, and how they end.

pub mod session_ends;
pub mod sessions;
