//! Faults to survive: each is made to happen under the broker or beside it, and costs what it must and no more.

mod clock;
pub mod database;
mod idp;
mod listener;
mod own;
mod previous;
mod program;
pub mod rows;
