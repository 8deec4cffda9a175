//! Countersign, an OpenID Connect identity broker.
//!
//! The rooms, and what each is for (`docs/architecture.md` has the picture and the import rules):
//!
//! * [`config`]: the configuration, read strictly: all errors at once, with file and line.
//! * [`model`]: the nouns. Ids, emails, organizations, accounts, connections, apps, sessions, the clock. No I/O.
//! * [`protocol`]: wire types, and the strict reading of documents. No I/O.

pub mod config;
pub mod model;
pub mod protocol;
