//! Linking: who becomes one account with whom, and who never does.

mod direct;
mod providers;
mod races;
