//! `[log]`: what the broker writes about itself.

use crate::config::section::{Section, section};

crate::setting_enum! {
    /// How log lines look.
    pub enum LogFormat {
        /// One JSON object a line, for machines.
        Json = "json",
        /// One line of text, for people.
        Text = "text",
    }
}

crate::setting_enum! {
    /// How much is logged.
    pub enum LogLevel {
        /// Failures that need somebody.
        Error = "error",
        /// And what may soon need somebody.
        Warn = "warn",
        /// And one line a request.
        Info = "info",
        /// And what happens inside.
        Debug = "debug",
        /// And every step.
        Trace = "trace",
    }
}

section! {
    /// The broker's log, on standard error. It never contains a secret, a token or a query string.
    pub struct Log in "log" {
        /// `json` for machines, `text` for people.
        key format: LogFormat = "text";
        /// `error`, `warn`, `info` (one line for each request), `debug` or `trace`.
        key level: LogLevel = "info";
    }
}

impl Section for Log {}
