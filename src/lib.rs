//! Countersign, an OpenID Connect identity broker.
//!
//! The rooms, and what each is for (`docs/architecture.md` has the picture and the import rules):
//!
//! * [`model`]: the nouns. Ids, emails, organizations, accounts, connections, apps, sessions, the clock. No I/O.
//! * [`web`]: what browsers and apps talk to. Pages, their texts and looks, headers.

pub mod model;
pub mod web;
