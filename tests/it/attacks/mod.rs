//! The attack catalogue: one test a row, named `row_NN_…` after it, on both databases where a database is involved.
//!
//! Each ends with [`crate::harness::evidence::Evidence`]: exactly the expected rows changed, exactly the expected
//! records were written. Rows that do not apply are named in `docs/security.md` with the reason.

mod identity;
mod upstream;
