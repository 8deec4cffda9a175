//! What every handler stands on: what a request says, its cookies and forms, and how it is answered.

pub mod cookies;
pub(super) mod extract;
pub mod guard;
pub mod request;
pub mod respond;
