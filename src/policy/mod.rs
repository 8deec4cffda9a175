//! Decisions, as pure functions over plain values. No I/O, no clock, no `async`: the caller reads the facts and
//! carries out the answer.
//!
//! [`sign_in`] decides how somebody gets in, [`provider`] what an app gets, [`account`] what an account may have.

pub mod account;
pub mod audit_days;
pub mod deadline;
pub mod look;
pub mod provider;
pub mod sign_in;
pub mod signing;
