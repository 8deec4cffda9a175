//! Faults, made to happen: what the broker does when something under it or beside it fails.

mod clock;
mod database;
mod listener;
mod own;
mod program;
mod rows;
