//! The engine: connections, transactions, and the macros that run one statement on either database.
//!
//! This page is for somebody who has never seen it. Everything else in `store` is statements and rows. It takes a
//! [`Tx`](super::Tx) and calls the macros, and needs to know nothing of what follows.
//!
//! ```text
//! a use case     database.read()                 database.write() … tx.commit()
//! a statement    fetch_optional!(&mut tx, …)     execute!(&mut tx, …)
//!                          └────────────┬──────────────┘
//!                                       Tx
//!                  ┌────────────────────┴─────────────────┐
//!                Sqlite                                Postgres
//!          ┌───────┴────────┐                  a pool of connections,
//!       readers           writer               each call with a deadline
//!       a pool        one connection
//!                           │
//!          ┌────────────────┴───────────────────────────────────────┐
//!          │ BEGIN IMMEDIATE                                 COMMIT │  on a thread of its own
//!          │   savepoint A   savepoint B   savepoint C              │
//!          │   kept, waits   undone        kept, waits              │
//!          └────────────────────────────────────────────────────────┘
//!              └─────────────────────────────┴──── told when the commit is on disk
//! ```
//!
//! # A statement
//!
//! Its text is a constant (`statements!`), with `$1`, `$2` … on both databases, and a test prepares every one on both. Its
//! answer is a struct that `row!` declares, and is read by the names of the columns. A macro says how much the statement
//! gives: `execute!` (how many rows it changed), `fetch_optional!` (one row or none), `fetch_all!` (a hundred at most).
//! Each is a `match` on the [`Tx`](super::Tx) with one arm for each driver, so the compiler checks the types of both.
//! `execute_many!` and `fetch_many!` are for what may change, give or look at more.
//!
//! # Reading on `SQLite`
//!
//! A point read takes some microseconds, less than another thread needs to wake up. So a statement runs on the thread of
//! the task that asks (`sqlite/reading.rs`), on a connection that it takes from the pool and gives back at once. The
//! statements of `fetch_many!` run on a thread for things that block; `database.max_connections` says how many at once. A
//! histogram says for how long calls hold a request's thread.
//!
//! # Writing on `SQLite`
//!
//! `SQLite` lets one connection write at a time, and a commit waits for the disk for longer than all statements before it
//! took. So one connection writes (`sqlite/writing.rs`), and transactions share commits:
//!
//! 1. [`Database::write`](super::Database::write) waits for its turn, which is a fair lock on that connection. The first
//!    transaction opens a surrounding one (`BEGIN IMMEDIATE`). Each works inside a savepoint of its own.
//! 2. The transaction holds the turn while its statements run, on the thread of its task. All other writers wait
//!    meanwhile, so a use case awaits nothing but the database between `write` and `commit`.
//! 3. [`Tx::commit`](super::Tx::commit) releases the savepoint, gives the turn back, and waits. A transaction that is
//!    dropped instead rolls its savepoint back; the others stay as they are.
//! 4. Every commit wakes the flusher. It takes the turn behind all transactions that waited at that moment, and hands the
//!    connection to the thread that commits. So no request's thread waits for the disk.
//! 5. When `COMMIT` is on disk, every transaction that waited is told. If it fails, each is told that too: nothing is
//!    acknowledged that is not durable.
//!
//! At most 64 transactions share a commit. Where four or more shared one, the next waits a millisecond for company. Work
//! that may run into its deadline, such as the clean-up, calls [`Database::write_alone`](super::Database::write_alone),
//! so that its failure takes no other transaction with it.
//!
//! # `PostgreSQL`
//!
//! A transaction is one of the server's, on a connection of the pool. A network can fall silent, so each call has a
//! deadline. A connection that missed it is closed, since its answer may still be on the way.
//!
//! # What is where
//!
//! * `database`: [`Database`](super::Database) opens, and hands out reads and transactions. `settings`: how it is opened.
//! * `tx`: [`Tx`](super::Tx), and the macros. `row`: columns as the types of `model`.
//! * `sqlite`: a connection, the readers, the writer, the file. `postgres`: the pool, and the deadline of each call.
//! * `migrations`: the schema of both. `error`: what can go wrong.

pub(super) mod database;
pub mod error;
mod migrations;
mod postgres;
pub(super) mod row;
pub(super) mod settings;
pub(super) mod sqlite;
pub mod tx;
