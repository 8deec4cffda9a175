//! The commands that the operator types. Each reads the configuration, opens the database that it names, and calls
//! the same use cases as the server; a running server sees the change within a second.

mod account;
mod apply;
mod audit;
mod check;
mod demo;
mod emulate;
mod keys;
mod migrate;
mod serve;
mod session;

use std::io::{self, Write};
use std::path::PathBuf;
use std::sync::Arc;

use anyhow::{Context, Result};
use clap::{Parser, Subcommand};
use tracing::level_filters::LevelFilter;

use crate::app::{Config, Environment, load_config, open_broker};
use crate::flows::Broker;
use crate::model::Caller;
use crate::telemetry::{self, Format};

/// The caller of every command: an operator, because only operators may run commands on the deployment's machine.
const OPERATOR: Caller = Caller::Operator(None);

/// The command line.
#[derive(Debug, Parser)]
#[command(name = "countersign", version, about = "An OpenID Connect identity broker", long_about = None)]
pub struct Arguments {
    /// The configuration file. Without it, the defaults and the variables `COUNTERSIGN__SECTION__KEY` apply.
    #[arg(long, global = true, value_name = "FILE")]
    config: Option<PathBuf>,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Try it on this machine: runs the broker, two emulated identity providers and a sample app.
    Demo(demo::Arguments),
    /// Bring the database up to date, then serve.
    Serve,
    /// Declare organizations, domains, connections, apps and accounts from files.
    Apply(apply::Arguments),
    /// Write all organizations as a file that `apply` reads.
    Export,
    /// Check the configuration, certificates, database, keys and every connection.
    Check,
    /// Manage the broker's own signing keys.
    #[command(subcommand)]
    Keys(keys::Command),
    /// Manage users' accounts.
    #[command(subcommand)]
    Account(account::Command),
    /// Manage users' sessions.
    #[command(subcommand)]
    Session(session::Command),
    /// Read the audit log.
    #[command(subcommand)]
    Audit(audit::Command),
    /// Run one emulated identity provider.
    Emulate(emulate::Arguments),
    /// Bring the database up to date, and do nothing else.
    Migrate,
}

/// Runs the command. An error's text is for the operator.
pub async fn run(arguments: Arguments) -> Result<()> {
    let shared = Shared { config: arguments.config };
    match arguments.command {
        Command::Demo(arguments) => demo::run(arguments).await,
        Command::Serve => serve::run(&shared).await,
        Command::Apply(arguments) => apply::run(&shared, arguments).await,
        Command::Export => apply::export(&shared).await,
        Command::Check => check::run(&shared).await,
        Command::Keys(command) => keys::run(&shared, command).await,
        Command::Account(command) => account::run(&shared, command).await,
        Command::Session(command) => session::run(&shared, command).await,
        Command::Audit(command) => audit::run(&shared, command).await,
        Command::Emulate(arguments) => emulate::run(arguments).await,
        Command::Migrate => migrate::run(&shared).await,
    }
}

/// The settings that all commands share.
struct Shared {
    config: Option<PathBuf>,
}

impl Shared {
    fn config(&self) -> Result<Config> {
        load_config(self.config.as_deref())
            .map_err(|errors| anyhow::anyhow!("the configuration has errors; nothing was started\n{errors}"))
    }

    /// The use cases, on the configured database.
    async fn broker(&self) -> Result<Arc<Broker>> {
        let config = self.config()?;
        log_to_stderr(Format::Text, LevelFilter::WARN);
        Ok(open_broker(&config, &Environment::of_this_machine()).await?)
    }
}

/// Sends log lines to the standard error output. A subscriber that was set before stays.
fn log_to_stderr(format: Format, level: LevelFilter) {
    let _ = tracing::dispatcher::set_global_default(telemetry::subscriber(format, level, io::stderr));
}

/// Prints a line. A reader that has gone away is not an error. If a line cannot be written, for example to a full disk,
/// the command fails, because its output is lost.
fn say(line: &str) {
    if let Err(error) = writeln!(io::stdout(), "{line}")
        && error.kind() != io::ErrorKind::BrokenPipe
    {
        let _ = writeln!(io::stderr(), "countersign: the output cannot be written: {error}");
        std::process::exit(1);
    }
}

/// Resolves when the process is asked to stop: Ctrl-C or SIGTERM.
async fn asked_to_stop() {
    use tokio::signal::unix::{SignalKind, signal};
    let Ok(mut terminate) = signal(SignalKind::terminate()) else {
        let _ = tokio::signal::ctrl_c().await;
        return;
    };
    tokio::select! {
        _ = terminate.recv() => {}
        _ = tokio::signal::ctrl_c() => {}
    }
}

/// Reads a whole file, naming it in the error.
fn read_file(path: &std::path::Path) -> Result<String> {
    std::fs::read_to_string(path).with_context(|| format!("{} cannot be read", path.display()))
}
