//! Sections on what holds for everybody: passwords, lifetimes, the keys that sign, how long the audit log is kept.

pub(super) mod audit;
pub(super) mod keys;
pub(super) mod passwords;
pub(super) mod sessions;
pub(super) mod tokens;
