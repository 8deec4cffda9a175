//! What an account may have: addresses that count as proved, passwords, and other accounts to link with.

pub mod email;
pub mod link;
pub mod password;
