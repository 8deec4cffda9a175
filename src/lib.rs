//! Countersign, an OpenID Connect identity broker.
//!
//! The rooms, and what each is for (`docs/architecture.md` has the picture and the import rules):
//!
//! * [`model`]: the nouns. Ids, emails, organizations, accounts, connections, apps, sessions, the clock. No I/O.
//! * [`protocol`]: the wire. Strict JSON, JOSE, and the types of `OAuth` and `OpenID` Connect. No I/O, no cryptography.
//! * [`crypto`]: signatures, sealing, keyed hashes, passwords, certificates. The only place where keys are used.

pub mod crypto;
pub mod model;
pub mod protocol;
