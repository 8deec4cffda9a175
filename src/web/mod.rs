//! What browsers and apps talk to.
//!
//! Here live the pages with their texts and looks, and the headers that every answer carries. Nothing here decides
//! who may sign in, and nothing here reads or writes the database.

pub mod asset;
pub mod cookies;
pub mod errors;
pub mod headers;
pub mod locale;
pub mod pages;
pub mod request;
pub mod respond;
pub mod state;
pub mod text;
