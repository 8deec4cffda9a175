//! `[database]`: where everything is kept.

use crate::config::section::{Reader, Section, section};
use crate::model::Secret;
use crate::protocol::document::Complaint;

crate::setting_enum! {
    /// How safely SQLite writes.
    pub enum Synchronous {
        /// What was acknowledged survives a loss of power.
        Full = "full",
        /// What was acknowledged survives a crash of the program; a loss of power may undo the last moments.
        Normal = "normal",
    }
}

section! {
    /// The database, which stores everything.
    pub struct Database in "database" {
        /// `sqlite://PATH` (one node; the broker creates the file) or `postgres://USER:PASSWORD@HOST/NAME`.
        secret url: Secret = "sqlite://data/countersign.db";
        /// PostgreSQL: how many connections this node opens at once. SQLite: how many long reads it does at once.
        key max_connections: u32 = "16";
        /// How safely SQLite writes. With `full`, data survives a loss of power; with `normal`, only a crash of the
        /// program.
        key synchronous: Synchronous = "full";
    }
}

impl Section for Database {
    fn check(&self, reader: &Reader<'_>) {
        let key = if reader.is_given("url_file") { "url_file" } else { "url" };
        let schemes = ["sqlite://", "postgres://", "postgresql://"];
        if !schemes.iter().any(|scheme| self.url.expose().starts_with(scheme)) {
            reader.refuse(
                key,
                Complaint::with_remedy(
                    "names an unknown kind of database",
                    "begin it with sqlite:// or postgres://",
                ),
            );
        }
        if self.url.expose().strip_prefix("sqlite://").is_some_and(|path| path.contains('?')) {
            reader.refuse(
                key,
                Complaint::with_remedy("has parameters", "write sqlite:// and the file's path alone"),
            );
        }
        if self.max_connections == 0 {
            reader.refuse("max_connections", Complaint::with_remedy("0 is too small", "give at least 1"));
        }
    }
}
