//! What the time of a refusal tells: nothing, if it goes well. One client, one request after another, the kinds that are
//! to be told apart taking turns, so that whatever else the machine does hits all alike.

use std::rc::Rc;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use http::StatusCode;

use crate::Arguments;
use crate::drive::{Gathered, Line};
use crate::scenario::Client;
use crate::world::{APP_SECRET, BASE_ACCOUNTS, BASE_ORGANIZATIONS, World, username};

/// Names of each kind that are guessed at.
const NAMES: usize = BASE_ACCOUNTS * BASE_ORGANIZATIONS;

/// Then the client comes from the next address, before its network has to wait.
const GUESSES_FROM_ONE_ADDRESS: usize = 100;

/// Wrong secrets of one app that may be told from one address before it has to wait. The addresses of the bench bear two
/// thousand of them.
const SECRETS_FROM_ONE_ADDRESS: usize = 9;

/// Wrong guesses after which a name has to wait for half a minute.
const UNTIL_WAITING: usize = 15;

/// Wrong client secrets that begin like the right one, by so many letters. `correlation` is that of the length of what
/// they have in common with the time; beyond `chance` it is no accident (four standard errors).
pub async fn secrets(arguments: &Arguments, world: &Rc<World>) -> Result<Vec<Line>> {
    let mut client = Client::new(world, 0, 1)?;
    let wrong: Vec<String> = (0..=APP_SECRET.len())
        .map(|common| {
            let (begin, rest) = APP_SECRET.split_at(common);
            format!("{begin}{}x", "X".repeat(rest.len()))
        })
        .collect();
    let samples = arguments.samples.div_ceil(wrong.len()) * wrong.len();
    let gathered = Gathered::default();
    let (mut pairs, began, cpu) = (Vec::with_capacity(samples), Instant::now(), world.cpu_seconds()?);
    // Once around first, which opens the connection and fills the caches.
    for number in 0..samples + wrong.len() {
        if number % SECRETS_FROM_ONE_ADDRESS == 0 {
            client.move_on().await?;
        }
        // Not in their order, so that nothing that comes and goes is taken for what they have in common.
        let common = number * 7 % wrong.len();
        let Some(secret) = wrong.get(common) else { continue };
        let asked = Instant::now();
        let answer = client.wrong_secret(secret).await?;
        let took = asked.elapsed();
        ensure!(answer.status == StatusCode::UNAUTHORIZED, "status {}: {}", answer.status, answer.text());
        if number >= wrong.len() {
            pairs.push((common as f64, took.as_secs_f64() * 1e6));
            gathered.latencies.borrow_mut().push(u32::try_from(took.as_micros())?);
        }
    }
    let cpu = world.cpu_seconds()? - cpu;
    let mut line = gathered.line("timing-secrets", began.elapsed().as_secs_f64(), cpu, world.resident_mib()?);
    line.more.insert("correlation".to_owned(), four_digits(correlation(&trimmed(pairs))));
    line.more.insert("chance".to_owned(), four_digits(4.0 / (samples as f64).sqrt()));
    Ok(vec![line])
}

/// Wrong passwords for names that exist and for names that do not, and the same once either has to wait.
pub async fn names(world: &Rc<World>) -> Result<Vec<Line>> {
    let mut client = Client::new(world, 0, 1)?;
    let both = |number: usize| {
        [username(number % BASE_ORGANIZATIONS, number / BASE_ORGANIZATIONS), format!("nobody-{number:09}")]
    };
    let mut lines = compared("timing-names", world, &mut client, (0..NAMES).map(both)).await?;
    // Both in turn, so that both have as long to wait at the end.
    for _ in 0..UNTIL_WAITING {
        for name in both(0) {
            while client.guess(&name).await?.0.status == StatusCode::TOO_MANY_REQUESTS {
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        }
    }
    lines.extend(compared("timing-names-waiting", world, &mut client, (0..NAMES).map(|_| both(0))).await?);
    Ok(lines)
}

/// The times of two kinds of names, known ones first, and the distance between their medians.
async fn compared(
    what: &str,
    world: &Rc<World>,
    client: &mut Client,
    names: impl Iterator<Item = [String; 2]>,
) -> Result<Vec<Line>> {
    let gathered = [Gathered::default(), Gathered::default()];
    let mut statuses = Vec::new();
    let began = Instant::now();
    for (number, pair) in names.enumerate() {
        if number % GUESSES_FROM_ONE_ADDRESS == 0 {
            client.move_on().await?;
        }
        for (name, gathered) in pair.iter().zip(&gathered) {
            let (answer, took) = client.guess(name).await?;
            statuses.push(answer.status);
            gathered.latencies.borrow_mut().push(u32::try_from(took.as_micros())?);
        }
    }
    ensure!(statuses.iter().all(|status| Some(status) == statuses.first()), "{what}: answers differ");
    let seconds = began.elapsed().as_secs_f64();
    let [known, unknown] = gathered;
    let known = known.line(&format!("{what}-known"), seconds, 0.0, world.resident_mib()?);
    let mut unknown = unknown.line(&format!("{what}-unknown"), seconds, 0.0, world.resident_mib()?);
    let apart = (known.percentile(0.5) - unknown.percentile(0.5)).abs();
    unknown.more.insert("medians_apart_ms".to_owned(), four_digits(apart));
    Ok(vec![known, unknown])
}

/// Without the slowest hundredth, which the machine itself causes.
fn trimmed(mut pairs: Vec<(f64, f64)>) -> Vec<(f64, f64)> {
    pairs.sort_by(|one, other| one.1.total_cmp(&other.1));
    pairs.truncate(pairs.len() - pairs.len() / 100);
    pairs
}

/// Pearson's coefficient.
fn correlation(pairs: &[(f64, f64)]) -> f64 {
    let count = pairs.len() as f64;
    let mean = |pick: fn(&(f64, f64)) -> f64| pairs.iter().map(pick).sum::<f64>() / count;
    let (x, y) = (mean(|pair| pair.0), mean(|pair| pair.1));
    let product: f64 = pairs.iter().map(|pair| (pair.0 - x) * (pair.1 - y)).sum();
    let square = |pick: fn(&(f64, f64)) -> f64, mean: f64| {
        pairs.iter().map(|pair| (pick(pair) - mean).powi(2)).sum::<f64>()
    };
    product / (square(|pair| pair.0, x) * square(|pair| pair.1, y)).sqrt().max(1e-12)
}

fn four_digits(value: f64) -> serde_json::Value {
    ((value * 10_000.0).round() / 10_000.0).into()
}
