//! The relying-party side.

pub mod egress;
