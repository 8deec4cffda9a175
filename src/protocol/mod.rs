//! Wire types: what travels between the broker, its apps, its identity providers and its operator.
//!
//! Parsing and writing only. No I/O, no decisions, no keys.

pub mod document;
