//! The load bench: whole flows over TLS against a running broker, in a closed loop, every answer checked.
//!
//! ```text
//! cargo bench --bench load -- brokered client-credentials --seconds 10 --runs 5
//! ```
//!
//! It starts the broker itself (`countersign serve`), pinned to one core; itself, with the identity provider that
//! approves at once, it pins to another. Each run prints one line of JSON. `docs/performance.md` says how to read it.
//!
//! Here live the arguments and the order of things: [`world`] starts and fills a broker, [`idp`] is the provider,
//! [`agent`] the client, [`scenario`] what one iteration does, [`drive`] the loop and its figures, [`special`] what
//! is no plain loop, [`hostile`] the worst that one address can send, [`timing`] what the time of a refusal tells, [`bare`] the bare limits, [`measure`] clocks and counters of processes.
#![allow(
    clippy::cast_possible_truncation,
    clippy::cast_precision_loss,
    clippy::cast_sign_loss,
    clippy::print_stdout,
    clippy::print_stderr
)]

mod agent;
mod bare;
mod drive;
mod hostile;
mod idp;
mod measure;
mod populate;
mod scenario;
mod special;
mod timing;
mod world;

use std::path::PathBuf;
use std::rc::Rc;

use anyhow::{Context, Result, bail};
use clap::{Parser, ValueEnum};

use bare::Child;
use scenario::Scenario;
use world::World;

/// Loads a broker and says how it bore it: one line of JSON a run.
#[derive(Debug, Clone, Parser)]
#[expect(clippy::struct_excessive_bools, reason = "each is a switch of the command line")]
#[command(name = "load", args_override_self = true)]
struct Arguments {
    /// What to run, in this order; nothing runs every plain scenario.
    #[arg(value_enum)]
    workloads: Vec<Workload>,
    /// `sqlite`, or the address of a PostgreSQL server, on which a database is made and dropped:
    /// `postgres://USER@HOST:PORT/postgres`.
    #[arg(long, default_value = "sqlite")]
    database: String,
    /// First fill the database with 100,000 organizations, connections and domains, and a million accounts.
    #[arg(long)]
    populate: bool,
    /// How many profiles each of the thousand accounts has that `brokered` signs in to, each of another provider. With one
    /// they are made by their first sign-in; from two on they are there before, with a password as the first.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u8).range(1..=25))]
    profiles: u8,
    /// Over how many organizations the requests go, with ten accounts each.
    #[arg(long, default_value_t = world::BASE_ORGANIZATIONS)]
    spread: usize,
    /// How long a run is measured.
    #[arg(long, default_value_t = 10.0)]
    seconds: f64,
    /// How long it runs before that.
    #[arg(long, default_value_t = 3.0)]
    warmup: f64,
    /// Clients at once.
    #[arg(long, default_value_t = 32)]
    concurrency: usize,
    /// How often each; the last line is then the median run.
    #[arg(long, default_value_t = 1)]
    runs: usize,
    /// A new TLS connection for each iteration.
    #[arg(long)]
    new_connections: bool,
    /// How the broker signs ID tokens.
    #[arg(long, value_enum, default_value_t = IdToken::Es256)]
    id_token: IdToken,
    /// With two, the broker asks the provider's userinfo besides.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u8).range(1..=2))]
    upstream_calls: u8,
    /// The provider has an end-session endpoint and sessions with names, so that the broker keeps its ID tokens as hints.
    #[arg(long)]
    end_session: bool,
    /// `full` or `normal`: how safely `SQLite` writes. Figures are taken with `full`.
    #[arg(long, default_value = "full")]
    synchronous: String,
    /// Requests of `memory`.
    #[arg(long, default_value_t = 1_000_000)]
    requests: usize,
    /// Wrong client secrets that `timing` tries.
    #[arg(long, default_value_t = 2_000)]
    samples: usize,
    /// Rows of a Markdown table instead of JSON; of several runs the median alone.
    #[arg(long)]
    markdown: bool,
    /// The core of the server, as `taskset -c` takes it. Several, with `;` between them, make as many nodes on one
    /// database.
    #[arg(long, default_value = "0")]
    server_core: String,
    /// The core of driver and provider.
    #[arg(long, default_value = "1")]
    driver_core: String,
    /// The broker's program; without it, the one that cargo built beside this bench.
    #[arg(long)]
    server: Option<PathBuf>,
    /// Where certificates, database and log go, and stay; without it, a folder that goes.
    #[arg(long)]
    folder: Option<PathBuf>,
    /// What cargo passes.
    #[arg(long, hide = true)]
    bench: bool,
    /// Be one of the bare programs.
    #[arg(long, hide = true)]
    bare_child: Option<Child>,
}

/// How the broker signs ID tokens.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum IdToken {
    /// ECDSA on P-256.
    Es256,
    /// RSA with 2,048 bits, the default of OpenID Connect.
    Rs256,
}

impl IdToken {
    const fn name(self) -> &'static str {
        match self {
            Self::Es256 => "ES256",
            Self::Rs256 => "RS256",
        }
    }
}

