//! The broker's reports about itself: log lines and metrics.
//!
//! Both are values that `app` makes and hands on, never globals, so that two brokers in one process (as in tests) do
//! not mix. No code may log a secret, a token, a cookie, a query string or a form. Dependencies are kept at warnings
//! at every level, because at lower ones they show headers.

mod log;
mod metrics;
mod request_log;
#[cfg(test)]
mod testing;

pub use log::{Format, subscriber};
pub use metrics::{Metrics, RequestLabels};
pub use request_log::{REQUEST_ID, RequestLog};
