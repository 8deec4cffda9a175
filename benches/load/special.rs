//! The measurements that are not a plain loop: other clients under load, memory, the start.

use std::cell::Cell;
use std::rc::Rc;
use std::time::{Duration, Instant};

use anyhow::Result;
use serde_json::Map;
use tokio::io::AsyncWriteExt as _;
use tokio::task::{JoinHandle, spawn_local};

use crate::Arguments;
use crate::agent::Agent;
use crate::drive::{Gathered, Line};
use crate::scenario::{Client, Done, Scenario};
use crate::world::World;

/// Clients that sign in by password at once.
const CROWD: usize = 500;

/// Clients that come through the provider that hangs.
const STUCK: usize = 50;

/// Between two requests of a probe.
pub const PACE: Duration = Duration::from_millis(10);

/// Idle connections.
const IDLE: usize = 10_000;

/// Connections that are slow, and what they send.
const SLOW: usize = 5_000;
const SLOW_REQUEST: &[u8] = b"GET /oauth2/jwks HTTP/1.1\r\nhost: id.test\r\nx-slow: ";

/// Handshakes at once while they are opened.
const OPENING: usize = 64;

/// Token, keys and redirect, a hundred a second each, while a crowd signs in by password.
pub async fn mixed(arguments: &Arguments, world: &Rc<World>) -> Result<Vec<Line>> {
    let probes = [Scenario::ClientCredentials, Scenario::Jwks, Scenario::DomainLookup];
    let quiet = probed("mixed-quiet", &probes, PACE, arguments, world).await?;
    let crowd = Crowd::begin(Scenario::Password, CROWD, world)?;
    tokio::time::sleep(Duration::from_secs_f64(arguments.warmup)).await;
    crowd.gathered.latencies.borrow_mut().clear();
    crowd.gathered.busy.set(0);
    let mut lines = probed("mixed", &probes, PACE, arguments, world).await?;
    lines.extend(quiet);
    lines.push(crowd.end("mixed-password", arguments.seconds).await);
    Ok(lines)
}

/// Brokered sign-ins of one organization, twenty a second: alone, and beside a provider that hangs and a crowd that
/// signs in by password.
pub async fn bulkhead(arguments: &Arguments, world: &Rc<World>) -> Result<Vec<Line>> {
    let (probes, pace) = ([Scenario::Brokered], PACE * 5);
    let mut lines = probed("bulkhead-quiet", &probes, pace, arguments, world).await?;
    let stuck = Crowd::begin(Scenario::Hanging, STUCK, world)?;
    let crowd = Crowd::begin(Scenario::Password, CROWD, world)?;
    tokio::time::sleep(Duration::from_secs_f64(arguments.warmup)).await;
    let loaded = probed("bulkhead-loaded", &probes, pace, arguments, world).await?;
    let loaded = against_quiet(loaded, &lines);
    lines.extend(loaded);
    let span = arguments.seconds + arguments.warmup;
    lines.push(crowd.end("bulkhead-password", span).await);
    lines.push(stuck.end("bulkhead-hanging", span).await);
    Ok(lines)
}

/// Token, keys and redirect, a hundred a second each: alone, and beside connections that send a request a byte a
/// second, each of which comes again when the broker has ended it.
pub async fn slow(arguments: &Arguments, world: &Rc<World>) -> Result<Vec<Line>> {
    let probes = [Scenario::ClientCredentials, Scenario::Jwks, Scenario::DomainLookup];
    let quiet = probed("slow-quiet", &probes, PACE, arguments, world).await?;
    let (stopped, opened) = (Rc::new(Cell::new(false)), Rc::new(Cell::new(0)));
    let mut tasks = Vec::new();
    for number in 0..SLOW {
        let mut agent = Agent::new(world.target(number)?, number);
        let (stopped, opened) = (Rc::clone(&stopped), Rc::clone(&opened));
        tasks.push(spawn_local(async move {
            // The handshakes are not all made at once, because this measures the waiting connections.
            tokio::time::sleep(PACE.mul_f64(number as f64 / 10.0)).await;
            while !stopped.get() {
                let Ok(mut stream) = agent.handshake().await else { continue };
                opened.set(opened.get() + 1);
                for byte in SLOW_REQUEST.iter().cycle() {
                    if stopped.get()
                        || stream.write_all(&[*byte]).await.is_err()
                        || stream.flush().await.is_err()
                    {
                        break;
                    }
                    tokio::time::sleep(Duration::from_secs(1)).await;
                }
            }
        }));
    }
    // Until all have begun.
    tokio::time::sleep(PACE.mul_f64(SLOW as f64 / 10.0) + Duration::from_secs_f64(arguments.warmup)).await;
    let mut lines = against_quiet(probed("slow", &probes, PACE, arguments, world).await?, &quiet);
    for line in &mut lines {
        line.more.insert("slow_connections".to_owned(), opened.get().into());
    }
    lines.extend(quiet);
    stopped.set(true);
    for task in tasks {
        task.await?;
    }
    Ok(lines)
}