/// What can be run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Workload {
    /// Whole sign-ins through the provider: authorize, callback, code exchange.
    Brokered,
    /// Whole sign-ins by password: authorize, page, password, code exchange.
    Password,
    /// Access tokens for an app itself.
    ClientCredentials,
    /// Codes for tokens; the codes are made between the measured stretches.
    CodeExchange,
    /// Rotation of refresh tokens.
    Refresh,
    /// Introspection of signed access tokens.
    IntrospectJwt,
    /// Introspection of opaque (refresh) tokens.
    IntrospectOpaque,
    /// Authorize until the redirect to the provider.
    DomainLookup,
    /// The published keys.
    Jwks,
    /// TLS handshakes alone.
    Handshake,
    /// The bare limit of `password`: Argon2id at the same cost, on the server's core.
    BareArgon2,
    /// The bare limit of `handshake`: rustls alone, on the server's core.
    BareHandshake,
    /// Token, keys and redirect, paced, while 500 clients sign in by password.
    Mixed,
    /// Brokered sign-ins, paced: alone, then beside a provider that hangs and 500 clients that sign in by password.
    Bulkhead,
    /// Token, keys and redirect, paced, alone and beside 5,000 connections that send a request a byte a second.
    Slow,
    /// Token, keys and redirect, paced, alone and beside one address that sends the worst inputs and 500 connections that
    /// take no answers.
    Worst,
    /// Whether the time of a refusal tells a wrong secret from a less wrong one, or a name from none.
    Timing,
    /// Resident memory, idle and with 10,000 idle TLS connections.
    Idle,
    /// Resident memory after a hundredth of `--requests`, and after all of them.
    Memory,
    /// How long statements of SQLite hold the thread of a request, in sign-ins, look-ups and rotations; with --populate.
    Stall,
    /// From the start of the program to ready.
    Start,
}

impl Workload {
    const PLAIN: [Self; 12] = [
        Self::DomainLookup,
        Self::ClientCredentials,
        Self::CodeExchange,
        Self::Refresh,
        Self::IntrospectJwt,
        Self::IntrospectOpaque,
        Self::Jwks,
        Self::Brokered,
        Self::Password,
        Self::BareArgon2,
        Self::Handshake,
        Self::BareHandshake,
    ];

    const fn scenario(self) -> Option<Scenario> {
        Some(match self {
            Self::Brokered => Scenario::Brokered,
            Self::Password => Scenario::Password,
            Self::ClientCredentials => Scenario::ClientCredentials,
            Self::CodeExchange => Scenario::CodeExchange,
            Self::Refresh => Scenario::Refresh,
            Self::IntrospectJwt => Scenario::IntrospectJwt,
            Self::IntrospectOpaque => Scenario::IntrospectOpaque,
            Self::DomainLookup => Scenario::DomainLookup,
            Self::Jwks => Scenario::Jwks,
            Self::Handshake => Scenario::Handshake,
            _ => return None,
        })
    }
}

fn main() -> Result<()> {
    let arguments = Arguments::parse();
    if let Some(child) = arguments.bare_child {
        return bare::be(child, &arguments);
    }
    if arguments.server_core.contains(';') && arguments.database == "sqlite" {
        bail!("several nodes need --database postgres://…");
    }
    if arguments.concurrency == 0 || arguments.spread == 0 || arguments.runs == 0 {
        bail!("--concurrency, --spread and --runs are at least 1");
    }
    measure::pin_this_process(&arguments.driver_core)?;
    measure::raise_limit_of_files()?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    tokio::task::LocalSet::new().block_on(&runtime, run(&arguments))
}

async fn run(arguments: &Arguments) -> Result<()> {
    let world = Rc::new(World::start(arguments).await.context("the broker does not start")?);
    let workloads = match arguments.workloads.as_slice() {
        [] => &Workload::PLAIN,
        chosen => chosen,
    };
    let mut outcome = Ok(());
    for workload in workloads {
        outcome = workload_runs(*workload, arguments, &world).await;
        if outcome.is_err() {
            break;
        }
    }
    world.stop().await?;
    outcome
}

async fn workload_runs(workload: Workload, arguments: &Arguments, world: &Rc<World>) -> Result<()> {
    let mut lines = Vec::new();
    for run in 1..=arguments.runs {
        let made = match (workload, workload.scenario()) {
            (_, Some(scenario)) => vec![drive::run(scenario, arguments, world).await?],
            (Workload::BareArgon2, _) => vec![bare::argon2(arguments)?],
            (Workload::BareHandshake, _) => vec![bare::handshake(arguments, world).await?],
            (Workload::Mixed, _) => special::mixed(arguments, world).await?,
            (Workload::Bulkhead, _) => special::bulkhead(arguments, world).await?,
            (Workload::Slow, _) => special::slow(arguments, world).await?,
            (Workload::Worst, _) => hostile::worst(arguments, world).await?,
            (Workload::Timing, _) => {
                let mut lines = timing::names(world).await?;
                lines.extend(timing::secrets(arguments, world).await?);
                lines
            }
            (Workload::Idle, _) => special::idle(world).await?,
            (Workload::Memory, _) => special::memory(arguments, world).await?,
            (Workload::Stall, _) => special::stall(arguments, world).await?,
            _ => vec![special::start(world)?],
        };
        for mut line in made {
            line.run = run;
            if !arguments.markdown || arguments.runs == 1 {
                line.print(arguments, "run");
            }
            lines.push(line);
        }
    }
    if arguments.runs > 1 {
        drive::print_medians(lines, arguments);
    }
    Ok(())
}
