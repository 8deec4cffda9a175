//! What the broker gives to apps: grants with their codes and tokens, what these stand on, and the keys that sign.

pub mod grants;
pub mod keys;
pub mod standing;
