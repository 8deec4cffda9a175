//! The attack catalogue: one test a row, named `row_NN_…` after it, on both databases where a database is involved.
//!
//! Most end with [`crate::harness::evidence::Evidence`]: exactly as many rows as expected came or went, exactly the
//! expected records were written. Rows that do not apply are named in `docs/security.md` with the reason.

mod authorization;
mod catalogue;
mod credentials;
mod evidence;
mod exhaustion;
mod identity;
mod linking;
mod redirects;
mod session;
mod shown_tokens;
mod steps;
mod tenancy;
mod tokens;
mod tools;
mod transport;
mod upstream;
