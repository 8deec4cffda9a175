//! Counters that say how often something was tried or sent.

pub mod guesses;
pub mod mail_counts;
