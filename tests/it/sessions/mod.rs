//! Sessions: how they go on, how they end, and who may end them.

mod account;
mod logout;
mod upstream;
