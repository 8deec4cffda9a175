//! The closed loop, and the report on it.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::{Duration, Instant};

use anyhow::Result;
use serde_json::{Map, Value, json};
use tokio::task::spawn_local;

use crate::Arguments;
use crate::scenario::{Client, Done, Scenario};
use crate::world::World;

/// The figures of a run.
#[derive(Debug, Clone)]
pub struct Line {
    pub name: String,
    pub run: usize,
    /// Whole iterations.
    pub iterations: usize,
    pub errors: usize,
    /// How often the broker asked to come back later.
    pub busy: usize,
    pub seconds: f64,
    /// The server's time, in seconds.
    pub cpu_seconds: f64,
    pub resident_mib: f64,
    /// In microseconds, sorted.
    pub latencies: Vec<u32>,
    pub more: Map<String, Value>,
}

impl Line {
    /// Iterations per second.
    pub fn rate(&self) -> f64 {
        self.iterations as f64 / self.seconds.max(1e-9)
    }

    /// A percentile in milliseconds.
    pub fn percentile(&self, part: f64) -> f64 {
        let at = (self.latencies.len() as f64 * part) as usize;
        let value = self.latencies.get(at.min(self.latencies.len().saturating_sub(1)));
        f64::from(value.copied().unwrap_or_default()) / 1_000.0
    }

    /// Prints it as a row of a table: scenario, rate, rate per second of the server's time, p50, p99, resident memory,
    /// errors, busy, and further figures.
    fn print_row(&self) {
        let more: Vec<String> = self.more.iter().map(|(name, value)| format!("{name} {value}")).collect();
        println!(
            "| `{}` | {} | {} | {} ms | {} ms | {} MiB | {} | {} | {} |",
            self.name,
            round(self.rate()),
            round(self.rate_of_cpu()),
            round(self.percentile(0.5)),
            round(self.percentile(0.99)),
            round(self.resident_mib),
            self.errors,
            self.busy,
            more.join(", "),
        );
    }

    /// Iterations per second of the server's time; zero if that was not measured.
    fn rate_of_cpu(&self) -> f64 {
        if self.cpu_seconds > 0.0 { self.iterations as f64 / self.cpu_seconds } else { 0.0 }
    }

    /// Prints it as one line of JSON, or as a row.
    pub fn print(&self, arguments: &Arguments, kind: &str) {
        if arguments.markdown {
            return self.print_row();
        }
        let database = if arguments.database == "sqlite" { "sqlite" } else { "postgres" };
        let mut line = json!({
            "scenario": self.name,
            kind: self.run,
            "database": database,
            "rate": round(self.rate()),
            "rate_per_server_cpu_second": round(self.rate_of_cpu()),
            "p50_ms": round(self.percentile(0.5)),
            "p95_ms": round(self.percentile(0.95)),
            "p99_ms": round(self.percentile(0.99)),
            "iterations": self.iterations,
            "errors": self.errors,
            "busy": self.busy,
            "seconds": round(self.seconds),
            "server_cpu_seconds": round(self.cpu_seconds),
            "server_rss_mib": round(self.resident_mib),
            "concurrency": arguments.concurrency,
            "new_connections": arguments.new_connections,
            "id_token": arguments.id_token.name(),
            "upstream_calls": arguments.upstream_calls,
            "populated": arguments.populate,
            "spread": arguments.spread,
            "nodes": arguments.server_core.split(';').count(),
        });
        if let Some(object) = line.as_object_mut() {
            object.extend(self.more.clone());
        }
        println!("{line}");
    }
}

fn round(value: f64) -> f64 {
    let steps = if value < 10.0 { 1_000.0 } else { 10.0 };
    (value * steps).round() / steps
}

/// Prints the median run, by rate, of each name.
pub fn print_medians(mut lines: Vec<Line>, arguments: &Arguments) {
    lines.sort_by(|left, right| left.name.cmp(&right.name).then(left.rate().total_cmp(&right.rate())));
    for group in lines.chunk_by(|left, right| left.name == right.name) {
        if let Some(median) = group.get(group.len() / 2) {
            median.print(arguments, "median_run");
        }
    }
}

/// The figures that the clients of a loop gather together.
#[derive(Default)]
pub struct Gathered {
    pub latencies: RefCell<Vec<u32>>,
    pub errors: Cell<usize>,
    pub busy: Cell<usize>,
    pub told: Cell<bool>,
}

