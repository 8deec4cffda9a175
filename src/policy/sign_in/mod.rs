//! How somebody is signed in: where, in which steps, by which proofs, and how often they may guess.

pub mod context;
pub mod freshness;
pub mod guesses;
pub mod provision;
pub mod route;
pub mod session;
pub mod step;