/// Adds how many times as long the slowest hundredth took as in the quiet run.
pub fn against_quiet(loaded: Vec<Line>, quiet: &[Line]) -> Vec<Line> {
    let compare = |(mut line, quiet): (Line, &Line)| {
        let ratio = line.percentile(0.99) / quiet.percentile(0.99).max(1e-9);
        line.more.insert("p99_against_quiet".to_owned(), ((ratio * 100.0).round() / 100.0).into());
        line
    };
    loaded.into_iter().zip(quiet).map(compare).collect()
}

/// Clients that do the same thing until they are stopped; whom the broker tells to come back later (429) does so when it
/// says, and who hangs (503) a second later.
struct Crowd {
    gathered: Rc<Gathered>,
    stopped: Rc<Cell<bool>>,
    tasks: Vec<JoinHandle<()>>,
}

impl Crowd {
    fn begin(scenario: Scenario, count: usize, world: &Rc<World>) -> Result<Self> {
        let (gathered, stopped) = (Rc::new(Gathered::default()), Rc::new(Cell::new(false)));
        let mut tasks = Vec::new();
        for number in 0..count {
            let mut client = Client::new(world, number, count)?;
            let (world, gathered, stopped) = (Rc::clone(world), Rc::clone(&gathered), Rc::clone(&stopped));
            tasks.push(spawn_local(async move {
                while !stopped.get() {
                    let done = client.measured(scenario, &world, &gathered).await;
                    let pause = match done {
                        Some(Done::Busy(pause)) => pause,
                        _ if scenario == Scenario::Hanging => Duration::from_secs(1),
                        _ => continue,
                    };
                    tokio::time::sleep(pause).await;
                }
            }));
        }
        Ok(Self { gathered, stopped, tasks })
    }

    async fn end(self, name: &str, seconds: f64) -> Line {
        let line = self.gathered.line(name, seconds, 0.0, 0.0);
        self.stopped.set(true);
        for task in self.tasks {
            // A client that failed has already reported it.
            let _ = task.await;
        }
        line
    }
}

/// Each of these scenarios by one client a connection, paced; latency counts from when a request was due, so that a
/// broker that stalls is not asked less.
pub async fn probed(
    name: &str,
    probes: &[Scenario],
    pace: Duration,
    arguments: &Arguments,
    world: &Rc<World>,
) -> Result<Vec<Line>> {
    let mut running = Vec::new();
    for (at, scenario) in probes.iter().enumerate() {
        let gathered = Rc::new(Gathered::default());
        let task = spawn_local(paced(
            *scenario,
            at,
            pace,
            arguments.seconds,
            Rc::clone(world),
            Rc::clone(&gathered),
        ));
        running.push((*scenario, gathered, task));
    }
    let (began, cpu) = (Instant::now(), world.cpu_seconds()?);
    let mut lines = Vec::new();
    for (scenario, gathered, task) in running {
        task.await??;
        let cpu = world.cpu_seconds()? - cpu;
        let resident = world.resident_mib()?;
        let full = format!("{name}-{}", scenario.name());
        lines.push(gathered.line(&full, began.elapsed().as_secs_f64(), cpu, resident));
    }
    Ok(lines)
}

async fn paced(
    scenario: Scenario,
    at: usize,
    pace: Duration,
    seconds: f64,
    world: Rc<World>,
    gathered: Rc<Gathered>,
) -> Result<()> {
    // As many connections as may be busy at once before the pace is lost: a second's worth.
    let lanes = (1.0 / pace.as_secs_f64()).ceil() as usize;
    let mut tasks = Vec::new();
    let begin = Instant::now() + Duration::from_millis(200);
    for lane in 0..lanes {
        let mut client = Client::new(&world, at * lanes + lane, lanes)?;
        client.iterate(scenario, &world).await?;
        let (world, gathered) = (Rc::clone(&world), Rc::clone(&gathered));
        tasks.push(spawn_local(async move {
            let mut due = begin + pace * u32::try_from(lane).unwrap_or_default();
            while due.duration_since(begin).as_secs_f64() < seconds {
                tokio::time::sleep_until(due.into()).await;
                let outcome = client.iterate(scenario, &world).await;
                gathered.note(scenario.name(), &outcome, due.elapsed());
                due += pace * u32::try_from(lanes).unwrap_or(1);
            }
        }));
    }
    for task in tasks {
        task.await?;
    }
    Ok(())
}

