//! Countersign, an OpenID Connect identity broker.
//!
//! The rooms, and what each is for (`docs/architecture.md` has the picture and the import rules):
//!
//! * [`model`]: the nouns. Ids, emails, organizations, accounts, connections, apps, sessions, the clock. No I/O.
//! * [`store`]: `SQLite` and `PostgreSQL` behind one text of SQL. The only room that says `sqlx`.

pub mod model;
pub mod store;
