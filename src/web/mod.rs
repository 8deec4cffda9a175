//! What browsers and apps talk to.
//!
//! Here live the pages with their texts and looks, and the headers that every answer carries. Nothing here decides
//! who may sign in, and nothing here reads or writes the database.

pub mod asset;
pub mod errors;
pub mod headers;
pub mod locale;
pub mod pages;
pub mod text;
