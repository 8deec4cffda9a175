//! `countersign apply` and `countersign export`.

use std::path::PathBuf;

use anyhow::Result;

use super::{OPERATOR, Shared, read_file, say};

#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// The files. They are applied together.
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
    /// Show what would change, without changing it.
    #[arg(long)]
    dry_run: bool,
}

pub(super) async fn run(shared: &Shared, arguments: Arguments) -> Result<()> {
    let mut files = Vec::new();
    for path in &arguments.files {
        files.push((path.display().to_string(), read_file(path)?));
    }
    let broker = shared.broker().await?;
    let report = broker.organizations.apply(OPERATOR, &files, arguments.dry_run).await?;
    for line in &report.lines {
        if arguments.dry_run {
            say(&format!("{:<9} {line}", line.change));
        } else {
            say(&line.to_string());
        }
    }
    for warning in &report.warnings {
        say(&format!("warn {warning}"));
    }
    say(&report.to_string());
    if arguments.dry_run {
        say("this was a dry run: nothing was changed");
    }
    broker.housekeeping.close().await;
    Ok(())
}

pub(super) async fn export(shared: &Shared) -> Result<()> {
    let broker = shared.broker().await?;
    say(broker.organizations.export().await?.trim_end());
    broker.housekeeping.close().await;
    Ok(())
}