/// Resident memory after the start, and with many idle TLS connections.
pub async fn idle(world: &Rc<World>) -> Result<Vec<Line>> {
    world.end()?;
    world.begin()?;
    tokio::time::sleep(Duration::from_secs(1)).await;
    let before = Gathered::default().line("idle", 0.0, 0.0, world.resident_mib()?);
    let (began, cpu) = (Instant::now(), world.cpu_seconds()?);
    let mut tasks = Vec::new();
    for opener in 0..OPENING {
        let target = world.target(opener)?;
        tasks.push(spawn_local(async move {
            let mut open = Vec::new();
            for number in (opener..IDLE).step_by(OPENING) {
                open.push(Agent::new(target.clone(), number).handshake().await?);
            }
            anyhow::Ok(open)
        }));
    }
    let mut open = Vec::new();
    for task in tasks {
        open.extend(task.await??);
    }
    let cpu = world.cpu_seconds()? - cpu;
    let resident = world.resident_mib()?;
    let mut after =
        Gathered::default().line("idle-connections", began.elapsed().as_secs_f64(), cpu, resident);
    after.iterations = open.len();
    Ok(vec![before, after])
}

/// What a node answers in passing while its memory is watched: reads, caches, a signature, a write.
const MIXTURE: [Scenario; 8] = [
    Scenario::DomainLookup,
    Scenario::IntrospectJwt,
    Scenario::Jwks,
    Scenario::IntrospectOpaque,
    Scenario::DomainLookup,
    Scenario::IntrospectJwt,
    Scenario::Jwks,
    Scenario::ClientCredentials,
];

/// Resident memory after a hundredth of `requests`, and after all of them.
pub async fn memory(arguments: &Arguments, world: &Rc<World>) -> Result<Vec<Line>> {
    world.end()?;
    world.begin()?;
    let count = arguments.concurrency;
    let mut clients = Vec::new();
    for number in 0..count {
        let mut client = Client::new(world, number, count)?;
        client.prepare(Scenario::Refresh, world).await?;
        clients.push(client);
    }
    let mut lines = Vec::new();
    for (name, requests) in [
        ("memory-early", arguments.requests / 100),
        ("memory-late", arguments.requests - arguments.requests / 100),
    ] {
        let (began, cpu) = (Instant::now(), world.cpu_seconds()?);
        let gathered = Rc::new(Gathered::default());
        let mut tasks = Vec::new();
        for mut client in clients {
            let (world, gathered) = (Rc::clone(world), Rc::clone(&gathered));
            tasks.push(spawn_local(async move {
                for scenario in MIXTURE.iter().cycle().take(requests.div_ceil(count)) {
                    client.measured(*scenario, &world, &gathered).await;
                }
                client
            }));
        }
        clients = Vec::new();
        for task in tasks {
            clients.push(task.await?);
        }
        let cpu = world.cpu_seconds()? - cpu;
        lines.push(gathered.line(name, began.elapsed().as_secs_f64(), cpu, world.resident_mib()?));
    }
    Ok(lines)
}

/// Plain loops, with how long the statements of `SQLite` held the thread of a request meanwhile.
pub async fn stall(arguments: &Arguments, world: &Rc<World>) -> Result<Vec<Line>> {
    let scenarios = [
        Scenario::Brokered,
        Scenario::Password,
        Scenario::DomainLookup,
        Scenario::Refresh,
        Scenario::IntrospectOpaque,
    ];
    let mut lines = Vec::new();
    for scenario in scenarios {
        let before = world.statement_seconds()?;
        let mut line = crate::drive::run(scenario, arguments, world).await?;
        let after = world.statement_seconds()?;
        let counts: Vec<(f64, u64)> =
            after.iter().zip(&before).map(|((bound, after), (_, before))| (*bound, after - before)).collect();
        let all = counts.last().map_or(0, |(_, count)| *count);
        let within = |part: f64| counts.iter().find(|(_, count)| *count as f64 >= all as f64 * part);
        let milliseconds = |part| within(part).map_or(0.0, |(bound, _)| bound * 1_000.0);
        line.name = format!("stall-{}", line.name);
        line.more.insert("statements".to_owned(), all.into());
        for (name, part) in
            [("held_p50_ms", 0.5), ("held_p99_ms", 0.99), ("held_p999_ms", 0.999), ("held_p9999_ms", 0.999_9)]
        {
            line.more.insert(format!("{name}_at_most"), milliseconds(part).into());
        }
        lines.push(line);
    }
    Ok(lines)
}

/// From the start of the program to ready, on a database that is migrated.
pub fn start(world: &Rc<World>) -> Result<Line> {
    world.end()?;
    let took = world.begin()?;
    let cpu = world.cpu_seconds()?;
    let mut line = Gathered::default().line("start", took.as_secs_f64(), cpu, world.resident_mib()?);
    line.latencies = vec![u32::try_from(took.as_micros())?];
    line.iterations = 1;
    line.more =
        Map::from_iter([("ready_after_ms".to_owned(), (took.as_secs_f64() * 1_000.0).round().into())]);
    Ok(line)
}