impl Gathered {
    /// Records one iteration, and prints the first failure.
    pub fn note(&self, name: &str, outcome: &Result<Done>, took: Duration) {
        match outcome {
            Ok(Done::Well) => {
                self.latencies.borrow_mut().push(u32::try_from(took.as_micros()).unwrap_or(u32::MAX));
            }
            Ok(Done::Busy(_)) => self.busy.set(self.busy.get() + 1),
            Ok(Done::Exhausted) => {}
            Err(error) => {
                self.errors.set(self.errors.get() + 1);
                if !self.told.replace(true) {
                    eprintln!("{name}: the first failure: {error:#}");
                }
            }
        }
    }

    /// The figures, after so long and so much of the server's time.
    pub fn line(&self, name: &str, seconds: f64, cpu_seconds: f64, resident_mib: f64) -> Line {
        let mut latencies = self.latencies.take();
        latencies.sort_unstable();
        Line {
            name: name.to_owned(),
            run: 1,
            iterations: latencies.len(),
            errors: self.errors.get(),
            busy: self.busy.get(),
            seconds,
            cpu_seconds,
            resident_mib,
            latencies,
            more: Map::new(),
        }
    }
}

/// Runs a plain scenario: warm-up, then the measured stretches.
pub async fn run(scenario: Scenario, arguments: &Arguments, world: &Rc<World>) -> Result<Line> {
    let count = arguments.concurrency;
    let clients = (0..count).map(|number| Client::new(world, number, count)).collect::<Result<_>>()?;
    let anew = arguments.new_connections;
    let mut clients = prepared(scenario, world, clients).await?;
    let warmup = Duration::from_secs_f64(arguments.warmup);
    clients = stretch(scenario, world, clients, warmup, anew, &Rc::default()).await?;
    let gathered = Rc::new(Gathered::default());
    let (mut seconds, mut cpu_seconds) = (0.0, 0.0);
    while seconds < arguments.seconds {
        clients = prepared(scenario, world, clients).await?;
        let left = Duration::from_secs_f64(arguments.seconds - seconds);
        let (began, cpu) = (Instant::now(), world.cpu_seconds()?);
        clients = stretch(scenario, world, clients, left, anew, &gathered).await?;
        seconds += began.elapsed().as_secs_f64();
        cpu_seconds += world.cpu_seconds()? - cpu;
        if !scenario.has_stretches() {
            break;
        }
    }
    Ok(gathered.line(scenario.name(), seconds, cpu_seconds, world.resident_mib()?))
}

/// All clients, with the data that their iterations need.
async fn prepared(scenario: Scenario, world: &Rc<World>, clients: Vec<Client>) -> Result<Vec<Client>> {
    let prepare = |mut client: Client| {
        let world = Rc::clone(world);
        spawn_local(async move { client.prepare(scenario, &world).await.map(|()| client) })
    };
    let mut ready = Vec::new();
    for task in clients.into_iter().map(prepare).collect::<Vec<_>>() {
        ready.push(task.await??);
    }
    Ok(ready)
}

/// Runs all clients at once, until the time is over or the prepared data is used up.
async fn stretch(
    scenario: Scenario,
    world: &Rc<World>,
    clients: Vec<Client>,
    time: Duration,
    anew: bool,
    gathered: &Rc<Gathered>,
) -> Result<Vec<Client>> {
    let end = Instant::now() + time;
    let start = |mut client: Client| {
        let (world, gathered) = (Rc::clone(world), Rc::clone(gathered));
        spawn_local(async move {
            while Instant::now() < end {
                if anew {
                    client.agent.disconnect();
                }
                if client.measured(scenario, &world, &gathered).await == Some(Done::Exhausted) {
                    break;
                }
            }
            client
        })
    };
    let mut back = Vec::new();
    for task in clients.into_iter().map(start).collect::<Vec<_>>() {
        back.push(task.await?);
    }
    Ok(back)
}

impl Client {
    /// One iteration, noted. `None` is a failure, after a short rest: a broker that is down must not be asked ten
    /// thousand times a second.
    pub async fn measured(&mut self, scenario: Scenario, world: &World, gathered: &Gathered) -> Option<Done> {
        let began = Instant::now();
        let outcome = self.iterate(scenario, world).await;
        gathered.note(scenario.name(), &outcome, began.elapsed());
        if outcome.is_err() {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        outcome.ok()
    }
}
