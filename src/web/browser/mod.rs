//! The basis of every handler: the content of a request, its cookies and forms, and the ways to answer it.

pub mod cookies;
pub(super) mod extract;
pub mod guard;
pub mod request;
pub mod respond;
