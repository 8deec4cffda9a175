//! Linking: who becomes one account with whom, and who never does.

mod binding;
mod direct;
mod forms;
mod fresh;
mod model;
mod operator;
pub mod pages;
mod providers;
mod races;
mod replacing;
mod rows;
mod steps;
mod subjects;
mod undoing;
mod walk;
