//! Countersign, an OpenID Connect identity broker.
//!
//! The rooms, and what each is for (`docs/architecture.md` has the picture and the import rules):
//!
//! * [`cli`]: the commands, one file each.
//! * [`app`]: the wiring. Configuration, build, bind, serve, drain.
//! * [`config`]: the operator's settings, one file per section; read strictly, all errors at once.
//! * [`web`]: what browsers and apps talk to: routes, pages, texts, looks.
//! * [`jobs`]: the work that runs by itself, beside the requests.
//! * [`net`]: listeners. TLS and SNI, limits, the client's real address, the redirect of plain HTTP, the shutdown.
//! * [`emulator`]: identity providers with the behaviour of vendors, a sample app and a scripted browser, for the demo
//!   and tests.
//! * [`flows`]: the use cases. Each reads, decides, calls out, commits, in this order.
//! * [`store`]: `SQLite` and `PostgreSQL` behind one text of SQL. The only room that uses `sqlx` and `rusqlite`.
//! * [`mail`]: the mails to users, their texts, and how they are sent.
//! * [`upstream`]: the relying-party side: the guarded client, the metadata and keys of identity providers, the
//!   requests to them, the exchange of their codes, and every check of their responses. The only room that connects
//!   out.
//! * [`crypto`]: keys, signatures, sealing, passwords, randomness. The only room that touches a key.
//! * [`policy`]: decisions as pure functions. No I/O.
//! * [`protocol`]: wire types and documents. No I/O.
//! * [`telemetry`]: log lines, metrics, the one log line of each request. Values, never globals.
//! * [`model`]: the nouns. Ids, emails, organizations, accounts, connections, apps, sessions, the clock. No I/O.

pub mod app;
pub mod cli;
pub mod config;
pub mod crypto;
pub mod emulator;
pub mod flows;
pub mod jobs;
pub mod mail;
pub mod model;
pub mod net;
pub mod policy;
pub mod protocol;
pub mod store;
pub mod telemetry;
pub mod upstream;
pub mod web;
