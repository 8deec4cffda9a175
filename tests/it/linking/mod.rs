//! Linking: who becomes one account with whom, and who never does.

mod direct;
mod model;
mod providers;
mod races;
mod walk;
