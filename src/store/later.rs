//! Writes whose outcome nobody waits for travel with the next call to the driver, or with the commit.
//!
//! `SQLite`'s driver runs each call on a thread of its own, so a call costs more than the statement in it. One text may
//! hold several statements; each has its own numbers for what is bound, which are moved on behind those before it. On
//! `PostgreSQL` such a write runs at once.

use sqlx::error::BoxDynError;
use sqlx::sqlite::SqliteArguments;
use sqlx::{Arguments as _, AssertSqlSafe, SqliteConnection};

/// Statements of the store, with what is bound to them, in order.
#[derive(Default)]
pub(super) struct Later {
    text: String,
    arguments: SqliteArguments,
}

impl Later {
    /// Adds a statement; `bind` binds its values.
    pub(super) fn add(
        &mut self,
        sql: &'static str,
        bind: impl FnOnce(&mut SqliteArguments) -> Result<(), BoxDynError>,
    ) -> Result<(), sqlx::Error> {
        if !self.text.is_empty() {
            self.text.push_str("; ");
        }
        append_renumbered(&mut self.text, sql, self.arguments.len());
        bind(&mut self.arguments).map_err(sqlx::Error::Encode)
    }

    /// Runs them in one call.
    pub(super) async fn run(&mut self, connection: &mut SqliteConnection) -> Result<(), sqlx::Error> {
        if self.text.is_empty() {
            return Ok(());
        }
        let Self { text, arguments } = std::mem::take(self);
        // It is made of the store's own constants alone.
        sqlx::query_with::<sqlx::Sqlite, _>(AssertSqlSafe(text), arguments).execute(connection).await?;
        Ok(())
    }
}

/// Appends `sql` with each `$N` as `$(N + before)`.
fn append_renumbered(text: &mut String, sql: &str, before: usize) {
    let mut pieces = sql.split('$');
    text.push_str(pieces.next().unwrap_or_default());
    for piece in pieces {
        let end = piece.find(|letter: char| !letter.is_ascii_digit()).unwrap_or(piece.len());
        let (digits, rest) = piece.split_at(end);
        text.push('$');
        match digits.parse::<usize>() {
            Ok(number) => text.push_str(&(number + before).to_string()),
            Err(_) => text.push_str(digits),
        }
        text.push_str(rest);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_move_on_behind_what_is_bound_before() {
        let mut text = "X".to_owned();
        append_renumbered(&mut text, "UPDATE a SET b = $2, c = $12 WHERE d = $1 AND e < $2", 3);
        assert_eq!(text, "XUPDATE a SET b = $5, c = $15 WHERE d = $4 AND e < $5");
        append_renumbered(&mut text, "; DELETE FROM a", 7);
        assert!(text.ends_with("< $5; DELETE FROM a"), "{text}");
    }
}
