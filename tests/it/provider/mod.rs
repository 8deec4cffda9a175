//! The endpoints for apps: which app may use a code, a token or a secret, and for what.

mod clients;
mod codes;
mod endpoints;
mod issuing;
mod refresh;
