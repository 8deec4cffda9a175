//! What is under way: flows before anything is proved, and interactions that wait for the person.

pub mod flows;
pub mod interactions;
