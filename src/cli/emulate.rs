//! `countersign emulate`.

use std::net::SocketAddr;
use std::path::PathBuf;

use anyhow::Result;
use tracing::level_filters::LevelFilter;

use super::{asked_to_stop, log_to_stderr, say};
use crate::app::Environment;
use crate::app::emulate::{self, EmulateSettings, Vendor};
use crate::telemetry::Format;

#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// Whose habits it has: okta or entra.
    vendor: Vendor,
    /// Where it listens.
    #[arg(long, default_value = "127.0.0.1:9001")]
    listen: SocketAddr,
    /// The file with its users and clients.
    #[arg(long, value_name = "FILE")]
    users: PathBuf,
    /// The folder with its certificate; made there when absent.
    #[arg(long, value_name = "DIR", default_value = "data/emulator")]
    certs: PathBuf,
}

pub(super) async fn run(arguments: Arguments) -> Result<()> {
    log_to_stderr(Format::Text, LevelFilter::WARN);
    let settings = EmulateSettings {
        vendor: arguments.vendor,
        listen: arguments.listen,
        users: arguments.users,
        certs: arguments.certs,
    };
    Ok(emulate::run(&settings, &Environment::of_this_machine(), asked_to_stop(), &mut |line: &str| say(line))
        .await?)
}
