//! Decisions, as pure functions over plain values. No I/O, no clock, no `async`: the caller reads the facts and
//! carries out the answer.

pub mod access;
pub mod audit_days;
pub mod claims;
pub mod context;
pub mod deadline;
pub mod email;
pub mod freshness;
pub mod guesses;
pub mod link;
pub mod logout;
pub mod look;
pub mod password;
pub mod provision;
pub mod redirect;
pub mod request;
pub mod route;
pub mod session;
pub mod signing;
pub mod step;
