//! The endpoints for apps: what a code, a token or a secret is worth, and to whom.

mod clients;
mod codes;
mod endpoints;
mod issuing;
mod refresh;
