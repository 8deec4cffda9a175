//! `countersign check`.

use anyhow::{Result, bail};
use tracing::level_filters::LevelFilter;

use super::{Shared, log_to_stderr, say};
use crate::app::{Environment, check};
use crate::flows::manage::Verdict;
use crate::telemetry::Format;

pub(super) async fn run(shared: &Shared) -> Result<()> {
    let config = shared.config()?;
    log_to_stderr(Format::Text, LevelFilter::WARN);
    say("ok   configuration: has no errors");
    let checks = check::check(&config, &Environment::of_this_machine(), shared.config.is_none()).await;
    for check in &checks {
        say(&format!("{:<4} {}: {}", check.verdict, check.what, check.finding));
    }
    let failed = checks.iter().filter(|check| check.verdict == Verdict::Bad).count();
    if failed > 0 {
        bail!("{failed} of the checks failed");
    }
    Ok(())
}
