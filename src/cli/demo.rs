//! `countersign demo`.

use std::path::PathBuf;

use anyhow::Result;
use tracing::level_filters::LevelFilter;

use super::{asked_to_stop, log_to_stderr, say};
use crate::app::Environment;
use crate::app::demo::{self, DemoSettings};
use crate::telemetry::Format;

#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// Sign in without a browser, through a provider and with a password, print every step, and exit.
    #[arg(long)]
    tour: bool,
    /// The folder for the demo's files.
    #[arg(long, value_name = "DIR", default_value = "data/demo")]
    data: PathBuf,
}

pub(super) async fn run(arguments: Arguments) -> Result<()> {
    log_to_stderr(Format::Text, LevelFilter::WARN);
    let settings = DemoSettings { data: arguments.data, tour: arguments.tour };
    Ok(demo::run(&settings, Environment::of_this_machine(), asked_to_stop(), &mut |line: &str| say(line))
        .await?)
}
