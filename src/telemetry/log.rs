//! Log lines: JSON for machines, text for people; one event per line.

use std::fmt;

use tracing::field::Field;
use tracing::level_filters::LevelFilter;
use tracing::{Dispatch, Subscriber};
use tracing_subscriber::field::MakeExt as _;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::fmt::format::{self, Writer};
use tracing_subscriber::layer::SubscriberExt as _;

/// The form of log lines.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// One JSON object per line.
    Json,
    /// One line of text.
    Text,
}

/// A subscriber that writes to `writer`: the events of this crate at `level` or above, and warnings of its
/// dependencies. `main` installs it for the process; a test keeps it.
pub fn subscriber<W>(format: Format, level: LevelFilter, writer: W) -> Dispatch
where
    W: for<'w> MakeWriter<'w> + Send + Sync + 'static,
{
    let others = level.min(LevelFilter::WARN);
    let filter = Targets::new().with_target(env!("CARGO_PKG_NAME"), level).with_default(others);
    // A line that cannot be written is lost. To report that, a macro would write to the same full disk, and panic.
    let layer =
        tracing_subscriber::fmt::layer().with_ansi(false).with_writer(writer).log_internal_errors(false);
    let registry = tracing_subscriber::registry().with(filter);
    match format {
        Format::Json => dispatch(registry.with(layer.json().flatten_event(true).with_span_list(false))),
        Format::Text => {
            dispatch(registry.with(layer.fmt_fields(format::debug_fn(write_field).delimited(" "))))
        }
    }
}

fn dispatch(subscriber: impl Subscriber + Send + Sync + 'static) -> Dispatch {
    Dispatch::new(subscriber)
}

/// Writes a field. Its value can neither break the line nor control the terminal.
fn write_field(writer: &mut Writer<'_>, field: &Field, value: &dyn fmt::Debug) -> fmt::Result {
    if field.name() != "message" {
        write!(writer, "{}=", field.name())?;
    }
    for character in format!("{value:?}").chars() {
        if character.is_control() {
            write!(writer, "{}", character.escape_default())?;
        } else {
            writer.write_char(character)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::testing::Lines;
    use super::*;

    const HOSTILE: &str = "a\nERROR countersign: forged\u{1b}[31m\u{9b}\r";

    fn lines_of(format: Format, level: LevelFilter, say: impl FnOnce()) -> Vec<String> {
        let lines = Lines::default();
        tracing::dispatcher::with_default(&subscriber(format, level, lines.clone()), say);
        lines.all()
    }

    #[test]
    fn a_json_line_stays_one_line_whatever_it_holds() {
        let lines = lines_of(
            Format::Json,
            LevelFilter::INFO,
            || tracing::info!(name = HOSTILE, error = %HOSTILE, "{HOSTILE}"),
        );
        assert_eq!(lines.len(), 1, "{lines:?}");
        assert!(!lines[0].contains(|character: char| character.is_ascii_control()), "{lines:?}");
        let line: serde_json::Value = serde_json::from_str(&lines[0]).unwrap();
        for key in ["name", "error", "message"] {
            assert_eq!(line[key], HOSTILE);
        }
    }

    #[test]
    fn a_text_line_stays_one_line_whatever_it_holds() {
        let lines = lines_of(
            Format::Text,
            LevelFilter::INFO,
            || tracing::info!(name = HOSTILE, error = %HOSTILE, "{HOSTILE}"),
        );
        assert_eq!(lines.len(), 1, "{lines:?}");
        assert!(!lines[0].contains(char::is_control), "{lines:?}");
        assert!(lines[0].contains(" a\\nERROR countersign: forged\\u{1b}[31m"), "{lines:?}");
        assert!(lines[0].contains(" error=a\\nERROR"), "{lines:?}");
    }

    #[test]
    fn dependencies_are_heard_at_warnings_only() {
        let lines = lines_of(Format::Text, LevelFilter::TRACE, || {
            tracing::trace!(target: "countersign::net", "ours");
            tracing::debug!(target: "h2::codec", "authorization: Bearer x");
            tracing::warn!(target: "sqlx::query", "slow");
        });
        assert_eq!(lines.len(), 2, "{lines:?}");
        assert!(lines[0].ends_with("ours") && lines[1].ends_with("slow"), "{lines:?}");
    }

    #[test]
    fn a_level_is_a_floor_for_all() {
        let lines = lines_of(Format::Text, LevelFilter::ERROR, || {
            tracing::info!("ours");
            tracing::warn!(target: "sqlx::query", "slow");
            tracing::error!("bad");
        });
        assert_eq!(lines.len(), 1, "{lines:?}");
    }
}
