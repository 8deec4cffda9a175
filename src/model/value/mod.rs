//! Values that other nouns are made of: ids, names, addresses, secrets, time and randomness.

pub mod day;
pub mod domain;
pub mod email;
pub mod id;
pub mod name;
pub mod random;
pub mod secret;
pub mod time;
pub mod words;
