//! `[database]`: where everything is kept.

use super::section::{Reader, Section, section};
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
    /// Where everything is kept.
    pub struct Database in "database" {
        /// `sqlite://PATH` (one node; the file is made when absent) or `postgres://USER:PASSWORD@HOST/NAME`.
        secret url: Secret = "sqlite://data/countersign.db";
        /// PostgreSQL: connections of this node at once. SQLite: long reads at once.
        key max_connections: u32 = "16";
        /// How safely SQLite writes: `full` survives a loss of power, `normal` only a crash of the program.
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
                    "names no database that is known",
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
            reader.refuse("max_connections", Complaint::with_remedy("0 is too little", "give at least 1"));
        }
    }
}
