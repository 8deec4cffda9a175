//! Reads columns into the types of `model`. A value that does not parse is [`StoreError::Inconsistent`].

use std::fmt::Display;
use std::str::FromStr;
use std::time::Duration;

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::tx::row;
use crate::model::Timestamp;
use crate::store::StoreError;

row! {
    /// The result of a statement that counts.
    pub(in crate::store) struct CountRow {
        pub amount: i64,
    }
}

/// Names the row that is read, for errors.
#[derive(Clone, Copy)]
pub(in crate::store) struct Row<'a> {
    pub table: &'static str,
    pub id: &'a str,
}

impl Row<'_> {
    pub fn error(self, column: &'static str) -> StoreError {
        StoreError::inconsistent(self.table, column, self.id)
    }

    /// A text column, parsed.
    pub fn parse<T: FromStr>(self, column: &'static str, text: &str) -> Result<T, StoreError> {
        text.parse().map_err(|_| self.error(column))
    }

    /// A nullable text column, parsed.
    pub fn parse_optional<T: FromStr>(
        self,
        column: &'static str,
        text: Option<&str>,
    ) -> Result<Option<T>, StoreError> {
        text.map(|text| self.parse(column, text)).transpose()
    }

    /// A JSON column, parsed.
    pub fn json<T: DeserializeOwned>(self, column: &'static str, text: &str) -> Result<T, StoreError> {
        serde_json::from_str(text).map_err(|_| self.error(column))
    }
}

/// The value of a JSON column.
pub(in crate::store) fn to_json(value: &impl Serialize) -> Result<String, StoreError> {
    serde_json::to_string(value).map_err(|_| StoreError::inconsistent("json", "value", "new"))
}

/// The value of a nullable text column, from anything with a text form.
pub(in crate::store) fn text<T: Display>(value: Option<&T>) -> Option<String> {
    value.map(ToString::to_string)
}

/// A time from its column.
pub(in crate::store) fn time(micros: i64) -> Timestamp {
    Timestamp::from_unix_micros(micros)
}

/// A span of time from its column, in microseconds.
pub(in crate::store) fn span(micros: Option<i64>) -> Option<Duration> {
    micros.map(|micros| Duration::from_micros(u64::try_from(micros).unwrap_or(0)))
}

/// A span of time for its column, in microseconds.
pub(in crate::store) fn span_column(span: Option<Duration>) -> Option<i64> {
    span.map(|span| i64::try_from(span.as_micros()).unwrap_or(i64::MAX))
}

/// The words of a space-separated column.
pub(in crate::store) fn words(text: &str) -> Vec<String> {
    text.split_ascii_whitespace().map(str::to_owned).collect()
}
