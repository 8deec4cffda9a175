//! Linking: who becomes one account with whom, and who never does.

mod direct;
mod pages;
mod providers;
mod races;
