//! How identities come to accounts: who is expected, whose place is taken, what a merge moves, and the ledger of it all.

pub mod expected;
pub mod ledger;
pub mod merging;
pub mod replacing;
