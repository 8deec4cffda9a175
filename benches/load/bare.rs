//! The bare limits: the speed of the machine at this moment without the broker. Each runs as a program of its own on
//! the server's core, so that a row and its limit have the same noise.

use std::io::{BufRead as _, BufReader};
use std::net::SocketAddr;
use std::process::{Command, Stdio};
use std::rc::Rc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use argon2::{Algorithm, Argon2, Block, Params, Version};
use clap::ValueEnum;
use serde_json::Map;
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

use crate::agent::{Agent, Target};
use crate::drive::{Gathered, Line};
use crate::scenario::Done;
use crate::world::{PASSWORD, World, server_config};
use crate::{Arguments, measure};

/// The bare programs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Child {
    /// Hashes for the measured time, then prints how often and how long.
    Argon2,
    /// Accepts handshakes until it is killed.
    Handshake,
}

/// The cost of the broker's hashes (OWASP: 19 MiB, two passes, one lane).
fn cost() -> Result<Params> {
    Params::new(19 * 1_024, 2, 1, None).map_err(|error| anyhow::anyhow!("{error}"))
}

/// Runs one of the bare programs.
pub fn be(child: Child, arguments: &Arguments) -> Result<()> {
    match child {
        Child::Argon2 => be_argon2(arguments.seconds),
        Child::Handshake => {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
            tokio::task::LocalSet::new().block_on(&runtime, be_handshake(arguments))
        }
    }
}

fn be_argon2(seconds: f64) -> Result<()> {
    let argon2 = Argon2::new(Algorithm::Argon2id, Version::V0x13, cost()?);
    let mut memory = vec![Block::default(); cost()?.block_count()];
    let mut hash = || {
        let mut out = [0; 32];
        let salt = b"0123456789abcdef";
        argon2.hash_password_into_with_memory(PASSWORD.as_bytes(), salt, &mut out, memory.as_mut_slice())
    };
    hash().map_err(|error| anyhow::anyhow!("{error}"))?;
    let (began, cpu) = (Instant::now(), measure::cpu_seconds(std::process::id())?);
    let mut hashes = 0;
    while began.elapsed().as_secs_f64() < seconds {
        hash().map_err(|error| anyhow::anyhow!("{error}"))?;
        hashes += 1;
    }
    let cpu = measure::cpu_seconds(std::process::id())? - cpu;
    println!("{hashes} {} {cpu}", began.elapsed().as_secs_f64());
    Ok(())
}

async fn be_handshake(arguments: &Arguments) -> Result<()> {
    let folder = arguments.folder.as_deref().context("--folder names the certificate's")?;
    let acceptor =
        TlsAcceptor::from(server_config(&folder.join("default.crt"), &folder.join("default.key"))?);
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    println!("{}", listener.local_addr()?);
    loop {
        let (stream, _) = listener.accept().await?;
        let acceptor = acceptor.clone();
        tokio::task::spawn_local(async move {
            let _ = stream.set_nodelay(true);
            if let Ok(mut stream) = acceptor.accept(stream).await {
                // Until the client ends it.
                let _ = tokio::io::copy(&mut stream, &mut tokio::io::sink()).await;
            }
        });
    }
}

fn child(arguments: &Arguments, name: &str) -> Result<Command> {
    let core = arguments.server_core.split(';').next().unwrap_or_default();
    let mut command = measure::on_cores(core, &std::env::current_exe()?)?;
    command.args(["--bare-child", name, "--seconds", &arguments.seconds.to_string()]);
    command.stdout(Stdio::piped());
    Ok(command)
}

/// Argon2id alone, one hash after the other.
pub fn argon2(arguments: &Arguments) -> Result<Line> {
    let output = child(arguments, "argon2")?.output()?;
    let text = String::from_utf8_lossy(&output.stdout);
    let numbers: Vec<f64> = text.split_ascii_whitespace().filter_map(|word| word.parse().ok()).collect();
    let &[hashes, seconds, cpu_seconds] = numbers.as_slice() else { anyhow::bail!("no figures: {text}") };
    let each = Duration::from_secs_f64(seconds / hashes.max(1.0)).as_micros();
    Ok(Line {
        name: "bare-argon2".to_owned(),
        run: 1,
        iterations: hashes as usize,
        errors: 0,
        busy: 0,
        seconds,
        cpu_seconds,
        resident_mib: 0.0,
        latencies: vec![u32::try_from(each)?],
        more: Map::new(),
    })
}

/// TLS handshakes with rustls alone, by the same clients.
pub async fn handshake(arguments: &Arguments, world: &World) -> Result<Line> {
    let folder = world.server_tls.0.parent().context("a certificate in no folder")?;
    let mut server = child(arguments, "handshake")?.arg("--folder").arg(folder).spawn()?;
    let mut line = String::new();
    BufReader::new(server.stdout.take().context("no output")?).read_line(&mut line)?;
    let address: SocketAddr = line.trim().parse().context("the bare server does not start")?;
    let (gathered, warm) = (Rc::new(Gathered::default()), Rc::new(Gathered::default()));
    let target = Target { address, ..world.target(0)? };
    shake(arguments, &target, arguments.warmup, &warm).await?;
    let (began, cpu) = (Instant::now(), measure::cpu_seconds(server.id())?);
    shake(arguments, &target, arguments.seconds, &gathered).await?;
    let cpu = measure::cpu_seconds(server.id())? - cpu;
    let resident = measure::resident_mib(server.id())?;
    server.kill()?;
    server.wait()?;
    Ok(gathered.line("bare-handshake", began.elapsed().as_secs_f64(), cpu, resident))
}

async fn shake(arguments: &Arguments, target: &Target, seconds: f64, gathered: &Rc<Gathered>) -> Result<()> {
    let end = Instant::now() + Duration::from_secs_f64(seconds);
    let start = |number| {
        let (mut agent, gathered) = (Agent::new(target.clone(), number), Rc::clone(gathered));
        tokio::task::spawn_local(async move {
            while Instant::now() < end {
                let began = Instant::now();
                let outcome = agent.handshake().await.map(|_| Done::Well);
                gathered.note("bare-handshake", &outcome, began.elapsed());
            }
        })
    };
    for task in (0..arguments.concurrency).map(start).collect::<Vec<_>>() {
        task.await?;
    }
    Ok(())
}
